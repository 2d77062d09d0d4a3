//! The keys with which a provider signs. Source: RFC 7517, OpenID Connect Core 1.0 section 10.1.

use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use service_kit::outgoing::{Credential, Outgoing, Url};

use super::ProviderError;
use super::id_token::Head;

/// How long they are believed: a key that the provider takes back is believed no longer than this.
pub(super) const AGE_MAX: Duration = Duration::from_secs(10 * 60);
/// How old they must be to be read again for a key that is not among them.
pub(super) const AGE_MIN: Duration = Duration::from_secs(10);
/// Keys of a set at most; further ones are passed over.
const KEYS_MAX: usize = 64;

/// The public keys of a provider that are for signatures and of a kind that we know.
pub(super) struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    algorithm: Option<KeyAlgorithm>,
    family: AlgorithmFamily,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// Reads the key set of a provider.
pub(super) async fn fetch(outgoing: &Outgoing, address: &Url) -> Result<Keys, ProviderError> {
    let answer = outgoing.get(address, Credential::None).await?;
    if answer.status != 200 {
        return Err(ProviderError::Status(answer.status.as_u16()));
    }
    Ok(Keys::of(answer.json::<Set>()?.keys))
}

impl Keys {
    fn of(keys: Vec<Value>) -> Self {
        // A key of a kind that is not known yet says nothing about the others.
        Self(
            keys.into_iter()
                .filter_map(|it| Key::of(serde_json::from_value(it).ok()?))
                .take(KEYS_MAX)
                .collect(),
        )
    }

    /// The key of a token: the one that its head names, or the only one that there is if it names none.
    pub(super) fn find(&self, head: &Head) -> Option<&DecodingKey> {
        let mut found = self.0.iter().filter(|it| it.fits(head));
        let first = found.next()?;
        // Two keys of one name, or no name and two keys: which one is meant is not known.
        found.next().is_none().then_some(&first.key)
    }
}

impl Key {
    fn of(key: Jwk) -> Option<Self> {
        let decoding = DecodingKey::from_jwk(&key).ok()?;
        let family = decoding.family();
        let common = key.common;
        let is_for_signatures = common.public_key_use.is_none_or(|it| it == PublicKeyUse::Signature);
        // A secret has no place in a public set: whoever reads it could sign.
        if family == AlgorithmFamily::Hmac || !is_for_signatures {
            return None;
        }
        Some(Self { id: common.key_id, algorithm: common.key_algorithm, family, key: decoding })
    }

    fn fits(&self, head: &Head) -> bool {
        head.algorithm.family() == self.family
            && self.algorithm.is_none_or(|it| it.to_string() == format!("{:?}", head.algorithm))
            && head.key.as_ref().is_none_or(|it| self.id.as_ref() == Some(it))
    }
}
