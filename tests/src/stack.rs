//! The whole system in one process: every server on a port of its own, on one fresh database.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use command_api::CommandApi;
use domain::ids::{ActorId, TenantId, TokenId};
use event_store::erasure_journal::Journal;
use event_store::{Executor, ExecutorOptions, MasterKey};
use projector::{Projector, ProjectorOptions, ReactorOptions, Timing};
use query_api::{LiveConfig, QueryApi, StartError};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use service_kit::config::{
    AuditConfig, DatabaseConfig, ErasureConfig, HashConfig, HttpConfig, KeyConfig, LogConfig, LogFormat,
    NatsConfig, RateConfig, TelemetryConfig, TierConfig, TokenConfig,
};
use service_kit::email::EmailAddress;
use service_kit::metrics::Metrics;
use service_kit::outgoing::OutgoingConfig;
use service_kit::token::{Claims, Role, Signer, generate_keys};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::database::Database;

/// Where NATS of the harness is.
///
/// # Errors
/// If the harness has not said it.
pub fn nats_url() -> anyhow::Result<String> {
    std::env::var("QUIPU_TEST_NATS_URL").context("run the tests with ./dev test")
}

/// Command API alone, or with projector and query API.
pub struct Stack {
    /// What it all stands on.
    pub database: Database,
    /// Where commands go.
    pub command_url: String,
    /// What the command API shows to its monitoring.
    pub command_metrics: Metrics,
    /// Where reads go; nowhere, until [`Stack::with_readers`].
    pub query_url: String,
    /// Signs tokens of any kind.
    pub signer: Signer,
    /// Where the keys are.
    pub keys: TempDir,
    /// Who signs tokens, for whom and how.
    pub tokens: TokenConfig,
    http: reqwest::Client,
    projector: Option<Projector>,
    shutdown: CancellationToken,
    _stops: DropGuard,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: reqwest::header::HeaderMap,
    /// Its body, if it is JSON.
    pub json: Value,
    /// Its body as text.
    pub text: String,
}

impl Answer {
    /// The code of a problem, or nothing.
    #[must_use]
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// A header as text, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default()
    }
}

/// The name of the journal of erasures, which is empty at first.
const JOURNAL: &str = "erasures.jsonl";
/// What organisations of a stack can book: one with room for everything, and one that is soon used up.
const TIERS: &str = "standard services=100 api-keys=1000 service-rpm=1000000 api-key-rpm=1000000; \
                     tiny services=2 api-keys=2 service-rpm=3 api-key-rpm=2";

/// The address that people are told to reach the stack under. Nobody is there: tests call its ports.
pub const PUBLIC_URL: &str = "https://quipu.example";

/// Where the first event of an organisation stands. Before it, the first command API of a new log says what built-in roles
/// grant.
pub const FIRST_POSITION: &str = "1-2";

/// Times for tests: what takes a second in earnest takes a moment here.
#[must_use]
pub const fn quick() -> Timing {
    Timing {
        lease: Duration::from_millis(800),
        poll: Duration::from_millis(20),
        tick: Duration::from_millis(50),
        retry_min: Duration::from_millis(100),
        recheck: Duration::from_millis(100),
    }
}

/// Limits of no test's concern.
#[must_use]
pub fn http_config() -> HttpConfig {
    HttpConfig { rate_per_address: 0, rate_per_principal: 0, rate_per_api_key: 0, ..HttpConfig::default() }
}

impl Stack {
    /// Starts a command API on a fresh database.
    ///
    /// # Errors
    /// If it cannot start.
    pub async fn commands_only() -> anyhow::Result<Self> {
        Self::commands_on(Database::fresh().await?).await
    }

    /// Starts a command API on a database.
    ///
    /// # Errors
    /// If it cannot start.
    pub async fn commands_on(database: Database) -> anyhow::Result<Self> {
        Self::commands_with(database, TokenConfig::default()).await
    }

    /// Starts a command API whose tokens are signed in a way of their own.
    ///
    /// # Errors
    /// If it cannot start.
    pub async fn commands_with(database: Database, tokens: TokenConfig) -> anyhow::Result<Self> {
        let keys = tempfile::tempdir()?;
        generate_keys(&KeyConfig::at(keys.path()))?;
        Journal::create(&keys.path().join(JOURNAL))?;
        let tokens = tokens.issued_at(Some(&PUBLIC_URL.parse()?));
        let signer = Signer::load(&KeyConfig::at(keys.path()), &tokens)?;
        let shutdown = CancellationToken::new();
        let mut stack = Self {
            database,
            command_url: String::new(),
            command_metrics: Metrics::of("command-api"),
            query_url: String::new(),
            signer,
            keys,
            tokens,
            http: reqwest::Client::new(),
            projector: None,
            _stops: shutdown.clone().drop_guard(),
            shutdown,
        };
        (stack.command_url, stack.command_metrics) = stack.command_api_with(http_config()).await?;
        Ok(stack)
    }

    /// Starts a command API, a projector and a query API on a fresh database.
    ///
    /// # Errors
    /// If one of them cannot start.
    pub async fn whole() -> anyhow::Result<Self> {
        Self::commands_only().await?.with_readers().await
    }

    /// Starts the projector, without NATS, and the query API.
    ///
    /// # Errors
    /// If one of them cannot start.
    pub async fn with_readers(mut self) -> anyhow::Result<Self> {
        let options = ProjectorOptions::new(self.database.options("quipu_projector")?, self.shutdown.clone());
        let options = ProjectorOptions { nats: None, timing: quick(), connections_max: 8, ..options };
        self.projector = Some(Projector::start(options));
        self.query_url = self.another_query_api().await?;
        Ok(self)
    }

    /// Starts one more query API on the same database, as another process would be.
    ///
    /// # Errors
    /// If it cannot start.
    pub async fn another_query_api(&self) -> anyhow::Result<String> {
        Ok(self.query_api_until(LiveConfig::default(), self.shutdown.clone()).await?.0)
    }

    /// Starts one more query API that can be stopped by itself; it is joined to know that it has ended.
    ///
    /// # Errors
    /// If it cannot start.
    pub async fn query_api_until(
        &self,
        live: LiveConfig,
        shutdown: CancellationToken,
    ) -> anyhow::Result<(String, JoinHandle<Result<(), StartError>>)> {
        let (listener, address) = listener().await?;
        let api = QueryApi::connect(self.query_config(live)?, shutdown).await?;
        Ok((format!("http://{address}"), tokio::spawn(api.serve(listener))))
    }

    /// What a query API of this stack is told.
    ///
    /// # Errors
    /// If the harness has not said where the server is.
    pub fn query_config(&self, live: LiveConfig) -> anyhow::Result<query_api::Config> {
        Ok(query_api::Config {
            http: http_config(),
            database: DatabaseConfig::at(&self.database.url("quipu_query")?),
            erasures: ErasureConfig { erasure_journal: Some(self.erasure_journal()) },
            keys: KeyConfig::at(self.keys.path()),
            tokens: self.tokens.clone(),
            public_url: Some(PUBLIC_URL.parse()?),
            live,
            audit: AuditConfig::default(),
            log: LogConfig { filter: "warn".to_owned(), format: LogFormat::Json },
            telemetry: TelemetryConfig::default(),
        })
    }

    /// Starts one more command API on the same database, as another process would be.
    ///
    /// # Errors
    /// If it cannot start.
    pub async fn another_command_api(&self) -> anyhow::Result<String> {
        Ok(self.command_api_with(http_config()).await?.0)
    }

    /// Starts one more command API with limits of its own; with what it shows to its monitoring.
    ///
    /// # Errors
    /// If it cannot start.
    pub async fn command_api_with(&self, http: HttpConfig) -> anyhow::Result<(String, Metrics)> {
        let config = command_api::Config { http, ..self.command_config()? };
        let (listener, address) = listener().await?;
        let api = CommandApi::connect(config, self.shutdown.clone()).await?;
        let metrics = api.metrics();
        tokio::spawn(api.serve(listener));
        Ok((format!("http://{address}"), metrics))
    }

    /// Starts one more command API that limits how often may be tried, behind a proxy on this machine.
    ///
    /// # Errors
    /// If it cannot start.
    pub async fn command_api_limited(&self, rates: RateConfig) -> anyhow::Result<String> {
        let (listener, address) = listener().await?;
        let http = HttpConfig { trusted_proxies: vec!["127.0.0.0/8".parse()?], ..http_config() };
        let config = command_api::Config { rates, http, ..self.command_config()? };
        let api = CommandApi::connect(config, self.shutdown.clone()).await?;
        tokio::spawn(api.serve(listener));
        Ok(format!("http://{address}"))
    }

    /// Starts one more command API that awaits the platform's first owner.
    ///
    /// # Errors
    /// If it cannot start.
    pub async fn command_api_awaiting(&self, owner: &str) -> anyhow::Result<String> {
        let (listener, address) = listener().await?;
        let platform_owner_email = Some(EmailAddress::parse(owner)?);
        let config = command_api::Config { platform_owner_email, ..self.command_config()? };
        let api = CommandApi::connect(config, self.shutdown.clone()).await?;
        tokio::spawn(api.serve(listener));
        Ok(format!("http://{address}"))
    }

    /// Starts one more command API whose public address is its own, so that a browser can look at its pages.
    ///
    /// # Errors
    /// If it cannot start.
    pub async fn command_api_for_browsers(&self) -> anyhow::Result<String> {
        let (listener, address) = listener().await?;
        // By a name, since passkeys are bound to one.
        let url = format!("http://localhost:{}", address.port());
        let config = command_api::Config { public_url: Some(url.parse()?), ..self.command_config()? };
        tokio::spawn(CommandApi::connect(config, self.shutdown.clone()).await?.serve(listener));
        Ok(url)
    }

    /// Starts one more command API behind a proxy that takes `path` away from what it is asked.
    ///
    /// # Errors
    /// If it cannot start.
    pub async fn command_api_under(&self, path: &str) -> anyhow::Result<String> {
        self.command_api_at(&format!("{PUBLIC_URL}{path}")).await
    }

    /// Starts one more command API that people reach under another address, as it is told.
    ///
    /// # Errors
    /// If it cannot start.
    pub async fn command_api_at(&self, public_url: &str) -> anyhow::Result<String> {
        let (listener, address) = listener().await?;
        let public_url = Some(public_url.parse()?);
        let config = command_api::Config { public_url, ..self.command_config()? };
        tokio::spawn(CommandApi::connect(config, self.shutdown.clone()).await?.serve(listener));
        Ok(format!("http://{address}"))
    }

    /// Starts one more command API that can be stopped by itself; it is joined to know that it has ended.
    ///
    /// # Errors
    /// If it cannot start.
    pub async fn command_api_until(
        &self,
        shutdown: CancellationToken,
    ) -> anyhow::Result<(String, JoinHandle<anyhow::Result<()>>)> {
        let (listener, address) = listener().await?;
        let api = CommandApi::connect(self.command_config()?, shutdown).await?;
        Ok((format!("http://{address}"), tokio::spawn(api.serve(listener))))
    }

    fn command_config(&self) -> anyhow::Result<command_api::Config> {
        Ok(command_api::Config {
            http: http_config(),
            database: DatabaseConfig::at(&self.database.url("quipu_command")?),
            erasures: ErasureConfig { erasure_journal: Some(self.erasure_journal()) },
            nats: NatsConfig::at(&nats_url()?),
            keys: KeyConfig::at(self.keys.path()),
            tokens: self.tokens.clone(),
            rates: RateConfig::OFF,
            tiers: TierConfig { tiers: TIERS.parse()? },
            hashing: HashConfig::default(),
            // The providers of tests are on this machine.
            outgoing: OutgoingConfig { outgoing_allow: vec!["127.0.0.0/8".parse()?] },
            public_url: Some(PUBLIC_URL.parse()?),
            platform_owner_email: None,
            audit: AuditConfig::default(),
            log: LogConfig { filter: "warn".to_owned(), format: LogFormat::Json },
            telemetry: TelemetryConfig::default(),
            queue_max: 4096,
        })
    }

    /// Where it is written down who was erased: beside the keys.
    #[must_use]
    pub fn erasure_journal(&self) -> PathBuf {
        self.keys.path().join(JOURNAL)
    }

    /// Starts a projector with reactors that have the keys of the stack; without NATS.
    ///
    /// # Errors
    /// If the keys cannot be read.
    pub fn with_reactors(&self) -> anyhow::Result<(Projector, DropGuard)> {
        let master = Arc::new(MasterKey::new(&KeyConfig::at(self.keys.path()).master_key()?)?);
        let reactor = ReactorOptions::new(self.database.options("quipu_reactor")?, master);
        let shutdown = self.shutdown.child_token();
        let options = ProjectorOptions::new(self.database.options("quipu_projector")?, shutdown.clone());
        let options = ProjectorOptions { nats: None, reactor: Some(reactor), timing: quick(), ..options };
        Ok((Projector::start(options), shutdown.drop_guard()))
    }

    /// An executor with the keys of the stack, as another process would have one.
    ///
    /// # Errors
    /// If the keys cannot be read.
    pub fn executor(&self) -> anyhow::Result<Executor> {
        let master = MasterKey::new(&KeyConfig::at(self.keys.path()).master_key()?)?;
        let options = ExecutorOptions::new(self.database.options("quipu_command")?, Arc::new(master));
        Ok(Executor::start(options).0)
    }

    /// Claims of a good token for somebody in a tenant.
    #[must_use]
    pub fn claims(&self, tenant: TenantId, role: Role) -> Claims {
        let now = Utc::now().timestamp();
        let (subject, token) = (ActorId::new(Uuid::from_u128(0xac70)), TokenId::new(Uuid::now_v7()));
        Claims::new(&self.tokens, tenant, subject, token, now, now + 3600).with_role(role)
    }

    /// A good token for an owner.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn owner(&self, tenant: TenantId) -> anyhow::Result<String> {
        Ok(self.signer.mint(&self.claims(tenant, Role::Owner))?)
    }

    /// A good token for somebody who may read.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn member(&self, tenant: TenantId) -> anyhow::Result<String> {
        Ok(self.signer.mint(&self.claims(tenant, Role::Member))?)
    }

    /// Begins a request to an address; without a token, if it is empty.
    pub fn request(&self, method: Method, token: &str, url: &str) -> RequestBuilder {
        let request = self.http.request(method, url);
        if token.is_empty() { request } else { request.bearer_auth(token) }
    }

    /// Begins a request to the command API.
    pub fn command(&self, token: &str, path: &str) -> RequestBuilder {
        self.http.request(Method::POST, format!("{}{path}", self.command_url)).bearer_auth(token)
    }

    /// Sends a command with a fresh key.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn post(&self, token: &str, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let key = Uuid::now_v7().to_string();
        answer(self.command(token, path).header("Idempotency-Key", key).json(body)).await
    }

    /// Begins a request to the query API; without a token, if it is empty.
    pub fn query(&self, token: &str, path: &str) -> RequestBuilder {
        self.request(Method::GET, token, &format!("{}{path}", self.query_url))
    }

    /// Reads something as it is.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn get(&self, token: &str, path: &str) -> anyhow::Result<Answer> {
        answer(self.query(token, path)).await
    }

    /// Reads something as of a position or later.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn get_at(&self, token: &str, path: &str, position: &str) -> anyhow::Result<Answer> {
        answer(self.query(token, path).header("Quipu-Position", position)).await
    }
}

/// Sends a request and reads the whole answer; of a live stream, which has no end, its first block.
///
/// # Errors
/// If there is none.
pub async fn answer(request: RequestBuilder) -> anyhow::Result<Answer> {
    let mut response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let live = headers.get("content-type").is_some_and(|it| it == "text/event-stream");
    let text = if live { first_block(&mut response).await? } else { response.text().await? };
    let json = serde_json::from_str(&text).unwrap_or_default();
    Ok(Answer { status, headers, json, text })
}

async fn first_block(response: &mut reqwest::Response) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend(chunk);
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        if let Some((block, _)) = text.split_once("\n\n") {
            return Ok(block.to_owned());
        }
    }
    anyhow::bail!("the stream ended within its first block")
}

/// A listener on a free port of the loopback interface.
///
/// # Errors
/// If there is none.
pub async fn listener() -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
