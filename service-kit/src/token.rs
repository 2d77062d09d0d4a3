//! Access tokens: what is in one, who signs them and who believes them.
//!
//! | what | where |
//! |---|---|
//! | key pairs, their public halves, the files that they lie in | [`keys`] |
//! | making tokens | [`sign`] |
//! | believing tokens | [`verify`] |
//! | following the keys as they come and go | [`reload`] |
//!
//! Who holds a token is believed to be who it says; what that person may do is not in it, but looked up.

pub mod keys;
pub mod reload;
pub mod sign;
pub mod verify;

use std::fmt;
use std::time::Duration;

use domain::ids::{ActorId, TenantId, TokenId};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::config::TokenConfig;

pub use keys::{NewKey, PublicKeys, generate_keys};
pub use reload::{KeySet, Keys};
pub use sign::{Grant, Issued, SignError, Signer, SigningKey};
pub use verify::{IdTokenHint, TokenError, Verified, Verifier};

/// Seconds that clocks may differ by.
pub const LEEWAY_SECONDS: i64 = 5;
/// Bytes of a token at most.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Tokens remembered at most.
pub const REMEMBERED_MAX: usize = 10_000;
/// How long an access token lives at most, but for those of operators. A key that is retired is believed for longer than
/// this, so every token outlives no key.
pub const ACCESS_LIFE_MAX: Duration = Duration::from_secs(3_600);
/// `typ` of an access token (RFC 9068); what is a token of another kind has another, or is no JWT at all.
const ACCESS_TYPE: &str = "at+jwt";
/// `typ` of an ID token.
const ID_TOKEN_TYPE: &str = "JWT";
/// `kid` of tokens that are signed with the one shared secret.
const SHARED_KID: &str = "shared";

/// What the bearer of an operator's token may do. Sessions have members' roles, of which there are more; see [`Claims`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// May do everything within the organisation.
    Owner,
    /// May read.
    Member,
}

impl Role {
    /// As a token says it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
        }
    }

    /// The role of this name. One of a newer build is none here, and grants nothing.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Owner, Self::Member].into_iter().find(|it| it.name() == name)
    }
}

impl From<domain::identity::Role> for Role {
    fn from(role: domain::identity::Role) -> Self {
        match role {
            domain::identity::Role::Owner => Self::Owner,
            domain::identity::Role::Member => Self::Member,
        }
    }
}

/// The claims of an access token. All that are no `Option` are demanded by name.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who signed.
    pub iss: String,
    /// For whom: one audience, never a list.
    pub aud: String,
    /// Who acts.
    pub sub: ActorId,
    /// The organisation acted in.
    pub tenant_id: TenantId,
    /// This token.
    pub jti: TokenId,
    /// When it was signed, in seconds.
    pub iat: i64,
    /// When it ends, in seconds.
    pub exp: i64,
    /// When it begins, if later than `iat`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// The session it belongs to; tokens of operators have none.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub sid: Option<Uuid>,
    /// The names of the roles held; none, if it is left out. Where there is a session they are for services that verify
    /// tokens themselves: here the state says what they are by now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The address of the person, for the same services.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// How the person proved who they are (RFC 8176).
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub amr: Option<Vec<String>>,
    /// When they last did, in seconds (OpenID Connect Core, section 2).
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// What the token is limited to: names parted by spaces (RFC 9068, section 2.2.3).
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The service that asked for it (RFC 9068, section 2.2).
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Names the secret for which a service got it to act for itself: the token ends with the secret.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub secret_id: Option<Uuid>,
    /// Who acts in the person's place (RFC 8693, section 4.1).
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub act: Option<Act>,
}

/// Without what is personal.
impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("aud", &self.aud)
            .field("sub", &self.sub)
            .field("tenant_id", &self.tenant_id)
            .field("jti", &self.jti)
            .field("sid", &self.sid)
            .field("exp", &self.exp)
            .finish_non_exhaustive()
    }
}

/// Who acts in the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// The one who acts.
    pub sub: ActorId,
}

impl Claims {
    /// What every token says, and nothing else. `iat` and `exp` are seconds since 1970.
    #[must_use]
    pub fn new(
        config: &TokenConfig,
        tenant_id: TenantId,
        sub: ActorId,
        jti: TokenId,
        iat: i64,
        exp: i64,
    ) -> Self {
        Self {
            iss: config.issuer().to_owned(),
            aud: config.audience.clone(),
            sub,
            tenant_id,
            jti,
            iat,
            exp,
            nbf: None,
            sid: None,
            roles: Vec::new(),
            email: None,
            amr: None,
            auth_time: None,
            scope: None,
            client_id: None,
            secret_id: None,
            act: None,
        }
    }

    /// The same for a bearer with this role.
    #[must_use]
    pub fn with_role(mut self, role: Role) -> Self {
        self.roles = vec![role.name().to_owned()];
        self
    }
}

/// Refuses `null` where a claim is given at all.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
pub(crate) mod tests;
