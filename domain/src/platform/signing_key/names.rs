//! How a key is named, and its public half as text.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{DomainError, ErrorKind, coded};

/// The codes that can stand in brackets at the head of a serde error, and their kinds.
pub const PARSE_CODES: &[(&str, ErrorKind)] = &[("platform.signing-key-malformed", ErrorKind::Invalid)];

/// The most characters of a name.
const NAME_CHARS_MAX: usize = 64;
const KEY_BYTES: usize = 32;

/// A text that names no key, or is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a key has 1 to 64 of A-Z, a-z, 0-9, dash and underscore; a public key has 32 bytes in hexadecimal"
)]
pub struct NameMalformed;

impl DomainError for NameMalformed {
    fn code(&self) -> &'static str {
        "platform.signing-key-malformed"
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// The `kid` of a key: the thumbprint of its public half (RFC 7638), so nobody chooses it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct KeyName(String);

impl KeyName {
    /// Takes the text as it is.
    ///
    /// # Errors
    /// [`NameMalformed`].
    pub fn parse(text: &str) -> Result<Self, NameMalformed> {
        let fits = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
        let good = (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(fits);
        if good { Ok(Self(text.to_owned())) } else { Err(NameMalformed) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyName {
    type Err = NameMalformed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for KeyName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| de::Error::custom(coded(&error)))
    }
}

impl JsonSchema for KeyName {
    fn schema_name() -> Cow<'static, str> {
        "KeyName".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::KeyName").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": NAME_CHARS_MAX })
    }
}

/// The public half of an Ed25519 key (RFC 8032), written in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; KEY_BYTES]);

impl PublicKey {
    /// Wraps the bytes.
    #[must_use]
    pub const fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    fn parse(text: &str) -> Result<Self, NameMalformed> {
        let mut bytes = [0; KEY_BYTES];
        if text.len() != 2 * KEY_BYTES || !text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(NameMalformed);
        }
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            let pair = text.get(at..at + 2).ok_or(NameMalformed)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NameMalformed)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(2 * KEY_BYTES);
        for byte in self.0 {
            write!(text, "{byte:02x}").map_err(serde::ser::Error::custom)?;
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| de::Error::custom(coded(&error)))
    }
}

impl JsonSchema for PublicKey {
    fn schema_name() -> Cow<'static, str> {
        "PublicKey".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::PublicKey").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$", "maxLength": 2 * KEY_BYTES })
    }
}
