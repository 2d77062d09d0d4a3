//! What every peer is asked to do, and who they are, one file each.

mod cala_ledger;
mod disintegrate_postgres;
mod postgres_es;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

pub(crate) use self::cala_ledger::CalaLedger;
pub(crate) use self::disintegrate_postgres::DisintegratePostgres;
pub(crate) use self::postgres_es::PostgresEs;

/// Streams of the event stores. There is an event in each before the first run, and few are met twice in one.
const STREAMS: u32 = 100_000;

/// How an operation ended that the peer had an answer to. Anything else ends the run.
pub(crate) enum Outcome {
    /// It is committed.
    Done,
    /// It lost to another at the same time, and nothing of it happened.
    GivenUp,
}

/// Somebody else's way to do the same.
pub(crate) trait Peer: Sized + Send + Sync + 'static {
    /// Connections with which it was quickest on two cores.
    const CONNECTIONS: u32;

    /// Makes schema and accounts in an empty database.
    fn set_up(database: PgConnectOptions) -> impl Future<Output = anyhow::Result<()>>;

    /// Opens what was set up.
    fn open(database: PgConnectOptions, connections: u32) -> impl Future<Output = anyhow::Result<Self>>;

    /// Does one transfer or one append, and waits until it is committed.
    fn operate(&self, random: &mut fastrand::Rng) -> impl Future<Output = anyhow::Result<Outcome>> + Send;
}

/// A pool of so many connections, without the ping that sqlx sends before each use by default.
async fn pool(database: PgConnectOptions, connections: u32) -> anyhow::Result<PgPool> {
    let options = PgPoolOptions::new().max_connections(connections).test_before_acquire(false);
    Ok(options.acquire_timeout(Duration::from_secs(30)).connect_with(database).await?)
}

/// The id of a stream of the event stores.
fn stream(number: u32) -> String {
    format!("account-{number:08}")
}

/// Any one of them.
fn any_stream(random: &mut fastrand::Rng) -> String {
    stream(random.u32(1..=STREAMS))
}
