//! Leading: pages as they come, parked partitions when their time comes, the lease all the while.

use std::collections::HashSet;
use std::sync::Arc;

use event_store::log::ReadError;
use event_store::trace::{self, TRACES};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::fault::{Refusal, Unwritten};
use super::lease::{self, Checkpoint, Grant};
use super::park::{self, Key, PARKED_MAX};
use super::reader::{Page, Pages};
use super::retry::Missed;
use super::write::{Leading, Writer, timed};
use super::{Ended, Fault};
use crate::follower::{Follower, Lease};
use crate::shared::Shared;
use crate::status::State;

/// A leader at work.
struct Leader {
    follower: Arc<dyn Follower>,
    shared: Arc<Shared>,
    lease: Lease,
    checkpoint: Checkpoint,
    parked: HashSet<Key>,
    /// `None` while it waits for a newer build.
    pages: Option<Pages>,
    /// The event of a newer build that it stands before, and since when.
    held: Option<(i64, Instant)>,
    /// The event before which it has given way once.
    gave_way: Option<i64>,
    renewed: Instant,
    retrying: Option<AbortOnDropHandle<Result<Missed, ReadError>>>,
}

/// Leads until the lease is lost, the process ends or nothing may go on. Before an event of a newer build it gives way at
/// once, so that a process of that build can take over; before the event that it has given way for already (`gave_way`)
/// it stays for a while first, since parked partitions and timers are only looked after by a leader.
///
/// # Errors
/// A fault that beginning again may mend.
pub(crate) async fn lead(
    follower: Arc<dyn Follower>,
    shared: &Arc<Shared>,
    grant: Grant,
    gave_way: Option<i64>,
) -> Result<Ended, Fault> {
    let (name, renewed) = (follower.name(), Instant::now());
    let parked = park::load(&shared.pool, grant.lease).await?;
    if parked.len() > PARKED_MAX {
        return Ok(Ended::Refused(Refusal::TooManyParked(parked.len())));
    }
    shared.board.parked(name, parked.len());
    shared.board.moved(name, grant.checkpoint.position, Some(grant.checkpoint.recorded_at));
    // Only if nobody has come further meanwhile, it still stands there.
    let gave_way = gave_way.filter(|position| *position == grant.checkpoint.position + 1);
    if gave_way.is_none() {
        shared.board.set(name, State::Leading, None);
    }
    let _beside = follower.while_leading(grant.lease).map(|work| AbortOnDropHandle::new(tokio::spawn(work)));
    let mut leader = Leader {
        pages: Some(Pages::after(shared, grant.checkpoint.position)),
        follower,
        shared: Arc::clone(shared),
        lease: grant.lease,
        checkpoint: grant.checkpoint,
        parked,
        held: None,
        gave_way,
        renewed,
        retrying: None,
    };
    match leader.run().await {
        Ok(()) => Ok(Ended::Stopping),
        Err(Unwritten::LeaseLost) => Ok(Ended::LeaseLost),
        Err(Unwritten::Refused(refusal)) => Ok(Ended::Refused(refusal)),
        Err(Unwritten::Fault(fault)) => Err(fault),
        Err(Unwritten::Newer { position }) => Ok(Ended::Held { position }),
        // It is dealt with where it arises.
        Err(Unwritten::Data(reason)) => Err(Fault::Odd(reason)),
    }
}

/// What a leader turns to next.
enum Next {
    Stop,
    Tick,
    Page(Option<Result<Page, ReadError>>),
    Retry(Result<Result<Missed, ReadError>, tokio::task::JoinError>),
}

impl Leader {
    async fn run(&mut self) -> Result<(), Unwritten> {
        let mut ticks = tokio::time::interval(self.shared.timing.tick);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // Nothing that is awaited here loses anything when another branch wins.
            let next = tokio::select! {
                biased;
                () = self.shared.shutdown.cancelled() => Next::Stop,
                _ = ticks.tick() => Next::Tick,
                read = finished(&mut self.retrying) => Next::Retry(read),
                page = next_page(&mut self.pages) => Next::Page(page),
            };
            match next {
                Next::Stop => return Ok(()),
                Next::Tick => self.tick().await?,
                Next::Page(Some(page)) => self.write(page?).await?,
                Next::Page(None) => return Err(Fault::Odd("the reader ended".to_owned()).into()),
                Next::Retry(read) => {
                    self.retrying = None;
                    let missed = read.map_err(|error| Fault::Odd(format!("the reader ended: {error}")))?;
                    self.retry(missed?).await?;
                }
            }
        }
    }

    fn writer(&self) -> Writer<'_, Leading<'_>> {
        let follower = self.follower.as_ref();
        let keeping = Leading { shared: &self.shared, schema: follower.schema(), lease: self.lease };
        Writer { follower, pool: &self.shared.pool, keeping }
    }

    async fn tick(&mut self) -> Result<(), Unwritten> {
        let timing = self.shared.timing;
        if self.renewed.elapsed() >= timing.lease / 3 {
            let asked = Instant::now();
            let renewed = lease::renew(&self.shared.pool, self.lease, timing.lease).await;
            if !renewed.map_err(Fault::from)? {
                return Err(Unwritten::LeaseLost);
            }
            self.renewed = asked;
        }
        if let Some((position, since)) = self.held
            && since.elapsed() >= timing.recheck
        {
            return Err(Unwritten::Newer { position });
        }
        if !self.parked.is_empty() && self.retrying.is_none() {
            let due = park::due(&self.shared.pool, self.lease).await.map_err(Fault::from)?;
            if let Some(due) = due {
                let (follower, shared) = (Arc::clone(&self.follower), Arc::clone(&self.shared));
                let to = self.checkpoint.position;
                let read = async move { Missed::new(due).read_to(follower.as_ref(), &shared, to).await };
                self.retrying = Some(AbortOnDropHandle::new(tokio::spawn(read)));
            }
        }
        Ok(())
    }

    async fn write(&mut self, page: Page) -> Result<(), Unwritten> {
        let name = self.follower.name();
        let asked = Instant::now();
        let span = tracing::info_span!(target: TRACES, "project", model = name, events = page.len());
        trace::link_events(&span, page.iter().map(|it| &it.recorded));
        let writing = self.writer().write(&page, self.checkpoint, &self.parked).instrument(span);
        let (written, time) = timed(writing).await;
        let written = written?;
        if written.checkpoint.position > self.checkpoint.position {
            // The lease was renewed after it was asked for, so it lasts at least from then.
            self.renewed = asked;
            let events = written.checkpoint.position - self.checkpoint.position;
            self.shared.metrics.page(name, events, time);
            self.checkpoint = written.checkpoint;
            self.moved();
        }
        for park in written.parks {
            tracing::error!(
                model = name, tenant = %park.key.0, partition = %park.key.1, position = park.position,
                reason = park.reason, "partition parked"
            );
            self.parked.insert(park.key);
        }
        self.shared.board.parked(name, self.parked.len());
        if let Some(pages) = &self.pages {
            pages.took(page.len(), time);
        }
        match written.held {
            None => {
                self.shared.board.set(name, State::Leading, None);
            }
            Some(position) => {
                (self.pages, self.held) = (None, Some((position, Instant::now())));
                let detail = format!("event {position} was written by a newer build");
                if self.shared.board.set(name, State::Held, Some(detail)) {
                    tracing::warn!(model = name, position, "held: a newer build wrote the next event");
                }
                if self.gave_way != Some(position) {
                    return Err(Unwritten::Newer { position });
                }
            }
        }
        Ok(())
    }

    async fn retry(&mut self, missed: Missed) -> Result<(), Unwritten> {
        let (name, due) = (self.follower.name(), missed.due);
        let (tenant, partition) = due.key;
        let free = missed.apply(self.writer(), self.checkpoint).await?;
        if free {
            self.parked.remove(&due.key);
            self.shared.board.parked(name, self.parked.len());
            tracing::info!(model = name, %tenant, %partition, attempts = due.attempts, "partition freed");
        } else {
            tracing::debug!(model = name, %tenant, %partition, attempts = due.attempts, "partition stays parked");
        }
        Ok(())
    }

    fn moved(&self) {
        let Checkpoint { position, recorded_at, .. } = self.checkpoint;
        self.shared.board.moved(self.follower.name(), position, Some(recorded_at));
    }
}

async fn finished<T>(task: &mut Option<AbortOnDropHandle<T>>) -> Result<T, tokio::task::JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

async fn next_page(pages: &mut Option<Pages>) -> Option<Result<Page, ReadError>> {
    match pages {
        Some(pages) => pages.next().await,
        None => std::future::pending().await,
    }
}
