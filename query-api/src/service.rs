//! From settings to a server.

use std::sync::Arc;

use axum::Router;
use event_store::MasterKey;
use event_store::access::Standings;
use event_store::epoch::{self, EpochError};
use event_store::erasure_journal::standing::{self, ErasureError};
use event_store::keyring::KeyError;
use event_store::vault::ApiKeys;
use service_kit::audit::Recorder;
use service_kit::config::{ConfigError, HttpConfig, TelemetryConfig};
use service_kit::database::{self, DatabaseError, Purpose};
use service_kit::health::Health;
use service_kit::layers::harden;
use service_kit::metrics::Metrics;
use service_kit::serve::Server;
use service_kit::token::Verifier;
use service_kit::token::reload::LoadError;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::{App, Doors};
use crate::config::Config;
use crate::keys;
use crate::routes;
use crate::standing::ByLog;

/// Why the process does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Whose tokens are ours cannot be read.
    #[error("the signing keys cannot be read")]
    Keys(#[source] LoadError),
    /// Who may act cannot be read from the log.
    #[error("the log cannot be read")]
    Log(#[from] sqlx::Error),
    /// The database holds another history than its log says.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The database has forgotten who was erased.
    #[error(transparent)]
    Erasures(#[from] ErasureError),
    /// The master key is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The description of the interface cannot be written.
    #[error("the description of the interface cannot be written")]
    Description(#[from] serde_json::Error),
    /// The listener failed.
    #[error("cannot serve")]
    Io(#[from] std::io::Error),
}

/// A process that is ready to serve.
#[derive(Debug)]
pub struct QueryApi {
    http: HttpConfig,
    telemetry: TelemetryConfig,
    metrics: Metrics,
    pool: PgPool,
    router: Router,
    recorder: Arc<Recorder>,
    shutdown: CancellationToken,
}

impl QueryApi {
    /// Connects, and refuses a database on which promises cannot be kept.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn connect(config: Config, shutdown: CancellationToken) -> Result<Self, StartError> {
        service_kit::install_crypto();
        let pool = database::connect_pool(&config.database, Purpose::Query).await?;
        database::verify(&pool, Purpose::Query).await?;
        check_history(&pool).await?;
        let master = MasterKey::new(&config.keys.master_key()?)?;
        let journal = config.erasures.erasure_journal.as_deref();
        standing::check(&mut *pool.acquire().await?, journal, || Ok::<_, StartError>(&master)).await?;
        let tokens = config.tokens.clone().issued_at(config.public_url.as_ref());
        let verifier = Arc::new(Verifier::load(&config.keys, &tokens)?);
        let keys = keys::follow(pool.clone(), &verifier);
        keys.reload().await.map_err(StartError::Keys)?;
        tokio::spawn(keys.keep(shutdown.clone()));
        let database = database::connect_options(&config.database, Purpose::Query)?;
        let standings = Standings::start(database, shutdown.clone()).await?;
        let access = Arc::new(ByLog { standings, keys: ApiKeys::new(pool.clone()) });
        let doors = Doors { verifier, access };
        let app = App::new(pool.clone(), doors, master, config.live, &config.audit, shutdown.clone());
        let recorder = Arc::clone(&app.recorder);
        let metrics = Metrics::of("query-api");
        metrics.pool(&pool);
        app.register(&metrics);
        let standings = Arc::clone(&app.doors.access);
        let health = Health::new(shutdown.clone()).database(pool.clone());
        let health = health.check("access", move || std::future::ready(standings.readiness()));
        let router = harden(routes::router(app, health)?, &config.http, &metrics);
        Ok(Self { http: config.http, telemetry: config.telemetry, metrics, pool, router, recorder, shutdown })
    }

    /// What it shows to its monitoring.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Serves until the token is cancelled and requests have ended.
    ///
    /// # Errors
    /// If the listener fails.
    pub async fn serve(self, listener: TcpListener) -> Result<(), StartError> {
        let Self { http, telemetry, metrics, pool, router, recorder, shutdown } = self;
        metrics.serve(&telemetry, shutdown.clone()).await?;
        Server { listener, router, config: http, shutdown }.run().await?;
        recorder.finish().await;
        pool.close().await;
        Ok(())
    }
}

/// A standby follows the timeline of its primary and cannot name its own.
async fn check_history(pool: &PgPool) -> Result<(), EpochError> {
    let mut conn = pool.acquire().await?;
    let standby =
        sqlx::query_scalar!(r#"select pg_is_in_recovery() as "standby!""#).fetch_one(&mut *conn).await?;
    if !standby {
        epoch::check(&mut conn).await?;
    }
    Ok(())
}
