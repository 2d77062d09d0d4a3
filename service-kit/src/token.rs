//! Access tokens: EdDSA only, minted by one process and verified by all of them from a file of public keys.
//!
//! Verifying a signature on every request halves the throughput of a command, so a verified token is remembered by
//! its hash, in bounded memory; that its time has not passed and that its key is still ours is checked at every hit.

use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::Utc;
use domain::ids::{ActorId, TenantId, TokenId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use sabotage::Guard;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::config::{ConfigError, KeyConfig, TokenConfig, read_private};

/// Seconds that clocks may differ by.
pub const LEEWAY_SECONDS: i64 = 5;
/// Bytes of a token at most.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Tokens remembered at most.
pub const REMEMBERED_MAX: usize = 10_000;
/// `typ` of an access token (RFC 9068); refresh, reset and device tokens have their own.
const ACCESS_TYPE: &str = "at+jwt";

/// What a caller is within the organisation, as the token says. Outside services read it; so do we until permissions
/// are resolved from state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// May do everything within the organisation.
    Owner,
    /// May read.
    Member,
    /// A role of a newer build: grants nothing here.
    #[serde(other)]
    Unknown,
}

impl From<domain::identity::Role> for Role {
    fn from(role: domain::identity::Role) -> Self {
        match role {
            domain::identity::Role::Owner => Self::Owner,
            domain::identity::Role::Member => Self::Member,
        }
    }
}

/// The claims of an access token. All are demanded by name but `sid` and `nbf`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The roles held.
    pub roles: Vec<Role>,
    /// When it was signed, in seconds.
    pub iat: i64,
    /// When it ends, in seconds.
    pub exp: i64,
    /// When it begins, if later than `iat`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// The session it belongs to; tokens of machines have none.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub sid: Option<Uuid>,
}

/// Refuses `null` where a claim is given at all.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

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

/// One public key as RFC 8037 writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PublicJwk {
    kty: String,
    crv: String,
    x: String,
    kid: String,
    #[serde(rename = "use")]
    usage: String,
    alg: String,
}

/// The public keys: the content of `jwks.json`, also served as `/.well-known/jwks.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKeys {
    keys: Vec<PublicJwk>,
}

impl PublicKeys {
    /// Reads `jwks.json`. A private key in it is an error.
    pub fn load(config: &KeyConfig) -> Result<Self, ConfigError> {
        let path = config.jwks_json();
        let bad = |problem: String| {
            let mend = "make keys with `quipu keys` or name the directory that holds them";
            ConfigError::new("QUIPU_KEY_DIR", format!("{}: {problem}", path.display()), mend)
        };
        let text = std::fs::read_to_string(&path).map_err(|error| bad(error.to_string()))?;
        let keys: Self = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        if text.contains("\"d\"") {
            return Err(bad("holds a private key".to_owned()));
        }
        keys.table().map_err(|problem| bad(problem.to_owned()))?;
        Ok(keys)
    }

    fn table(&self) -> Result<HashMap<String, DecodingKey>, &'static str> {
        let mut table = HashMap::new();
        for key in &self.keys {
            let point = URL_SAFE_NO_PAD.decode(&key.x).map_err(|_| "a key's `x` is not base64url")?;
            let ours = key.kty == "OKP" && key.crv == "Ed25519" && key.alg == "EdDSA" && key.usage == "sig";
            if !ours || point.len() != 32 || key.kid.is_empty() {
                return Err("a key is not an Ed25519 signing key with a `kid`");
            }
            if table.insert(key.kid.clone(), DecodingKey::from_ed_der(&point)).is_some() {
                return Err("two keys have one `kid`");
            }
        }
        if table.is_empty() { Err("holds no key") } else { Ok(table) }
    }
}

/// Signs access tokens. Only command-api and `quipu` have one.
pub struct Signer {
    key: EncodingKey,
    header: Header,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("kid", &self.header.kid).finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads `signing.pem`; refuses a file that others may read, and a key that `jwks.json` does not hold.
    pub fn load(config: &KeyConfig) -> Result<Self, ConfigError> {
        let mend = "make keys with `quipu keys`; after a rotation add the public key to jwks.json first";
        let bad = |problem: &str| ConfigError::new("QUIPU_KEY_DIR", format!("signing.pem {problem}"), mend);
        let der =
            der_of_pem(&read_private(&config.signing_pem())?).ok_or_else(|| bad("is not a PKCS#8 PEM"))?;
        let pair = Ed25519KeyPair::from_pkcs8(&der).map_err(|_| bad("is not an Ed25519 key"))?;
        let signer = Self::of(&pair, &der);
        let known = PublicKeys::load(config)?;
        if !known.keys.iter().any(|it| Some(&it.kid) == signer.header.kid.as_ref()) {
            return Err(bad("has no public half in jwks.json"));
        }
        Ok(signer)
    }

    fn of(pair: &Ed25519KeyPair, der: &[u8]) -> Self {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(ACCESS_TYPE.to_owned());
        header.kid = Some(jwk_of(pair.public_key().as_ref()).kid);
        Self { key: EncodingKey::from_ed_der(der), header }
    }

    /// Signs claims as they are.
    pub fn mint(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::encode(&self.header, claims, &self.key)
    }
}

/// Verifies access tokens against our own keys only.
pub struct Verifier {
    issuer: String,
    audience: String,
    validation: Validation,
    keys: RwLock<Arc<HashMap<String, DecodingKey>>>,
    remembered: RwLock<Generations>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

type Fingerprint = [u8; 32];

#[derive(Clone)]
struct Verified {
    claims: Arc<Claims>,
    kid: Arc<str>,
}

/// Two halves: when the younger is full it becomes the older, and what was older is forgotten.
#[derive(Default)]
struct Generations {
    young: HashMap<Fingerprint, Verified>,
    old: HashMap<Fingerprint, Verified>,
}

impl Generations {
    fn insert(&mut self, key: Fingerprint, value: Verified) {
        if self.young.len() >= REMEMBERED_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

impl Verifier {
    /// A verifier for these keys, believing this issuer and audience.
    pub fn new(keys: &PublicKeys, config: &TokenConfig) -> Result<Self, ConfigError> {
        let table = keys.table().map_err(|it| ConfigError::new("QUIPU_KEY_DIR", it, "mend jwks.json"))?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        // The library demands none of these by itself.
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        validation.leeway = LEEWAY_SECONDS.unsigned_abs();
        validation.validate_nbf = true;
        validation.validate_aud = sabotage::stands(Guard::Audience);
        Ok(Self {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            validation,
            keys: RwLock::new(Arc::new(table)),
            remembered: RwLock::default(),
        })
    }

    /// Reads the keys of the directory.
    pub fn load(keys: &KeyConfig, config: &TokenConfig) -> Result<Self, ConfigError> {
        Self::new(&PublicKeys::load(keys)?, config)
    }

    /// Takes other keys from now on; tokens of keys that are gone are refused at once.
    pub fn replace_keys(&self, keys: &PublicKeys) -> Result<(), ConfigError> {
        let table = keys.table().map_err(|it| ConfigError::new("QUIPU_KEY_DIR", it, "mend jwks.json"))?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        Ok(())
    }

    /// The claims of a token that is ours and whose time is now.
    pub fn verify(&self, token: &str) -> Result<Arc<Claims>, TokenError> {
        self.verify_at(token, Utc::now().timestamp())
    }

    fn verify_at(&self, token: &str, now: i64) -> Result<Arc<Claims>, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let hash = digest(&SHA256, token.as_bytes());
        let fingerprint = Fingerprint::try_from(hash.as_ref()).map_err(|_| TokenError::Invalid)?;
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let (verified, aged) = match self.recall(&fingerprint) {
            Some((verified, aged)) => (verified, aged),
            None => (self.judge(token, &keys)?, true),
        };
        if !keys.contains_key(&*verified.kid) {
            return Err(TokenError::Invalid);
        }
        in_time(&verified.claims, now)?;
        let claims = Arc::clone(&verified.claims);
        if aged {
            self.remembered.write().unwrap_or_else(PoisonError::into_inner).insert(fingerprint, verified);
        }
        Ok(claims)
    }

    /// What is known of a token, and whether it would soon be forgotten.
    fn recall(&self, fingerprint: &Fingerprint) -> Option<(Verified, bool)> {
        let known = self.remembered.read().unwrap_or_else(PoisonError::into_inner);
        let young = known.young.get(fingerprint).map(|it| (it.clone(), false));
        young.or_else(|| known.old.get(fingerprint).map(|it| (it.clone(), true)))
    }

    fn judge(&self, token: &str, keys: &HashMap<String, DecodingKey>) -> Result<Verified, TokenError> {
        let (head, _) = token.split_once('.').ok_or(TokenError::Invalid)?;
        let head = URL_SAFE_NO_PAD.decode(head).map_err(|_| TokenError::Invalid)?;
        let head: StrictHeader = serde_json::from_slice(&head).map_err(|_| TokenError::Invalid)?;
        if head.alg != "EdDSA" || head.typ != ACCESS_TYPE {
            return Err(TokenError::Invalid);
        }
        let key = keys.get(&head.kid).ok_or(TokenError::Invalid)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.validation)
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => TokenError::Expired,
                _ => TokenError::Invalid,
            })?
            .claims;
        let for_us = claims.aud == self.audience || !sabotage::stands(Guard::Audience);
        if claims.iss != self.issuer || !for_us {
            return Err(TokenError::Invalid);
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

/// Makes `signing.pem`, `jwks.json` and `master.key` in a directory, the private ones readable by their owner only.
/// What is there already is kept, so it can be called at every start.
pub fn generate_keys(config: &KeyConfig) -> Result<(), ConfigError> {
    let failed = |what: String| {
        ConfigError::new(
            "QUIPU_KEY_DIR",
            what,
            "name a directory that this user may write, on a disk with room",
        )
    };
    let io = |error: std::io::Error| failed(error.to_string());
    std::fs::create_dir_all(&config.key_dir).map_err(io)?;
    if !config.signing_pem().exists() {
        let der = Ed25519KeyPair::generate_pkcs8v1(&rand::SystemRandom::new())
            .map_err(|_| failed("no key could be made".to_owned()))?;
        write_new(&config.signing_pem(), pem_of_der(der.as_ref()).as_bytes(), 0o600).map_err(io)?;
    }
    if !config.master_key_file().exists() {
        let mut key = [0_u8; 32];
        rand::fill(&mut key).map_err(|_| failed("no random bytes could be had".to_owned()))?;
        write_new(&config.master_key_file(), STANDARD.encode(key).as_bytes(), 0o600).map_err(io)?;
    }
    if !config.jwks_json().exists() {
        let pem = read_private(&config.signing_pem())?;
        let der = der_of_pem(&pem).ok_or_else(|| failed("signing.pem is not a PKCS#8 PEM".to_owned()))?;
        let pair = Ed25519KeyPair::from_pkcs8(&der).map_err(|it| failed(format!("signing.pem: {it}")))?;
        let keys = PublicKeys { keys: vec![jwk_of(pair.public_key().as_ref())] };
        let text = serde_json::to_vec_pretty(&keys).map_err(|it| failed(it.to_string()))?;
        write_new(&config.jwks_json(), &text, 0o644).map_err(io)?;
    }
    Ok(())
}

/// The key id is the thumbprint of RFC 7638, so nobody chooses it.
fn jwk_of(public: &[u8]) -> PublicJwk {
    let x = URL_SAFE_NO_PAD.encode(public);
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    PublicJwk {
        kty: "OKP".into(),
        crv: "Ed25519".into(),
        kid: URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes())),
        x,
        usage: "sig".into(),
        alg: "EdDSA".into(),
    }
}

/// Writes beside, then renames: a crash leaves a whole file or none.
fn write_new(path: &Path, content: &[u8], mode: u32) -> std::io::Result<()> {
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(beside, path)
}

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

fn pem_of_der(der: &[u8]) -> String {
    // The Base64 of an Ed25519 key is 64 characters: exactly one line.
    format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", STANDARD.encode(der))
}

fn der_of_pem(pem: &str) -> Option<Vec<u8>> {
    let inner = pem.trim().strip_prefix(PEM_BEGIN)?.strip_suffix(PEM_END)?;
    let text: String = inner.chars().filter(|it| !it.is_ascii_whitespace()).collect();
    STANDARD.decode(text).ok()
}

#[cfg(test)]
pub(crate) mod tests;
