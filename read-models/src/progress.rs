//! How far read models have come, and which of their partitions wait for repair.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::read_model::ReadModel;
use crate::tenant_tx::TenantTx;

/// What a query reads: a model, and the one partition of it if it reads no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    /// The model's name.
    pub model: &'static str,
    /// The version that this build writes; another one may be active.
    pub version: i32,
    /// The only partition that is read.
    pub partition: Option<Uuid>,
    /// The model's tables.
    pub(crate) tables: &'static [&'static str],
}

impl Touch {
    /// A query over all partitions of `M`.
    #[must_use]
    pub const fn all<M: ReadModel>() -> Self {
        Self { model: M::NAME, version: M::VERSION, partition: None, tables: M::TABLES }
    }

    /// A query of one partition of `M`.
    #[must_use]
    pub const fn one<M: ReadModel>(partition: Uuid) -> Self {
        Self { model: M::NAME, version: M::VERSION, partition: Some(partition), tables: M::TABLES }
    }
}

/// What an answer from one snapshot is exact for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// Counts restores.
    pub epoch: i32,
    /// Everything up to here is in the answer: the least of the models' checkpoints, and before the first event that
    /// a partition in question waits with.
    pub position: i64,
    /// The least of the models' checkpoints.
    pub reached: i64,
    /// The newest position of the log.
    pub head: i64,
    /// When the last event within all checkpoints was recorded.
    pub recorded_at: DateTime<Utc>,
    /// The first event that a partition in question waits with.
    pub parked: Option<i64>,
}

impl Served {
    /// Whether everything recorded up to `time` that was committed at the snapshot is in the answer. Events of one
    /// batch share their time, so a checkpoint at that very time may stand within a batch.
    #[must_use]
    pub fn covers(&self, time: DateTime<Utc>) -> bool {
        self.reached >= self.head || self.recorded_at > time
    }
}

/// What the snapshot of `tx` is exact for, over everything that a query touches. A query that touches no model reads
/// the log itself.
///
/// # Errors
/// If the database does not answer.
pub async fn served(tx: &mut TenantTx, touches: &[Touch]) -> sqlx::Result<Served> {
    let models: Vec<String> = touches.iter().map(|it| it.model.to_owned()).collect();
    let versions: Vec<i32> = touches.iter().map(|it| it.version).collect();
    let partitions: Vec<Option<Uuid>> = touches.iter().map(|it| it.partition).collect();
    let tenant = tx.tenant().uuid();
    // A checkpoint of another epoch counts for nothing in this one.
    let row = sqlx::query!(
        r#"select h.epoch as "epoch!", h.position as "head!", h.recorded_at as "head_recorded_at!", t.reached, t.recorded_at, t.parked
           from store.log_head h
           cross join lateral (
               select min(coalesce(p.position, 0)) as reached,
                      min(case when isfinite(p.recorded_at) then p.recorded_at else 'epoch' end) as recorded_at,
                      min(k.position) as parked
               from unnest($1::text[], $2::int[], $3::uuid[]) as w (model, version, partition)
               left join run.active_models a on a.model = w.model
               left join run.projections p
                   on p.model = w.model and p.version = coalesce(a.version, w.version) and p.epoch = h.epoch
               left join run.parked k
                   on k.model = w.model and k.version = coalesce(a.version, w.version) and k.tenant_id = $4
                   and (w.partition is null or k.partition = w.partition)
           ) t"#,
        &models,
        &versions,
        &partitions as &[Option<Uuid>],
        tenant
    )
    .fetch_one(tx.conn())
    .await?;
    let reached = row.reached.unwrap_or(row.head);
    let position = row.parked.map_or(reached, |parked| reached.min(parked - 1));
    let recorded_at = if touches.is_empty() { Some(row.head_recorded_at) } else { row.recorded_at };
    Ok(Served {
        epoch: row.epoch,
        position,
        reached,
        head: row.head,
        recorded_at: recorded_at.unwrap_or(DateTime::<Utc>::MIN_UTC),
        parked: row.parked,
    })
}

/// How far one model has come, by name: the active version of each, in the log's present epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Counts restores.
    pub epoch: i32,
    /// The newest position of the log.
    pub head: i64,
    /// Name and checkpoint of each model that has one.
    pub models: Vec<(String, i64)>,
}

/// The checkpoints of all models. Belongs to no tenant.
///
/// # Errors
/// If the database does not answer.
pub async fn reached(conn: &mut PgConnection) -> sqlx::Result<Reached> {
    let rows = sqlx::query!(
        r#"select h.epoch as "epoch!", h.position as "head!", p.model as "model?", p.position as "position?"
           from store.log_head h
           left join (run.projections p left join run.active_models a on a.model = p.model)
               on p.epoch = h.epoch and p.version = coalesce(a.version, p.version)"#
    )
    .fetch_all(conn)
    .await?;
    let (epoch, head) = rows.first().map_or((0, 0), |row| (row.epoch, row.head));
    Ok(Reached {
        epoch,
        head,
        models: rows.into_iter().filter_map(|row| Some((row.model?, row.position?))).collect(),
    })
}

/// A reader of the log and how far it has come.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow, ToSchema)]
pub struct ProjectionRow {
    /// The read model's name.
    #[schema(example = "accounts")]
    pub model: String,
    /// Its version.
    pub version: i32,
    /// Whether this version answers queries; another one may be under construction.
    pub active: bool,
    /// The epoch of its checkpoint.
    pub epoch: i32,
    /// Everything up to here is in it; a position of its own epoch.
    #[serde(skip)]
    #[schema(ignore)]
    pub position: i64,
    /// The newest position of the log.
    #[serde(skip)]
    #[schema(ignore)]
    pub head: i64,
    /// Events that are not in it yet.
    pub lag_events: i64,
    /// Seconds between the recording of the newest event of the log and of the last one in it.
    pub lag_seconds: f64,
    /// The process that works on it now.
    pub lease_owner: Option<String>,
    /// Until when.
    pub lease_until: Option<DateTime<Utc>>,
    /// The caller's own partitions of it that wait for repair.
    pub parked_partitions: i64,
    /// When its checkpoint last moved.
    pub updated_at: DateTime<Utc>,
}

/// The publisher to NATS and how far it has come.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow, ToSchema)]
pub struct PublisherRow {
    /// The epoch of its position.
    pub epoch: i32,
    /// Everything up to here is published; a position of its own epoch.
    #[serde(skip)]
    #[schema(ignore)]
    pub position: i64,
    /// Events that are not published yet.
    pub lag_events: i64,
    /// The process that works on it now.
    pub lease_owner: Option<String>,
    /// When its position last moved.
    pub updated_at: DateTime<Utc>,
}

/// Every model, by name and version.
///
/// # Errors
/// If the database does not answer.
pub async fn projections(tx: &mut TenantTx) -> sqlx::Result<Vec<ProjectionRow>> {
    let tenant = tx.tenant().uuid();
    sqlx::query_as!(
        ProjectionRow,
        r#"select p.model, p.version, coalesce(a.version = p.version, true) as "active!", p.epoch, p.position,
                  h.position as "head!",
                  case when p.epoch = h.epoch then greatest(h.position - p.position, 0) else h.position end as "lag_events!",
                  case when p.epoch = h.epoch and p.position >= h.position then 0
                       else greatest(extract(epoch from h.recorded_at - p.recorded_at), 0) end::float8 as "lag_seconds!",
                  case when p.lease_until > clock_timestamp() then p.lease_owner end as lease_owner,
                  case when isfinite(p.lease_until) then p.lease_until end as lease_until,
                  (select count(*) from run.parked k
                   where k.model = p.model and k.version = p.version and k.tenant_id = $1) as "parked_partitions!",
                  p.updated_at
           from run.projections p cross join store.log_head h left join run.active_models a on a.model = p.model
           order by p.model, p.version"#,
        tenant
    )
    .fetch_all(tx.conn())
    .await
}

/// The publisher, once it has begun.
///
/// # Errors
/// If the database does not answer.
pub async fn publisher(tx: &mut TenantTx) -> sqlx::Result<Option<PublisherRow>> {
    sqlx::query_as!(
        PublisherRow,
        r#"select p.epoch, p.position,
                  case when p.epoch = h.epoch then greatest(h.position - p.position, 0) else h.position end as "lag_events!",
                  case when p.lease_until > clock_timestamp() then p.lease_owner end as lease_owner, p.updated_at
           from run.publisher p cross join store.log_head h"#
    )
    .fetch_optional(tx.conn())
    .await
}
