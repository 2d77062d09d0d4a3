//! A whole stack on one machine: private PostgreSQL and NATS, and the services on them, all below one folder.
//!
//! Bird's eye: [`layout`] says where things lie, [`secrets`] holds the passwords, [`supervisor`] starts parts in order
//! and keeps them up, [`control`] stops and describes them, [`test_env`] lends the servers alone to a command. Nothing
//! here knows a tenant or an event.
//!
//! Invariant: no port is believed to be ours because a file says so. Every server is asked who it is.

pub mod connections;
pub mod context;
pub mod control;
mod database;
mod fetch;
pub mod layout;
mod nats;
mod ports;
mod postgres;
mod probe;
pub mod processes;
pub mod run_file;
pub mod secrets;
mod services;
pub mod supervisor;
pub mod test_env;
pub mod unprivileged;

use tokio::signal::unix::{SignalKind, signal};

pub use self::postgres::PostgresAge;
pub use self::processes::{ProcessMark, Stopped};
pub use self::services::AUDIENCE;

pub(crate) use self::database::prepare_own;
pub(crate) use self::probe::http_status;

/// Waits for Ctrl-C, a request to terminate, or the end of the terminal.
pub(crate) async fn stop_signal() {
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}
