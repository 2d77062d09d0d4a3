//! What every handler shares.

use std::sync::Arc;

use event_store::MasterKey;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::wait::Watcher;

/// The state of the process.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) pool: PgPool,
    pub(crate) master: Arc<MasterKey>,
    pub(crate) watcher: Watcher,
}

impl App {
    /// Puts it together, and starts the task that watches checkpoints; it ends with the token.
    #[must_use]
    pub fn new(pool: PgPool, master: MasterKey, shutdown: CancellationToken) -> Self {
        let watcher = Watcher::start(pool.clone(), shutdown);
        Self { pool, master: Arc::new(master), watcher }
    }
}
