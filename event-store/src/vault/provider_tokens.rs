//! The tokens that providers gave for their people, sealed, and which of them are due to be exchanged for newer ones. Whoever
//! exchanges has them leased: of any number of processes one does. What is in them, and the exchange, is `command-api`'s.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::ids::{LinkId, ProviderId, TenantId, UserId};
use uuid::Uuid;

use super::federation::FederationVaultError;
use super::{Vault, interval};
use crate::keyring::{Cell, MasterKey};

/// Whose tokens are kept.
#[derive(Debug, Clone, Copy)]
pub struct TokenOwner {
    /// The tenant.
    pub tenant: TenantId,
    /// The link by which the provider knows the person.
    pub link: LinkId,
    /// The provider.
    pub provider: ProviderId,
    /// The person.
    pub user: UserId,
}

/// Tokens that somebody has leased, to exchange them.
pub struct LeasedTokens {
    /// Whose they are.
    pub tenant: TenantId,
    /// The link.
    pub link: LinkId,
    /// The provider.
    pub provider: ProviderId,
    /// What was kept.
    pub content: Vec<u8>,
    /// Which try it is, from 1.
    pub tries: i32,
    lease: Uuid,
}

const fn cell(tenant: TenantId, link: LinkId) -> Cell<'static> {
    Cell { table: "provider_tokens", tenant, row: link.uuid(), column: "sealed" }
}

impl Vault {
    /// Keeps what a provider gave at a sign-in, in place of what it gave before. They are due at `refresh_at`; never, without.
    ///
    /// # Errors
    /// [`FederationVaultError`].
    pub async fn put_provider_tokens(
        &self,
        owner: &TokenOwner,
        content: &[u8],
        refresh_at: Option<DateTime<Utc>>,
        master: &MasterKey,
    ) -> Result<(), FederationVaultError> {
        let sealed = master.seal_cell(&cell(owner.tenant, owner.link), content)?;
        sqlx::query!(
            "select vault.put_provider_tokens($1, $2, $3, $4, $5, $6)",
            owner.tenant.uuid(),
            owner.link.uuid(),
            owner.provider.uuid(),
            owner.user.uuid(),
            sealed,
            refresh_at,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What is kept of a person at a provider.
    ///
    /// # Errors
    /// [`FederationVaultError`].
    pub async fn provider_tokens_of(
        &self,
        tenant: TenantId,
        provider: ProviderId,
        user: UserId,
        master: &MasterKey,
    ) -> Result<Option<Vec<u8>>, FederationVaultError> {
        let row = sqlx::query!(
            r#"select link_id as "link!", sealed as "sealed!" from vault.provider_tokens_of($1, $2, $3)"#,
            tenant.uuid(),
            provider.uuid(),
            user.uuid(),
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(master.open_cell(&cell(tenant, LinkId::new(row.link)), &row.sealed)?))
    }

    /// The links whose tokens are due, in all tenants, the longest due first.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn provider_tokens_due(&self, most: u16) -> sqlx::Result<Vec<(TenantId, LinkId)>> {
        let rows = sqlx::query!(
            r#"select tenant_id as "tenant!", link_id as "link!" from vault.provider_tokens_due($1)"#,
            i32::from(most)
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|it| (TenantId::new(it.tenant), LinkId::new(it.link))).collect())
    }

    /// Leases tokens that are due, for so long. `None` if somebody else has.
    ///
    /// # Errors
    /// [`FederationVaultError`].
    pub async fn lease_provider_tokens(
        &self,
        tenant: TenantId,
        link: LinkId,
        lasts: Duration,
        master: &MasterKey,
    ) -> Result<Option<LeasedTokens>, FederationVaultError> {
        let row = sqlx::query!(
            r#"select provider_id as "provider!", sealed as "sealed!", tries as "tries!", lease as "lease!"
               from vault.lease_provider_tokens($1, $2, $3)"#,
            tenant.uuid(),
            link.uuid(),
            interval(lasts),
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let content = master.open_cell(&cell(tenant, link), &row.sealed)?;
        let provider = ProviderId::new(row.provider);
        Ok(Some(LeasedTokens { tenant, link, provider, content, tries: row.tries, lease: row.lease }))
    }

    /// Keeps what leased tokens were exchanged for. False, if the lease is over and somebody else has them.
    ///
    /// # Errors
    /// [`FederationVaultError`].
    pub async fn renew_provider_tokens(
        &self,
        leased: &LeasedTokens,
        content: &[u8],
        refresh_at: Option<DateTime<Utc>>,
        master: &MasterKey,
    ) -> Result<bool, FederationVaultError> {
        let sealed = master.seal_cell(&cell(leased.tenant, leased.link), content)?;
        Ok(sqlx::query_scalar!(
            r#"select vault.renew_provider_tokens($1, $2, $3, $4, $5) as "done!""#,
            leased.tenant.uuid(),
            leased.link.uuid(),
            leased.lease,
            sealed,
            refresh_at,
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Gives leased tokens back to be tried again at a time; without one they are forgotten.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn put_provider_tokens_off(
        &self,
        leased: &LeasedTokens,
        again_at: Option<DateTime<Utc>>,
    ) -> sqlx::Result<()> {
        sqlx::query!(
            "select vault.put_provider_tokens_off($1, $2, $3, $4)",
            leased.tenant.uuid(),
            leased.link.uuid(),
            leased.lease,
            again_at,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
