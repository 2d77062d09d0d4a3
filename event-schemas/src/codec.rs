//! Events to stored text and back.

use domain::Event;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::catalog;
use crate::upcast::{self, Unlifted};

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// `context.noun-verbed`.
    pub event_type: &'static str,
    /// The version of the payload's shape.
    pub schema_version: i16,
    /// JSON text, kept to the letter: it is what the leaf hashes.
    pub payload: String,
}

/// An event that cannot be stored: a defect of the build, never of a request.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Serialisation failed.
    #[error("event cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The type is missing from the catalogue.
    #[error("event type {0} is not in the catalogue")]
    Unlisted(String),
}

/// A stored event that this build cannot read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A newer build wrote it: hold it, do not skip it.
    #[error("event {event_type} v{schema_version} was written by a newer build")]
    Newer {
        /// Its type.
        event_type: String,
        /// Its version.
        schema_version: i16,
    },
    /// The text is not what its type and version promise.
    #[error("payload of {event_type} v{schema_version} does not fit its schema")]
    Malformed {
        /// Its type.
        event_type: String,
        /// Its version.
        schema_version: i16,
        /// What serde said.
        #[source]
        source: serde_json::Error,
    },
}

impl DecodeError {
    /// Whether a later build could read it.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::Newer { .. })
    }
}

/// The adjacently tagged form of every context's enum; both fields in the order in which they are written.
#[derive(Serialize, serde::Deserialize)]
struct Tagged<'a> {
    event: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// Writes an event in the form of today's build.
///
/// # Errors
/// If the type is not in the catalogue or does not serialise.
pub fn encode(event: &Event) -> Result<Encoded, EncodeError> {
    let text = serde_json::to_string(event)?;
    let tagged: Tagged<'_> = serde_json::from_str(&text)?;
    let entry =
        catalog::event_type(tagged.event).ok_or_else(|| EncodeError::Unlisted(tagged.event.to_owned()))?;
    Ok(Encoded {
        event_type: entry.name,
        schema_version: upcast::current(entry.name),
        payload: tagged.payload.get().to_owned(),
    })
}

/// Reads a stored event of any version, lifted to the form of today's build.
///
/// # Errors
/// [`DecodeError::Newer`] if the type or version is unknown, [`DecodeError::Malformed`] if the text does not fit.
pub fn decode(event_type: &str, schema_version: i16, payload: &str) -> Result<Event, DecodeError> {
    let newer = || DecodeError::Newer { event_type: event_type.to_owned(), schema_version };
    let malformed =
        |source| DecodeError::Malformed { event_type: event_type.to_owned(), schema_version, source };
    let entry = catalog::event_type(event_type).ok_or_else(newer)?;
    let raised = upcast::PRODUCT.raise(entry.name, schema_version, payload).map_err(|error| match error {
        Unlifted::Newer => newer(),
        Unlifted::Json(source) => malformed(source),
    })?;
    (entry.decode)(&tagged(event_type, &raised)).map_err(malformed)
}

fn tagged(event_type: &str, payload: &str) -> String {
    // The type is one of the catalogue's names, which need no escaping.
    format!(r#"{{"event":"{event_type}","payload":{payload}}}"#)
}
