//! Personal data that can be erased.
//!
//! Text in the clear cannot be serialized, so it cannot reach the log or an answer by accident: the store seals it with
//! its subject's key when it writes the event, and a read after the key's deletion gives [`Private::Erased`]. Rules
//! never depend on what is private: an aggregate's state holds none of it, so that an erasure changes no decision.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Deserializer;
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Text about a person, or the place where it was.
#[derive(Clone, PartialEq, Eq)]
pub enum Private {
    /// It is known here and now.
    Plain {
        /// The person it is about.
        subject: Uuid,
        /// What is known.
        value: String,
    },
    /// It is there for whoever has the person's key: the form in which it is stored.
    Sealed(Sealed),
    /// The person's key is gone, and with it the text.
    Erased {
        /// The person it was about.
        subject: Uuid,
    },
}

/// The ciphertext of a private text, bound to its place in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The person whose key opens it.
    pub subject: Uuid,
    /// Which of the person's keys, counted from 1.
    pub key: u32,
    /// The nonce of AES-256-GCM, 12 bytes in base64.
    pub nonce: String,
    /// Ciphertext and tag, in base64.
    pub data: String,
}

/// How a sealed text is written: an object with one member, which nothing else in an event has.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(rename = "$private")]
    private: Cow<'a, Sealed>,
}

impl Private {
    /// Marks `value` as being about `subject`.
    pub fn new(subject: Uuid, value: impl Into<String>) -> Self {
        Self::Plain { subject, value: value.into() }
    }

    /// The person it is or was about.
    #[must_use]
    pub const fn subject(&self) -> Uuid {
        match self {
            Self::Plain { subject, .. } | Self::Erased { subject } => *subject,
            Self::Sealed(sealed) => sealed.subject,
        }
    }

    /// The text, if it is in the clear here. The one way to it: a search for this name finds every use.
    #[must_use]
    pub fn reveal(&self) -> Option<&str> {
        match self {
            Self::Plain { value, .. } => Some(value),
            Self::Sealed(_) | Self::Erased { .. } => None,
        }
    }
}

impl Serialize for Private {
    /// Only the sealed form has one.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Sealed(sealed) => Envelope { private: Cow::Borrowed(sealed) }.serialize(serializer),
            Self::Plain { .. } => Err(S::Error::custom("a private text must be sealed before it is written")),
            Self::Erased { .. } => Err(S::Error::custom("an erased text cannot be written again")),
        }
    }
}

impl<'de> Deserialize<'de> for Private {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Envelope::deserialize(deserializer).map(|it| Self::Sealed(it.private.into_owned()))
    }
}

impl JsonSchema for Private {
    fn schema_name() -> Cow<'static, str> {
        "Private".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Envelope::json_schema(generator);
        schema.insert("description".to_owned(), "Personal data, sealed with the key of its subject.".into());
        schema.insert("x-private".to_owned(), true.into());
        schema
    }
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Plain { .. } => "redacted",
            Self::Sealed(_) => "sealed",
            Self::Erased { .. } => "erased",
        };
        write!(f, "Private({what} of {})", self.subject())
    }
}

#[cfg(test)]
mod tests;
