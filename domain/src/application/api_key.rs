//! A key with which a program acts: for the person who made it, or for a service. What it is made of is elsewhere; here is
//! what it allows, and that its owner must still hold that is looked at when it is used (`crate::gate`).

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ApplicationEvent;
use super::error::ApplicationError;
use super::inventory::{self, Inventory};
use super::service;
use crate::aggregate::Aggregate;
use crate::allowance::{self, Allowance};
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::ids::{ActorId, ApiKeyId, ServiceId, TenantId, UserId};
use crate::metadata::Label;
use crate::stream::{Category, StreamId};
use crate::words::Permission;

/// The most permissions of a key.
pub const PERMISSIONS_MAX: usize = 200;

/// For whom a key acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyOwner {
    /// For the person who made it (CVE-2025-61928: never for one whom a request names).
    User(UserId),
    /// For a service of the organisation.
    Service(ServiceId),
}

impl KeyOwner {
    /// Who acts with it.
    #[must_use]
    pub const fn actor(self) -> ActorId {
        match self {
            Self::User(id) => id.actor(),
            Self::Service(id) => id.actor(),
        }
    }
}

/// A key came to be, of which nothing is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyIssued {
    /// Of which organisation.
    pub tenant_id: TenantId,
    /// Names the key.
    pub key_id: ApiKeyId,
    /// For whom it acts.
    pub owner: KeyOwner,
    /// Its name for people.
    pub name: Label,
    /// What it allows at most, in order.
    pub permissions: Vec<Permission>,
    /// Until when it is good, if not for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// What the organisation has after it.
    pub inventory: Inventory,
    /// When.
    pub at: DateTime<Utc>,
}

/// A key is good no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyRevoked {
    /// Of which organisation.
    pub tenant_id: TenantId,
    /// Names the key.
    pub key_id: ApiKeyId,
    /// Who revoked it.
    pub by: ActorId,
    /// What the organisation has after it.
    pub inventory: Inventory,
    /// When.
    pub at: DateTime<Utc>,
}

/// What is known of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum ApiKey {
    /// Never issued.
    #[default]
    Absent,
    /// Good, if it has not expired.
    Live(LiveApiKey),
    /// Good no more.
    Revoked,
}

/// A key that was not revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LiveApiKey {
    /// For whom it acts.
    pub owner: KeyOwner,
    /// What it allows at most, in order.
    pub permissions: Vec<Permission>,
    /// Until when it is good.
    pub expires_at: Option<DateTime<Utc>>,
}

/// The stream of a key.
#[must_use]
pub const fn stream(id: ApiKeyId) -> StreamId {
    StreamId::new(ApiKey::CATEGORY, id.uuid())
}

/// The key, if it is good now.
pub(crate) fn live<'a>(view: &View<'a>, id: ApiKeyId) -> Option<&'a LiveApiKey> {
    match view.find::<ApiKey>(id.uuid())?.state {
        ApiKey::Live(key) => Some(key).filter(|it| it.expires_at.is_none_or(|end| end > view.now)),
        ApiKey::Absent | ApiKey::Revoked => None,
    }
}

/// Issues a key, which the vault takes with it. Whether its owner holds what it allows is the caller's gate.
///
/// Refused with [`ApplicationError::KeyEmpty`], [`ApplicationError::LimitReached`] for permissions,
/// [`ApplicationError::KeyExpired`], [`ApplicationError::ServiceNotFound`] and [`ApplicationError::ServiceSuspended`] for a
/// key of a service, [`ApplicationError::KeyExists`], [`ApplicationError::LimitReached`] for keys.
#[derive(Debug, Clone)]
pub struct IssueApiKey {
    /// Its identifier, given by the caller.
    pub key_id: ApiKeyId,
    /// For whom it acts.
    pub owner: KeyOwner,
    /// Its name for people.
    pub name: Label,
    /// What it allows at most.
    pub permissions: Vec<Permission>,
    /// Until when it is good, if not for ever.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Decision for IssueApiKey {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut needs =
            vec![stream(self.key_id), inventory::stream(view.tenant), allowance::stream(view.tenant)];
        if let KeyOwner::Service(id) = self.owner {
            needs.push(service::stream(id));
        }
        needs
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let mut permissions = self.permissions.clone();
        permissions.sort_unstable();
        permissions.dedup();
        if permissions.is_empty() {
            return Err(ApplicationError::KeyEmpty.into());
        }
        if permissions.len() > PERMISSIONS_MAX {
            return Err(ApplicationError::LimitReached { what: "permissions", max: 200 }.into());
        }
        if self.expires_at.is_some_and(|it| it <= view.now) {
            return Err(ApplicationError::KeyExpired.into());
        }
        if let KeyOwner::Service(id) = self.owner {
            service::live(view, id)?;
        }
        let known = view.find::<ApiKey>(self.key_id.uuid());
        if known.is_some_and(|seen| *seen.state != ApiKey::Absent) {
            return Err(ApplicationError::KeyExists.into());
        }
        let event = ApplicationEvent::ApiKeyIssued(ApiKeyIssued {
            tenant_id: view.tenant,
            key_id: self.key_id,
            owner: self.owner,
            name: self.name.clone(),
            permissions,
            expires_at: self.expires_at,
            inventory: Inventory::of(view).with_key(Allowance::of(view))?,
            at: view.now,
        });
        Ok(Verdict::created(stream(self.key_id), event).valid_until(self.expires_at))
    }
}

/// Makes a key good no more. Already so, if it is.
///
/// Refused with [`ApplicationError::KeyNotFound`], also for another's key if `of` says whose it must be.
#[derive(Debug, Clone)]
pub struct RevokeApiKey {
    /// Which.
    pub key_id: ApiKeyId,
    /// Whose it must be, if somebody revokes their own.
    pub of: Option<KeyOwner>,
    /// Who does it.
    pub by: ActorId,
}

impl Decision for RevokeApiKey {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.key_id), inventory::stream(view.tenant)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        match view.find::<ApiKey>(self.key_id.uuid()).map(|seen| seen.state) {
            Some(ApiKey::Live(key)) if self.of.is_none_or(|of| of == key.owner) => {}
            Some(ApiKey::Revoked) if self.of.is_none() => return Ok(Verdict::already(stream(self.key_id))),
            _ => return Err(ApplicationError::KeyNotFound.into()),
        }
        let event = ApplicationEvent::ApiKeyRevoked(ApiKeyRevoked {
            tenant_id: view.tenant,
            key_id: self.key_id,
            by: self.by,
            inventory: Inventory::of(view).without_key(),
            at: view.now,
        });
        Ok(Verdict::done(stream(self.key_id), event))
    }
}

impl Aggregate for ApiKey {
    const CATEGORY: Category = Category { code: 51, name: "application.api-key" };

    const RESTORABLE: bool = true;

    fn evolve(&mut self, id: Uuid, event: &Event) {
        if let Some(told) = Self::restore(id, event) {
            *self = told;
        }
    }

    fn restore(id: Uuid, newest: &Event) -> Option<Self> {
        let Event::Application(newest) = newest else { return None };
        match newest {
            ApplicationEvent::ApiKeyIssued(it) if it.key_id.uuid() == id => Some(Self::Live(LiveApiKey {
                owner: it.owner,
                permissions: it.permissions.clone(),
                expires_at: it.expires_at,
            })),
            ApplicationEvent::ApiKeyRevoked(it) if it.key_id.uuid() == id => Some(Self::Revoked),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
