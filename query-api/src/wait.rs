//! Waiting until read models have come far enough. One task a process reads the checkpoints, and only while somebody
//! waits or follows; neither holds a connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use event_schemas::envelope::LogPosition;
use read_models::progress::{self, Touch};
use sqlx::PgPool;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// How long a request waits for a position.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Who follows for long is told a little later than who waits for an answer.
const LOOK_FOR_FOLLOWERS_EVERY: Duration = Duration::from_millis(25);
const LOOK_AGAIN_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// What was seen last.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    epoch: i32,
    head: i64,
    positions: BTreeMap<String, i64>,
}

impl Seen {
    fn is_past(&self, touches: &[Touch], at: LogPosition) -> bool {
        let past = |it: &Touch| self.positions.get(it.model).is_some_and(|it| *it > at.position);
        // Epochs begin at 1: nothing has been seen yet at 0.
        self.epoch != 0 && (self.epoch != at.epoch || touches.iter().all(past))
    }

    fn has(&self, touches: &[Touch], wanted: LogPosition) -> bool {
        let reached = |it: &Touch| self.positions.get(it.model).is_some_and(|it| *it >= wanted.position);
        // On a standby the log itself may come later than the answer that named the position.
        self.epoch == wanted.epoch && self.head >= wanted.position && touches.iter().all(reached)
    }
}

#[derive(Debug, Default)]
struct Waiting {
    waiters: AtomicUsize,
    followers: AtomicUsize,
    begun: Notify,
}

/// Why the checkpoints are looked at.
#[derive(Debug, Clone, Copy)]
enum Reason {
    Waits,
    Follows,
}

impl Waiting {
    fn count(&self, reason: Reason) -> &AtomicUsize {
        match reason {
            Reason::Waits => &self.waiters,
            Reason::Follows => &self.followers,
        }
    }

    fn has(&self, reason: Reason) -> bool {
        self.count(reason).load(Ordering::SeqCst) > 0
    }
}

/// Watches the checkpoints of all read models.
#[derive(Debug, Clone)]
pub(crate) struct Watcher {
    seen: watch::Receiver<Seen>,
    waiting: Arc<Waiting>,
}

/// Counts as one who waits or follows for as long as it lives.
#[derive(Debug)]
struct Wait(Arc<Waiting>, Reason);

impl Wait {
    fn begin(waiting: &Arc<Waiting>, reason: Reason) -> Self {
        waiting.count(reason).fetch_add(1, Ordering::SeqCst);
        waiting.begun.notify_one();
        Self(Arc::clone(waiting), reason)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.count(self.1).fetch_sub(1, Ordering::SeqCst);
    }
}

/// One who wants to know for long when read models move.
#[derive(Debug)]
pub(crate) struct Follower {
    seen: watch::Receiver<Seen>,
    _follows: Wait,
}

impl Follower {
    /// Waits until all of the models are seen behind a position, or the log in another epoch.
    pub(crate) async fn past(&mut self, touches: &[Touch], at: LogPosition) {
        // It ends without a sight only when the process does.
        let _stopped = self.seen.wait_for(|it| it.is_past(touches, at)).await;
    }
}

impl Watcher {
    pub(crate) fn start(pool: PgPool, shutdown: CancellationToken) -> Self {
        let (sender, seen) = watch::channel(Seen::default());
        let waiting = Arc::<Waiting>::default();
        let watcher = Self { seen, waiting: Arc::clone(&waiting) };
        tokio::spawn(async move {
            shutdown.run_until_cancelled(watch(pool, sender, waiting)).await;
        });
        watcher
    }

    /// How many queries wait now.
    pub(crate) fn waiting(&self) -> i64 {
        i64::try_from(self.waiting.count(Reason::Waits).load(Ordering::Relaxed)).unwrap_or(i64::MAX)
    }

    /// How many live streams follow now.
    pub(crate) fn following(&self) -> i64 {
        i64::try_from(self.waiting.count(Reason::Follows).load(Ordering::Relaxed)).unwrap_or(i64::MAX)
    }

    /// Whether the models had come to a position when they were last looked at. It holds, unless a model was taken
    /// back to an older build since.
    pub(crate) fn had(&self, touches: &[Touch], wanted: LogPosition) -> bool {
        self.seen.borrow().has(touches, wanted)
    }

    /// Begins to follow the checkpoints.
    pub(crate) fn follow(&self) -> Follower {
        Follower { seen: self.seen.clone(), _follows: Wait::begin(&self.waiting, Reason::Follows) }
    }

    /// Waits, for at most [`WAIT_MAX`], until the models are seen at a position. Whether they are is to be asked of the
    /// snapshot that is read: this only waits.
    pub(crate) async fn until(&self, touches: &[Touch], wanted: LogPosition) {
        let mut seen = self.seen.clone();
        seen.mark_unchanged();
        let _wait = Wait::begin(&self.waiting, Reason::Waits);
        let reached = async {
            while seen.changed().await.is_ok() {
                let seen = seen.borrow_and_update();
                if seen.epoch != wanted.epoch || seen.has(touches, wanted) {
                    return;
                }
            }
        };
        // Time that has passed is no error: the snapshot will say what is missing.
        let _late = tokio::time::timeout(WAIT_MAX, reached).await;
    }
}

async fn watch(pool: PgPool, sender: watch::Sender<Seen>, waiting: Arc<Waiting>) {
    loop {
        if !waiting.has(Reason::Waits) && !waiting.has(Reason::Follows) {
            waiting.begun.notified().await;
        }
        match look(&pool).await {
            Ok(seen) => {
                // Who waits wants to know that somebody looked; who follows, only that something has moved.
                sender.send_if_modified(|known| {
                    let moved = *known != seen;
                    *known = seen;
                    moved || waiting.has(Reason::Waits)
                });
                if waiting.has(Reason::Waits) {
                    tokio::time::sleep(LOOK_EVERY).await;
                } else {
                    // Whoever begins to wait is not held to the pace of those who follow.
                    let _sooner =
                        tokio::time::timeout(LOOK_FOR_FOLLOWERS_EVERY, waiting.begun.notified()).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "checkpoints cannot be read");
                tokio::time::sleep(LOOK_AGAIN_AFTER_FAILURE).await;
            }
        }
    }
}

async fn look(pool: &PgPool) -> sqlx::Result<Seen> {
    let mut conn = pool.acquire().await?;
    let reached = progress::reached(&mut conn).await?;
    let mut positions = BTreeMap::new();
    for (model, position) in reached.models {
        let known = positions.entry(model).or_insert(position);
        *known = position.max(*known);
    }
    Ok(Seen { epoch: reached.epoch, head: reached.head, positions })
}
