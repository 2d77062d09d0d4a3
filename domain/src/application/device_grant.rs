//! A device that asked to be signed in (RFC 8628): what a person decided about it, and that it fetched its tokens once.
//! That it asked, and how often, is no event: thousands ask who never come in.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ApplicationEvent;
use super::error::ApplicationError;
use super::service;
use crate::aggregate::Aggregate;
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::ids::{GrantId, ServiceId, SessionId, UserId};
use crate::stream::{Category, StreamId};
use crate::words::Scope;

/// A person let a device in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceGrantApproved {
    /// Which.
    pub grant_id: GrantId,
    /// The service that asked for the device.
    pub service_id: ServiceId,
    /// Who let it in.
    pub user_id: UserId,
    /// For what.
    pub scopes: Vec<Scope>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A person did not let a device in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceGrantDenied {
    /// Which.
    pub grant_id: GrantId,
    /// The service that asked for the device.
    pub service_id: ServiceId,
    /// Who did not let it in.
    pub user_id: UserId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The device fetched its tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceGrantRedeemed {
    /// Which.
    pub grant_id: GrantId,
    /// The service that asked for the device.
    pub service_id: ServiceId,
    /// Who let it in.
    pub user_id: UserId,
    /// The session that began with it.
    pub session_id: SessionId,
    /// When.
    pub at: DateTime<Utc>,
}

/// What is known of a device that asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum DeviceGrant {
    /// Nobody has decided.
    #[default]
    Undecided,
    /// It may fetch its tokens.
    Approved {
        /// The service that asked for it.
        service_id: ServiceId,
        /// Who let it in.
        user_id: UserId,
        /// For what.
        scopes: Vec<Scope>,
    },
    /// It may not.
    Denied,
    /// It has fetched them.
    Redeemed {
        /// The session that began with it: a second attempt ends it.
        session_id: SessionId,
    },
}

/// The stream of a device that asked.
#[must_use]
pub const fn stream(id: GrantId) -> StreamId {
    StreamId::new(DeviceGrant::CATEGORY, id.uuid())
}

fn find<'a>(view: &View<'a>, id: GrantId) -> Option<&'a DeviceGrant> {
    view.find::<DeviceGrant>(id.uuid()).map(|seen| seen.state)
}

/// Refuses unless nobody has decided.
fn undecided(view: &View<'_>, id: GrantId) -> Result<(), ApplicationError> {
    match find(view, id) {
        Some(DeviceGrant::Undecided) | None => Ok(()),
        Some(_) => Err(ApplicationError::GrantDecided),
    }
}

/// Lets a device in.
///
/// Refused with [`ApplicationError::GrantDecided`], [`ApplicationError::ServiceNotFound`],
/// [`ApplicationError::ServiceSuspended`], [`ApplicationError::ScopeNotRegistered`].
#[derive(Debug, Clone)]
pub struct ApproveDevice {
    /// Which.
    pub grant_id: GrantId,
    /// The service that asked for it.
    pub service_id: ServiceId,
    /// Who lets it in.
    pub user_id: UserId,
    /// For what.
    pub scopes: Vec<Scope>,
}

impl Decision for ApproveDevice {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.grant_id), service::stream(self.service_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        undecided(view, self.grant_id)?;
        service::live(view, self.service_id)?.has_scopes(&self.scopes)?;
        let event = ApplicationEvent::DeviceGrantApproved(DeviceGrantApproved {
            grant_id: self.grant_id,
            service_id: self.service_id,
            user_id: self.user_id,
            scopes: self.scopes.clone(),
            at: view.now,
        });
        Ok(Verdict::created(stream(self.grant_id), event))
    }
}

/// Does not let a device in.
///
/// Refused with [`ApplicationError::GrantDecided`].
#[derive(Debug, Clone)]
pub struct DenyDevice {
    /// Which.
    pub grant_id: GrantId,
    /// The service that asked for it.
    pub service_id: ServiceId,
    /// Who does not let it in.
    pub user_id: UserId,
}

impl Decision for DenyDevice {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.grant_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        undecided(view, self.grant_id)?;
        let event = ApplicationEvent::DeviceGrantDenied(DeviceGrantDenied {
            grant_id: self.grant_id,
            service_id: self.service_id,
            user_id: self.user_id,
            at: view.now,
        });
        Ok(Verdict::created(stream(self.grant_id), event))
    }
}

/// Gives the device its tokens, once. A caller starts the session in the same unit.
///
/// Refused with [`ApplicationError::GrantNotFound`] if nobody let it in, or for another service,
/// [`ApplicationError::GrantRedeemed`] with the session that began, [`ApplicationError::ServiceNotFound`],
/// [`ApplicationError::ServiceSuspended`].
#[derive(Debug, Clone)]
pub struct RedeemDevice {
    /// Which.
    pub grant_id: GrantId,
    /// The service that asks now.
    pub service_id: ServiceId,
    /// The session that begins.
    pub session_id: SessionId,
}

impl Decision for RedeemDevice {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.grant_id), service::stream(self.service_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let user_id = match find(view, self.grant_id) {
            Some(DeviceGrant::Approved { service_id, user_id, .. }) if *service_id == self.service_id => {
                *user_id
            }
            Some(DeviceGrant::Redeemed { session_id }) => {
                return Err(ApplicationError::GrantRedeemed { session_id: *session_id }.into());
            }
            _ => return Err(ApplicationError::GrantNotFound.into()),
        };
        service::live(view, self.service_id)?;
        let event = ApplicationEvent::DeviceGrantRedeemed(DeviceGrantRedeemed {
            grant_id: self.grant_id,
            service_id: self.service_id,
            user_id,
            session_id: self.session_id,
            at: view.now,
        });
        Ok(Verdict::done(stream(self.grant_id), event))
    }
}

impl Aggregate for DeviceGrant {
    const CATEGORY: Category = Category { code: 52, name: "application.device-grant" };

    const RESTORABLE: bool = true;

    fn evolve(&mut self, id: Uuid, event: &Event) {
        if let Some(told) = Self::restore(id, event) {
            *self = told;
        }
    }

    fn restore(id: Uuid, newest: &Event) -> Option<Self> {
        let Event::Application(newest) = newest else { return None };
        match newest {
            ApplicationEvent::DeviceGrantApproved(it) if it.grant_id.uuid() == id => Some(Self::Approved {
                service_id: it.service_id,
                user_id: it.user_id,
                scopes: it.scopes.clone(),
            }),
            ApplicationEvent::DeviceGrantDenied(it) if it.grant_id.uuid() == id => Some(Self::Denied),
            ApplicationEvent::DeviceGrantRedeemed(it) if it.grant_id.uuid() == id => {
                Some(Self::Redeemed { session_id: it.session_id })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
