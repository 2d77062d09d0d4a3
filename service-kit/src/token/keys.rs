//! Key pairs of Ed25519, their public halves as a JSON Web Key Set, and the files that an operator's key lies in.
//!
//! Not here: the keys of the vault, of which this crate sees only what [`super::reload`] is given.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use secrecy::SecretSlice;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, KeyConfig, read_private};
use crate::random::{self, NoRandomness};

/// One public key as RFC 8037 writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PublicJwk {
    pub(super) kty: String,
    crv: String,
    pub(super) x: String,
    pub(super) kid: String,
    #[serde(rename = "use")]
    usage: String,
    alg: String,
}

/// Public keys: the content of `jwks.json`, and of what is served as `/.well-known/jwks.json` (RFC 7517).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKeys {
    pub(super) keys: Vec<PublicJwk>,
}

impl PublicKeys {
    /// Reads `jwks.json`. A private key in it is an error.
    ///
    /// # Errors
    /// If it cannot be read or holds anything but public keys of ours.
    pub fn load(config: &KeyConfig) -> Result<Self, ConfigError> {
        let path = config.jwks_json();
        let bad = |problem: String| {
            let mend = "make keys with `quipu secrets` or name the directory that holds them";
            ConfigError::new("QUIPU_KEY_DIR", format!("{}: {problem}", path.display()), mend)
        };
        let text = std::fs::read_to_string(&path).map_err(|error| bad(error.to_string()))?;
        let keys: Self = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        if text.contains("\"d\"") {
            return Err(bad("holds a private key".to_owned()));
        }
        let table = keys.table().map_err(|problem| bad(problem.to_owned()))?;
        if table.is_empty() { Err(bad("holds no key".to_owned())) } else { Ok(keys) }
    }

    /// Public keys by their 32 bytes.
    #[must_use]
    pub fn of<'a>(points: impl IntoIterator<Item = &'a [u8; 32]>) -> Self {
        Self { keys: points.into_iter().map(|point| jwk_of(point)).collect() }
    }

    /// The `kid` of each key.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|it| it.kid.as_str())
    }

    /// These keys and `more`, but for those that are `removed`, each once.
    pub(super) fn joined(&self, more: &Self, removed: &[String]) -> Self {
        let all = self.keys.iter().chain(&more.keys).filter(|it| !removed.contains(&it.kid));
        let once: BTreeMap<&str, &PublicJwk> = all.map(|it| (it.kid.as_str(), it)).collect();
        Self { keys: once.into_values().cloned().collect() }
    }

    pub(super) fn table(&self) -> Result<HashMap<String, DecodingKey>, &'static str> {
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
        Ok(table)
    }
}

/// A key pair that was just made.
pub struct NewKey {
    /// The thumbprint of its public half.
    pub kid: String,
    /// Its public half.
    pub public: [u8; 32],
    /// Its private half, PKCS#8 (RFC 8410).
    pub pkcs8: SecretSlice<u8>,
}

impl NewKey {
    /// Makes a key pair.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn generate() -> Result<Self, NoRandomness> {
        let der = Ed25519KeyPair::generate_pkcs8v1(&rand::SystemRandom::new()).map_err(|_| NoRandomness)?;
        let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).map_err(|_| NoRandomness)?;
        let public = <[u8; 32]>::try_from(pair.public_key().as_ref()).map_err(|_| NoRandomness)?;
        Ok(Self { kid: jwk_of(&public).kid, public, pkcs8: SecretSlice::from(der.as_ref().to_vec()) })
    }
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Makes `signing.pem`, `jwks.json` and `master.key` in a directory, the private ones readable by their owner only.
/// What is there already is kept, so it can be called at every start.
///
/// # Errors
/// If the directory cannot be written.
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
        let key: [u8; 32] = random::bytes().map_err(|it| failed(it.to_string()))?;
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
pub(super) fn jwk_of(public: &[u8]) -> PublicJwk {
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

pub(super) fn der_of_pem(pem: &str) -> Option<Vec<u8>> {
    let inner = pem.trim().strip_prefix(PEM_BEGIN)?.strip_suffix(PEM_END)?;
    let text: String = inner.chars().filter(|it| !it.is_ascii_whitespace()).collect();
    STANDARD.decode(text).ok()
}
