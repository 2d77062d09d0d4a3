//! Partitions that met an event they cannot take. Later events of a parked partition are not applied: they are read
//! again, in order, when it is tried again.

use std::collections::HashSet;
use std::time::Duration;

use domain::ids::TenantId;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::backoff;
use crate::follower::Lease;

/// The most parked partitions of a follower: past that it is no single event's fault.
pub(crate) const PARKED_MAX: usize = 1_000;

const RETRY_MAX: Duration = Duration::from_secs(3_600);
const REASON_CHARS_MAX: usize = 2_000;

/// A partition of a follower.
pub(crate) type Key = (TenantId, Uuid);

/// A partition that is to be parked, or to stay so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Park {
    pub(crate) key: Key,
    /// The event that it could not take.
    pub(crate) position: i64,
    pub(crate) reason: String,
}

/// A parked partition whose turn has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) key: Key,
    pub(crate) position: i64,
    pub(crate) attempts: i32,
}

/// Every parked partition.
pub(crate) async fn load(pool: &PgPool, lease: Lease) -> sqlx::Result<HashSet<Key>> {
    let rows = sqlx::query!(
        "select tenant_id, partition from run.parked where model = $1 and version = $2",
        lease.model,
        lease.version
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (TenantId::new(row.tenant_id), row.partition)).collect())
}

fn wait(attempts: i32, first: Duration) -> i64 {
    let wait = backoff::wait(u32::try_from(attempts).unwrap_or(1), first, RETRY_MAX);
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

/// A reason as the column takes it.
pub(crate) fn reason(text: &str) -> String {
    // PostgreSQL takes no NUL in text.
    text.chars().filter(|it| *it != '\0').take(REASON_CHARS_MAX).collect()
}

/// Parks partitions, in the transaction that passes their events by.
pub(crate) async fn insert(
    tx: &mut PgConnection,
    lease: Lease,
    parks: &[Park],
    retry_min: Duration,
) -> sqlx::Result<()> {
    for park in parks {
        sqlx::query!(
            "insert into run.parked (model, version, tenant_id, partition, position, reason, retry_at)
             values ($1, $2, $3, $4, $5, $6, clock_timestamp() + $7::bigint * interval '1 millisecond')
             on conflict do nothing",
            lease.model,
            lease.version,
            park.key.0.uuid(),
            park.key.1,
            park.position,
            reason(&park.reason),
            wait(1, retry_min)
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// The parked partition that has waited longest past its time.
pub(crate) async fn due(pool: &PgPool, lease: Lease) -> sqlx::Result<Option<Due>> {
    sqlx::query!(
        "select tenant_id, partition, position, attempts from run.parked
         where model = $1 and version = $2 and retry_at <= clock_timestamp() order by retry_at limit 1",
        lease.model,
        lease.version
    )
    .map(|row| Due {
        key: (TenantId::new(row.tenant_id), row.partition),
        position: row.position,
        attempts: row.attempts,
    })
    .fetch_optional(pool)
    .await
}

/// Frees a partition, in the transaction that applies what it missed.
pub(crate) async fn delete(tx: &mut PgConnection, lease: Lease, key: Key) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from run.parked where model = $1 and version = $2 and tenant_id = $3 and partition = $4",
        lease.model,
        lease.version,
        key.0.uuid(),
        key.1
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes that a trial failed; the next one waits twice as long.
pub(crate) async fn failed_again(
    pool: &PgPool,
    lease: Lease,
    due: &Due,
    why: &str,
    retry_min: Duration,
) -> sqlx::Result<()> {
    let attempts = due.attempts.saturating_add(1);
    sqlx::query!(
        "update run.parked set attempts = $5, reason = $6,
                retry_at = clock_timestamp() + $7::bigint * interval '1 millisecond'
         where model = $1 and version = $2 and tenant_id = $3 and partition = $4",
        lease.model,
        lease.version,
        due.key.0.uuid(),
        due.key.1,
        attempts,
        reason(why),
        wait(attempts, retry_min)
    )
    .execute(pool)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_a_second_to_an_hour() {
        let first = Duration::from_secs(1);
        assert_eq!([1, 2, 3].map(|it| wait(it, first)), [1_000, 2_000, 4_000]);
        assert_eq!(wait(40, first), 3_600_000);
        assert_eq!(wait(-1, first), 1_000);
    }

    #[test]
    fn reasons_fit_into_a_column() {
        assert_eq!(reason("a\0b"), "ab");
        assert_eq!(reason(&"é".repeat(3_000)).chars().count(), REASON_CHARS_MAX);
    }
}
