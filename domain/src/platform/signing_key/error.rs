//! How signing keys say no, and the reference of it.

use chrono::{DateTime, Utc};

use crate::error::{CodeDoc, DomainError, ErrorKind};

/// Checked in this order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// The identifier is in use.
    #[error("this signing key was announced already")]
    Exists,
    /// There is none.
    #[error("there is no such signing key")]
    NotFound,
    /// It cannot go from where it is to where it should.
    #[error("the signing key is {state}")]
    State {
        /// How it stands.
        state: &'static str,
    },
    /// Others may not know it yet.
    #[error("the signing key signs from {use_from} on")]
    TooEarly {
        /// From when on it may sign.
        use_from: DateTime<Utc>,
    },
    /// Tokens that it signed are alive.
    #[error("what the signing key signed is believed until {believe_until}")]
    StillBelieved {
        /// Until when.
        believe_until: DateTime<Utc>,
    },
    /// One is enough.
    #[error("another signing key is announced")]
    OtherAnnounced,
    /// One is enough.
    #[error("another signing key is active")]
    OtherActive,
}

/// The reference of this aggregate's refusals.
pub const CODES: &[CodeDoc] = &[
    CodeDoc::new(
        ErrorKind::Invalid,
        "platform.signing-key-malformed",
        "a text names no signing key",
        "take the name from `quipu keys list`",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "platform.signing-key-exists",
        "the signing key was announced already",
        "make a fresh key for each announcement",
    ),
    CodeDoc::new(
        ErrorKind::NotFound,
        "platform.signing-key-not-found",
        "there is no such signing key",
        "take the name from `quipu keys list`",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "platform.signing-key-in-other-state",
        "the signing key stands in a way in which this cannot be done",
        "look at `quipu keys list`; a key is announced, then active, then retired, then removed",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "platform.signing-key-too-early",
        "the signing key was announced a moment ago, and others may not know it yet",
        "wait until the moment that the refusal names",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "platform.signing-key-still-believed",
        "tokens that the signing key signed may be alive",
        "wait until the moment that the refusal names, or remove the key for another reason",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "platform.signing-key-other-announced",
        "another signing key is announced",
        "wait until it is active, or remove it",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "platform.signing-key-other-active",
        "another signing key is active",
        "retire it in the same unit, before the new one",
    ),
];

impl DomainError for SigningKeyError {
    fn code(&self) -> &'static str {
        match self {
            Self::Exists => "platform.signing-key-exists",
            Self::NotFound => "platform.signing-key-not-found",
            Self::State { .. } => "platform.signing-key-in-other-state",
            Self::TooEarly { .. } => "platform.signing-key-too-early",
            Self::StillBelieved { .. } => "platform.signing-key-still-believed",
            Self::OtherAnnounced => "platform.signing-key-other-announced",
            Self::OtherActive => "platform.signing-key-other-active",
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::TooEarly { .. } | Self::StillBelieved { .. } => ErrorKind::Rejected,
            Self::Exists | Self::State { .. } | Self::OtherAnnounced | Self::OtherActive => {
                ErrorKind::Conflict
            }
        }
    }
}
