//! The process `projector`.

mod config;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::routing::get;
use axum::{Json, Router};
use event_store::MasterKey;
use projector::mail::MailOptions;
use projector::{Projector, ProjectorOptions, ReactorOptions};
use serde::Serialize;
use service_kit::database::{self, Purpose};
use service_kit::health::Health;
use service_kit::serve::{self, Server};
use service_kit::{layers, nats, shutdown, telemetry};
use sqlx::PgPool;

use config::Config;

/// How long the start waits for NATS, which may be down.
const NATS_WAIT: Duration = Duration::from_secs(2);

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "projector ends");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    service_kit::install_crypto();
    let config: Config = service_kit::config::load();
    let _telemetry = telemetry::init("projector", &config.log, &config.telemetry)?;
    let shutdown = shutdown::on_signals()?;
    check_database(&config).await?;

    let database = database::connect_options(&config.database, Purpose::Projector)?;
    let mut options = ProjectorOptions::new(database, shutdown.clone());
    options.connections_max = config.database.pool_max.max(config::POOL_MIN);
    options.stream = config.stream.options();
    options.reactor = match config.reactor_database() {
        Some(reactor) => Some(ReactorOptions {
            database: database::connect_options(&reactor, Purpose::Reactor)
                .context("REACTOR_DATABASE_URL")?,
            master: Arc::new(MasterKey::new(&config.keys.master_key()?)?),
            mail: mail(&config)?,
            signing_keys: true,
        }),
        None => {
            tracing::warn!(
                "REACTOR_DATABASE_URL is not set: holds do not expire by themselves, and no letter is sent"
            );
            None
        }
    };
    if config.has_nats() {
        let client = nats::connect(&config.nats, "projector").await?;
        if !nats::verify(&client, NATS_WAIT).await? {
            tracing::warn!("NATS does not answer yet: read models go on, messages wait");
        }
        options.nats = Some(client);
    } else {
        tracing::warn!("NATS_URL is not set: nothing is published, and new events are found by polling");
    }

    let listener = serve::bind(&config.http).await?;
    let metrics = options.metrics.clone();
    metrics.serve(&config.telemetry, shutdown.clone()).await?;
    let projector = Projector::start(options);
    let (board, pool) = (projector.board(), projector.pool().clone());
    let health = projector.health(Health::new(shutdown.clone())).routes();
    let status = Router::new().route("/status", get(move || status(board.clone(), pool.clone())));
    let router = layers::harden(health.merge(status), &config.http, &metrics);
    let server = Server { listener, router, config: config.http, shutdown };
    let served = server.run().await;
    projector.stopped().await;
    Ok(served?)
}

fn mail(config: &Config) -> anyhow::Result<Option<MailOptions>> {
    let mail = MailOptions::of(&config.mail)?;
    if mail.is_none() {
        tracing::warn!("QUIPU_SMTP_URL is not set: letters wait in the outbox, `quipu mail list` shows them");
    }
    Ok(mail)
}

async fn check_database(config: &Config) -> anyhow::Result<()> {
    let pool = database::connect_pool(&config.database, Purpose::Projector).await?;
    database::verify(&pool, Purpose::Projector).await?;
    if let Some(reactor) = config.reactor_database() {
        let pool =
            database::connect_pool(&reactor, Purpose::Reactor).await.context("REACTOR_DATABASE_URL")?;
        database::verify(&pool, Purpose::Reactor).await.context("REACTOR_DATABASE_URL")?;
        pool.close().await;
    }
    let mut conn = pool.acquire().await?;
    let head = event_store::epoch::check(&mut conn).await?;
    let journal = config.erasures.erasure_journal.as_deref();
    let master = || anyhow::Ok(MasterKey::new(&config.keys.master_key()?)?);
    event_store::erasure_journal::standing::check(&mut conn, journal, master).await?;
    tracing::info!(epoch = head.epoch, position = head.position, "the log");
    drop(conn);
    pool.close().await;
    Ok(())
}

/// What `/status` shows.
#[derive(Serialize)]
struct Status {
    /// The end of the log; nothing if the database does not answer.
    head: Option<i64>,
    followers: Vec<Follower>,
}

#[derive(Serialize)]
struct Follower {
    #[serde(flatten)]
    status: projector::FollowerStatus,
    /// How many events it is behind.
    lag: Option<i64>,
}

async fn status(board: projector::status::Board, pool: PgPool) -> Json<Status> {
    let head = async { event_store::epoch::head(&mut *pool.acquire().await?).await };
    let head = head.await.ok().map(|it| it.position);
    let lag = |position: i64| head.map(|head| head.saturating_sub(position).max(0));
    let followers =
        board.all().into_iter().map(|status| Follower { lag: lag(status.position), status }).collect();
    Json(Status { head, followers })
}
