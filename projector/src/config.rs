//! What the projector is told at start.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};
use projector::StreamOptions;
use secrecy::SecretString;
use service_kit::config::{
    DatabaseConfig, ErasureConfig, HttpConfig, KeyConfig, LogConfig, MailConfig, NatsConfig, TelemetryConfig,
};

/// Fewer connections than this make followers wait for each other.
pub(crate) const POOL_MIN: u32 = 16;

/// Quipu's projector: read models, publisher to NATS, reactors.
#[derive(Debug, Clone, Parser)]
#[command(name = "projector", version)]
pub(crate) struct Config {
    /// Address and limits of health and status.
    #[command(flatten)]
    pub(crate) http: HttpConfig,
    /// The database, as the role `quipu_projector`.
    #[command(flatten)]
    pub(crate) database: DatabaseConfig,
    /// postgres:// URL of the role `quipu_reactor`. Without it no reactor runs here.
    #[arg(long, env = "REACTOR_DATABASE_URL", value_parser = secret, hide_env_values = true)]
    reactor_database_url: Option<SecretString>,
    /// File that holds the URL, in its place.
    #[arg(long, env = "REACTOR_DATABASE_URL_FILE")]
    reactor_database_url_file: Option<PathBuf>,
    /// Where messages go. Without it nothing is published.
    #[command(flatten)]
    pub(crate) nats: NatsConfig,
    /// The stream on NATS.
    #[command(flatten)]
    pub(crate) stream: StreamConfig,
    /// Who was erased.
    #[command(flatten)]
    pub(crate) erasures: ErasureConfig,
    /// The keys; reactors need the master key.
    #[command(flatten)]
    pub(crate) keys: KeyConfig,
    /// Where letters go; the reactors send them.
    #[command(flatten)]
    pub(crate) mail: MailConfig,
    /// What is logged.
    #[command(flatten)]
    pub(crate) log: LogConfig,
    /// Where it can be watched from.
    #[command(flatten)]
    pub(crate) telemetry: TelemetryConfig,
}

/// The stream on NATS.
#[derive(Debug, Clone, Args)]
pub(crate) struct StreamConfig {
    /// Hours for which messages are kept.
    #[arg(long, env = "QUIPU_STREAM_MAX_AGE_HOURS", default_value_t = 168, value_parser = clap::value_parser!(u64).range(1..=87_600))]
    stream_max_age_hours: u64,
    /// Bytes of messages that are kept; the oldest go first.
    #[arg(long, env = "QUIPU_STREAM_MAX_BYTES", default_value_t = 2_147_483_648, value_parser = clap::value_parser!(i64).range(1_048_576..))]
    stream_max_bytes: i64,
    /// Servers of a NATS cluster that hold a copy.
    #[arg(long, env = "QUIPU_STREAM_REPLICAS", default_value_t = 1)]
    stream_replicas: usize,
}

impl Config {
    /// The database as the reactors see it, if they run here.
    pub(crate) fn reactor_database(&self) -> Option<DatabaseConfig> {
        let given = self.reactor_database_url.is_some() || self.reactor_database_url_file.is_some();
        given.then(|| DatabaseConfig {
            database_url: self.reactor_database_url.clone(),
            database_url_file: self.reactor_database_url_file.clone(),
            ..self.database.clone()
        })
    }

    /// Whether there is a NATS to publish to.
    pub(crate) fn has_nats(&self) -> bool {
        self.nats.nats_url.is_some() || self.nats.nats_url_file.is_some()
    }
}

impl StreamConfig {
    pub(crate) fn options(&self) -> StreamOptions {
        StreamOptions {
            max_age: Duration::from_secs(self.stream_max_age_hours.saturating_mul(3_600)),
            max_bytes: self.stream_max_bytes,
            replicas: self.stream_replicas,
        }
    }
}

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}
