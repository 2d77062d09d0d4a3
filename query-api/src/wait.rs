//! Waiting until read models have come far enough. One task a process reads the checkpoints, and only while somebody
//! waits; waiters hold no connection.

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
const LOOK_AGAIN_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// What was seen last.
#[derive(Debug, Default)]
struct Seen {
    epoch: i32,
    head: i64,
    positions: BTreeMap<String, i64>,
}

impl Seen {
    fn has(&self, touches: &[Touch], wanted: LogPosition) -> bool {
        let reached = |it: &Touch| self.positions.get(it.model).is_some_and(|it| *it >= wanted.position);
        // On a standby the log itself may come later than the answer that named the position.
        self.epoch == wanted.epoch && self.head >= wanted.position && touches.iter().all(reached)
    }
}

#[derive(Debug, Default)]
struct Waiting {
    count: AtomicUsize,
    begun: Notify,
}

/// Watches the checkpoints of all read models.
#[derive(Debug, Clone)]
pub(crate) struct Watcher {
    seen: watch::Receiver<Seen>,
    waiting: Arc<Waiting>,
}

/// Counts as one who waits for as long as it lives.
struct Wait(Arc<Waiting>);

impl Wait {
    fn begin(waiting: &Arc<Waiting>) -> Self {
        waiting.count.fetch_add(1, Ordering::SeqCst);
        waiting.begun.notify_one();
        Self(Arc::clone(waiting))
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::SeqCst);
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

    /// Whether the models had come to a position when they were last looked at. It holds, unless a model was taken
    /// back to an older build since.
    pub(crate) fn had(&self, touches: &[Touch], wanted: LogPosition) -> bool {
        self.seen.borrow().has(touches, wanted)
    }

    /// Waits, for at most [`WAIT_MAX`], until the models are seen at a position. Whether they are is to be asked of the
    /// snapshot that is read: this only waits.
    pub(crate) async fn until(&self, touches: &[Touch], wanted: LogPosition) {
        let mut seen = self.seen.clone();
        seen.mark_unchanged();
        let _wait = Wait::begin(&self.waiting);
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
        if waiting.count.load(Ordering::SeqCst) == 0 {
            waiting.begun.notified().await;
        }
        let pause = match look(&pool).await {
            Ok(seen) => {
                sender.send_replace(seen);
                LOOK_EVERY
            }
            Err(error) => {
                tracing::warn!(%error, "checkpoints cannot be read");
                LOOK_AGAIN_AFTER_FAILURE
            }
        };
        tokio::time::sleep(pause).await;
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
