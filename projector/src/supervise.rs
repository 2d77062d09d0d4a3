//! Keeps tasks running: one that ends by an error or a panic begins again after a wait, and never alone brings down
//! another.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::backoff;
use crate::run::Fault;
use crate::shared::Shared;

const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// A task that ran this long is thought to have been well.
const WELL_AFTER: Duration = Duration::from_secs(30);

/// Runs `work` until the shutdown. It returns when the shutdown asks for that.
pub(crate) fn spawn<W, F>(tasks: &mut JoinSet<()>, shared: &Arc<Shared>, name: &'static str, work: W)
where
    W: Fn(Arc<Shared>) -> F + Send + 'static,
    F: Future<Output = Result<(), Fault>> + Send,
{
    let shared = Arc::clone(shared);
    tasks.spawn(async move {
        let mut failures = 0;
        while !shared.shutdown.is_cancelled() {
            let began = Instant::now();
            let ended = AssertUnwindSafe(work(Arc::clone(&shared))).catch_unwind().await;
            if shared.shutdown.is_cancelled() {
                return;
            }
            failures = if began.elapsed() > WELL_AFTER { 1 } else { failures + 1 };
            let wait = backoff::wait(failures, WAIT_MIN, WAIT_MAX);
            let reason = match ended {
                Ok(Ok(())) => None,
                Ok(Err(fault)) => Some(fault.text()),
                Err(_) => Some("panic".to_owned()),
            };
            if let Some(error) = reason {
                tracing::error!(task = name, error, failures, wait_ms = wait.as_millis(), "task failed");
                shared.board.failed(name, error);
            }
            tokio::select! {
                () = shared.shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    });
}
