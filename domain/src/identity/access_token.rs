//! An access token: that it was issued, to whom, with which roles. The token itself is never recorded.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::IdentityEvent;
use super::error::IdentityError;
use crate::aggregate::Aggregate;
use crate::decision::{Decision, Verdict, View};
use crate::error::{CodeDoc, DomainError, ErrorKind, Refusal};
use crate::event::Event;
use crate::ids::{ActorId, TokenId};
use crate::stream::{Category, StreamId};

/// What the bearer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything within the tenant.
    Owner,
    /// Reading, and nothing else.
    Member,
}

/// Issues an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MintAccessToken {
    /// Its identifier, given by the caller.
    pub token_id: TokenId,
    /// Who will act with it.
    pub subject: ActorId,
    /// What the bearer may do; at least one.
    pub roles: Vec<Role>,
    /// When it stops being good.
    pub expires_at: DateTime<Utc>,
}

/// An access token was issued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccessTokenMinted {
    /// Its identifier.
    pub token_id: TokenId,
    /// Who acts with it.
    pub subject: ActorId,
    /// What the bearer may do.
    pub roles: Vec<Role>,
    /// When it stops being good.
    pub expires_at: DateTime<Utc>,
    /// When it was issued.
    pub at: DateTime<Utc>,
}

/// Makes an access token good no more. Already so, if it is.
///
/// Refused with [`IdentityError::TokenNotFound`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeAccessToken {
    /// Which.
    pub token_id: TokenId,
    /// Who does it.
    pub by: ActorId,
}

/// Makes a token good no more that a service got to act for itself: whoever was given it gives it back. Already so, if it is.
/// That it was issued is not recorded, so whoever asks has seen that it is one of ours, and whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiveBackToken {
    /// Which.
    pub token_id: TokenId,
    /// Who acted with it.
    pub by: ActorId,
}

/// An access token is good no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccessTokenRevoked {
    /// Its identifier.
    pub token_id: TokenId,
    /// Who revoked it.
    pub by: ActorId,
    /// When.
    pub at: DateTime<Utc>,
}

/// What is known of an access token.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum AccessToken {
    /// Never issued.
    #[default]
    Absent,
    /// Issued, and good until it expires.
    Minted {
        /// Who acts with it.
        subject: ActorId,
        /// What the bearer may do.
        roles: Vec<Role>,
        /// When it stops being good.
        expires_at: DateTime<Utc>,
    },
    /// Good no more.
    Revoked {
        /// Who acted with it.
        subject: ActorId,
    },
}

/// Checked in this order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessTokenError {
    /// A token that allows nothing.
    #[error("an access token needs at least one role")]
    RolesEmpty,
    /// It would be dead at birth.
    #[error("it must expire in the future")]
    ExpiryInPast,
    /// The identifier is in use.
    #[error("an access token with this id was issued already")]
    Exists,
}

/// The reference of this aggregate's refusals.
pub const CODES: &[CodeDoc] = &[
    CodeDoc::new(
        ErrorKind::Rejected,
        "identity.roles-empty",
        "an access token would allow nothing",
        "name at least one role",
    ),
    CodeDoc::new(
        ErrorKind::Rejected,
        "identity.expiry-in-past",
        "what was asked for would have expired already",
        "ask for an expiry in the future",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "identity.token-exists",
        "the access token's identifier is in use",
        "take a fresh identifier for each token",
    ),
];

/// The stream of an access token.
#[must_use]
pub const fn stream(id: TokenId) -> StreamId {
    StreamId::new(AccessToken::CATEGORY, id.uuid())
}

impl Decision for MintAccessToken {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.token_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        if self.roles.is_empty() {
            return Err(AccessTokenError::RolesEmpty.into());
        }
        if self.expires_at <= view.now {
            return Err(AccessTokenError::ExpiryInPast.into());
        }
        let known = view.find::<AccessToken>(self.token_id.uuid());
        if known.is_some_and(|seen| *seen.state != AccessToken::Absent) {
            return Err(AccessTokenError::Exists.into());
        }
        let mut roles = self.roles.clone();
        roles.sort_unstable();
        roles.dedup();
        let event = IdentityEvent::AccessTokenMinted(AccessTokenMinted {
            token_id: self.token_id,
            subject: self.subject,
            roles,
            expires_at: self.expires_at,
            at: view.now,
        });
        Ok(Verdict::created(stream(self.token_id), event).valid_until(Some(self.expires_at)))
    }
}

impl Decision for RevokeAccessToken {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.token_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        match view.find::<AccessToken>(self.token_id.uuid()).map(|seen| seen.state) {
            Some(AccessToken::Minted { .. }) => {}
            Some(AccessToken::Revoked { .. }) => return Ok(Verdict::already(stream(self.token_id))),
            Some(AccessToken::Absent) | None => return Err(IdentityError::TokenNotFound.into()),
        }
        let event = AccessTokenRevoked { token_id: self.token_id, by: self.by, at: view.now };
        Ok(Verdict::done(stream(self.token_id), IdentityEvent::AccessTokenRevoked(event)))
    }
}

impl Decision for GiveBackToken {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.token_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let known = view.find::<AccessToken>(self.token_id.uuid()).map(|seen| seen.state);
        if matches!(known, Some(AccessToken::Revoked { .. })) {
            return Ok(Verdict::already(stream(self.token_id)));
        }
        let event = AccessTokenRevoked { token_id: self.token_id, by: self.by, at: view.now };
        Ok(Verdict::done(stream(self.token_id), IdentityEvent::AccessTokenRevoked(event)))
    }
}

impl Aggregate for AccessToken {
    const CATEGORY: Category = Category { code: 2, name: "identity.access-token" };

    fn evolve(&mut self, id: Uuid, event: &Event) {
        let Event::Identity(event) = event else { return };
        match event {
            IdentityEvent::AccessTokenMinted(event) if event.token_id.uuid() == id => {
                *self = Self::Minted {
                    subject: event.subject,
                    roles: event.roles.clone(),
                    expires_at: event.expires_at,
                };
            }
            IdentityEvent::AccessTokenRevoked(event) if event.token_id.uuid() == id => match self {
                Self::Minted { subject, .. } => *self = Self::Revoked { subject: *subject },
                // What a service gives back was never recorded as issued, and the service acted with it.
                Self::Absent => *self = Self::Revoked { subject: event.by },
                Self::Revoked { .. } => {}
            },
            _ => {}
        }
    }
}

impl DomainError for AccessTokenError {
    fn code(&self) -> &'static str {
        match self {
            Self::RolesEmpty => "identity.roles-empty",
            Self::ExpiryInPast => "identity.expiry-in-past",
            Self::Exists => "identity.token-exists",
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::RolesEmpty | Self::ExpiryInPast => ErrorKind::Rejected,
            Self::Exists => ErrorKind::Conflict,
        }
    }
}

#[cfg(test)]
mod tests;
