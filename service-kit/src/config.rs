//! The only reader of the environment. Binaries flatten these structs into their clap parser and call [`load`].
//!
//! Every knob is a flag and a variable; a flag wins over the environment, the environment over a `.env` file in the
//! working directory, that over the default. Secrets also have a `*_FILE` twin and never appear in `Debug` or logs.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Command, Parser};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::audit::Limits;

mod erasure;
mod identity;
mod mail;
mod rates;
mod tiers;
mod tokens;

pub use erasure::ErasureConfig;
pub use identity::{HASH_MEMORY_KIB_MAX, HASH_MEMORY_KIB_MIN, HASH_PASSES_MIN, HashConfig};
pub use mail::{MailConfig, Protection, PublicUrl, SmtpServer};
pub use rates::RateConfig;
pub use tiers::{TierConfig, Tiers};
pub use tokens::{SHARED_SECRET_BYTES_MIN, TokenConfig, TokenMode};

/// Bytes of a body unless the route says otherwise.
pub const BODY_BYTES_DEFAULT: usize = 64 * 1024;
/// Bytes of a body on routes that take batches: `DefaultBodyLimit::max(BATCH_BODY_BYTES_MAX)` on the route.
pub const BATCH_BODY_BYTES_MAX: usize = 1024 * 1024;

/// What is wrong with the configuration, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{variable}: {problem}; {mend}")]
pub struct ConfigError {
    /// The variable to look at.
    pub variable: &'static str,
    /// What is wrong with it. Never its value when that is a secret.
    pub problem: String,
    /// What to do.
    pub mend: String,
}

impl ConfigError {
    pub(crate) fn new(variable: &'static str, problem: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { variable, problem: problem.into(), mend: mend.into() }
    }
}

/// How a server listens and what it bears.
#[derive(Debug, Clone, Args)]
pub struct HttpConfig {
    /// Address to listen on.
    #[arg(long, env = "QUIPU_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Connections open at once; more are closed at once.
    #[arg(long, env = "QUIPU_MAX_CONNECTIONS", default_value_t = 4096)]
    pub max_connections: usize,
    /// Requests worked on at once; more are answered 503 at once.
    #[arg(long, env = "QUIPU_MAX_IN_FLIGHT", default_value_t = 2048)]
    pub max_in_flight: usize,
    /// How long a new connection may stay silent.
    #[arg(long, env = "QUIPU_FIRST_BYTE_TIMEOUT", default_value = "5s", value_parser = duration)]
    pub first_byte_timeout: Duration,
    /// How long the head of a request may take, from its first byte.
    #[arg(long, env = "QUIPU_HEADER_TIMEOUT", default_value = "5s", value_parser = duration)]
    pub header_timeout: Duration,
    /// How long an HTTP/1 connection may idle between requests.
    #[arg(long, env = "QUIPU_KEEP_ALIVE_IDLE", default_value = "60s", value_parser = duration)]
    pub keep_alive_idle: Duration,
    /// How long the body of a request may take.
    #[arg(long, env = "QUIPU_BODY_TIMEOUT", default_value = "5s", value_parser = duration)]
    pub body_timeout: Duration,
    /// How long a request may take until its answer begins.
    #[arg(long, env = "QUIPU_REQUEST_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub request_timeout: Duration,
    /// How long a client may take nothing of an answer that waits for it.
    #[arg(long, env = "QUIPU_WRITE_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub write_timeout: Duration,
    /// Age at which a connection is asked to end after its current request.
    #[arg(long, env = "QUIPU_CONNECTION_AGE_MAX", default_value = "10m", value_parser = duration)]
    pub connection_age_max: Duration,
    /// How long requests may finish after a stop was asked for.
    #[arg(long, env = "QUIPU_DRAIN_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub drain_timeout: Duration,
    /// Bytes of a body, unless a route sets its own limit.
    #[arg(long, env = "QUIPU_BODY_LIMIT_BYTES", default_value_t = BODY_BYTES_DEFAULT)]
    pub body_limit_bytes: usize,
    /// Networks (CIDR) of proxies whose X-Forwarded-For is believed. None by default.
    #[arg(long, env = "QUIPU_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<IpNet>,
    /// Origins that browsers may call from. None by default.
    #[arg(long, env = "QUIPU_CORS_ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub cors_origins: Vec<axum::http::HeaderValue>,
    /// Requests a second of one client address, loopback excepted; 0 is off.
    #[arg(long, env = "QUIPU_RATE_PER_ADDRESS", default_value_t = 2_000)]
    pub rate_per_address: u32,
    /// Requests a second of one actor of one tenant; 0 is off.
    #[arg(long, env = "QUIPU_RATE_PER_PRINCIPAL", default_value_t = 10_000)]
    pub rate_per_principal: u32,
    /// Requests a second of one API key; 0 is off.
    #[arg(long, env = "QUIPU_RATE_PER_API_KEY", default_value_t = 100)]
    pub rate_per_api_key: u32,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            max_connections: 4096,
            max_in_flight: 2048,
            first_byte_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(5),
            keep_alive_idle: Duration::from_secs(60),
            body_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            connection_age_max: Duration::from_secs(600),
            drain_timeout: Duration::from_secs(10),
            body_limit_bytes: BODY_BYTES_DEFAULT,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            rate_per_address: 2_000,
            rate_per_principal: 10_000,
            rate_per_api_key: 100,
        }
    }
}

/// Where PostgreSQL is and how many connections are taken.
#[derive(Debug, Clone, Args)]
pub struct DatabaseConfig {
    /// postgres:// URL of the role that this process works as.
    #[arg(long, env = "DATABASE_URL", value_parser = secret, hide_env_values = true)]
    pub database_url: Option<SecretString>,
    /// File that holds the URL, in its place.
    #[arg(long, env = "DATABASE_URL_FILE")]
    pub database_url_file: Option<PathBuf>,
    /// Connections at most.
    #[arg(long, env = "QUIPU_POOL_MAX", default_value_t = 10)]
    pub pool_max: u32,
    /// Connections kept open when idle.
    #[arg(long, env = "QUIPU_POOL_MIN", default_value_t = 1)]
    pub pool_min: u32,
    /// How long to wait for a free connection.
    #[arg(long, env = "QUIPU_POOL_ACQUIRE_TIMEOUT", default_value = "2s", value_parser = duration)]
    pub acquire_timeout: Duration,
    /// statement_timeout of every connection.
    #[arg(long, env = "QUIPU_STATEMENT_TIMEOUT", default_value = "5s", value_parser = duration)]
    pub statement_timeout: Duration,
}

impl DatabaseConfig {
    /// Settings with the defaults and this URL, for tests and for processes that start their own database.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self {
            database_url: Some(SecretString::from(url)),
            database_url_file: None,
            pool_max: 10,
            pool_min: 1,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
        }
    }

    /// The URL, from the variable or its file.
    pub fn url(&self) -> Result<SecretString, ConfigError> {
        let mend = "set it to postgres://user:password@host:5432/database, or DATABASE_URL_FILE to a file holding that";
        either("DATABASE_URL", self.database_url.as_ref(), self.database_url_file.as_deref(), mend)
    }
}

/// Where NATS is.
#[derive(Debug, Clone, Args)]
pub struct NatsConfig {
    /// nats:// or tls:// URL; user:password in it is used.
    #[arg(long, env = "NATS_URL", value_parser = secret, hide_env_values = true)]
    pub nats_url: Option<SecretString>,
    /// File that holds the URL, in its place.
    #[arg(long, env = "NATS_URL_FILE")]
    pub nats_url_file: Option<PathBuf>,
}

impl NatsConfig {
    /// Settings with this URL, for tests and for processes that start their own NATS.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self { nats_url: Some(SecretString::from(url)), nats_url_file: None }
    }

    /// The URL, from the variable or its file.
    pub fn url(&self) -> Result<SecretString, ConfigError> {
        let mend = "set it to nats://user:password@host:4222, or NATS_URL_FILE to a file holding that";
        either("NATS_URL", self.nats_url.as_ref(), self.nats_url_file.as_deref(), mend)
    }
}

/// Where the keys are; [`crate::token::generate_keys`] makes them.
#[derive(Debug, Clone, Args)]
pub struct KeyConfig {
    /// Directory of signing.pem (private), jwks.json (public) and master.key (private).
    #[arg(long, env = "QUIPU_KEY_DIR", default_value = ".local/keys")]
    pub key_dir: PathBuf,
}

impl KeyConfig {
    /// Settings for this directory.
    #[must_use]
    pub fn at(key_dir: impl Into<PathBuf>) -> Self {
        Self { key_dir: key_dir.into() }
    }

    /// Ed25519 private key, PKCS#8 PEM. Only command-api and `quipu` have it.
    #[must_use]
    pub fn signing_pem(&self) -> PathBuf {
        self.key_dir.join("signing.pem")
    }

    /// Public keys, by key id.
    #[must_use]
    pub fn jwks_json(&self) -> PathBuf {
        self.key_dir.join("jwks.json")
    }

    /// Base64 of 32 random bytes, or a ring of such keys.
    #[must_use]
    pub fn master_key_file(&self) -> PathBuf {
        self.key_dir.join("master.key")
    }

    /// Reads the master key, 32 bytes that seal private fields and fingerprint requests, or the text of a ring, which is
    /// read by whoever seals; refuses a file that others may read.
    pub fn master_key(&self) -> Result<SecretSlice<u8>, ConfigError> {
        let text = SecretString::from(read_private(&self.master_key_file())?);
        let text = text.expose_secret().trim();
        if text.starts_with("seal ") {
            return Ok(SecretSlice::from(text.as_bytes().to_vec()));
        }
        let bad = || {
            ConfigError::new(
                "QUIPU_KEY_DIR",
                "master.key is not 32 bytes of base64",
                "restore the file from its copy; a new key cannot open what the old one sealed",
            )
        };
        let bytes = STANDARD.decode(text).map_err(|_| bad())?;
        if bytes.len() == 32 { Ok(SecretSlice::from(bytes)) } else { Err(bad()) }
    }

    /// Puts another text in the place of `master.key`, at once and for good: whoever reads it meanwhile sees the one or the
    /// other.
    ///
    /// # Errors
    /// If the directory cannot be written.
    pub fn replace_master_key(&self, text: &SecretString) -> std::io::Result<()> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let beside = self.key_dir.join("master.key.new");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.expose_secret().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, self.master_key_file())?;
        std::fs::File::open(&self.key_dir)?.sync_all()
    }
}

/// What is logged and how.
#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    /// Filter in the form of tracing's EnvFilter, such as `info,request=debug` (that one logs every request).
    #[arg(long = "log", env = "QUIPU_LOG", default_value = "info")]
    pub filter: String,
    /// Form of the lines on stderr; `auto` is pretty on a terminal and JSON elsewhere.
    #[arg(long = "log-format", env = "QUIPU_LOG_FORMAT", default_value = "auto")]
    pub format: LogFormat,
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Pretty on a terminal, else JSON.
    Auto,
    /// One JSON object a line.
    Json,
    /// For a person.
    Pretty,
}

/// How the audit trail is kept.
#[derive(Debug, Clone, Args)]
pub struct AuditConfig {
    /// How long identical refusals, and identical sensitive reads, are counted as one entry of the audit trail.
    #[arg(long, env = "QUIPU_AUDIT_WINDOW", default_value = "60s", value_parser = duration)]
    pub audit_window: Duration,
}

impl AuditConfig {
    /// The bounds of the trail of this process.
    #[must_use]
    pub fn limits(&self) -> Limits {
        // The parser takes a day at most.
        Limits::new(chrono::TimeDelta::from_std(self.audit_window).unwrap_or(chrono::TimeDelta::minutes(1)))
    }
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { audit_window: Duration::from_secs(60) }
    }
}

/// Where the process can be watched from. Nowhere by default.
#[derive(Debug, Clone, Default, Args)]
pub struct TelemetryConfig {
    /// Address on which `GET /metrics` answers, for nobody but the monitoring: it asks for no token. Off unless set.
    #[arg(long, env = "QUIPU_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// Collector of traces, such as http://127.0.0.1:4318 (OTLP, protobuf over HTTP). Off unless set.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
}

/// Reads flags, environment and `.env`; on an error prints it with its remedy and ends the process.
#[must_use]
pub fn load<C: Parser>() -> C {
    match try_load(std::env::args_os(), Path::new(".env")) {
        Ok(config) => config,
        Err(error) => error.exit(),
    }
}

/// As [`load`], with these arguments and this `.env` file, which need not exist.
pub fn try_load<C: Parser>(
    args: impl IntoIterator<Item = OsString>,
    env_file: &Path,
) -> Result<C, clap::Error> {
    let file =
        env_entries(env_file).map_err(|error| C::command().error(clap::error::ErrorKind::Io, error))?;
    let mut command = with_fallbacks(C::command(), &file);
    let matches = command.try_get_matches_from_mut(args)?;
    C::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

fn env_entries(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let broken = |error: dotenvy::Error| {
        // A parse error quotes the line, which may hold a secret: only its kind is told.
        let kind = match error {
            dotenvy::Error::LineParse(_, at) => format!("a line cannot be read (at its character {at})"),
            _ => "it cannot be read".to_owned(),
        };
        ConfigError::new(".env", kind, "write one NAME=value a line, quoting values with spaces")
    };
    dotenvy::from_path_iter(path).map_err(broken)?.collect::<Result<_, _>>().map_err(broken)
}

/// Makes entries of `.env` the defaults of the variables they name. Setting them in the process' environment would be
/// unsafe once threads run, and would leak secrets to child processes.
fn with_fallbacks(command: Command, file: &[(String, String)]) -> Command {
    let fallback = |arg: clap::Arg| {
        let Some(name) = arg.get_env().and_then(|it| it.to_str()) else { return arg };
        match file.iter().rev().find(|(key, _)| key == name) {
            Some((_, value)) => {
                let values: Vec<String> = match arg.get_value_delimiter() {
                    Some(delimiter) => value.split(delimiter).map(|it| it.trim().to_owned()).collect(),
                    None => vec![value.clone()],
                };
                arg.required(false).hide_default_value(true).default_values(values)
            }
            None => arg,
        }
    };
    command.mut_args(fallback).mut_subcommands(|it| with_fallbacks(it, file))
}

/// Reads a file of the directory of keys; refuses one that is open to its group or to everybody.
pub(crate) fn read_private(path: &Path) -> Result<String, ConfigError> {
    read_secret("QUIPU_KEY_DIR", path, "make keys with `quipu secrets` or name the directory that holds them")
}

/// Reads a file of secrets; refuses one that is open to its group or to everybody.
fn read_secret(variable: &'static str, path: &Path, mend: &str) -> Result<String, ConfigError> {
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    let missing =
        |error: std::io::Error| ConfigError::new(variable, format!("cannot read {shown}: {error}"), mend);
    let mode = std::fs::metadata(path).map_err(missing)?.permissions().mode();
    if mode & 0o077 != 0 {
        let problem = format!("{shown} may be read by others (mode {:o})", mode & 0o777);
        return Err(ConfigError::new(variable, problem, format!("run `chmod 600 {shown}`")));
    }
    std::fs::read_to_string(path).map_err(missing)
}

fn either(
    variable: &'static str,
    direct: Option<&SecretString>,
    file: Option<&Path>,
    mend: &str,
) -> Result<SecretString, ConfigError> {
    match (direct, file) {
        (Some(_), Some(_)) => {
            Err(ConfigError::new(variable, "both it and its _FILE twin are set", "unset one of them"))
        }
        (Some(value), None) if !value.expose_secret().trim().is_empty() => Ok(value.clone()),
        (None, Some(path)) => {
            std::fs::read_to_string(path).map(|text| SecretString::from(text.trim())).map_err(|error| {
                ConfigError::new(variable, format!("cannot read {}: {error}", path.display()), mend)
            })
        }
        _ => Err(ConfigError::new(variable, "it is not set", mend)),
    }
}

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

fn origin(text: &str) -> Result<axum::http::HeaderValue, String> {
    let bad =
        || "write an origin such as https://console.example.org, with no path; `*` is not taken".to_owned();
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or_else(bad)?;
    if rest.is_empty() || rest.contains(['/', '*', ' ', '@']) {
        return Err(bad());
    }
    text.parse().map_err(|_| bad())
}

/// Parses `500ms`, `5s`, `10m` or `1h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let bad = || "write a whole number and a unit: 500ms, 5s, 10m or 1h".to_owned();
    let number: u64 = number.parse().map_err(|_| bad())?;
    let milliseconds_each = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(bad()),
    };
    let all = number.checked_mul(milliseconds_each).filter(|it| (1..=86_400_000).contains(it));
    all.map(Duration::from_millis).ok_or_else(|| "take more than 0 and at most 24h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct All {
        #[command(flatten)]
        http: HttpConfig,
        #[command(flatten)]
        database: DatabaseConfig,
        #[command(flatten)]
        nats: NatsConfig,
    }

    fn parse(args: &[&str], env: &str) -> Result<All, clap::Error> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".env");
        std::fs::write(&file, env).unwrap();
        let args = std::iter::once("it").chain(args.iter().copied()).map(OsString::from);
        try_load(args, &file)
    }

    #[test]
    fn defaults_of_clap_and_of_default_are_the_same() {
        let parsed = format!("{:?}", parse(&[], "").unwrap().http);
        assert_eq!(parsed, format!("{:?}", HttpConfig::default()));
    }

    #[test]
    fn env_file_is_a_fallback_and_flags_win() {
        let env = "QUIPU_LISTEN=0.0.0.0:9000\nQUIPU_TRUSTED_PROXIES=10.0.0.0/8,192.168.0.0/16\nOTHER=1\n";
        let config = parse(&[], env).unwrap().http;
        assert_eq!(config.listen.port(), 9000);
        assert_eq!(config.trusted_proxies.len(), 2);
        assert_eq!(parse(&["--listen", "0.0.0.0:9001"], env).unwrap().http.listen.port(), 9001);
    }

    #[test]
    fn secrets_stay_out_of_debug_and_of_errors() {
        let all = parse(&[], "DATABASE_URL=postgres://u:hunter2@h/d\nNATS_URL=nats://u:hunter2@h").unwrap();
        assert!(!format!("{all:?}").contains("hunter2"));
        assert!(all.database.url().unwrap().expose_secret().contains("hunter2"));
        let broken = parse(&[], "DATABASE_URL=post gres://u:hunter2@h/d\n").unwrap_err().to_string();
        assert!(!broken.contains("hunter2"), "{broken}");
    }

    #[test]
    fn errors_name_the_variable_and_the_remedy() {
        let missing = parse(&[], "").unwrap().database.url().unwrap_err().to_string();
        assert!(missing.contains("DATABASE_URL") && missing.contains("DATABASE_URL_FILE"), "{missing}");
        let bad = parse(&[], "QUIPU_REQUEST_TIMEOUT=soon").unwrap_err().to_string();
        assert!(bad.contains("request-timeout") && bad.contains("500ms"), "{bad}");
        assert!(parse(&["--cors-origins", "*"], "").is_err());
    }

    #[test]
    fn file_twins_are_read_and_both_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("url");
        std::fs::write(&path, "postgres://from-file/d\n").unwrap();
        let mut config = DatabaseConfig::at("postgres://direct/d");
        config.database_url_file = Some(path);
        assert!(config.url().is_err());
        config.database_url = None;
        assert_eq!(config.url().unwrap().expose_secret(), "postgres://from-file/d");
    }

    #[test]
    fn durations() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("10m").unwrap(), Duration::from_secs(600));
        for bad in ["", "5", "s", "0s", "-1s", "1.5s", "99999999999999999999h", "25h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
