//! Browsers in which somebody is signed in. What the browser keeps is `command-api`'s to make and to read; here is its hash.

use std::time::Duration;

use domain::ids::TenantId;
use uuid::Uuid;

use super::{Digest, TokenSession, Vault, interval};

/// What a browser shows of itself, or is to show from now on.
#[derive(Debug, Clone, Copy)]
pub struct ShownBrowser {
    /// The tenant that it names.
    pub tenant: TenantId,
    /// The browser that it names.
    pub browser: Uuid,
    /// The hash of its secret.
    pub hash: Digest,
}

impl Vault {
    /// Lets a browser stand for a session, for so long at most.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn keep_browser(
        &self,
        browser: &ShownBrowser,
        session: &TokenSession,
        lasts: Duration,
    ) -> sqlx::Result<()> {
        sqlx::query!(
            "select vault.keep_browser($1, $2, $3, $4, $5, $6) as kept",
            browser.tenant.uuid(),
            browser.browser,
            &browser.hash.0[..],
            session.session,
            session.user,
            interval(lasts),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(())
    }

    /// The session that a browser stands for. Whether that still stands is another question: the log knows.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn browser(&self, shown: &ShownBrowser) -> sqlx::Result<Option<TokenSession>> {
        let row = sqlx::query!(
            r#"select session_id as "session!", user_id as "user!" from vault.browser($1, $2, $3)"#,
            shown.tenant.uuid(),
            shown.browser,
            &shown.hash.0[..],
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|it| TokenSession { tenant: shown.tenant, session: it.session, user: it.user }))
    }

    /// Forgets a browser. Tells for which session it stood, if it was one.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn forget_browser(&self, shown: &ShownBrowser) -> sqlx::Result<Option<TokenSession>> {
        let row = sqlx::query!(
            r#"select session_id as "session!", user_id as "user!" from vault.forget_browser($1, $2, $3)"#,
            shown.tenant.uuid(),
            shown.browser,
            &shown.hash.0[..],
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|it| TokenSession { tenant: shown.tenant, session: it.session, user: it.user }))
    }
}
