//! What is the platform's own: the keys with which tokens are signed and what built-in roles grant, in the log of tenant
//! zero; and that staff act for a user, in the log of the user's organisation.

pub mod impersonation;
pub mod permissions;
pub mod signing_key;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::private::Private;
use crate::stream::StreamId;
pub use impersonation::{
    EndImpersonation, Impersonation, ImpersonationEnded, ImpersonationError, ImpersonationStarted,
    StartImpersonation,
};
pub use permissions::{Permissions, PermissionsRecorded, RecordPermissions, RoleGrants};
pub use signing_key::{
    ActivateSigningKey, AnnounceSigningKey, CODES, KeyName, PARSE_CODES, PublicKey, RemoveSigningKey,
    RetireSigningKey, SigningKey, SigningKeyActivated, SigningKeyAnnounced, SigningKeyError,
    SigningKeyRemoved, SigningKeyRetired,
};

/// The names are the contract: a rename breaks stored history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "payload")]
pub enum PlatformEvent {
    /// A key is published, and signs nothing yet.
    #[serde(rename = "platform.signing-key-announced")]
    SigningKeyAnnounced(SigningKeyAnnounced),
    /// Tokens are signed with it from now on.
    #[serde(rename = "platform.signing-key-activated")]
    SigningKeyActivated(SigningKeyActivated),
    /// It signs nothing any more; what it signed is believed a while longer.
    #[serde(rename = "platform.signing-key-retired")]
    SigningKeyRetired(SigningKeyRetired),
    /// Nothing that it signed is believed any more.
    #[serde(rename = "platform.signing-key-removed")]
    SigningKeyRemoved(SigningKeyRemoved),
    /// Built-in roles grant this from now on.
    #[serde(rename = "platform.permissions-recorded")]
    PermissionsRecorded(PermissionsRecorded),
    /// Staff began to act for a user.
    #[serde(rename = "platform.impersonation-started")]
    ImpersonationStarted(ImpersonationStarted),
    /// Staff do not act for that user any more.
    #[serde(rename = "platform.impersonation-ended")]
    ImpersonationEnded(ImpersonationEnded),
}

impl PlatformEvent {
    /// The stored name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::SigningKeyAnnounced(_) => "platform.signing-key-announced",
            Self::SigningKeyActivated(_) => "platform.signing-key-activated",
            Self::SigningKeyRetired(_) => "platform.signing-key-retired",
            Self::SigningKeyRemoved(_) => "platform.signing-key-removed",
            Self::PermissionsRecorded(_) => "platform.permissions-recorded",
            Self::ImpersonationStarted(_) => "platform.impersonation-started",
            Self::ImpersonationEnded(_) => "platform.impersonation-ended",
        }
    }

    /// What is private in it, with the path in the event.
    pub fn privates(&mut self) -> Vec<(&'static str, &mut Private)> {
        match self {
            Self::ImpersonationStarted(event) => vec![("payload.reason", &mut event.reason)],
            Self::SigningKeyAnnounced(_)
            | Self::SigningKeyActivated(_)
            | Self::SigningKeyRetired(_)
            | Self::SigningKeyRemoved(_)
            | Self::PermissionsRecorded(_)
            | Self::ImpersonationEnded(_) => Vec::new(),
        }
    }

    /// The streams that it belongs to.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamId> {
        vec![match self {
            Self::SigningKeyAnnounced(event) => signing_key::stream(event.key_id),
            Self::SigningKeyActivated(event) => signing_key::stream(event.key_id),
            Self::SigningKeyRetired(event) => signing_key::stream(event.key_id),
            Self::SigningKeyRemoved(event) => signing_key::stream(event.key_id),
            Self::PermissionsRecorded(_) => permissions::stream(),
            Self::ImpersonationStarted(event) => impersonation::stream(event.impersonation_id),
            Self::ImpersonationEnded(event) => impersonation::stream(event.impersonation_id),
        }]
    }
}
