//! Programs of an organisation: services that let people sign in or sign in themselves, what people allowed them, devices
//! that were signed in by a code, and keys with which programs act.
//!
//! Their secrets are elsewhere; here are the identifiers of those that are good.

pub mod api_key;
pub mod consent;
pub mod device_grant;
pub mod error;
pub mod inventory;
pub mod service;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::private::Private;
use crate::stream::StreamId;
pub use api_key::{ApiKey, ApiKeyIssued, ApiKeyRevoked, IssueApiKey, KeyOwner, LiveApiKey, RevokeApiKey};
pub use consent::{
    Consent, ConsentGranted, ConsentQuestioned, ConsentRevoked, Consented, GrantConsent, RevokeConsent,
};
pub use device_grant::{
    ApproveDevice, DenyDevice, DeviceGrant, DeviceGrantApproved, DeviceGrantDenied, DeviceGrantRedeemed,
    RedeemDevice,
};
pub use error::{ApplicationError, CODES};
pub use inventory::Inventory;
pub use service::{
    AddSecret, ChangeService, LimitService, LiveService, RedirectUri, RegisterService, RemoveSecret,
    RemoveService, ResumeService, Secret, Service, ServiceLimits, SuspendService, UnlimitService,
};
pub use service::{
    GrantsChanged, RedirectUrisChanged, ScopesChanged, SecretAdded, SecretRemoved, ServiceLimited,
    ServiceRegistered, ServiceRemoved, ServiceRenamed, ServiceResumed, ServiceSuspended, ServiceUnlimited,
};

/// The names are the contract: a rename breaks stored history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "payload")]
pub enum ApplicationEvent {
    /// A service came to be.
    #[serde(rename = "application.service-registered")]
    ServiceRegistered(ServiceRegistered),
    /// It has another name.
    #[serde(rename = "application.service-renamed")]
    ServiceRenamed(ServiceRenamed),
    /// People are sent back to other addresses.
    #[serde(rename = "application.redirect-uris-changed")]
    RedirectUrisChanged(RedirectUrisChanged),
    /// It comes by tokens in other ways.
    #[serde(rename = "application.grants-changed")]
    GrantsChanged(GrantsChanged),
    /// It may ask for something else.
    #[serde(rename = "application.scopes-changed")]
    ScopesChanged(ScopesChanged),
    /// It may ask less or more often.
    #[serde(rename = "application.service-limited")]
    ServiceLimited(ServiceLimited),
    /// It may ask as often as the organisation has booked.
    #[serde(rename = "application.service-unlimited")]
    ServiceUnlimited(ServiceUnlimited),
    /// It may not work for the time being.
    #[serde(rename = "application.service-suspended")]
    ServiceSuspended(ServiceSuspended),
    /// It may work again.
    #[serde(rename = "application.service-resumed")]
    ServiceResumed(ServiceResumed),
    /// It is gone.
    #[serde(rename = "application.service-removed")]
    ServiceRemoved(ServiceRemoved),
    /// It has one more secret.
    #[serde(rename = "application.secret-added")]
    SecretAdded(SecretAdded),
    /// One of its secrets is good no more.
    #[serde(rename = "application.secret-removed")]
    SecretRemoved(SecretRemoved),
    /// A person allowed a service something.
    #[serde(rename = "application.consent-granted")]
    ConsentGranted(ConsentGranted),
    /// They ended a session of it, and are asked before the next one.
    #[serde(rename = "application.consent-questioned")]
    ConsentQuestioned(ConsentQuestioned),
    /// A person allows it nothing any more.
    #[serde(rename = "application.consent-revoked")]
    ConsentRevoked(ConsentRevoked),
    /// A person let a device in.
    #[serde(rename = "application.device-grant-approved")]
    DeviceGrantApproved(DeviceGrantApproved),
    /// A person did not let it in.
    #[serde(rename = "application.device-grant-denied")]
    DeviceGrantDenied(DeviceGrantDenied),
    /// The device fetched its tokens.
    #[serde(rename = "application.device-grant-redeemed")]
    DeviceGrantRedeemed(DeviceGrantRedeemed),
    /// A key came to be.
    #[serde(rename = "application.api-key-issued")]
    ApiKeyIssued(ApiKeyIssued),
    /// It is good no more.
    #[serde(rename = "application.api-key-revoked")]
    ApiKeyRevoked(ApiKeyRevoked),
}

impl ApplicationEvent {
    /// The stored name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ServiceRegistered(_) => "application.service-registered",
            Self::ServiceRenamed(_) => "application.service-renamed",
            Self::RedirectUrisChanged(_) => "application.redirect-uris-changed",
            Self::GrantsChanged(_) => "application.grants-changed",
            Self::ScopesChanged(_) => "application.scopes-changed",
            Self::ServiceLimited(_) => "application.service-limited",
            Self::ServiceUnlimited(_) => "application.service-unlimited",
            Self::ServiceSuspended(_) => "application.service-suspended",
            Self::ServiceResumed(_) => "application.service-resumed",
            Self::ServiceRemoved(_) => "application.service-removed",
            Self::SecretAdded(_) => "application.secret-added",
            Self::SecretRemoved(_) => "application.secret-removed",
            Self::ConsentGranted(_) => "application.consent-granted",
            Self::ConsentQuestioned(_) => "application.consent-questioned",
            Self::ConsentRevoked(_) => "application.consent-revoked",
            Self::DeviceGrantApproved(_) => "application.device-grant-approved",
            Self::DeviceGrantDenied(_) => "application.device-grant-denied",
            Self::DeviceGrantRedeemed(_) => "application.device-grant-redeemed",
            Self::ApiKeyIssued(_) => "application.api-key-issued",
            Self::ApiKeyRevoked(_) => "application.api-key-revoked",
        }
    }

    /// What is private in it, with the path in the event.
    pub fn privates(&mut self) -> Vec<(&'static str, &mut Private)> {
        match self {
            Self::ServiceRegistered(_)
            | Self::ServiceRenamed(_)
            | Self::RedirectUrisChanged(_)
            | Self::GrantsChanged(_)
            | Self::ScopesChanged(_)
            | Self::ServiceLimited(_)
            | Self::ServiceUnlimited(_)
            | Self::ServiceSuspended(_)
            | Self::ServiceResumed(_)
            | Self::ServiceRemoved(_)
            | Self::SecretAdded(_)
            | Self::SecretRemoved(_)
            | Self::ConsentGranted(_)
            | Self::ConsentQuestioned(_)
            | Self::ConsentRevoked(_)
            | Self::DeviceGrantApproved(_)
            | Self::DeviceGrantDenied(_)
            | Self::DeviceGrantRedeemed(_)
            | Self::ApiKeyIssued(_)
            | Self::ApiKeyRevoked(_) => Vec::new(),
        }
    }

    /// The streams that it belongs to, its own first; then that of the inventory, if it changes it.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamId> {
        let own = match self {
            Self::ServiceRegistered(it) => service::stream(it.service_id),
            Self::ServiceRenamed(it) => service::stream(it.service_id),
            Self::RedirectUrisChanged(it) => service::stream(it.service_id),
            Self::GrantsChanged(it) => service::stream(it.service_id),
            Self::ScopesChanged(it) => service::stream(it.service_id),
            Self::ServiceLimited(it) => service::stream(it.service_id),
            Self::ServiceUnlimited(it) => service::stream(it.service_id),
            Self::ServiceSuspended(it) => service::stream(it.service_id),
            Self::ServiceResumed(it) => service::stream(it.service_id),
            Self::ServiceRemoved(it) => service::stream(it.service_id),
            Self::SecretAdded(it) => service::stream(it.service_id),
            Self::SecretRemoved(it) => service::stream(it.service_id),
            Self::ConsentGranted(it) => consent::stream(it.user_id, it.service_id),
            Self::ConsentQuestioned(it) => consent::stream(it.user_id, it.service_id),
            Self::ConsentRevoked(it) => consent::stream(it.user_id, it.service_id),
            Self::DeviceGrantApproved(it) => device_grant::stream(it.grant_id),
            Self::DeviceGrantDenied(it) => device_grant::stream(it.grant_id),
            Self::DeviceGrantRedeemed(it) => device_grant::stream(it.grant_id),
            Self::ApiKeyIssued(it) => api_key::stream(it.key_id),
            Self::ApiKeyRevoked(it) => api_key::stream(it.key_id),
        };
        std::iter::once(own).chain(self.inventory().map(|(tenant, _)| inventory::stream(tenant))).collect()
    }
}

#[cfg(test)]
pub(crate) mod sample;
