//! The vault: secrets, hashes of secrets and counters, which no event may carry (schema `vault`).
//!
//! | what | how | where |
//! |---|---|---|
//! | what belongs to an event | data of its unit, in its transaction | [`VaultChange`] |
//! | what is no event: a counted guess, an exchanged token | one function, its own transaction | [`Vault`] |
//!
//! Every method of [`Vault`] is one round trip and takes no lock that anything but its own kind waits for; none takes the
//! head of the log.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use sabotage::Guard;
use sqlx::PgPool;
use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

mod api_keys;
mod browser;
mod change;
mod devices;
mod factors;
mod federation;
mod link;
mod mail;
mod oauth;
mod passkeys;
mod person_links;
mod provider_tokens;
mod rates;
mod request;
mod reseal;
mod signing_keys;
mod sweep;

pub use api_keys::{ApiKeys, KeyHolder, NewApiKey};
pub use browser::ShownBrowser;
pub use change::{AttemptKind, Digest, NewFamily, SecretText, VaultChange};
pub use devices::{AskingDevice, Polled, WaitingDevice};
pub use factors::{FirstHalf, NewTotp, SealedSeed, ShownTicket};
pub use federation::{
    Arrival, Begun, Federated, FederationVaultError, LinkRow, NewHandover, NewIdentity, NewProviderSecret,
    Taken,
};
pub use link::{MailToken, MailTokenKind, NewMailToken};
pub use mail::{AddressStage, FactorChange, Language, Letter, Mail, Purpose, QueuedMail, Ruling, Slip};
pub use oauth::{
    CodeBinding, CodeGrant, NewClientSecret, RequestVaultError, ServiceFamily, Shown, TakenCode,
};
pub use passkeys::{NewPasskey, Passkey, PasskeyAlgorithm};
pub use person_links::{LinkCode, NewPersonLink, PersonLink};
pub use provider_tokens::{LeasedTokens, TokenOwner};
pub use rates::{Try, Window};
pub use request::{AddressChange, Asker, Founding, NotAsked, Registration, Request};
pub use reseal::{ResealError, Resealed, SealedBy, SealedColumn, Stand};
pub use signing_keys::{
    HexBytes, KeyState, NewSigningKey, PublicHalves, SigningKeyError, StoredKey, public_halves,
    wrap_signing_key,
};
pub use sweep::Swept;

/// The vault without events, over connections of the role of its process.
#[derive(Debug, Clone)]
pub struct Vault {
    pool: PgPool,
}

/// How often may be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptLimit {
    /// Guesses until the lock.
    pub most: u16,
    /// They count together if they come within this time.
    pub span: Duration,
    /// How long the lock lasts.
    pub lock: Duration,
}

/// The answer to a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// Whether the guess may be looked at.
    pub allowed: bool,
    /// Guesses so far, with this one if it is allowed.
    pub failed: i32,
    /// Until when nothing further is allowed, unless this guess is right.
    pub locked_until: Option<DateTime<Utc>>,
}

/// A password as it is kept, and whose it is.
pub struct SignInRow {
    /// The person.
    pub user: Uuid,
    /// Their password, if they have one.
    pub password: Option<StoredPassword>,
}

/// A password as it is kept.
pub struct StoredPassword {
    /// How many passwords this person has had.
    pub version: i32,
    /// Argon2id in the PHC format.
    pub phc: String,
    /// Which pepper was mixed in.
    pub pepper: i16,
}

/// A refresh token that somebody shows.
#[derive(Debug, Clone, Copy)]
pub struct ShownToken {
    /// The tenant that it names.
    pub tenant: TenantId,
    /// The token that it names.
    pub token: Uuid,
    /// The hash of the secret that came with it.
    pub hash: Digest,
    /// The service that shows it, if one does.
    pub service: Option<Uuid>,
}

/// The session behind a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSession {
    /// Its tenant.
    pub tenant: TenantId,
    /// The session.
    pub session: Uuid,
    /// Whose it is.
    pub user: Uuid,
}

/// What became of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// The successor is good now, and this one is not.
    Rotated {
        /// The session that goes on.
        session: TokenSession,
        /// What its access tokens are for.
        scope: String,
        /// When the family ends, whatever happens.
        absolute_until: DateTime<Utc>,
    },
    /// It was used before, so somebody has a copy: the family is revoked.
    Reused(TokenSession),
    /// It is good for nothing: not one of ours, of another service, revoked, too old, or its tenant is closed.
    Invalid,
}

impl Vault {
    /// The vault over this pool.
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Reserves a guess. Call it before anything is compared: of any number of guesses at once, at most `limit.most` are
    /// allowed.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn reserve_attempt(
        &self,
        tenant: TenantId,
        kind: AttemptKind,
        subject: Digest,
        limit: &AttemptLimit,
    ) -> sqlx::Result<Reservation> {
        let reservation = sqlx::query_as!(
            Reservation,
            r#"select allowed as "allowed!", failed as "failed!", locked_until
               from vault.reserve_attempt($1, $2, $3, $4, $5, $6)"#,
            tenant.uuid(),
            kind.code(),
            &subject.0[..],
            i32::from(limit.most),
            interval(limit.span),
            interval(limit.lock),
        )
        .fetch_one(&self.pool)
        .await?;
        let allowed = reservation.allowed || !sabotage::stands(Guard::AttemptReservation);
        Ok(Reservation { allowed, ..reservation })
    }

    /// Takes back one guess that was right and belongs to no sign-in; those that were wrong stay counted.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn return_attempt(
        &self,
        tenant: TenantId,
        kind: AttemptKind,
        subject: Digest,
        most: u16,
    ) -> sqlx::Result<()> {
        let mut tx = self.pool.begin().await?;
        sqlx::query!(
            "select set_config('app.tenants', array[$1::uuid]::text, true) as served",
            tenant.uuid()
        )
        .fetch_one(&mut *tx)
        .await?;
        sqlx::query!(
            "select vault.return_attempt($1, $2, $3, $4) as returned",
            tenant.uuid(),
            kind.code(),
            &subject.0[..],
            i32::from(most),
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// Exchanges a refresh token for its successor `next` with the hash `next_hash`. However many present one token at
    /// once, one of them gets [`Rotation::Rotated`]. Within `grace` after that, one more may.
    ///
    /// # Errors
    /// If the database cannot be used; then it is not known whether the token was exchanged.
    pub async fn rotate_refresh(
        &self,
        shown: &ShownToken,
        next: Uuid,
        next_hash: Digest,
        grace: Duration,
    ) -> sqlx::Result<Rotation> {
        let row = sqlx::query!(
            r#"select outcome as "outcome!", session_id, user_id, scope, absolute_until
               from vault.rotate_refresh($1, $2, $3, $4, $5, $6, $7)"#,
            shown.tenant.uuid(),
            shown.token,
            &shown.hash.0[..],
            shown.service,
            next,
            &next_hash.0[..],
            interval(grace),
        )
        .fetch_one(&self.pool)
        .await?;
        let (Some(session), Some(user)) = (row.session_id, row.user_id) else {
            return Ok(Rotation::Invalid);
        };
        let session = TokenSession { tenant: shown.tenant, session, user };
        Ok(match (row.outcome.as_str(), row.scope, row.absolute_until) {
            ("rotated" | "again", Some(scope), Some(absolute_until)) => {
                Rotation::Rotated { session, scope, absolute_until }
            }
            ("reused", ..) if sabotage::stands(Guard::ReuseTold) => Rotation::Reused(session),
            _ => Rotation::Invalid,
        })
    }

    /// The session that a refresh token belongs to, whether it is still good or not; for signing out.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn session_of(&self, shown: &ShownToken) -> sqlx::Result<Option<TokenSession>> {
        let row = sqlx::query!(
            r#"select session_id as "session!", user_id as "user!" from vault.session_of_refresh($1, $2, $3, $4)"#,
            shown.tenant.uuid(),
            shown.token,
            &shown.hash.0[..],
            shown.service,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|it| TokenSession { tenant: shown.tenant, session: it.session, user: it.user }))
    }

    /// The sessions of a person that can still be refreshed, the newest first, at most so many.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn live_sessions(&self, tenant: TenantId, user: Uuid, most: u16) -> sqlx::Result<Vec<Uuid>> {
        sqlx::query_scalar!(
            r#"select session_id as "session!" from vault.live_sessions($1, $2, $3)"#,
            tenant.uuid(),
            user,
            i32::from(most),
        )
        .fetch_all(&self.pool)
        .await
    }

    /// Who holds a unique value in a tenant: the id of the stream.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn claim_holder(
        &self,
        tenant: TenantId,
        scope: &str,
        value: &str,
    ) -> sqlx::Result<Option<Uuid>> {
        sqlx::query_scalar!("select vault.claim_holder($1, $2, $3)", tenant.uuid(), scope, value)
            .fetch_one(&self.pool)
            .await
    }

    /// Who has an address, and their password.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn sign_in_row(&self, tenant: TenantId, email: Digest) -> sqlx::Result<Option<SignInRow>> {
        let row = sqlx::query_as!(
            PasswordRow,
            r#"select user_id as "user!", version, phc, pepper from vault.sign_in_row($1, $2)"#,
            tenant.uuid(),
            &email.0[..],
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(SignInRow::from))
    }

    /// The password of a person.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn password_of(&self, tenant: TenantId, user: Uuid) -> sqlx::Result<Option<StoredPassword>> {
        let row = sqlx::query_as!(
            PasswordRow,
            r#"select user_id as "user!", version, phc, pepper from vault.password_row($1, $2)"#,
            tenant.uuid(),
            user,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.and_then(|it| SignInRow::from(it).password))
    }

    /// Sessions whose families were revoked because a token came back, and which the log does not know as ended yet. For
    /// the role of the reactors, which sees them in all tenants.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn untold_sessions(&self, most: u16) -> sqlx::Result<Vec<TokenSession>> {
        let rows = sqlx::query!(
            r#"select tenant_id as "tenant!", session_id as "session!", user_id as "user!" from vault.untold_families($1)"#,
            i32::from(most),
        )
        .fetch_all(&self.pool)
        .await?;
        let session = |tenant, session, user| TokenSession { tenant: TenantId::new(tenant), session, user };
        Ok(rows.into_iter().map(|it| session(it.tenant, it.session, it.user)).collect())
    }

    /// Notes that the log knows a session as ended. For the role of the reactors.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn mark_told(&self, tenant: TenantId, session: Uuid) -> sqlx::Result<()> {
        sqlx::query!("select vault.mark_told($1, $2) as told", tenant.uuid(), session)
            .fetch_one(&self.pool)
            .await?;
        Ok(())
    }
}

struct PasswordRow {
    user: Uuid,
    version: Option<i32>,
    phc: Option<String>,
    pepper: Option<i16>,
}

impl From<PasswordRow> for SignInRow {
    fn from(row: PasswordRow) -> Self {
        let password = match (row.version, row.phc, row.pepper) {
            (Some(version), Some(phc), Some(pepper)) => Some(StoredPassword { version, phc, pepper }),
            _ => None,
        };
        Self { user: row.user, password }
    }
}

fn interval(duration: Duration) -> PgInterval {
    let microseconds = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    PgInterval { months: 0, days: 0, microseconds }
}
