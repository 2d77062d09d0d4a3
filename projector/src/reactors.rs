//! Process managers: they follow the log, remember what must be done later, and do it through an executor of their
//! own, as the role `quipu_reactor`. They are not read models: a rebuild never runs them again.

mod hold_expiry;

use std::sync::Arc;

use event_store::{Executor, ExecutorOptions, MasterKey};
use service_kit::metrics::Metrics;
use sqlx::PgPool;

use crate::follower::Follower;
use crate::options::{ReactorOptions, Timing};
use crate::shared::Shared;

/// What a reactor acts with.
#[derive(Clone)]
struct Hands {
    executor: Executor,
    master: Arc<MasterKey>,
    /// Of the role `quipu_projector`, which sees the whole log and every deadline.
    pool: PgPool,
    timing: Timing,
}

/// Every reactor by name, and the kind of its rows in `run.deadlines`.
pub(crate) const MEMORIES: &[(&str, &str)] = &[(hold_expiry::NAME, hold_expiry::KIND)];

/// Every reactor, one line each, with an executor between them.
pub(crate) fn start(
    shared: &Arc<Shared>,
    options: ReactorOptions,
    metrics: &Metrics,
) -> Vec<Arc<dyn Follower>> {
    let (wake, announcer) = (shared.wake.clone(), shared.announcer.clone());
    let executor_options = ExecutorOptions::new(options.database, Arc::clone(&options.master));
    metrics.register(|registry| executor_options.metrics.register(registry));
    // The task ends by itself when the last clone of its executor is gone.
    let (executor, _task) = Executor::start_observed(executor_options, move |_head| {
        wake.call();
        if let Some(announcer) = &announcer {
            announcer.log_grew();
        }
    });
    let hands = Hands { executor, master: options.master, pool: shared.pool.clone(), timing: shared.timing };
    vec![Arc::new(hold_expiry::HoldExpiry::new(hands))]
}
