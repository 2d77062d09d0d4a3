//! One part of a rebuild: the partitions that its hash deals to it, folded in memory and written a chunk at a time.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::StreamId;
use domain::ids::TenantId;
use event_store::Recorded;
use event_store::log::PAGE_MAX;
use futures_util::future::BoxFuture;
use read_models::{Item, ProjectionError};
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;
use uuid::Uuid;

use super::catch_up::{Place, Standing};
use super::pace::Pace;
use super::record::Hold;
use super::shadow::{self, Indexes};
use super::{Budget, Memory, RebuildError, Table};
use crate::feed::{self, Decode, Entry};
use crate::follower::Follower;
use crate::run::fault::Unwritten;
use crate::run::lease::Checkpoint;
use crate::run::park::{Key, PARKED_MAX, Park};
use crate::run::write::{Keeping, Writer, items};

/// A stretch of the log: of its events, those that concern the rebuild.
pub(crate) struct Page {
    pub(crate) to: i64,
    pub(crate) entries: Vec<Arc<Entry>>,
}

/// Some partitions of a follower: those of one tenant, of one part, or both.
#[derive(Clone)]
pub(crate) struct Slice {
    pub(crate) whole: Arc<dyn Follower>,
    pub(crate) tenant: Option<TenantId>,
    /// Which part of how many.
    pub(crate) part: Option<(i16, usize)>,
}

impl Slice {
    /// Whether an event can concern it. The platform's events may be about any tenant.
    pub(crate) fn may_want(&self, recorded: &Recorded) -> bool {
        self.tenant.is_none_or(|it| recorded.tenant == it || recorded.tenant == TenantId::PLATFORM)
    }
}

impl Follower for Slice {
    fn name(&self) -> &'static str {
        self.whole.name()
    }

    fn version(&self) -> i32 {
        self.whole.version()
    }

    fn schema(&self) -> &'static str {
        self.whole.schema()
    }

    fn partition(&self, tenant: TenantId, stream: &StreamId) -> Option<Uuid> {
        let partition = self.whole.partition(tenant, stream)?;
        if let Some(only) = self.tenant {
            let of = self.whole.rebuildable().map_or(tenant, |it| it.tenant_of(tenant, partition));
            if of != only {
                return None;
            }
        }
        match self.part {
            None => Some(partition),
            Some((part, parts)) => (part_of(partition, parts) == part).then_some(partition),
        }
    }

    fn apply<'a>(
        &'a self,
        tx: &'a mut PgConnection,
        items: &'a [Item<'a>],
    ) -> BoxFuture<'a, Result<(), ProjectionError>> {
        self.whole.apply(tx, items)
    }
}

/// Partitions are UUIDs, whose low half is random or counted.
fn part_of(partition: Uuid, parts: usize) -> i16 {
    let parts = u128::try_from(parts).unwrap_or(1).max(1);
    i16::try_from(partition.as_u128() % parts).unwrap_or(0)
}

/// What all parts share.
pub(crate) struct Common {
    pub(crate) pool: PgPool,
    pub(crate) decode: Decode,
    pub(crate) schema: String,
    pub(crate) tables: &'static [Table],
    pub(crate) appends_only: bool,
    pub(crate) hold: Hold,
    pub(crate) epoch: i32,
    pub(crate) budget: Budget,
    pub(crate) pace: Pace,
    /// Whether primary keys are there.
    pub(crate) keyed: Mutex<bool>,
}

/// A part at work.
pub(crate) struct Part {
    pub(crate) common: Arc<Common>,
    pub(crate) slice: Slice,
    pub(crate) part: i16,
    pub(crate) memory: Box<dyn Memory>,
    /// Written up to here.
    pub(crate) from: i64,
    /// Folded up to here.
    pub(crate) at: i64,
    /// Parked partitions that are written down.
    pub(crate) parked: HashSet<Key>,
    /// Parked since the last write.
    pub(crate) parks: Vec<Park>,
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl Part {
    /// Folds and writes until there are no more pages.
    pub(crate) async fn run(mut self, mut pages: mpsc::Receiver<Arc<Page>>) -> Result<(), RebuildError> {
        while let Some(page) = pages.recv().await {
            let began = Instant::now();
            if page.to > self.at {
                self.take(&page).await?;
            }
            self.common.pace.rest(began.elapsed()).await;
        }
        self.write().await
    }

    async fn take(&mut self, page: &Page) -> Result<(), RebuildError> {
        let behind = page.entries.partition_point(|it| it.recorded.position <= self.at);
        let entries = page.entries.get(behind..).unwrap_or_default();
        let folded = self.fold(entries).await?;
        self.at = page.to;
        if !folded {
            return self.write_by_page().await;
        }
        let Budget { events, bytes } = self.common.budget;
        if self.events >= events || self.bytes >= bytes {
            self.write().await?;
        }
        Ok(())
    }

    /// Folds what concerns the part. False if the memory is spoiled.
    async fn fold(&mut self, entries: &[Arc<Entry>]) -> Result<bool, RebuildError> {
        let mut items = items(&self.slice, entries.iter().map(AsRef::as_ref));
        items.retain(|item| !self.is_parked(key(item)));
        if items.is_empty() {
            return Ok(true);
        }
        if self.from > 0 {
            let mut tx = self.keyed().await?;
            match self.memory.load(&mut tx, &items).await {
                Ok(()) => {}
                Err(ProjectionError::Database(error)) => return Err(error.into()),
                Err(other) => return Err(Unwritten::from(other).into()),
            }
            tx.rollback().await?;
        }
        let mut counted = 0;
        for item in &items {
            if self.is_parked(key(item)) {
                continue;
            }
            if counted != item.recorded.position {
                counted = item.recorded.position;
                self.events += 1;
                self.bytes += item.recorded.payload.len();
            }
            let memory = &mut self.memory;
            // One at a time: an item that cannot be taken has then changed nothing, and is known.
            match std::panic::catch_unwind(AssertUnwindSafe(|| memory.fold(std::slice::from_ref(item)))) {
                Ok(Ok(())) => {}
                Ok(Err(ProjectionError::Newer { position })) => {
                    return Err(RebuildError::Newer { position });
                }
                Ok(Err(error)) => self.park(item, error.to_string())?,
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    fn is_parked(&self, key: Key) -> bool {
        self.parked.contains(&key) || self.parks.iter().any(|it| it.key == key)
    }

    fn park(&mut self, item: &Item<'_>, reason: String) -> Result<(), RebuildError> {
        let parked = self.parked.len() + self.parks.len();
        if parked >= PARKED_MAX {
            return Err(RebuildError::TooManyParked(parked));
        }
        let (tenant, partition) = key(item);
        tracing::error!(
            model = self.slice.name(), %tenant, %partition, position = item.recorded.position, reason,
            "partition parked in the rebuild"
        );
        self.parks.push(Park { key: key(item), position: item.recorded.position, reason });
        Ok(())
    }

    /// Writes what was folded, together with the position. What the tables refuse is tried again page by page, where
    /// the one partition at fault is found and parked.
    async fn write(&mut self) -> Result<(), RebuildError> {
        if self.at == self.from {
            return Ok(());
        }
        match self.attempt().await {
            Ok(()) => {
                self.parked.extend(self.parks.drain(..).map(|it| it.key));
                self.from = self.at;
                (self.events, self.bytes) = (0, 0);
                Ok(())
            }
            Err(Unwritten::Data(reason)) => {
                tracing::warn!(model = self.slice.name(), part = self.part, reason, "a chunk was refused");
                self.write_by_page().await
            }
            Err(other) => Err(other.into()),
        }
    }

    async fn attempt(&mut self) -> Result<(), Unwritten> {
        let by_copy = self.from == 0 || self.common.appends_only;
        if self.from > 0 {
            self.ensure_keys().await?;
        }
        // Invariant: a connection that copies belongs to no pool. If this is cancelled it is closed; were it used again,
        // answers to what was cancelled would be taken for answers to what is asked next (sqlx 0.9.0), without an error.
        let mut conn = self.common.pool.acquire().await?.detach();
        let mut tx = conn.begin().await?;
        shadow::enter(&mut tx, &self.common.schema).await?;
        if by_copy {
            self.memory.copy(&mut tx).await?;
        } else {
            self.memory.write(&mut tx).await?;
        }
        let keeping = self.keeping();
        keeping.park(&mut tx, &self.parks).await?;
        if !keeping.advance(&mut tx, self.checkpoint(self.from), self.checkpoint(self.at)).await? {
            return Err(Unwritten::LeaseLost);
        }
        tx.commit().await?;
        // What was written stays, however the good-bye goes.
        conn.close().await.ok();
        Ok(())
    }

    /// The same stretch again, page by page, each in a transaction as the live follower would write it.
    async fn write_by_page(&mut self) -> Result<(), RebuildError> {
        self.memory.forget();
        self.parks.clear();
        (self.events, self.bytes) = (0, 0);
        self.ensure_keys().await?;
        let common = Arc::clone(&self.common);
        while self.from < self.at {
            let to = self.at.min(self.from + PAGE_MAX);
            let wanted = |it: &Recorded| self.slice.may_want(it);
            let page = feed::stretch(&common.pool, common.decode, self.from, to, wanted)
                .await
                .map_err(Unwritten::from)?;
            let writer = Writer { follower: &self.slice, pool: &common.pool, keeping: self.keeping() };
            let from = self.checkpoint(self.from);
            let written = writer.write_to(&page, from, self.checkpoint(to), &self.parked).await?;
            if let Some(position) = written.held {
                return Err(RebuildError::Newer { position });
            }
            self.parked.extend(written.parks.into_iter().map(|it| it.key));
            self.from = to;
        }
        Ok(())
    }

    /// A transaction on tables that have their primary keys.
    async fn keyed(&self) -> Result<Transaction<'static, Postgres>, Unwritten> {
        self.ensure_keys().await?;
        Ok(shadow::begin(&self.common.pool, &self.common.schema).await?)
    }

    /// Rows that were written are found, and written over, by their primary keys.
    async fn ensure_keys(&self) -> Result<(), Unwritten> {
        let common = &self.common;
        let mut keyed = common.keyed.lock().await;
        if !*keyed {
            let (hold, version) = (common.hold, self.slice.version());
            while shadow::index(&common.pool, hold, version, common.tables, Indexes::Keys).await? {}
            *keyed = true;
        }
        Ok(())
    }

    fn keeping(&self) -> Standing<'_> {
        let Common { schema, hold, .. } = &*self.common;
        Standing { schema, model: hold.model, lease_epoch: hold.epoch, place: Place::Part(self.part) }
    }

    /// Parts keep positions only.
    fn checkpoint(&self, position: i64) -> Checkpoint {
        Checkpoint { epoch: self.common.epoch, position, recorded_at: DateTime::<Utc>::UNIX_EPOCH }
    }
}

fn key(item: &Item<'_>) -> Key {
    (item.recorded.tenant, item.partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_one_part() {
        for parts in 1..=16_usize {
            let dealt: HashSet<i16> = (0..64).map(|n| part_of(Uuid::from_u128(n), parts)).collect();
            assert_eq!(dealt.len(), parts);
            assert!(dealt.iter().all(|it| usize::try_from(*it).is_ok_and(|it| it < parts)));
        }
    }
}
