//! The log against itself: it is whole, and adding it up by hand gives what its events say and what the domain folds.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::ids::TenantId;
use domain::ledger::{AccountAfter, LedgerEvent, Leg, Side, account};
use domain::money::Limit;
use domain::{Aggregate as _, Event, StreamId};
use event_schemas::catalog;
use event_schemas::history::Replay;
use uuid::Uuid;

use super::Check;
use super::image::{Entry, Image};

/// Debits and credits posted, debits and credits pending, in cents.
pub type Figures = [i64; 4];

/// An account after one of its movements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The position of the movement.
    pub position: i64,
    /// The version that it made.
    pub version: i64,
    /// The account after it.
    pub figures: Figures,
}

/// Every account after each of its movements, the oldest first.
pub type Standings = HashMap<(TenantId, Uuid), Vec<Standing>>;

/// A figure in cents; everything here is in a currency of two digits.
pub(super) fn cents(figure: impl Into<Figure>) -> i64 {
    figure.into().0
}

/// Cents of whatever the domain keeps figures in.
pub(super) struct Figure(i64);

impl<T: std::fmt::Display> From<T> for Figure {
    fn from(figure: T) -> Self {
        // Figures are written as plain text everywhere; digits behind the point that are not there are nought.
        let text = figure.to_string();
        let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
        Self(format!("{whole}{part:0<2}").parse().unwrap_or(i64::MAX))
    }
}

/// Positions, sequences and versions have no gaps, events no twins, and each stands on its own stream.
#[must_use]
pub fn the_log_is_whole(image: &Image) -> Check {
    let mut check = Check::new("log is whole");
    let mut ids = HashSet::new();
    let mut sequences: HashMap<TenantId, i64> = HashMap::new();
    for (at, entry) in image.entries.iter().enumerate() {
        let expected = at as i64 + 1;
        check
            .look(entry.position == expected, || format!("{} is where {expected} should be", entry.position));
        let sequence = sequences.entry(entry.tenant).or_default();
        *sequence += 1;
        check.look(entry.tenant_seq == *sequence, || {
            format!("the tenant's sequence breaks at {}", entry.position)
        });
        check.look(ids.insert(entry.event_id), || format!("event {} is there twice", entry.event_id));
    }
    check.look(image.entries.len() as i64 == image.head, || {
        format!("the head is at {}, {} events are there", image.head, image.entries.len())
    });
    let mut own: HashSet<(i64, i16, Uuid, i64)> = HashSet::new();
    let mut before: Option<&super::image::Link> = None;
    for link in &image.links {
        let same = before
            .filter(|it| (it.tenant, it.category, it.stream) == (link.tenant, link.category, link.stream));
        let (version, position) = same.map_or((0, 0), |it| (it.version, it.position));
        check.look(link.version == version + 1 && link.position > position, || {
            format!(
                "stream {} has version {} after {version}, at {}",
                link.stream, link.version, link.position
            )
        });
        own.insert((link.position, link.category, link.stream, link.version));
        before = Some(link);
    }
    for it in &image.entries {
        let linked = own.contains(&(it.position, it.stream.category.code, it.stream.id, it.version));
        check.look(linked, || format!("the event at {} is not on its own stream", it.position));
    }
    check
}

/// Cents on hold: on which account, on which side.
type OnHold = (Uuid, Side, i64);

/// What is known while the log is added up.
#[derive(Default)]
struct Sums {
    standings: Standings,
    versions: HashMap<(TenantId, Uuid), i64>,
    holds: HashMap<(TenantId, Uuid), Vec<OnHold>>,
}

/// Adds the log up, event by event: each says of its accounts what the sum says, no account is below its limit after
/// any event, and debits equal credits.
#[must_use]
pub fn the_log_adds_up(image: &Image) -> (Check, Standings) {
    let mut check = Check::new("log adds up");
    let mut sums = Sums::default();
    for entry in &image.entries {
        let Event::Ledger(event) = &entry.event else { continue };
        if let LedgerEvent::AccountOpened(opened) = event {
            sums.versions.insert((entry.tenant, opened.account_id.uuid()), 1);
        }
        sums.add(entry, event, &mut check);
    }
    let mut totals: BTreeMap<TenantId, Figures> = BTreeMap::new();
    for ((tenant, _), standings) in &sums.standings {
        let total = totals.entry(*tenant).or_default();
        let last = standings.last().map(|it| it.figures).unwrap_or_default();
        total.iter_mut().zip(last).for_each(|(sum, figure)| *sum += figure);
    }
    for (tenant, [debits, credits, debits_pending, credits_pending]) in totals {
        check.look((debits, debits_pending) == (credits, credits_pending), || {
            format!(
                "money of {tenant} was made or lost: {debits} {credits} {debits_pending} {credits_pending}"
            )
        });
    }
    (check, sums.standings)
}

impl Sums {
    fn add(&mut self, entry: &Entry, event: &LedgerEvent, check: &mut Check) {
        let legs = event.legs();
        let hold = (entry.tenant, entry.stream.id);
        let moved = |leg: &Leg| (leg.account_id.uuid(), leg.side, cents(leg.amount.amount()));
        // What was on hold and no longer is.
        let freed = match event {
            LedgerEvent::TransferHeld(_) => {
                self.holds.insert(hold, legs.iter().map(moved).collect());
                Vec::new()
            }
            LedgerEvent::HoldPosted(_) | LedgerEvent::HoldVoided(_) | LedgerEvent::HoldExpired(_) => {
                let freed = self.holds.remove(&hold);
                check.look(freed.is_some(), || format!("a hold ends twice at {}", entry.position));
                freed.unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let balance: i64 =
            legs.iter().map(|leg| if leg.side == Side::Debit { moved(leg).2 } else { -moved(leg).2 }).sum();
        check.look(balance == 0, || format!("the legs at {} differ by {balance}", entry.position));
        for leg in legs {
            let account = (entry.tenant, leg.account_id.uuid());
            let history = self.standings.entry(account).or_default();
            let mut figures = history.last().map(|it| it.figures).unwrap_or_default();
            let [debits, credits, debits_pending, credits_pending] = &mut figures;
            let (posted, pending) = match leg.side {
                Side::Debit => (debits, debits_pending),
                Side::Credit => (credits, credits_pending),
            };
            let amount = moved(leg).2;
            match event {
                LedgerEvent::TransferHeld(_) => *pending += amount,
                LedgerEvent::HoldVoided(_) | LedgerEvent::HoldExpired(_) => {}
                _ => *posted += amount,
            }
            let held = freed.iter().find(|(id, side, _)| (*id, *side) == (account.1, leg.side));
            *pending -= held.map_or(0, |(_, _, cents)| *cents);
            let version = self.versions.entry(account).or_default();
            *version += 1;
            check.look(says(&leg.after, *version, figures), || {
                format!("at {} {} is {:?}, and added up {figures:?}", entry.position, account.1, leg.after)
            });
            check.look(within_limit(&leg.after, figures), || {
                format!("at {} {} is below its limit: {figures:?}", entry.position, account.1)
            });
            history.push(Standing { position: entry.position, version: *version, figures });
        }
    }
}

fn says(after: &AccountAfter, version: i64, figures: Figures) -> bool {
    let said = [after.debits_posted, after.credits_posted, after.debits_pending, after.credits_pending];
    after.version == version && said.map(cents) == figures
}

/// Accounts of the storm grow by credits, and have a lower limit or none.
fn within_limit(after: &AccountAfter, [debits, credits, debits_pending, _]: Figures) -> bool {
    match after.min_balance {
        Limit::At(min) => credits - debits - debits_pending >= cents(min),
        Limit::Unbounded => true,
    }
}

/// Folding every stream with the domain gives the sums for every account.
#[must_use]
pub fn the_domain_agrees(image: &Image, standings: &Standings) -> Check {
    let mut check = Check::new("log is replay");
    for stream in
        image.links.chunk_by(|a, b| (a.tenant, a.category, a.stream) == (b.tenant, b.category, b.stream))
    {
        let Some(first) = stream.first() else { continue };
        let replay = catalog::category(first.category)
            .and_then(|category| Replay::begin(StreamId::new(category, first.stream)));
        let Some(mut replay) = replay else {
            check.fault(format!("stream {} is of an unknown category", first.stream));
            continue;
        };
        let events: Vec<&Entry> = stream.iter().filter_map(|it| image.at(it.position)).collect();
        events.iter().for_each(|it| replay.apply(&it.event));
        check.look(replay.version() == stream.len() as i64, || {
            format!("stream {} lacks events", first.stream)
        });
        if first.category != account::Account::CATEGORY.code {
            continue;
        }
        let summed = standings.get(&(first.tenant, first.stream)).and_then(|it| it.last());
        let view = replay.view().unwrap_or_default();
        let figure = |name: &str| view.get("totals").and_then(|it| it.get(name)?.as_str()).map(cents);
        let folded = ["debits_posted", "credits_posted", "debits_pending", "credits_pending"].map(figure);
        let summed = summed.map(|it| it.figures).unwrap_or_default().map(Some);
        check.look(folded == summed, || {
            format!("account {}: folded {folded:?}, added up {summed:?}", first.stream)
        });
    }
    check
}

#[cfg(test)]
mod tests;
