//! What a person allowed a service: which scopes, until they allow nothing any more.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ApplicationEvent;
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
    /// When.
    pub at: DateTime<Utc>,
}

/// What a person allows a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Consent {
    /// Which scopes, in order.
    pub scopes: Vec<Scope>,
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
    /// Whether all of these are allowed already, so that nobody needs to be asked.
    #[must_use]
    pub fn covers(&self, scopes: &[Scope]) -> bool {
        scopes.iter().all(|it| self.scopes.contains(it))
    }

    fn of(view: &View<'_>, user: UserId, service: ServiceId) -> Self {
        view.find::<Self>(id(user, service)).map(|seen| seen.state.clone()).unwrap_or_default()
    }
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
        let Consent { mut scopes } = Consent::of(view, self.user_id, self.service_id);
        let before = scopes.len();
        scopes.extend(self.scopes.iter().cloned());
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.len() == before {
            return Ok(Verdict::already(primary));
        }
        // What a service registers can change, so what was allowed over time can grow beyond what it registers now.
        scopes.truncate(SCOPES_MAX);
        let event = ApplicationEvent::ConsentGranted(ConsentGranted {
            user_id: self.user_id,
            service_id: self.service_id,
            scopes,
            at: view.now,
        });
        Ok(Verdict::done(primary, event))
    }
}

/// Allows a service nothing any more. Already so, if nothing is allowed.
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
        let Consent { scopes } = Consent::of(view, self.user_id, self.service_id);
        if scopes.is_empty() {
            return Ok(Verdict::already(primary));
        }
        let event = ApplicationEvent::ConsentRevoked(ConsentRevoked {
            user_id: self.user_id,
            service_id: self.service_id,
            before: scopes,
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
                Some(Self { scopes: it.scopes.clone() })
            }
            ApplicationEvent::ConsentRevoked(it) if self::id(it.user_id, it.service_id) == id => {
                Some(Self::default())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
