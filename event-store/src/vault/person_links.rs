//! Where else a person is: the halves of links, which come and go with events, and the codes by which somebody shows that
//! they are in two organisations. What makes a link good is the domain's to say; here is what no log may tell.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::identity::ElsewhereHash;
use domain::ids::{SessionId, TenantId, UserId};
use serde::Serialize;
use uuid::Uuid;

use super::{Digest, Vault, interval};
use crate::keyring::{IndexOf, MasterKey};

/// A half of a link, on its way into the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NewPersonLink {
    /// In which organisation.
    pub tenant: TenantId,
    /// Whose.
    pub user: UserId,
    /// Names it.
    pub link: Uuid,
    /// Where the other half is.
    pub other_tenant: TenantId,
    /// Whose that is.
    pub other_user: UserId,
    /// Names that.
    pub other_link: Uuid,
}

/// A half of a link that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PersonLink {
    /// Names it.
    pub link: Uuid,
    /// Where the other half is.
    pub other_tenant: TenantId,
    /// Whose that is.
    pub other_user: UserId,
    /// Names that.
    pub other_link: Uuid,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// A code that somebody shows, or is to show.
#[derive(Debug, Clone, Copy)]
pub struct LinkCode {
    /// The organisation in which it was asked for.
    pub tenant: TenantId,
    /// Its readable half.
    pub code: Uuid,
    /// The hash of its secret half.
    pub hash: Digest,
    /// The organisation in which it is shown.
    pub shown_in: TenantId,
    /// The address of whoever shows it, as the claims there know it.
    pub shown_by: Digest,
}

impl MasterKey {
    /// Another organisation as the claims of a user of `tenant` know it.
    #[must_use]
    pub fn elsewhere(&self, tenant: TenantId, user: UserId, other: TenantId) -> ElsewhereHash {
        let named = [user.uuid().into_bytes(), other.uuid().into_bytes()].concat();
        ElsewhereHash::new(self.index(tenant, IndexOf::Elsewhere, &named).0)
    }
}

impl Vault {
    /// Where else a person is, in the order in which it was linked.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn person_links(&self, tenant: TenantId, user: UserId) -> sqlx::Result<Vec<PersonLink>> {
        let rows = sqlx::query!(
            r#"select link_id as "link_id!", other_tenant_id as "other_tenant_id!", other_user_id as "other_user_id!",
                      other_link_id as "other_link_id!", linked_at as "linked_at!"
               from vault.person_links_of($1, $2)"#,
            tenant.uuid(),
            user.uuid(),
        )
        .fetch_all(&self.pool)
        .await?;
        let link = rows.into_iter().map(|it| PersonLink {
            link: it.link_id,
            other_tenant: TenantId::new(it.other_tenant_id),
            other_user: UserId::new(it.other_user_id),
            other_link: it.other_link_id,
            since: it.linked_at,
        });
        Ok(link.collect())
    }

    /// Keeps a code that a person asked for in a session, in place of the one before.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn put_link_code(
        &self,
        code: &LinkCode,
        user: UserId,
        session: SessionId,
        lasts: Duration,
    ) -> sqlx::Result<()> {
        sqlx::query!(
            "select vault.put_link_code($1, $2, $3, $4, $5, $6, $7, $8) as kept",
            code.tenant.uuid(),
            user.uuid(),
            code.code,
            &code.hash.0[..],
            session.uuid(),
            code.shown_in.uuid(),
            &code.shown_by.0[..],
            interval(lasts),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes a code: who asked for it, in which session. None, if it is not good or not for whoever shows it.
    ///
    /// # Errors
    /// If the database cannot be used; then it is not known whether it was taken.
    pub async fn take_link_code(&self, code: &LinkCode) -> sqlx::Result<Option<(UserId, SessionId)>> {
        let row = sqlx::query!(
            r#"select user_id as "user_id!", session_id as "session_id!" from vault.take_link_code($1, $2, $3, $4, $5)"#,
            code.tenant.uuid(),
            code.code,
            &code.hash.0[..],
            code.shown_in.uuid(),
            &code.shown_by.0[..],
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|it| (UserId::new(it.user_id), SessionId::new(it.session_id))))
    }
}
