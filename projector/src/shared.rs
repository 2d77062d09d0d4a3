//! What every task of a projector has.

use std::sync::Arc;
use std::time::Duration;

use event_store::connect;
use sabotage::Guard;
use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio_util::sync::CancellationToken;

use crate::feed::Feed;
use crate::metrics::ProjectorMetrics;
use crate::options::{ProjectorOptions, Timing};
use crate::status::Board;
use crate::wake::{Announcer, Wake};

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(30 * 60);

/// The common ground of all tasks.
pub(crate) struct Shared {
    pub(crate) instance: String,
    pub(crate) pool: PgPool,
    pub(crate) feed: Feed,
    pub(crate) wake: Wake,
    pub(crate) board: Board,
    pub(crate) announcer: Option<Announcer>,
    pub(crate) nats: Option<async_nats::Client>,
    pub(crate) timing: Timing,
    pub(crate) metrics: ProjectorMetrics,
    pub(crate) shutdown: CancellationToken,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(options: ProjectorOptions) -> Arc<Self> {
        let pool = pool(database_options(options.database), options.connections_max);
        options.metrics.pool(&pool);
        let metrics = ProjectorMetrics::of(&options.metrics);
        let announcer = options.nats.clone().map(|nats| Announcer::start(nats, options.shutdown.clone()));
        Arc::new(Self {
            instance: options.instance,
            feed: Feed::new(pool.clone(), options.decode),
            pool,
            wake: Wake::new(),
            board: Board::default(),
            announcer,
            nats: options.nats,
            timing: options.timing,
            metrics,
            shutdown: options.shutdown,
        })
    }
}

/// How the database is connected to.
pub(crate) fn database_options(options: PgConnectOptions) -> PgConnectOptions {
    connect::common(options, "quipu-projector").options([("client_min_messages", "error")])
}

/// A pool whose connections come back clean: a `begin()` of sqlx 0.9.0 that is cancelled leaves its transaction open.
pub(crate) fn pool(options: PgConnectOptions, connections_max: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_lifetime(CONNECTION_AGE_MAX)
        .after_release(|conn, _| {
            Box::pin(async move {
                if sabotage::stands(Guard::CleanRelease) {
                    conn.execute("begin; rollback").await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options)
}
