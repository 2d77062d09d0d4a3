//! Personal data that can be erased.
//!
//! It cannot be serialized, so it cannot reach the log or an answer in the clear by accident: the log seals it with its
//! subject's key, and a read after the key's deletion gives [`Private::Erased`].

use std::fmt;

use uuid::Uuid;

/// A value about a person, or the place where it was.
#[derive(Clone, PartialEq, Eq)]
pub enum Private<T> {
    /// It is known here and now.
    Plain {
        /// The person it is about.
        subject: Uuid,
        /// What is known.
        value: T,
    },
    /// The person's key is gone, and with it the value.
    Erased {
        /// The person it was about.
        subject: Uuid,
    },
}

impl<T> Private<T> {
    /// Marks `value` as being about `subject`.
    pub const fn new(subject: Uuid, value: T) -> Self {
        Self::Plain { subject, value }
    }

    /// The person it is or was about.
    pub const fn subject(&self) -> Uuid {
        match self {
            Self::Plain { subject, .. } | Self::Erased { subject } => *subject,
        }
    }

    /// The value, unless it was erased. The one way to it: a search for this name finds every use.
    pub const fn reveal(&self) -> Option<&T> {
        match self {
            Self::Plain { value, .. } => Some(value),
            Self::Erased { .. } => None,
        }
    }
}

impl<T> fmt::Debug for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Plain { .. } => "redacted",
            Self::Erased { .. } => "erased",
        };
        write!(f, "Private({what} of {})", self.subject())
    }
}

#[cfg(test)]
mod tests;
