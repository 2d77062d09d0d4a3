//! Believing access tokens: ours alone, signed with the one algorithm of their audience.
//!
//! Verifying a signature on every request halves the throughput of a command, so a verified token is remembered by
//! its hash, in bounded memory; that its time has not passed and that its key is still ours is checked at every hit.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use sabotage::Guard;
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::keys::PublicKeys;
use super::reload::Keys;
use super::sign::shares_a_secret;
use super::{
    ACCESS_TYPE, Claims, ID_TOKEN_TYPE, LEEWAY_SECONDS, REMEMBERED_MAX, SHARED_KID, TOKEN_BYTES_MAX,
};
use crate::config::{ConfigError, KeyConfig, TokenConfig};

/// ID tokens are signed with keys alone, so that services can verify them.
const ID_TOKEN_ALGORITHM: &str = "EdDSA";

/// The header of our tokens, whole: anything else in it (`jwk`, `jku`, `x5u`, `crit`) is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StrictHeader {
    alg: String,
    typ: String,
    kid: String,
}

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not one of ours, whatever the reason; clients are not told which.
    #[error("the token is not valid")]
    Invalid,
    /// One of ours whose time has passed.
    #[error("the token has expired")]
    Expired,
}

/// The same, for us: a token with a `kid` that we do not know may be of a key that is newer than what we know.
#[derive(Clone, Copy)]
enum Doubt {
    No(TokenError),
    UnknownKey,
}

impl From<Doubt> for TokenError {
    fn from(doubt: Doubt) -> Self {
        match doubt {
            Doubt::No(error) => error,
            Doubt::UnknownKey => Self::Invalid,
        }
    }
}

const INVALID: Doubt = Doubt::No(TokenError::Invalid);

/// What an ID token of ours says that somebody shows again, whether its time is over or not.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct IdTokenHint {
    /// For which service it was.
    pub aud: String,
    /// Of whom it speaks.
    pub sub: uuid::Uuid,
}

/// A token that is believed.
#[derive(Debug, Clone)]
pub struct Verified {
    /// What it says.
    pub claims: Arc<Claims>,
    /// The key that signed it.
    pub kid: Arc<str>,
}

/// The keys that are believed at the moment.
struct Believed {
    public: PublicKeys,
    table: HashMap<String, DecodingKey>,
}

/// Verifies access tokens against our own keys only, or the shared secret only.
pub struct Verifier {
    config: TokenConfig,
    algorithm: &'static str,
    validation: Validation,
    /// What access tokens are signed with, if it is a shared secret. Then keys are for ID tokens alone.
    shared: Option<HashMap<String, DecodingKey>>,
    /// The keys of the operator's file.
    own: PublicKeys,
    believed: RwLock<Arc<Believed>>,
    remembered: RwLock<Generations>,
    keys: OnceLock<Weak<Keys>>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("issuer", &self.config.issuer()).finish_non_exhaustive()
    }
}

type Fingerprint = [u8; 32];

/// Two halves: when the younger is full it becomes the older, and what was older is forgotten.
#[derive(Default)]
pub(super) struct Generations {
    pub(super) young: HashMap<Fingerprint, Verified>,
    pub(super) old: HashMap<Fingerprint, Verified>,
}

impl Generations {
    pub(super) fn insert(&mut self, key: Fingerprint, value: Verified) {
        if self.young.len() >= REMEMBERED_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

impl Verifier {
    /// A verifier for these keys, believing this issuer and audience.
    ///
    /// # Errors
    /// If a key or the shared secret cannot be used.
    pub fn new(keys: &PublicKeys, config: &TokenConfig) -> Result<Self, ConfigError> {
        let (algorithm, name, shared) = if shares_a_secret(config) {
            // No other algorithm is believed beside it.
            let secret = DecodingKey::from_secret(config.shared_secret()?.expose_secret());
            (Algorithm::HS256, "HS256", Some(HashMap::from([(SHARED_KID.to_owned(), secret)])))
        } else {
            (Algorithm::EdDSA, "EdDSA", None)
        };
        let table = keys.table().map_err(|it| ConfigError::new("QUIPU_KEY_DIR", it, "mend jwks.json"))?;
        let own = keys.clone();
        let mut validation = Validation::new(algorithm);
        // The library demands none of these by itself.
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[config.issuer()]);
        validation.set_audience(&[&config.audience]);
        validation.leeway = LEEWAY_SECONDS.unsigned_abs();
        validation.validate_nbf = true;
        validation.validate_aud = sabotage::stands(Guard::Audience);
        Ok(Self {
            config: config.clone(),
            algorithm: name,
            validation,
            shared,
            believed: RwLock::new(Arc::new(Believed { public: own.clone(), table })),
            own,
            remembered: RwLock::default(),
            keys: OnceLock::new(),
        })
    }

    /// Reads the keys of the directory, and the shared secret if there is one: then there need be no keys.
    ///
    /// # Errors
    /// As [`Verifier::new`].
    pub fn load(keys: &KeyConfig, config: &TokenConfig) -> Result<Self, ConfigError> {
        let none_needed = shares_a_secret(config) && !keys.jwks_json().exists();
        let public = if none_needed { PublicKeys::default() } else { PublicKeys::load(keys)? };
        Self::new(&public, config)
    }

    /// Believes the operator's keys and `more` from now on, but for those that are `removed`: their tokens are refused at
    /// once. A shared secret is believed whatever becomes of keys.
    ///
    /// # Errors
    /// If a key cannot be used; then nothing changes.
    pub(super) fn believe(&self, more: &PublicKeys, removed: &[String]) -> Result<(), &'static str> {
        let public = self.own.joined(more, removed);
        let table = public.table()?;
        *self.believed.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Believed { public, table });
        Ok(())
    }

    /// Whom to ask for keys that are not known yet.
    pub(super) fn follow(&self, keys: Weak<Keys>) {
        // Only the first is asked; there is one in a process.
        let _first = self.keys.set(keys);
    }

    /// What access tokens are believed by.
    fn of_access<'a>(&'a self, believed: &'a Believed) -> &'a HashMap<String, DecodingKey> {
        self.shared.as_ref().unwrap_or(&believed.table)
    }

    /// The public keys that are believed at the moment, for others to verify with: ID tokens, and access tokens where no
    /// shared secret signs these.
    #[must_use]
    pub fn public_keys(&self) -> PublicKeys {
        self.believed().public.clone()
    }

    /// Whether access tokens of this key are believed at the moment.
    #[must_use]
    pub fn believes(&self, kid: &str) -> bool {
        self.of_access(&self.believed()).contains_key(kid)
    }

    fn believed(&self) -> Arc<Believed> {
        Arc::clone(&self.believed.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a token says that is ours and whose time is now. If its key is not known yet, the keys are looked up once more,
    /// in bounded time and for a bounded number of callers.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn verify_fresh(&self, token: &str) -> Result<Verified, TokenError> {
        let now = Utc::now().timestamp();
        match self.verify_at(token, now) {
            Err(Doubt::UnknownKey) => {
                let keys = self.keys.get().and_then(Weak::upgrade).ok_or(TokenError::Invalid)?;
                keys.look_again().await;
                Ok(self.verify_at(token, now)?)
            }
            judged => Ok(judged?),
        }
    }

    /// The claims of a token that is ours and whose time is now, as far as the keys are known.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str) -> Result<Arc<Claims>, TokenError> {
        Ok(self.verify_at(token, Utc::now().timestamp())?.claims)
    }

    /// As [`Verifier::verify`], at another time.
    #[cfg(test)]
    pub(super) fn verify_moment(&self, token: &str, now: i64) -> Result<Arc<Claims>, TokenError> {
        Ok(self.verify_at(token, now)?.claims)
    }

    fn verify_at(&self, token: &str, now: i64) -> Result<Verified, Doubt> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(INVALID);
        }
        let hash = digest(&SHA256, token.as_bytes());
        let fingerprint = Fingerprint::try_from(hash.as_ref()).map_err(|_| INVALID)?;
        let believed = self.believed();
        let table = self.of_access(&believed);
        let (verified, aged) = match self.recall(&fingerprint) {
            Some((verified, aged)) => (verified, aged),
            None => (self.judge(token, table)?, true),
        };
        if !table.contains_key(&*verified.kid) {
            return Err(INVALID);
        }
        in_time(&verified.claims, now).map_err(Doubt::No)?;
        if aged {
            let mut remembered = self.remembered.write().unwrap_or_else(PoisonError::into_inner);
            remembered.insert(fingerprint, verified.clone());
        }
        Ok(verified)
    }

    /// What is known of a token, and whether it would soon be forgotten.
    pub(super) fn recall(&self, fingerprint: &Fingerprint) -> Option<(Verified, bool)> {
        let known = self.remembered.read().unwrap_or_else(PoisonError::into_inner);
        let young = known.young.get(fingerprint).map(|it| (it.clone(), false));
        young.or_else(|| known.old.get(fingerprint).map(|it| (it.clone(), true)))
    }

    /// What an ID token says that we signed under the name `issuer`, however long ago (OpenID Connect RP-Initiated Logout 1.0,
    /// section 2): a hint of whom it speaks of, and no proof of anything.
    #[must_use]
    pub fn verify_id_token(&self, token: &str, issuer: &str) -> Option<IdTokenHint> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (head, _) = token.split_once('.')?;
        let head: StrictHeader = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()?;
        if head.alg != ID_TOKEN_ALGORITHM || head.typ != ID_TOKEN_TYPE {
            return None;
        }
        let believed = self.believed();
        let key = believed.table.get(&head.kid)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims(&["iss", "aud", "sub"]);
        validation.set_issuer(&[issuer]);
        // For whom it was is what is asked; that it is over is no matter.
        validation.validate_aud = false;
        validation.validate_exp = false;
        Some(jsonwebtoken::decode::<IdTokenHint>(token, key, &validation).ok()?.claims)
    }

    fn judge(&self, token: &str, keys: &HashMap<String, DecodingKey>) -> Result<Verified, Doubt> {
        let (head, _) = token.split_once('.').ok_or(INVALID)?;
        let head = URL_SAFE_NO_PAD.decode(head).map_err(|_| INVALID)?;
        let head: StrictHeader = serde_json::from_slice(&head).map_err(|_| INVALID)?;
        if head.alg != self.algorithm || head.typ != ACCESS_TYPE {
            return Err(INVALID);
        }
        // A secret has one name, so a look for others would find none.
        let unknown = if self.shared.is_some() { INVALID } else { Doubt::UnknownKey };
        let key = keys.get(&head.kid).ok_or(unknown)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.validation)
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => Doubt::No(TokenError::Expired),
                _ => INVALID,
            })?
            .claims;
        let for_us = claims.aud == self.config.audience || !sabotage::stands(Guard::Audience);
        if claims.iss != self.config.issuer() || !for_us {
            return Err(INVALID);
        }
        Ok(Verified { claims: Arc::new(claims), kid: Arc::from(head.kid) })
    }
}

fn in_time(claims: &Claims, now: i64) -> Result<(), TokenError> {
    let begins = claims.nbf.unwrap_or(claims.iat).max(claims.iat);
    if begins > now.saturating_add(LEEWAY_SECONDS) || claims.exp <= claims.iat {
        return Err(TokenError::Invalid);
    }
    if claims.exp.saturating_add(LEEWAY_SECONDS) < now { Err(TokenError::Expired) } else { Ok(()) }
}
