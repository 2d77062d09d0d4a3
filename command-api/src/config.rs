//! What command-api is told at start.

use clap::Parser;
use service_kit::config::{
    AuditConfig, DatabaseConfig, ErasureConfig, HashConfig, HttpConfig, KeyConfig, LogConfig, NatsConfig,
    PublicUrl, RateConfig, TelemetryConfig, TierConfig, TokenConfig,
};
use service_kit::email::EmailAddress;
use service_kit::outgoing::OutgoingConfig;

/// Quipu's command API: writes over HTTP.
#[derive(Debug, Clone, Parser)]
#[command(name = "command-api", version)]
pub struct Config {
    /// Address and limits.
    #[command(flatten)]
    pub http: HttpConfig,
    /// The log, as the role `quipu_command`.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// Who was erased.
    #[command(flatten)]
    pub erasures: ErasureConfig,
    /// Who is told of new events. Commands work without it.
    #[command(flatten)]
    pub nats: NatsConfig,
    /// The keys.
    #[command(flatten)]
    pub keys: KeyConfig,
    /// Whose tokens are taken.
    #[command(flatten)]
    pub tokens: TokenConfig,
    /// How often may be tried what guesses at secrets or sends letters.
    #[command(flatten)]
    pub rates: RateConfig,
    /// What organisations can book.
    #[command(flatten)]
    pub tiers: TierConfig,
    /// How passwords are hashed.
    #[command(flatten)]
    pub hashing: HashConfig,
    /// Where our own requests may go.
    #[command(flatten)]
    pub outgoing: OutgoingConfig,
    /// The address that people reach us under, such as https://id.example.org: providers send them back to it. Nothing that
    /// a request says is ever used for it.
    #[arg(long, env = "QUIPU_PUBLIC_URL")]
    pub public_url: Option<PublicUrl>,
    /// Who becomes the platform's first owner: the one who registers at the organisation `platform` with this mail address
    /// and follows the link of the letter, while the platform has no owner. Once; of no effect afterwards.
    #[arg(long, env = "PLATFORM_OWNER_EMAIL", value_parser = EmailAddress::parse)]
    pub platform_owner_email: Option<EmailAddress>,
    /// How refusals are recorded.
    #[command(flatten)]
    pub audit: AuditConfig,
    /// What is logged.
    #[command(flatten)]
    pub log: LogConfig,
    /// Where it can be watched from.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
    /// Submissions that may wait for the executor; one more is answered 503.
    #[arg(long, env = "QUIPU_QUEUE_MAX", default_value_t = 4096)]
    pub queue_max: usize,
}
