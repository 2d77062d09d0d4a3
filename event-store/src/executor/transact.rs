//! The second door: a command's own statements and its events in one transaction.

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Executor as _, PgConnection};

use super::core::{Core, Held, in_time};
use super::{ExecutorOptions, Failure, SubmitError, TransactError, Transacted};
use crate::connect;
use crate::unit::Unit;

/// How many states one command may need.
const STATES_MAX: usize = 1_000;

/// Connections at most: each holds the head while it appends, so more would only wait.
const CONNECTIONS_MAX: u32 = 4;

/// Connections with the writer's settings, each checked for its history, and none left inside a transaction (sqlx
/// 0.9.0 returns one so if a `begin()` is cancelled).
pub(super) fn pool(options: &ExecutorOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(std::time::Duration::from_secs(2))
        .after_connect(|conn, _| {
            Box::pin(async move {
                crate::epoch::check(conn)
                    .await
                    .map(drop)
                    .map_err(|error| sqlx::Error::Configuration(error.into()))
            })
        })
        .after_release(|conn, _| {
            Box::pin(async move {
                conn.execute("begin; rollback").await?;
                Ok(true)
            })
        })
        .connect_lazy_with(connect::writer(options.database.clone()))
}

pub(super) async fn transact<T, E>(
    options: &ExecutorOptions,
    pool: &PgPool,
    unit: Unit,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<Transacted<T>, TransactError<E>> {
    let mut tx = pool.begin().await.map_err(|_| SubmitError::Unavailable)?;
    let done = work(&mut tx).await.map_err(TransactError::Work)?;
    let mut core = Core::new(STATES_MAX);
    let held = in_time(core.hold_one(&options.master, &mut tx, &unit)).await;
    match held {
        Ok(Held::Replayed(receipt)) => Ok(Transacted::Replayed(receipt)),
        Ok(Held::Judged(receipt)) if receipt.results.iter().any(Result::is_err) => {
            Ok(Transacted::Refused(receipt))
        }
        Ok(Held::Judged(receipt)) => {
            tx.commit().await.map_err(|_| SubmitError::Unavailable)?;
            Ok(Transacted::Done(done, receipt))
        }
        Ok(Held::Failed(error)) => Err(error.into()),
        Err(Failure::Lost | Failure::Stale) => Err(SubmitError::Unavailable.into()),
        Err(failure) => {
            tracing::error!(error = %failure, "a command cannot be stored");
            Err(SubmitError::Internal.into())
        }
    }
}
