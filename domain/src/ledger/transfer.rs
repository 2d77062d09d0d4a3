//! A transfer: money that moved, that is set aside to move, or that moved back. One stream a transfer.
//!
//! A transfer never changes what it moved: a reversal is a transfer of its own, recorded on both streams.

mod hold;
mod plan;
mod post;
mod reverse;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use hold::{ExpireHold, PostHold, PostHoldRequest, VoidHold};
pub use post::{HOLD_SECONDS_MAX, HoldRequest, LEGS_MAX, LEGS_MIN, PostTransfer, TransferRequest};
pub use reverse::{ReverseRequest, ReverseTransfer};

use super::posting::{Leg, LegRequest};
use super::{LedgerError, LedgerEvent};
use crate::aggregate::Aggregate;
use crate::decision::View;
use crate::event::Event;
use crate::ids::{AccountId, TransferId};
use crate::metadata::{Label, Metadata};
use crate::money::Money;
use crate::stream::{Category, StreamId};

/// Money moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TransferPosted {
    /// Which transfer.
    pub transfer_id: TransferId,
    /// What moved where, and the accounts after it.
    pub legs: Vec<Leg>,
    /// The moment that it counts from.
    pub effective_at: DateTime<Utc>,
    /// What sort of transfer it is, in the caller's terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Label>,
    /// Pairs that mean something to the caller.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// Money was set aside for a move.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TransferHeld {
    /// Which transfer.
    pub transfer_id: TransferId,
    /// What is on hold where, and the accounts after it.
    pub legs: Vec<Leg>,
    /// When the hold ends by itself, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// The moment that the hold counts from; its posting has its own.
    pub effective_at: DateTime<Utc>,
    /// What sort of transfer it is, in the caller's terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Label>,
    /// Pairs that mean something to the caller.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// Money that was set aside moved; what was not moved is free again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HoldPosted {
    /// Which transfer.
    pub transfer_id: TransferId,
    /// What moved where, every leg of the hold among them, and the accounts after it.
    pub legs: Vec<Leg>,
    /// The moment that it counts from.
    pub effective_at: DateTime<Utc>,
    /// When the hold would have ended by itself, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// Money that was set aside is free again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HoldVoided {
    /// Which transfer.
    pub transfer_id: TransferId,
    /// What is free where, and the accounts after it.
    pub legs: Vec<Leg>,
    /// When the hold would have ended by itself, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// Money that was set aside for a time is free again because the time is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HoldExpired {
    /// Which transfer.
    pub transfer_id: TransferId,
    /// What is free where, and the accounts after it.
    pub legs: Vec<Leg>,
    /// When the hold ended.
    pub expires_at: DateTime<Utc>,
}

/// Money moved back, by a transfer of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TransferReversed {
    /// The transfer that moves it back.
    pub transfer_id: TransferId,
    /// The transfer that moved it first.
    pub original_id: TransferId,
    /// What moved back where, and the accounts after it.
    pub legs: Vec<Leg>,
    /// The moment that it counts from.
    pub effective_at: DateTime<Utc>,
}

impl HoldPosted {
    pub(super) fn hold(&self) -> Option<(DateTime<Utc>, TransferId)> {
        self.expires_at.map(|at| (at, self.transfer_id))
    }
}

impl HoldVoided {
    pub(super) fn hold(&self) -> Option<(DateTime<Utc>, TransferId)> {
        self.expires_at.map(|at| (at, self.transfer_id))
    }
}

impl HoldExpired {
    pub(super) fn hold(&self) -> Option<(DateTime<Utc>, TransferId)> {
        Some((self.expires_at, self.transfer_id))
    }
}

/// A transfer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Transfer {
    /// Never made.
    #[default]
    Absent,
    /// Money is set aside.
    Held(HeldTransfer),
    /// Money moved.
    Posted(PostedTransfer),
    /// It was a hold, given up.
    Voided,
    /// It was a hold that ended by itself.
    Expired,
    /// It moved money back.
    Reversal,
}

/// Money set aside.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeldTransfer {
    /// What is on hold where.
    pub legs: Vec<LegRequest>,
    /// When the hold ends by itself, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// Money that moved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PostedTransfer {
    /// What has not moved back yet.
    pub left: Vec<LegRequest>,
    /// The moment that it counts from.
    pub effective_at: DateTime<Utc>,
    /// Whether it was a hold first.
    pub was_hold: bool,
}

/// The stream of a transfer.
#[must_use]
pub const fn stream(id: TransferId) -> StreamId {
    StreamId::new(Transfer::CATEGORY, id.uuid())
}

impl Transfer {
    /// What a person calls its state.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Held(_) => "held",
            Self::Posted(_) => "posted",
            Self::Voided => "voided",
            Self::Expired => "expired",
            Self::Reversal => "a reversal",
        }
    }

    /// The accounts on which it can still change something, in leg order.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> {
        let legs = match self {
            Self::Held(held) => held.legs.as_slice(),
            Self::Posted(posted) => posted.left.as_slice(),
            Self::Absent | Self::Voided | Self::Expired | Self::Reversal => &[],
        };
        legs.iter().map(|leg| leg.account_id)
    }

    /// The hold that it is, or why it is none any more.
    fn held(&self, transfer_id: TransferId) -> Result<&HeldTransfer, LedgerError> {
        match self {
            Self::Held(held) => Ok(held),
            Self::Absent => Err(LedgerError::TransferNotFound { transfer_id }),
            Self::Posted(PostedTransfer { was_hold: true, .. }) => {
                Err(LedgerError::HoldAlreadyPosted { transfer_id })
            }
            Self::Posted(_) | Self::Reversal => Err(LedgerError::NotAHold { transfer_id }),
            Self::Voided => Err(LedgerError::HoldAlreadyVoided { transfer_id }),
            Self::Expired => Err(LedgerError::HoldAlreadyExpired { transfer_id }),
        }
    }
}

impl PostedTransfer {
    fn of(legs: &[Leg], effective_at: DateTime<Utc>, was_hold: bool) -> Self {
        Self { left: asked(legs), effective_at, was_hold }
    }

    fn reversed_by(&mut self, legs: &[Leg]) {
        for left in &mut self.left {
            if let Some(leg) = Leg::of(legs, left.account_id) {
                let nothing = Money::zero(left.amount.currency());
                left.amount = left.amount.checked_sub(leg.amount).unwrap_or(nothing);
            }
        }
    }
}

fn asked(legs: &[Leg]) -> Vec<LegRequest> {
    legs.iter()
        .map(|leg| LegRequest { account_id: leg.account_id, side: leg.side, amount: leg.amount })
        .collect()
}

/// The transfer as the view shows it.
fn seen<'a>(view: &View<'a>, id: TransferId) -> &'a Transfer {
    static ABSENT: Transfer = Transfer::Absent;
    view.find::<Transfer>(id.uuid()).map_or(&ABSENT, |seen| seen.state)
}

fn refuse_used(view: &View<'_>, transfer_id: TransferId) -> Result<(), LedgerError> {
    match seen(view, transfer_id) {
        Transfer::Absent => Ok(()),
        _ => Err(LedgerError::TransferExists { transfer_id }),
    }
}

impl Aggregate for Transfer {
    const CATEGORY: Category = Category { code: 11, name: "ledger.transfer" };

    fn evolve(&mut self, id: Uuid, event: &Event) {
        let Event::Ledger(event) = event else { return };
        let id = TransferId::new(id);
        match event {
            LedgerEvent::TransferReversed(event) if event.original_id == id => {
                if let Self::Posted(posted) = self {
                    posted.reversed_by(&event.legs);
                }
            }
            event if event.transfer_id() != Some(id) => {}
            LedgerEvent::TransferPosted(event) => {
                *self = Self::Posted(PostedTransfer::of(&event.legs, event.effective_at, false));
            }
            LedgerEvent::TransferHeld(event) => {
                *self = Self::Held(HeldTransfer { legs: asked(&event.legs), expires_at: event.expires_at });
            }
            LedgerEvent::HoldPosted(event) => {
                *self = Self::Posted(PostedTransfer::of(&event.legs, event.effective_at, true));
            }
            LedgerEvent::HoldVoided(_) => *self = Self::Voided,
            LedgerEvent::HoldExpired(_) => *self = Self::Expired,
            LedgerEvent::TransferReversed(_) => *self = Self::Reversal,
            LedgerEvent::AccountOpened(_)
            | LedgerEvent::AccountFrozen(_)
            | LedgerEvent::AccountUnfrozen(_)
            | LedgerEvent::AccountClosed(_)
            | LedgerEvent::PeriodClosed(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
