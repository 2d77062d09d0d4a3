//! The keys that sign access tokens: rows of the platform, their private halves wrapped under the master key.
//!
//! When a key comes, signs and goes is said by events; here is only where it lies. See `vault.signing_keys`.

use std::fmt;

use chrono::{DateTime, Utc};
use domain::ids::{KeyId, TenantId};
use secrecy::SecretSlice;
use serde::{Serialize, Serializer};
use sqlx::PgExecutor;

use super::{Digest, Vault};
use crate::keyring::{Cell, KeyError, MasterKey};

/// A key that signs tokens, before it does.
#[derive(Clone, Serialize)]
pub struct NewSigningKey {
    /// The key.
    pub key: KeyId,
    /// Its name in the header of tokens.
    pub kid: String,
    /// Its public half.
    pub public: Digest,
    /// Its private half, as [`wrap_signing_key`] gives it.
    pub wrapped: HexBytes,
    /// From when on it may sign.
    pub use_from: DateTime<Utc>,
}

/// Bytes; hexadecimal where they are text.
#[derive(Clone, PartialEq, Eq)]
pub struct HexBytes(pub Vec<u8>);

impl fmt::Display for HexBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Published, and not used yet.
    Announced,
    /// Signs.
    Active,
    /// Signs nothing any more, and is believed.
    Retired,
    /// Is not believed.
    Removed,
}

impl KeyState {
    /// As stored.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Removed => "removed",
        }
    }

    fn of(word: &str) -> sqlx::Result<Self> {
        [Self::Announced, Self::Active, Self::Retired, Self::Removed]
            .into_iter()
            .find(|it| it.word() == word)
            .ok_or_else(|| sqlx::Error::Decode(format!("{word} is no state of a signing key").into()))
    }
}

/// What is kept of a key, but for its halves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// The key.
    pub key: KeyId,
    /// Its name in the header of tokens.
    pub kid: String,
    /// How it stands.
    pub state: KeyState,
    /// From when on it may sign.
    pub use_from: Option<DateTime<Utc>>,
    /// When the next one is due.
    pub use_until: Option<DateTime<Utc>>,
    /// Until when what it signed is believed.
    pub believe_until: Option<DateTime<Utc>>,
    /// Since when it stands so.
    pub changed_at: DateTime<Utc>,
}

/// The keys as whoever verifies tokens needs them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicHalves {
    /// The public halves of keys that are believed.
    pub believed: Vec<[u8; 32]>,
    /// The names of keys that are not.
    pub removed: Vec<String>,
}

/// Why the key that signs could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The database cannot be used.
    #[error("the signing keys could not be read: {0}")]
    Database(#[from] sqlx::Error),
    /// It was wrapped under another master key, or changed.
    #[error("the signing key cannot be opened: is master.key the one of this database? {0}")]
    Key(#[from] KeyError),
}

fn cell(key: KeyId) -> Cell<'static> {
    Cell { table: "signing_keys", tenant: TenantId::PLATFORM, row: key.uuid(), column: "wrapped" }
}

/// Wraps a private half, for [`super::VaultChange::PutSigningKey`].
///
/// # Errors
/// [`KeyError::Unsealable`] if the library refuses.
pub fn wrap_signing_key(master: &MasterKey, key: KeyId, pkcs8: &[u8]) -> Result<HexBytes, KeyError> {
    master.seal_cell(&cell(key), pkcs8).map(HexBytes)
}

/// The public halves, for every role that verifies tokens: one round trip.
///
/// # Errors
/// If the database cannot be used.
pub async fn public_halves(database: impl PgExecutor<'_>) -> sqlx::Result<PublicHalves> {
    let rows =
        sqlx::query!(r#"select kid as "kid!", public, removed as "removed!" from store.public_keys()"#)
            .fetch_all(database)
            .await?;
    let mut halves = PublicHalves::default();
    for row in rows {
        match row.public.and_then(|it| <[u8; 32]>::try_from(it).ok()) {
            Some(public) if !row.removed => halves.believed.push(public),
            _ => halves.removed.push(row.kid),
        }
    }
    Ok(halves)
}

impl Vault {
    /// The keys, the last changed first and what was removed behind them, at most a thousand. For the roles of the
    /// reactors and of the platform.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn signing_keys(&self) -> sqlx::Result<Vec<StoredKey>> {
        let rows = sqlx::query!(
            "select key_id, kid, state, use_from, use_until, believe_until, changed_at
             from vault.signing_keys order by state = 'removed', changed_at desc, key_id limit 1000"
        )
        .fetch_all(&self.pool)
        .await?;
        let stored = rows.into_iter().map(|row| {
            Ok(StoredKey {
                key: KeyId::new(row.key_id),
                kid: row.kid,
                state: KeyState::of(&row.state)?,
                use_from: row.use_from,
                use_until: row.use_until,
                believe_until: row.believe_until,
                changed_at: row.changed_at,
            })
        });
        stored.collect()
    }

    /// The private half of the key that signs now, PKCS#8; `None` while there is none.
    ///
    /// # Errors
    /// [`SigningKeyError`].
    pub async fn signing_key(&self, master: &MasterKey) -> Result<Option<SecretSlice<u8>>, SigningKeyError> {
        let row = sqlx::query!(
            r#"select key_id, wrapped as "wrapped!" from vault.signing_keys
               where state = 'active' and wrapped is not null order by changed_at desc, key_id limit 1"#
        )
        .fetch_optional(&self.pool)
        .await?;
        let open = |row| -> Result<_, KeyError> {
            let (key, wrapped): (_, Vec<u8>) = row;
            master.open_cell(&cell(KeyId::new(key)), &wrapped).map(SecretSlice::from)
        };
        Ok(row.map(|it| open((it.key_id, it.wrapped))).transpose()?)
    }
}
