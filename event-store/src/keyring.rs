//! Keys: the master key outside the database, and the key of each data subject, wrapped by it, inside.
//!
//! Private values are sealed with AES-256-GCM under their subject's key; the additional data binds them to tenant,
//! stream, event and place, so that a sealed value cannot be moved. Deleting a subject's row erases the person.

use std::collections::{HashMap, HashSet};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use domain::StreamId;
use domain::ids::TenantId;
use domain::private::{Private, Sealed};
use secrecy::{ExposeSecret, SecretSlice};
use serde::Deserialize as _;
use uuid::Uuid;

mod derived;
mod ring;
mod sealing;
#[cfg(test)]
mod tests;

pub use derived::{Cell, IndexOf, PEPPER_VERSION};
pub use ring::MasterFile;
pub use sealing::KeyTag;
use sealing::{Kind, SealingKey};

/// A failure of sealing or opening. Says nothing more on purpose.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The master key is not 32 bytes, nor a ring.
    #[error("the master key must be 32 bytes, written in base64, or a ring of such keys")]
    MasterKey,
    /// The ring does not allow this step.
    #[error("a key waits to take over, or none does, or too many older ones are there")]
    Ring,
    /// A value was sealed under a key that this process does not have.
    #[error("a value is sealed under the master key {0}, which master.key does not hold")]
    Lacking(KeyTag),
    /// A value or key cannot be opened: wrong key, wrong place, or changed.
    #[error("a sealed value cannot be opened")]
    Unopenable,
    /// The library refused to seal.
    #[error("a value cannot be sealed")]
    Unsealable,
}

/// The keys of `master.key`: one seals, each of them opens, and hashes have keys of their own. A key is derived for each
/// purpose.
pub struct MasterKey {
    /// The first one seals.
    sealing: Vec<SealingKey>,
    /// Whether what is sealed bears the name of its key. The first key of all needs none: what bears no name is its, and a
    /// build that knows no names can open it.
    names: bool,
    hashes: derived::Hashes,
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}

impl MasterKey {
    /// Derives the working keys from what `master.key` holds: 32 random bytes, or a ring.
    ///
    /// # Errors
    /// [`KeyError::MasterKey`] if it is neither.
    pub fn new(secret: &SecretSlice<u8>) -> Result<Self, KeyError> {
        Self::of(&MasterFile::read(secret)?)
    }

    /// Derives the working keys of a ring.
    ///
    /// # Errors
    /// [`KeyError::MasterKey`] if the library does not take one.
    pub fn of(file: &MasterFile) -> Result<Self, KeyError> {
        let keys = std::iter::once(&file.seals).chain(&file.next).chain(&file.older);
        let sealing = keys.map(|it| SealingKey::of(it.expose_secret())).collect::<Result<_, _>>()?;
        let hashes = match &file.hashes {
            Some(hashes) => derived::Hashes::read(hashes.expose_secret())?,
            None => derived::Hashes::read(&derived::Hashes::of_first(file.seals.expose_secret()))?,
        };
        Ok(Self { sealing, names: file.hashes.is_some(), hashes })
    }

    /// The name of the key that seals; `None` while there is only the first, whose values bear none.
    #[must_use]
    pub fn seals_as(&self) -> Option<KeyTag> {
        self.sealing.first().filter(|_| self.names).map(|it| it.tag)
    }

    /// Whether a key is here.
    #[must_use]
    pub fn holds(&self, key: KeyTag) -> bool {
        self.sealing.iter().any(|it| it.tag == key)
    }

    fn seal(&self, kind: Kind, place: Vec<u8>, plain: &[u8]) -> Result<Vec<u8>, KeyError> {
        let key = self.sealing.first().ok_or(KeyError::MasterKey)?;
        let sealed = key.seal(kind, place, plain)?;
        Ok(if self.names { [key.tag.head(), sealed].concat() } else { sealed })
    }

    /// A value that names a key is opened by that one; one that names none, by whichever can.
    fn open(&self, kind: Kind, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, KeyError> {
        let named = KeyTag::of(sealed);
        let known = named.and_then(|(tag, rest)| {
            let key = self.sealing.iter().find(|it| it.tag == tag)?;
            Some(key.open(kind, place, rest))
        });
        if let Some(opened) = known {
            return opened;
        }
        let opened = self.sealing.iter().find_map(|it| it.open(kind, place, sealed).ok());
        opened.ok_or(named.map_or(KeyError::Unopenable, |(tag, _)| KeyError::Lacking(tag)))
    }

    /// Opens a wrapped subject key.
    ///
    /// # Errors
    /// [`KeyError::Unopenable`] if it was wrapped for somebody else, [`KeyError::Lacking`] if by a key that is not here.
    pub fn unwrap(&self, tenant: TenantId, subject: Uuid, wrapped: &[u8]) -> Result<SubjectKey, KeyError> {
        SubjectKey::new(subject, &self.open(Kind::Subject, &subject_place(tenant, subject), wrapped)?)
    }

    /// Makes a key for a subject: the key, and its wrapped form to be stored.
    ///
    /// # Errors
    /// [`KeyError::Unsealable`] if the machine gives no random bytes.
    pub fn make(&self, tenant: TenantId, subject: Uuid) -> Result<(SubjectKey, Vec<u8>), KeyError> {
        let mut key = [0; 32];
        rand::fill(&mut key).map_err(|_| KeyError::Unsealable)?;
        let wrapped = self.seal(Kind::Subject, subject_place(tenant, subject), &key)?;
        Ok((SubjectKey::new(subject, &key)?, wrapped))
    }

    /// Seals anew, under the key that seals now, what another key of the ring wrapped for a subject.
    ///
    /// # Errors
    /// As [`MasterKey::unwrap`].
    pub fn rewrap(&self, tenant: TenantId, subject: Uuid, wrapped: &[u8]) -> Result<Vec<u8>, KeyError> {
        let place = subject_place(tenant, subject);
        let key = self.open(Kind::Subject, &place, wrapped)?;
        self.seal(Kind::Subject, place, &key)
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
