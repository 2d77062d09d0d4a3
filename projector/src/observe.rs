//! Looks once a second at how far every model is behind, how far the publisher is, and whether the log is whole. It asks
//! the database and no follower: one that hangs, or was never begun, cannot look as if it kept up.
//!
//! **Invariant:** a model without a checkpoint in the present epoch counts as behind by the whole log.
//!
//! Cost: three statements a second; the sweep reads the index of at most [`SWEEP_MAX`] positions.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;

use crate::metrics::Standing;
use crate::run::Fault;
use crate::shared::Shared;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Positions that are swept in one look. A long log is swept once, over minutes or hours, then only its end.
const SWEEP_MAX: i64 = 20_000;
const STATEMENT_TIME_MAX: Duration = Duration::from_secs(5);

/// Observes until the process ends. `models` are the names and versions of everything that should follow the log.
///
/// # Errors
/// If the database does not answer; what was seen before is then taken back.
pub(crate) async fn run(shared: Arc<Shared>, models: Vec<(&'static str, i32)>) -> Result<(), Fault> {
    let mut swept = 0;
    loop {
        let looked = tokio::time::timeout(STATEMENT_TIME_MAX, look(&shared, &models, swept)).await;
        match looked.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut)) {
            Ok(position) => swept = position,
            Err(error) => {
                shared.metrics.observed.forget();
                return Err(error.into());
            }
        }
        tokio::select! {
            () = shared.shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// One look; returns up to where the log has been swept.
async fn look(shared: &Shared, models: &[(&'static str, i32)], swept: i64) -> sqlx::Result<i64> {
    let observed = &shared.metrics.observed;
    let (head, standings) = standings(&shared.pool, models).await?;
    observed.standings(head, &standings);
    if shared.nats.is_some() {
        observed.publisher_lag(publisher_lag(&shared.pool).await?);
    }
    let (position, whole) = sweep(&shared.pool, swept).await?;
    observed.swept(position, !whole);
    Ok(position)
}

/// The head, and how each model stands to it: the version that answers queries, in the present epoch.
async fn standings(pool: &PgPool, models: &[(&'static str, i32)]) -> sqlx::Result<(i64, Vec<Standing>)> {
    let names: Vec<String> = models.iter().map(|(name, _)| (*name).to_owned()).collect();
    let versions: Vec<i32> = models.iter().map(|(_, version)| *version).collect();
    let rows = sqlx::query!(
        r#"select w.ordinal as "ordinal!", h.position as "head!", h.position - coalesce(p.position, 0) as "lag_events!",
                  coalesce(extract(epoch from clock_timestamp() - e.recorded_at), 0)::float8 as "lag_seconds!",
                  (select count(*) from run.parked k
                   where k.model = w.model and k.version = coalesce(a.version, w.version)) as "parked!"
           from store.log_head h
           cross join unnest($1::text[], $2::int[]) with ordinality as w (model, version, ordinal)
           left join run.active_models a on a.model = w.model
           left join run.projections p
               on p.model = w.model and p.version = coalesce(a.version, w.version) and p.epoch = h.epoch
           left join store.events e on e.position = coalesce(p.position, 0) + 1"#,
        &names,
        &versions
    )
    .fetch_all(pool)
    .await?;
    let head = rows.first().map_or(0, |row| row.head);
    let standings = rows.into_iter().filter_map(|row| {
        let (model, _) = models.get(usize::try_from(row.ordinal).ok()?.checked_sub(1)?)?;
        Some(Standing { model, lag_events: row.lag_events, lag_seconds: row.lag_seconds, parked: row.parked })
    });
    Ok((head, standings.collect()))
}

async fn publisher_lag(pool: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select h.position - coalesce(p.position, 0) as "lag!"
           from store.log_head h left join run.publisher p on p.id = 1 and p.epoch = h.epoch"#
    )
    .fetch_one(pool)
    .await
}

/// Counts what is stored after a position. Up to where that is whole, and whether anything was missing.
async fn sweep(pool: &PgPool, from: i64) -> sqlx::Result<(i64, bool)> {
    let row = sqlx::query!(
        r#"select h.position as "head!", count(e.position) as "found!"
           from store.log_head h
           left join store.events e on e.position > $1 and e.position <= least($1 + $2, h.position)
           group by h.position"#,
        from,
        SWEEP_MAX
    )
    .fetch_one(pool)
    .await?;
    let to = row.head.min(from + SWEEP_MAX);
    // After a restore the log may end before what was swept of its past.
    let whole = to < from || row.found == to - from;
    Ok((if whole { to } else { from }, whole))
}
