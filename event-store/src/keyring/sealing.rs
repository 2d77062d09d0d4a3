//! One master key as it seals and opens: wrapped keys of subjects, and cells of the vault. What it seals bears its name.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;

use super::KeyError;

const NONCE_BYTES: usize = 12;
/// The name of a master key: it follows from the key, and says nothing about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyTag([u8; 8]);

impl fmt::Display for KeyTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyTag({self})")
    }
}

impl KeyTag {
    /// What a value begins with that bears the name of its key. One in four billion of those that bear none begins so too,
    /// and is not taken for another, since it opens.
    pub const MARK: [u8; 4] = *b"\0qk1";
    /// How many bytes of a sealed value name its key: the mark, and the name.
    pub const HEAD_BYTES: i32 = 12;

    /// What every value begins with that this key sealed.
    #[must_use]
    pub fn head(self) -> Vec<u8> {
        [&Self::MARK[..], &self.0[..]].concat()
    }

    /// The key that a sealed value names, and what follows; nothing, if it bears no name.
    #[must_use]
    pub fn of(sealed: &[u8]) -> Option<(Self, &[u8])> {
        let (tag, rest) = sealed.strip_prefix(&Self::MARK)?.split_first_chunk()?;
        Some((Self(*tag), rest))
    }
}

/// What is sealed: each kind under a key of its own.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A key of a data subject.
    Subject,
    /// A cell of the vault.
    Cell,
}

/// A master key, as far as it seals.
pub(super) struct SealingKey {
    pub(super) tag: KeyTag,
    subjects: RandomizedNonceKey,
    cells: RandomizedNonceKey,
}

impl SealingKey {
    pub(super) fn of(secret: &[u8]) -> Result<Self, KeyError> {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let key = |label: &[u8]| {
            RandomizedNonceKey::new(&AES_256_GCM, hmac::sign(&root, label).as_ref())
                .map_err(|_| KeyError::MasterKey)
        };
        let name = hmac::sign(&root, b"quipu name of the master key v1");
        let tag = name.as_ref().first_chunk().ok_or(KeyError::MasterKey)?;
        Ok(Self {
            tag: KeyTag(*tag),
            subjects: key(b"quipu wrapping key v1")?,
            cells: key(b"quipu vault key v1")?,
        })
    }

    const fn key(&self, kind: Kind) -> &RandomizedNonceKey {
        match kind {
            Kind::Subject => &self.subjects,
            Kind::Cell => &self.cells,
        }
    }

    /// The nonce, then the sealed bytes with their tag.
    pub(super) fn seal(&self, kind: Kind, place: Vec<u8>, plain: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut sealed = plain.to_vec();
        let nonce = self
            .key(kind)
            .seal_in_place_append_tag(Aad::from(place), &mut sealed)
            .map_err(|_| KeyError::Unsealable)?;
        Ok([nonce.as_ref(), &sealed[..]].concat())
    }

    pub(super) fn open(&self, kind: Kind, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, KeyError> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES).ok_or(KeyError::Unopenable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeyError::Unopenable)?;
        let mut data = sealed.to_vec();
        let plain = self
            .key(kind)
            .open_in_place(nonce, Aad::from(place), &mut data)
            .map_err(|_| KeyError::Unopenable)?;
        Ok(plain.to_vec())
    }
}
