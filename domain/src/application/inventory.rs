//! How many services and keys an organisation has. Every event that changes a figure belongs to this stream too and
//! carries both, so that limits are judged on one small state that the append guards.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ApplicationEvent;
use super::error::ApplicationError;
use crate::aggregate::Aggregate;
use crate::allowance::Allowance;
use crate::decision::View;
use crate::event::Event;
use crate::ids::TenantId;
use crate::stream::{Category, StreamId};

/// How many services an organisation may have for which the platform has set nothing else.
pub const SERVICES_MAX: u32 = 100;
/// How many keys an organisation may have for which the platform has set nothing else.
pub const KEYS_MAX: u32 = 1_000;

/// What an organisation has, as it is after an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inventory {
    /// How many services.
    pub services: u32,
    /// How many keys that were not revoked, expired ones among them.
    pub api_keys: u32,
}

/// The stream of an organisation's inventory.
#[must_use]
pub const fn stream(tenant: TenantId) -> StreamId {
    StreamId::new(Inventory::CATEGORY, tenant.uuid())
}

impl Inventory {
    pub(super) fn of(view: &View<'_>) -> Self {
        view.find::<Self>(view.tenant.uuid()).map(|seen| *seen.state).unwrap_or_default()
    }

    /// One service more, if what the organisation has booked has room for it.
    ///
    /// # Errors
    /// [`ApplicationError::LimitReached`].
    pub(super) fn with_service(self, allowance: Option<&Allowance>) -> Result<Self, ApplicationError> {
        let max = allowance.map_or(SERVICES_MAX, |it| it.services);
        if self.services >= max {
            return Err(ApplicationError::LimitReached { what: "services", max });
        }
        Ok(Self { services: self.services.saturating_add(1), ..self })
    }

    /// One service less.
    pub(super) const fn without_service(self) -> Self {
        Self { services: self.services.saturating_sub(1), ..self }
    }

    /// One key more, if what the organisation has booked has room for it.
    ///
    /// # Errors
    /// [`ApplicationError::LimitReached`].
    pub(super) fn with_key(self, allowance: Option<&Allowance>) -> Result<Self, ApplicationError> {
        let max = allowance.map_or(KEYS_MAX, |it| it.api_keys);
        if self.api_keys >= max {
            return Err(ApplicationError::LimitReached { what: "api_keys", max });
        }
        Ok(Self { api_keys: self.api_keys.saturating_add(1), ..self })
    }

    /// One key less.
    pub(super) const fn without_key(self) -> Self {
        Self { api_keys: self.api_keys.saturating_sub(1), ..self }
    }
}

impl ApplicationEvent {
    /// The inventory after it, and whose it is, if it changes one.
    #[must_use]
    pub const fn inventory(&self) -> Option<(TenantId, &Inventory)> {
        match self {
            Self::ServiceRegistered(it) => Some((it.tenant_id, &it.inventory)),
            Self::ServiceRemoved(it) => Some((it.tenant_id, &it.inventory)),
            Self::ApiKeyIssued(it) => Some((it.tenant_id, &it.inventory)),
            Self::ApiKeyRevoked(it) => Some((it.tenant_id, &it.inventory)),
            _ => None,
        }
    }
}

impl Aggregate for Inventory {
    const CATEGORY: Category = Category { code: 54, name: "application.inventory" };

    const RESTORABLE: bool = true;

    fn evolve(&mut self, id: Uuid, event: &Event) {
        if let Some(told) = Self::restore(id, event) {
            *self = told;
        }
    }

    fn restore(id: Uuid, newest: &Event) -> Option<Self> {
        let Event::Application(newest) = newest else { return None };
        newest.inventory().filter(|(tenant, _)| tenant.uuid() == id).map(|(_, inventory)| *inventory)
    }
}
