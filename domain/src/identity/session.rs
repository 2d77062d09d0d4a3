//! A signed-in session: whose, how they showed who they are, until when, and that it ended.
//!
//! It stands while it has not ended, its time is not over and its user has not ended it together with others
//! (`Registered::counts`). How one is started is in `crate::sign_in`, since it depends on the organisation too. Refresh
//! tokens are not here: they change every hour and are nothing that anybody decides.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::IdentityEvent;
use super::error::IdentityError;
use super::user;
use crate::aggregate::Aggregate;
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::ids::{ActorId, ImpersonationId, ServiceId, SessionId, UserId};
use crate::private::Private;
use crate::stream::{Category, StreamId};
use crate::words::Word;

/// When somebody showed who they are, where nobody knows it: a provider vouches for them that does not say when it asked them.
/// A session as of then is never fresh.
pub const UNKNOWN: DateTime<Utc> = DateTime::UNIX_EPOCH;

/// A session was started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionStarted {
    /// Which.
    pub session_id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// The service that they signed in to, if it is not the product itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_id: Option<ServiceId>,
    /// How they signed in, such as `password`, `passkey`, `github`.
    pub method: Word,
    /// What they showed, in the words of RFC 8176, such as `pwd` and `otp`.
    pub amr: Vec<Word>,
    /// When they last showed who they are; the beginning of 1970 if nobody knows it.
    pub auth_time: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// Which generation of the user's sessions it is of.
    pub generation: u32,
    /// Of a session of a service: which generation of what the user allows that service it is of; 0 if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<u32>,
    /// What the person calls the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Private>,
    /// Staff of the platform act in it for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impersonation_id: Option<ImpersonationId>,
    /// The user's half of the link by which they came from another organisation; the session stands while that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came_by: Option<Uuid>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A person went on in another of their organisations, in a session there. This one goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrganizationSwitched {
    /// The session in which they asked for it.
    pub session_id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The user showed again, or by more, who they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionStrengthened {
    /// Which.
    pub session_id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// How.
    pub method: Word,
    /// What they have shown by now, all of it.
    pub amr: Vec<Word>,
    /// When they last showed who they are.
    pub auth_time: DateTime<Utc>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A session ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionEnded {
    /// Which.
    pub session_id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// Why, such as `signed-out`, `asked`, `refresh-reused`.
    pub because: Word,
    /// Who ended it.
    pub by: ActorId,
    /// When.
    pub at: DateTime<Utc>,
}

/// What is known of a session.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Session {
    /// Never started.
    #[default]
    Absent,
    /// Started, and not ended by itself.
    Live(LiveSession),
    /// Ended.
    Ended {
        /// Whose it was.
        user_id: UserId,
    },
}

/// A session that has not ended by itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LiveSession {
    /// Whose.
    pub user_id: UserId,
    /// The service that they signed in to.
    pub service_id: Option<ServiceId>,
    /// How they signed in.
    pub method: Word,
    /// What they have shown.
    pub amr: Vec<Word>,
    /// When it began.
    pub began_at: DateTime<Utc>,
    /// When they last showed who they are; [`UNKNOWN`] if nobody knows it.
    pub auth_time: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// Which generation of the user's sessions it is of.
    pub generation: u32,
    /// Which generation of what they allow that service it is of, if it is one of a service.
    pub consent: u32,
    /// Staff of the platform act in it.
    pub impersonation_id: Option<ImpersonationId>,
    /// The link by which the user came from another organisation.
    pub came_by: Option<Uuid>,
}

impl LiveSession {
    /// When the person last showed who they are, if that is known.
    #[must_use]
    pub fn shown_at(&self) -> Option<DateTime<Utc>> {
        (self.auth_time != UNKNOWN).then_some(self.auth_time)
    }
}

/// The stream of a session.
#[must_use]
pub const fn stream(id: SessionId) -> StreamId {
    StreamId::new(Session::CATEGORY, id.uuid())
}

impl Session {
    /// Whose it is or was.
    #[must_use]
    pub const fn user_id(&self) -> Option<UserId> {
        match self {
            Self::Absent => None,
            Self::Live(session) => Some(session.user_id),
            Self::Ended { user_id } => Some(*user_id),
        }
    }
}

/// The session and its user, if it stands: it has not ended in any way, the user is active, and the link by which they came,
/// if it was one, has not been taken away.
pub(crate) fn standing<'a>(
    view: &View<'a>,
    id: SessionId,
) -> Option<(&'a LiveSession, &'a user::Registered)> {
    let Session::Live(session) = view.find::<Session>(id.uuid())?.state else { return None };
    let user = user::active(view, session.user_id).ok()?;
    let is_linked = session.came_by.is_none_or(|it| user.links.contains(&it));
    let stands = is_linked && session.expires_at > view.now && user.counts(id, session.generation);
    stands.then_some((session, user))
}

/// Says that the user of a session showed again who they are.
///
/// Refused with [`IdentityError::SessionNotFound`], [`IdentityError::SessionOver`],
/// [`IdentityError::CredentialChanged`].
#[derive(Debug, Clone)]
pub struct StrengthenSession {
    /// Which.
    pub session_id: SessionId,
    /// How, such as `password`, `totp`.
    pub method: Word,
    /// What they showed; it comes to what they have shown before.
    pub amr: Vec<Word>,
    /// When.
    pub auth_time: DateTime<Utc>,
    /// The number of the password that was checked, if one was.
    pub seen: Option<u32>,
}

impl Decision for StrengthenSession {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let known = view.find::<Session>(self.session_id.uuid());
        let user = known.and_then(|seen| seen.state.user_id()).map(user::stream);
        std::iter::once(stream(self.session_id)).chain(user).collect()
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let known = view.find::<Session>(self.session_id.uuid()).map(|seen| seen.state);
        if known.is_none_or(|it| *it == Session::Absent) {
            return Err(IdentityError::SessionNotFound.into());
        }
        let Some((session, user)) = standing(view, self.session_id) else {
            return Err(IdentityError::SessionOver.into());
        };
        if self.seen.is_some_and(|it| it != user.credential_version) {
            return Err(IdentityError::CredentialChanged.into());
        }
        let mut amr = session.amr.clone();
        amr.extend(self.amr.iter().filter(|it| !session.amr.contains(it)).cloned());
        let event = IdentityEvent::SessionStrengthened(SessionStrengthened {
            session_id: self.session_id,
            user_id: session.user_id,
            method: self.method.clone(),
            amr,
            auth_time: self.auth_time,
            at: view.now,
        });
        Ok(Verdict::done(stream(self.session_id), event).valid_until(Some(session.expires_at)))
    }
}

/// Ends a session. Already so, if it has ended.
///
/// Refused with [`IdentityError::SessionNotFound`].
#[derive(Debug, Clone)]
pub struct EndSession {
    /// Which.
    pub session_id: SessionId,
    /// Whose it must be, if somebody ends their own: another person's is not found.
    pub of: Option<UserId>,
    /// Why, such as `signed-out`, `asked`, `refresh-reused`.
    pub because: Word,
    /// Who does it.
    pub by: ActorId,
}

impl Decision for EndSession {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.session_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let known = view.find::<Session>(self.session_id.uuid()).map(|seen| seen.state);
        let user_id = known.and_then(Session::user_id).filter(|it| self.of.is_none_or(|of| of == *it));
        let Some(user_id) = user_id else {
            return Err(IdentityError::SessionNotFound.into());
        };
        if let Some(Session::Ended { .. }) = known {
            return Ok(Verdict::already(stream(self.session_id)));
        }
        let event = IdentityEvent::SessionEnded(SessionEnded {
            session_id: self.session_id,
            user_id,
            because: self.because.clone(),
            by: self.by,
            at: view.now,
        });
        Ok(Verdict::done(stream(self.session_id), event))
    }
}

impl Aggregate for Session {
    const CATEGORY: Category = Category { code: 21, name: "identity.session" };

    fn evolve(&mut self, id: Uuid, event: &Event) {
        let Event::Identity(event) = event else { return };
        match event {
            IdentityEvent::SessionStarted(event) if event.session_id.uuid() == id => {
                *self = Self::Live(LiveSession {
                    user_id: event.user_id,
                    service_id: event.service_id,
                    method: event.method.clone(),
                    amr: event.amr.clone(),
                    began_at: event.at,
                    auth_time: event.auth_time,
                    expires_at: event.expires_at,
                    generation: event.generation,
                    consent: event.consent.unwrap_or_default(),
                    impersonation_id: event.impersonation_id,
                    came_by: event.came_by,
                });
            }
            IdentityEvent::SessionStrengthened(event) => {
                if let Self::Live(session) = self {
                    session.amr.clone_from(&event.amr);
                    session.auth_time = event.auth_time;
                }
            }
            IdentityEvent::SessionEnded(event) => *self = Self::Ended { user_id: event.user_id },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
