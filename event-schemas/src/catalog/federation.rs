//! Signing in with others.

use domain::federation::{
    FederationEvent, IdentityLinked, IdentityUnlinked, Link, Provider, ProviderConfigured, ProviderRemoved,
};

use super::{AggregateType, EventType, aggregate, event};

pub(super) const EVENTS: &[EventType] = &[
    event::<Provider, FederationEvent, ProviderConfigured>(
        "federation.provider-configured",
        "A provider with which people sign in was set up, or set up anew.",
    ),
    event::<Provider, FederationEvent, ProviderRemoved>(
        "federation.provider-removed",
        "Nobody signs in with a provider any more.",
    ),
    event::<Link, FederationEvent, IdentityLinked>(
        "federation.identity-linked",
        "A user can sign in as somebody whom a provider knows.",
    ),
    event::<Link, FederationEvent, IdentityUnlinked>(
        "federation.identity-unlinked",
        "A user cannot sign in with a link any more.",
    ),
];

pub(super) const AGGREGATES: &[AggregateType] = &[aggregate::<Provider>(), aggregate::<Link>()];
