//! What happens to a service.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::inventory::Inventory;
use super::{RedirectUri, ServiceLimits};
use crate::ids::{SecretId, ServiceId, TenantId};
use crate::metadata::Label;
use crate::words::{Scope, Word};

/// A service came to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceRegistered {
    /// Of which organisation.
    pub tenant_id: TenantId,
    /// Which.
    pub service_id: ServiceId,
    /// Its name for people.
    pub name: Label,
    /// Whether it can keep a secret.
    pub confidential: bool,
    /// Where it sends people back to.
    pub redirect_uris: Vec<RedirectUri>,
    /// What it is granted, such as `authorization-code`, `client-credentials`, `refresh-token`, `device-code`.
    pub grants: Vec<Word>,
    /// What it may ask for.
    pub scopes: Vec<Scope>,
    /// How often it may ask, if that was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ServiceLimits>,
    /// What the organisation has after it.
    pub inventory: Inventory,
    /// When.
    pub at: DateTime<Utc>,
}

/// A service has another name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceRenamed {
    /// Which.
    pub service_id: ServiceId,
    /// What it was called.
    pub before: Label,
    /// What it is called.
    pub name: Label,
    /// When.
    pub at: DateTime<Utc>,
}

/// A service sends people back to other addresses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RedirectUrisChanged {
    /// Which.
    pub service_id: ServiceId,
    /// Where it sent them.
    pub before: Vec<RedirectUri>,
    /// Where it sends them.
    pub redirect_uris: Vec<RedirectUri>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A service comes by tokens in other ways.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GrantsChanged {
    /// Which.
    pub service_id: ServiceId,
    /// What it was granted.
    pub before: Vec<Word>,
    /// What it is granted.
    pub grants: Vec<Word>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A service may ask for something else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScopesChanged {
    /// Which.
    pub service_id: ServiceId,
    /// What it could ask for.
    pub before: Vec<Scope>,
    /// What it may ask for.
    pub scopes: Vec<Scope>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A service may ask less or more often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceLimited {
    /// Which.
    pub service_id: ServiceId,
    /// How often.
    pub limits: ServiceLimits,
    /// When.
    pub at: DateTime<Utc>,
}

/// A service may ask as often as its organisation has booked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceUnlimited {
    /// Which.
    pub service_id: ServiceId,
    /// When.
    pub at: DateTime<Utc>,
}

/// A service may not work for the time being.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceSuspended {
    /// Which.
    pub service_id: ServiceId,
    /// Why.
    pub because: Word,
    /// When.
    pub at: DateTime<Utc>,
}

/// A service may work again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceResumed {
    /// Which.
    pub service_id: ServiceId,
    /// When.
    pub at: DateTime<Utc>,
}

/// A service is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceRemoved {
    /// Of which organisation.
    pub tenant_id: TenantId,
    /// Which.
    pub service_id: ServiceId,
    /// What the organisation has after it.
    pub inventory: Inventory,
    /// When.
    pub at: DateTime<Utc>,
}

/// A service has one more secret, of which nothing is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecretAdded {
    /// Which service.
    pub service_id: ServiceId,
    /// Names the secret.
    pub secret_id: SecretId,
    /// Until when it is good, if not for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A secret of a service is good no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRemoved {
    /// Which service.
    pub service_id: ServiceId,
    /// Names the secret.
    pub secret_id: SecretId,
    /// Why, such as `asked`, `leaked`.
    pub because: Word,
    /// When.
    pub at: DateTime<Utc>,
}
