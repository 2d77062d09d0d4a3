//! Currencies of ISO 4217 and their minor units.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::MoneyError;
use crate::error::coded;

/// Withdrawn from ISO 4217 before this product's first event; the table behind us still lists them. A currency that
/// is withdrawn later is never added here: recorded amounts must stay readable.
const WITHDRAWN: [&str; 5] = ["BGN", "CUC", "HRK", "SLL", "ZWL"];

/// A currency with minor units. Metals, test codes and other entries without them are not money here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    iso: iso_currency::Currency,
    exponent: u8,
}

impl Currency {
    /// Finds the currency with this three-letter code in capitals.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyUnknown`].
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        if WITHDRAWN.contains(&code) {
            return Err(MoneyError::CurrencyUnknown);
        }
        let iso = iso_currency::Currency::from_code(code).ok_or(MoneyError::CurrencyUnknown)?;
        let exponent =
            iso.exponent().and_then(|it| u8::try_from(it).ok()).ok_or(MoneyError::CurrencyUnknown)?;
        Ok(Self { iso, exponent })
    }

    /// How many digits an amount has after the point: 0 to 4.
    #[must_use]
    pub fn exponent(self) -> u32 {
        u32::from(self.exponent)
    }

    /// Its three letters.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.iso.code()
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        Self::parse(code)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&code).map_err(|error| de::Error::custom(coded(&error)))
    }
}

impl JsonSchema for Currency {
    fn schema_name() -> Cow<'static, str> {
        "Currency".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::Currency").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[A-Z]{3}$",
            "description": "ISO 4217 code of a currency with minor units",
        })
    }
}
