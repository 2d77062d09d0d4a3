//! Keys that the master key gives for other purposes than sealing a person's fields: looking up what may not be stored in
//! the clear, mixing into passwords, and sealing rows of the vault. Each purpose has a key of its own.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::Ed25519KeyPair;
use domain::ids::TenantId;
use uuid::Uuid;

use super::{KeyError, MasterKey};
use crate::vault::Digest;

/// Which pepper [`MasterKey::pepper`] is; stored beside every password that it was mixed into.
pub const PEPPER_VERSION: i16 = 1;

const NONCE_BYTES: usize = 12;

/// What the master key gives beside wrapping and fingerprints.
pub(super) struct Derived {
    index: hmac::Key,
    pepper: [u8; 32],
    rows: RandomizedNonceKey,
    journal: hmac::Key,
    evidence: [u8; 32],
}

impl Derived {
    pub(super) fn of(root: &hmac::Key) -> Result<Self, KeyError> {
        let key = |label: &[u8]| hmac::sign(root, label);
        Ok(Self {
            index: hmac::Key::new(hmac::HMAC_SHA256, key(b"quipu index key v1").as_ref()),
            pepper: bytes(&key(b"quipu pepper v1")),
            rows: RandomizedNonceKey::new(&AES_256_GCM, key(b"quipu vault key v1").as_ref())
                .map_err(|_| KeyError::MasterKey)?,
            journal: hmac::Key::new(hmac::HMAC_SHA256, key(b"quipu journal of erasures v1").as_ref()),
            evidence: bytes(&key(b"quipu evidence key v1")),
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
    /// The keyed hash under which a value is looked up that must not be stored in the clear. The key is the tenant's, so
    /// nobody can tell that two tenants know the same value.
    #[must_use]
    pub fn index(&self, tenant: TenantId, of: IndexOf, value: &[u8]) -> Digest {
        let key = hmac::Key::new(
            hmac::HMAC_SHA256,
            &bytes(&hmac::sign(&self.derived.index, tenant.uuid().as_bytes())),
        );
        let mut context = hmac::Context::with_key(&key);
        context.update(of.word());
        context.update(value);
        Digest(bytes(&context.sign()))
    }

    /// What is mixed into every password beside its salt: a stolen database alone is not enough to guess.
    #[must_use]
    pub fn pepper(&self) -> &[u8; 32] {
        &self.derived.pepper
    }

    /// What proves that a line of the journal of erasures was written by whoever has the master key.
    #[must_use]
    pub fn journal_mac(&self, line: &[u8]) -> Digest {
        Digest(bytes(&hmac::sign(&self.derived.journal, line)))
    }

    /// The key pair that signs certificates of erasures. It is the same for as long as the master key is, so its public
    /// half can be handed out once, and what it signed can be checked without us.
    ///
    /// # Errors
    /// [`KeyError::MasterKey`] if the library does not take its seed.
    pub fn evidence_key(&self) -> Result<Ed25519KeyPair, KeyError> {
        Ed25519KeyPair::from_seed_unchecked(&self.derived.evidence).map_err(|_| KeyError::MasterKey)
    }

    /// Seals the content of a cell with AES-256-GCM: the nonce, then the sealed bytes with their tag.
    ///
    /// # Errors
    /// [`KeyError::Unsealable`] if the library refuses.
    pub fn seal_cell(&self, cell: &Cell<'_>, plain: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut sealed = plain.to_vec();
        let nonce = self
            .derived
            .rows
            .seal_in_place_append_tag(Aad::from(cell.bytes()), &mut sealed)
            .map_err(|_| KeyError::Unsealable)?;
        let mut whole = nonce.as_ref().to_vec();
        whole.append(&mut sealed);
        Ok(whole)
    }

    /// Opens what [`MasterKey::seal_cell`] made for the same cell.
    ///
    /// # Errors
    /// [`KeyError::Unopenable`] for anything else.
    pub fn open_cell(&self, cell: &Cell<'_>, sealed: &[u8]) -> Result<Vec<u8>, KeyError> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES).ok_or(KeyError::Unopenable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeyError::Unopenable)?;
        let mut data = sealed.to_vec();
        let plain = self
            .derived
            .rows
            .open_in_place(nonce, Aad::from(cell.bytes()), &mut data)
            .map_err(|_| KeyError::Unopenable)?;
        Ok(plain.to_vec())
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
