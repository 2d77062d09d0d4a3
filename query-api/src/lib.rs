//! Reads over HTTP. Every answer comes from one snapshot of one tenant and says how far in the log it is exact.
//!
//! **Invariant:** it writes nothing, and it reads rows of read models only through [`read_models::TenantTx`].

pub mod answer;
mod app;
mod config;
mod events;
mod export;
mod journal;
mod reading;
mod routes;
mod service;
mod wait;

pub use app::App;
pub use config::Config;
pub use routes::document;
pub use service::{QueryApi, StartError};
