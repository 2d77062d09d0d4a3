//! Writes over HTTP: a request becomes a decision, the executor judges it, the answer says what became of it.
//!
//! **Invariant:** nothing here reads a read model, and nothing here changes state but through the executor.

pub mod answer;
pub mod app;
pub mod config;
mod cookie;
pub mod federation;
mod grpc;
pub mod identity;
pub mod keys;
pub mod oauth;
pub mod pages;
pub mod passwords;
mod recorded_permissions;
mod refusals;
pub mod routes;
pub mod schema;
mod signing;
mod standing;
pub mod wake;

pub use app::{App, CommandApi};
pub use config::Config;
