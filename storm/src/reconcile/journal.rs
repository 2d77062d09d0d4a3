//! Journal against log: what was promised is there, once, where it was promised; what is there was asked for.

use std::collections::HashMap;

use domain::Event;
use domain::ids::TenantId;
use domain::ledger::{LedgerEvent, Leg, Side};
use domain::organisation::OrganisationEvent;

use super::Check;
use super::image::{Entry, Image, Subject};
use super::replay::cents;
use crate::journal::{Ask, Book, Case, Move, Outcome};

/// The code of a key that stands for another request.
const KEY_REUSED: &str = "idempotency.key-reused";

/// Every 2xx is in the log exactly once, at its position and version, under its id, with what was asked for.
#[must_use]
pub fn promised_is_in_the_log(book: &Book, image: &Image, tenants: &[TenantId]) -> Check {
    let mut check = Check::new("journal is in the log");
    let log = image.by_subject();
    for case in book.cases.values() {
        let Some(tenant) = tenants.get(case.tenant) else { continue };
        let mut newest = None;
        for (ask, told) in case.promised() {
            let found = log.get(&(*tenant, ask.event_type(), ask.subject())).map_or(&[][..], Vec::as_slice);
            let fault = match found {
                [] => Some("lost"),
                [one] if told.id != Some(one.stream.id) => Some("told under another id"),
                [one] if told.version != Some(one.version) => Some("told with another version"),
                [one] if !is_as_asked(ask, one) => Some("there, but other than was asked"),
                [one] => {
                    newest = newest.max(Some(one.position));
                    None
                }
                _ => Some("doubled"),
            };
            check.look(fault.is_none(), || {
                format!("{}: key {} {ask:?} {told:?}", fault.unwrap_or_default(), case.key)
            });
        }
        let told = case.outcome().and_then(|it| it.position);
        if let Some(newest) = newest.filter(|it| Some(*it) != told) {
            check.fault(format!("at {newest}, but told to be at {told:?}: key {}", case.key));
        }
    }
    check
}

fn is_as_asked(ask: &Ask, entry: &Entry) -> bool {
    let Event::Ledger(event) = &entry.event else { return false };
    match (ask, event) {
        (Ask::Transfer(it), LedgerEvent::TransferPosted(event)) => moves(it, &event.legs),
        (Ask::Hold(it), LedgerEvent::TransferHeld(event)) => moves(it, &event.legs),
        (Ask::Open { .. }, LedgerEvent::AccountOpened(_))
        | (Ask::Capture { .. }, LedgerEvent::HoldPosted(_))
        | (Ask::Void { .. }, LedgerEvent::HoldVoided(_)) => true,
        _ => false,
    }
}

fn moves(it: &Move, legs: &[Leg]) -> bool {
    let found: Vec<_> =
        legs.iter().map(|leg| (leg.account_id.uuid(), leg.side, cents(leg.amount.amount()))).collect();
    found == [(it.from, Side::Debit, i64::from(it.cents)), (it.to, Side::Credit, i64::from(it.cents))]
}

/// Everything in the log was promised to exactly one key; what was refused is not there; holds expire only when due. What
/// happened in the organisation of `people`, who have no ledger, is compared elsewhere.
#[must_use]
pub fn the_log_is_in_the_journal(
    book: &Book,
    image: &Image,
    tenants: &[TenantId],
    people: TenantId,
) -> Check {
    let mut check = Check::new("log is in the journal");
    let mut promised: HashMap<Subject<'_>, u32> = HashMap::new();
    let mut doubtful: HashMap<Subject<'_>, u32> = HashMap::new();
    for case in book.cases.values() {
        let Some(tenant) = tenants.get(case.tenant) else { continue };
        for (ask, _) in case.promised() {
            *promised.entry((*tenant, ask.event_type(), ask.subject())).or_default() += 1;
        }
        if case.outcomes.is_empty() {
            for ask in &case.asks {
                *doubtful.entry((*tenant, ask.event_type(), ask.subject())).or_default() += 1;
            }
        }
    }
    for entry in &image.entries {
        let subject = (entry.tenant, entry.event_type.as_str(), entry.stream.id);
        let fault = match &entry.event {
            Event::Ledger(LedgerEvent::HoldExpired(event)) => {
                (event.expires_at > entry.recorded_at).then_some("a hold expired before its time")
            }
            Event::Ledger(_) => match (promised.get(&subject), doubtful.get(&subject)) {
                (Some(1), _) | (None, Some(_)) => None,
                (None, None) => Some("nobody was told, and nobody is in doubt"),
                (Some(_), _) => Some("promised under several keys"),
            },
            // Refusals, the keys that sign and what built-in roles mean are recorded by the product itself.
            Event::Audit(_) | Event::Platform(_) => None,
            _ if entry.tenant == people => None,
            // Their organisation is one of the platform's.
            Event::Organisation(OrganisationEvent::TenantCreated(it)) if it.tenant_id == people => None,
            _ => Some("of a kind that nobody asks for"),
        };
        check.look(fault.is_none(), || {
            format!(
                "{}: {} {} at {}",
                fault.unwrap_or_default(),
                entry.event_type,
                entry.stream.id,
                entry.position
            )
        });
    }
    check
}

/// The same key gives the same answer for ever, and stands for one request.
#[must_use]
pub fn a_key_has_one_answer(book: &Book) -> Check {
    let mut check = Check::new("one answer a key");
    let mut previous: Option<&Case> = None;
    for case in book.cases.values() {
        let mut remembered = case.outcomes.iter().filter(|it| it.is_remembered());
        let first = remembered.next();
        check.look(remembered.all(|it| first.is_some_and(|first| is_same(first, it))), || {
            format!("key {} was answered in two ways: {:?}", case.key, case.outcomes)
        });
        // Bodies under the same key stand beside each other.
        if let Some(other) = previous.filter(|it| (it.tenant, it.key) == (case.tenant, case.key)) {
            let counts = [other, case].map(|it| it.outcome().is_some_and(stands));
            check.look(counts != [true, true], || format!("key {} stood for two requests", case.key));
        }
        previous = Some(case);
    }
    check
}

/// The first refusal of a kind names the position of its record in the audit trail; a repeated one has none.
fn is_same(one: &Outcome, other: &Outcome) -> bool {
    let same_place = !one.is_success() || one.position == other.position;
    same_place && (one.status, &one.told) == (other.status, &other.told)
}

/// Whether the answer says that the key stands for this request.
fn stands(outcome: &Outcome) -> bool {
    outcome.is_remembered() && outcome.told.first().is_none_or(|it| it.code != KEY_REUSED)
}

/// Nothing is in doubt any more.
#[must_use]
pub fn nothing_is_in_doubt(book: &Book) -> Check {
    let mut check = Check::new("nothing in doubt");
    for case in book.cases.values() {
        check.look(!case.outcomes.is_empty(), || {
            format!("key {} was sent {} times and has no answer", case.key, case.sent)
        });
    }
    check
}

/// No client got an answer that it should never see.
#[must_use]
pub fn answers_were_expected(book: &Book) -> Check {
    let mut check = Check::new("only known answers");
    check.looked_at = book.cases.values().map(|it| it.outcomes.len() as u64).sum::<u64>() + book.unknown;
    book.unexpected.iter().for_each(|it| check.fault(it.clone()));
    check
}

#[cfg(test)]
mod tests;
