//! `run.rebuilds` and its parts: who works on which rebuild, how far it has come, and what stands beside the live
//! tables. All times are the database's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use event_store::epoch::{self, Head};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::shadow::{self, Side};
use super::{Comparison, PreviousRow, RebuildError, RebuildRow, RebuildState, Table};
use crate::follower::Follower;
use crate::run::Fault;
use crate::run::lease::{Checkpoint, milliseconds};

/// The most rows of a list; there is one a model.
const LIST_MAX: i64 = 200;
const ERROR_CHARS_MAX: usize = 2_000;

/// The right to work on a rebuild, as long as its row has this lease epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) model: &'static str,
    pub(crate) epoch: i64,
}

/// The live tables of a model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Live {
    pub(crate) version: i32,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) parked: i64,
}

/// What a process needs in order to work on a rebuild.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) hold: Hold,
    pub(crate) state: RebuildState,
    pub(crate) epoch: i32,
    pub(crate) target: i64,
    /// Where it stands as a whole; nothing while parts are being built.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Each part and how far it has come.
    pub(crate) parts: Vec<(i16, i64)>,
    pub(crate) tenant: Option<TenantId>,
}

/// Which rebuild is wanted.
pub(crate) struct Wanted<'w> {
    pub(crate) follower: &'w dyn Follower,
    pub(crate) tables: &'static [Table],
    pub(crate) instance: &'w str,
    pub(crate) lease: Duration,
    /// What a new one is like; without it only one that stands is taken.
    pub(crate) begin: Option<(Option<TenantId>, u16)>,
}

/// The live tables, if any build has ever led the model.
pub(crate) async fn live(conn: &mut PgConnection, model: &str) -> sqlx::Result<Option<Live>> {
    let row = sqlx::query!(
        r#"select p.version, p.epoch, p.position, p.recorded_at,
                  (select count(*) from run.parked k where k.model = p.model and k.version = p.version) as "parked!"
           from run.active_models a join run.projections p on p.model = a.model and p.version = a.version
           where a.model = $1"#,
        model
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Live {
        version: row.version,
        checkpoint: Checkpoint { epoch: row.epoch, position: row.position, recorded_at: row.recorded_at },
        parked: row.parked,
    }))
}

/// The live tables, which stand still until the transaction ends: no follower can move its checkpoint.
pub(crate) async fn live_locked(tx: &mut PgConnection, model: &str) -> sqlx::Result<Option<Live>> {
    sqlx::query!(
        "select p.position from run.active_models a
         join run.projections p on p.model = a.model and p.version = a.version where a.model = $1 for update of p",
        model
    )
    .fetch_optional(&mut *tx)
    .await?;
    // Read again: what was locked may be newer than what the statement began with.
    live(tx, model).await
}

/// How far a shadow follows: to the live tables, and never past them, so that both can be compared; to the end of the
/// log, if theirs is another epoch.
pub(crate) async fn goal(conn: &mut PgConnection, live: Option<&Live>) -> sqlx::Result<Checkpoint> {
    let Head { position, epoch, recorded_at } = epoch::head(conn).await?;
    Ok(match live {
        Some(live) if live.checkpoint.epoch == epoch => live.checkpoint,
        _ => Checkpoint { epoch, position, recorded_at },
    })
}

/// Takes a rebuild: one that did not end, or a new one with empty tables.
pub(crate) async fn claim(pool: &PgPool, wanted: &Wanted<'_>) -> Result<Claim, RebuildError> {
    match attempt(pool, wanted).await {
        Err(Unclaimed::Database(fault)) if fault.is_lock_timeout() => {
            Err(RebuildError::Busy("an index of the rebuilt tables is being made"))
        }
        Err(Unclaimed::Database(fault)) => Err(fault.into()),
        Err(Unclaimed::Refused(refused)) => Err(refused),
        Ok(claim) => Ok(claim),
    }
}

/// Why a rebuild was not taken.
enum Unclaimed {
    Database(Fault),
    Refused(RebuildError),
}

impl From<sqlx::Error> for Unclaimed {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<RebuildError> for Unclaimed {
    fn from(refused: RebuildError) -> Self {
        Self::Refused(refused)
    }
}

async fn attempt(pool: &PgPool, wanted: &Wanted<'_>) -> Result<Claim, Unclaimed> {
    let (model, version) = (wanted.follower.name(), wanted.follower.version());
    let mut tx = shadow::begin(pool, "pg_catalog").await?;
    let live = live(&mut tx, model).await?;
    let goal = goal(&mut tx, live.as_ref()).await?;
    sqlx::query!(
        "insert into run.rebuilds (model, version, state, epoch, target) values ($1, $2, 'cancelled', $3, 0)
         on conflict do nothing",
        model,
        version,
        goal.epoch
    )
    .execute(&mut *tx)
    .await?;
    let row = sqlx::query!(
        r#"select version, tenant, state, epoch, target, position, recorded_at, lease_owner, lease_epoch,
                  lease_until > clock_timestamp() as "is_leased!"
           from run.rebuilds where model = $1 for update"#,
        model
    )
    .fetch_one(&mut *tx)
    .await?;
    let state = RebuildState::parse(&row.state);
    let unfinished = state.is_unfinished() && shadow::stands(&mut tx, Side::Next, model).await?;
    if state.is_unfinished() && row.is_leased {
        let owner = row.lease_owner.unwrap_or_default();
        return Err(RebuildError::Running { model: model.to_owned(), owner }.into());
    }
    let hold = Hold { model, epoch: row.lease_epoch + 1 };
    let claim = if unfinished {
        let tenant = row.tenant.map(TenantId::new);
        let is_same = wanted.begin.is_none_or(|(it, _)| it == tenant) && row.version == version;
        if !is_same {
            let of = tenant.map_or_else(|| "all tenants".to_owned(), |it| format!("tenant {it}"));
            let begun = format!("version {} and {of}", row.version);
            return Err(RebuildError::Unfinished { model: model.to_owned(), begun }.into());
        }
        if row.epoch != goal.epoch {
            let mend = "cancel the rebuild and begin again";
            return Err(RebuildError::OtherEpoch { theirs: row.epoch, log: goal.epoch, mend }.into());
        }
        let checkpoint = row.position.zip(row.recorded_at);
        let checkpoint =
            checkpoint.map(|(position, recorded_at)| Checkpoint { epoch: row.epoch, position, recorded_at });
        let parts = take_parts(&mut tx, hold).await?;
        Claim { hold, state, epoch: row.epoch, target: row.target, checkpoint, parts, tenant }
    } else {
        let Some((tenant, parts)) = wanted.begin else {
            return Err(RebuildError::NothingBuilt { model: model.to_owned() }.into());
        };
        begin(&mut tx, wanted, hold, goal, tenant, parts).await?
    };
    sqlx::query!(
        "update run.rebuilds
         set lease_owner = $2, lease_epoch = $3, lease_until = clock_timestamp() + $4::bigint * interval '1 millisecond',
             updated_at = clock_timestamp(), error = null
         where model = $1",
        model,
        wanted.instance,
        hold.epoch,
        milliseconds(wanted.lease)
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(claim)
}

/// Makes the tables and writes down what they are to become.
async fn begin(
    tx: &mut PgConnection,
    wanted: &Wanted<'_>,
    hold: Hold,
    goal: Checkpoint,
    tenant: Option<TenantId>,
    parts: u16,
) -> Result<Claim, RebuildError> {
    let (model, version) = (wanted.follower.name(), wanted.follower.version());
    shadow::drop(tx, Side::Next, model).await?;
    shadow::make(tx, model, version, wanted.tables).await?;
    forget(tx, model).await?;
    sqlx::query!(
        "update run.rebuilds
         set version = $2, tenant = $3, state = 'building', epoch = $4, target = $5, position = null, recorded_at = null,
             comparison = null, started_at = clock_timestamp()
         where model = $1",
        model,
        version,
        tenant.map(TenantId::uuid),
        goal.epoch,
        goal.position
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "insert into run.rebuild_parts select $1, part, 0, $3 from generate_series(0, $2::int - 1) part",
        model,
        i32::from(parts),
        hold.epoch
    )
    .execute(&mut *tx)
    .await?;
    let parts = take_parts(tx, hold).await?;
    let (epoch, target) = (goal.epoch, goal.position);
    Ok(Claim { hold, state: RebuildState::Building, epoch, target, checkpoint: None, parts, tenant })
}

/// Takes the parts, and tells how far each has come. Whoever had them before and is about to commit comes first; who is
/// later finds a lease that is not its own.
async fn take_parts(tx: &mut PgConnection, hold: Hold) -> sqlx::Result<Vec<(i16, i64)>> {
    let mut parts = sqlx::query!(
        "update run.rebuild_parts set lease_epoch = $2 where model = $1 returning part, position",
        hold.model,
        hold.epoch
    )
    .map(|row| (row.part, row.position))
    .fetch_all(tx)
    .await?;
    parts.sort_unstable();
    Ok(parts)
}

/// Forgets parts and parked partitions of tables that are being built.
async fn forget(tx: &mut PgConnection, model: &str) -> sqlx::Result<()> {
    sqlx::query!("delete from run.rebuild_parts where model = $1", model).execute(&mut *tx).await?;
    sqlx::query!("delete from run.rebuild_parked where model = $1 and side = 'next'", model)
        .execute(tx)
        .await?;
    Ok(())
}

/// Says, every third of the lease, that the rebuild is worked on; cancels `lost` once it is this process's no more.
pub(crate) fn keep_alive(
    pool: PgPool,
    hold: Hold,
    lease: Duration,
    lost: CancellationToken,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            tokio::time::sleep(lease / 3).await;
            let renewed = sqlx::query!(
                "update run.rebuilds
                 set lease_until = clock_timestamp() + $3::bigint * interval '1 millisecond', updated_at = clock_timestamp()
                 where model = $1 and lease_epoch = $2 and lease_owner is not null",
                hold.model,
                hold.epoch,
                milliseconds(lease)
            )
            .execute(&pool)
            .await;
            match renewed {
                Ok(done) if done.rows_affected() == 0 => return lost.cancel(),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(model = hold.model, %error, "the lease of a rebuild was not renewed")
                }
            }
        }
    }))
}

/// Whether the rebuild is still this process's own.
pub(crate) async fn is_held(pool: &PgPool, hold: Hold) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from run.rebuilds where model = $1 and lease_epoch = $2) as "held!""#,
        hold.model,
        hold.epoch
    )
    .fetch_one(pool)
    .await
}

/// Notes that every part has reached the target. From then on the tables have walls.
pub(crate) async fn built(
    pool: &PgPool,
    hold: Hold,
    tables: &[Table],
    at: Checkpoint,
) -> Result<(), RebuildError> {
    let mut tx = shadow::begin(pool, "pg_catalog").await?;
    let noted = sqlx::query!(
        "update run.rebuilds set state = 'indexing', position = $3, recorded_at = $4
         where model = $1 and lease_epoch = $2 and position is null",
        hold.model,
        hold.epoch,
        at.position,
        at.recorded_at
    )
    .execute(&mut *tx)
    .await?;
    if noted.rows_affected() == 0 {
        return Err(RebuildError::Fenced);
    }
    shadow::wall(&mut tx, hold.model, tables).await?;
    sqlx::query!("delete from run.rebuild_parts where model = $1", hold.model).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

/// Notes where the rebuild stands.
pub(crate) async fn set_state(pool: &PgPool, hold: Hold, state: RebuildState) -> Result<(), RebuildError> {
    let noted = sqlx::query!(
        "update run.rebuilds set state = $3, updated_at = clock_timestamp() where model = $1 and lease_epoch = $2",
        hold.model,
        hold.epoch,
        state.name()
    )
    .execute(pool)
    .await?;
    if noted.rows_affected() == 0 { Err(RebuildError::Fenced) } else { Ok(()) }
}

/// Notes a comparison.
pub(crate) async fn compared(
    pool: &PgPool,
    hold: Hold,
    state: RebuildState,
    comparison: &Comparison,
) -> Result<(), RebuildError> {
    let noted = sqlx::query!(
        "update run.rebuilds set state = $3, comparison = $4, updated_at = clock_timestamp()
         where model = $1 and lease_epoch = $2",
        hold.model,
        hold.epoch,
        state.name(),
        Json(comparison) as Json<&Comparison>
    )
    .execute(pool)
    .await?;
    if noted.rows_affected() == 0 { Err(RebuildError::Fenced) } else { Ok(()) }
}

/// Lets others have it, with the reason if it failed.
pub(crate) async fn release(pool: &PgPool, hold: Hold, error: Option<(&str, bool)>) -> sqlx::Result<()> {
    let text = error.map(|(text, _)| text.chars().filter(|it| *it != '\0').take(ERROR_CHARS_MAX).collect());
    let text: Option<String> = text;
    sqlx::query!(
        "update run.rebuilds
         set lease_owner = null, lease_until = '-infinity', updated_at = clock_timestamp(), error = coalesce($3, error),
             state = case when $4 then 'failed' else state end
         where model = $1 and lease_epoch = $2",
        hold.model,
        hold.epoch,
        text,
        error.is_some_and(|(_, for_good)| for_good)
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Ends a rebuild that was only to be compared.
pub(crate) async fn drop_compared(pool: &PgPool, hold: Hold) -> Result<(), RebuildError> {
    set_state(pool, hold, RebuildState::Compared).await?;
    clear(pool, hold.model).await
}

/// Drops tables of a rebuild that has ended, and what was remembered of it.
async fn clear(pool: &PgPool, model: &str) -> Result<(), RebuildError> {
    let mut tx = shadow::begin(pool, "pg_catalog").await?;
    shadow::drop(&mut tx, Side::Next, model).await?;
    forget(&mut tx, model).await?;
    Ok(tx.commit().await?)
}

/// Gives up an unfinished rebuild. Its lease goes first, so whoever works on it writes no more.
pub(crate) async fn cancel(pool: &PgPool, model: &str) -> Result<bool, RebuildError> {
    let given_up = sqlx::query!(
        "update run.rebuilds
         set state = 'cancelled', lease_epoch = lease_epoch + 1, lease_owner = null, lease_until = '-infinity',
             updated_at = clock_timestamp()
         where model = $1 and state not in ('swapped', 'compared', 'cancelled')",
        model
    )
    .execute(pool)
    .await?;
    // Also what a cancel left behind that was itself killed.
    clear(pool, model).await?;
    Ok(given_up.rows_affected() > 0)
}

/// Drops the previous tables.
pub(crate) async fn retire(pool: &PgPool, model: &str) -> Result<bool, RebuildError> {
    let mut tx = shadow::begin(pool, "pg_catalog").await?;
    let stood = shadow::stands(&mut tx, Side::Previous, model).await?;
    sqlx::query!("delete from run.previous_models where model = $1", model).execute(&mut *tx).await?;
    sqlx::query!("delete from run.rebuild_parked where model = $1 and side = 'prev'", model)
        .execute(&mut *tx)
        .await?;
    shadow::drop(&mut tx, Side::Previous, model).await?;
    tx.commit().await?;
    Ok(stood)
}

/// Every model's newest rebuild.
pub(crate) async fn list(pool: &PgPool) -> Result<Vec<RebuildRow>, RebuildError> {
    let rows = sqlx::query!(
        r#"select model, version, tenant, state, epoch, target, comparison as "comparison: Json<Comparison>", error,
                  case when lease_until > clock_timestamp() then lease_owner end as lease_owner, started_at, updated_at,
                  coalesce(position, (select min(p.position) from run.rebuild_parts p where p.model = r.model), 0) as "position!"
           from run.rebuilds r order by model limit $1"#,
        LIST_MAX
    )
    .fetch_all(pool)
    .await?;
    let rows = rows.into_iter().map(|row| RebuildRow {
        model: row.model,
        version: row.version,
        tenant: row.tenant,
        state: RebuildState::parse(&row.state),
        epoch: row.epoch,
        position: row.position,
        target: row.target,
        comparison: row.comparison,
        error: row.error,
        lease_owner: row.lease_owner,
        started_at: row.started_at,
        updated_at: row.updated_at,
    });
    Ok(rows.collect())
}

/// The tables that were replaced.
pub(crate) async fn previous(pool: &PgPool) -> Result<Vec<PreviousRow>, RebuildError> {
    let rows = sqlx::query_as!(
        PreviousRow,
        "select model, version, epoch, position, swapped_at from run.previous_models order by model limit $1",
        LIST_MAX
    )
    .fetch_all(pool)
    .await?;
    Ok(rows)
}

/// The tables that were replaced, and how far they had come.
pub(crate) async fn previous_checkpoint(pool: &PgPool, model: &str) -> sqlx::Result<Option<Live>> {
    let row = sqlx::query!(
        "select version, epoch, position, recorded_at from run.previous_models where model = $1",
        model
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| Live {
        version: row.version,
        checkpoint: Checkpoint { epoch: row.epoch, position: row.position, recorded_at: row.recorded_at },
        parked: 0,
    }))
}

/// When the event at a position was recorded; nothing if there is none.
pub(crate) async fn recorded_at(pool: &PgPool, position: i64) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("select recorded_at from store.events where position = $1", position)
        .fetch_optional(pool)
        .await
}
