//! The row that the primary moves twice a second. A standby cannot tell a quiet log from a replication that has stopped; by
//! this row it knows how old is what it shows. Several processes may move it at once.

use std::sync::Arc;
use std::time::Duration;

use crate::run::Fault;
use crate::shared::Shared;

/// A standby answers nobody once what it shows is a second old: two beats fit into that.
const EVERY: Duration = Duration::from_millis(400);

/// Goes on until the process stops.
pub(crate) async fn run(shared: Arc<Shared>) -> Result<(), Fault> {
    loop {
        sqlx::query!("update run.heartbeat set beat_at = greatest(beat_at, clock_timestamp()) where id = 1")
            .execute(&shared.pool)
            .await?;
        tokio::select! {
            () = shared.shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
