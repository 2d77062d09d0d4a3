//! How connections to the log are opened: every setting that a promise rests on is set here, on the connection itself.

use std::time::Duration;

use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

/// Longest statement of a request.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for a connection of a pool.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Settings of every connection, whatever it is for.
#[must_use]
pub fn common(options: PgConnectOptions, application: &str) -> PgConnectOptions {
    options.application_name(application).options([
        ("synchronous_commit", "on".to_owned()),
        ("statement_timeout", millis(STATEMENT_TIMEOUT)),
        ("lock_timeout", "2000".to_owned()),
        ("idle_in_transaction_session_timeout", "10000".to_owned()),
        ("timezone", "UTC".to_owned()),
        ("jit", "off".to_owned()),
    ])
}

/// Settings of a connection that takes the head: a frozen holder must not stop everybody, and plans made for empty
/// tables must not be kept (a cached sequential scan cost seven times the time of an append).
#[must_use]
pub fn writer(options: PgConnectOptions) -> PgConnectOptions {
    common(options, "quipu-writer").statement_cache_capacity(64).options([
        ("lock_timeout", "4000"),
        ("idle_in_transaction_session_timeout", "1000"),
        ("tcp_user_timeout", "2000"),
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ])
}

/// A pool whose connections come back clean. A cancelled `begin()` of sqlx 0.9.0 leaves its transaction open on the
/// connection (sqlx issue 4385), so each is rolled back when it is returned.
#[must_use]
pub fn pool(options: PgConnectOptions, connections_max: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_lifetime(Duration::from_secs(1800))
        .after_release(|conn, _| {
            Box::pin(async move {
                conn.execute("rollback").await?;
                Ok(true)
            })
        })
        .connect_lazy_with(options)
}
