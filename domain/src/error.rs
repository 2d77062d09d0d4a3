//! How the domain says no. A refusal is an answer, not a fault: it has a stable code, a kind and its figures.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What sort of "no" a refusal is. The edges map it to a transport status in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The request itself makes no sense, whatever the state.
    Invalid,
    /// What the request names does not exist for this caller.
    NotFound,
    /// The state it was judged on does not allow it.
    Conflict,
    /// A rule forbids it, however often it is tried on this state.
    Rejected,
    /// Who asks is not, or is no longer, known as somebody who may ask anything.
    Unauthenticated,
    /// Who asks is known, and may not do this.
    Forbidden,
}

/// One row of the reference of refusals: what a code means, whenever it is given, and what to do then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeDoc {
    /// See [`DomainError::code`].
    pub code: &'static str,
    /// See [`DomainError::kind`].
    pub kind: ErrorKind,
    /// What it means, as a fragment without full stop.
    pub title: &'static str,
    /// What a client should do, likewise.
    pub hint: &'static str,
}

impl CodeDoc {
    /// The kind first, so that a table reads in columns.
    #[must_use]
    pub const fn new(kind: ErrorKind, code: &'static str, title: &'static str, hint: &'static str) -> Self {
        Self { code, kind, title, hint }
    }
}

/// A typed refusal of one context.
pub trait DomainError: std::error::Error {
    /// `context.what-went-wrong`: unique, never renamed, never used again for something else.
    fn code(&self) -> &'static str;
    /// The sort of refusal.
    fn kind(&self) -> ErrorKind;
    /// The figures behind it, by name; amounts in the wire form.
    fn details(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::new()
    }
}

/// A refusal with its type erased, as it is stored beside an idempotency key and given to a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// See [`DomainError::code`].
    pub code: Cow<'static, str>,
    /// See [`DomainError::kind`].
    pub kind: ErrorKind,
    /// One sentence fragment for a person.
    pub message: String,
    /// See [`DomainError::details`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<Cow<'static, str>, String>,
}

impl<E: DomainError> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self {
            code: Cow::Borrowed(error.code()),
            kind: error.kind(),
            message: error.to_string(),
            details: error.details().into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect(),
        }
    }
}

/// How a parse error travels inside a serde error: the edge finds the code in the leading brackets and the kind in
/// the `PARSE_CODES` table of the module that raised it.
pub(crate) fn coded(error: &impl DomainError) -> String {
    format!("[{}] {error}", error.code())
}
