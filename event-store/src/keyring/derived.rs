//! What the master key does beside wrapping the keys of subjects: looking up what may not be stored in the clear, mixing into
//! passwords, signing, and sealing rows of the vault. Each purpose has a key of its own.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::Ed25519KeyPair;
use domain::ids::TenantId;
use uuid::Uuid;

use super::{KeyError, Kind, MasterKey};
use crate::vault::Digest;

/// Which pepper [`MasterKey::pepper`] is; stored beside every password that it was mixed into.
pub const PEPPER_VERSION: i16 = 1;

/// What hashes and signs. None of it changes with the master key: what was hashed cannot be hashed anew without what it was
/// hashed from, and others hold the public half of the key of certificates.
pub(super) struct Hashes {
    fingerprints: hmac::Key,
    index: hmac::Key,
    pepper: [u8; 32],
    journal: hmac::Key,
    evidence: [u8; 32],
}

impl Hashes {
    /// Five keys of 32 bytes.
    pub(super) const BYTES: usize = 5 * 32;

    /// The keys that follow from the first master key, one after the other. The master key does not follow from them.
    pub(super) fn of_first(secret: &[u8]) -> [u8; Self::BYTES] {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let labels: [&[u8]; 5] = [
            b"quipu fingerprint key v1",
            b"quipu index key v1",
            b"quipu pepper v1",
            b"quipu journal of erasures v1",
            b"quipu evidence key v1",
        ];
        let mut keys = [0; Self::BYTES];
        for (key, label) in keys.chunks_exact_mut(32).zip(labels) {
            key.copy_from_slice(hmac::sign(&root, label).as_ref());
        }
        keys
    }

    /// The keys, as [`Hashes::of_first`] gives them.
    pub(super) fn read(keys: &[u8]) -> Result<Self, KeyError> {
        let (keys, rest) = keys.as_chunks::<32>();
        let ([fingerprints, index, pepper, journal, evidence], []) = (keys, rest) else {
            return Err(KeyError::MasterKey);
        };
        let hashing = |key: &[u8; 32]| hmac::Key::new(hmac::HMAC_SHA256, key);
        Ok(Self {
            fingerprints: hashing(fingerprints),
            index: hashing(index),
            pepper: *pepper,
            journal: hashing(journal),
            evidence: *evidence,
        })
    }
}

fn bytes(tag: &hmac::Tag) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

/// What a blind index is of. Words are part of what is hashed: the same text of two kinds has two hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexOf {
    /// A normalised address of a person: the value of the claim `identity.email`.
    Email,
    /// At whom guesses are counted.
    Attempts,
    /// A device on which somebody signed in before.
    Device,
    /// An identity of another provider: `<provider>/<its subject>`.
    Federated,
    /// A tenant that does not exist, by the slug that was asked for.
    UnknownTenant,
    /// Whose tries are counted: an address of the network, a person, a client.
    Rates,
    /// A device whose code somebody typed, in a session of theirs.
    TypedDevice,
    /// The browser that a form was made for.
    Form,
    /// Another organisation of a person: the user here, and that organisation.
    Elsewhere,
    /// The seed of an authenticator that was offered to somebody, in a session of theirs.
    OfferedSeed,
}

impl IndexOf {
    const fn word(self) -> &'static [u8] {
        match self {
            Self::Email => b"email\0",
            Self::Attempts => b"attempts\0",
            Self::Device => b"device\0",
            Self::Federated => b"federated\0",
            Self::UnknownTenant => b"unknown-tenant\0",
            Self::Rates => b"rates\0",
            Self::TypedDevice => b"typed-device\0",
            Self::Form => b"form\0",
            Self::Elsewhere => b"elsewhere\0",
            Self::OfferedSeed => b"offered-seed\0",
        }
    }
}

/// A cell of the vault: what is sealed for one opens in no other.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a> {
    /// Name of the table, without its schema.
    pub table: &'a str,
    /// Whose row.
    pub tenant: TenantId,
    /// The row.
    pub row: Uuid,
    /// Name of the column.
    pub column: &'a str,
}

impl Cell<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(33 + self.table.len() + self.column.len());
        bytes.extend_from_slice(self.tenant.uuid().as_bytes());
        bytes.extend_from_slice(self.row.as_bytes());
        bytes.extend_from_slice(self.table.as_bytes());
        // Names hold no such byte, so no two pairs of names look alike.
        bytes.push(0);
        bytes.extend_from_slice(self.column.as_bytes());
        bytes
    }
}

impl MasterKey {
    /// HMAC-SHA-256 of `message` under the key for fingerprints.
    #[must_use]
    pub fn fingerprint(&self, message: &[u8]) -> [u8; 32] {
        bytes(&hmac::sign(&self.hashes.fingerprints, message))
    }

    /// The keyed hash under which a value is looked up that must not be stored in the clear. The key is the tenant's, so
    /// nobody can tell that two tenants know the same value.
    #[must_use]
    pub fn index(&self, tenant: TenantId, of: IndexOf, value: &[u8]) -> Digest {
        let key = hmac::Key::new(
            hmac::HMAC_SHA256,
            &bytes(&hmac::sign(&self.hashes.index, tenant.uuid().as_bytes())),
        );
        let mut context = hmac::Context::with_key(&key);
        context.update(of.word());
        context.update(value);
        Digest(bytes(&context.sign()))
    }

    /// What is mixed into every password beside its salt: a stolen database alone is not enough to guess.
    #[must_use]
    pub fn pepper(&self) -> &[u8; 32] {
        &self.hashes.pepper
    }

    /// What proves that a line of the journal of erasures was written by whoever has the master key.
    #[must_use]
    pub fn journal_mac(&self, line: &[u8]) -> Digest {
        Digest(bytes(&hmac::sign(&self.hashes.journal, line)))
    }

    /// The key pair that signs certificates of erasures. It is the same for as long as the master key is, so its public
    /// half can be handed out once, and what it signed can be checked without us.
    ///
    /// # Errors
    /// [`KeyError::MasterKey`] if the library does not take its seed.
    pub fn evidence_key(&self) -> Result<Ed25519KeyPair, KeyError> {
        Ed25519KeyPair::from_seed_unchecked(&self.hashes.evidence).map_err(|_| KeyError::MasterKey)
    }

    /// Seals the content of a cell with AES-256-GCM: the name of the key, the nonce, then the sealed bytes with their tag.
    ///
    /// # Errors
    /// [`KeyError::Unsealable`] if the library refuses.
    pub fn seal_cell(&self, cell: &Cell<'_>, plain: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.seal(Kind::Cell, cell.bytes(), plain)
    }

    /// Opens what [`MasterKey::seal_cell`] made for the same cell.
    ///
    /// # Errors
    /// [`KeyError::Lacking`] if a key sealed it that is not here, [`KeyError::Unopenable`] for anything else.
    pub fn open_cell(&self, cell: &Cell<'_>, sealed: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.open(Kind::Cell, &cell.bytes(), sealed)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretSlice;

    use super::*;

    fn master(byte: u8) -> MasterKey {
        MasterKey::new(&SecretSlice::from(vec![byte; 32])).unwrap()
    }

    fn tenant(n: u128) -> TenantId {
        TenantId::new(Uuid::from_u128(n))
    }

    const CELL: Cell<'static> =
        Cell { table: "outbox", tenant: TenantId::PLATFORM, row: Uuid::from_u128(7), column: "sealed" };

    #[test]
    fn what_is_sealed_for_a_cell_opens_there_and_nowhere_else() {
        let key = master(1);
        let sealed = key.seal_cell(&CELL, b"secret").unwrap();
        assert_eq!(key.open_cell(&CELL, &sealed).unwrap(), b"secret");
        for other in [
            Cell { table: "requests", ..CELL },
            Cell { tenant: tenant(1), ..CELL },
            Cell { row: Uuid::from_u128(8), ..CELL },
            Cell { column: "other", ..CELL },
            Cell { table: "outboxs", column: "ealed", ..CELL },
        ] {
            assert!(matches!(key.open_cell(&other, &sealed), Err(KeyError::Unopenable)), "{other:?}");
        }
        assert!(matches!(master(2).open_cell(&CELL, &sealed), Err(KeyError::Unopenable)));
    }

    #[test]
    fn a_changed_or_cut_cell_does_not_open() {
        let key = master(1);
        let sealed = key.seal_cell(&CELL, b"secret").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open_cell(&CELL, &changed).is_err(), "byte {at}");
            assert!(key.open_cell(&CELL, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn an_index_tells_tenants_kinds_values_and_masters_apart() {
        let index = master(1).index(tenant(1), IndexOf::Email, b"a@b.example");
        assert_eq!(index, master(1).index(tenant(1), IndexOf::Email, b"a@b.example"));
        assert_ne!(index, master(1).index(tenant(2), IndexOf::Email, b"a@b.example"));
        assert_ne!(index, master(1).index(tenant(1), IndexOf::Attempts, b"a@b.example"));
        assert_ne!(index, master(1).index(tenant(1), IndexOf::Email, b"b@b.example"));
        assert_ne!(index, master(2).index(tenant(1), IndexOf::Email, b"a@b.example"));
        assert_ne!(master(1).pepper(), master(2).pepper());
    }
}
