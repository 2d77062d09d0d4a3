//! What `master.key` says: one key, or a ring of them while one takes over from another. Which line is which, and how the
//! file changes step by step; what the keys do is told in [`super`].
//!
//! | line | what it is |
//! |---|---|
//! | `seal` | the key under which everything is sealed |
//! | `next` | the one that will take over; it opens already |
//! | `open` | one that sealed before, and opens what is not sealed anew yet |
//! | `hash` | the keys of hashes and signatures, which stay as they were when the first key was replaced |
//!
//! One line alone, 32 bytes of base64, is the first key: it seals, opens and gives the keys of hashes.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::KeyError;
use super::derived::Hashes;

const KEY_BYTES: usize = 32;
/// How many keys that sealed before may stay: somebody who has more has forgotten to seal anew.
const OLDER_MAX: usize = 7;

/// The keys of a `master.key`.
pub struct MasterFile {
    pub(super) seals: SecretSlice<u8>,
    pub(super) next: Option<SecretSlice<u8>>,
    pub(super) older: Vec<SecretSlice<u8>>,
    /// `None` while the first key gives them.
    pub(super) hashes: Option<SecretSlice<u8>>,
}

impl std::fmt::Debug for MasterFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterFile")
    }
}

impl MasterFile {
    /// Reads what the file holds: the 32 bytes of one key, or the lines of a ring.
    ///
    /// # Errors
    /// [`KeyError::MasterKey`] if it is neither.
    pub fn read(content: &SecretSlice<u8>) -> Result<Self, KeyError> {
        if content.expose_secret().len() == KEY_BYTES {
            return Ok(Self { seals: content.clone(), next: None, older: Vec::new(), hashes: None });
        }
        let text = std::str::from_utf8(content.expose_secret()).map_err(|_| KeyError::MasterKey)?;
        let (mut seals, mut next, mut older, mut hashes) = (None, None, Vec::new(), None);
        for line in text.lines().filter(|it| !it.trim().is_empty()) {
            let (what, key) = line.split_once(' ').ok_or(KeyError::MasterKey)?;
            let key = SecretSlice::from(STANDARD.decode(key.trim()).map_err(|_| KeyError::MasterKey)?);
            let wanted = if what == "hash" { Hashes::BYTES } else { KEY_BYTES };
            let once = match what {
                _ if key.expose_secret().len() != wanted => false,
                "seal" => seals.replace(key).is_none(),
                "next" => next.replace(key).is_none(),
                "hash" => hashes.replace(key).is_none(),
                "open" => {
                    older.push(key);
                    older.len() <= OLDER_MAX
                }
                _ => false,
            };
            if !once {
                return Err(KeyError::MasterKey);
            }
        }
        match (seals, hashes) {
            (Some(seals), Some(hashes)) => Ok(Self { seals, next, older, hashes: Some(hashes) }),
            _ => Err(KeyError::MasterKey),
        }
    }

    /// What the file holds.
    #[must_use]
    pub fn text(&self) -> SecretString {
        let encoded = |key: &SecretSlice<u8>| STANDARD.encode(key.expose_secret());
        let Some(hashes) = &self.hashes else { return SecretString::from(encoded(&self.seals)) };
        let mut text = format!("seal {}\n", encoded(&self.seals));
        let others = self.next.iter().map(|it| ("next", it));
        for (what, key) in others.chain(self.older.iter().map(|it| ("open", it))) {
            text.push_str(&format!("{what} {}\n", encoded(key)));
        }
        text.push_str(&format!("hash {}\n", encoded(hashes)));
        SecretString::from(text)
    }

    /// With a new key that opens and does not seal yet, so that every process can have it before one uses it. From here on
    /// the keys of hashes are kept by themselves.
    ///
    /// # Errors
    /// [`KeyError::Ring`] if one waits already or too many are there; [`KeyError::Unsealable`] if the machine gives no
    /// random bytes.
    pub fn with_next(mut self) -> Result<Self, KeyError> {
        if self.next.is_some() || self.older.len() == OLDER_MAX {
            return Err(KeyError::Ring);
        }
        let mut key = vec![0; KEY_BYTES];
        rand::fill(&mut key).map_err(|_| KeyError::Unsealable)?;
        let hashes = match self.hashes.take() {
            Some(hashes) => hashes,
            None => SecretSlice::from(Hashes::of_first(self.seals.expose_secret()).to_vec()),
        };
        Ok(Self { next: Some(SecretSlice::from(key)), hashes: Some(hashes), ..self })
    }

    /// Seals with the key that waited; the one that sealed goes on opening.
    ///
    /// # Errors
    /// [`KeyError::Ring`] if none waits.
    pub fn taken_over(mut self) -> Result<Self, KeyError> {
        let next = self.next.take().ok_or(KeyError::Ring)?;
        self.older.push(std::mem::replace(&mut self.seals, next));
        Ok(self)
    }

    /// Without the keys that sealed before.
    #[must_use]
    pub fn without_older(self) -> Self {
        Self { older: Vec::new(), ..self }
    }

    /// How many keys there are that sealed before.
    #[must_use]
    pub fn older(&self) -> usize {
        self.older.len()
    }
}
