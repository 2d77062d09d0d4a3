//! What is over by itself, and says so by an event: invitations that nobody answered, and addresses that nobody confirmed. Until
//! then they hold what others may want: a seat, roles, an address.
//!
//! The link of each says when that is, whom or what it is about, and which claim is given up; so what is due is found by an index
//! of links, and there is nothing else to remember. A link that is used, or dropped with what it was about, is not due.
//!
//! Any number of processes do this side by side: whoever comes second finds it over already.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use domain::Decision;
use domain::email::EmailHash;
use domain::identity::ExpireEmailChange;
use domain::ids::{InvitationId, TenantId, UserId};
use domain::organisation::invitation::ExpireInvitation;
use event_store::unit::{Cause, Unit};
use event_store::vault::{MailTokenKind, VaultChange};
use event_store::{Executor, SubmitError};
use sqlx::PgPool;
use uuid::Uuid;

use crate::run::Fault;
use crate::shared::Shared;

pub(super) const NAME: &str = "reactor.expiries";

const BATCH_MAX: i64 = 64;

/// What it works with.
pub(super) struct Expiries {
    /// Of the role `quipu_reactor`.
    pub(super) pool: PgPool,
    pub(super) executor: Executor,
}

/// A link whose time is over, of something that is not.
struct Due {
    tenant: TenantId,
    token: Uuid,
    kind: MailTokenKind,
    about: Uuid,
    address: EmailHash,
    version: u32,
}

/// Ends what is due until the process ends.
///
/// # Errors
/// A fault of the database; beginning again may mend it.
pub(super) async fn run(expiries: Arc<Expiries>, shared: Arc<Shared>) -> Result<(), Fault> {
    while !shared.shutdown.is_cancelled() {
        for due in expiries.due().await? {
            expiries.end(&due).await?;
        }
        tokio::select! {
            () = shared.shutdown.cancelled() => {}
            () = tokio::time::sleep(shared.timing.tick) => {}
        }
    }
    Ok(())
}

impl Due {
    fn command(&self) -> Box<dyn Decision> {
        let email_hash = self.address;
        match self.kind {
            MailTokenKind::Invitation => {
                let invitation_id = InvitationId::new(self.about);
                Box::new(ExpireInvitation { invitation_id, email_hash })
            }
            _ => {
                let (user_id, email_version) = (UserId::new(self.about), self.version);
                Box::new(ExpireEmailChange { user_id, email_version, email_hash })
            }
        }
    }
}

impl Expiries {
    /// What is over by our clock, which is never ahead of the one that the command is judged by.
    async fn due(&self) -> sqlx::Result<Vec<Due>> {
        // The vault rounds moments, the log does not: what is over here is over there too.
        let over = Utc::now() - TimeDelta::milliseconds(1);
        let kinds = [MailTokenKind::ChangeAddress, MailTokenKind::Invitation];
        // The kinds stand here as in the index, so that it is used.
        let rows = sqlx::query!(
            r#"select tenant_id, token_id, kind, about, address_hash as "address_hash!", version from vault.mail_tokens
               where used_at is null and kind in (2, 4) and expires_at <= $1 and address_hash is not null
               order by expires_at limit $2"#,
            over,
            BATCH_MAX
        )
        .fetch_all(&self.pool)
        .await?;
        let due = rows.into_iter().filter_map(|row| {
            Some(Due {
                tenant: TenantId::new(row.tenant_id),
                token: row.token_id,
                kind: kinds.into_iter().find(|it| it.code() == row.kind)?,
                about: row.about,
                address: EmailHash::new(row.address_hash.try_into().ok()?),
                version: u32::try_from(row.version).ok()?,
            })
        });
        Ok(due.collect())
    }

    async fn end(&self, due: &Due) -> Result<(), Fault> {
        let useless = VaultChange::DropMailTokens { tenant: due.tenant, kind: due.kind, about: due.about };
        let unit = Unit::of(due.tenant, Cause::system(Uuid::now_v7()), [due.command()]).with_vault([useless]);
        match self.executor.submit(unit).await {
            Ok(receipt) => {
                if let Some(refusal) = receipt.results.into_iter().find_map(Result::err) {
                    tracing::error!(manager = NAME, tenant = %due.tenant, code = %refusal.code, "a link is of nothing that could end");
                }
            }
            Err(error @ (SubmitError::Overloaded | SubmitError::Unavailable)) => {
                tracing::info!(manager = NAME, %error, "what is over is ended later");
                return Ok(());
            }
            Err(error) => return Err(Fault::Odd(error.to_string())),
        }
        // What was over already, or was sent again meanwhile with another link, appends nothing and so drops nothing.
        sqlx::query!(
            "delete from vault.mail_tokens where tenant_id = $1 and token_id = $2 and used_at is null",
            due.tenant.uuid(),
            due.token
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
