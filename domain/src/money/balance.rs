//! Signed figures: balances, totals, limits. Their currency is known to whoever holds them.

use std::borrow::Cow;
use std::fmt;

use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::amount::{AmountText, digits};
use super::{Currency, Money, MoneyError};
use crate::error::coded;

const WHOLE_DIGITS_MAX: usize = 23;
const FRACTION_DIGITS_MAX: usize = 4;

/// A signed figure of one currency, which its owner knows. On the wire it is text, such as `"-12.30"`.
///
/// Invariant: at most 10^22 either way with at most four fraction digits, so a sum of two is exact in 28 digits and
/// fits into NUMERIC(38,4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Balance(Decimal);

impl Balance {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// The largest figure, either way: 10^22.
    pub const MAX: Decimal = Decimal::from_parts(2_990_538_752, 434_162_106, 542, false, 0);

    /// Reads the wire form.
    ///
    /// # Errors
    /// [`MoneyError::Malformed`] or [`MoneyError::OutOfRange`].
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let (whole, fraction) =
            digits(text.strip_prefix('-').unwrap_or(text)).ok_or(MoneyError::Malformed)?;
        if fraction.len() > FRACTION_DIGITS_MAX {
            return Err(MoneyError::Malformed);
        }
        if whole.len() > WHOLE_DIGITS_MAX {
            return Err(MoneyError::OutOfRange);
        }
        Self::checked(Decimal::from_str_exact(text).map_err(|_| MoneyError::OutOfRange)?)
    }

    /// Takes a figure that was computed or stored.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] beyond 10^22 or with more than four fraction digits.
    pub fn checked(mut figure: Decimal) -> Result<Self, MoneyError> {
        if figure.abs() > Self::MAX || figure.scale() as usize > FRACTION_DIGITS_MAX {
            return Err(MoneyError::OutOfRange);
        }
        if figure.is_zero() {
            figure.set_sign_positive(true);
        }
        Ok(Self(figure))
    }

    /// Nothing, with the digits of `currency`.
    #[must_use]
    pub fn zero(currency: Currency) -> Self {
        Self(Decimal::new(0, currency.exponent()))
    }

    /// The figure.
    #[must_use]
    pub const fn decimal(self) -> Decimal {
        self.0
    }

    /// The same figure with exactly the digits of `currency`.
    ///
    /// # Errors
    /// [`MoneyError::Precision`] if it has more.
    pub fn in_currency(self, currency: Currency) -> Result<Self, MoneyError> {
        if self.0.scale() > currency.exponent() {
            return Err(MoneyError::Precision { digits: self.0.scale() as usize, currency });
        }
        let mut figure = self.0;
        figure.rescale(currency.exponent());
        Ok(Self(figure))
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        Self::checked(self.0 + other.0)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        Self::checked(self.0 - other.0)
    }
}

impl From<Money> for Balance {
    fn from(money: Money) -> Self {
        Self(money.amount())
    }
}

impl fmt::Debug for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Balance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Balance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = AmountText::deserialize(deserializer)?;
        Self::parse(&text.0).map_err(|error| de::Error::custom(coded(&error)))
    }
}

const PATTERN: &str = r"^-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,4})?$";

impl JsonSchema for Balance {
    fn schema_name() -> Cow<'static, str> {
        "Balance".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::Balance").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN })
    }
}

/// A bound of a balance; JSON `null` is "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// No bound on this side.
    Unbounded,
    /// Up to and including this figure.
    At(Balance),
}

impl Limit {
    /// The lower bound of an account that says nothing else: it may be emptied and no more.
    pub const ZERO: Self = Self::At(Balance::ZERO);

    /// For serde's `default`.
    #[must_use]
    pub fn zero() -> Self {
        Self::ZERO
    }

    /// For serde's `default`.
    #[must_use]
    pub fn unbounded() -> Self {
        Self::Unbounded
    }

    /// For serde's `skip_serializing_if`.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// For serde's `skip_serializing_if`.
    #[must_use]
    pub fn is_unbounded(&self) -> bool {
        *self == Self::Unbounded
    }

    /// The same bound with exactly the digits of `currency`.
    ///
    /// # Errors
    /// [`MoneyError::Precision`] if it has more.
    pub fn in_currency(self, currency: Currency) -> Result<Self, MoneyError> {
        match self {
            Self::Unbounded => Ok(Self::Unbounded),
            Self::At(figure) => figure.in_currency(currency).map(Self::At),
        }
    }

    /// The figure, if there is one.
    #[must_use]
    pub fn figure(self) -> Option<Balance> {
        match self {
            Self::Unbounded => None,
            Self::At(figure) => Some(figure),
        }
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.figure().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Balance>::deserialize(deserializer)?.map_or(Self::Unbounded, Self::At))
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::Limit").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "null"], "pattern": PATTERN, "description": "null is no bound" })
    }
}
