//! An amount of money: never negative, always with exactly the digits of its currency.

use std::borrow::Cow;
use std::fmt;

use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Currency, MoneyError};
use crate::error::coded;

/// Digits before the point of a single amount.
const WHOLE_DIGITS_MAX: usize = 15;

/// An amount and its currency.
///
/// Invariant: `amount` is not negative, below 10^15, and its scale is the currency's exponent. There is no order and
/// no sum between two of them except through checked operations, because they may be of different currencies.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    amount: Decimal,
    currency: Currency,
}

impl Money {
    /// Reads the wire form of an amount: `0` or digits without leading zeros, then at most `exponent` fraction digits.
    /// Nothing is ever rounded.
    ///
    /// # Errors
    /// [`MoneyError::Malformed`], [`MoneyError::Precision`] or [`MoneyError::OutOfRange`], in this order.
    pub fn parse(amount: &str, currency: Currency) -> Result<Self, MoneyError> {
        let (whole, fraction) = digits(amount).ok_or(MoneyError::Malformed)?;
        if fraction.len() > currency.exponent() as usize {
            return Err(MoneyError::Precision { digits: fraction.len(), currency });
        }
        if whole.len() > WHOLE_DIGITS_MAX {
            return Err(MoneyError::OutOfRange);
        }
        let mut amount = Decimal::from_str_exact(amount).map_err(|_| MoneyError::OutOfRange)?;
        amount.rescale(currency.exponent());
        Ok(Self { amount, currency })
    }

    /// Nothing, in `currency`.
    #[must_use]
    pub fn zero(currency: Currency) -> Self {
        Self { amount: Decimal::new(0, currency.exponent()), currency }
    }

    /// So many of the smallest unit of `currency`.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`].
    pub fn from_minor(minor: u128, currency: Currency) -> Result<Self, MoneyError> {
        let minor = i128::try_from(minor).map_err(|_| MoneyError::OutOfRange)?;
        let amount = Decimal::try_from_i128_with_scale(minor, currency.exponent())
            .map_err(|_| MoneyError::OutOfRange)?;
        Self::exact(amount, currency)
    }

    /// An amount that already has the digits of its currency, as it comes from SQL or from arithmetic.
    ///
    /// # Errors
    /// [`MoneyError::Precision`] if digits would be lost, [`MoneyError::OutOfRange`] if it is negative or too large.
    pub fn exact(mut amount: Decimal, currency: Currency) -> Result<Self, MoneyError> {
        if amount.is_sign_negative() && !amount.is_zero() {
            return Err(MoneyError::OutOfRange);
        }
        if amount.trunc() >= Decimal::new(1_000_000_000_000_000, 0) {
            return Err(MoneyError::OutOfRange);
        }
        let needed = amount.normalize().scale();
        if needed > currency.exponent() {
            return Err(MoneyError::Precision { digits: needed as usize, currency });
        }
        amount.rescale(currency.exponent());
        amount.set_sign_positive(true);
        Ok(Self { amount, currency })
    }

    /// The figure, with exactly the currency's digits.
    #[must_use]
    pub const fn amount(&self) -> Decimal {
        self.amount
    }

    /// Its currency.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// How many of the smallest unit.
    #[must_use]
    pub fn minor(&self) -> u128 {
        self.amount.mantissa().unsigned_abs()
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.amount.is_zero()
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`] or [`MoneyError::OutOfRange`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        // Both are below 10^15 with the same scale, so the sum is exact.
        Self::exact(self.amount + other.amount, self.currency)
    }

    /// The difference; below zero is out of range.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`] or [`MoneyError::OutOfRange`].
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        Self::exact(self.amount - other.amount, self.currency)
    }

    /// Divides it by `weights` without losing a unit: the parts add up to the whole, and each is within one smallest
    /// unit of its exact share. What is left over goes to the largest remainders, the earlier part first among equals.
    ///
    /// # Errors
    /// [`MoneyError::CannotSplit`].
    pub fn split(&self, weights: &[Decimal]) -> Result<Vec<Self>, MoneyError> {
        let weights = counted(weights).ok_or(MoneyError::CannotSplit)?;
        let parts = shares(self.minor(), &weights).ok_or(MoneyError::CannotSplit)?;
        parts.into_iter().map(|minor| Self::from_minor(minor, self.currency)).collect()
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            return Ok(());
        }
        Err(MoneyError::CurrencyMismatch { left: self.currency, right: other.currency })
    }
}

/// Splits `text` at its point if it follows the grammar of amounts, whatever its length.
pub(super) fn digits(text: &str) -> Option<(&str, &str)> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    let numeric = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = whole.starts_with('0') && whole != "0";
    (!whole.is_empty() && !leading_zero && numeric(whole) && numeric(fraction)).then_some((whole, fraction))
}

/// The weights as whole numbers of one common unit.
fn counted(weights: &[Decimal]) -> Option<Vec<u128>> {
    let scale = weights.iter().map(Decimal::scale).max()?;
    weights
        .iter()
        .map(|weight| {
            let missing = 10_u128.checked_pow(scale - weight.scale())?;
            u128::try_from(weight.mantissa()).ok()?.checked_mul(missing)
        })
        .collect()
}

/// The method of the largest remainder over whole numbers.
fn shares(whole: u128, weights: &[u128]) -> Option<Vec<u128>> {
    let total = weights.iter().try_fold(0_u128, |sum, weight| sum.checked_add(*weight))?;
    let mut parts = Vec::with_capacity(weights.len());
    for (index, weight) in weights.iter().enumerate() {
        let exact = whole.checked_mul(*weight)?;
        parts.push((index, exact.checked_div(total)?, exact.checked_rem(total)?));
    }
    let given: u128 = parts.iter().map(|(_, part, _)| part).sum();
    let left = usize::try_from(whole.checked_sub(given)?).ok()?;
    parts.sort_by(|one, other| other.2.cmp(&one.2).then(one.0.cmp(&other.0)));
    for (_, part, _) in parts.iter_mut().take(left) {
        *part += 1;
    }
    parts.sort_by_key(|(index, _, _)| *index);
    Some(parts.into_iter().map(|(_, part, _)| part).collect())
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    amount: &'a str,
    currency: Currency,
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire { amount: &self.amount.to_string(), currency: self.currency }.serialize(serializer)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    amount: AmountText,
    currency: Currency,
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = Parts::deserialize(deserializer)?;
        Self::parse(&parts.amount.0, parts.currency).map_err(|error| de::Error::custom(coded(&error)))
    }
}

/// Text where an amount is expected; everything else is refused by name.
pub(super) struct AmountText(pub(super) String);

impl<'de> Deserialize<'de> for AmountText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

struct AmountVisitor;

fn not_text<T, E: de::Error>() -> Result<T, E> {
    Err(E::custom(coded(&MoneyError::MustBeString)))
}

impl<'de> de::Visitor<'de> for AmountVisitor {
    type Value = AmountText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount as a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<AmountText, E> {
        Ok(AmountText(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<AmountText, E> {
        Ok(AmountText(text))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<AmountText, E> {
        not_text()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<AmountText, E> {
        not_text()
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<AmountText, E> {
        not_text()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<AmountText, E> {
        not_text()
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<AmountText, E> {
        not_text()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<AmountText, E> {
        not_text()
    }

    fn visit_unit<E: de::Error>(self) -> Result<AmountText, E> {
        not_text()
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<AmountText, A::Error> {
        not_text()
    }

    fn visit_map<A: de::MapAccess<'de>>(self, _: A) -> Result<AmountText, A::Error> {
        not_text()
    }
}

impl JsonSchema for Money {
    fn schema_name() -> Cow<'static, str> {
        "Money".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::Money").into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let currency = generator.subschema_for::<Currency>();
        json_schema!({
            "type": "object",
            "properties": {
                "amount": {
                    "type": "string",
                    "pattern": r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,4})?$",
                    "description": "written with exactly the fraction digits of the currency; read with at most so many",
                    "examples": ["12.34"],
                },
                "currency": currency,
            },
            "required": ["amount", "currency"],
            "additionalProperties": false,
        })
    }
}
