//! Services as clients of OAuth: their secrets, what they asked while somebody signs in, and codes. What a request may ask
//! is `command-api`'s to judge, and who is let in the domain's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::ids::{SecretId, ServiceId, SessionId, TenantId, UserId};
use serde::Serialize;
use uuid::Uuid;

use super::{Digest, ShownToken, TokenSession, Vault, interval};
use crate::keyring::{Cell, KeyError, MasterKey};

/// The hash of a secret of a service, on its way into the vault.
#[derive(Clone, Serialize)]
pub struct NewClientSecret {
    /// The tenant.
    pub tenant: TenantId,
    /// Whose.
    pub service: ServiceId,
    /// Which.
    pub secret: SecretId,
    /// Of the secret.
    pub hash: Digest,
    /// Until when it is good, if not for ever.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Something opaque that somebody shows: which row it names, and the hash of its secret.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// The tenant that it names.
    pub tenant: TenantId,
    /// The row that it names.
    pub id: Uuid,
    /// The hash of the secret that came with it.
    pub hash: Digest,
}

/// What a code is bound to.
#[derive(Debug, Clone, Copy)]
pub struct CodeBinding {
    /// The one service that may show it.
    pub service: ServiceId,
    /// SHA-256 of the address that it was sent to.
    pub redirect: Digest,
    /// SHA-256 of what the service alone knows.
    pub challenge: Digest,
}

/// What a code is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeGrant {
    /// Who allowed it.
    pub user: UserId,
    /// In which session they did.
    pub came_by: SessionId,
    /// What: names parted by spaces.
    pub scope: String,
    /// What the service wants to find in the ID token.
    pub nonce: Option<String>,
}

/// What became of a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakenCode {
    /// It is this one's, once.
    Taken(CodeGrant),
    /// It was taken before, and this session began with it: somebody has a copy.
    Replayed(SessionId, UserId),
    /// It is good for nothing, and used up if there was one.
    Invalid,
}

/// What is behind a refresh token of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceFamily {
    /// The session.
    pub session: TokenSession,
    /// What its access tokens are for: names parted by spaces.
    pub scope: String,
}

/// Why what was asked cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RequestVaultError {
    /// The database cannot be used.
    #[error("the vault cannot be used")]
    Database(#[from] sqlx::Error),
    /// What is sealed does not open, or cannot be sealed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

const fn request_cell(tenant: TenantId, request: Uuid) -> Cell<'static> {
    Cell { table: "authorization_requests", tenant, row: request, column: "sealed" }
}

impl Vault {
    /// Which service a secret belongs to, if it has not expired. Whether the service still has it, its stream says.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn service_of_secret(&self, shown: &Shown) -> sqlx::Result<Option<ServiceId>> {
        let service = sqlx::query_scalar!(
            "select vault.service_of_secret($1, $2, $3)",
            shown.tenant.uuid(),
            shown.id,
            &shown.hash.0[..],
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(service.map(ServiceId::new))
    }

    /// Remembers what a service asks. `whose` is from where it was asked. Says how many others of the tenant's went for it, which is
    /// none but where too many wait.
    ///
    /// # Errors
    /// [`RequestVaultError`].
    pub async fn put_authorization_request(
        &self,
        shown: &Shown,
        whose: Digest,
        content: &[u8],
        lasts: Duration,
        master: &MasterKey,
    ) -> Result<u64, RequestVaultError> {
        let sealed = master.seal_cell(&request_cell(shown.tenant, shown.id), content)?;
        let gone = sqlx::query_scalar!(
            r#"select vault.put_authorization_request($1, $2, $3, $4, $5, $6) as "gone!""#,
            shown.tenant.uuid(),
            shown.id,
            &shown.hash.0[..],
            &whose.0[..],
            sealed,
            interval(lasts),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(u64::try_from(gone).unwrap_or_default())
    }

    /// What a service asked, while it waits.
    ///
    /// # Errors
    /// [`RequestVaultError`].
    pub async fn authorization_request(
        &self,
        shown: &Shown,
        master: &MasterKey,
    ) -> Result<Option<Vec<u8>>, RequestVaultError> {
        let sealed = sqlx::query_scalar!(
            "select vault.authorization_request($1, $2, $3)",
            shown.tenant.uuid(),
            shown.id,
            &shown.hash.0[..],
        )
        .fetch_one(&self.pool)
        .await?;
        let open = |it: Vec<u8>| master.open_cell(&request_cell(shown.tenant, shown.id), &it);
        Ok(sealed.map(open).transpose()?)
    }

    /// Uses up what a service asked: true for one of any number who do.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn take_authorization_request(&self, shown: &Shown) -> sqlx::Result<bool> {
        sqlx::query_scalar!(
            r#"select vault.take_authorization_request($1, $2, $3) as "taken!""#,
            shown.tenant.uuid(),
            shown.id,
            &shown.hash.0[..],
        )
        .fetch_one(&self.pool)
        .await
    }

    /// Remembers a code.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn put_code(
        &self,
        code: &Shown,
        bound: &CodeBinding,
        grant: &CodeGrant,
        lasts: Duration,
    ) -> sqlx::Result<()> {
        sqlx::query!(
            "select vault.put_code($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            code.tenant.uuid(),
            code.id,
            &code.hash.0[..],
            bound.service.uuid(),
            grant.user.uuid(),
            grant.came_by.uuid(),
            &bound.redirect.0[..],
            &bound.challenge.0[..],
            grant.scope,
            grant.nonce,
            interval(lasts),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes a code for the session that is to begin. It is used up, whatever the answer.
    ///
    /// # Errors
    /// If the database cannot be used; then it is not known whether it was taken.
    pub async fn take_code(
        &self,
        code: &Shown,
        bound: &CodeBinding,
        session: SessionId,
    ) -> sqlx::Result<TakenCode> {
        let row = sqlx::query!(
            r#"select outcome as "outcome!", user_id, came_by, session_id, scope, nonce
               from vault.take_code($1, $2, $3, $4, $5, $6, $7)"#,
            code.tenant.uuid(),
            code.id,
            &code.hash.0[..],
            bound.service.uuid(),
            &bound.redirect.0[..],
            &bound.challenge.0[..],
            session.uuid(),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(match (row.outcome.as_str(), row.user_id, row.came_by, row.session_id, row.scope) {
            ("taken", Some(user), Some(came_by), _, Some(scope)) => TakenCode::Taken(CodeGrant {
                user: UserId::new(user),
                came_by: SessionId::new(came_by),
                scope,
                nonce: row.nonce,
            }),
            ("replayed", Some(user), _, Some(session), _) => {
                TakenCode::Replayed(SessionId::new(session), UserId::new(user))
            }
            _ => TakenCode::Invalid,
        })
    }

    /// Whether nobody else has shown a code since it was taken. Asked once the session stands: whoever shows it later finds
    /// that session to end.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn settle_code(&self, tenant: TenantId, code: Uuid) -> sqlx::Result<bool> {
        sqlx::query_scalar!(r#"select vault.settle_code($1, $2) as "alone!""#, tenant.uuid(), code)
            .fetch_one(&self.pool)
            .await
    }

    /// What is behind a refresh token of a service, whether it is still good or not.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn family_of(&self, shown: &ShownToken) -> sqlx::Result<Option<ServiceFamily>> {
        let row = sqlx::query!(
            r#"select session_id as "session!", user_id as "user!", scope as "scope!"
               from vault.family_of_refresh($1, $2, $3, $4)"#,
            shown.tenant.uuid(),
            shown.token,
            &shown.hash.0[..],
            shown.service,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|it| ServiceFamily {
            session: TokenSession { tenant: shown.tenant, session: it.session, user: it.user },
            scope: it.scope,
        }))
    }

    /// Whether a refresh token of a service could be exchanged now.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn refresh_is_live(&self, shown: &ShownToken) -> sqlx::Result<bool> {
        sqlx::query_scalar!(
            r#"select vault.refresh_is_live($1, $2, $3, $4) as "live!""#,
            shown.tenant.uuid(),
            shown.token,
            &shown.hash.0[..],
            shown.service,
        )
        .fetch_one(&self.pool)
        .await
    }
}
