//! What whole-system tests stand on: a fresh database for each, executors, actors.
//!
//! The servers come from `./dev test`, which names them in `QUIPU_TEST_DATABASE_URL` and `QUIPU_TEST_NATS_URL`.

#![expect(clippy::indexing_slicing, reason = "a test may stop at an answer of another shape")]

pub mod authenticator;
pub mod books;
pub mod browser;
pub mod cli;
pub mod database;
pub mod forge;
pub mod ledger;
pub mod members;
pub mod nats;
pub mod oidc;
pub mod passkey;
pub mod person;
pub mod postgres;
pub mod programs;
pub mod relying;
pub mod smtp;
pub mod sse;
pub mod stack;
pub mod tab;
pub mod tools;

use std::future::Future;
use std::time::Duration;

/// Waits until something is so. Fails if it is not when it is asked for after the time: whatever was asked before, and
/// answered late because the machine was busy, says nothing.
///
/// # Errors
/// When it did not come about in time, or asking failed.
pub async fn until<F>(limit: Duration, mut is_so: impl FnMut() -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<bool>>,
{
    let begun = tokio::time::Instant::now();
    loop {
        let asked_in_time = begun.elapsed() < limit;
        if is_so().await? {
            return Ok(());
        }
        anyhow::ensure!(asked_in_time, "it did not come about in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
