//! Signing in with other providers: our secrets at them, whose user a person of theirs is, and what is kept of a sign-in
//! while somebody is on the way. What a provider says is `command-api`'s to judge, and who is let in the domain's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::ids::{LinkId, ProviderId, SecretId, TenantId, UserId};
use serde::Serialize;
use uuid::Uuid;

use super::signing_keys::HexBytes;
use super::{Digest, Vault, interval};
use crate::keyring::{Cell, KeyError, MasterKey};

/// Our secret at a provider, sealed, on its way into the vault.
#[derive(Clone, Serialize)]
pub struct NewProviderSecret {
    tenant: TenantId,
    provider: ProviderId,
    secret: SecretId,
    sealed: HexBytes,
}

impl NewProviderSecret {
    /// Seals the secret that is good from now on.
    ///
    /// # Errors
    /// [`KeyError::Unsealable`] if the library refuses.
    pub fn seal(
        tenant: TenantId,
        provider: ProviderId,
        secret: SecretId,
        text: &str,
        master: &MasterKey,
    ) -> Result<Self, KeyError> {
        let sealed = master.seal_cell(&secret_cell(tenant, secret), text.as_bytes())?;
        Ok(Self { tenant, provider, secret, sealed: HexBytes(sealed) })
    }
}

const fn secret_cell(tenant: TenantId, secret: SecretId) -> Cell<'static> {
    Cell { table: "provider_secrets", tenant, row: secret.uuid(), column: "sealed" }
}

const fn state_cell(tenant: TenantId, state: Uuid) -> Cell<'static> {
    Cell { table: "oauth_states", tenant, row: state, column: "sealed" }
}

/// Which user a person of a provider is, on its way into the vault.
#[derive(Clone, Serialize)]
pub struct NewIdentity {
    /// The tenant.
    pub tenant: TenantId,
    /// The link whose event says so.
    pub link: LinkId,
    /// The provider.
    pub provider: ProviderId,
    /// The user.
    pub user: UserId,
    /// The keyed hash of the provider's name for the person.
    pub identity: Digest,
}

/// The link of a person of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Federated {
    /// The link.
    pub link: LinkId,
    /// The user.
    pub user: UserId,
}

/// One of a user's links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkRow {
    /// The link.
    pub link: LinkId,
    /// The provider.
    pub provider: ProviderId,
    /// The keyed hash of the provider's name for the person.
    pub identity: Digest,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// A sign-in that begins.
#[derive(Debug, Clone, Copy)]
pub struct Begun<'a> {
    /// Where.
    pub tenant: TenantId,
    /// Names it.
    pub state: Uuid,
    /// The hash of what the person brings back.
    pub hash: Digest,
    /// The hash of what their browser keeps.
    pub browser: Digest,
    /// With whom.
    pub provider: ProviderId,
    /// Who is signed in and wants the link.
    pub user: Option<UserId>,
    /// Who began it, or from where.
    pub whose: Digest,
    /// What is kept meanwhile.
    pub content: &'a [u8],
}

/// A sign-in that was begun, taken out of the vault.
pub struct Taken {
    /// With whom.
    pub provider: ProviderId,
    /// Who was signed in and wanted the link.
    pub user: Option<UserId>,
    /// What was kept meanwhile.
    pub content: Vec<u8>,
}

/// Somebody who came back from a provider, and is let in when whoever began shows the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The user.
    pub user: UserId,
    /// By which link.
    pub link: LinkId,
    /// With whom.
    pub provider: ProviderId,
}

/// The code for which somebody is let in who came back.
#[derive(Debug, Clone, Copy)]
pub struct NewHandover {
    /// In which organisation.
    pub tenant: TenantId,
    /// The code.
    pub code: Uuid,
    /// What is kept of its text.
    pub hash: Digest,
    /// SHA-256 of what whoever began alone knows.
    pub challenge: Digest,
    /// Who came.
    pub arrival: Arrival,
    /// As of when the session counts that it begins.
    pub as_of: DateTime<Utc>,
}

/// Why something of a sign-in cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FederationVaultError {
    /// The database cannot be used.
    #[error("the vault cannot be used")]
    Database(#[from] sqlx::Error),
    /// What is sealed does not open, or cannot be sealed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Vault {
    /// The providers of a tenant with which somebody can sign in, by name; 100 at most.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn providers(&self, tenant: TenantId) -> sqlx::Result<Vec<ProviderId>> {
        let ids = sqlx::query_scalar!(r#"select vault.providers($1) as "id!""#, tenant.uuid());
        Ok(ids.fetch_all(&self.pool).await?.into_iter().map(ProviderId::new).collect())
    }

    /// Our secret at a provider.
    ///
    /// # Errors
    /// [`FederationVaultError`].
    pub async fn provider_secret(
        &self,
        tenant: TenantId,
        secret: SecretId,
        master: &MasterKey,
    ) -> Result<Option<String>, FederationVaultError> {
        let sealed =
            sqlx::query_scalar!("select vault.provider_secret($1, $2)", tenant.uuid(), secret.uuid())
                .fetch_one(&self.pool)
                .await?;
        let Some(sealed) = sealed else { return Ok(None) };
        let plain = master.open_cell(&secret_cell(tenant, secret), &sealed)?;
        Ok(Some(String::from_utf8(plain).map_err(|_| KeyError::Unopenable)?))
    }

    /// Which user a person of a provider is.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn federated(
        &self,
        tenant: TenantId,
        provider: ProviderId,
        identity: Digest,
    ) -> sqlx::Result<Option<Federated>> {
        let row = sqlx::query!(
            r#"select link_id as "link!", user_id as "user!" from vault.federated($1, $2, $3)"#,
            tenant.uuid(),
            provider.uuid(),
            &identity.0[..],
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|it| Federated { link: LinkId::new(it.link), user: UserId::new(it.user) }))
    }

    /// The links of a user.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn links_of(&self, tenant: TenantId, user: UserId) -> sqlx::Result<Vec<LinkRow>> {
        let rows = sqlx::query!(
            r#"select link_id as "link!", provider_id as "provider!", identity as "identity!", put_at as "since!"
               from vault.links_of($1, $2)"#,
            tenant.uuid(),
            user.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        let row = |it: (Uuid, Uuid, Vec<u8>, DateTime<Utc>)| {
            let (link, provider) = (LinkId::new(it.0), ProviderId::new(it.1));
            // The table takes 32 bytes and nothing else.
            let identity = Digest(it.2.try_into().unwrap_or_default());
            LinkRow { link, provider, identity, since: it.3 }
        };
        Ok(rows.into_iter().map(|it| row((it.link, it.provider, it.identity, it.since))).collect())
    }

    /// Remembers a sign-in that begins. Says how many others of the tenant's went for it, which is none but where too many are
    /// under way.
    ///
    /// # Errors
    /// [`FederationVaultError`].
    pub async fn begin_oauth(
        &self,
        begun: &Begun<'_>,
        lasts: Duration,
        master: &MasterKey,
    ) -> Result<u64, FederationVaultError> {
        let sealed = master.seal_cell(&state_cell(begun.tenant, begun.state), begun.content)?;
        let gone = sqlx::query_scalar!(
            r#"select vault.begin_oauth($1, $2, $3, $4, $5, $6, $7, $8, $9) as "gone!""#,
            begun.tenant.uuid(),
            begun.state,
            &begun.hash.0[..],
            &begun.browser.0[..],
            &begun.whose.0[..],
            begun.provider.uuid(),
            begun.user.map(UserId::uuid),
            sealed,
            interval(lasts),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(u64::try_from(gone).unwrap_or_default())
    }

    /// Takes a sign-in that was begun in this browser, once.
    ///
    /// # Errors
    /// [`FederationVaultError`].
    pub async fn take_oauth(
        &self,
        tenant: TenantId,
        state: Uuid,
        hash: Digest,
        browser: Digest,
        master: &MasterKey,
    ) -> Result<Option<Taken>, FederationVaultError> {
        let row = sqlx::query!(
            r#"select provider_id as "provider!", user_id, sealed as "sealed!" from vault.take_oauth($1, $2, $3, $4)"#,
            tenant.uuid(),
            state,
            &hash.0[..],
            &browser.0[..],
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let content = master.open_cell(&state_cell(tenant, state), &row.sealed)?;
        let (provider, user) = (ProviderId::new(row.provider), row.user_id.map(UserId::new));
        Ok(Some(Taken { provider, user, content }))
    }

    /// Remembers a code for whoever knows what its challenge is made of.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn put_handover(&self, it: &NewHandover, lasts: Duration) -> sqlx::Result<()> {
        sqlx::query("select vault.put_handover($1, $2, $3, $4, $5, $6, $7, $8, $9)")
            .bind(it.tenant.uuid())
            .bind(it.code)
            .bind(&it.hash.0[..])
            .bind(&it.challenge.0[..])
            .bind(it.arrival.user.uuid())
            .bind(it.arrival.link.uuid())
            .bind(it.arrival.provider.uuid())
            .bind(it.as_of)
            .bind(interval(lasts))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Takes a code, once, and says as of when the session counts that begins with it. `answer` is the SHA-256 of what whoever began knows; with a
    /// wrong one the code is lost.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn take_handover(
        &self,
        tenant: TenantId,
        code: Uuid,
        hash: Digest,
        answer: Digest,
    ) -> sqlx::Result<Option<(Arrival, DateTime<Utc>)>> {
        let row = sqlx::query!(
            r#"select user_id as "user!", link_id as "link!", provider_id as "provider!", came_at as "came_at!"
               from vault.take_handover($1, $2, $3, $4)"#,
            tenant.uuid(),
            code,
            &hash.0[..],
            &answer.0[..],
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|it| {
            let (user, link) = (UserId::new(it.user), LinkId::new(it.link));
            (Arrival { user, link, provider: ProviderId::new(it.provider) }, it.came_at)
        }))
    }
}
