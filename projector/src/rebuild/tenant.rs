//! One tenant's rows put among those of the others, at one position.
//!
//! It costs: the whole log is read; the tenant's rows are deleted and inserted again in one transaction, for whose length
//! the model's follower waits (readers do not); what was there before is gone, so there is no rollback.

use domain::ids::TenantId;
use sqlx::{AssertSqlSafe, PgPool};

use super::build::MOMENT_WAIT;
use super::catch_up::Shadow;
use super::record::{self, Live};
use super::shadow::{self, Side};
use super::swap::{self, LEVEL_MAX};
use super::{RebuildError, RebuildState, Table};
use crate::follower::Follower as _;
use crate::run::fault::Unwritten;
use crate::run::write::Keeping as _;

const TRIES_MAX: u32 = 300;

/// Whether rows of this build's version can be put among the live ones.
pub(crate) async fn check(pool: &PgPool, model: &str, own: i32) -> Result<(), RebuildError> {
    let mut conn = pool.acquire().await?;
    let live = record::live(&mut conn, model).await?;
    let log = event_store::epoch::head(&mut conn).await?.epoch;
    match live {
        Some(Live { version: live, .. }) if live != own => {
            Err(RebuildError::OtherVersion { model: model.to_owned(), live, own })
        }
        Some(live) if live.checkpoint.epoch == log => Ok(()),
        other => {
            let theirs = other.map_or(0, |live| live.checkpoint.epoch);
            Err(RebuildError::OtherEpoch { theirs, log, mend: "rebuild the whole model" })
        }
    }
}

/// Puts the tenant's rows in place.
pub(crate) async fn replace(
    shadow: &mut Shadow,
    tenant: TenantId,
    tables: &[Table],
) -> Result<(), RebuildError> {
    for _ in 0..TRIES_MAX {
        check(&shadow.pool, shadow.slice.name(), shadow.version).await?;
        let goal = swap::goal(shadow).await?;
        shadow.follow(goal.position, None).await?;
        match attempt(shadow, tenant, tables).await {
            Ok(true) => return Ok(()),
            Ok(false) | Err(Unwritten::Data(_)) => {}
            Err(Unwritten::Fault(fault)) if fault.is_lock_timeout() => {}
            Err(other) => return Err(other.into()),
        }
        tokio::time::sleep(MOMENT_WAIT).await;
    }
    Err(RebuildError::Busy("the model's tables were being written at every try"))
}

async fn attempt(shadow: &mut Shadow, tenant: TenantId, tables: &[Table]) -> Result<bool, Unwritten> {
    let model = shadow.slice.name();
    let mut tx = shadow.pool.begin().await?;
    sqlx::query!(
        "select set_config('search_path', $1, true) as path, set_config('lock_timeout', '50ms', true) as lock,
                set_config('statement_timeout', '0', true) as statement",
        shadow.schema
    )
    .fetch_one(&mut *tx)
    .await?;
    shadow::hold_writers(&mut tx, tables).await?;
    let live = record::live_locked(&mut tx, model).await?;
    let Some(Live { checkpoint: goal, version, .. }) = live else { return Ok(false) };
    let mut at = shadow.checkpoint;
    let behind = goal.position - at.position;
    if version != shadow.version || goal.epoch != at.epoch || !(0..=LEVEL_MAX).contains(&behind) {
        tx.rollback().await?;
        return Ok(false);
    }
    if behind > 0 {
        at = swap::level(shadow, &mut tx, goal.position).await?;
    }
    if !shadow.keeping().advance(&mut tx, at, at).await? {
        return Err(Unwritten::LeaseLost);
    }
    for table in tables {
        let delete = format!("delete from read.{table} where tenant_id = $1");
        sqlx::query(AssertSqlSafe(delete)).bind(tenant.uuid()).execute(&mut *tx).await?;
        let insert = format!("insert into read.{table} select * from {}.{table}", shadow.schema);
        sqlx::query(AssertSqlSafe(insert)).execute(&mut *tx).await?;
    }
    exchange_parked(shadow, &mut tx, tenant).await?;
    // Whoever leads keeps the parked partitions in memory, so it begins again.
    sqlx::query!(
        "update run.projections set lease_epoch = lease_epoch + 1, lease_owner = null, lease_until = '-infinity'
         where model = $1",
        model
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("update run.rebuilds set state = $2 where model = $1", model, RebuildState::Swapped.name())
        .execute(&mut *tx)
        .await?;
    shadow::drop(&mut tx, Side::Next, model).await?;
    tx.commit().await?;
    shadow.checkpoint = at;
    Ok(true)
}

/// The tenant's parked partitions become those of the rebuilt rows.
async fn exchange_parked(shadow: &Shadow, tx: &mut sqlx::PgConnection, tenant: TenantId) -> sqlx::Result<()> {
    let (model, version) = (shadow.slice.name(), shadow.version);
    let rows = sqlx::query!(
        "select tenant_id, partition from run.parked where model = $1 and version = $2",
        model,
        version
    )
    .fetch_all(&mut *tx)
    .await?;
    let of = |of: TenantId, partition| {
        shadow.slice.whole.rebuildable().map_or(of, |it| it.tenant_of(of, partition))
    };
    for row in rows.iter().filter(|row| of(TenantId::new(row.tenant_id), row.partition) == tenant) {
        sqlx::query!(
            "delete from run.parked where model = $1 and version = $2 and tenant_id = $3 and partition = $4",
            model,
            version,
            row.tenant_id,
            row.partition
        )
        .execute(&mut *tx)
        .await?;
    }
    sqlx::query!(
        "insert into run.parked (model, version, tenant_id, partition, position, reason, retry_at)
         select model, $2, tenant_id, partition, position, reason, clock_timestamp()
         from run.rebuild_parked where model = $1 and side = 'next'",
        model,
        version
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("delete from run.rebuild_parked where model = $1 and side = 'next'", model)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("delete from run.skipped where model = $1 and tenant_id = $2", model, tenant.uuid())
        .execute(tx)
        .await?;
    Ok(())
}
