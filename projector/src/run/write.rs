//! Writes a page: rows, checkpoint and parked partitions in one transaction, under the fence of the lease.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use read_models::Item;
use sabotage::Guard;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio::time::Instant;

use super::bisect::Bisect;
use super::fault::{Fault, Refusal, Unwritten};
use super::lease::{self, Checkpoint};
use super::park::{self, Key, PARKED_MAX, Park};
use crate::feed::Entry;
use crate::follower::{Follower, Lease};
use crate::shared::Shared;

/// A leader that is frozen inside a transaction must not hold rows past its lease.
const FROZEN_MAX: &str = "3000";

/// Where the rows of a writer stand, and who keeps its checkpoint, its parked partitions and its right to write.
pub(crate) trait Keeping: Copy + Send + Sync {
    /// The schema that unqualified table names mean.
    fn schema(&self) -> &str;

    /// Moves the checkpoint and proves the right to write, in the transaction of the rows. False: undo it.
    fn advance(
        &self,
        tx: &mut PgConnection,
        from: Checkpoint,
        to: Checkpoint,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Parks partitions, in the transaction that passes their events by.
    fn park(&self, tx: &mut PgConnection, parks: &[Park]) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Says that the writer lives, where its right to write would run out. False if it has.
    fn renew(&self) -> impl Future<Output = sqlx::Result<bool>> + Send;
}

/// What a leader keeps: its row of `run.projections`.
#[derive(Clone, Copy)]
pub(crate) struct Leading<'w> {
    pub(crate) shared: &'w Shared,
    pub(crate) schema: &'static str,
    pub(crate) lease: Lease,
}

impl Keeping for Leading<'_> {
    fn schema(&self) -> &str {
        self.schema
    }

    async fn advance(&self, tx: &mut PgConnection, from: Checkpoint, to: Checkpoint) -> sqlx::Result<bool> {
        lease::advance(tx, self.lease, from, to, self.shared.timing.lease).await
    }

    async fn park(&self, tx: &mut PgConnection, parks: &[Park]) -> sqlx::Result<()> {
        park::insert(tx, self.lease, parks, self.shared.timing.retry_min).await
    }

    async fn renew(&self) -> sqlx::Result<bool> {
        lease::renew(&self.shared.pool, self.lease, self.shared.timing.lease).await
    }
}

/// How often a writer that looks for the event at fault says that it lives.
const RENEW_EVERY: Duration = Duration::from_millis(250);

/// What pages are written with.
#[derive(Clone, Copy)]
pub(crate) struct Writer<'w, K> {
    pub(crate) follower: &'w dyn Follower,
    pub(crate) pool: &'w PgPool,
    pub(crate) keeping: K,
}

/// What became of a page.
#[derive(Debug)]
pub(crate) struct Written {
    /// Where the follower stands now.
    pub(crate) checkpoint: Checkpoint,
    /// The partitions that were parked on the way.
    pub(crate) parks: Vec<Park>,
    /// The event of a newer build that it stands before.
    pub(crate) held: Option<i64>,
}

/// Every item of a page that concerns the follower, in order.
pub(crate) fn items<'p>(follower: &dyn Follower, page: impl IntoIterator<Item = &'p Entry>) -> Vec<Item<'p>> {
    let mut items = Vec::new();
    let mut seen: Vec<uuid::Uuid> = Vec::new();
    for entry in page {
        seen.clear();
        for stream in &entry.streams {
            let Some(partition) = follower.partition(entry.recorded.tenant, stream) else { continue };
            // Several streams of an event may feed one partition, which still takes it once.
            if !seen.contains(&partition) {
                seen.push(partition);
                items.push(Item::new(&entry.recorded, entry.decoded.as_ref(), partition));
            }
        }
    }
    items
}

fn key(item: &Item<'_>) -> Key {
    (item.recorded.tenant, item.partition)
}

impl<K: Keeping> Writer<'_, K> {
    /// Writes a page that begins right after `from` and is whole. See [`Writer::write_to`].
    pub(crate) async fn write(
        self,
        page: &[std::sync::Arc<Entry>],
        from: Checkpoint,
        parked: &HashSet<Key>,
    ) -> Result<Written, Unwritten> {
        let Some(Entry { recorded, .. }) = page.last().map(AsRef::as_ref) else {
            return Ok(Written { checkpoint: from, parks: Vec::new(), held: None });
        };
        let to = Checkpoint { position: recorded.position, recorded_at: recorded.recorded_at, ..from };
        self.write_to(page, from, to, parked).await
    }

    /// Writes the stretch of the log from `from` to `to`, of which `page` is what can concern the follower. A partition
    /// that cannot take its event is parked, and the rest is written; before an event of a newer build the page ends.
    pub(crate) async fn write_to(
        self,
        page: &[std::sync::Arc<Entry>],
        from: Checkpoint,
        mut to: Checkpoint,
        parked: &HashSet<Key>,
    ) -> Result<Written, Unwritten> {
        let all = items(self.follower, page.iter().map(AsRef::as_ref));
        let mut end = page.len();
        let mut parks: Vec<Park> = Vec::new();
        let mut skipped: HashSet<(i64, Key)> = HashSet::new();
        let mut held = None;
        loop {
            if end < page.len() {
                match end.checked_sub(1).and_then(|last| page.get(last)) {
                    Some(last) => {
                        (to.position, to.recorded_at) = (last.recorded.position, last.recorded.recorded_at);
                    }
                    None => return Ok(Written { checkpoint: from, parks: Vec::new(), held }),
                }
            }
            let wanted: Vec<Item<'_>> = all
                .iter()
                .filter(|item| item.recorded.position <= to.position && !parked.contains(&key(item)))
                .filter(|item| {
                    !parks.iter().any(|it| it.key == key(item) && it.position <= item.recorded.position)
                })
                .filter(|item| !skipped.contains(&(item.recorded.position, key(item))))
                .copied()
                .collect();
            let failure = match self.attempt(&wanted, from, to, &parks).await {
                Ok(()) => return Ok(Written { checkpoint: to, parks, held }),
                Err(Unwritten::Data(reason)) => self.first_failing(&wanted, reason).await?,
                Err(Unwritten::Newer { position }) => Failing::Newer { position },
                Err(other) => return Err(other),
            };
            match failure {
                Failing::Newer { position } if !sabotage::stands(Guard::NewerHeld) => {
                    let newer = all.iter().filter(|item| item.recorded.position == position);
                    skipped.extend(newer.map(|item| (position, key(item))));
                }
                Failing::Newer { position } => {
                    held = Some(position);
                    end = page.partition_point(|entry| entry.recorded.position < position);
                    // What was parked behind the new end is met again when it is read again.
                    parks.retain(|it| it.position < position);
                }
                Failing::Item(park) if sabotage::stands(Guard::Parking) => {
                    if parked.len() + parks.len() >= PARKED_MAX {
                        return Err(Unwritten::Refused(Refusal::TooManyParked(PARKED_MAX)));
                    }
                    parks.push(park);
                }
                Failing::Item(park) => {
                    skipped.insert((park.position, park.key));
                }
            }
        }
    }

    async fn attempt(
        self,
        items: &[Item<'_>],
        from: Checkpoint,
        to: Checkpoint,
        parks: &[Park],
    ) -> Result<(), Unwritten> {
        let mut tx = self.begin().await?;
        if !sabotage::stands(Guard::CheckpointNotFirst) {
            self.advance(&mut tx, from, to).await?;
            tx.commit().await?;
            tx = self.begin().await?;
        }
        self.apply(&mut tx, items).await?;
        if !sabotage::stands(Guard::CheckpointWithRows) {
            tx.commit().await?;
            tx = self.begin().await?;
        }
        self.keeping.park(&mut tx, parks).await?;
        self.advance(&mut tx, from, to).await?;
        tx.commit().await.map_err(Unwritten::from)
    }

    async fn begin(self) -> Result<Transaction<'static, Postgres>, Unwritten> {
        let mut tx = self.pool.begin().await.map_err(Fault::from).map_err(Unwritten::Fault)?;
        // The rows may be lost in a crash as long as the checkpoint is lost with them, so nobody waits for the disk.
        sqlx::query!(
            "select set_config('search_path', $1, true) as path, set_config('synchronous_commit', 'off', true) as commit,
                    set_config('idle_in_transaction_session_timeout', $2, true) as idle",
            self.keeping.schema(),
            FROZEN_MAX
        )
        .fetch_one(&mut *tx)
        .await?;
        Ok(tx)
    }

    async fn apply(self, tx: &mut PgConnection, items: &[Item<'_>]) -> Result<(), Unwritten> {
        if items.is_empty() {
            return Ok(());
        }
        match AssertUnwindSafe(self.follower.apply(tx, items)).catch_unwind().await {
            Ok(applied) => applied.map_err(Unwritten::from),
            Err(panic) => Err(Unwritten::Data(format!("panic: {}", message(panic.as_ref())))),
        }
    }

    async fn advance(self, tx: &mut PgConnection, from: Checkpoint, to: Checkpoint) -> Result<(), Unwritten> {
        match self.keeping.advance(tx, from, to).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Unwritten::LeaseLost),
            Err(error) => Err(Unwritten::Fault(error.into())),
        }
    }

    /// Finds the first item that cannot be applied, by applying prefixes and undoing them.
    async fn first_failing(self, items: &[Item<'_>], mut reason: String) -> Result<Failing, Unwritten> {
        let mut search = Bisect::new(items.len());
        let mut newer = None;
        let mut renewed = Instant::now();
        while let Some(length) = search.next() {
            if renewed.elapsed() > RENEW_EVERY {
                self.renew().await?;
                renewed = Instant::now();
            }
            let trial = self.trial(items.get(..length).unwrap_or(items)).await;
            search.tell(length, trial.is_ok());
            match trial {
                Ok(()) => {}
                Err(Unwritten::Data(text)) => (reason, newer) = (text, None),
                Err(Unwritten::Newer { position }) => newer = Some(position),
                Err(other) => return Err(other),
            }
        }
        if let Some(position) = newer {
            return Ok(Failing::Newer { position });
        }
        match items.get(search.culprit()) {
            Some(item) => {
                Ok(Failing::Item(Park { key: key(item), position: item.recorded.position, reason }))
            }
            // Without items only the checkpoint was written.
            None => Err(Unwritten::Fault(Fault::Odd(format!("a page without items failed: {reason}")))),
        }
    }

    async fn trial(self, items: &[Item<'_>]) -> Result<(), Unwritten> {
        let mut tx = self.begin().await?;
        self.apply(&mut tx, items).await?;
        tx.rollback().await.map_err(Unwritten::from)
    }

    async fn renew(self) -> Result<(), Unwritten> {
        match self.keeping.renew().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Unwritten::LeaseLost),
            Err(error) => Err(Unwritten::Fault(error.into())),
        }
    }
}

impl Writer<'_, Leading<'_>> {
    /// Applies what a parked partition missed and frees it. The checkpoint stays where it is.
    pub(crate) async fn free(self, items: &[Item<'_>], key: Key, at: Checkpoint) -> Result<(), Unwritten> {
        let mut tx = self.begin().await?;
        self.apply(&mut tx, items).await?;
        park::delete(&mut tx, self.keeping.lease, key).await?;
        self.advance(&mut tx, at, at).await?;
        tx.commit().await.map_err(Unwritten::from)
    }
}

/// The first obstacle of a page.
enum Failing {
    /// This partition cannot take this event.
    Item(Park),
    /// A newer build wrote this event.
    Newer { position: i64 },
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// How long a page took to write, with its outcome.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    (work.await, began.elapsed())
}
