//! The arithmetic of accounts: sides, totals, limits, and what an account is after an event.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account::LiveAccount;
use super::error::LedgerError;
use crate::ids::AccountId;
use crate::money::{Balance, Currency, Limit, Money, MoneyError};

/// One of the two sides of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Left: what the tenant owns and spends grows here.
    Debit,
    /// Right: what the tenant owes and earns grows here.
    Credit,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Debit => Self::Credit,
            Self::Credit => Self::Debit,
        }
    }

    /// The side on which accounts grow that say nothing else: customers' money is owed to them.
    #[must_use]
    pub const fn normal() -> Self {
        Self::Credit
    }

    /// For serde's `skip_serializing_if`.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        *self == Self::normal()
    }

    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debit => "debit",
            Self::Credit => "credit",
        }
    }
}

/// Which sides of an account take nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Frozen {
    /// Neither.
    #[default]
    None,
    /// Debits.
    Debits,
    /// Credits.
    Credits,
    /// Both.
    Both,
}

impl Frozen {
    /// Whether nothing is frozen; for serde's `skip_serializing_if`.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Whether `side` takes nothing.
    #[must_use]
    pub fn covers(self, side: Side) -> bool {
        matches!((self, side), (Self::Both, _) | (Self::Debits, Side::Debit) | (Self::Credits, Side::Credit))
    }

    /// What is frozen if both are.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (
            self.covers(Side::Debit) || other.covers(Side::Debit),
            self.covers(Side::Credit) || other.covers(Side::Credit),
        ) {
            (false, false) => Self::None,
            (true, false) => Self::Debits,
            (false, true) => Self::Credits,
            (true, true) => Self::Both,
        }
    }
}

/// One side of one account in a transfer, as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LegRequest {
    /// Whose account.
    pub account_id: AccountId,
    /// On which side.
    pub side: Side,
    /// How much; more than nothing.
    pub amount: Money,
}

/// One side of one account in a transfer, as it happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Leg {
    /// Whose account.
    pub account_id: AccountId,
    /// On which side.
    pub side: Side,
    /// How much was moved, held or freed. Nothing, if a hold was posted in part and this leg's part is nothing.
    pub amount: Money,
    /// The account after the event.
    pub after: AccountAfter,
}

/// An account whole, as it is after an event. Its currency is the event's; whatever is as usual is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccountAfter {
    /// The version of the account's stream that the event makes.
    pub version: i64,
    /// The side on which its balance grows.
    #[serde(default = "Side::normal", skip_serializing_if = "Side::is_normal")]
    pub normal_side: Side,
    /// Everything ever debited.
    #[serde(default, skip_serializing_if = "Balance::is_zero")]
    pub debits_posted: Balance,
    /// Everything ever credited.
    #[serde(default, skip_serializing_if = "Balance::is_zero")]
    pub credits_posted: Balance,
    /// Debits on hold.
    #[serde(default, skip_serializing_if = "Balance::is_zero")]
    pub debits_pending: Balance,
    /// Credits on hold.
    #[serde(default, skip_serializing_if = "Balance::is_zero")]
    pub credits_pending: Balance,
    /// How low its balance may go, counting what is on hold.
    #[serde(default = "Limit::zero", skip_serializing_if = "Limit::is_zero")]
    pub min_balance: Limit,
    /// How high its balance may go, counting what is on hold.
    #[serde(default = "Limit::unbounded", skip_serializing_if = "Limit::is_unbounded")]
    pub max_balance: Limit,
    /// Which sides take nothing.
    #[serde(default, skip_serializing_if = "Frozen::is_none")]
    pub frozen: Frozen,
    /// How many holds with an expiry are open on it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub open_expiring_holds: u32,
}

impl AccountAfter {
    /// The totals in it.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            debits_posted: self.debits_posted,
            credits_posted: self.credits_posted,
            debits_pending: self.debits_pending,
            credits_pending: self.credits_pending,
        }
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What an account's two sides add up to. No figure is ever negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Everything ever debited.
    pub debits_posted: Balance,
    /// Everything ever credited.
    pub credits_posted: Balance,
    /// Debits on hold.
    pub debits_pending: Balance,
    /// Credits on hold.
    pub credits_pending: Balance,
}

impl Totals {
    /// The totals of a new account.
    #[must_use]
    pub fn zero(currency: Currency) -> Self {
        let zero = Balance::zero(currency);
        Self { debits_posted: zero, credits_posted: zero, debits_pending: zero, credits_pending: zero }
    }

    /// Everything ever moved on `side`.
    #[must_use]
    pub const fn posted(&self, side: Side) -> Balance {
        match side {
            Side::Debit => self.debits_posted,
            Side::Credit => self.credits_posted,
        }
    }

    /// What is on hold on `side`.
    #[must_use]
    pub const fn pending(&self, side: Side) -> Balance {
        match side {
            Side::Debit => self.debits_pending,
            Side::Credit => self.credits_pending,
        }
    }

    /// The posted balance of an account that grows on the side `normal`.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`], which totals within their own range never give.
    pub fn balance(&self, normal: Side) -> Result<Balance, MoneyError> {
        self.posted(normal).checked_sub(self.posted(normal.opposite()))
    }

    /// These totals with figures of exactly the digits of `currency`.
    ///
    /// # Errors
    /// [`MoneyError::Precision`].
    pub fn in_currency(&self, currency: Currency) -> Result<Self, MoneyError> {
        Ok(Self {
            debits_posted: self.debits_posted.in_currency(currency)?,
            credits_posted: self.credits_posted.in_currency(currency)?,
            debits_pending: self.debits_pending.in_currency(currency)?,
            credits_pending: self.credits_pending.in_currency(currency)?,
        })
    }

    fn posted_mut(&mut self, side: Side) -> &mut Balance {
        match side {
            Side::Debit => &mut self.debits_posted,
            Side::Credit => &mut self.credits_posted,
        }
    }

    fn pending_mut(&mut self, side: Side) -> &mut Balance {
        match side {
            Side::Debit => &mut self.debits_pending,
            Side::Credit => &mut self.credits_pending,
        }
    }
}

/// What an event does to the totals of an account on the side of its leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// The amount moves at once.
    Post(Money),
    /// The amount is set aside.
    Hold(Money),
    /// Of what was set aside, some moves and the rest is free.
    Settle { held: Money, posted: Money },
    /// What was set aside is free.
    Release(Money),
}

impl Move {
    /// The amount that the leg names.
    pub(super) const fn amount(self) -> Money {
        match self {
            Self::Post(amount) | Self::Hold(amount) | Self::Release(amount) => amount,
            Self::Settle { posted, .. } => posted,
        }
    }

    pub(super) fn apply(self, totals: Totals, side: Side) -> Result<Totals, MoneyError> {
        let mut totals = totals;
        let (posted, pending) = match self {
            Self::Post(amount) => (Some(amount), None),
            Self::Hold(amount) => {
                let pending = totals.pending_mut(side);
                *pending = pending.checked_add(amount.into())?;
                return Ok(totals);
            }
            Self::Settle { held, posted } => (Some(posted), Some(held)),
            Self::Release(held) => (None, Some(held)),
        };
        if let Some(amount) = posted {
            let figure = totals.posted_mut(side);
            *figure = figure.checked_add(amount.into())?;
        }
        if let Some(held) = pending {
            let figure = totals.pending_mut(side);
            *figure = figure.checked_sub(held.into())?;
        }
        Ok(totals)
    }
}

/// Whether `live` can take `amount` more on `side`, now or from a hold: its posted balance, less what is on hold
/// against it, stays within the lower bound, and with what is on hold for it within the upper one.
pub(super) fn within_limits(
    account_id: AccountId,
    live: &LiveAccount,
    side: Side,
    amount: Money,
) -> Result<(), LedgerError> {
    let overflow = |_: MoneyError| LedgerError::BalanceOverflow { account_id };
    let posted = live.totals.balance(live.normal_side).map_err(overflow)?.decimal();
    let pending = live.totals.pending(side).decimal();
    // Three figures of at most 10^22 are summed: exact, with digits to spare.
    if side == live.normal_side {
        let Limit::At(max) = live.max_balance else { return Ok(()) };
        let available = max.decimal() - posted - pending;
        if amount.amount() > available {
            let available = Balance::checked(available).map_err(overflow)?;
            return Err(LedgerError::LimitExceeded { account_id, required: amount, available });
        }
    } else {
        let Limit::At(min) = live.min_balance else { return Ok(()) };
        let available = posted - pending - min.decimal();
        if amount.amount() > available {
            let available = Balance::checked(available).map_err(overflow)?;
            return Err(LedgerError::InsufficientFunds { account_id, required: amount, available });
        }
    }
    Ok(())
}
