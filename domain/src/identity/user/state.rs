//! What is known of a user: facts about what is private, never what is private itself.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::super::IdentityEvent;
use crate::aggregate::Aggregate;
use crate::event::Event;
use crate::ids::SessionId;
use crate::stream::Category;
use crate::words::Language;

/// What is known of a user.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum User {
    /// Never registered.
    #[default]
    Absent,
    /// May act.
    Active(Registered),
    /// May not act.
    Inactive(Registered),
    /// Nothing personal is known any more, and nothing more can happen.
    Erased,
}

/// A registered user.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Registered {
    /// Which of their addresses is good, counted from 1.
    pub email_version: u32,
    /// Whether that address is shown to be theirs.
    pub email_verified: bool,
    /// The address that they have asked for.
    pub email_pending: Option<EmailPending>,
    /// How many addresses were given a number.
    pub email_versions: u32,
    /// How many passwords they have had; 0 if they have none.
    pub credential_version: u32,
    /// Sessions of an earlier generation are over.
    pub generation: u32,
    /// The session of an earlier generation that is not.
    pub kept: Option<SessionId>,
    /// The language in which they are written to.
    pub language: Language,
    /// Whether it is known what they are called by friends.
    pub has_given_name: bool,
    /// Whether it is known what their family is called.
    pub has_family_name: bool,
    /// Whether a telephone number is known.
    pub has_phone: bool,
    /// Whether it is known where they live.
    pub has_address: bool,
    /// Whether their address was given to others, since they never showed that it is theirs.
    pub is_displaced: bool,
    /// Their halves of links to users of other organisations who are the same person.
    pub links: Vec<Uuid>,
}

/// An address that somebody has asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EmailPending {
    /// The number that it will have.
    pub version: u32,
    /// Until when it is kept for them.
    pub expires_at: DateTime<Utc>,
}

impl User {
    /// The user's facts, unless there is none.
    #[must_use]
    pub const fn registered(&self) -> Option<&Registered> {
        match self {
            Self::Active(user) | Self::Inactive(user) => Some(user),
            Self::Absent | Self::Erased => None,
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Registered)) {
        match self {
            Self::Active(user) | Self::Inactive(user) => change(user),
            Self::Absent | Self::Erased => {}
        }
    }
}

impl Registered {
    /// Whether somebody chose a password without having shown that the address is theirs.
    #[must_use]
    pub const fn is_unproven(&self) -> bool {
        !self.email_verified && self.credential_version > 0
    }

    /// Whether a session of theirs that began in `generation` still counts.
    #[must_use]
    pub fn counts(&self, session: SessionId, generation: u32) -> bool {
        generation >= self.generation || self.kept == Some(session)
    }
}

impl Aggregate for User {
    const CATEGORY: Category = Category { code: 20, name: "identity.user" };

    fn evolve(&mut self, id: Uuid, event: &Event) {
        let Event::Identity(event) = event else { return };
        match event {
            IdentityEvent::UserRegistered(event) if event.user_id.uuid() == id => {
                *self = Self::Active(Registered {
                    email_version: 1,
                    email_verified: event.verified,
                    email_pending: None,
                    email_versions: 1,
                    credential_version: 0,
                    generation: 0,
                    kept: None,
                    language: event.language.clone(),
                    has_given_name: event.given_name.is_some(),
                    has_family_name: event.family_name.is_some(),
                    has_phone: false,
                    has_address: false,
                    is_displaced: false,
                    links: vec![],
                });
            }
            IdentityEvent::UserRenamed(event) => self.change(|it| {
                it.has_given_name = event.given_name.is_some();
                it.has_family_name = event.family_name.is_some();
            }),
            IdentityEvent::UserGivenNameChanged(event) => {
                self.change(|it| it.has_given_name = event.given_name.is_some());
            }
            IdentityEvent::UserFamilyNameChanged(event) => {
                self.change(|it| it.has_family_name = event.family_name.is_some());
            }
            IdentityEvent::UserPhoneChanged(event) => self.change(|it| it.has_phone = event.phone.is_some()),
            IdentityEvent::UserAddressChanged(event) => {
                self.change(|it| it.has_address = event.address.is_some());
            }
            IdentityEvent::UserLanguageChanged(event) => {
                self.change(|it| it.language = event.language.clone());
            }
            IdentityEvent::EmailVerified(event) => {
                self.change(|it| it.email_verified |= it.email_version == event.email_version);
            }
            IdentityEvent::EmailChangeRequested(event) => self.change(|it| {
                it.email_versions = event.email_version;
                it.email_pending =
                    Some(EmailPending { version: event.email_version, expires_at: event.expires_at });
            }),
            IdentityEvent::EmailChanged(event) => self.change(|it| {
                it.email_version = event.email_version;
                it.email_verified = true;
                it.email_pending = None;
            }),
            IdentityEvent::EmailChangeExpired(_) => self.change(|it| it.email_pending = None),
            IdentityEvent::PasswordChanged(event) => {
                self.change(|it| it.credential_version = event.credential_version);
            }
            IdentityEvent::SessionsEnded(event) => self.change(|it| {
                it.generation = event.generation;
                it.kept = event.except;
            }),
            IdentityEvent::UserDeactivated(event) => {
                self.change(|it| it.is_displaced |= event.frees_address);
                if let Self::Active(user) = self {
                    *self = Self::Inactive(user.clone());
                }
            }
            IdentityEvent::UserReactivated(_) => {
                if let Self::Inactive(user) = self {
                    *self = Self::Active(user.clone());
                }
            }
            IdentityEvent::IdentitiesLinked(event) => self.change(|it| it.links.push(event.person)),
            IdentityEvent::IdentitiesUnlinked(event) => {
                self.change(|it| it.links.retain(|link| *link != event.person));
            }
            IdentityEvent::PersonErased(_) => *self = Self::Erased,
            _ => {}
        }
    }
}
