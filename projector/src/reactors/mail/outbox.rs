//! `vault.outbox` and its neighbours as the mailer sees them. All times are the database's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use sqlx::PgPool;
use uuid::Uuid;

use crate::run::lease::milliseconds;

/// How many rows one sweep removes from a table; what is left is for the next.
const SWEPT_MAX: i64 = 1_000;
/// Up to here letters are counted.
const COUNTED_MAX: i64 = 10_000;

/// A letter that this process tries now.
pub(super) struct Waiting {
    pub(super) tenant: TenantId,
    pub(super) mail: Uuid,
    pub(super) sealed: Vec<u8>,
    pub(super) queued_at: DateTime<Utc>,
    /// With this one.
    pub(super) tries: u32,
}

/// What becomes of a letter that was not taken.
pub(super) enum Failed {
    /// It is tried again after this time.
    Again(Duration),
    /// It is dead.
    ForGood,
}

/// How the outbox stands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing {
    /// Letters that wait, counted up to [`COUNTED_MAX`].
    pub(super) waiting: i64,
    /// Letters of the last month that will never be sent, counted likewise.
    pub(super) dead: i64,
    /// For how long the oldest has waited, in seconds.
    pub(super) oldest_seconds: i64,
}

/// Takes letters that are due: nobody else tries them before the lease is over.
pub(super) async fn take(
    pool: &PgPool,
    lease: Uuid,
    most: usize,
    length: Duration,
) -> sqlx::Result<Vec<Waiting>> {
    let rows = sqlx::query!(
        r#"update vault.outbox o
           set lease = $1, tries = o.tries + 1, due_at = clock_timestamp() + $3::bigint * interval '1 millisecond'
           from (
               select tenant_id, mail_id from vault.outbox
               where sent_at is null and dead_at is null and due_at <= clock_timestamp()
               order by due_at limit $2
               for update skip locked
           ) due
           where o.tenant_id = due.tenant_id and o.mail_id = due.mail_id
           returning o.tenant_id, o.mail_id, o.sealed as "sealed!", o.queued_at, o.tries"#,
        lease,
        i64::try_from(most).unwrap_or(i64::MAX),
        milliseconds(length)
    )
    .fetch_all(pool)
    .await?;
    let letters = rows.into_iter().map(|row| Waiting {
        tenant: TenantId::new(row.tenant_id),
        mail: row.mail_id,
        sealed: row.sealed,
        queued_at: row.queued_at,
        tries: u32::try_from(row.tries).unwrap_or(u32::MAX),
    });
    Ok(letters.collect())
}

/// Notes that a letter was sent, whoever has it by now: it must not go out again. What it said is deleted.
pub(super) async fn sent(pool: &PgPool, letter: &Waiting) -> sqlx::Result<()> {
    sqlx::query!(
        "update vault.outbox set sent_at = clock_timestamp(), sealed = null, lease = null, last_error = null
         where tenant_id = $1 and mail_id = $2 and sent_at is null and dead_at is null",
        letter.tenant.uuid(),
        letter.mail
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Notes that a letter was not taken, if it is still this try's.
pub(super) async fn failed(
    pool: &PgPool,
    letter: &Waiting,
    lease: Uuid,
    failed: Failed,
    why: &str,
) -> sqlx::Result<()> {
    let wait = match failed {
        Failed::Again(wait) => Some(milliseconds(wait)),
        Failed::ForGood => None,
    };
    sqlx::query!(
        "update vault.outbox set
             lease = null, last_error = $4,
             due_at = case when $5::bigint is null then due_at
                           else clock_timestamp() + $5::bigint * interval '1 millisecond' end,
             dead_at = case when $5::bigint is null then clock_timestamp() end,
             sealed = case when $5::bigint is null then null else sealed end
         where tenant_id = $1 and mail_id = $2 and lease = $3 and sent_at is null and dead_at is null",
        letter.tenant.uuid(),
        letter.mail,
        lease,
        why,
        wait
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Gives back what was taken and not tried.
pub(super) async fn give_back(pool: &PgPool, lease: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "update vault.outbox set lease = null, due_at = clock_timestamp(), tries = tries - 1
         where lease = $1 and sent_at is null and dead_at is null",
        lease
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Gives up what is of no use any more. Says how many letters.
pub(super) async fn expire(pool: &PgPool) -> sqlx::Result<u64> {
    let expired = sqlx::query!(
        "update vault.outbox o
         set dead_at = clock_timestamp(), sealed = null, lease = null,
             last_error = left(coalesce(o.last_error || ', and ', '') || 'its time was over', 200)
         from (
             select tenant_id, mail_id from vault.outbox
             where sent_at is null and dead_at is null and due_at <= clock_timestamp()
                 and give_up_at <= clock_timestamp()
             order by due_at limit $1
             for update skip locked
         ) late
         where o.tenant_id = late.tenant_id and o.mail_id = late.mail_id",
        SWEPT_MAX
    )
    .execute(pool)
    .await?;
    Ok(expired.rows_affected())
}

/// Removes what nobody needs: letters after a month, links a month after their end (but not those that [`super::super::expiries`]
/// has yet to end), requests after theirs.
pub(super) async fn tidy(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from vault.outbox o using (
             select tenant_id, mail_id from vault.outbox
             where queued_at < clock_timestamp() - interval '31 days'
             order by queued_at limit $1 for update skip locked
         ) old where o.tenant_id = old.tenant_id and o.mail_id = old.mail_id",
        SWEPT_MAX
    )
    .execute(pool)
    .await?;
    sqlx::query!(
        "delete from vault.mail_tokens t using (
             select tenant_id, token_id from vault.mail_tokens
             where expires_at < clock_timestamp() - interval '31 days'
                 and (used_at is not null or kind not in (2, 4))
             order by expires_at limit $1 for update skip locked
         ) old where t.tenant_id = old.tenant_id and t.token_id = old.token_id",
        SWEPT_MAX
    )
    .execute(pool)
    .await?;
    sqlx::query!(
        "delete from vault.requests r using (
             select tenant_id, request_id from vault.requests
             where expires_at < clock_timestamp()
             order by expires_at limit $1 for update skip locked
         ) old where r.tenant_id = old.tenant_id and r.request_id = old.request_id",
        SWEPT_MAX
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// How the outbox stands.
pub(super) async fn standing(pool: &PgPool) -> sqlx::Result<Standing> {
    sqlx::query_as!(
        Standing,
        r#"select
               (select count(*) from (
                   select from vault.outbox where sent_at is null and dead_at is null limit $1
               ) it) as "waiting!",
               (select count(*) from (
                   select from vault.outbox where dead_at is not null limit $1
               ) it) as "dead!",
               coalesce(greatest(extract(epoch from clock_timestamp() - (
                   select min(it.queued_at) from (
                       select queued_at from vault.outbox where sent_at is null and dead_at is null limit $1
                   ) it
               )), 0), 0)::bigint as "oldest_seconds!""#,
        COUNTED_MAX
    )
    .fetch_one(pool)
    .await
}
