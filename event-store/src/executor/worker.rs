//! The one task of a process that appends.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sabotage::Guard;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use super::batch::Batch;
use super::core::{
    ANSWER_TIMEOUT, Attempt, Attempted, Core, InDoubt, Outcomes, answers, appending, execute, in_time, served,
};
use super::forgotten::Forgotten;
use super::plan::Draft;
use super::queue::{Job, Portion, Queue};
use super::{ExecutorOptions, Failure, SubmitError};
use crate::connect;
use crate::epoch;
use crate::trace::{self, TRACES};

/// How long after it was queued a command may still be tried, or its outcome looked for. Shorter than a request may
/// take, so that nothing is begun for a caller who was told already that there is no outcome.
const TRIED_WITHIN: Duration = Duration::from_secs(9);

/// How many commands are judged ahead before it is looked whether the batch before has landed.
const AHEAD_AT_ONCE: usize = 32;

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
    forgotten: Arc<Forgotten>,
}

impl Worker {
    pub(crate) fn new(
        options: Arc<ExecutorOptions>,
        committed: Box<dyn Fn(i64) + Send + Sync>,
        forgotten: Arc<Forgotten>,
    ) -> Self {
        let core = Core::new(options.states_max);
        Self { options, committed, conn: None, core, partitions_due: false, forgotten }
    }

    pub(crate) async fn run(mut self, mut queue: Queue) {
        let mut next = Batch::default();
        loop {
            let mut batch = self.still_wanted(std::mem::take(&mut next));
            let room = self.options.batch_max.saturating_sub(batch.commands());
            let jobs = if batch.is_empty() {
                let portion = Portion { at_once: room, single: usize::MAX };
                tokio::select! {
                    biased;
                    forget = self.forgotten.heard() => {
                        self.core.forget(&forget);
                        continue;
                    }
                    jobs = queue.next(portion) => match jobs {
                        Some(jobs) => jobs,
                        None => break,
                    },
                }
            } else {
                self.core.forget(&self.forgotten.take());
                // The callers who have just been answered are heard first, as in `Queue::next`.
                tokio::task::yield_now().await;
                queue.take(Portion { at_once: room, single: room })
            };
            batch.push(self.accept(jobs));
            let Some(first) = batch.queued_first() else { continue };
            self.options.metrics.batch(&batch.units(), first.elapsed());
            let span = tracing::info_span!(target: TRACES, "batch", units = batch.units().len());
            trace::link(
                &span,
                batch.units().iter().map(|it| (it.cause.trace.as_deref(), it.cause.span.as_deref())),
            );
            let outcomes = self.write(&mut batch, &mut next, &mut queue).instrument(span).await;
            self.options.metrics.outcomes(&batch.units(), &outcomes);
            let mut outcomes = outcomes.into_iter();
            for job in batch.into_jobs() {
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

    /// Takes jobs over from the queue, but for those that nobody waits for any more.
    fn accept(&self, jobs: Vec<Job>) -> Vec<Job> {
        self.options.metrics.queue_length.dec_by(i64::try_from(jobs.len()).unwrap_or(i64::MAX));
        self.let_go(jobs)
    }

    /// A batch without what grew too old in it while the one before it was written. What is left is judged anew.
    fn still_wanted(&self, batch: Batch) -> Batch {
        if batch.is_overdue(self.options.wait_max) {
            Batch::of(self.let_go(batch.into_jobs()))
        } else {
            batch
        }
    }

    /// Refuses what has waited too long, and drops what nobody waits for any more.
    fn let_go(&self, jobs: Vec<Job>) -> Vec<Job> {
        let metrics = &self.options.metrics;
        let (late, jobs): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| job.is_overdue(self.options.wait_max));
        for job in late {
            let count = job.units.len();
            metrics.unjudged(&job.units, &SubmitError::Overloaded);
            drop(job.answer.send(vec![Err(SubmitError::Overloaded); count]));
        }
        jobs
    }

    /// Brings a batch to its outcomes. Meanwhile `next` is taken from the queue and judged, as far as that goes.
    async fn write(&mut self, batch: &mut Batch, next: &mut Batch, queue: &mut Queue) -> Outcomes {
        let count = batch.units().len();
        let deadline = batch.queued_first().unwrap_or_else(Instant::now) + TRIED_WITHIN;
        let mut locked = false;
        while Instant::now() < deadline {
            if self.conn.is_none() {
                // What was known may be out of date by the time that there is another one.
                batch.forget_judgement();
            }
            let Some(mut conn) = self.connection(deadline).await else {
                return vec![Err(SubmitError::Unavailable); count];
            };
            let attempt = if locked {
                self.core.under_lock(&self.options.master, &mut conn, &batch.units()).await
            } else {
                self.optimistic(&mut conn, batch, next, queue).await
            };
            self.options.metrics.attempt(&attempt);
            if attempt.is_err() {
                next.forget_judgement();
            }
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
                        && let Some(outcomes) = self.resolve(deadline, &in_doubt, count).await
                    {
                        return outcomes;
                    }
                    locked = true;
                }
                Err((Failure::Database(error), _)) if locked => {
                    tracing::error!(error = &error as &dyn std::error::Error, "a batch of commands failed");
                    self.core.cache.clear();
                    return vec![Err(SubmitError::Internal); count];
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
        }
        vec![Err(SubmitError::Unavailable); count]
    }

    /// Judges on what is known, as far as that was not done in advance, and appends if it still holds.
    async fn optimistic(
        &mut self,
        conn: &mut PgConnection,
        batch: &mut Batch,
        next: &mut Batch,
        queue: &mut Queue,
    ) -> Attempt {
        let (mut draft, judged) = batch.take_draft().unwrap_or_else(|| (self.core.draft(), 0));
        let units = batch.units();
        self.options.metrics.judged_ahead.inc_by(u64::try_from(judged).unwrap_or(0));
        let unjudged = units.get(judged..).unwrap_or_default();
        self.core
            .judge(&self.options.master, conn, &mut draft, unjudged)
            .await
            .map_err(|failure| (failure, None))?;
        let after = self.core.cache.known_to();
        if !sabotage::stands(Guard::CommitBeforeAnswer) {
            let outcomes = answers(&draft.units, after, self.core.epoch);
            let at_once = Duration::ZERO;
            return Ok(Attempted { outcomes, base: after, head: after, waited: at_once, append: at_once });
        }
        let served = served(&units);
        let (basis, guards) = self.core.basis(&mut draft);
        let sent = Instant::now();
        let written = in_time(draft.append.execute(conn, &served, &basis, &guards)).instrument(appending());
        match self.judging_ahead(written, &draft, next, queue).await {
            Ok(landed) => {
                next.knows_up_to(landed.recorded_at);
                Ok(self.core.land(draft, landed, sent.elapsed()))
            }
            Err(failure) => {
                if matches!(failure, Failure::Stale) {
                    self.core.grow_wary();
                }
                Err((failure, Some(InDoubt::of(served, &draft, after))))
            }
        }
    }

    /// Waits for a batch to be written. Meanwhile takes the next one, and judges it on top of this one: judging and
    /// writing take about as long as each other, on different processors.
    async fn judging_ahead<T>(
        &mut self,
        written: impl Future<Output = T>,
        under_way: &Draft,
        next: &mut Batch,
        queue: &mut Queue,
    ) -> T {
        let mut written = pin!(written);
        let mut goes_on = self.core.trusts_memory();
        loop {
            let room = self.options.batch_max.saturating_sub(next.commands());
            let portion = Portion { at_once: AHEAD_AT_ONCE.min(room), single: room };
            tokio::select! {
                biased;
                result = &mut written => return result,
                jobs = queue.next(portion), if goes_on => {
                    let jobs = jobs.unwrap_or_default();
                    // Everybody has gone, or what comes first needs a batch of its own.
                    goes_on = !jobs.is_empty();
                    next.push(self.accept(jobs));
                    goes_on = goes_on && next.judge_ahead(&mut self.core, under_way);
                }
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
