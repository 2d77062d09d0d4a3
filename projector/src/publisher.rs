//! Publishes every event to NATS, in order, each at least once. NATS is never the record: before the first message,
//! after every error and after every reconnection its stream is held against the log, and what it lost is sent again.
//!
//! At rest a commit is published after a hint, one page and one acknowledgement. With NATS down it waits; nothing else
//! waits with it.

mod lease;
mod position;
pub(crate) mod publish;
mod stream;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::Stream;
use event_schemas::wire::STREAM;
use event_store::epoch;
use event_store::log::{self, ReadError};
use event_store::trace::{self, TRACES};
use sabotage::Guard;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::backoff;
use crate::options::StreamOptions;
use crate::run::Fault;
use crate::shared::Shared;
use crate::status;
use lease::Progress;
use position::{From, Tail, Why};
use publish::{ACK_TIME_MAX, IN_FLIGHT_MAX};

/// Its name in logs and status.
pub(crate) const NAME: &str = "publisher";

const PAGE: i64 = 1_000;
const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How often the stream is looked at when nothing else calls for it.
const INSPECT_EVERY: Duration = Duration::from_secs(10);

/// Publishes until the process ends.
///
/// # Errors
/// A fault that beginning again may mend.
pub(crate) async fn run(
    shared: Arc<Shared>,
    nats: async_nats::Client,
    options: StreamOptions,
) -> Result<(), Fault> {
    while !shared.shutdown.is_cancelled() {
        let mut conn = shared.pool.acquire().await?;
        let head = match epoch::check(&mut conn).await {
            Ok(head) => head,
            Err(epoch::EpochError::Database(error)) => return Err(error.into()),
            Err(error @ epoch::EpochError::Timeline { .. }) => return Err(Fault::Odd(error.to_string())),
        };
        let granted = lease::acquire(&mut conn, &shared.instance, shared.timing.lease, head.epoch).await?;
        drop(conn);
        if let Some(lease) = granted {
            let context = ContextBuilder::new()
                .timeout(ACK_TIME_MAX)
                .ack_timeout(ACK_TIME_MAX)
                .max_ack_inflight(IN_FLIGHT_MAX * 2)
                .build(nats.clone());
            let publisher = Publisher {
                shared: Arc::clone(&shared),
                nats: nats.clone(),
                context,
                options: options.clone(),
                lease,
                epoch: head.epoch,
            };
            let ended = publisher.lead().await;
            shared.metrics.publisher_gap.set(0);
            shared.metrics.set_back.set(0);
            lease::release(&shared.pool, lease).await?;
            ended?;
        } else {
            shared.board.set(NAME, status::State::Standby, None);
        }
        tokio::select! {
            () = shared.shutdown.cancelled() => {}
            () = tokio::time::sleep(shared.timing.poll) => {}
        }
    }
    Ok(())
}

/// The holder of the lease.
struct Publisher {
    shared: Arc<Shared>,
    nats: async_nats::Client,
    context: Context,
    options: StreamOptions,
    lease: i64,
    epoch: i32,
}

/// Why publishing paused.
enum Paused {
    /// The process ends, or another one publishes by now.
    Over,
    /// The stream must be looked at again.
    Look,
}

impl Publisher {
    /// Returns when the lease is lost or the process ends.
    async fn lead(&self) -> Result<(), Fault> {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            let fault = match self.shared.shutdown.run_until_cancelled(self.publish()).await {
                None | Some(Ok(Paused::Over)) => return Ok(()),
                Some(Ok(Paused::Look)) => {
                    failures = 0;
                    continue;
                }
                // The database is the supervisor's concern.
                Some(Err(fault @ (Fault::Database(_) | Fault::Odd(_)))) => return Err(fault),
                Some(Err(fault @ Fault::SetBack { .. })) => {
                    if !self.refuse(&fault).await? {
                        return Ok(());
                    }
                    continue;
                }
                Some(Err(Fault::Nats(fault))) => fault,
            };
            failures = if began.elapsed() > INSPECT_EVERY { 1 } else { failures + 1 };
            if self.shared.board.set(
                NAME,
                status::State::Failing,
                Some("NATS does not take messages".to_owned()),
            ) {
                tracing::warn!(error = fault, "NATS does not take messages, trying on");
            } else {
                tracing::debug!(error = fault, failures, "NATS does not take messages");
            }
            let until = Instant::now() + backoff::wait(failures, WAIT_MIN, WAIT_MAX);
            while Instant::now() < until {
                tokio::select! {
                    () = self.shared.shutdown.cancelled() => return Ok(()),
                    () = tokio::time::sleep_until(until.min(Instant::now() + self.shared.timing.lease / 3)) => {}
                }
                if !lease::renew(&self.shared.pool, self.lease, self.shared.timing.lease).await? {
                    return Ok(());
                }
            }
        }
    }

    /// Publishes nothing for a while. True if the lease is kept, and nobody has settled meanwhile what positions mean.
    async fn refuse(&self, fault: &Fault) -> Result<bool, Fault> {
        self.shared.metrics.set_back.set(1);
        if self.shared.board.set(NAME, status::State::Stopped, Some(fault.text())) {
            tracing::error!(error = fault.text(), "nothing is published");
        }
        let wait = tokio::time::sleep(self.shared.timing.lease / 3);
        if self.shared.shutdown.run_until_cancelled(wait).await.is_none() {
            return Ok(false);
        }
        let head = epoch::head(&mut *self.shared.pool.acquire().await?).await?;
        let kept = lease::renew(&self.shared.pool, self.lease, self.shared.timing.lease).await?;
        Ok(kept && head.epoch == self.epoch)
    }

    /// Finds where to go on, and goes on until something calls for another look.
    async fn publish(&self) -> Result<Paused, Fault> {
        let connects = self.connects();
        self.refuse_unconnected()?;
        let stream = stream::ensure(&self.context, &self.options).await?;
        let facts = stream::facts(&stream).await?;
        let Some(mut progress) = self.resume(&stream, &facts).await? else { return Ok(Paused::Over) };
        if self.shared.board.set(NAME, status::State::Leading, None) {
            tracing::info!(lease = self.lease, "publishing");
        }
        self.shared.board.moved(NAME, progress.position, None);
        let mut wake = self.shared.wake.listen();
        let (mut renewed, mut inspected) = (Instant::now(), Instant::now());
        let mut ahead = None;
        loop {
            let page = match ahead.take() {
                Some(page) => page,
                None => self.page(progress.position).await?,
            };
            if page.is_empty() {
                wake.heard(self.shared.timing.poll).await;
                if self.connects() != connects {
                    return Ok(Paused::Look);
                }
                if inspected.elapsed() > INSPECT_EVERY {
                    inspected = Instant::now();
                    let now = stream::facts(&stream).await?;
                    let emptied = now.messages == 0 && facts.messages > 0;
                    if (now.created, now.last) != (progress.created, progress.sequence) || emptied {
                        return Ok(Paused::Look);
                    }
                }
                if renewed.elapsed() > self.shared.timing.lease / 3 {
                    renewed = Instant::now();
                    if !self.save(&progress).await? {
                        return Ok(Paused::Over);
                    }
                }
                continue;
            }
            // A message sent now would wait for its acknowledgement to time out.
            self.refuse_unconnected()?;
            let payload_max = publish::payload_max(&self.nats);
            let last_recorded = page.last().map(|it| it.recorded_at);
            if let (false, Some(last)) = (sabotage::stands(Guard::AckBeforeNote), page.last()) {
                let unsent = Progress { position: last.position, ..progress };
                self.save(&unsent).await?;
            }
            let messages =
                page.iter().map(|it| publish::event(STREAM, it, self.epoch, payload_max)).collect();
            let span = tracing::info_span!(target: TRACES, "publish", events = page.len());
            trace::link_events(&span, &page);
            let sending = publish::send(&self.context, progress.sequence, messages).instrument(span);
            let (sent, read) = tokio::join!(sending, self.page_after(&page));
            if let Some(position) = sent.position {
                self.count(position - progress.position);
                (progress.position, progress.sequence) = (position, sent.sequence);
                renewed = Instant::now();
                if !self.save(&progress).await? {
                    return Ok(Paused::Over);
                }
                self.shared.board.moved(NAME, position, last_recorded);
            }
            if let Some(fault) = sent.failed {
                return Err(fault);
            }
            ahead = read?;
        }
    }

    /// The page after a full one, read while that is sent. After a short one there is nothing yet.
    async fn page_after(
        &self,
        page: &[event_store::Recorded],
    ) -> Result<Option<Vec<event_store::Recorded>>, Fault> {
        let full = i64::try_from(page.len()).is_ok_and(|length| length >= PAGE);
        match page.last().filter(|_| full) {
            Some(last) => self.page(last.position).await.map(Some),
            None => Ok(None),
        }
    }

    /// Counts events that NATS has acknowledged.
    fn count(&self, events: i64) {
        let metrics = &self.shared.metrics;
        metrics.published.inc_by(u64::try_from(events).unwrap_or(0));
        metrics.publisher_gap.set((metrics.publisher_gap.get() - events).max(0));
    }

    fn refuse_unconnected(&self) -> Result<(), Fault> {
        match self.nats.connection_state() {
            State::Connected => Ok(()),
            State::Pending | State::Disconnected => Err(Fault::Nats("not connected".to_owned())),
        }
    }

    fn connects(&self) -> u64 {
        self.nats.statistics().connects.load(Ordering::Relaxed)
    }

    async fn page(&self, position: i64) -> Result<Vec<event_store::Recorded>, Fault> {
        let mut conn = self.shared.pool.acquire().await?;
        log::after(&mut conn, position, PAGE).await.map_err(|error| match error {
            ReadError::Database(error) => error.into(),
            hole @ ReadError::Hole { .. } => Fault::Odd(hole.to_string()),
        })
    }

    async fn save(&self, progress: &Progress) -> Result<bool, Fault> {
        Ok(lease::save(&self.shared.pool, self.lease, progress, self.shared.timing.lease).await?)
    }

    /// Where to go on. Sends the epoch marker first if one is due. `None` if the lease is lost.
    async fn resume(&self, stream: &Stream, facts: &stream::Facts) -> Result<Option<Progress>, Fault> {
        let pool = &self.shared.pool;
        let mut conn = pool.acquire().await?;
        let known = lease::known(&mut conn, self.options.max_age).await?;
        drop(conn);
        let mut progress = Progress {
            epoch: self.epoch,
            position: known.position,
            created: facts.created,
            sequence: facts.last,
        };
        if sabotage::stands(Guard::Refill) {
            let seen = stream::inspect(stream, facts, pool, self.epoch).await?;
            let resume = position::resume(self.epoch, &known, &seen);
            let common = match resume.from {
                From::LastCommon => stream::last_common(stream, facts, pool).await?,
                From::After(_) | From::Retention => None,
            };
            if let Tail::Lost { position: lost } = seen.tail {
                // Of another log nothing is known here: the database was made anew, and the stream was not.
                let is_this_log_s = common.is_some() || known.created == Some(seen.created);
                if is_this_log_s && sabotage::stands(Guard::LogSetBack) {
                    return Err(Fault::SetBack { lost });
                }
            }
            self.shared.metrics.set_back.set(0);
            progress.position = match (resume.from, common) {
                (From::After(position), _) | (From::LastCommon, Some(position)) => position,
                (From::Retention | From::LastCommon, _) => self.oldest_retained().await?,
            };
            if known.epoch == self.epoch {
                self.shared.metrics.publisher_gap.set((known.position - progress.position).max(0));
            }
            if !matches!(resume.why, Why::InStep | Why::First) {
                tracing::warn!(why = ?resume.why, known = known.position, from = progress.position, "the stream is not as it was left");
            }
            if resume.marker {
                let marker = publish::marker(self.epoch, progress.position)?;
                let sent = publish::send(&self.context, progress.sequence, vec![marker]).await;
                if let Some(fault) = sent.failed {
                    return Err(fault);
                }
                progress.sequence = sent.sequence;
                tracing::warn!(epoch = self.epoch, position = progress.position, "epoch marker published");
            }
        }
        Ok(self.save(&progress).await?.then_some(progress))
    }

    /// The position before the oldest event that is within retention.
    async fn oldest_retained(&self) -> Result<i64, Fault> {
        let mut conn = self.shared.pool.acquire().await?;
        let age = i64::try_from(self.options.max_age.as_millis()).unwrap_or(i64::MAX);
        let since = sqlx::query_scalar!(
            r#"select clock_timestamp() - $1::bigint * interval '1 millisecond' as "since!""#,
            age
        )
        .fetch_one(&mut *conn)
        .await?;
        Ok(log::position_at(&mut conn, since).await?)
    }
}
