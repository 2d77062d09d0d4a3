//! The ledger: accounts, transfers between them, and the periods of a tenant's book.
//!
//! A transfer is one event on its own stream and on the stream of every account that it touches, and it carries each
//! account whole, as it is afterwards. What customers and invoices are is not known here.

pub mod account;
pub mod book;
pub mod error;
mod expiry;
pub mod posting;
pub mod transfer;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use account::{
    Account, AccountClosed, AccountFrozen, AccountOpened, AccountUnfrozen, CloseAccount, FreezeAccount,
    FreezeRequest, LiveAccount, OpenAccount, OpenAccountRequest, UnfreezeAccount,
};
pub use book::{Book, ClosePeriod, ClosePeriodRequest, PeriodClosed};
pub use error::LedgerError;
pub use posting::{AccountAfter, Frozen, Leg, LegRequest, Side, Totals};
pub use transfer::{
    ExpireHold, HoldExpired, HoldPosted, HoldRequest, HoldVoided, PostHold, PostHoldRequest, PostTransfer,
    ReverseRequest, ReverseTransfer, Transfer, TransferHeld, TransferPosted, TransferRequest,
    TransferReversed, VoidHold,
};

use crate::ids::{AccountId, TransferId};
use crate::stream::StreamId;

/// The names are the contract: a rename breaks stored history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "payload")]
pub enum LedgerEvent {
    /// An account was opened.
    #[serde(rename = "ledger.account-opened")]
    AccountOpened(AccountOpened),
    /// An account stopped taking debits, credits or both.
    #[serde(rename = "ledger.account-frozen")]
    AccountFrozen(AccountFrozen),
    /// An account takes both again.
    #[serde(rename = "ledger.account-unfrozen")]
    AccountUnfrozen(AccountUnfrozen),
    /// An account was closed for good.
    #[serde(rename = "ledger.account-closed")]
    AccountClosed(AccountClosed),
    /// Money moved.
    #[serde(rename = "ledger.transfer-posted")]
    TransferPosted(TransferPosted),
    /// Money was set aside for a move.
    #[serde(rename = "ledger.transfer-held")]
    TransferHeld(TransferHeld),
    /// Money that was set aside moved, wholly or in part; the rest is free again.
    #[serde(rename = "ledger.hold-posted")]
    HoldPosted(HoldPosted),
    /// Money that was set aside is free again.
    #[serde(rename = "ledger.hold-voided")]
    HoldVoided(HoldVoided),
    /// Money that was set aside for a time is free again because the time is over.
    #[serde(rename = "ledger.hold-expired")]
    HoldExpired(HoldExpired),
    /// Money moved back.
    #[serde(rename = "ledger.transfer-reversed")]
    TransferReversed(TransferReversed),
    /// Nothing can become effective any more up to a moment.
    #[serde(rename = "ledger.period-closed")]
    PeriodClosed(PeriodClosed),
}

impl LedgerEvent {
    /// The stored name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::AccountOpened(_) => "ledger.account-opened",
            Self::AccountFrozen(_) => "ledger.account-frozen",
            Self::AccountUnfrozen(_) => "ledger.account-unfrozen",
            Self::AccountClosed(_) => "ledger.account-closed",
            Self::TransferPosted(_) => "ledger.transfer-posted",
            Self::TransferHeld(_) => "ledger.transfer-held",
            Self::HoldPosted(_) => "ledger.hold-posted",
            Self::HoldVoided(_) => "ledger.hold-voided",
            Self::HoldExpired(_) => "ledger.hold-expired",
            Self::TransferReversed(_) => "ledger.transfer-reversed",
            Self::PeriodClosed(_) => "ledger.period-closed",
        }
    }

    /// The streams that it belongs to: its own, then a reversal's original, then its accounts in leg order.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamId> {
        match self {
            Self::AccountOpened(event) => vec![account::stream(event.account_id)],
            Self::AccountFrozen(event) => vec![account::stream(event.account_id)],
            Self::AccountUnfrozen(event) => vec![account::stream(event.account_id)],
            Self::AccountClosed(event) => vec![account::stream(event.account_id)],
            Self::PeriodClosed(event) => vec![book::stream(event.tenant_id)],
            Self::TransferReversed(event) => {
                let own = [event.transfer_id, event.original_id].map(transfer::stream);
                own.into_iter().chain(accounts(&event.legs)).collect()
            }
            Self::TransferPosted(TransferPosted { transfer_id, legs, .. })
            | Self::TransferHeld(TransferHeld { transfer_id, legs, .. })
            | Self::HoldPosted(HoldPosted { transfer_id, legs, .. })
            | Self::HoldVoided(HoldVoided { transfer_id, legs, .. })
            | Self::HoldExpired(HoldExpired { transfer_id, legs, .. }) => {
                [transfer::stream(*transfer_id)].into_iter().chain(accounts(legs)).collect()
            }
        }
    }

    /// What it moved, or held, or freed; nothing for events that do not touch money.
    #[must_use]
    pub fn legs(&self) -> &[Leg] {
        match self {
            Self::TransferPosted(TransferPosted { legs, .. })
            | Self::TransferHeld(TransferHeld { legs, .. })
            | Self::HoldPosted(HoldPosted { legs, .. })
            | Self::HoldVoided(HoldVoided { legs, .. })
            | Self::HoldExpired(HoldExpired { legs, .. })
            | Self::TransferReversed(TransferReversed { legs, .. }) => legs,
            Self::AccountOpened(_)
            | Self::AccountFrozen(_)
            | Self::AccountUnfrozen(_)
            | Self::AccountClosed(_)
            | Self::PeriodClosed(_) => &[],
        }
    }

    /// The transfer that it is about, by the id of its own stream.
    #[must_use]
    pub fn transfer_id(&self) -> Option<TransferId> {
        match self {
            Self::TransferPosted(TransferPosted { transfer_id, .. })
            | Self::TransferHeld(TransferHeld { transfer_id, .. })
            | Self::HoldPosted(HoldPosted { transfer_id, .. })
            | Self::HoldVoided(HoldVoided { transfer_id, .. })
            | Self::HoldExpired(HoldExpired { transfer_id, .. })
            | Self::TransferReversed(TransferReversed { transfer_id, .. }) => Some(*transfer_id),
            Self::AccountOpened(_)
            | Self::AccountFrozen(_)
            | Self::AccountUnfrozen(_)
            | Self::AccountClosed(_)
            | Self::PeriodClosed(_) => None,
        }
    }
}

fn accounts(legs: &[Leg]) -> impl Iterator<Item = StreamId> {
    legs.iter().map(|leg| account::stream(leg.account_id))
}

impl Leg {
    fn of(legs: &[Self], id: AccountId) -> Option<&Self> {
        legs.iter().find(|leg| leg.account_id == id)
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod sample;
