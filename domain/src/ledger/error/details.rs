//! The figures behind a refusal, by name; amounts in the wire form.

use std::collections::BTreeMap;

use super::{LedgerError, text};
use crate::error::DomainError;
use crate::money::{Balance, Money};

impl LedgerError {
    pub(super) fn all_details(&self) -> BTreeMap<&'static str, String> {
        match self {
            Self::LegCount { legs, min, max } => BTreeMap::from([
                ("legs", legs.to_string()),
                ("legs_min", min.to_string()),
                ("legs_max", max.to_string()),
            ]),
            Self::HoldDuration { seconds, max } => {
                BTreeMap::from([("seconds", seconds.to_string()), ("seconds_max", max.to_string())])
            }
            Self::LimitMalformed(error) => error.details(),
            Self::AmountNotPositive | Self::LimitsExcludeZero => BTreeMap::new(),
            Self::UnbalancedLegs { .. }
            | Self::PartCurrency { .. }
            | Self::CaptureExceedsHold { .. }
            | Self::ReversalExceedsTransfer { .. }
            | Self::CurrencyMismatch { .. }
            | Self::AccountNotEmpty { .. }
            | Self::InsufficientFunds { .. }
            | Self::LimitExceeded { .. } => self.figures(),
            Self::SameAccount { account_id }
            | Self::AccountExists { account_id }
            | Self::AccountNotFound { account_id }
            | Self::AccountClosed { account_id }
            | Self::AccountFrozen { account_id }
            | Self::BalanceOverflow { account_id } => {
                BTreeMap::from([("account_id", account_id.to_string())])
            }
            Self::TransferExists { transfer_id }
            | Self::TransferNotFound { transfer_id }
            | Self::NotAHold { transfer_id }
            | Self::HoldAlreadyPosted { transfer_id }
            | Self::HoldAlreadyVoided { transfer_id }
            | Self::HoldAlreadyExpired { transfer_id }
            | Self::AlreadyReversed { transfer_id }
            | Self::PartOfCurrencies { transfer_id } => {
                BTreeMap::from([("transfer_id", transfer_id.to_string())])
            }
            Self::HoldExpired { transfer_id, expired_at } => {
                BTreeMap::from([("transfer_id", transfer_id.to_string()), ("expired_at", text(*expired_at))])
            }
            Self::NotReversible { transfer_id, state } => {
                BTreeMap::from([("transfer_id", transfer_id.to_string()), ("state", (*state).to_owned())])
            }
            Self::TooManyReversals { transfer_id, max } => {
                BTreeMap::from([("transfer_id", transfer_id.to_string()), ("max", max.to_string())])
            }
            Self::TooEarly { moment, earliest } => {
                BTreeMap::from([("moment", text(*moment)), ("earliest", text(*earliest))])
            }
            Self::EffectiveInFuture { effective_at } => {
                BTreeMap::from([("effective_at", text(*effective_at))])
            }
            Self::PeriodClosed { effective_at, closed_through } => BTreeMap::from([
                ("effective_at", text(*effective_at)),
                ("closed_through", text(*closed_through)),
            ]),
            Self::PeriodNotOver { through } => BTreeMap::from([("through", text(*through))]),
            Self::PeriodClosedLater { closed_through } => {
                BTreeMap::from([("closed_through", text(*closed_through))])
            }
        }
    }

    /// The details of refusals that are about amounts.
    fn figures(&self) -> BTreeMap<&'static str, String> {
        match self {
            Self::UnbalancedLegs { currency, debits, credits } => BTreeMap::from([
                ("currency", currency.to_string()),
                ("debits", debits.to_string()),
                ("credits", credits.to_string()),
            ]),
            Self::PartCurrency { expected, given } => {
                BTreeMap::from([("expected", expected.to_string()), ("given", given.to_string())])
            }
            Self::CurrencyMismatch { account_id, expected, given } => BTreeMap::from([
                ("account_id", account_id.to_string()),
                ("expected", expected.to_string()),
                ("given", given.to_string()),
            ]),
            Self::CaptureExceedsHold { required, available }
            | Self::ReversalExceedsTransfer { required, available } => compared(required, available),
            Self::InsufficientFunds { account_id, required, available }
            | Self::LimitExceeded { account_id, required, available } => {
                let mut details = compared(required, available);
                details.insert("account_id", account_id.to_string());
                details
            }
            Self::AccountNotEmpty { account_id, balance, debits_pending, credits_pending, currency } => {
                BTreeMap::from([
                    ("account_id", account_id.to_string()),
                    ("balance", balance.to_string()),
                    ("debits_pending", debits_pending.to_string()),
                    ("credits_pending", credits_pending.to_string()),
                    ("currency", currency.to_string()),
                ])
            }
            _ => BTreeMap::new(),
        }
    }
}

fn compared(required: &Money, available: &Balance) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("required", required.amount().to_string()),
        ("available", available.to_string()),
        ("currency", required.currency().to_string()),
    ])
}
