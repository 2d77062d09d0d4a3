//! Signing in with others: the providers that an organisation trusts to say who somebody is, and the ties between its
//! users and who a provider says that they are. When such a tie may be made is in `crate::linking`, since it depends on the
//! users too.
//!
//! Secrets of ours at a provider, tokens of its, and its names for people are not here: events can never be taken back.

pub mod address;
pub mod error;
pub mod link;
pub mod provider;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::private::Private;
use crate::stream::StreamId;
pub use address::{Issuer, ReturnUri};
pub use error::{CODES, FederationError, PARSE_CODES};
pub use link::{
    CheckLink, IdentityHash, IdentityLinked, IdentityUnlinked, Link, LinkIdentity, UnlinkIdentity,
};
pub use provider::{
    ConfigureProvider, Provider, ProviderConfigured, ProviderRemoved, ProviderSettings, RemoveProvider,
    SecretChange,
};

/// The names are the contract: a rename breaks stored history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "payload")]
pub enum FederationEvent {
    /// A provider was set up, or set up anew.
    #[serde(rename = "federation.provider-configured")]
    ProviderConfigured(ProviderConfigured),
    /// Nobody signs in with a provider any more.
    #[serde(rename = "federation.provider-removed")]
    ProviderRemoved(ProviderRemoved),
    /// A user can sign in as somebody whom a provider knows.
    #[serde(rename = "federation.identity-linked")]
    IdentityLinked(IdentityLinked),
    /// They cannot any more.
    #[serde(rename = "federation.identity-unlinked")]
    IdentityUnlinked(IdentityUnlinked),
}

impl FederationEvent {
    /// The stored name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ProviderConfigured(_) => "federation.provider-configured",
            Self::ProviderRemoved(_) => "federation.provider-removed",
            Self::IdentityLinked(_) => "federation.identity-linked",
            Self::IdentityUnlinked(_) => "federation.identity-unlinked",
        }
    }

    /// What is private in it, with the path in the event.
    pub fn privates(&mut self) -> Vec<(&'static str, &mut Private)> {
        match self {
            Self::ProviderConfigured(_) | Self::ProviderRemoved(_) | Self::IdentityUnlinked(_) => Vec::new(),
            Self::IdentityLinked(event) => event.label.iter_mut().map(|it| ("payload.label", it)).collect(),
        }
    }

    /// The streams that it belongs to.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamId> {
        match self {
            Self::ProviderConfigured(event) => vec![provider::stream(event.provider_id)],
            Self::ProviderRemoved(event) => vec![provider::stream(event.provider_id)],
            Self::IdentityLinked(event) => vec![link::stream(event.link_id)],
            Self::IdentityUnlinked(event) => vec![link::stream(event.link_id)],
        }
    }
}
