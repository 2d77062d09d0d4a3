//! What a person allowed a service: which scopes, until they allow nothing any more. What was let have on the strength of it
//! stands and falls with it.
//!
//! Each time that it is taken back begins another generation. A session of the service is of the generation in which it
//! began, and stands only while that lasts: so taking back ends all of them at once, however many there are, and nobody has
//! to find them. What is allowed again later brings none of them back.
//!
//! A person who ends one session of a service by hand wants it out, and did not say for how long. The service could be back a
//! moment later without a word, since what they allowed stands. So they are asked once more before its next session.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ApplicationEvent;
use super::error::ApplicationError;
use super::service::{self, SCOPES_MAX};
use crate::aggregate::Aggregate;
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::ids::{ServiceId, UserId};
use crate::stream::{Category, StreamId};
use crate::words::Scope;

/// A person allowed a service something; it comes to what they allowed before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConsentGranted {
    /// Who.
    pub user_id: UserId,
    /// Whom.
    pub service_id: ServiceId,
    /// All that is allowed by now, in order.
    pub scopes: Vec<Scope>,
    /// How often they had taken back before what they allowed.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub generation: u32,
    /// When.
    pub at: DateTime<Utc>,
}

/// A person ended a session of a service by hand: what they allowed stands, but they are asked before the next one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConsentQuestioned {
    /// Who.
    pub user_id: UserId,
    /// Whom.
    pub service_id: ServiceId,
    /// All that is allowed, in order.
    pub scopes: Vec<Scope>,
    /// How often they had taken back before what they allowed.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub generation: u32,
    /// When.
    pub at: DateTime<Utc>,
}

/// A person allows a service nothing any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConsentRevoked {
    /// Who.
    pub user_id: UserId,
    /// Whom.
    pub service_id: ServiceId,
    /// What was allowed.
    pub before: Vec<Scope>,
    /// How often they have taken it back, this time included.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub generation: u32,
    /// When.
    pub at: DateTime<Utc>,
}

/// What a person allows a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Consent {
    /// Which scopes, in order.
    pub scopes: Vec<Scope>,
    /// How often they have taken it back.
    pub generation: u32,
    /// Whether they are asked all the same before the next session.
    pub questioned: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_none_yet(generation: &u32) -> bool {
    *generation == 0
}

/// The stream of what a person allows a service.
#[must_use]
pub fn stream(user: UserId, service: ServiceId) -> StreamId {
    StreamId::new(Consent::CATEGORY, id(user, service))
}

/// Names the pair: a UUID of version 5 of the service in the space of the user.
#[must_use]
pub fn id(user: UserId, service: ServiceId) -> Uuid {
    Uuid::new_v5(&user.uuid(), service.uuid().as_bytes())
}

impl Consent {
    /// Whether all of these are allowed already, so that nobody needs to be asked. Nothing at all is never allowed already.
    #[must_use]
    pub fn covers(&self, scopes: &[Scope]) -> bool {
        !self.questioned && !self.scopes.is_empty() && scopes.iter().all(|it| self.scopes.contains(it))
    }

    pub(crate) fn of(view: &View<'_>, user: UserId, service: ServiceId) -> Self {
        view.find::<Self>(id(user, service)).map(|seen| seen.state.clone()).unwrap_or_default()
    }

    pub(crate) fn asked_again(
        self,
        user_id: UserId,
        service_id: ServiceId,
        at: DateTime<Utc>,
    ) -> ApplicationEvent {
        let Self { scopes, generation, .. } = self;
        ApplicationEvent::ConsentQuestioned(ConsentQuestioned { user_id, service_id, scopes, generation, at })
    }
}

/// Of which generation a session is that a service begins now for a person.
pub(crate) fn generation(view: &View<'_>, user: UserId, service: ServiceId) -> u32 {
    Consent::of(view, user, service).generation
}

/// Whether a session of a service stands that began in this generation, as far as what the person allows goes. It does not
/// while that has not been loaded.
pub(crate) fn upholds(view: &View<'_>, user: UserId, service: ServiceId, generation: u32) -> bool {
    view.find::<Consent>(id(user, service)).is_some_and(|seen| seen.state.generation == generation)
}

/// Allows a service something. Already so, if it is allowed.
///
/// Refused with what [`service::live`] and [`service::LiveService::has_scopes`] refuse.
#[derive(Debug, Clone)]
pub struct GrantConsent {
    /// Who.
    pub user_id: UserId,
    /// Whom.
    pub service_id: ServiceId,
    /// What.
    pub scopes: Vec<Scope>,
}

impl Decision for GrantConsent {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.user_id, self.service_id), service::stream(self.service_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let service = service::live(view, self.service_id)?;
        service.has_scopes(&self.scopes)?;
        let primary = stream(self.user_id, self.service_id);
        let Consent { mut scopes, generation, questioned } = Consent::of(view, self.user_id, self.service_id);
        let before = scopes.len();
        scopes.extend(self.scopes.iter().cloned());
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.len() == before && !questioned {
            return Ok(Verdict::already(primary));
        }
        // What a service registers can change, so what was allowed over time can grow beyond what it registers now.
        scopes.truncate(SCOPES_MAX);
        let event = ApplicationEvent::ConsentGranted(ConsentGranted {
            user_id: self.user_id,
            service_id: self.service_id,
            scopes,
            generation,
            at: view.now,
        });
        Ok(Verdict::done(primary, event))
    }
}

/// A command that lets a service have something of a person, such as a session: only while the person allows all of it.
pub struct Consented {
    /// Who.
    pub user_id: UserId,
    /// Whom.
    pub service_id: ServiceId,
    /// What.
    pub scopes: Vec<Scope>,
    /// The command.
    pub inner: Box<dyn Decision>,
}

impl Decision for Consented {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut needs = self.inner.needs(view);
        needs.push(stream(self.user_id, self.service_id));
        needs
    }

    fn subjects(&self) -> Vec<Uuid> {
        self.inner.subjects()
    }

    fn overdue(&self, view: &View<'_>) -> Vec<Box<dyn Decision>> {
        self.inner.overdue(view)
    }

    /// Refused with [`ApplicationError::ConsentNotFound`] before anything that the command refuses.
    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        if !Consent::of(view, self.user_id, self.service_id).covers(&self.scopes) {
            return Err(ApplicationError::ConsentNotFound.into());
        }
        self.inner.decide(view)
    }
}

/// Allows a service nothing any more, and with that ends every session that it has of the person. Already so, if nothing is
/// allowed.
///
/// Refused with [`ApplicationError::ConsentNotFound`], if nothing ever was.
#[derive(Debug, Clone)]
pub struct RevokeConsent {
    /// Who.
    pub user_id: UserId,
    /// Whom.
    pub service_id: ServiceId,
}

impl Decision for RevokeConsent {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.user_id, self.service_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let primary = stream(self.user_id, self.service_id);
        let Consent { scopes, generation, .. } = Consent::of(view, self.user_id, self.service_id);
        if scopes.is_empty() {
            let known = view.find::<Consent>(primary.id).is_some_and(|seen| seen.version > 0);
            return if known {
                Ok(Verdict::already(primary))
            } else {
                Err(ApplicationError::ConsentNotFound.into())
            };
        }
        let event = ApplicationEvent::ConsentRevoked(ConsentRevoked {
            user_id: self.user_id,
            service_id: self.service_id,
            before: scopes,
            generation: generation.saturating_add(1),
            at: view.now,
        });
        Ok(Verdict::done(primary, event))
    }
}

impl Aggregate for Consent {
    const CATEGORY: Category = Category { code: 53, name: "application.consent" };

    const RESTORABLE: bool = true;

    fn evolve(&mut self, id: Uuid, event: &Event) {
        if let Some(told) = Self::restore(id, event) {
            *self = told;
        }
    }

    fn restore(id: Uuid, newest: &Event) -> Option<Self> {
        let Event::Application(newest) = newest else { return None };
        match newest {
            ApplicationEvent::ConsentGranted(it) if self::id(it.user_id, it.service_id) == id => {
                Some(Self { scopes: it.scopes.clone(), generation: it.generation, questioned: false })
            }
            ApplicationEvent::ConsentQuestioned(it) if self::id(it.user_id, it.service_id) == id => {
                Some(Self { scopes: it.scopes.clone(), generation: it.generation, questioned: true })
            }
            ApplicationEvent::ConsentRevoked(it) if self::id(it.user_id, it.service_id) == id => {
                Some(Self { generation: it.generation, ..Self::default() })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
