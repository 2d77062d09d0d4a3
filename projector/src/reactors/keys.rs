//! Signing keys as time passes: the first is made, each is followed by another after its term, and a retired one goes when
//! its last token has ended.
//!
//! Any number of processes may do this side by side: what one has done, the rules of the log refuse to the next.

use std::sync::Arc;

use chrono::Utc;
use tokio::time::Instant;

use crate::run::Fault;
use crate::shared::Shared;
use crate::signing_keys::{KeysError, SigningKeys};

pub(super) const NAME: &str = "reactor.keys";

/// Tends to the keys until the process ends.
///
/// # Errors
/// A fault of the database; beginning again may mend it.
pub(super) async fn run(keys: Arc<SigningKeys>, shared: Arc<Shared>) -> Result<(), Fault> {
    while !shared.shutdown.is_cancelled() {
        let begun = Instant::now();
        match keys.tend(Utc::now()).await {
            Ok(_) => {}
            // Somebody else was faster, or our clock is ahead: the next look tells.
            Err(KeysError::Refused(refusal)) => {
                tracing::info!(manager = NAME, refusal = %refusal.code, "the signing keys stay as they are");
            }
            Err(KeysError::Database(error)) => return Err(error.into()),
            Err(error) => return Err(Fault::Odd(error.to_string())),
        }
        tokio::select! {
            () = shared.shutdown.cancelled() => {}
            () = tokio::time::sleep_until(begun + shared.timing.tick) => {}
        }
    }
    Ok(())
}
