//! Quipu as the provider with which services let people sign in: OAuth 2.0 (RFC 6749, with the practice of RFC 9700) and
//! OpenID Connect Core 1.0.
//!
//! | what | where |
//! |---|---|
//! | parameters of forms and queries | [`params`] |
//! | services, and how they show who they are | [`client`] |
//! | what a service asks (PKCE S256 alone), what the person is asked, and the code that follows | [`ask`], [`authorize`] |
//! | the token endpoint | [`grants`] |
//! | asking about tokens, giving them back, and who somebody is | [`inspect`] |
//! | devices without a keyboard (RFC 8628) | [`device`], taken in by the batch: [`batch`] |
//! | the two documents by which others find all this (RFC 8414) | [`discovery`] |
//! | signing out from a service | [`logout`] |
//! | what scripts of others' pages may read of all this | [`cross_origin`] |
//!
//! It knows the words of OAuth and no HTTP beyond headers and forms. Who is let in, [`crate::identity`] has judged at the
//! commit. Pages are elsewhere: they ask [`Oauth`] what comes next.

mod ask;
pub mod authorize;
mod batch;
mod client;
pub mod cross_origin;
pub mod device;
pub mod discovery;
pub mod grants;
pub mod inspect;
pub mod logout;
mod params;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use domain::application::LiveService;
use domain::application::service::OFFLINE_ACCESS;
use domain::words::Scope;
use event_store::MasterKey;
use event_store::vault::{Digest, Shown, Vault};
use service_kit::bearer::{Bearer, Kind};
use service_kit::config::PublicUrl;
use service_kit::oauth_error::{OauthCode, OauthError};
use service_kit::problem::Problem;
use service_kit::token::{Signer, Verifier};
use sqlx::PgPool;

use crate::identity::Identity;
pub use authorize::{Asked, Next, SentBack};
pub use device::Device;
pub use logout::Leaving;
pub use params::{Params, form_text, read_form};

/// Asks for an ID token.
const OPENID: &str = "openid";
/// Asks for the names and language of the person.
const PROFILE: &str = "profile";
/// Asks for the address of the person.
const EMAIL: &str = "email";
/// Asks for the telephone number of the person.
const PHONE: &str = "phone";
/// Asks for the organisation, and what the person is in it. No standard has a name for that.
const ORGANISATION: &str = "organization";

/// Scopes of OpenID Connect that are known here: they say what a service learns of a person, and whether it goes on while they
/// are away. They are no permissions.
pub const OF_OPENID: [&str; 6] = [OPENID, PROFILE, EMAIL, PHONE, OFFLINE_ACCESS, ORGANISATION];

/// What a service may do to come by tokens, as its registration says it.
pub mod grant {
    use domain::words::Word;
    use serde::{Deserialize, Serialize};
    use utoipa::ToSchema;

    /// People sign in and are sent back with a code.
    pub const AUTHORIZATION_CODE: &str = domain::application::service::AUTHORIZATION_CODE;
    /// The service signs in itself.
    pub const CLIENT_CREDENTIALS: &str = domain::application::service::CLIENT_CREDENTIALS;
    /// It goes on when an access token is over.
    pub const REFRESH_TOKEN: &str = domain::application::service::REFRESH_TOKEN;
    /// People let devices in by typing a code.
    pub const DEVICE_CODE: &str = domain::application::service::DEVICE_CODE;
    /// All of them.
    pub const ALL: [&str; 4] = [AUTHORIZATION_CODE, CLIENT_CREDENTIALS, DEVICE_CODE, REFRESH_TOKEN];

    /// The same by the names of OAuth, as services are registered (RFC 7591 section 2). The names above, which stand in the log,
    /// are taken as well.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
    pub enum GrantType {
        /// People sign in and are sent back with a code.
        #[serde(rename = "authorization_code", alias = "authorization-code")]
        AuthorizationCode,
        /// The service signs in itself.
        #[serde(rename = "client_credentials", alias = "client-credentials")]
        ClientCredentials,
        /// It goes on when an access token is over.
        #[serde(rename = "refresh_token", alias = "refresh-token")]
        RefreshToken,
        /// People let devices in by typing a code.
        #[serde(rename = "urn:ietf:params:oauth:grant-type:device_code", alias = "device-code")]
        DeviceCode,
    }

    impl GrantType {
        /// As it stands in the log.
        #[must_use]
        pub const fn word(self) -> Word {
            Word::of(match self {
                Self::AuthorizationCode => AUTHORIZATION_CODE,
                Self::ClientCredentials => CLIENT_CREDENTIALS,
                Self::RefreshToken => REFRESH_TOKEN,
                Self::DeviceCode => DEVICE_CODE,
            })
        }
    }
}

/// The provider. Clones are the same.
#[derive(Clone)]
pub struct Oauth(Arc<Whole>);

/// What it is put together of.
pub struct Parts {
    /// Who people are, and what they let services have.
    pub identity: Identity,
    /// Where secrets, requests and codes are kept.
    pub vault: Vault,
    /// Connections for looking things up.
    pub pool: PgPool,
    /// Seals what is asked.
    pub master: Arc<MasterKey>,
    /// Signs ID tokens.
    pub signer: Arc<Signer>,
    /// Believes access tokens.
    pub verifier: Arc<Verifier>,
    /// Under what people and services reach us; without it nothing here works.
    pub public_url: Option<PublicUrl>,
}

struct Whole {
    parts: Parts,
    devices: batch::Devices,
}

impl fmt::Debug for Oauth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Oauth")
    }
}

impl Oauth {
    /// Puts it together. Devices are taken in by a task of its own, which ends with the last clone.
    #[must_use]
    pub fn start(parts: Parts) -> Self {
        let devices = batch::Devices::start(parts.vault.clone());
        Self(Arc::new(Whole { parts, devices }))
    }

    fn parts(&self) -> &Parts {
        &self.0.parts
    }

    /// Who we are to services: `iss` of ID tokens and of answers.
    ///
    /// # Errors
    /// 503, if nobody set under what we are reached.
    fn issuer(&self) -> Result<String, Problem> {
        let url = self.parts().public_url.as_ref();
        url.map(ToString::to_string).ok_or_else(|| {
            Problem::new(&service_kit::problem::code::OAUTH_OFF, "QUIPU_PUBLIC_URL is not set")
        })
    }
}

/// An opaque text of a kind, as the vault looks it up; nothing if it is none.
fn shown(kind: Kind, text: &str) -> Option<Shown> {
    let it = Bearer::parse(kind, text).ok()?;
    Some(Shown { tenant: it.tenant, id: it.id, hash: Digest(it.hash()) })
}

/// SHA-256.
fn sha256(text: &[u8]) -> Digest {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text).as_ref());
    Digest(hash)
}

/// Names parted by single spaces (RFC 6749 section 3.3), each once.
fn scopes(text: &str) -> Result<Vec<Scope>, OauthError> {
    let malformed = || OauthError::new(OauthCode::InvalidScope, "the scope is malformed");
    let mut scopes =
        text.split(' ').map(Scope::parse).collect::<Result<Vec<_>, _>>().map_err(|_| malformed())?;
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.len() > domain::application::service::SCOPES_MAX {
        return Err(malformed());
    }
    Ok(scopes)
}

/// The same, written again.
fn written(scopes: &[Scope]) -> String {
    scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
}

/// Of names parted by spaces those that a service may ask for by now.
fn registered(scope: &str, service: &LiveService) -> String {
    scope.split(' ').filter(|it| service.may_ask(it)).collect::<Vec<_>>().join(" ")
}

/// Whether names parted by spaces have one.
fn has(scope: &str, name: &str) -> bool {
    scope.split(' ').any(|it| it == name)
}

#[cfg(test)]
mod tests {
    use domain::application::service::oauth_name;

    use super::grant::{ALL, GrantType};

    #[test]
    fn a_grant_is_taken_by_either_name_and_told_by_that_of_oauth() {
        for short in ALL {
            let by_name = |name: &str| serde_json::from_value::<GrantType>(name.into()).unwrap();
            assert_eq!(by_name(short).word().as_str(), short);
            assert_eq!(by_name(oauth_name(short)), by_name(short));
            assert_eq!(serde_json::to_value(by_name(short)).unwrap(), oauth_name(short));
        }
        assert!(serde_json::from_value::<GrantType>("password".into()).is_err());
    }
}
