//! What the process is told.

use clap::Parser;
use service_kit::config::{DatabaseConfig, HttpConfig, KeyConfig, LogConfig, TokenConfig};

/// Reads over HTTP.
#[derive(Debug, Clone, Parser)]
#[command(name = "query-api", version)]
pub struct Config {
    /// How it listens.
    #[command(flatten)]
    pub http: HttpConfig,
    /// Where the database is; the role is `quipu_query`.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// Where the keys are.
    #[command(flatten)]
    pub keys: KeyConfig,
    /// Whose tokens are believed.
    #[command(flatten)]
    pub tokens: TokenConfig,
    /// What is logged.
    #[command(flatten)]
    pub log: LogConfig,
}
