//! The server, put together.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::middleware::from_fn_with_state;
use axum::{Extension, Router};
use domain::{ErrorKind, metadata, money};
use event_store::{Executor, ExecutorOptions, MasterKey};
use service_kit::audit::{Recorder, Words};
use service_kit::body::ParseCodes;
use service_kit::database::{self, Purpose};
use service_kit::health::Health;
use service_kit::metrics::Metrics;
use service_kit::serve::Server;
use service_kit::token::{PublicKeys, Verifier};
use service_kit::{access, layers, openapi, telemetry};
use sqlx::postgres::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::refusals::ThroughExecutor;
use crate::{refusals, routes, wake};

/// How long the last accepted commands may take once the server is told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// What handlers share.
#[derive(Clone)]
pub struct App {
    /// The one way to write.
    pub executor: Executor,
    /// Makes fingerprints of requests.
    pub master: Arc<MasterKey>,
}

/// Kinds of the codes that domain types report while a body is parsed.
const PARSE_CODES: &[&[(&str, ErrorKind)]] = &[money::PARSE_CODES, metadata::PARSE_CODES];

/// A server that is ready to run.
pub struct CommandApi {
    config: Config,
    pool: PgPool,
    keys: PublicKeys,
    app: App,
    executor_task: tokio::task::JoinHandle<()>,
    metrics: Metrics,
    shutdown: CancellationToken,
}

impl CommandApi {
    /// Checks what it is told and what it finds, and starts the executor.
    ///
    /// # Errors
    /// With the variable or setting that is wrong, and how to mend it.
    pub async fn connect(config: Config, shutdown: CancellationToken) -> anyhow::Result<Self> {
        let master = Arc::new(MasterKey::new(&config.keys.master_key()?).context("master.key")?);
        let keys = PublicKeys::load(&config.keys)?;
        let pool = database::connect_pool(&config.database, Purpose::Command).await?;
        database::verify(&pool, Purpose::Command).await?;
        event_store::epoch::check(&mut *pool.acquire().await?).await?;
        let options = ExecutorOptions {
            queue_max: config.queue_max,
            ..ExecutorOptions::new(
                database::connect_options(&config.database, Purpose::Command)?,
                Arc::clone(&master),
            )
        };
        let metrics = Metrics::of("command-api");
        metrics.pool(&pool);
        metrics.register(|registry| options.metrics.register(registry));
        let waker = wake::start(&config.nats, shutdown.clone());
        let (executor, executor_task) = Executor::start_observed(options, move |_head| waker.notify_one());
        let app = App { executor, master };
        Ok(Self { config, pool, keys, app, executor_task, metrics, shutdown })
    }

    /// What it shows to its monitoring.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Serves until told to stop, then lets accepted requests finish.
    ///
    /// # Errors
    /// If the listener fails or a document cannot be written.
    pub async fn serve(self, listener: TcpListener) -> anyhow::Result<()> {
        let Self { config, pool, keys, app, executor_task, metrics, shutdown } = self;
        metrics.serve(&config.telemetry, shutdown.clone()).await?;
        let verifier = Arc::new(Verifier::new(&keys, &config.tokens)?);
        let executor = app.executor.clone();
        let health = Health::new(shutdown.clone()).database(pool.clone()).check("executor", move || {
            std::future::ready(if executor.is_closed() { Err("it has ended".to_owned()) } else { Ok(()) })
        });
        let trail = ThroughExecutor(app.executor.clone());
        let recorder = Recorder::start(
            trail,
            Words::of(&document(), |_| false),
            config.audit.limits(),
            shutdown.clone(),
        );
        let router = router(app, verifier, &keys, Arc::clone(&recorder))?.merge(health.routes());
        let router = layers::harden(router, &config.http, &metrics);
        Server { listener, router, config: config.http, shutdown }.run().await?;
        recorder.finish().await;
        drop(recorder);
        pool.close().await;
        tokio::time::timeout(DRAIN_TIMEOUT, executor_task)
            .await
            .context("the executor did not stop in time")??;
        Ok(())
    }
}

/// Every route, its documents, and the access to it.
fn router(
    app: App,
    verifier: Arc<Verifier>,
    keys: &PublicKeys,
    recorder: Arc<Recorder>,
) -> anyhow::Result<Router> {
    let (routes, document) = routes::routes().split_for_parts();
    let document = openapi::complete(document);
    let routes = routes
        .with_state(app)
        .route_layer(from_fn_with_state(recorder, refusals::record))
        .merge(routes::jwks(keys)?)
        .merge(openapi::routes(&document)?)
        .merge(openapi::problem_pages())
        .layer(Extension(ParseCodes(PARSE_CODES)));
    Ok(access::verified_by(routes, verifier))
}

/// The API's description, for the documents that are generated.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    openapi::complete(routes::routes().split_for_parts().1)
}

/// Runs the server as a process: configuration, checks, serving, stopping.
///
/// # Errors
/// With what is wrong, for a person.
pub async fn run() -> anyhow::Result<()> {
    let config: Config = service_kit::config::load();
    let _telemetry = telemetry::init("command-api", &config.log, &config.telemetry)?;
    service_kit::install_crypto();
    let shutdown = service_kit::shutdown::on_signals()?;
    let listener = service_kit::serve::bind(&config.http).await?;
    CommandApi::connect(config, shutdown).await?.serve(listener).await
}
