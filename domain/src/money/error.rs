//! How money says no.

use std::collections::BTreeMap;

use super::Currency;
use crate::error::{CodeDoc, DomainError, ErrorKind};

const MALFORMED: &str = "money.amount-malformed";
const MUST_BE_STRING: &str = "money.amount-must-be-string";
const PRECISION: &str = "money.amount-precision";
const OUT_OF_RANGE: &str = "money.amount-out-of-range";
const CURRENCY_UNKNOWN: &str = "money.currency-unknown";

/// The codes that can stand in brackets at the head of a serde error, and their kinds.
pub const PARSE_CODES: &[(&str, ErrorKind)] = &[
    (MALFORMED, ErrorKind::Invalid),
    (MUST_BE_STRING, ErrorKind::Invalid),
    (PRECISION, ErrorKind::Rejected),
    (OUT_OF_RANGE, ErrorKind::Rejected),
    (CURRENCY_UNKNOWN, ErrorKind::Rejected),
];

const CURRENCY_MISMATCH: &str = "money.currency-mismatch";
const CANNOT_SPLIT: &str = "money.cannot-split";

/// The reference of this context's refusals.
pub const CODES: &[CodeDoc] = &[
    CodeDoc::new(
        ErrorKind::Invalid,
        MUST_BE_STRING,
        "an amount is not a text",
        "send amounts as strings, such as \"12.34\": JSON numbers lose digits",
    ),
    CodeDoc::new(
        ErrorKind::Invalid,
        MALFORMED,
        "an amount is not written as digits",
        "send digits without sign, spaces or leading zeros, and at most one point",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        PRECISION,
        "an amount has more fraction digits than its currency",
        "round it yourself: nothing is ever rounded here",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        OUT_OF_RANGE,
        "an amount is larger than can be counted",
        "send at most 15 digits before the point, and no more than a balance can hold",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        CURRENCY_UNKNOWN,
        "a currency is not in use",
        "send a three-letter code of ISO 4217 in capitals, of a currency with minor units",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        CURRENCY_MISMATCH,
        "two currencies meet in one operation",
        "convert with a transfer of four legs, two in each currency",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        CANNOT_SPLIT,
        "an amount cannot be divided in this way",
        "give weights of zero or more, at least one of them positive",
    ),
];

/// Parsing checks in the order of the variants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// A JSON number or anything else that is not text: numbers lose digits on their way.
    #[error("an amount is a string of digits, such as \"12.34\"")]
    MustBeString,
    /// Not `0`, or digits without leading zeros, with an optional fraction.
    #[error("an amount has digits and at most one point, such as 12.34")]
    Malformed,
    /// More digits after the point than the currency has.
    #[error("amount has {digits} fraction digits; {currency} takes {}", currency.exponent())]
    Precision {
        /// How many there are.
        digits: usize,
        /// Whose amount it is.
        currency: Currency,
    },
    /// Above what an amount or a balance can be.
    #[error("amount is out of range")]
    OutOfRange,
    /// Not a code of ISO 4217 with minor units.
    #[error("currency is not an ISO 4217 code of a currency in use")]
    CurrencyUnknown,
    /// Two currencies in one operation.
    #[error("{left} and {right} cannot be combined")]
    CurrencyMismatch {
        /// The one.
        left: Currency,
        /// The other.
        right: Currency,
    },
    /// No weight is positive, one is negative, or they are too precise to be counted.
    #[error("weights to split by must be zero or more, and one of them positive")]
    CannotSplit,
}

impl DomainError for MoneyError {
    fn code(&self) -> &'static str {
        match self {
            Self::MustBeString => MUST_BE_STRING,
            Self::Malformed => MALFORMED,
            Self::Precision { .. } => PRECISION,
            Self::OutOfRange => OUT_OF_RANGE,
            Self::CurrencyUnknown => CURRENCY_UNKNOWN,
            Self::CurrencyMismatch { .. } => CURRENCY_MISMATCH,
            Self::CannotSplit => CANNOT_SPLIT,
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::MustBeString | Self::Malformed => ErrorKind::Invalid,
            Self::Precision { .. }
            | Self::OutOfRange
            | Self::CurrencyUnknown
            | Self::CurrencyMismatch { .. }
            | Self::CannotSplit => ErrorKind::Rejected,
        }
    }

    fn details(&self) -> BTreeMap<&'static str, String> {
        match self {
            Self::Precision { digits, currency } => BTreeMap::from([
                ("fraction_digits", digits.to_string()),
                ("fraction_digits_max", currency.exponent().to_string()),
                ("currency", currency.to_string()),
            ]),
            Self::CurrencyMismatch { left, right } => {
                BTreeMap::from([("left", left.to_string()), ("right", right.to_string())])
            }
            Self::MustBeString
            | Self::Malformed
            | Self::OutOfRange
            | Self::CurrencyUnknown
            | Self::CannotSplit => BTreeMap::new(),
        }
    }
}
