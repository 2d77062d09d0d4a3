//! Keys: the master key outside the database, and the key of each data subject, wrapped by it, inside.
//!
//! Private values are sealed with AES-256-GCM under their subject's key; the additional data binds them to tenant,
//! stream, event and place, so that a sealed value cannot be moved. Deleting a subject's row erases the person.

use std::collections::{HashMap, HashSet};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use domain::StreamId;
use domain::ids::TenantId;
use domain::private::{Private, Sealed};
use secrecy::{ExposeSecret, SecretSlice};
use serde::Deserialize as _;
use uuid::Uuid;

mod derived;

pub use derived::{Cell, IndexOf, PEPPER_VERSION};

/// A failure of sealing or opening. Says nothing more on purpose.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The master key is not 32 bytes.
    #[error("the master key must be 32 bytes, written in base64")]
    MasterKey,
    /// A value or key cannot be opened: wrong key, wrong place, or changed.
    #[error("a sealed value cannot be opened")]
    Unopenable,
    /// The library refused to seal.
    #[error("a value cannot be sealed")]
    Unsealable,
}

/// The key that wraps all others. A key is derived from it for each purpose.
pub struct MasterKey {
    wrapping: RandomizedNonceKey,
    fingerprints: hmac::Key,
    derived: derived::Derived,
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}

impl MasterKey {
    /// Derives the working keys from 32 random bytes.
    ///
    /// # Errors
    /// [`KeyError::MasterKey`] if there are not 32.
    pub fn new(secret: &SecretSlice<u8>) -> Result<Self, KeyError> {
        let secret = secret.expose_secret();
        if secret.len() != 32 {
            return Err(KeyError::MasterKey);
        }
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let wrapping = hmac::sign(&root, b"quipu wrapping key v1");
        let fingerprints = hmac::sign(&root, b"quipu fingerprint key v1");
        Ok(Self {
            wrapping: RandomizedNonceKey::new(&AES_256_GCM, wrapping.as_ref())
                .map_err(|_| KeyError::MasterKey)?,
            fingerprints: hmac::Key::new(hmac::HMAC_SHA256, fingerprints.as_ref()),
            derived: derived::Derived::of(&root)?,
        })
    }

    /// HMAC-SHA-256 of `message` under the key for fingerprints.
    #[must_use]
    pub fn fingerprint(&self, message: &[u8]) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hmac::sign(&self.fingerprints, message).as_ref());
        bytes
    }

    fn wrap(&self, tenant: TenantId, subject: Uuid, key: &[u8; 32]) -> Result<Vec<u8>, KeyError> {
        let mut sealed = key.to_vec();
        let nonce = self
            .wrapping
            .seal_in_place_append_tag(Aad::from(subject_place(tenant, subject)), &mut sealed)
            .map_err(|_| KeyError::Unsealable)?;
        let mut wrapped = nonce.as_ref().to_vec();
        wrapped.append(&mut sealed);
        Ok(wrapped)
    }

    /// Opens a wrapped subject key.
    ///
    /// # Errors
    /// [`KeyError::Unopenable`] if it was wrapped for somebody else or by another master key.
    pub fn unwrap(&self, tenant: TenantId, subject: Uuid, wrapped: &[u8]) -> Result<SubjectKey, KeyError> {
        let (nonce, sealed) = wrapped.split_at_checked(12).ok_or(KeyError::Unopenable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeyError::Unopenable)?;
        let mut sealed = sealed.to_vec();
        let key = self
            .wrapping
            .open_in_place(nonce, Aad::from(subject_place(tenant, subject)), &mut sealed)
            .map_err(|_| KeyError::Unopenable)?;
        SubjectKey::new(subject, key)
    }

    /// Makes a key for a subject: the key, and its wrapped form to be stored.
    ///
    /// # Errors
    /// [`KeyError::Unsealable`] if the machine gives no random bytes.
    pub fn make(&self, tenant: TenantId, subject: Uuid) -> Result<(SubjectKey, Vec<u8>), KeyError> {
        let mut key = [0; 32];
        rand::fill(&mut key).map_err(|_| KeyError::Unsealable)?;
        Ok((SubjectKey::new(subject, &key)?, self.wrap(tenant, subject, &key)?))
    }
}

fn subject_place(tenant: TenantId, subject: Uuid) -> Vec<u8> {
    [tenant.uuid().into_bytes(), subject.into_bytes()].concat()
}

/// The key of one data subject.
pub struct SubjectKey {
    subject: Uuid,
    key: RandomizedNonceKey,
}

/// Where in an event the origin of its request is sealed.
pub const ORIGIN_PATH: &str = "meta.origin";

/// Where a sealed value stands.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Whose event.
    pub tenant: TenantId,
    /// The event's own stream.
    pub stream: StreamId,
    /// The event.
    pub event_id: Uuid,
    /// Where in the event, as a path of names.
    pub path: &'a str,
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(50 + self.path.len());
        bytes.extend_from_slice(self.tenant.uuid().as_bytes());
        bytes.extend_from_slice(&self.stream.category.code.to_be_bytes());
        bytes.extend_from_slice(self.stream.id.as_bytes());
        bytes.extend_from_slice(self.event_id.as_bytes());
        bytes.extend_from_slice(self.path.as_bytes());
        bytes
    }
}

impl SubjectKey {
    fn new(subject: Uuid, key: &[u8]) -> Result<Self, KeyError> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| KeyError::Unopenable)?;
        Ok(Self { subject, key })
    }

    /// Seals `plain` for one place.
    ///
    /// # Errors
    /// [`KeyError::Unsealable`] if the library refuses.
    pub fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Sealed, KeyError> {
        let mut data = plain.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(place.bytes()), &mut data)
            .map_err(|_| KeyError::Unsealable)?;
        Ok(Sealed {
            subject: self.subject,
            key: 1,
            nonce: BASE64.encode(nonce.as_ref()),
            data: BASE64.encode(data),
        })
    }

    /// Opens what [`SubjectKey::seal`] made for the same place.
    ///
    /// # Errors
    /// [`KeyError::Unopenable`] for anything else.
    pub fn open(&self, place: &Place<'_>, sealed: &Sealed) -> Result<Vec<u8>, KeyError> {
        let nonce = BASE64.decode(&sealed.nonce).map_err(|_| KeyError::Unopenable)?;
        let nonce = Nonce::try_assume_unique_for_key(&nonce).map_err(|_| KeyError::Unopenable)?;
        let mut data = BASE64.decode(&sealed.data).map_err(|_| KeyError::Unopenable)?;
        let plain = self
            .key
            .open_in_place(nonce, Aad::from(place.bytes()), &mut data)
            .map_err(|_| KeyError::Unopenable)?;
        Ok(plain.to_vec())
    }
}

/// The sealed text in a member of `meta` or of a payload; `None` for what has not its form.
#[must_use]
pub fn sealed_in(value: &serde_json::Value) -> Option<Sealed> {
    match Private::deserialize(value) {
        Ok(Private::Sealed(sealed)) => Some(sealed),
        _ => None,
    }
}

/// What is known of a subject's key.
pub(crate) enum Known {
    /// This is it.
    Key(SubjectKey),
    /// The person was erased, and gets no other.
    Erased,
}

/// What was lately learnt of the keys of subjects, at most [`CACHED_KEYS_MAX`] of them.
#[derive(Default)]
pub(crate) struct KeyCache {
    keys: HashMap<(TenantId, Uuid), Known>,
}

const CACHED_KEYS_MAX: usize = 10_000;

impl KeyCache {
    pub(crate) fn find(&self, tenant: TenantId, subject: Uuid) -> Option<&Known> {
        self.keys.get(&(tenant, subject))
    }

    pub(crate) fn insert(&mut self, tenant: TenantId, subject: Uuid, known: Known) {
        self.keys.insert((tenant, subject), known);
    }

    /// Whether so many more keep the cache within its bound. Whoever adds keys asks first, and clears it if not.
    pub(crate) fn has_room_for(&self, more: usize) -> bool {
        self.keys.len() + more <= CACHED_KEYS_MAX
    }

    pub(crate) fn remove(&mut self, tenant: TenantId, subject: Uuid) {
        self.keys.remove(&(tenant, subject));
    }

    pub(crate) fn drop_all_of(&mut self, subjects: &HashSet<Uuid>) {
        self.keys.retain(|(_, subject), _| !subjects.contains(subject));
    }

    pub(crate) fn clear(&mut self) {
        self.keys.clear();
    }
}
