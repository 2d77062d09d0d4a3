//! How the ledger says no, and in which order.
//!
//! A request with several faults is refused for the first of them in the order of [`LedgerError`]'s variants: what is
//! wrong with the request alone, then identifiers, then times, then the accounts one after the other as they stand, then
//! the figures, account by account. The order is part of the contract and tests pin it.

mod codes;
mod details;

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};

pub use codes::CODES;

use crate::error::{DomainError, ErrorKind};
use crate::ids::{AccountId, TransferId};
use crate::money::{Balance, Currency, Money, MoneyError};

/// Checked in this order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    // The request alone.
    /// Fewer than two legs, or more than a transfer takes.
    #[error("a transfer has {min} to {max} legs, not {legs}")]
    LegCount {
        /// How many there are.
        legs: usize,
        /// How many there must be.
        min: usize,
        /// How many there may be.
        max: usize,
    },
    /// Nothing cannot be moved.
    #[error("an amount must be more than nothing")]
    AmountNotPositive,
    /// An account appears in two legs.
    #[error("account {account_id} appears in more than one leg")]
    SameAccount {
        /// Which one.
        account_id: AccountId,
    },
    /// Debits and credits differ in a currency.
    #[error("debits of {debits} and credits of {credits} {currency} do not balance")]
    UnbalancedLegs {
        /// In which currency.
        currency: Currency,
        /// All debits in it.
        debits: Balance,
        /// All credits in it.
        credits: Balance,
    },
    /// A hold that ends at once, or too late.
    #[error("a hold lasts 1 to {max} seconds, not {seconds}")]
    HoldDuration {
        /// What was asked for.
        seconds: u64,
        /// What is possible.
        max: u64,
    },
    /// A limit that the currency cannot express.
    #[error("a limit does not fit: {0}")]
    LimitMalformed(MoneyError),
    /// A new account would be outside its own limits.
    #[error("a new account is empty, so its limits must admit nothing")]
    LimitsExcludeZero,

    // Identifiers.
    /// The account's identifier is in use.
    #[error("an account with id {account_id} exists")]
    AccountExists {
        /// Which one.
        account_id: AccountId,
    },
    /// The transfer's identifier is in use.
    #[error("a transfer with id {transfer_id} exists")]
    TransferExists {
        /// Which one.
        transfer_id: TransferId,
    },
    /// There is no such transfer.
    #[error("there is no transfer {transfer_id}")]
    TransferNotFound {
        /// Which one.
        transfer_id: TransferId,
    },

    // What the transfer is.
    /// The transfer was posted at once or reverses another.
    #[error("transfer {transfer_id} is not a hold")]
    NotAHold {
        /// Which one.
        transfer_id: TransferId,
    },
    /// The hold was posted before.
    #[error("hold {transfer_id} was posted already")]
    HoldAlreadyPosted {
        /// Which one.
        transfer_id: TransferId,
    },
    /// The hold was voided before.
    #[error("hold {transfer_id} was voided already")]
    HoldAlreadyVoided {
        /// Which one.
        transfer_id: TransferId,
    },
    /// The hold is recorded as expired.
    #[error("hold {transfer_id} expired already")]
    HoldAlreadyExpired {
        /// Which one.
        transfer_id: TransferId,
    },
    /// The hold's time is over, though not yet recorded as such.
    #[error("hold {transfer_id} expired at {}", text(*expired_at))]
    HoldExpired {
        /// Which one.
        transfer_id: TransferId,
        /// When.
        expired_at: DateTime<Utc>,
    },
    /// Only a posted transfer that is not a reversal itself can be reversed.
    #[error("transfer {transfer_id} is {state} and cannot be reversed")]
    NotReversible {
        /// Which one.
        transfer_id: TransferId,
        /// What it is.
        state: &'static str,
    },
    /// Nothing of it is left to reverse.
    #[error("transfer {transfer_id} is wholly reversed")]
    AlreadyReversed {
        /// Which one.
        transfer_id: TransferId,
    },
    /// It was reversed in so many parts that one more would make its history too long to judge quickly.
    #[error("transfer {transfer_id} was reversed in {max} parts, and takes no more")]
    TooManyReversals {
        /// Which one.
        transfer_id: TransferId,
        /// How many parts there may be.
        max: i64,
    },
    /// A part of several currencies is not a figure.
    #[error("a transfer of several currencies is posted or reversed as a whole")]
    PartOfCurrencies {
        /// Which transfer.
        transfer_id: TransferId,
    },
    /// The part is in another currency than the whole.
    #[error("the amount is in {given}, the transfer in {expected}")]
    PartCurrency {
        /// The transfer's.
        expected: Currency,
        /// The part's.
        given: Currency,
    },
    /// More than is on hold.
    #[error("{required} exceeds the {available} on hold")]
    CaptureExceedsHold {
        /// What was asked for.
        required: Money,
        /// What is on hold.
        available: Balance,
    },
    /// More than is left to reverse.
    #[error("{required} exceeds the {available} left to reverse")]
    ReversalExceedsTransfer {
        /// What was asked for.
        required: Money,
        /// What is left.
        available: Balance,
    },

    // Times.
    /// A moment before there were books.
    #[error("{} is before {}, the earliest moment of a book", text(*moment), text(*earliest))]
    TooEarly {
        /// When.
        moment: DateTime<Utc>,
        /// The first moment that is possible.
        earliest: DateTime<Utc>,
    },
    /// It would become effective later than now.
    #[error("effective_at {} is in the future", text(*effective_at))]
    EffectiveInFuture {
        /// When.
        effective_at: DateTime<Utc>,
    },
    /// It would become effective in a closed period.
    #[error("effective_at {} is in a period closed through {}", text(*effective_at), text(*closed_through))]
    PeriodClosed {
        /// When.
        effective_at: DateTime<Utc>,
        /// Up to when nothing can.
        closed_through: DateTime<Utc>,
    },
    /// Only the past can be closed.
    #[error("a period can be closed only when it is over; {} is not", text(*through))]
    PeriodNotOver {
        /// Up to when it should be closed.
        through: DateTime<Utc>,
    },
    /// Closed periods stay closed.
    #[error("the book is closed through {} already", text(*closed_through))]
    PeriodClosedLater {
        /// Up to when.
        closed_through: DateTime<Utc>,
    },

    // The accounts as they stand: all of these for one leg, then the next leg.
    /// There is no such account.
    #[error("there is no account {account_id}")]
    AccountNotFound {
        /// Which one.
        account_id: AccountId,
    },
    /// The account is closed for good.
    #[error("account {account_id} is closed")]
    AccountClosed {
        /// Which one.
        account_id: AccountId,
    },
    /// The leg is in another currency than its account.
    #[error("account {account_id} is in {expected}, its leg in {given}")]
    CurrencyMismatch {
        /// Which account.
        account_id: AccountId,
        /// The account's.
        expected: Currency,
        /// The leg's.
        given: Currency,
    },
    /// The account takes nothing on this side.
    #[error("account {account_id} is frozen on this side")]
    AccountFrozen {
        /// Which one.
        account_id: AccountId,
    },
    /// Money is on the account or on hold there.
    #[error("account {account_id} is not empty")]
    AccountNotEmpty {
        /// Which one.
        account_id: AccountId,
        /// Its posted balance.
        balance: Balance,
        /// Debits on hold.
        debits_pending: Balance,
        /// Credits on hold.
        credits_pending: Balance,
        /// Its currency.
        currency: Currency,
    },

    // The figures: all of these for one leg, then the next leg.
    /// A figure would leave the range of balances.
    #[error("account {account_id} cannot count so much")]
    BalanceOverflow {
        /// Which one.
        account_id: AccountId,
    },
    /// It would fall below its lower limit, counting what is on hold.
    #[error("account {account_id} has {available} available, not {required}")]
    InsufficientFunds {
        /// Which one.
        account_id: AccountId,
        /// What was asked for.
        required: Money,
        /// What can go before the limit is reached.
        available: Balance,
    },
    /// It would rise above its upper limit, counting what is on hold.
    #[error("account {account_id} has room for {available}, not {required}")]
    LimitExceeded {
        /// Which one.
        account_id: AccountId,
        /// What was asked for.
        required: Money,
        /// What can come before the limit is reached.
        available: Balance,
    },
}

fn text(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

impl DomainError for LedgerError {
    fn code(&self) -> &'static str {
        match self {
            Self::LegCount { .. } => "ledger.leg-count",
            Self::AmountNotPositive => "ledger.amount-not-positive",
            Self::SameAccount { .. } => "ledger.same-account",
            Self::UnbalancedLegs { .. } => "ledger.unbalanced-legs",
            Self::HoldDuration { .. } => "ledger.hold-duration",
            Self::LimitMalformed(error) => error.code(),
            Self::LimitsExcludeZero => "ledger.limits-exclude-zero",
            Self::AccountExists { .. } => "ledger.account-exists",
            Self::TransferExists { .. } => "ledger.transfer-exists",
            Self::TransferNotFound { .. } => "ledger.transfer-not-found",
            Self::NotAHold { .. } => "ledger.not-a-hold",
            Self::HoldAlreadyPosted { .. } => "ledger.hold-already-posted",
            Self::HoldAlreadyVoided { .. } => "ledger.hold-already-voided",
            Self::HoldAlreadyExpired { .. } => "ledger.hold-already-expired",
            Self::HoldExpired { .. } => "ledger.hold-expired",
            Self::NotReversible { .. } => "ledger.not-reversible",
            Self::AlreadyReversed { .. } => "ledger.already-reversed",
            Self::TooManyReversals { .. } => "ledger.too-many-reversals",
            Self::PartOfCurrencies { .. } => "ledger.part-of-currencies",
            Self::CaptureExceedsHold { .. } => "ledger.capture-exceeds-hold",
            Self::ReversalExceedsTransfer { .. } => "ledger.reversal-exceeds-transfer",
            Self::TooEarly { .. } => "ledger.too-early",
            Self::EffectiveInFuture { .. } => "ledger.effective-in-future",
            Self::PeriodClosed { .. } => "ledger.period-closed",
            Self::PeriodNotOver { .. } => "ledger.period-not-over",
            Self::PeriodClosedLater { .. } => "ledger.period-closed-later",
            Self::AccountNotFound { .. } => "ledger.account-not-found",
            Self::AccountClosed { .. } => "ledger.account-closed",
            Self::PartCurrency { .. } | Self::CurrencyMismatch { .. } => "ledger.currency-mismatch",
            Self::AccountFrozen { .. } => "ledger.account-frozen",
            Self::AccountNotEmpty { .. } => "ledger.account-not-empty",
            Self::BalanceOverflow { .. } => "ledger.balance-overflow",
            Self::InsufficientFunds { .. } => "ledger.insufficient-funds",
            Self::LimitExceeded { .. } => "ledger.limit-exceeded",
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::TransferNotFound { .. } | Self::AccountNotFound { .. } => ErrorKind::NotFound,
            Self::AccountExists { .. }
            | Self::TransferExists { .. }
            | Self::NotAHold { .. }
            | Self::HoldAlreadyPosted { .. }
            | Self::HoldAlreadyVoided { .. }
            | Self::HoldAlreadyExpired { .. }
            | Self::HoldExpired { .. }
            | Self::NotReversible { .. }
            | Self::AlreadyReversed { .. }
            | Self::PeriodClosed { .. }
            | Self::PeriodClosedLater { .. }
            | Self::AccountClosed { .. }
            | Self::AccountFrozen { .. }
            | Self::AccountNotEmpty { .. } => ErrorKind::Conflict,
            Self::LimitMalformed(error) => error.kind(),
            Self::LegCount { .. }
            | Self::AmountNotPositive
            | Self::SameAccount { .. }
            | Self::UnbalancedLegs { .. }
            | Self::HoldDuration { .. }
            | Self::LimitsExcludeZero
            | Self::PartOfCurrencies { .. }
            | Self::PartCurrency { .. }
            | Self::CaptureExceedsHold { .. }
            | Self::ReversalExceedsTransfer { .. }
            | Self::TooManyReversals { .. }
            | Self::TooEarly { .. }
            | Self::EffectiveInFuture { .. }
            | Self::PeriodNotOver { .. }
            | Self::CurrencyMismatch { .. }
            | Self::BalanceOverflow { .. }
            | Self::InsufficientFunds { .. }
            | Self::LimitExceeded { .. } => ErrorKind::Rejected,
        }
    }

    fn details(&self) -> BTreeMap<&'static str, String> {
        self.all_details()
    }
}

#[cfg(test)]
mod tests;
