//! A ledger account: what is on it, what is on hold, and what it may take.
//!
//! Every event of an account carries the account whole, so it is rebuilt from its newest event; only which holds are
//! open has to be read from the claims that they hold. The rules of moving money are `transfer`'s.

mod change;

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use change::{
    CloseAccount, FreezeAccount, FreezeRequest, OpenAccount, OpenAccountRequest, UnfreezeAccount,
};

use super::posting::{AccountAfter, Frozen, Leg, Side, Totals};
use super::{LedgerError, LedgerEvent};
use crate::aggregate::Aggregate;
use crate::decision::View;
use crate::event::Event;
use crate::ids::{AccountId, TransferId};
use crate::metadata::{Label, Metadata};
use crate::money::{Currency, Limit};
use crate::stream::{Category, StreamId};

/// An account was opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccountOpened {
    /// Which account.
    pub account_id: AccountId,
    /// Its name for people.
    pub name: Label,
    /// Its one currency.
    pub currency: Currency,
    /// The side on which its balance grows.
    #[serde(default = "Side::normal", skip_serializing_if = "Side::is_normal")]
    pub normal_side: Side,
    /// How low its balance may go.
    #[serde(default = "Limit::zero", skip_serializing_if = "Limit::is_zero")]
    pub min_balance: Limit,
    /// How high its balance may go.
    #[serde(default = "Limit::unbounded", skip_serializing_if = "Limit::is_unbounded")]
    pub max_balance: Limit,
    /// Pairs that mean something to the caller.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// An account stopped taking debits, credits or both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccountFrozen {
    /// Which account.
    pub account_id: AccountId,
    /// What was asked to be frozen; what is frozen now is in `after`.
    pub side: Frozen,
    /// The account's currency.
    pub currency: Currency,
    /// The account after it.
    pub after: AccountAfter,
}

/// An account takes both sides again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccountUnfrozen {
    /// Which account.
    pub account_id: AccountId,
    /// The account's currency.
    pub currency: Currency,
    /// The account after it.
    pub after: AccountAfter,
}

/// An account was closed for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccountClosed {
    /// Which account.
    pub account_id: AccountId,
}

/// A ledger account.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Account {
    /// Never opened.
    #[default]
    Absent,
    /// In use.
    Open(LiveAccount),
    /// Closed for good.
    Closed,
}

/// An account in use.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LiveAccount {
    /// Its one currency.
    pub currency: Currency,
    /// The side on which its balance grows.
    pub normal_side: Side,
    /// How low its balance may go, counting what is on hold.
    pub min_balance: Limit,
    /// How high its balance may go, counting what is on hold.
    pub max_balance: Limit,
    /// Which sides take nothing.
    pub frozen: Frozen,
    /// What its sides add up to.
    pub totals: Totals,
    open_expiring_holds: u32,
    /// A memory of the claims that open holds hold: not part of what a person sees, since past ones are gone.
    #[serde(skip)]
    holds: BTreeSet<(DateTime<Utc>, TransferId)>,
}

impl LiveAccount {
    /// The open holds with an expiry, the earliest first.
    #[must_use]
    pub fn holds(&self) -> &BTreeSet<(DateTime<Utc>, TransferId)> {
        &self.holds
    }

    /// The account whole after an event that makes `version`, with these totals, and so many more open expiring holds.
    pub(super) fn after(&self, version: i64, totals: Totals, more_holds: i32) -> AccountAfter {
        AccountAfter {
            version,
            normal_side: self.normal_side,
            debits_posted: totals.debits_posted,
            credits_posted: totals.credits_posted,
            debits_pending: totals.debits_pending,
            credits_pending: totals.credits_pending,
            min_balance: self.min_balance,
            max_balance: self.max_balance,
            frozen: self.frozen,
            open_expiring_holds: self.open_expiring_holds.saturating_add_signed(more_holds),
        }
    }

    fn from_after(
        currency: Currency,
        after: &AccountAfter,
        holds: BTreeSet<(DateTime<Utc>, TransferId)>,
    ) -> Self {
        let totals = after.totals();
        Self {
            currency,
            normal_side: after.normal_side,
            min_balance: exact(after.min_balance, currency),
            max_balance: exact(after.max_balance, currency),
            frozen: after.frozen,
            totals: totals.in_currency(currency).unwrap_or(totals),
            open_expiring_holds: after.open_expiring_holds,
            holds,
        }
    }

    fn opened(event: &AccountOpened) -> Self {
        Self {
            currency: event.currency,
            normal_side: event.normal_side,
            min_balance: exact(event.min_balance, event.currency),
            max_balance: exact(event.max_balance, event.currency),
            frozen: Frozen::None,
            totals: Totals::zero(event.currency),
            open_expiring_holds: 0,
            holds: BTreeSet::new(),
        }
    }
}

/// The limit with the digits of its currency, so that equal figures also look equal.
fn exact(limit: Limit, currency: Currency) -> Limit {
    limit.in_currency(currency).unwrap_or(limit)
}

/// The stream of an account.
#[must_use]
pub const fn stream(id: AccountId) -> StreamId {
    StreamId::new(Account::CATEGORY, id.uuid())
}

/// The scope of the claims that open expiring holds on an account hold.
#[must_use]
pub fn hold_scope(id: AccountId) -> String {
    format!("ledger.hold-of/{id}")
}

/// The claim of an open expiring hold: ordered by expiry, because moments are written at a fixed width.
#[must_use]
pub fn hold_claim(expires_at: DateTime<Utc>, id: TransferId) -> String {
    format!("{}/{id}", expires_at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

fn parse_hold_claim(value: &str) -> Option<(DateTime<Utc>, TransferId)> {
    let (expires_at, id) = value.split_once('/')?;
    Some((DateTime::parse_from_rfc3339(expires_at).ok()?.to_utc(), id.parse().ok()?))
}

/// The account if it is open, with its version.
pub(super) fn live<'a>(
    view: &View<'a>,
    account_id: AccountId,
) -> Result<(i64, &'a LiveAccount), LedgerError> {
    match view.find::<Account>(account_id.uuid()).map(|seen| (seen.version, seen.state)) {
        Some((version, Account::Open(live))) => Ok((version, live)),
        Some((_, Account::Closed)) => Err(LedgerError::AccountClosed { account_id }),
        Some((_, Account::Absent)) | None => Err(LedgerError::AccountNotFound { account_id }),
    }
}

impl Account {
    fn set(&mut self, currency: Currency, after: &AccountAfter) {
        let holds = match self {
            Self::Open(live) => std::mem::take(&mut live.holds),
            Self::Absent | Self::Closed => BTreeSet::new(),
        };
        *self = Self::Open(LiveAccount::from_after(currency, after, holds));
    }

    /// Applies the leg that concerns `id`, if any; says whether there was one.
    fn moved(&mut self, id: AccountId, legs: &[Leg]) -> Option<&mut LiveAccount> {
        let leg = Leg::of(legs, id)?;
        self.set(leg.amount.currency(), &leg.after);
        match self {
            Self::Open(live) => Some(live),
            Self::Absent | Self::Closed => None,
        }
    }

    fn resolved(&mut self, id: AccountId, legs: &[Leg], hold: Option<(DateTime<Utc>, TransferId)>) {
        if let (Some(live), Some(hold)) = (self.moved(id, legs), hold) {
            live.holds.remove(&hold);
        }
    }
}

impl Aggregate for Account {
    const CATEGORY: Category = Category { code: 10, name: "ledger.account" };
    const RESTORABLE: bool = true;

    fn evolve(&mut self, id: Uuid, event: &Event) {
        let Event::Ledger(event) = event else { return };
        let id = AccountId::new(id);
        match event {
            LedgerEvent::AccountOpened(event) if event.account_id == id => {
                *self = Self::Open(LiveAccount::opened(event));
            }
            LedgerEvent::AccountFrozen(event) if event.account_id == id => {
                self.set(event.currency, &event.after);
            }
            LedgerEvent::AccountUnfrozen(event) if event.account_id == id => {
                self.set(event.currency, &event.after);
            }
            LedgerEvent::AccountClosed(event) if event.account_id == id => *self = Self::Closed,
            LedgerEvent::TransferPosted(event) => {
                self.moved(id, &event.legs);
            }
            LedgerEvent::TransferReversed(event) => {
                self.moved(id, &event.legs);
            }
            LedgerEvent::TransferHeld(event) => {
                if let (Some(live), Some(at)) = (self.moved(id, &event.legs), event.expires_at) {
                    live.holds.insert((at, event.transfer_id));
                }
            }
            LedgerEvent::HoldPosted(event) => self.resolved(id, &event.legs, event.hold()),
            LedgerEvent::HoldVoided(event) => self.resolved(id, &event.legs, event.hold()),
            LedgerEvent::HoldExpired(event) => self.resolved(id, &event.legs, event.hold()),
            LedgerEvent::AccountOpened(_)
            | LedgerEvent::AccountFrozen(_)
            | LedgerEvent::AccountUnfrozen(_)
            | LedgerEvent::AccountClosed(_)
            | LedgerEvent::PeriodClosed(_) => {}
        }
    }

    fn restore(id: Uuid, newest: &Event) -> Option<Self> {
        let mut account = Self::Absent;
        account.evolve(id, newest);
        Some(account)
    }

    fn incomplete(&self, id: Uuid) -> Option<String> {
        match self {
            Self::Open(live) if live.holds.len() != live.open_expiring_holds as usize => {
                Some(hold_scope(AccountId::new(id)))
            }
            Self::Absent | Self::Open(_) | Self::Closed => None,
        }
    }

    fn complete(&mut self, claimed: &[String]) {
        if let Self::Open(live) = self {
            live.holds = claimed.iter().filter_map(|value| parse_hold_claim(value)).collect();
        }
    }
}

#[cfg(test)]
mod tests;
