//! Parked partitions, events that were left out of them, and the memories of reactors.

use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use super::RebuildError;
use crate::reactors::MEMORIES;
use crate::run::park;

/// The most rows of a list.
const LIST_MAX: i64 = 1_000;

/// A partition that waits for repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parked {
    /// The follower.
    pub model: String,
    /// Its version.
    pub version: i32,
    /// Whose events.
    pub tenant: Uuid,
    /// Which partition.
    pub partition: Uuid,
    /// The event that it could not take.
    pub position: i64,
    /// Why.
    pub reason: String,
    /// How often it was tried.
    pub attempts: i32,
    /// Since when it waits.
    pub parked_at: DateTime<Utc>,
    /// When it is tried again.
    pub retry_at: DateTime<Utc>,
}

/// An event that was left out of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The follower.
    pub model: String,
    /// Its version.
    pub version: i32,
    /// Whose event.
    pub tenant: Uuid,
    /// Which partition, wrong since.
    pub partition: Uuid,
    /// The event.
    pub position: i64,
    /// What the operator said.
    pub reason: String,
    /// When.
    pub skipped_at: DateTime<Utc>,
}

pub(crate) async fn parked(pool: &PgPool) -> Result<Vec<Parked>, RebuildError> {
    let rows = sqlx::query_as!(
        Parked,
        "select model, version, tenant_id as tenant, partition, position, reason, attempts, parked_at, retry_at
         from run.parked order by parked_at limit $1",
        LIST_MAX
    )
    .fetch_all(pool)
    .await?;
    Ok(rows)
}

pub(crate) async fn skipped(pool: &PgPool) -> Result<Vec<Skipped>, RebuildError> {
    let rows = sqlx::query_as!(
        Skipped,
        "select model, version, tenant_id as tenant, partition, position, reason, skipped_at
         from run.skipped order by skipped_at desc limit $1",
        LIST_MAX
    )
    .fetch_all(pool)
    .await?;
    Ok(rows)
}

/// Lets a partition go on behind the event that it waits with.
pub(crate) async fn skip(
    pool: &PgPool,
    model: &str,
    tenant: TenantId,
    partition: Uuid,
    reason: &str,
) -> Result<i64, RebuildError> {
    let mut tx = pool.begin().await?;
    let parked = sqlx::query!(
        "update run.parked p set position = p.position + 1, retry_at = clock_timestamp()
         from run.active_models a
         where p.model = $1 and p.tenant_id = $2 and p.partition = $3 and a.model = p.model and a.version = p.version
         returning p.version, p.position - 1 as \"position!\"",
        model,
        tenant.uuid(),
        partition
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| RebuildError::NotParked { model: model.to_owned() })?;
    sqlx::query!(
        "insert into run.skipped (model, version, tenant_id, partition, position, reason)
         values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
        model,
        parked.version,
        tenant.uuid(),
        partition,
        parked.position,
        park::reason(reason)
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(parked.position)
}

/// Empties a reactor's memory and takes its checkpoint to the beginning of the log. Whoever leads it is deposed.
pub(crate) async fn reset_reactor(pool: &PgPool, name: &str) -> Result<(), RebuildError> {
    let memory = MEMORIES.iter().find(|(reactor, _)| *reactor == name);
    let (_, kind) = memory.ok_or_else(|| RebuildError::UnknownReactor(name.to_owned()))?;
    let mut tx = pool.begin().await?;
    sqlx::query!("delete from run.deadlines where kind = $1", kind).execute(&mut *tx).await?;
    sqlx::query!("delete from run.parked where model = $1", name).execute(&mut *tx).await?;
    sqlx::query!(
        "update run.projections
         set epoch = (select epoch from store.log_head), position = 0, recorded_at = '2000-01-01T00:00:00Z',
             lease_epoch = lease_epoch + 1, lease_owner = null, lease_until = '-infinity', updated_at = clock_timestamp()
         where model = $1",
        name
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}
