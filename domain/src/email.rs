//! Addresses as claims know them.

use std::fmt;

use crate::decision::Claim;
use crate::error::Refusal;

/// A normalised address as the claims know it: HMAC-SHA-256 with the organisation's index key, made at the edge. It is
/// never in an event: there it could not be forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EmailHash([u8; 32]);

impl EmailHash {
    /// Wraps what the edge computed.
    #[must_use]
    pub const fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The value of its claim: 64 hexadecimal digits.
    #[must_use]
    pub fn claim_value(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn take(self, scope: &str, taken: impl Into<Refusal>) -> Claim {
        Claim::Take { scope: scope.to_owned(), value: self.claim_value(), taken: taken.into() }
    }

    pub(crate) fn release(self, scope: &str) -> Claim {
        Claim::Release { scope: scope.to_owned(), value: self.claim_value() }
    }
}

impl fmt::Debug for EmailHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailHash(..)")
    }
}
