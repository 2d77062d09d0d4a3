//! The edges that the three servers share: configuration, telemetry, tokens, access, problem details, the accept
//! loop, limits, health and shutdown. It holds no business rule and knows no route.
//!
//! A server is put together in this order: [`config::load`], [`telemetry::init`], [`database::connect_pool`] and
//! [`database::verify`], its routes, [`access::verified_by`], [`layers::harden`], [`serve::Server::run`].

pub mod access;
mod aliases;
pub mod audit;
pub mod bearer;
pub mod body;
pub mod config;
pub mod contact;
pub mod database;
pub mod email;
pub mod health;
pub mod layers;
pub mod metrics;
pub mod nats;
pub mod oauth_error;
pub mod openapi;
pub mod outgoing;
pub mod permissions;
pub mod problem;
pub mod random;
pub mod rate;
pub mod serve;
pub mod shutdown;
pub mod tally;
pub mod telemetry;
pub mod token;

/// Chooses the one TLS and crypto provider of the process. Call it first in `main`: with two providers compiled in by
/// some dependency, rustls otherwise panics at the first connection. A second call changes nothing.
pub fn install_crypto() {
    // The error means that a provider is installed already, and this crate's tree holds only this one.
    let _already_installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
