//! Who may act: access tokens and the roles that they carry. Sessions and persons are not here yet.

pub mod access_token;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::private::Private;
use crate::stream::StreamId;
pub use access_token::{AccessToken, AccessTokenError, AccessTokenMinted, CODES, MintAccessToken, Role};

/// The names are the contract: a rename breaks stored history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "payload")]
pub enum IdentityEvent {
    /// An access token was issued.
    #[serde(rename = "identity.access-token-minted")]
    AccessTokenMinted(AccessTokenMinted),
}

impl IdentityEvent {
    /// The stored name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::AccessTokenMinted(_) => "identity.access-token-minted",
        }
    }

    /// What is private in it, with the path in the event.
    pub fn privates(&mut self) -> Vec<(&'static str, &mut Private)> {
        match self {
            Self::AccessTokenMinted(_) => Vec::new(),
        }
    }

    /// The streams that it belongs to.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamId> {
        match self {
            Self::AccessTokenMinted(event) => vec![access_token::stream(event.token_id)],
        }
    }
}
