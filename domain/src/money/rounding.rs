//! How a figure computed at full precision becomes an amount: once, by a named policy.

use rust_decimal::{Decimal, RoundingStrategy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Currency, Money, MoneyError};

/// What happens to the half of a smallest unit. The name is stored in the event whose figures it made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoundingPolicy {
    /// To the even neighbour, so that errors do not add up.
    #[default]
    HalfEven,
    /// Away from zero, as some tax laws want it.
    HalfUp,
}

impl RoundingPolicy {
    /// Rounds a full-precision figure to the digits of `currency`. Done once a line: a total is the sum of rounded
    /// lines, never a rounded sum.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] if it is negative or too large.
    pub fn round(self, exact: Decimal, currency: Currency) -> Result<Money, MoneyError> {
        let strategy = match self {
            Self::HalfEven => RoundingStrategy::MidpointNearestEven,
            Self::HalfUp => RoundingStrategy::MidpointAwayFromZero,
        };
        Money::exact(exact.round_dp_with_strategy(currency.exponent(), strategy), currency)
    }
}
