//! Leading: pages as they come, parked partitions when their time comes, the lease all the while.

use std::collections::HashSet;
use std::sync::Arc;

use event_store::log::ReadError;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::fault::{Refusal, Unwritten};
use super::lease::{self, Checkpoint, Grant};
use super::park::{self, Key, PARKED_MAX};
use super::reader::{Page, Pages};
use super::retry::Missed;
use super::write::{Writer, timed};
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
    held_since: Instant,
    renewed: Instant,
    retrying: Option<AbortOnDropHandle<Result<Missed, ReadError>>>,
}

/// Leads until the lease is lost, the process ends or nothing may go on.
///
/// # Errors
/// A fault that beginning again may mend.
pub(crate) async fn lead(
    follower: Arc<dyn Follower>,
    shared: &Arc<Shared>,
    grant: Grant,
) -> Result<Ended, Fault> {
    let (name, renewed) = (follower.name(), Instant::now());
    let parked = park::load(&shared.pool, grant.lease).await?;
    if parked.len() > PARKED_MAX {
        return Ok(Ended::Refused(Refusal::TooManyParked(parked.len())));
    }
    shared.board.parked(name, parked.len());
    shared.board.moved(name, grant.checkpoint.position, Some(grant.checkpoint.recorded_at));
    shared.board.set(name, State::Leading, None);
    let _beside = follower.while_leading(grant.lease).map(|work| AbortOnDropHandle::new(tokio::spawn(work)));
    let mut leader = Leader {
        pages: Some(Pages::after(shared, grant.checkpoint.position)),
        follower,
        shared: Arc::clone(shared),
        lease: grant.lease,
        checkpoint: grant.checkpoint,
        parked,
        held_since: renewed,
        renewed,
        retrying: None,
    };
    match leader.run().await {
        Ok(()) => Ok(Ended::Stopping),
        Err(Unwritten::LeaseLost) => Ok(Ended::LeaseLost),
        Err(Unwritten::Refused(refusal)) => Ok(Ended::Refused(refusal)),
        Err(Unwritten::Fault(fault)) => Err(fault),
        // Both are dealt with where they arise.
        Err(Unwritten::Data(reason)) => Err(Fault::Odd(reason)),
        Err(Unwritten::Newer { position }) => Err(Fault::Odd(format!("event {position} is newer"))),
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

    fn writer(&self) -> Writer<'_> {
        Writer { follower: self.follower.as_ref(), shared: &self.shared, lease: self.lease }
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
        if self.pages.is_none() && self.held_since.elapsed() >= timing.recheck {
            self.pages = Some(Pages::after(&self.shared, self.checkpoint.position));
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
        let (written, time) = timed(self.writer().write(&page, self.checkpoint, &self.parked)).await;
        let written = written?;
        if written.checkpoint.position > self.checkpoint.position {
            // The lease was renewed after it was asked for, so it lasts at least from then.
            self.renewed = asked;
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
                (self.pages, self.held_since) = (None, Instant::now());
                let detail = format!("event {position} was written by a newer build");
                if self.shared.board.set(name, State::Held, Some(detail)) {
                    tracing::warn!(model = name, position, "held: a newer build wrote the next event");
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
