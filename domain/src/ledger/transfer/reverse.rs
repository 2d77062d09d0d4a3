//! Moving money back, wholly or in part, by a transfer of its own.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::{self, Planned};
use super::{PostedTransfer, Transfer, TransferReversed, refuse_used, seen, stream};
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::ids::{AccountId, TransferId};
use crate::ledger::posting::Move;
use crate::ledger::{LedgerError, LedgerEvent, account, book, expiry};
use crate::money::Money;
use crate::stream::StreamId;

/// What a caller says to reverse a transfer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReverseRequest {
    /// The identifier of the reversal, unique for ever; made for the caller if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<TransferId>,
    /// How much moves back; everything that has not yet, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// The moment that it counts from: the original's, if left out; now, if that lies in a closed period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<DateTime<Utc>>,
}

/// Moves back what a posted transfer moved. Limits and freezes hold for it as for any other transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReverseTransfer {
    /// The transfer to reverse.
    pub transfer_id: TransferId,
    /// The identifier of the transfer that does it.
    pub reversal_id: TransferId,
    /// How much moves back; everything that has not yet, if left out. Only a transfer of one currency has parts.
    pub amount: Option<Money>,
    /// The moment that it counts from; the original's, if left out. In a closed period it is now.
    pub effective_at: Option<DateTime<Utc>>,
}

/// Events of a transfer's stream at most. Its state is folded from all of them, so there must be an end to it.
const EVENTS_MAX: i64 = 1_000;

impl ReverseTransfer {
    fn refuse_endless(&self, view: &View<'_>) -> Result<(), LedgerError> {
        match view.find::<Transfer>(self.transfer_id.uuid()) {
            Some(seen) if seen.version >= EVENTS_MAX => {
                Err(LedgerError::TooManyReversals { transfer_id: self.transfer_id, max: EVENTS_MAX })
            }
            _ => Ok(()),
        }
    }

    fn accounts(&self, view: &View<'_>) -> Vec<AccountId> {
        match seen(view, self.transfer_id) {
            original @ Transfer::Posted(_) => original.accounts().collect(),
            _ => Vec::new(),
        }
    }

    fn original<'a>(&self, view: &View<'a>) -> Result<&'a PostedTransfer, LedgerError> {
        let transfer_id = self.transfer_id;
        match seen(view, transfer_id) {
            Transfer::Absent => Err(LedgerError::TransferNotFound { transfer_id }),
            Transfer::Posted(posted) if posted.left.iter().all(|leg| leg.amount.is_zero()) => {
                Err(LedgerError::AlreadyReversed { transfer_id })
            }
            Transfer::Posted(posted) => Ok(posted),
            other => Err(LedgerError::NotReversible { transfer_id, state: other.state() }),
        }
    }
}

impl Decision for ReverseTransfer {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let accounts = self.accounts(view);
        let mut streams = vec![stream(self.reversal_id), stream(self.transfer_id), book::stream(view.tenant)];
        streams.extend(accounts.iter().map(|id| account::stream(*id)));
        streams.extend(expiry::streams(view, &accounts));
        streams
    }

    fn overdue(&self, view: &View<'_>) -> Vec<Box<dyn Decision>> {
        expiry::decisions(view, &self.accounts(view))
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        if self.amount.is_some_and(|amount| amount.is_zero()) {
            return Err(LedgerError::AmountNotPositive.into());
        }
        refuse_used(view, self.reversal_id)?;
        let original = self.original(view)?;
        self.refuse_endless(view)?;
        let parts = plan::parts(&original.left, self.transfer_id, self.amount, |required, available| {
            LedgerError::ReversalExceedsTransfer { required, available }
        })?;
        let effective_at = book::effective_or_now(view, self.effective_at.unwrap_or(original.effective_at))?;
        let plan: Vec<_> = original
            .left
            .iter()
            .zip(parts)
            .filter(|(_, part)| !part.is_zero())
            .map(|(leg, part)| Planned {
                account_id: leg.account_id,
                side: leg.side.opposite(),
                step: Move::Post(part),
            })
            .collect();
        let event = LedgerEvent::TransferReversed(TransferReversed {
            transfer_id: self.reversal_id,
            original_id: self.transfer_id,
            legs: plan::legs(view, &plan, 0)?,
            effective_at,
        });
        Ok(Verdict::created(stream(self.reversal_id), event))
    }
}
