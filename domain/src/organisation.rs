//! Organisations: which tenants there are. Members, roles and plans are not here yet.

pub mod tenant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::private::Private;
use crate::stream::StreamId;
pub use tenant::{CODES, CreateTenant, PARSE_CODES, Slug, Tenant, TenantCreated, TenantError};

/// The names are the contract: a rename breaks stored history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "payload")]
pub enum OrganisationEvent {
    /// A tenant came to be.
    #[serde(rename = "organisation.tenant-created")]
    TenantCreated(TenantCreated),
}

impl OrganisationEvent {
    /// The stored name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::TenantCreated(_) => "organisation.tenant-created",
        }
    }

    /// What is private in it, with the path in the event.
    pub fn privates(&mut self) -> Vec<(&'static str, &mut Private)> {
        match self {
            Self::TenantCreated(_) => Vec::new(),
        }
    }

    /// The streams that it belongs to.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamId> {
        match self {
            Self::TenantCreated(event) => vec![tenant::stream(event.tenant_id)],
        }
    }
}
