//! The row `run.publisher`: who publishes, and what NATS is known to hold.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::position::Known;

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Takes the lease if it is free; returns its epoch.
pub(super) async fn acquire(
    conn: &mut PgConnection,
    instance: &str,
    length: Duration,
    epoch: i32,
) -> sqlx::Result<Option<i64>> {
    sqlx::query!(
        "insert into run.publisher (id, epoch, position) values (1, $1, 0) on conflict do nothing",
        epoch
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query_scalar!(
        "update run.publisher
         set lease_owner = $1, lease_epoch = lease_epoch + 1, updated_at = clock_timestamp(),
             lease_until = clock_timestamp() + $2::bigint * interval '1 millisecond'
         where id = 1 and (lease_until < clock_timestamp() or lease_owner = $1) returning lease_epoch",
        instance,
        milliseconds(length)
    )
    .fetch_optional(conn)
    .await
}

/// What is remembered; `max_age` says what NATS may still hold.
pub(super) async fn known(conn: &mut PgConnection, max_age: Duration) -> sqlx::Result<Known> {
    sqlx::query!(
        r#"select p.epoch, p.position, p.stream_created, p.stream_seq,
                  coalesce((select e.recorded_at > clock_timestamp() - $1::bigint * interval '1 millisecond'
                            from store.events e where e.position = p.position), false) as "retained!"
           from run.publisher p where p.id = 1"#,
        milliseconds(max_age)
    )
    .map(|row| Known {
        epoch: row.epoch,
        position: row.position,
        created: row.stream_created,
        sequence: u64::try_from(row.stream_seq).unwrap_or(0),
        retained: row.retained,
    })
    .fetch_one(conn)
    .await
}

/// What NATS holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) epoch: i32,
    pub(super) position: i64,
    pub(super) created: DateTime<Utc>,
    pub(super) sequence: u64,
}

/// Notes progress and renews the lease. False if it is lost.
pub(super) async fn save(
    pool: &PgPool,
    lease: i64,
    progress: &Progress,
    length: Duration,
) -> sqlx::Result<bool> {
    let saved = sqlx::query!(
        "update run.publisher
         set epoch = $2, position = $3, stream_created = $4, stream_seq = $5, updated_at = clock_timestamp(),
             lease_until = clock_timestamp() + $6::bigint * interval '1 millisecond'
         where id = 1 and lease_epoch = $1 and $2 = (select epoch from store.log_head)",
        lease,
        progress.epoch,
        progress.position,
        progress.created,
        i64::try_from(progress.sequence).unwrap_or(i64::MAX),
        milliseconds(length)
    )
    .execute(pool)
    .await?;
    Ok(saved.rows_affected() == 1)
}

/// Makes the lease last again. False if it is lost.
pub(super) async fn renew(pool: &PgPool, lease: i64, length: Duration) -> sqlx::Result<bool> {
    let renewed = sqlx::query!(
        "update run.publisher set lease_until = clock_timestamp() + $2::bigint * interval '1 millisecond'
         where id = 1 and lease_epoch = $1",
        lease,
        milliseconds(length)
    )
    .execute(pool)
    .await?;
    Ok(renewed.rows_affected() == 1)
}

/// Lets others have it at once.
pub(super) async fn release(pool: &PgPool, lease: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "update run.publisher set lease_owner = null, lease_until = '-infinity' where id = 1 and lease_epoch = $1",
        lease
    )
    .execute(pool)
    .await?;
    Ok(())
}
