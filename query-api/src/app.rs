//! What every handler shares.

use std::sync::Arc;

use event_store::MasterKey;
use service_kit::audit::{Recorder, Words};
use service_kit::config::AuditConfig;
use service_kit::metrics::Metrics;
use service_kit::token::Verifier;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::audit::{self, ThroughFunction};
use crate::config::LiveConfig;
use crate::live::Live;
use crate::routes;
use crate::standing::ByLog;
use crate::wait::Watcher;

/// The state of the process.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) pool: PgPool,
    pub(crate) master: Arc<MasterKey>,
    pub(crate) watcher: Watcher,
    pub(crate) live: Arc<Live>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) doors: Doors,
}

/// What says who may come in, and who may stay.
#[derive(Debug, Clone)]
pub(crate) struct Doors {
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) access: Arc<ByLog>,
}

impl App {
    /// Puts it together, and starts the task that watches checkpoints; it and live streams end with the token.
    #[must_use]
    pub(crate) fn new(
        pool: PgPool,
        doors: Doors,
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
        Self { pool, master, watcher, live: Arc::new(Live::new(live, shutdown)), recorder, doors }
    }

    /// Adds what it tells its monitoring.
    pub(crate) fn register(&self, metrics: &Metrics) {
        self.doors.access.register(metrics);
        let (waits, follows) = (self.watcher.clone(), self.watcher.clone());
        let help = "Queries that wait for read models to come far enough";
        metrics.gauge("quipu_queries_waiting", help, move || waits.waiting());
        metrics.gauge("quipu_live_streams", "Live streams that are open", move || follows.following());
    }
}
