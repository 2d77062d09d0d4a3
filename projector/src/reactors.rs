//! Process managers: they follow the log, remember what must be done later, and do it through an executor of their
//! own, as the role `quipu_reactor`. They are not read models: a rebuild never runs them again.

mod expiries;
mod hold_expiry;
mod keys;
mod mail;
mod requests;
mod sessions;
mod sweep;

use std::sync::Arc;

use event_store::vault::Vault;
use event_store::{Executor, ExecutorOptions, MasterKey};
use service_kit::metrics::Metrics;
use sqlx::PgPool;
use tokio::task::JoinSet;

use crate::follower::Follower;
use crate::options::{ReactorOptions, Timing};
use crate::shared::{Shared, database_options, pool};
use crate::signing_keys::SigningKeys;
use crate::supervise;

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

/// Connections of the reactors that work on rows of their own, at most.
const CONNECTIONS_MAX: u32 = 4;

/// Every reactor, one line each, with an executor between them. Those that follow the log are handed back; those that
/// have a queue of their own are among `tasks`.
pub(crate) fn start(
    tasks: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    options: ReactorOptions,
    metrics: &Metrics,
) -> Vec<Arc<dyn Follower>> {
    let (wake, announcer) = (shared.wake.clone(), shared.announcer.clone());
    let own_rows = pool(database_options(options.database.clone()), CONNECTIONS_MAX);
    let mailer = Arc::new(mail::Mailer {
        pool: own_rows.clone(),
        master: Arc::clone(&options.master),
        options: options.mail,
        figures: mail::MailFigures::of(metrics),
    });
    supervise::spawn(tasks, shared, mail::NAME, move |shared| mail::run(Arc::clone(&mailer), shared));
    let executor_options = ExecutorOptions::new(options.database, Arc::clone(&options.master));
    metrics.register(|registry| executor_options.metrics.register(registry));
    // The task ends by itself when the last clone of its executor is gone.
    let (executor, _task) = Executor::start_observed(executor_options, move |_head| {
        wake.call();
        if let Some(announcer) = &announcer {
            announcer.log_grew();
        }
    });
    let desk = requests::Desk {
        pool: own_rows.clone(),
        master: Arc::clone(&options.master),
        executor: executor.clone(),
    };
    let desk = Arc::new(desk);
    supervise::spawn(tasks, shared, requests::NAME, move |shared| requests::run(Arc::clone(&desk), shared));
    let ends = Arc::new(expiries::Expiries { pool: own_rows.clone(), executor: executor.clone() });
    supervise::spawn(tasks, shared, expiries::NAME, move |shared| expiries::run(Arc::clone(&ends), shared));
    let tidy =
        Arc::new(sessions::Sessions { vault: Vault::new(own_rows.clone()), executor: executor.clone() });
    supervise::spawn(tasks, shared, sessions::NAME, move |shared| sessions::run(Arc::clone(&tidy), shared));
    let broom =
        sweep::Sweep { vault: Vault::new(own_rows.clone()), figures: sweep::SweepFigures::of(metrics) };
    let broom = Arc::new(broom);
    supervise::spawn(tasks, shared, sweep::NAME, move |shared| sweep::run(Arc::clone(&broom), shared));
    if options.signing_keys {
        let master = Arc::clone(&options.master);
        let ring = Arc::new(SigningKeys::new(Vault::new(own_rows), executor.clone(), master));
        supervise::spawn(tasks, shared, keys::NAME, move |shared| keys::run(Arc::clone(&ring), shared));
    }
    let hands = Hands { executor, master: options.master, pool: shared.pool.clone(), timing: shared.timing };
    vec![Arc::new(hold_expiry::HoldExpiry::new(hands))]
}
