//! Passkeys: their public halves, how often they signed, and what is to be signed. Whether a signature is right is
//! `command-api`'s to check, and whose a passkey is stands in the stream of their factors.

use std::time::Duration;

use domain::ids::{FactorId, TenantId, UserId};
use serde::{Serialize, Serializer};

use super::signing_keys::HexBytes;
use super::{Digest, Vault, interval};

/// What a passkey signs with. Numbers are those of COSE (RFC 9053 section 2), and stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum PasskeyAlgorithm {
    /// ECDSA over P-256 with SHA-256; the key is an uncompressed point.
    Es256 = -7,
    /// Ed25519; the key is its 32 bytes.
    EdDsa = -8,
}

impl PasskeyAlgorithm {
    /// Every one, the better first.
    pub const ALL: [Self; 2] = [Self::EdDsa, Self::Es256];

    /// Its number.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The one of a number.
    #[must_use]
    pub fn of(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.code() == code)
    }
}

impl Serialize for PasskeyAlgorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i16(self.code())
    }
}

/// A passkey that is added, on its way into the vault.
#[derive(Clone, Serialize)]
pub struct NewPasskey {
    /// The person's tenant.
    pub tenant: TenantId,
    /// The passkey.
    pub factor: FactorId,
    /// The person.
    pub user: UserId,
    /// The authenticator's name for it.
    pub credential: HexBytes,
    /// What it signs with.
    pub algorithm: PasskeyAlgorithm,
    /// Its public half.
    pub public_key: HexBytes,
    /// How often it says that it signed.
    pub sign_count: u32,
}

/// A passkey.
#[derive(Debug, Clone)]
pub struct Passkey {
    /// Which.
    pub factor: FactorId,
    /// Whose.
    pub user: UserId,
    /// What it signs with.
    pub algorithm: PasskeyAlgorithm,
    /// Its public half.
    pub public_key: Vec<u8>,
}

impl Vault {
    /// Remembers what is to be signed, by its hash: by a person who adds a passkey, or by nobody yet who signs in. `whose` is who
    /// asked, or from where. Says how many others of the tenant's went for it, which is none but where too many wait.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn put_challenge(
        &self,
        tenant: TenantId,
        challenge: Digest,
        whose: Digest,
        user: Option<UserId>,
        lasts: Duration,
    ) -> sqlx::Result<u64> {
        let gone = sqlx::query_scalar!(
            r#"select vault.put_challenge($1, $2, $3, $4, $5) as "gone!""#,
            tenant.uuid(),
            &challenge.0[..],
            &whose.0[..],
            user.map(UserId::uuid),
            interval(lasts),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(u64::try_from(gone).unwrap_or_default())
    }

    /// Takes what was to be signed, once. False if there is no such thing for this person, or for signing in.
    ///
    /// # Errors
    /// If the database cannot be used; then it is not known whether it was taken.
    pub async fn take_challenge(
        &self,
        tenant: TenantId,
        challenge: Digest,
        user: Option<UserId>,
    ) -> sqlx::Result<bool> {
        sqlx::query_scalar!(
            r#"select vault.take_challenge($1, $2, $3) as "taken!""#,
            tenant.uuid(),
            &challenge.0[..],
            user.map(UserId::uuid),
        )
        .fetch_one(&self.pool)
        .await
    }

    /// The names that authenticators have for the passkeys of a person.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn passkeys_of(&self, tenant: TenantId, user: UserId) -> sqlx::Result<Vec<Vec<u8>>> {
        sqlx::query_scalar!(
            r#"select credential_id as "credential!" from vault.passkeys_of($1, $2)"#,
            tenant.uuid(),
            user.uuid(),
        )
        .fetch_all(&self.pool)
        .await
    }

    /// A passkey by the name that its authenticator has for it.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn passkey(&self, tenant: TenantId, credential: &[u8]) -> sqlx::Result<Option<Passkey>> {
        let row = sqlx::query!(
            r#"select factor_id as "factor!", user_id as "user!", algorithm as "algorithm!", public_key as "public_key!"
               from vault.passkey($1, $2)"#,
            tenant.uuid(),
            credential,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let algorithm = PasskeyAlgorithm::of(row.algorithm)
            .ok_or_else(|| sqlx::Error::Decode(format!("{} is no algorithm", row.algorithm).into()))?;
        let (factor, user) = (FactorId::new(row.factor), UserId::new(row.user));
        Ok(Some(Passkey { factor, user, algorithm, public_key: row.public_key }))
    }

    /// Notes how often a passkey says that it signed. False if that is no more than before: there may be a copy of it.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn count_passkey(
        &self,
        tenant: TenantId,
        factor: FactorId,
        counted: u32,
    ) -> sqlx::Result<bool> {
        sqlx::query_scalar!(
            r#"select vault.count_passkey($1, $2, $3) as "more!""#,
            tenant.uuid(),
            factor.uuid(),
            i64::from(counted),
        )
        .fetch_one(&self.pool)
        .await
    }
}
