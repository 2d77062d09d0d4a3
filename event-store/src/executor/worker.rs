//! The one task of a process that appends through the first door.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use super::core::{ANSWER_TIMEOUT, Attempted, Core, InDoubt, Outcomes, answers, execute, in_time};
use super::queue::{Job, Queue};
use super::{ExecutorOptions, Failure, SubmitError};
use crate::connect;
use crate::epoch;
use crate::trace::{self, TRACES};
use crate::unit::Unit;

/// How long after it was queued a command may still be tried, or its outcome looked for. Shorter than a request may
/// take, so that nothing is begun for a caller who was told already that there is no outcome.
const TRIED_WITHIN: Duration = Duration::from_secs(9);

/// Pause between two attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// How often the reserve of partitions is looked after, in positions.
const PARTITION_CHECK_EVERY: i64 = 100_000;

const ENSURE_PARTITIONS: &str = "select store.ensure_partitions()";

pub(crate) struct Worker {
    options: Arc<ExecutorOptions>,
    committed: Box<dyn Fn(i64) + Send + Sync>,
    conn: Option<PgConnection>,
    core: Core,
    partitions_due: bool,
}

impl Worker {
    pub(crate) fn new(options: Arc<ExecutorOptions>, committed: Box<dyn Fn(i64) + Send + Sync>) -> Self {
        let core = Core::new(options.states_max);
        Self { options, committed, conn: None, core, partitions_due: false }
    }

    pub(crate) async fn run(mut self, mut queue: Queue) {
        while let Some(jobs) = queue.next_batch(self.options.batch_max).await {
            let taken = i64::try_from(jobs.len()).unwrap_or(i64::MAX);
            self.options.metrics.queue_length.dec_by(taken);
            let (jobs, late): (Vec<Job>, Vec<Job>) = jobs
                .into_iter()
                .partition(|job| job.queued_at.elapsed() <= self.options.wait_max && !job.answer.is_closed());
            for job in late {
                let count = job.units.len();
                self.options.metrics.unjudged(&job.units, &SubmitError::Overloaded);
                drop(job.answer.send(vec![Err(SubmitError::Overloaded); count]));
            }
            let Some(first) = jobs.iter().map(|job| job.queued_at).min() else { continue };
            let units: Vec<&Unit> = jobs.iter().flat_map(|job| &job.units).collect();
            self.options.metrics.batch(&units, first.elapsed());
            let span = tracing::info_span!(target: TRACES, "batch", units = units.len());
            let requests = units.iter().map(|unit| (unit.cause.trace.as_deref(), unit.cause.span.as_deref()));
            trace::link(&span, requests);
            let outcomes = self.run_units(&units, first + TRIED_WITHIN).instrument(span).await;
            self.options.metrics.outcomes(&units, &outcomes);
            let mut outcomes = outcomes.into_iter();
            for job in jobs {
                let answer = outcomes.by_ref().take(job.units.len()).collect();
                // A caller that has gone does not undo what was decided.
                drop(job.answer.send(answer));
            }
            self.look_after_partitions().await;
        }
        if let Some(conn) = self.conn.take() {
            drop(conn.close().await);
        }
    }

    async fn run_units(&mut self, units: &[&Unit], deadline: Instant) -> Outcomes {
        let mut locked = false;
        loop {
            let Some(mut conn) = self.connection(deadline).await else {
                return vec![Err(SubmitError::Unavailable); units.len()];
            };
            let attempt = if locked {
                self.core.under_lock(&self.options.master, &mut conn, units).await
            } else {
                self.core.optimistic(&self.options.master, &mut conn, units).await
            };
            self.options.metrics.attempt(&attempt);
            match attempt {
                Ok(Attempted { outcomes, base, head, .. }) => {
                    self.conn = Some(conn);
                    if head > base {
                        (self.committed)(head);
                    }
                    self.partitions_due |= head / PARTITION_CHECK_EVERY != base / PARTITION_CHECK_EVERY;
                    return outcomes;
                }
                Err((Failure::Lost, in_doubt)) => {
                    drop(conn);
                    tracing::warn!("the connection that writes was lost");
                    self.core.cache.clear();
                    if let Some(in_doubt) = in_doubt
                        && let Some(outcomes) = self.resolve(deadline, &in_doubt, units.len()).await
                    {
                        return outcomes;
                    }
                    locked = true;
                }
                Err((Failure::Database(error), _)) if locked => {
                    tracing::error!(error = &error as &dyn std::error::Error, "a batch of commands failed");
                    self.core.cache.clear();
                    return vec![Err(SubmitError::Internal); units.len()];
                }
                Err((failure, _)) => {
                    if let Failure::Database(error) = &failure {
                        tracing::warn!(
                            error = error as &dyn std::error::Error,
                            "a batch is tried again holding the head"
                        );
                        // It may have failed for want of a partition.
                        drop(in_time(execute(&mut conn, ENSURE_PARTITIONS)).await);
                    }
                    self.conn = Some(conn);
                    locked = true;
                }
            }
            if Instant::now() >= deadline {
                return vec![Err(SubmitError::Unavailable); units.len()];
            }
        }
    }

    async fn connection(&mut self, deadline: Instant) -> Option<PgConnection> {
        if let Some(conn) = self.conn.take() {
            return Some(conn);
        }
        loop {
            match timeout(ANSWER_TIMEOUT, self.connect()).await {
                Ok(Ok(conn)) => return Some(conn),
                Ok(Err(error)) => tracing::debug!(error = &error as &dyn std::error::Error, "cannot connect"),
                Err(_) => tracing::debug!("cannot connect in time"),
            }
            if Instant::now() >= deadline {
                tracing::warn!("the log cannot be reached");
                return None;
            }
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }

    async fn connect(&mut self) -> Result<PgConnection, epoch::EpochError> {
        let mut conn = connect::writer(self.options.database.clone()).connect().await?;
        let head = epoch::check(&mut conn).await?;
        self.core.stand_at(&head);
        Ok(conn)
    }

    /// Makes partitions ahead of need, after the answers are given.
    async fn look_after_partitions(&mut self) {
        if !std::mem::take(&mut self.partitions_due) {
            return;
        }
        let Some(mut conn) = self.conn.take() else { return };
        match in_time(execute(&mut conn, ENSURE_PARTITIONS)).await {
            Ok(()) => self.conn = Some(conn),
            // The connection may be in any state; the next batch opens another.
            Err(failure) => tracing::warn!(error = %failure, "partitions could not be made ahead"),
        }
    }

    /// Finds out, holding the head, whether a batch landed. Only then is its absence final.
    async fn resolve(&mut self, deadline: Instant, in_doubt: &InDoubt, units: usize) -> Option<Outcomes> {
        loop {
            let Some(mut conn) = self.connection(deadline).await else {
                return Some(vec![Err(SubmitError::Unavailable); units]);
            };
            match timeout(ANSWER_TIMEOUT, find_landed(&mut conn, in_doubt)).await {
                Ok(Ok(found)) => {
                    self.conn = Some(conn);
                    return found.map(|base| answers(&in_doubt.units, base, self.core.epoch));
                }
                _ if Instant::now() >= deadline => return Some(vec![Err(SubmitError::Unavailable); units]),
                _ => {}
            }
        }
    }
}

async fn find_landed(conn: &mut PgConnection, in_doubt: &InDoubt) -> sqlx::Result<Option<i64>> {
    let Some(event_id) = in_doubt.event_id else { return Ok(None) };
    let mut tx = conn.begin().await?;
    sqlx::query("select from store.hold_head($1)").bind(&in_doubt.served).execute(&mut *tx).await?;
    let base = sqlx::query_scalar!(
        "select position - 1 from store.events where position > $1 and event_id = $2",
        in_doubt.after,
        event_id
    )
    .fetch_optional(&mut *tx)
    .await?
    .flatten();
    tx.commit().await?;
    Ok(base)
}
