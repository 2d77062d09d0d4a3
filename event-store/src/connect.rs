//! How connections to the log are opened: every setting that a promise rests on is set here, on the connection itself.

use std::time::Duration;

use sabotage::Guard;
use sqlx::postgres::PgConnectOptions;

/// Longest statement of a request.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Settings of every connection, whatever it is for.
#[must_use]
pub fn common(options: PgConnectOptions, application: &str) -> PgConnectOptions {
    options.application_name(application).options([
        (
            "synchronous_commit",
            if sabotage::stands(Guard::SynchronousCommit) { "on" } else { "off" }.to_owned(),
        ),
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
