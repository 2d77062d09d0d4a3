//! Trying a parked partition again: what it missed is read again from the log, then applied at once.

use std::sync::Arc;

use domain::ids::TenantId;
use event_store::log::{PAGE_MAX, ReadError};
use uuid::Uuid;

use super::fault::{Fault, Unwritten};
use super::lease::Checkpoint;
use super::park::{self, Due, Key};
use super::write::{Leading, Writer, items};
use crate::feed::Entry;
use crate::follower::Follower;
use crate::shared::Shared;

/// More missed events than this are not held in memory.
const MISSED_MAX: usize = 100_000;

/// What a partition missed, up to a position.
#[derive(Debug)]
pub(crate) struct Missed {
    pub(crate) due: Due,
    entries: Vec<Arc<Entry>>,
    to: i64,
}

impl Missed {
    pub(crate) fn new(due: Due) -> Self {
        Self { due, entries: Vec::new(), to: due.position - 1 }
    }

    /// Reads on up to a position.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub(crate) async fn read_to(
        mut self,
        follower: &dyn Follower,
        shared: &Shared,
        position: i64,
    ) -> Result<Self, ReadError> {
        while self.to < position && self.entries.len() <= MISSED_MAX {
            let page = shared.feed.read(self.to, (position - self.to).min(PAGE_MAX)).await?;
            let Some(last) = page.last() else { break };
            self.to = last.recorded.position;
            self.entries.extend(page.into_iter().filter(|it| concerns(follower, it, self.due.key)));
        }
        Ok(self)
    }

    /// Applies it all, which frees the partition; or notes that it failed again. True if the partition is free.
    ///
    /// # Errors
    /// If neither could be done.
    pub(crate) async fn apply(
        self,
        writer: Writer<'_, Leading<'_>>,
        at: Checkpoint,
    ) -> Result<bool, Unwritten> {
        let due = self.due;
        let Leading { shared, lease, .. } = writer.keeping;
        let missed = self.read_to(writer.follower, shared, at.position).await?;
        let outcome = if missed.entries.len() > MISSED_MAX {
            Err(Unwritten::Data(format!("more than {MISSED_MAX} events wait: rebuild the read model")))
        } else {
            let mut mine = items(writer.follower, missed.entries.iter().map(AsRef::as_ref));
            mine.retain(|item| (item.recorded.tenant, item.partition) == due.key);
            writer.free(&mine, due.key, at).await
        };
        let reason = match outcome {
            Ok(()) => return Ok(true),
            Err(Unwritten::Data(reason)) => reason,
            Err(Unwritten::Newer { position }) => format!("event {position} was written by a newer build"),
            Err(other) => return Err(other),
        };
        let (pool, retry_min) = (&shared.pool, shared.timing.retry_min);
        park::failed_again(pool, lease, &due, &reason, retry_min).await.map_err(Fault::from)?;
        Ok(false)
    }
}

fn concerns(follower: &dyn Follower, entry: &Entry, key: Key) -> bool {
    let (tenant, partition): (TenantId, Uuid) = key;
    entry.recorded.tenant == tenant
        && entry.streams.iter().any(|stream| follower.partition(tenant, stream) == Some(partition))
}
