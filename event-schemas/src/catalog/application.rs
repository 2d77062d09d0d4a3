//! Programs of an organisation, and what they may.

use domain::application::{
    ApiKey, ApiKeyIssued, ApiKeyRevoked, ApplicationEvent, Consent, ConsentGranted, ConsentQuestioned,
    ConsentRevoked, DeviceGrant, DeviceGrantApproved, DeviceGrantDenied, DeviceGrantRedeemed, GrantsChanged,
    Inventory, RedirectUrisChanged, ScopesChanged, SecretAdded, SecretRemoved, Service, ServiceLimited,
    ServiceRegistered, ServiceRemoved, ServiceRenamed, ServiceResumed, ServiceSuspended, ServiceUnlimited,
};

use super::{AggregateType, EventType, aggregate, event};

pub(super) const EVENTS: &[EventType] = &[
    event::<Service, ApplicationEvent, ServiceRegistered>(
        "application.service-registered",
        "A service came to be.",
    ),
    event::<Service, ApplicationEvent, ServiceRenamed>(
        "application.service-renamed",
        "A service has another name.",
    ),
    event::<Service, ApplicationEvent, RedirectUrisChanged>(
        "application.redirect-uris-changed",
        "A service sends people back to other addresses.",
    ),
    event::<Service, ApplicationEvent, GrantsChanged>(
        "application.grants-changed",
        "A service comes by tokens in other ways.",
    ),
    event::<Service, ApplicationEvent, ScopesChanged>(
        "application.scopes-changed",
        "A service may ask for something else.",
    ),
    event::<Service, ApplicationEvent, ServiceLimited>(
        "application.service-limited",
        "A service may ask less or more often.",
    ),
    event::<Service, ApplicationEvent, ServiceUnlimited>(
        "application.service-unlimited",
        "A service may ask as often as its organisation has booked.",
    ),
    event::<Service, ApplicationEvent, ServiceSuspended>(
        "application.service-suspended",
        "A service may not work for the time being.",
    ),
    event::<Service, ApplicationEvent, ServiceResumed>(
        "application.service-resumed",
        "A service may work again.",
    ),
    event::<Service, ApplicationEvent, ServiceRemoved>("application.service-removed", "A service is gone."),
    event::<Service, ApplicationEvent, SecretAdded>(
        "application.secret-added",
        "A service has one more secret, of which nothing is recorded.",
    ),
    event::<Service, ApplicationEvent, SecretRemoved>(
        "application.secret-removed",
        "A secret of a service is good no more.",
    ),
    event::<Consent, ApplicationEvent, ConsentGranted>(
        "application.consent-granted",
        "A person allowed a service something.",
    ),
    event::<Consent, ApplicationEvent, ConsentQuestioned>(
        "application.consent-questioned",
        "A person ended a session of a service by hand, and is asked before the next one.",
    ),
    event::<Consent, ApplicationEvent, ConsentRevoked>(
        "application.consent-revoked",
        "A person allows a service nothing any more.",
    ),
    event::<DeviceGrant, ApplicationEvent, DeviceGrantApproved>(
        "application.device-grant-approved",
        "A person let a device in.",
    ),
    event::<DeviceGrant, ApplicationEvent, DeviceGrantDenied>(
        "application.device-grant-denied",
        "A person did not let a device in.",
    ),
    event::<DeviceGrant, ApplicationEvent, DeviceGrantRedeemed>(
        "application.device-grant-redeemed",
        "A device that was let in fetched its tokens.",
    ),
    event::<ApiKey, ApplicationEvent, ApiKeyIssued>(
        "application.api-key-issued",
        "A key came to be, of which nothing is recorded.",
    ),
    event::<ApiKey, ApplicationEvent, ApiKeyRevoked>("application.api-key-revoked", "A key is good no more."),
];

pub(super) const AGGREGATES: &[AggregateType] = &[
    aggregate::<Service>(),
    aggregate::<ApiKey>(),
    aggregate::<DeviceGrant>(),
    aggregate::<Consent>(),
    aggregate::<Inventory>(),
];
