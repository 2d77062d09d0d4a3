//! Tables change places with the live ones, in one transaction, while readers read on.
//!
//! A reader locks its tables before it takes its snapshot (`read-models/src/tenant_tx.rs`), so it sees either the old
//! tables or the new ones, each with the position that is theirs. A follower that is in the middle of a page comes
//! first; after the swap its lease is another's. Readers wait for the exchange of the names and the commit alone.

use std::time::Duration;

use chrono::DateTime;
use event_store::epoch;
use sqlx::{Postgres, Transaction};
use tokio::time::Instant;

use super::build::MOMENT_WAIT;
use super::catch_up::{self, Shadow};
use super::pace::Pace;
use super::part::Slice;
use super::record::{self, Live};
use super::shadow::{self, Side, names};
use super::{RebuildError, RebuildState, Rebuildable, Rebuilder, RolledBack, Table};
use crate::follower::Follower;
use crate::run::fault::Unwritten;
use crate::run::lease::Checkpoint;
use crate::run::write::{Keeping as _, items};

/// So many events may be applied while the live follower waits.
pub(crate) const LEVEL_MAX: i64 = 1_000;
/// How often a swap is tried; between two tries those whom it held up get through.
const TRIES_MAX: u32 = 300;

/// How far the tables are to follow.
pub(crate) async fn goal(shadow: &Shadow) -> Result<Checkpoint, RebuildError> {
    let mut conn = shadow.pool.acquire().await?;
    let live = record::live(&mut conn, shadow.slice.name()).await?;
    Ok(record::goal(&mut conn, live.as_ref()).await?)
}

/// Puts complete tables in the place of the live ones. Returns for how long readers were kept waiting.
pub(crate) async fn put_in_place(shadow: &mut Shadow, tables: &[Table]) -> Result<Duration, RebuildError> {
    for _ in 0..TRIES_MAX {
        if follows(shadow) {
            let goal = goal(shadow).await?;
            shadow.follow(goal.position, None).await?;
        }
        match attempt(shadow, tables).await {
            Ok(Some(pause)) => return Ok(pause),
            Ok(None) => {}
            Err(Unwritten::Fault(fault)) if fault.is_lock_timeout() => {}
            // The page mode finds the partition at fault.
            Err(Unwritten::Data(_)) => {}
            Err(other) => return Err(other.into()),
        }
        tokio::time::sleep(MOMENT_WAIT).await;
    }
    Err(RebuildError::Busy("the model's tables were in use at every try: by a long read, or by a vacuum"))
}

/// Whether this build can bring the tables up to date.
fn follows(shadow: &Shadow) -> bool {
    shadow.side == Side::Next || shadow.version == shadow.slice.version()
}

/// One try. Nothing if the live model is too far ahead; else for how long nobody could read.
async fn attempt(shadow: &mut Shadow, tables: &[Table]) -> Result<Option<Duration>, Unwritten> {
    let (model, side) = (shadow.slice.name(), shadow.side);
    let mut tx = shadow.pool.begin().await?;
    sqlx::query!(
        "select set_config('search_path', $1, true) as path, set_config('lock_timeout', '50ms', true) as lock",
        shadow.schema
    )
    .fetch_one(&mut *tx)
    .await?;
    shadow::hold_writers(&mut tx, tables).await?;
    let live = record::live_locked(&mut tx, model).await?;
    let goal = record::goal(&mut tx, live.as_ref()).await?;
    let mut at = shadow.checkpoint;
    if follows(shadow) && goal.position > at.position {
        if goal.position - at.position > LEVEL_MAX {
            tx.rollback().await?;
            return Ok(None);
        }
        at = level(shadow, &mut tx, goal.position).await?;
    }
    // Proves that the tables still are where they were left, and that they are ours.
    if !shadow.keeping().advance(&mut tx, at, at).await? {
        return Err(Unwritten::LeaseLost);
    }
    let live = match live {
        Some(live) => live,
        None => nothing(&mut tx, shadow.slice.version()).await?,
    };
    exchange_parked(&mut tx, model, side, shadow.version).await?;
    take_over(&mut tx, shadow, at, live).await?;
    if side == Side::Next {
        shadow::drop(&mut tx, Side::Previous, model).await?;
    }
    // From here on readers wait, so it is the last thing.
    let began = Instant::now();
    sqlx::query!("select run.swap($1, $2, $3)", model, &names(tables), side.name()).execute(&mut *tx).await?;
    tx.commit().await?;
    shadow.checkpoint = at;
    Ok(Some(began.elapsed()))
}

/// Applies the last few events within the transaction.
pub(crate) async fn level(
    shadow: &Shadow,
    tx: &mut Transaction<'static, Postgres>,
    to: i64,
) -> Result<Checkpoint, Unwritten> {
    let (page, at) = shadow.page(to).await.map_err(|error| Unwritten::Data(error.to_string()))?;
    let mut wanted = items(&shadow.slice, page.iter().map(AsRef::as_ref));
    wanted.retain(|item| !shadow.parked.contains(&(item.recorded.tenant, item.partition)));
    if !wanted.is_empty() {
        shadow.slice.apply(tx, &wanted).await?;
    }
    if shadow.keeping().advance(tx, shadow.checkpoint, at).await? {
        Ok(at)
    } else {
        Err(Unwritten::LeaseLost)
    }
}

/// What stands in the live tables of a model that no build has ever led.
async fn nothing(tx: &mut Transaction<'static, Postgres>, version: i32) -> Result<Live, Unwritten> {
    let epoch = epoch::head(tx).await?.epoch;
    let checkpoint = Checkpoint { epoch, position: 0, recorded_at: DateTime::UNIX_EPOCH };
    Ok(Live { version, checkpoint, parked: 0 })
}

/// Parked partitions go with their tables.
async fn exchange_parked(
    tx: &mut Transaction<'static, Postgres>,
    model: &str,
    side: Side,
    version: i32,
) -> sqlx::Result<()> {
    // The other generation of previous tables goes with the swap.
    sqlx::query!(
        "delete from run.rebuild_parked where model = $1 and side = 'prev' and $2 = 'next'",
        model,
        side.name()
    )
    .execute(&mut **tx)
    .await?;
    let coming = sqlx::query!(
        "delete from run.rebuild_parked where model = $1 and side = $2 returning tenant_id, partition, position, reason",
        model,
        side.name()
    )
    .fetch_all(&mut **tx)
    .await?;
    sqlx::query!(
        "insert into run.rebuild_parked
         select k.model, 'prev', k.tenant_id, k.partition, k.position, k.reason from run.parked k
         join run.active_models a on a.model = k.model and a.version = k.version where k.model = $1",
        model
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!("delete from run.parked where model = $1", model).execute(&mut **tx).await?;
    for row in coming {
        sqlx::query!(
            "insert into run.parked (model, version, tenant_id, partition, position, reason, retry_at)
             values ($1, $2, $3, $4, $5, $6, clock_timestamp())",
            model,
            version,
            row.tenant_id,
            row.partition,
            row.position,
            row.reason
        )
        .execute(&mut **tx)
        .await?;
    }
    // What was left out is in the rebuilt tables, or parked again.
    sqlx::query!("delete from run.skipped where model = $1", model).execute(&mut **tx).await?;
    Ok(())
}

/// The checkpoint of the tables becomes the live one, and nobody who led before leads on.
async fn take_over(
    tx: &mut Transaction<'static, Postgres>,
    shadow: &Shadow,
    at: Checkpoint,
    live: Live,
) -> sqlx::Result<()> {
    let (model, version) = (shadow.slice.name(), shadow.version);
    sqlx::query!(
        "insert into run.previous_models (model, version, epoch, position, recorded_at) values ($1, $2, $3, $4, $5)
         on conflict (model) do update set version = excluded.version, epoch = excluded.epoch,
             position = excluded.position, recorded_at = excluded.recorded_at, swapped_at = clock_timestamp()",
        model,
        live.version,
        live.checkpoint.epoch,
        live.checkpoint.position,
        live.checkpoint.recorded_at
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "update run.projections set lease_epoch = lease_epoch + 1, lease_owner = null, lease_until = '-infinity'
         where model = $1",
        model
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "insert into run.projections (model, version, epoch, position, recorded_at) values ($1, $2, $3, $4, $5)
         on conflict (model, version) do update set epoch = excluded.epoch, position = excluded.position,
             recorded_at = excluded.recorded_at, updated_at = clock_timestamp()",
        model,
        version,
        at.epoch,
        at.position,
        at.recorded_at
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "insert into run.active_models values ($1, $2) on conflict (model) do update set version = excluded.version",
        model,
        version
    )
    .execute(&mut **tx)
    .await?;
    if let Some(hold) = shadow.hold {
        sqlx::query!(
            "update run.rebuilds set state = $3, updated_at = clock_timestamp() where model = $1 and lease_epoch = $2",
            model,
            hold.epoch,
            RebuildState::Swapped.name()
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Puts the previous tables back.
pub(crate) async fn rollback(
    rebuilder: &Rebuilder,
    follower: &std::sync::Arc<dyn Follower>,
) -> Result<RolledBack, RebuildError> {
    let model = follower.name();
    let tables = follower.rebuildable().map(Rebuildable::tables).unwrap_or_default();
    let none = || RebuildError::NoPrevious { model: model.to_owned() };
    let previous = record::previous_checkpoint(&rebuilder.pool, model).await?.ok_or_else(none)?;
    let log = epoch::head(&mut *rebuilder.pool.acquire().await?).await?.epoch;
    if previous.checkpoint.epoch != log {
        let mend = "rebuild the model instead";
        return Err(RebuildError::OtherEpoch { theirs: previous.checkpoint.epoch, log, mend });
    }
    let mut shadow = Shadow {
        pool: rebuilder.pool.clone(),
        decode: rebuilder.decode,
        slice: Slice { whole: std::sync::Arc::clone(follower), tenant: None, part: None },
        side: Side::Previous,
        version: previous.version,
        schema: Side::Previous.schema(model),
        hold: None,
        checkpoint: previous.checkpoint,
        parked: catch_up::parked(&rebuilder.pool, model, Side::Previous).await?,
        pace: Pace::new(100),
    };
    let pause = put_in_place(&mut shadow, tables).await?;
    Ok(RolledBack {
        version: shadow.version,
        position: shadow.checkpoint.position,
        of_this_build: follows(&shadow),
        pause,
    })
}
