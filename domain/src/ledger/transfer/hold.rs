//! Resolving a hold: it is posted, voided, or it expires. Once, whichever comes first.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::{self, Planned};
use super::{HeldTransfer, HoldExpired, HoldPosted, HoldVoided, Transfer, seen, stream};
use crate::decision::{Claim, Decision, Verdict, View};
use crate::error::Refusal;
use crate::ids::TransferId;
use crate::ledger::posting::{Leg, Move};
use crate::ledger::{LedgerError, LedgerEvent, account, book};
use crate::money::Money;
use crate::stream::StreamId;

/// What a caller says to post a hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostHoldRequest {
    /// How much of it moves; the rest is free again. Everything, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// The moment that it counts from: now, if left out, and never later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<DateTime<Utc>>,
}

/// Moves money that was set aside, wholly or in part; the rest is free again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostHold {
    /// Which hold.
    pub transfer_id: TransferId,
    /// How much of it; everything, if left out. Only a hold of one currency has parts.
    pub amount: Option<Money>,
    /// The moment that it counts from; now, if left out.
    pub effective_at: Option<DateTime<Utc>>,
}

/// Gives up a hold. Always possible while it is open, on frozen accounts too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoidHold {
    /// Which hold.
    pub transfer_id: TransferId,
}

/// Records that a hold's time is over. Does nothing while it is not, or if the hold was resolved before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpireHold {
    /// Which hold.
    pub transfer_id: TransferId,
}

impl HeldTransfer {
    fn is_due(&self, view: &View<'_>) -> bool {
        self.expires_at.is_some_and(|at| at <= view.now)
    }

    fn refuse_due(&self, view: &View<'_>, transfer_id: TransferId) -> Result<(), LedgerError> {
        match self.expires_at {
            Some(expired_at) if expired_at <= view.now => {
                Err(LedgerError::HoldExpired { transfer_id, expired_at })
            }
            _ => Ok(()),
        }
    }

    /// Gives up the claims that the open hold holds on its accounts.
    fn release(&self, id: TransferId) -> impl Iterator<Item = Claim> {
        self.expires_at.into_iter().flat_map(move |at| {
            self.legs.iter().map(move |leg| Claim::Release {
                scope: account::hold_scope(leg.account_id),
                value: account::hold_claim(at, id),
            })
        })
    }

    fn fewer_holds(&self) -> i32 {
        if self.expires_at.is_some() { -1 } else { 0 }
    }

    /// The legs of an event that frees everything on hold.
    fn freed(&self, view: &View<'_>) -> Result<Vec<Leg>, LedgerError> {
        let plan: Vec<_> = self.legs.iter().map(|leg| Planned::new(leg, Move::Release(leg.amount))).collect();
        plan::legs(view, &plan, self.fewer_holds())
    }
}

fn needs(view: &View<'_>, id: TransferId) -> Vec<StreamId> {
    let mut streams = vec![stream(id)];
    if let Transfer::Held(_) = seen(view, id) {
        streams.extend(seen(view, id).accounts().map(account::stream));
    }
    streams
}

/// Only its own expiry matters to the end of a hold: what it needs was counted when it was set aside.
fn overdue(view: &View<'_>, transfer_id: TransferId) -> Vec<Box<dyn Decision>> {
    match seen(view, transfer_id) {
        Transfer::Held(held) if held.is_due(view) => vec![Box::new(ExpireHold { transfer_id })],
        _ => Vec::new(),
    }
}

impl Decision for PostHold {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut streams = needs(view, self.transfer_id);
        streams.push(book::stream(view.tenant));
        streams
    }

    fn overdue(&self, view: &View<'_>) -> Vec<Box<dyn Decision>> {
        overdue(view, self.transfer_id)
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let transfer_id = self.transfer_id;
        if self.amount.is_some_and(|amount| amount.is_zero()) {
            return Err(LedgerError::AmountNotPositive.into());
        }
        let held = seen(view, transfer_id).held(transfer_id)?;
        held.refuse_due(view, transfer_id)?;
        let parts = plan::parts(&held.legs, transfer_id, self.amount, |required, available| {
            LedgerError::CaptureExceedsHold { required, available }
        })?;
        let effective_at = book::effective(view, self.effective_at)?;
        let plan: Vec<_> = held
            .legs
            .iter()
            .zip(parts)
            .map(|(leg, posted)| Planned::new(leg, Move::Settle { held: leg.amount, posted }))
            .collect();
        let event = LedgerEvent::HoldPosted(HoldPosted {
            transfer_id,
            legs: plan::legs(view, &plan, held.fewer_holds())?,
            effective_at,
            expires_at: held.expires_at,
        });
        Ok(Verdict::done(stream(transfer_id), event)
            .with_claims(held.release(transfer_id))
            .valid_until(held.expires_at))
    }
}

impl Decision for VoidHold {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        needs(view, self.transfer_id)
    }

    fn overdue(&self, view: &View<'_>) -> Vec<Box<dyn Decision>> {
        overdue(view, self.transfer_id)
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let transfer_id = self.transfer_id;
        let held = seen(view, transfer_id).held(transfer_id)?;
        held.refuse_due(view, transfer_id)?;
        let event = LedgerEvent::HoldVoided(HoldVoided {
            transfer_id,
            legs: held.freed(view)?,
            expires_at: held.expires_at,
        });
        Ok(Verdict::done(stream(transfer_id), event)
            .with_claims(held.release(transfer_id))
            .valid_until(held.expires_at))
    }
}

impl Decision for ExpireHold {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        needs(view, self.transfer_id)
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let transfer_id = self.transfer_id;
        let held = match seen(view, transfer_id).held(transfer_id) {
            Err(error @ (LedgerError::TransferNotFound { .. } | LedgerError::NotAHold { .. })) => {
                return Err(error.into());
            }
            Err(_) => return Ok(Verdict::already(stream(transfer_id))),
            Ok(held) => held,
        };
        let Some(expires_at) = held.expires_at.filter(|at| *at <= view.now) else {
            return Ok(Verdict::already(stream(transfer_id)));
        };
        let event =
            LedgerEvent::HoldExpired(HoldExpired { transfer_id, legs: held.freed(view)?, expires_at });
        Ok(Verdict::done(stream(transfer_id), event).with_claims(held.release(transfer_id)))
    }
}
