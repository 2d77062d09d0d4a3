//! What happens to a tenant, as the platform tells it.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Slug;
use crate::ids::{ActorId, TenantId, UserId};
use crate::metadata::Label;
use crate::private::Private;
use crate::words::Word;

/// Somebody asked for an organisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TenantRequested {
    /// Its identifier.
    pub tenant_id: TenantId,
    /// Its name in addresses.
    pub slug: Slug,
    /// Its name for people.
    pub name: Label,
    /// The user, in its own log, who asked for it.
    pub founder: UserId,
    /// When.
    pub at: DateTime<Utc>,
}

/// It may work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TenantApproved {
    /// Which.
    pub tenant_id: TenantId,
    /// Who decided.
    pub by: ActorId,
    /// When.
    pub at: DateTime<Utc>,
}

/// It will not come to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TenantRejected {
    /// Which.
    pub tenant_id: TenantId,
    /// Who decided.
    pub by: ActorId,
    /// Why, in words for the founder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Private>,
    /// When.
    pub at: DateTime<Utc>,
}

/// It may not work for the time being.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TenantSuspended {
    /// Which.
    pub tenant_id: TenantId,
    /// Who decided.
    pub by: ActorId,
    /// Why, such as `unpaid`, `abuse`.
    pub because: Word,
    /// Why, in words for the founder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Private>,
    /// When.
    pub at: DateTime<Utc>,
}

/// It may work again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TenantReactivated {
    /// Which.
    pub tenant_id: TenantId,
    /// Who decided.
    pub by: ActorId,
    /// When.
    pub at: DateTime<Utc>,
}

/// It is gone. Its name in addresses is not given to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TenantClosed {
    /// Which.
    pub tenant_id: TenantId,
    /// Who decided.
    pub by: ActorId,
    /// Why, such as `asked`.
    pub because: Word,
    /// When.
    pub at: DateTime<Utc>,
}

/// It has another name for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TenantRenamed {
    /// Which.
    pub tenant_id: TenantId,
    /// What it was called.
    pub before: Label,
    /// What it is called.
    pub name: Label,
    /// When.
    pub at: DateTime<Utc>,
}

/// It has booked something else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TenantTierChanged {
    /// Which.
    pub tenant_id: TenantId,
    /// What it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Word>,
    /// What it has.
    pub tier: Word,
    /// Who decided.
    pub by: ActorId,
    /// When.
    pub at: DateTime<Utc>,
}
