//! Making access tokens. Only command-api and `quipu` do.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::{ActorId, TenantId, TokenId};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret as _, SecretSlice};
use uuid::Uuid;

use super::keys::{PublicKeys, der_of_pem, jwk_of};
use super::{ACCESS_LIFE_MAX, ACCESS_TYPE, Act, Claims, ID_TOKEN_TYPE, SHARED_KID};
use crate::config::{ConfigError, KeyConfig, TokenConfig, read_private};

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// There is no key that may sign now: before the first one was made, or after the last one was removed.
    #[error("there is no key to sign with")]
    NoKey,
    /// The library refused.
    #[error("a token could not be signed")]
    Refused(#[from] jsonwebtoken::errors::Error),
}

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey {
    key: EncodingKey,
    header: Header,
    kid: Arc<str>,
}

/// These bytes are no private key of Ed25519.
#[derive(Debug, thiserror::Error)]
#[error("this is not an Ed25519 key")]
pub struct NotAKey;

impl SigningKey {
    /// The private half of a key pair, PKCS#8 (RFC 8410).
    ///
    /// # Errors
    /// [`NotAKey`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, NotAKey> {
        let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|_| NotAKey)?;
        let kid = jwk_of(pair.public_key().as_ref()).kid;
        Ok(Self::new(EncodingKey::from_ed_der(der), Algorithm::EdDSA, &kid))
    }

    fn shared(secret: &SecretSlice<u8>) -> Self {
        Self::new(EncodingKey::from_secret(secret.expose_secret()), Algorithm::HS256, SHARED_KID)
    }

    fn new(key: EncodingKey, algorithm: Algorithm, kid: &str) -> Self {
        let mut header = Header::new(algorithm);
        header.typ = Some(ACCESS_TYPE.to_owned());
        header.kid = Some(kid.to_owned());
        Self { key, header, kid: Arc::from(kid) }
    }

    /// Its name in the header of tokens.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// What a new access token says of its holder. Who signs it, for whom, when and until when, the signer knows.
#[derive(Clone)]
pub struct Grant {
    /// Who acts.
    pub sub: ActorId,
    /// The organisation acted in.
    pub tenant_id: TenantId,
    /// The session that it belongs to, and dies with.
    pub sid: Option<Uuid>,
    /// The address of the person, for services that verify tokens themselves.
    pub email: Option<String>,
    /// The names of the roles held, for the same services.
    pub roles: Vec<String>,
    /// How the person proved who they are (RFC 8176).
    pub amr: Vec<String>,
    /// When they last did.
    pub auth_time: Option<DateTime<Utc>>,
    /// What the token is limited to: names parted by spaces.
    pub scope: Option<String>,
    /// The service that asked for it.
    pub client_id: Option<String>,
    /// Names the secret for which a service gets it to act for itself.
    pub secret_id: Option<Uuid>,
    /// Who acts in the person's place.
    pub act: Option<ActorId>,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("sub", &self.sub).field("sid", &self.sid).finish_non_exhaustive()
    }
}

/// A token that was just made.
#[derive(Clone)]
pub struct Issued {
    /// The token, to be shown to nobody but its holder.
    pub token: String,
    /// Its `jti`.
    pub id: TokenId,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Signs tokens with the key that is the newest at the moment; access tokens with the shared secret, where there is one.
pub struct Signer {
    config: TokenConfig,
    /// The secret of access tokens, if they are signed with one.
    shared: Option<SigningKey>,
    /// The operator's own key, where this process has it.
    own: Option<SigningKey>,
    current: RwLock<Option<SigningKey>>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("kid", &self.kid()).finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads the operator's key, and the shared secret if that is what signs access tokens: then there need be no key.
    /// Refuses a file that others may read, and a key that `jwks.json` does not hold.
    ///
    /// # Errors
    /// With the file or setting that is wrong, and how to mend it.
    pub fn load(keys: &KeyConfig, config: &TokenConfig) -> Result<Self, ConfigError> {
        let shared = shares_a_secret(config).then(|| config.shared_secret()).transpose()?;
        let needed = shared.is_none() || keys.signing_pem().exists();
        let own = needed.then(|| of_operator(keys)).transpose()?;
        Ok(Self::new(config, shared.as_ref().map(SigningKey::shared), own))
    }

    /// As [`Signer::load`], for a service: it can do without the operator's key, and then signs as soon as there is a key
    /// in the vault.
    ///
    /// # Errors
    /// As [`Signer::load`], if a key is there.
    pub fn of_service(keys: &KeyConfig, config: &TokenConfig) -> Result<Self, ConfigError> {
        if shares_a_secret(config) || keys.signing_pem().exists() {
            return Self::load(keys, config);
        }
        Ok(Self::new(config, None, None))
    }

    fn new(config: &TokenConfig, shared: Option<SigningKey>, own: Option<SigningKey>) -> Self {
        Self { config: config.clone(), shared, current: RwLock::new(own.clone()), own }
    }

    /// Signs with `key` from now on; without one, with the operator's, unless that is among the `removed`.
    pub(super) fn use_key(&self, key: Option<SigningKey>, removed: &[String]) {
        let mut keys = [key, self.own.clone()].into_iter().flatten();
        let next = keys.find(|it| !removed.iter().any(|kid| kid == it.kid()));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// The `kid` of the next access token, if one can be made.
    #[must_use]
    pub fn kid(&self) -> Option<String> {
        self.of_access().map(|it| it.kid().to_owned())
    }

    fn current(&self) -> Option<SigningKey> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn of_access(&self) -> Option<SigningKey> {
        self.shared.clone().or_else(|| self.current())
    }

    /// Makes a token that lives for `life`, but no longer than [`ACCESS_LIFE_MAX`].
    ///
    /// # Errors
    /// [`SignError::NoKey`] while there is none: nothing is wrong with the request, so it may be made again later.
    pub fn issue(&self, grant: &Grant, now: DateTime<Utc>, life: Duration) -> Result<Issued, SignError> {
        let id = TokenId::new(Uuid::now_v7());
        let life = TimeDelta::from_std(life.min(ACCESS_LIFE_MAX)).unwrap_or_default();
        let exp = now.timestamp().saturating_add(life.num_seconds());
        let claims = Claims {
            sid: grant.sid,
            roles: grant.roles.clone(),
            email: grant.email.clone(),
            amr: (!grant.amr.is_empty()).then(|| grant.amr.clone()),
            auth_time: grant.auth_time.map(|it| it.timestamp()),
            scope: grant.scope.clone(),
            client_id: grant.client_id.clone(),
            secret_id: grant.secret_id,
            act: grant.act.map(|sub| Act { sub }),
            ..Claims::new(&self.config, grant.tenant_id, grant.sub, id, now.timestamp(), exp)
        };
        let expires_at = DateTime::from_timestamp(exp, 0).unwrap_or(now);
        Ok(Issued { token: self.mint(&claims)?, id, expires_at })
    }

    /// Signs what an ID token says (OpenID Connect Core, section 2). Its `typ` is none of an access token, which
    /// our own verifier asks for; so neither is ever taken for the other. It is for a service, which must be able to verify it:
    /// so a key signs it also where access tokens are signed with a shared secret.
    ///
    /// # Errors
    /// [`SignError::NoKey`].
    pub fn sign_id_token(&self, claims: &impl serde::Serialize) -> Result<String, SignError> {
        let key = self.current().ok_or(SignError::NoKey)?;
        let header = Header { typ: Some(ID_TOKEN_TYPE.to_owned()), ..key.header.clone() };
        Ok(jsonwebtoken::encode(&header, claims, &key.key)?)
    }

    /// Signs claims as they are.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn mint(&self, claims: &Claims) -> Result<String, SignError> {
        let key = self.of_access().ok_or(SignError::NoKey)?;
        Ok(jsonwebtoken::encode(&key.header, claims, &key.key)?)
    }
}

/// Whether access tokens are signed with a secret that all processes have.
pub(super) fn shares_a_secret(config: &TokenConfig) -> bool {
    config.algorithm_of(&config.audience) == Some(Algorithm::HS256)
}

/// Reads `signing.pem`.
fn of_operator(config: &KeyConfig) -> Result<SigningKey, ConfigError> {
    let mend = "make keys with `quipu secrets`; after a rotation add the public key to jwks.json first";
    let bad = |problem: &str| ConfigError::new("QUIPU_KEY_DIR", format!("signing.pem {problem}"), mend);
    let der = der_of_pem(&read_private(&config.signing_pem())?).ok_or_else(|| bad("is not a PKCS#8 PEM"))?;
    let key = SigningKey::from_pkcs8(&der).map_err(|_| bad("is not an Ed25519 key"))?;
    let known = PublicKeys::load(config)?;
    if !known.kids().any(|it| it == key.kid()) {
        return Err(bad("has no public half in jwks.json"));
    }
    Ok(key)
}
