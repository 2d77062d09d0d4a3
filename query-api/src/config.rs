//! What the process is told.

use std::time::Duration;

use clap::{Args, Parser};
use service_kit::config::{
    self, AuditConfig, DatabaseConfig, ErasureConfig, HttpConfig, KeyConfig, LogConfig, PublicUrl,
    TelemetryConfig, TokenConfig,
};

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
    /// Who was erased.
    #[command(flatten)]
    pub erasures: ErasureConfig,
    /// Where the keys are.
    #[command(flatten)]
    pub keys: KeyConfig,
    /// Whose tokens are believed.
    #[command(flatten)]
    pub tokens: TokenConfig,
    /// The address that people reach the command API under, as that is told: tokens are issued there.
    #[arg(long, env = "QUIPU_PUBLIC_URL")]
    pub public_url: Option<PublicUrl>,
    /// What live streams may take.
    #[command(flatten)]
    pub live: LiveConfig,
    /// How sensitive reads are recorded.
    #[command(flatten)]
    pub audit: AuditConfig,
    /// What is logged.
    #[command(flatten)]
    pub log: LogConfig,
    /// Where it can be watched from.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
}

/// What live streams may take.
#[derive(Debug, Clone, Args)]
pub struct LiveConfig {
    /// Live streams open at once; more are answered 503.
    #[arg(long, env = "QUIPU_STREAMS_MAX", default_value_t = 1_000)]
    pub streams_max: usize,
    /// Live streams of one actor of one tenant; more are answered 429.
    #[arg(long, env = "QUIPU_STREAMS_PER_ACTOR", default_value_t = 20)]
    pub streams_per_actor: usize,
    /// How long a live stream may be silent.
    #[arg(long, env = "QUIPU_STREAM_KEEP_ALIVE", default_value = "15s", value_parser = config::duration)]
    pub stream_keep_alive: Duration,
    /// How long a reader of a live stream may take nothing of it before it is dropped.
    #[arg(long, env = "QUIPU_STREAM_STALL_MAX", default_value = "20s", value_parser = config::duration)]
    pub stream_stall_max: Duration,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            streams_max: 1_000,
            streams_per_actor: 20,
            stream_keep_alive: Duration::from_secs(15),
            stream_stall_max: Duration::from_secs(20),
        }
    }
}
