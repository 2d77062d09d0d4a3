//! Reads pages ahead of the writer: the next one is fetched and decoded while this one is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use event_store::log::{PAGE_MAX, ReadError};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::feed::Entry;
use crate::shared::Shared;

/// A page is read ahead; more would only be memory.
const AHEAD: usize = 1;
const LENGTH_FIRST: i64 = 500;
const LENGTH_MIN: i64 = 20;
/// Pages are sized so that one is written in about this time: leases, stops and read-your-writes wait for it.
const WRITE_TIME_LOW: Duration = Duration::from_millis(100);
const WRITE_TIME_HIGH: Duration = Duration::from_millis(400);

/// The least time between two short pages. A lone event is read at once; in a stream of them, a transaction for every
/// few would cost the machine more than the events themselves.
const BREATH: Duration = Duration::from_millis(15);
const SHORT: usize = 1_000;

/// Events in order, without a hole, at least one.
pub(crate) type Page = Vec<Arc<Entry>>;

/// Pages after a position, as they come to be.
#[derive(Debug)]
pub(crate) struct Pages {
    receiver: mpsc::Receiver<Result<Page, ReadError>>,
    length: Arc<AtomicI64>,
    _task: AbortOnDropHandle<()>,
}

impl Pages {
    pub(crate) fn after(shared: &Arc<Shared>, position: i64) -> Self {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let length = Arc::new(AtomicI64::new(LENGTH_FIRST));
        let task = tokio::spawn(read(Arc::clone(shared), position, Arc::clone(&length), sender));
        Self { receiver, length, _task: AbortOnDropHandle::new(task) }
    }

    /// The next page; `None` after an error. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Option<Result<Page, ReadError>> {
        self.receiver.recv().await
    }

    /// Adapts the length of later pages to how long one took.
    pub(crate) fn took(&self, events: usize, time: Duration) {
        let length = self.length.load(Ordering::Relaxed);
        self.length.store(adapted(length, events, time), Ordering::Relaxed);
    }
}

fn adapted(length: i64, events: usize, time: Duration) -> i64 {
    let full = i64::try_from(events).is_ok_and(|events| events >= length);
    let next = match time {
        slow if slow > WRITE_TIME_HIGH => length / 2,
        fast if fast < WRITE_TIME_LOW && full => length.saturating_mul(2),
        _ => length,
    };
    next.clamp(LENGTH_MIN, PAGE_MAX)
}

async fn read(
    shared: Arc<Shared>,
    mut position: i64,
    length: Arc<AtomicI64>,
    pages: mpsc::Sender<Result<Page, ReadError>>,
) {
    let mut wake = shared.wake.listen();
    let mut breath = Instant::now();
    loop {
        tokio::time::sleep_until(breath).await;
        let page = shared.feed.after(position, length.load(Ordering::Relaxed)).await;
        let failed = page.is_err();
        if let Ok(page) = &page {
            let Some(last) = page.last() else {
                wake.heard(shared.timing.poll).await;
                continue;
            };
            position = last.recorded.position;
            if page.len() < SHORT {
                breath = Instant::now() + BREATH;
            }
        }
        if pages.send(page).await.is_err() || failed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_grow_while_they_are_quick_and_full() {
        let quick = Duration::from_millis(20);
        assert_eq!(adapted(500, 500, quick), 1_000);
        assert_eq!(adapted(500, 3, quick), 500);
        assert_eq!(adapted(4_000, 4_000, quick), PAGE_MAX);
        assert_eq!(adapted(1_000, 1_000, Duration::from_millis(200)), 1_000);
        assert_eq!(adapted(1_000, 10, Duration::from_secs(2)), 500);
        assert_eq!(adapted(LENGTH_MIN, 1, Duration::from_secs(2)), LENGTH_MIN);
    }
}
