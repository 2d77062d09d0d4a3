//! Moving money, or setting it aside.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::{self, Planned};
use super::{TransferHeld, TransferPosted, refuse_used, stream};
use crate::decision::{Claim, Decision, Verdict, View};
use crate::error::Refusal;
use crate::ids::{AccountId, TransferId};
use crate::ledger::posting::{LegRequest, Move, Side};
use crate::ledger::{LedgerError, LedgerEvent, account, book, expiry};
use crate::metadata::{Label, Metadata};
use crate::money::{Balance, Currency};
use crate::stream::StreamId;

/// The fewest legs of a transfer.
pub const LEGS_MIN: usize = 2;
/// The most legs of a transfer.
pub const LEGS_MAX: usize = 100;
/// The longest hold with an end: ten years.
pub const HOLD_SECONDS_MAX: u64 = 10 * 366 * 24 * 60 * 60;

/// How money is set aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldRequest {
    /// After how many seconds the hold ends by itself; it never does if this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = HOLD_SECONDS_MAX))]
    pub expires_in: Option<u64>,
}

/// What a caller says to move money or to set it aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferRequest {
    /// Its identifier, unique for ever; made for the caller if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<TransferId>,
    /// What moves where: 2 to 100 legs, whose debits and credits balance in every currency.
    #[schemars(length(min = LEGS_MIN, max = LEGS_MAX))]
    pub legs: Vec<LegRequest>,
    /// Set the money aside instead of moving it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldRequest>,
    /// The moment that it counts from: now, if left out, and never later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<DateTime<Utc>>,
    /// What sort of transfer it is, in the caller's terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Label>,
    /// Pairs that mean something to the caller.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

impl TransferRequest {
    /// The command; `fresh` is the identifier if the caller gave none.
    #[must_use]
    pub fn into_decision(self, fresh: TransferId) -> PostTransfer {
        PostTransfer {
            transfer_id: self.id.unwrap_or(fresh),
            legs: self.legs,
            hold: self.hold,
            effective_at: self.effective_at,
            code: self.code,
            metadata: self.metadata,
        }
    }
}

/// Moves money between accounts, or sets it aside for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostTransfer {
    /// Its identifier.
    pub transfer_id: TransferId,
    /// What moves where.
    pub legs: Vec<LegRequest>,
    /// Set the money aside instead of moving it.
    pub hold: Option<HoldRequest>,
    /// The moment that it counts from; now, if left out.
    pub effective_at: Option<DateTime<Utc>>,
    /// What sort of transfer it is, in the caller's terms.
    pub code: Option<Label>,
    /// Pairs that mean something to the caller.
    pub metadata: Metadata,
}

impl PostTransfer {
    /// What is wrong with it whatever the state: the first checks of [`Decision::decide`].
    ///
    /// # Errors
    /// In this order: leg count, an amount of nothing, an account twice, unbalanced legs, the duration of the hold.
    pub fn validate(&self) -> Result<(), LedgerError> {
        let legs = self.legs.len();
        if !(LEGS_MIN..=LEGS_MAX).contains(&legs) {
            return Err(LedgerError::LegCount { legs, min: LEGS_MIN, max: LEGS_MAX });
        }
        if self.legs.iter().any(|leg| leg.amount.is_zero()) {
            return Err(LedgerError::AmountNotPositive);
        }
        self.of_different_accounts()?;
        self.balanced()?;
        match self.hold.and_then(|hold| hold.expires_in) {
            Some(seconds) if !(1..=HOLD_SECONDS_MAX).contains(&seconds) => {
                Err(LedgerError::HoldDuration { seconds, max: HOLD_SECONDS_MAX })
            }
            _ => Ok(()),
        }
    }

    /// Legs are few: comparing each with those before it costs less than a set of them.
    fn of_different_accounts(&self) -> Result<(), LedgerError> {
        let mut earlier = self.legs.iter().enumerate();
        match earlier.find(|(n, leg)| self.legs.iter().take(*n).any(|it| it.account_id == leg.account_id)) {
            Some((_, leg)) => Err(LedgerError::SameAccount { account_id: leg.account_id }),
            None => Ok(()),
        }
    }

    fn balanced(&self) -> Result<(), LedgerError> {
        let mut sums: Vec<(Currency, Balance, Balance)> = Vec::new();
        for LegRequest { account_id, side, amount } in &self.legs {
            let currency = amount.currency();
            let at = sums.iter().position(|(it, ..)| *it == currency).unwrap_or_else(|| {
                sums.push((currency, Balance::zero(currency), Balance::zero(currency)));
                sums.len() - 1
            });
            let Some((_, debits, credits)) = sums.get_mut(at) else { continue };
            let sum = match side {
                Side::Debit => debits,
                Side::Credit => credits,
            };
            *sum = sum
                .checked_add((*amount).into())
                .map_err(|_| LedgerError::BalanceOverflow { account_id: *account_id })?;
        }
        let unbalanced = sums.into_iter().filter(|(_, debits, credits)| debits != credits);
        match unbalanced.min_by_key(|(currency, ..)| *currency) {
            Some((currency, debits, credits)) => {
                Err(LedgerError::UnbalancedLegs { currency, debits, credits })
            }
            None => Ok(()),
        }
    }

    fn accounts(&self) -> Vec<AccountId> {
        self.legs.iter().map(|leg| leg.account_id).collect()
    }

    fn post(&self, view: &View<'_>, effective_at: DateTime<Utc>) -> Result<Verdict, LedgerError> {
        let plan: Vec<_> = self.legs.iter().map(|leg| Planned::new(leg, Move::Post(leg.amount))).collect();
        let event = LedgerEvent::TransferPosted(TransferPosted {
            transfer_id: self.transfer_id,
            legs: plan::legs(view, &plan, 0)?,
            effective_at,
            code: self.code.clone(),
            metadata: self.metadata.clone(),
        });
        Ok(Verdict::created(stream(self.transfer_id), event))
    }

    fn set_aside(
        &self,
        view: &View<'_>,
        hold: HoldRequest,
        effective_at: DateTime<Utc>,
    ) -> Result<Verdict, LedgerError> {
        let plan: Vec<_> = self.legs.iter().map(|leg| Planned::new(leg, Move::Hold(leg.amount))).collect();
        let expires_at = match hold.expires_in {
            None => None,
            Some(seconds) => Some(
                ends(view.now, seconds)
                    .ok_or(LedgerError::HoldDuration { seconds, max: HOLD_SECONDS_MAX })?,
            ),
        };
        let event = LedgerEvent::TransferHeld(TransferHeld {
            transfer_id: self.transfer_id,
            legs: plan::legs(view, &plan, i32::from(expires_at.is_some()))?,
            expires_at,
            effective_at,
            code: self.code.clone(),
            metadata: self.metadata.clone(),
        });
        let claims = expires_at.into_iter().flat_map(|at| {
            self.legs.iter().map(move |leg| Claim::Take {
                scope: account::hold_scope(leg.account_id),
                value: account::hold_claim(at, self.transfer_id),
                taken: LedgerError::TransferExists { transfer_id: self.transfer_id }.into(),
            })
        });
        Ok(Verdict::created(stream(self.transfer_id), event).with_claims(claims))
    }
}

fn ends(now: DateTime<Utc>, seconds: u64) -> Option<DateTime<Utc>> {
    let lasting = TimeDelta::try_seconds(i64::try_from(seconds).ok()?)?;
    Some(now.checked_add_signed(lasting)?.trunc_subsecs(6))
}

impl Decision for PostTransfer {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        if self.validate().is_err() {
            // Refused whatever the state, so nothing is read for it.
            return Vec::new();
        }
        let accounts = self.accounts();
        let mut streams = vec![stream(self.transfer_id), book::stream(view.tenant)];
        streams.extend(accounts.iter().map(|id| account::stream(*id)));
        streams.extend(expiry::streams(view, &accounts));
        streams
    }

    fn overdue(&self, view: &View<'_>) -> Vec<Box<dyn Decision>> {
        if self.validate().is_err() {
            return Vec::new();
        }
        expiry::decisions(view, &self.accounts())
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        self.validate()?;
        refuse_used(view, self.transfer_id)?;
        let effective_at = book::effective(view, self.effective_at)?;
        let verdict = match self.hold {
            None => self.post(view, effective_at)?,
            Some(hold) => self.set_aside(view, hold, effective_at)?,
        };
        Ok(verdict)
    }
}
