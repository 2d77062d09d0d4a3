//! A user's further factors: that there are some, and how many recovery codes are left. Seeds, keys and codes are
//! elsewhere, and nothing made of them is here.

mod decide;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use decide::{
    AddPasskey, CheckPasskey, EnrolTotp, IssueRecoveryCodes, RemoveAllFactors, RemoveFactor,
    ReportPasskeyRegression, UseRecoveryCode,
};

use super::IdentityEvent;
use crate::aggregate::Aggregate;
use crate::event::Event;
use crate::ids::{FactorId, UserId};
use crate::private::Private;
use crate::stream::{Category, StreamId};
use crate::words::Word;

/// The most passkeys of a user.
pub const PASSKEYS_MAX: usize = 10;

/// A user enrolled an authenticator of time-based codes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TotpEnrolled {
    /// Whose.
    pub user_id: UserId,
    /// Which.
    pub factor_id: FactorId,
    /// What the person calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Private>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A user added a passkey.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PasskeyAdded {
    /// Whose.
    pub user_id: UserId,
    /// Which.
    pub factor_id: FactorId,
    /// What the person calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Private>,
    /// Whether a provider alone had vouched for whoever added it: then it shows no more than that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub vouched: bool,
    /// When.
    pub at: DateTime<Utc>,
}

/// A factor is good no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FactorRemoved {
    /// Whose.
    pub user_id: UserId,
    /// Which.
    pub factor_id: FactorId,
    /// Why, such as `asked`, `administrator`.
    pub because: Word,
    /// When.
    pub at: DateTime<Utc>,
}

/// A passkey counted backwards: there may be a copy of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PasskeyRegressed {
    /// Whose.
    pub user_id: UserId,
    /// Which.
    pub factor_id: FactorId,
    /// When.
    pub at: DateTime<Utc>,
}

/// A user got new recovery codes; those before are good no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryCodesIssued {
    /// Whose.
    pub user_id: UserId,
    /// How many.
    pub left: u16,
    /// When.
    pub at: DateTime<Utc>,
}

/// A user used a recovery code, which is good no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryCodeUsed {
    /// Whose.
    pub user_id: UserId,
    /// How many are left.
    pub left: u16,
    /// When.
    pub at: DateTime<Utc>,
}

/// What is known of a user's further factors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Factors {
    /// The authenticator of time-based codes, if there is one.
    pub totp: Option<FactorId>,
    /// The passkeys, in the order in which they were added.
    pub passkeys: Vec<FactorId>,
    /// Those of them that were added on the word of a provider alone.
    pub vouched: Vec<FactorId>,
    /// How many recovery codes are left.
    pub codes_left: u16,
}

/// The stream of a user's factors.
#[must_use]
pub const fn stream(user: UserId) -> StreamId {
    StreamId::new(Factors::CATEGORY, user.uuid())
}

impl Factors {
    /// Whether a password alone lets the user in no more: a code of their authenticator goes with it. A passkey goes with
    /// nothing; it is another way in.
    #[must_use]
    pub const fn password_needs_code(&self) -> bool {
        self.totp.is_some()
    }

    /// Whether there is any, without which nobody changes how the user signs in.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.totp.is_some() || !self.passkeys.is_empty()
    }
}

impl Aggregate for Factors {
    const CATEGORY: Category = Category { code: 23, name: "identity.factors" };

    fn evolve(&mut self, _id: Uuid, event: &Event) {
        let Event::Identity(event) = event else { return };
        match event {
            IdentityEvent::TotpEnrolled(it) => self.totp = Some(it.factor_id),
            IdentityEvent::TotpRemoved(_) => {
                self.totp = None;
                self.codes_left = 0;
            }
            IdentityEvent::PasskeyAdded(it) => {
                self.passkeys.push(it.factor_id);
                self.vouched.extend(it.vouched.then_some(it.factor_id));
            }
            IdentityEvent::PasskeyRemoved(it) => {
                self.passkeys.retain(|known| *known != it.factor_id);
                self.vouched.retain(|known| *known != it.factor_id);
            }
            IdentityEvent::RecoveryCodesIssued(it) => self.codes_left = it.left,
            IdentityEvent::RecoveryCodeUsed(it) => self.codes_left = it.left,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
