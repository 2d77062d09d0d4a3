//! Reads over HTTP. Every answer comes from one snapshot of one tenant and says how far in the log it is exact.
//!
//! **Invariant:** it writes nothing but entries of the audit trail, and it reads rows of read models only through [`read_models::TenantTx`].

pub mod answer;
mod app;
mod audit;
mod config;
mod difference;
mod events;
mod export;
mod journal;
mod keys;
mod live;
mod privacy;
mod reading;
mod rights;
mod routes;
mod service;
mod standing;
mod time_travel;
mod wait;

pub use app::App;
pub use config::{Config, LiveConfig};
pub use routes::document;
pub use service::{QueryApi, StartError};
