//! Read models, the publisher to NATS and the reactors: everything that follows the log. It writes no history of its
//! own but through an executor of the reactors, and nothing that it keeps is the truth.
//!
//! **Invariant:** a follower's rows and its checkpoint change in one transaction, and that transaction holds the lease.
//!
//! | what | one task each | where |
//! |---|---|---|
//! | a read model or reactor | leases its row of `run.projections` | [`run`] |
//! | the publisher | leases `run.publisher` | [`publisher`] |
//! | the observer | asks the database how far all of them are | [`observe`] |
//! | pages of the log | read once for all who are at its end | [`feed`] |

mod backoff;
mod feed;
pub mod follower;
mod heartbeat;
pub mod mail;
mod metrics;
mod observe;
mod options;
mod publisher;
mod reactors;
pub mod rebuild;
pub mod registry;
pub mod replay;
mod run;
mod shared;
pub mod signing_keys;
pub mod status;
mod supervise;
pub mod wake;

use std::sync::Arc;
use std::time::Duration;

use domain::ids::TenantId;
use service_kit::health::Health;
use sqlx::PgPool;
use tokio::task::JoinSet;
use uuid::Uuid;

pub use feed::Decode;
pub use follower::{Follower, read_model};
pub use options::{ProjectorOptions, ReactorOptions, StreamOptions, Timing};
use shared::Shared;
pub use status::{FollowerStatus, State};

/// How long tasks may take to end after a stop was asked for.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);
const PARTITIONS_EVERY: Duration = Duration::from_secs(3_600);

/// Everything that follows the log, running.
#[derive(Debug)]
pub struct Projector {
    shared: Arc<Shared>,
    names: Vec<&'static str>,
    tasks: JoinSet<()>,
}

impl Projector {
    /// Starts it inside the current runtime. It connects when it must, so the database and NATS may still be down.
    #[must_use]
    pub fn start(options: ProjectorOptions) -> Self {
        let ProjectorOptions { followers, reactor, stream, metrics, .. } = options.clone();
        let shared = Shared::new(options);
        let mut tasks = JoinSet::new();
        let mut names: Vec<&'static str> = followers.iter().map(|it| it.name()).collect();
        let mut observed: Vec<_> = followers.iter().map(|it| (it.name(), it.version())).collect();
        for follower in followers {
            supervise::spawn(&mut tasks, &shared, follower.name(), move |shared| {
                run::run(Arc::clone(&follower), shared)
            });
        }
        if let Some(reactor) = reactor {
            for follower in reactors::start(&mut tasks, &shared, reactor, &metrics) {
                names.push(follower.name());
                observed.push((follower.name(), follower.version()));
                supervise::spawn(&mut tasks, &shared, follower.name(), move |shared| {
                    run::run(Arc::clone(&follower), shared)
                });
            }
        }
        if let Some(nats) = shared.nats.clone() {
            wake::spawn(&mut tasks, &shared, &nats);
            supervise::spawn(&mut tasks, &shared, publisher::NAME, move |shared| {
                publisher::run(shared, nats.clone(), stream.clone())
            });
        }
        supervise::spawn(&mut tasks, &shared, "partitions", make_partitions);
        supervise::spawn(&mut tasks, &shared, "heartbeat", heartbeat::run);
        supervise::spawn(&mut tasks, &shared, "observer", move |shared| {
            observe::run(shared, observed.clone())
        });
        Self { shared, names, tasks }
    }

    /// Says that there is something new in the log, for writers in the same process.
    pub fn wake(&self) {
        self.shared.wake.call();
    }

    /// Where every follower stands.
    #[must_use]
    pub fn status(&self) -> Vec<FollowerStatus> {
        self.shared.board.all()
    }

    /// The board that [`Projector::status`] reads, for routes.
    #[must_use]
    pub fn board(&self) -> status::Board {
        self.shared.board.clone()
    }

    /// The pool of the role `quipu_projector`.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.shared.pool
    }

    /// Adds its checks: the database, that no follower has stopped, and that the log was not set back. Whether NATS is there
    /// is none of them, it is not the record.
    #[must_use]
    pub fn health(&self, health: Health) -> Health {
        let health = self.names.iter().fold(health.database(self.shared.pool.clone()), |health, name| {
            let (board, name) = (self.shared.board.clone(), *name);
            health.check(name, move || std::future::ready(board.readiness(name)))
        });
        let board = self.shared.board.clone();
        health.check(publisher::NAME, move || std::future::ready(board.refusal(publisher::NAME)))
    }

    /// Waits until everything has ended after its token was cancelled; what does not end in time is cut.
    pub async fn stopped(mut self) {
        self.shared.shutdown.cancelled().await;
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIME_MAX, all).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "cut: they did not end in time");
            self.tasks.shutdown().await;
        }
        self.shared.pool.close().await;
    }
}

/// Asks whoever leads `model` to try a parked partition again now. False if it is not parked.
///
/// # Errors
/// If the database does not answer.
pub async fn retry(pool: &PgPool, model: &str, tenant: TenantId, partition: Uuid) -> sqlx::Result<bool> {
    let found = sqlx::query!(
        "update run.parked set retry_at = clock_timestamp() where model = $1 and tenant_id = $2 and partition = $3",
        model,
        tenant.uuid(),
        partition
    )
    .execute(pool)
    .await?;
    Ok(found.rows_affected() > 0)
}

async fn make_partitions(shared: Arc<Shared>) -> Result<(), run::Fault> {
    loop {
        let made = sqlx::query_scalar!(r#"select store.ensure_partitions() as "made!""#)
            .fetch_one(&shared.pool)
            .await?;
        if made > 0 {
            tracing::info!(made, "partitions of the log");
        }
        tokio::select! {
            () = shared.shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(PARTITIONS_EVERY) => {}
        }
    }
}
