//! What every handler shares.

use std::sync::Arc;

use event_store::MasterKey;
use service_kit::audit::{Recorder, Words};
use service_kit::config::AuditConfig;
use service_kit::metrics::Metrics;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::audit::{self, ThroughFunction};
use crate::config::LiveConfig;
use crate::live::Live;
use crate::routes;
use crate::wait::Watcher;

/// The state of the process.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) pool: PgPool,
    pub(crate) master: Arc<MasterKey>,
    pub(crate) watcher: Watcher,
    pub(crate) live: Arc<Live>,
    pub(crate) recorder: Arc<Recorder>,
}

impl App {
    /// Puts it together, and starts the task that watches checkpoints; it and live streams end with the token.
    #[must_use]
    pub fn new(
        pool: PgPool,
        master: MasterKey,
        live: LiveConfig,
        audit: &AuditConfig,
        shutdown: CancellationToken,
    ) -> Self {
        let master = Arc::new(master);
        let watcher = Watcher::start(pool.clone(), shutdown.clone());
        let trail = ThroughFunction { pool: pool.clone(), master: Arc::clone(&master) };
        let words = Words::of(&routes::document(), audit::is_name);
        let recorder = Recorder::start(trail, words, audit.limits(), shutdown.clone());
        Self { pool, master, watcher, live: Arc::new(Live::new(live, shutdown)), recorder }
    }

    /// Adds what it tells its monitoring.
    pub(crate) fn register(&self, metrics: &Metrics) {
        let (waits, follows) = (self.watcher.clone(), self.watcher.clone());
        let help = "Queries that wait for read models to come far enough";
        metrics.gauge("quipu_queries_waiting", help, move || waits.waiting());
        metrics.gauge("quipu_live_streams", "Live streams that are open", move || follows.following());
    }
}
