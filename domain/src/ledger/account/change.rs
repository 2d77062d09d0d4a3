//! What can be done to an account apart from moving money: open it, freeze it, thaw it, close it.

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Account, AccountClosed, AccountFrozen, AccountOpened, AccountUnfrozen, live, stream};
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::ids::AccountId;
use crate::ledger::posting::{AccountAfter, Frozen, Side};
use crate::ledger::{LedgerError, LedgerEvent, expiry};
use crate::metadata::{Label, Metadata};
use crate::money::{Currency, Limit};
use crate::stream::StreamId;

/// What a caller says to open an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenAccountRequest {
    /// Its identifier, unique for ever; made for the caller if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<AccountId>,
    /// Its name for people.
    pub name: Label,
    /// Its one currency.
    pub currency: Currency,
    /// The side on which its balance grows.
    #[serde(default = "Side::normal")]
    pub normal_side: Side,
    /// How low its balance may go; `null` for any depth.
    #[serde(default = "Limit::zero")]
    pub min_balance: Limit,
    /// How high its balance may go; `null` for any height.
    #[serde(default = "Limit::unbounded")]
    pub max_balance: Limit,
    /// Pairs that mean something to the caller.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

impl OpenAccountRequest {
    /// The command; `fresh` is the identifier if the caller gave none.
    #[must_use]
    pub fn into_decision(self, fresh: AccountId) -> OpenAccount {
        OpenAccount {
            account_id: self.id.unwrap_or(fresh),
            name: self.name,
            currency: self.currency,
            normal_side: self.normal_side,
            min_balance: self.min_balance,
            max_balance: self.max_balance,
            metadata: self.metadata,
        }
    }
}

/// What a caller says to freeze an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezeRequest {
    /// Which sides shall take nothing.
    pub side: Frozen,
}

/// Opens an account. An identifier is never used twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAccount {
    /// Its identifier.
    pub account_id: AccountId,
    /// Its name for people.
    pub name: Label,
    /// Its one currency.
    pub currency: Currency,
    /// The side on which its balance grows.
    pub normal_side: Side,
    /// How low its balance may go.
    pub min_balance: Limit,
    /// How high its balance may go.
    pub max_balance: Limit,
    /// Pairs that mean something to the caller.
    pub metadata: Metadata,
}

/// Stops an account from taking more on `side`, beside what is frozen already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreezeAccount {
    /// Which account.
    pub account_id: AccountId,
    /// Which sides.
    pub side: Frozen,
}

/// Lets an account take both sides again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnfreezeAccount {
    /// Which account.
    pub account_id: AccountId,
}

/// Closes an account for good. It must be empty, with nothing on hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseAccount {
    /// Which account.
    pub account_id: AccountId,
}

impl Decision for OpenAccount {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.account_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let fit = |limit: Limit| limit.in_currency(self.currency).map_err(LedgerError::LimitMalformed);
        let (min_balance, max_balance) = (fit(self.min_balance)?, fit(self.max_balance)?);
        let too_high = min_balance.figure().is_some_and(|min| min.decimal() > Decimal::ZERO);
        let too_low = max_balance.figure().is_some_and(|max| max.decimal() < Decimal::ZERO);
        if too_high || too_low {
            return Err(LedgerError::LimitsExcludeZero.into());
        }
        let known = view.find::<Account>(self.account_id.uuid());
        if known.is_some_and(|seen| *seen.state != Account::Absent) {
            return Err(LedgerError::AccountExists { account_id: self.account_id }.into());
        }
        let event = LedgerEvent::AccountOpened(AccountOpened {
            account_id: self.account_id,
            name: self.name.clone(),
            currency: self.currency,
            normal_side: self.normal_side,
            min_balance,
            max_balance,
            metadata: self.metadata.clone(),
        });
        Ok(Verdict::created(stream(self.account_id), event))
    }
}

impl Decision for FreezeAccount {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.account_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let (version, live) = live(view, self.account_id)?;
        let frozen = live.frozen.and(self.side);
        if frozen == live.frozen {
            return Ok(Verdict::already(stream(self.account_id)));
        }
        let event = LedgerEvent::AccountFrozen(AccountFrozen {
            account_id: self.account_id,
            side: self.side,
            currency: live.currency,
            after: AccountAfter { frozen, ..live.after(version + 1, live.totals, 0) },
        });
        Ok(Verdict::done(stream(self.account_id), event))
    }
}

impl Decision for UnfreezeAccount {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.account_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let (version, live) = live(view, self.account_id)?;
        if live.frozen.is_none() {
            return Ok(Verdict::already(stream(self.account_id)));
        }
        let event = LedgerEvent::AccountUnfrozen(AccountUnfrozen {
            account_id: self.account_id,
            currency: live.currency,
            after: AccountAfter { frozen: Frozen::None, ..live.after(version + 1, live.totals, 0) },
        });
        Ok(Verdict::done(stream(self.account_id), event))
    }
}

impl Decision for CloseAccount {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut streams = vec![stream(self.account_id)];
        streams.extend(expiry::streams(view, &[self.account_id]));
        streams
    }

    fn overdue(&self, view: &View<'_>) -> Vec<Box<dyn Decision>> {
        expiry::decisions(view, &[self.account_id])
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let account_id = self.account_id;
        let live = match live(view, account_id) {
            Err(LedgerError::AccountClosed { .. }) => return Ok(Verdict::already(stream(account_id))),
            other => other?.1,
        };
        let totals = live.totals;
        let balance =
            totals.balance(live.normal_side).map_err(|_| LedgerError::BalanceOverflow { account_id })?;
        if !(balance.is_zero() && totals.debits_pending.is_zero() && totals.credits_pending.is_zero()) {
            return Err(LedgerError::AccountNotEmpty {
                account_id,
                balance,
                debits_pending: totals.debits_pending,
                credits_pending: totals.credits_pending,
                currency: live.currency,
            }
            .into());
        }
        let event = LedgerEvent::AccountClosed(AccountClosed { account_id });
        Ok(Verdict::done(stream(account_id), event))
    }
}
