//! What the ledger should do, written as naively as possible: figures are sums over all transfers, made anew each time.

use std::collections::BTreeMap;

use super::super::*;
use crate::ledger::sample::account_id;

/// One of the accounts that both tenants have. Limits are in whole units.
pub(super) struct Fixed {
    pub(super) currency: &'static str,
    pub(super) normal_side: Side,
    pub(super) min: Option<i128>,
    pub(super) max: Option<i128>,
}

const fn fixed(currency: &'static str, normal_side: Side, min: Option<i128>, max: Option<i128>) -> Fixed {
    Fixed { currency, normal_side, min, max }
}

pub(super) const ACCOUNTS: [Fixed; 7] = [
    fixed("USD", Side::Credit, None, None),
    fixed("USD", Side::Credit, Some(0), None),
    fixed("USD", Side::Credit, Some(-10), Some(40)),
    fixed("USD", Side::Debit, Some(0), Some(60)),
    fixed("USD", Side::Debit, None, None),
    fixed("EUR", Side::Credit, None, None),
    fixed("EUR", Side::Credit, Some(0), Some(50)),
];

type Answer = Result<(), &'static str>;
type Entry = (usize, Side, i128);

#[derive(Debug, Clone)]
enum Status {
    Held { expires: Option<i64> },
    Posted { was_hold: bool, reversed: Vec<i128>, effective: i64 },
    Voided,
    Expired,
    Reversal,
}

#[derive(Debug, Clone)]
struct Moved {
    entries: Vec<Entry>,
    status: Status,
}

#[derive(Debug, Default)]
pub(super) struct Reference {
    transfers: BTreeMap<u128, Moved>,
    frozen: BTreeMap<usize, (bool, bool)>,
    closed: Vec<usize>,
    closed_through: Option<i64>,
}

fn signed(cents: u128) -> i128 {
    i128::try_from(cents).unwrap()
}

impl Reference {
    pub(super) fn currency(&self, number: u128) -> Option<&'static str> {
        let moved = self.transfers.get(&number)?;
        moved.entries.first().map(|(account, _, _)| ACCOUNTS[*account].currency)
    }

    /// Debits posted, credits posted, debits pending, credits pending, in cents.
    pub(super) fn figures(&self, account: usize) -> [i128; 4] {
        let mut figures = [0; 4];
        for moved in self.transfers.values() {
            let first = match moved.status {
                Status::Held { .. } => 2,
                Status::Posted { .. } | Status::Reversal => 0,
                Status::Voided | Status::Expired => continue,
            };
            for (_, side, cents) in moved.entries.iter().filter(|(it, _, _)| *it == account) {
                figures[if *side == Side::Debit { first } else { first + 1 }] += cents;
            }
        }
        figures
    }

    pub(super) fn pay(
        &mut self,
        number: u128,
        legs: &[LegRequest],
        hold: Option<Option<u64>>,
        effective: i64,
        now: i64,
    ) -> Answer {
        let accounts: Vec<usize> = legs
            .iter()
            .map(|leg| (0..).find(|at| account_id(*at) == leg.account_id).unwrap())
            .map(|at| usize::try_from(at).unwrap())
            .collect();
        if legs.iter().any(|leg| leg.amount.is_zero()) {
            return Err("ledger.amount-not-positive");
        }
        if (1..accounts.len()).any(|at| accounts[..at].contains(&accounts[at])) {
            return Err("ledger.same-account");
        }
        if hold == Some(Some(0)) {
            return Err("ledger.hold-duration");
        }
        self.expire_due(&accounts, now);
        if self.transfers.contains_key(&number) {
            return Err("ledger.transfer-exists");
        }
        if effective > now {
            return Err("ledger.effective-in-future");
        }
        if self.closed_through.is_some_and(|through| effective <= through) {
            return Err("ledger.period-closed");
        }
        let currency = legs[0].amount.currency().code();
        let entries: Vec<Entry> = accounts
            .iter()
            .zip(legs)
            .map(|(account, leg)| (*account, leg.side, signed(leg.amount.minor())))
            .collect();
        self.admit(&entries, currency, true)?;
        let status = match hold {
            Some(expires_in) => {
                Status::Held { expires: expires_in.map(|it| now + i64::try_from(it).unwrap()) }
            }
            None => Status::Posted { was_hold: false, reversed: vec![0; entries.len()], effective },
        };
        self.transfers.insert(number, Moved { entries, status });
        Ok(())
    }

    fn admit(&self, entries: &[Entry], currency: &str, limits: bool) -> Answer {
        for (account, side, _) in entries {
            if self.closed.contains(account) {
                return Err("ledger.account-closed");
            }
            if ACCOUNTS[*account].currency != currency {
                return Err("ledger.currency-mismatch");
            }
            let (debits, credits) = self.frozen.get(account).copied().unwrap_or_default();
            if (*side == Side::Debit && debits) || (*side == Side::Credit && credits) {
                return Err("ledger.account-frozen");
            }
        }
        for (account, side, cents) in entries.iter().filter(|_| limits) {
            let Fixed { normal_side, min, max, .. } = &ACCOUNTS[*account];
            let [debits, credits, debits_pending, credits_pending] = self.figures(*account);
            let sign = if *normal_side == Side::Credit { 1 } else { -1 };
            let pending = if *side == Side::Debit { debits_pending } else { credits_pending };
            let posted = (credits - debits) * sign;
            if side == normal_side {
                if max.is_some_and(|max| posted + pending + cents > max * 100) {
                    return Err("ledger.limit-exceeded");
                }
            } else if min.is_some_and(|min| posted - pending - cents < min * 100) {
                return Err("ledger.insufficient-funds");
            }
        }
        Ok(())
    }

    fn expire_due(&mut self, accounts: &[usize], now: i64) {
        for moved in self.transfers.values_mut() {
            let touches = moved.entries.iter().any(|(account, _, _)| accounts.contains(account));
            if touches && is_due(&moved.status, now) {
                moved.status = Status::Expired;
            }
        }
    }

    fn expire_itself(&mut self, number: u128, now: i64) {
        if let Some(moved) = self.transfers.get_mut(&number)
            && is_due(&moved.status, now)
        {
            moved.status = Status::Expired;
        }
    }

    fn held(&self, number: u128) -> Result<Moved, &'static str> {
        let moved = self.transfers.get(&number).ok_or("ledger.transfer-not-found")?;
        match moved.status {
            Status::Held { .. } => Ok(moved.clone()),
            Status::Posted { was_hold: true, .. } => Err("ledger.hold-already-posted"),
            Status::Posted { .. } | Status::Reversal => Err("ledger.not-a-hold"),
            Status::Voided => Err("ledger.hold-already-voided"),
            Status::Expired => Err("ledger.hold-already-expired"),
        }
    }

    pub(super) fn capture(&mut self, number: u128, part: Option<u128>, now: i64) -> Answer {
        self.expire_itself(number, now);
        if part == Some(0) {
            return Err("ledger.amount-not-positive");
        }
        let held = self.held(number)?;
        let shares = shares(&held.entries, part).ok_or("ledger.capture-exceeds-hold")?;
        let currency = self.currency(number).unwrap();
        self.admit(&held.entries, currency, false)?;
        let entries: Vec<Entry> = held
            .entries
            .iter()
            .zip(&shares)
            .map(|((account, side, _), share)| (*account, *side, *share))
            .collect();
        let status = Status::Posted { was_hold: true, reversed: vec![0; entries.len()], effective: now };
        self.transfers.insert(number, Moved { entries, status });
        Ok(())
    }

    pub(super) fn void(&mut self, number: u128, now: i64) -> Answer {
        self.expire_itself(number, now);
        let held = self.held(number)?;
        self.transfers.insert(number, Moved { status: Status::Voided, ..held });
        Ok(())
    }

    pub(super) fn expire(&mut self, number: u128, now: i64) -> Answer {
        self.expire_itself(number, now);
        match self.held(number) {
            Err(code @ ("ledger.transfer-not-found" | "ledger.not-a-hold")) => Err(code),
            _ => Ok(()),
        }
    }

    pub(super) fn reverse(&mut self, number: u128, reversal: u128, part: Option<u128>, now: i64) -> Answer {
        let original = self.transfers.get(&number).cloned();
        if let Some(Moved { entries, status: Status::Posted { .. } }) = &original {
            let accounts: Vec<_> = entries.iter().map(|(account, _, _)| *account).collect();
            self.expire_due(&accounts, now);
        }
        if part == Some(0) {
            return Err("ledger.amount-not-positive");
        }
        let original = original.ok_or("ledger.transfer-not-found")?;
        let Status::Posted { was_hold, reversed, effective } = original.status else {
            return Err("ledger.not-reversible");
        };
        let left: Vec<Entry> = original
            .entries
            .iter()
            .zip(&reversed)
            .map(|((account, side, cents), back)| (*account, *side, cents - back))
            .collect();
        if left.iter().all(|(_, _, cents)| *cents == 0) {
            return Err("ledger.already-reversed");
        }
        let shares = shares(&left, part).ok_or("ledger.reversal-exceeds-transfer")?;
        let entries: Vec<Entry> = left
            .iter()
            .zip(&shares)
            .filter(|(_, share)| **share > 0)
            .map(|((account, side, _), share)| (*account, side.opposite(), *share))
            .collect();
        self.admit(&entries, self.currency(number).unwrap(), true)?;
        self.transfers.insert(reversal, Moved { entries, status: Status::Reversal });
        let reversed = reversed.iter().zip(&shares).map(|(one, more)| one + more).collect();
        let status = Status::Posted { was_hold, reversed, effective };
        self.transfers.insert(number, Moved { entries: original.entries, status });
        Ok(())
    }

    pub(super) fn freeze(&mut self, account: usize, side: Frozen) -> Answer {
        self.open(account)?;
        let (debits, credits) = self.frozen.entry(account).or_default();
        *debits |= side != Frozen::Credits;
        *credits |= side != Frozen::Debits;
        Ok(())
    }

    pub(super) fn unfreeze(&mut self, account: usize) -> Answer {
        self.open(account)?;
        self.frozen.remove(&account);
        Ok(())
    }

    pub(super) fn close(&mut self, account: usize, now: i64) -> Answer {
        self.expire_due(&[account], now);
        let [debits, credits, debits_pending, credits_pending] = self.figures(account);
        if self.closed.contains(&account) {
            return Ok(());
        }
        if debits != credits || debits_pending + credits_pending > 0 {
            return Err("ledger.account-not-empty");
        }
        self.closed.push(account);
        Ok(())
    }

    pub(super) fn close_period(&mut self, through: i64, now: i64) -> Answer {
        if through >= now {
            return Err("ledger.period-not-over");
        }
        if self.closed_through.is_some_and(|closed| closed > through) {
            return Err("ledger.period-closed-later");
        }
        self.closed_through = Some(through);
        Ok(())
    }

    fn open(&self, account: usize) -> Answer {
        if self.closed.contains(&account) { Err("ledger.account-closed") } else { Ok(()) }
    }
}

fn is_due(status: &Status, now: i64) -> bool {
    matches!(status, Status::Held { expires: Some(at) } if *at <= now)
}

/// A single debit and one or two credits: the first credit gets the spare cent unless the second's remainder is larger.
fn shares(entries: &[Entry], part: Option<u128>) -> Option<Vec<i128>> {
    let amounts: Vec<i128> = entries.iter().map(|(_, _, cents)| *cents).collect();
    let Some(part) = part.map(signed) else { return Some(amounts) };
    let whole = amounts[0];
    if part > whole {
        return None;
    }
    if amounts.len() == 2 {
        return Some(vec![part, part]);
    }
    let (first, second) = (part * amounts[1], part * amounts[2]);
    let spare = part - first / whole - second / whole;
    let to_first = if first % whole >= second % whole { spare } else { 0 };
    Some(vec![part, first / whole + to_first, second / whole + spare - to_first])
}
