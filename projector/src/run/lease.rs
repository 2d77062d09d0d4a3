//! The row of `run.projections`: who leads, and how far it has come. All times are the database's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sabotage::Guard;
use sqlx::{PgConnection, PgPool};

use crate::follower::{Follower, Lease};

/// How far a follower has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) epoch: i32,
    pub(crate) position: i64,
    pub(crate) recorded_at: DateTime<Utc>,
}

/// A lease, and where to go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant {
    pub(crate) lease: Lease,
    pub(crate) checkpoint: Checkpoint,
}

pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Which version answers queries; `own`, if no version ever has.
pub(crate) async fn active_version(conn: &mut PgConnection, model: &str, own: i32) -> sqlx::Result<i32> {
    let active = sqlx::query_scalar!("select version from run.active_models where model = $1", model)
        .fetch_optional(&mut *conn)
        .await?;
    if let Some(active) = active {
        return Ok(active);
    }
    sqlx::query!("insert into run.active_models values ($1, $2) on conflict do nothing", model, own)
        .execute(&mut *conn)
        .await?;
    sqlx::query_scalar!("select version from run.active_models where model = $1", model).fetch_one(conn).await
}

/// The checkpoint, which is made at the beginning of the log if there is none.
pub(crate) async fn checkpoint(
    conn: &mut PgConnection,
    follower: &dyn Follower,
    epoch: i32,
) -> sqlx::Result<Checkpoint> {
    let (model, version) = (follower.name(), follower.version());
    let found = sqlx::query_as!(
        Checkpoint,
        "select epoch, position, recorded_at from run.projections where model = $1 and version = $2",
        model,
        version
    )
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(found) = found {
        return Ok(found);
    }
    sqlx::query!(
        "insert into run.projections (model, version, epoch, position, recorded_at)
         values ($1, $2, $3, 0, '2000-01-01T00:00:00Z') on conflict do nothing",
        model,
        version,
        epoch
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query_as!(
        Checkpoint,
        "select epoch, position, recorded_at from run.projections where model = $1 and version = $2",
        model,
        version
    )
    .fetch_one(conn)
    .await
}

/// Takes the lease if it is free, has run out or was this process's before.
pub(crate) async fn acquire(
    conn: &mut PgConnection,
    follower: &dyn Follower,
    instance: &str,
    length: Duration,
) -> sqlx::Result<Option<Grant>> {
    let row = sqlx::query!(
        "update run.projections
         set lease_owner = $3, lease_epoch = lease_epoch + 1, updated_at = clock_timestamp(),
             lease_until = clock_timestamp() + $4::bigint * interval '1 millisecond'
         where model = $1 and version = $2 and (lease_until < clock_timestamp() or lease_owner = $3)
         returning lease_epoch, epoch, position, recorded_at",
        follower.name(),
        follower.version(),
        instance,
        milliseconds(length)
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Grant {
        lease: Lease { model: follower.name(), version: follower.version(), epoch: row.lease_epoch },
        checkpoint: Checkpoint { epoch: row.epoch, position: row.position, recorded_at: row.recorded_at },
    }))
}

/// Makes the lease last again. False if it is lost.
pub(crate) async fn renew(pool: &PgPool, lease: Lease, length: Duration) -> sqlx::Result<bool> {
    let renewed = sqlx::query!(
        "update run.projections set lease_until = clock_timestamp() + $4::bigint * interval '1 millisecond'
         where model = $1 and version = $2 and lease_epoch = $3 and epoch = (select epoch from store.log_head)",
        lease.model,
        lease.version,
        lease.epoch,
        milliseconds(length)
    )
    .execute(pool)
    .await?;
    Ok(renewed.rows_affected() == 1 || !sabotage::stands(Guard::LeaseFence))
}

/// Lets others have it at once. Does nothing if it is theirs already.
pub(crate) async fn release(pool: &PgPool, lease: Lease) -> sqlx::Result<()> {
    sqlx::query!(
        "update run.projections set lease_owner = null, lease_until = '-infinity'
         where model = $1 and version = $2 and lease_epoch = $3",
        lease.model,
        lease.version,
        lease.epoch
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Moves the checkpoint, renews the lease and proves that it is held, in the transaction of the rows. False: undo it.
///
/// Nobody waits for the disk when a page is written, so a crash of the database may take the newest pages back, rows and
/// checkpoint together. A leader that lives through it must not go on from where it was: it would pass over what is gone.
/// So the checkpoint moves only from where the leader believes it to be.
pub(crate) async fn advance(
    tx: &mut PgConnection,
    lease: Lease,
    from: Checkpoint,
    to: Checkpoint,
    length: Duration,
) -> sqlx::Result<bool> {
    // Invariant: a leader that was deposed, whose log was restored under it, or in whose tables' place those of another
    // version are by now, changes no row.
    let advanced = sqlx::query!(
        "update run.projections
         set position = $4, recorded_at = $5, updated_at = clock_timestamp(),
             lease_until = clock_timestamp() + $6::bigint * interval '1 millisecond'
         where model = $1 and version = $2 and (lease_epoch = $3 or not $7::boolean)
           and (position = $8 or not $9::boolean)
           and epoch = (select epoch from store.log_head)
           and not exists (select from run.active_models a where a.model = $1 and a.version <> $2)",
        lease.model,
        lease.version,
        lease.epoch,
        to.position,
        to.recorded_at,
        milliseconds(length),
        sabotage::stands(Guard::LeaseFence),
        from.position,
        // A deposed leader would mostly be stopped by this as well; the test of its own guard must see that one alone.
        sabotage::stands(Guard::CheckpointStands) && sabotage::stands(Guard::LeaseFence)
    )
    .execute(tx)
    .await?;
    Ok(advanced.rows_affected() == 1)
}

/// Whether a lease is still held and has not run out.
pub(crate) async fn holds(conn: &mut PgConnection, lease: Lease) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (
               select from run.projections
               where model = $1 and version = $2 and (lease_epoch = $3 or not $4::boolean)
                 and (lease_until > clock_timestamp() or not $4::boolean)
           ) as "holds!""#,
        lease.model,
        lease.version,
        lease.epoch,
        sabotage::stands(Guard::LeaseFence)
    )
    .fetch_one(conn)
    .await
}
