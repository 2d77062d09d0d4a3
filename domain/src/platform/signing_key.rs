//! A key with which access tokens are signed: announced, active, retired, removed. Its private half is never recorded.
//!
//! | state | signs | is believed |
//! |---|---|---|
//! | announced | no | yes, so that everybody has it before it is used |
//! | active | yes | yes |
//! | retired | no | until the last token that it signed has ended |
//! | removed | no | no |
//!
//! One key at most is announced and one is active; claims of the log see to that, however many ask at once. So a new key
//! takes over in one unit: the old one is retired, the new one activated.

mod error;
mod names;

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::PlatformEvent;
use crate::aggregate::Aggregate;
use crate::decision::{Claim, Decision, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::ids::KeyId;
use crate::stream::{Category, StreamId};
use crate::words::Word;

pub use error::{CODES, SigningKeyError};
pub use names::{KeyName, NameMalformed, PARSE_CODES, PublicKey};

/// How long a key is announced before it signs, unless there is no other: twice the time for which others may keep the
/// published keys.
pub const NOTICE: TimeDelta = TimeDelta::minutes(10);
/// How long a key signs before the next one is due.
pub const TERM: TimeDelta = TimeDelta::days(30);
/// How long a retired key is believed: the longest life of an access token, an hour, and ten minutes for clocks that differ.
pub const BELIEVED_AFTER: TimeDelta = TimeDelta::minutes(70);

/// Why a key is removed whose time is over. Nothing that it signed is alive then.
pub const EXPIRED: Word = Word::of("expired");

const SCOPE: &str = "platform.signing-key";
const ANNOUNCED: &str = "announced";
const ACTIVE: &str = "active";

/// Publishes a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnounceSigningKey {
    /// Its identifier, which follows from its name.
    pub key_id: KeyId,
    /// Its name in the header of tokens.
    pub kid: KeyName,
    /// Its public half.
    pub public_key: PublicKey,
    /// From when on it may sign.
    pub use_from: DateTime<Utc>,
}

/// Signs with a key that was announced. Another one that signs is retired before it, in the same unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivateSigningKey {
    /// Which.
    pub key_id: KeyId,
}

/// Signs with a key no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetireSigningKey {
    /// Which.
    pub key_id: KeyId,
}

/// Believes nothing any more that a key signed. A key that was never announced can be removed too: operators have keys of
/// their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveSigningKey {
    /// Which.
    pub key_id: KeyId,
    /// Its name.
    pub kid: KeyName,
    /// Why; [`EXPIRED`] only if it has.
    pub because: Word,
}

/// A key is published, and signs nothing yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SigningKeyAnnounced {
    /// Its identifier.
    pub key_id: KeyId,
    /// Its name in the header of tokens.
    pub kid: KeyName,
    /// What it signs with, as JSON Web Algorithms name it.
    pub algorithm: Word,
    /// Its public half.
    pub public_key: PublicKey,
    /// From when on it may sign.
    pub use_from: DateTime<Utc>,
    /// When it was announced.
    pub at: DateTime<Utc>,
}

/// Tokens are signed with it from now on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SigningKeyActivated {
    /// Its identifier.
    pub key_id: KeyId,
    /// Its name.
    pub kid: KeyName,
    /// When the next one is due.
    pub use_until: DateTime<Utc>,
    /// From when on it signs.
    pub at: DateTime<Utc>,
}

/// It signs nothing any more; what it signed is believed a while longer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SigningKeyRetired {
    /// Its identifier.
    pub key_id: KeyId,
    /// Its name.
    pub kid: KeyName,
    /// Until when what it signed is believed.
    pub believe_until: DateTime<Utc>,
    /// From when on it signs nothing.
    pub at: DateTime<Utc>,
}

/// Nothing that it signed is believed any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SigningKeyRemoved {
    /// Its identifier.
    pub key_id: KeyId,
    /// Its name.
    pub kid: KeyName,
    /// Why.
    pub because: Word,
    /// From when on.
    pub at: DateTime<Utc>,
}

/// What is known of a key.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum SigningKey {
    /// Never announced.
    #[default]
    Absent,
    /// Published, and not used yet.
    Announced {
        /// Its name.
        kid: KeyName,
        /// From when on it may sign.
        use_from: DateTime<Utc>,
    },
    /// Signs.
    Active {
        /// Its name.
        kid: KeyName,
        /// When the next one is due.
        use_until: DateTime<Utc>,
    },
    /// Signs nothing any more.
    Retired {
        /// Its name.
        kid: KeyName,
        /// Until when what it signed is believed.
        believe_until: DateTime<Utc>,
    },
    /// Gone.
    Removed {
        /// Its name.
        kid: KeyName,
    },
}

impl SigningKey {
    const fn word(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Announced { .. } => "announced",
            Self::Active { .. } => "active",
            Self::Retired { .. } => "retired",
            Self::Removed { .. } => "removed",
        }
    }
}

/// The stream of a key.
#[must_use]
pub const fn stream(id: KeyId) -> StreamId {
    StreamId::new(SigningKey::CATEGORY, id.uuid())
}

fn take(value: &str, taken: SigningKeyError) -> Claim {
    Claim::Take { scope: SCOPE.to_owned(), value: value.to_owned(), taken: taken.into() }
}

fn release(value: &str) -> Claim {
    Claim::Release { scope: SCOPE.to_owned(), value: value.to_owned() }
}

fn known<'a>(view: &View<'a>, key_id: KeyId) -> Result<&'a SigningKey, SigningKeyError> {
    match view.find::<SigningKey>(key_id.uuid()).map(|it| it.state) {
        None | Some(SigningKey::Absent) => Err(SigningKeyError::NotFound),
        Some(state) => Ok(state),
    }
}

impl Decision for AnnounceSigningKey {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.key_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        if known(view, self.key_id).is_ok() {
            return Err(SigningKeyError::Exists.into());
        }
        let event = PlatformEvent::SigningKeyAnnounced(SigningKeyAnnounced {
            key_id: self.key_id,
            kid: self.kid.clone(),
            algorithm: Word::of("ed25519"),
            public_key: self.public_key,
            use_from: self.use_from,
            at: view.now,
        });
        let claim = take(ANNOUNCED, SigningKeyError::OtherAnnounced);
        Ok(Verdict::created(stream(self.key_id), event).with_claims([claim]))
    }
}

impl Decision for ActivateSigningKey {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.key_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let (kid, use_from) = match known(view, self.key_id)? {
            SigningKey::Announced { kid, use_from } => (kid.clone(), *use_from),
            SigningKey::Active { .. } => return Ok(Verdict::already(stream(self.key_id))),
            other => return Err(SigningKeyError::State { state: other.word() }.into()),
        };
        if view.now < use_from {
            return Err(SigningKeyError::TooEarly { use_from }.into());
        }
        let event = PlatformEvent::SigningKeyActivated(SigningKeyActivated {
            key_id: self.key_id,
            kid,
            use_until: view.now + TERM,
            at: view.now,
        });
        let claims = [release(ANNOUNCED), take(ACTIVE, SigningKeyError::OtherActive)];
        Ok(Verdict::done(stream(self.key_id), event).with_claims(claims))
    }
}

impl Decision for RetireSigningKey {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.key_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let kid = match known(view, self.key_id)? {
            SigningKey::Active { kid, .. } => kid.clone(),
            SigningKey::Retired { .. } => return Ok(Verdict::already(stream(self.key_id))),
            other => return Err(SigningKeyError::State { state: other.word() }.into()),
        };
        let event = PlatformEvent::SigningKeyRetired(SigningKeyRetired {
            key_id: self.key_id,
            kid,
            believe_until: view.now + BELIEVED_AFTER,
            at: view.now,
        });
        Ok(Verdict::done(stream(self.key_id), event).with_claims([release(ACTIVE)]))
    }
}

impl Decision for RemoveSigningKey {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.key_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let key = stream(self.key_id);
        let state = view.find::<SigningKey>(self.key_id.uuid()).map(|it| it.state);
        let expires = self.because == EXPIRED;
        let claims = match state {
            Some(SigningKey::Removed { .. }) => return Ok(Verdict::already(key)),
            Some(SigningKey::Retired { believe_until, .. }) if expires && view.now < *believe_until => {
                return Err(SigningKeyError::StillBelieved { believe_until: *believe_until }.into());
            }
            Some(SigningKey::Retired { .. }) => vec![],
            Some(SigningKey::Absent) | None if expires => return Err(SigningKeyError::NotFound.into()),
            Some(other) if expires => return Err(SigningKeyError::State { state: other.word() }.into()),
            Some(SigningKey::Announced { .. }) => vec![release(ANNOUNCED)],
            Some(SigningKey::Active { .. }) => vec![release(ACTIVE)],
            Some(SigningKey::Absent) | None => vec![],
        };
        let event = PlatformEvent::SigningKeyRemoved(SigningKeyRemoved {
            key_id: self.key_id,
            kid: self.kid.clone(),
            because: self.because.clone(),
            at: view.now,
        });
        Ok(Verdict::done(key, event).with_claims(claims))
    }
}

impl Aggregate for SigningKey {
    const CATEGORY: Category = Category { code: 80, name: "platform.signing-key" };

    fn evolve(&mut self, id: Uuid, event: &Event) {
        let Event::Platform(event) = event else { return };
        match event {
            PlatformEvent::SigningKeyAnnounced(it) if it.key_id.uuid() == id => {
                *self = Self::Announced { kid: it.kid.clone(), use_from: it.use_from };
            }
            PlatformEvent::SigningKeyActivated(it) if it.key_id.uuid() == id => {
                *self = Self::Active { kid: it.kid.clone(), use_until: it.use_until };
            }
            PlatformEvent::SigningKeyRetired(it) if it.key_id.uuid() == id => {
                *self = Self::Retired { kid: it.kid.clone(), believe_until: it.believe_until };
            }
            PlatformEvent::SigningKeyRemoved(it) if it.key_id.uuid() == id => {
                *self = Self::Removed { kid: it.kid.clone() };
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
