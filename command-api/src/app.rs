//! The server, put together.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::middleware::from_fn_with_state;
use axum::{Extension, Router};
use domain::identity::User;
use domain::{Aggregate as _, ErrorKind, federation, metadata, money, organisation, words};
use event_store::access::Standings;
use event_store::erasure_journal::standing;
use event_store::vault::{ApiKeys, Vault};
use event_store::{Executor, ExecutorOptions, MasterKey};
use service_kit::audit::{Recorder, Words};
use service_kit::body::{KnownParameters, ParseCodes, refuse_unknown};
use service_kit::config::Tiers;
use service_kit::database::{self, Purpose};
use service_kit::health::Health;
use service_kit::metrics::Metrics;
use service_kit::outgoing::Outgoing;
use service_kit::serve::Server;
use service_kit::token::{Signer, Verifier};
use service_kit::{access, contact, email, layers, openapi, telemetry};
use sqlx::postgres::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::cookie::Cookies;
use crate::federation::Federation;
use crate::identity::federated::Providers;
use crate::identity::limits::Limits;
use crate::identity::{self, Identity};
use crate::oauth::{self, Oauth, cross_origin};
use crate::pages::{self, Pages};
use crate::passwords::Passwords;
use crate::refusals::ThroughExecutor;
use crate::standing::ByLog;
use crate::{grpc, recorded_permissions, refusals, routes, signing, wake};

/// How long the last accepted commands may take once the server is told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// What handlers share. Clones are the same: a server makes several of them a request.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// What an [`App`] is put together of.
pub struct Shared {
    /// The one way to write.
    pub executor: Executor,
    /// Makes fingerprints of requests.
    pub master: Arc<MasterKey>,
    /// Who people are.
    pub identity: Identity,
    /// With whom else people sign in.
    pub providers: Providers,
    /// With what services let people sign in.
    pub oauth: Oauth,
    /// What people see in their browsers.
    pub pages: Pages,
    /// What organisations can book.
    pub tiers: Tiers,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// What it gives browsers to keep.
    pub(crate) fn cookies(&self) -> Cookies {
        Cookies::of(self.providers.public_url())
    }
}

/// Kinds of the codes that domain types report while a body is parsed.
const PARSE_CODES: &[&[(&str, ErrorKind)]] = &[
    money::PARSE_CODES,
    metadata::PARSE_CODES,
    words::PARSE_CODES,
    organisation::PARSE_CODES,
    email::PARSE_CODES,
    contact::PARSE_CODES,
    federation::PARSE_CODES,
];

/// A server that is ready to run.
pub struct CommandApi {
    config: Config,
    pool: PgPool,
    verifier: Arc<Verifier>,
    app: App,
    access: Arc<ByLog>,
    executor_task: JoinHandle<()>,
    /// Records what failed to sign in, and keeps tokens of providers fresh; it ends once it has told all.
    failures_task: JoinHandle<()>,
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
        let tokens = config.tokens.clone().issued_at(config.public_url.as_ref());
        let verifier = Arc::new(Verifier::load(&config.keys, &tokens)?);
        let signer = Arc::new(Signer::of_service(&config.keys, &tokens)?);
        let pool = connect_checked(&config, &master).await?;
        let keys = signing::follow(pool.clone(), &master, &verifier, &signer);
        keys.reload().await.map_err(|error| anyhow::anyhow!(error)).context("the signing keys")?;
        tokio::spawn(keys.keep(shutdown.clone()));
        let metrics = Metrics::of("command-api");
        metrics.pool(&pool);
        let (executor, executor_task) = start_executor(&config, &master, &metrics, &shutdown)?;
        let access = Arc::new(follow_access(&config, &pool, &executor, &shutdown).await?);
        access.register(&metrics);
        recorded_permissions::record(&executor).await?;
        let passwords = Passwords::start(&config.hashing, &master)?;
        metrics.register(|registry| passwords.register(registry));
        let vault = Vault::new(pool.clone());
        let limits = Limits::new(vault.clone(), Arc::clone(&master), config.rates.clone());
        let identity = Identity::new(identity::Parts {
            executor: executor.clone(),
            master: Arc::clone(&master),
            pool: pool.clone(),
            vault: vault.clone(),
            passwords,
            signer: Arc::clone(&signer),
            limits,
            first_owner: config.platform_owner_email.clone(),
        });
        metrics.register(|registry| identity.figures().register(registry));
        let federation = Federation::new(Outgoing::new(&config.outgoing).context("requests to providers")?);
        let providers = Providers::new(federation, config.public_url.clone());
        let oauth = Oauth::start(oauth::Parts {
            identity: identity.clone(),
            vault,
            pool: pool.clone(),
            master: Arc::clone(&master),
            signer,
            verifier: Arc::clone(&verifier),
            public_url: config.public_url.clone(),
        });
        let pages = Pages::new(config.public_url.clone());
        let failures = identity.clone().tend(shutdown.clone());
        let refreshing = identity.clone().refresh_provider_tokens(providers.clone(), shutdown.clone());
        let failures_task = tokio::spawn(async {
            tokio::join!(failures, refreshing);
        });
        let tiers = config.tiers.tiers.clone();
        let app = App(Arc::new(Shared { executor, master, identity, providers, oauth, pages, tiers }));
        Ok(Self { config, pool, verifier, app, access, executor_task, failures_task, metrics, shutdown })
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
        let Self { config, pool, verifier, app, access, executor_task, failures_task, metrics, shutdown } =
            self;
        metrics.serve(&config.telemetry, shutdown.clone()).await?;
        let (executor, pages_of) = (app.executor.clone(), app.pages.clone());
        let health = Health::new(shutdown.clone()).database(pool.clone()).check("executor", move || {
            std::future::ready(if executor.is_closed() { Err("it has ended".to_owned()) } else { Ok(()) })
        });
        let standings = Arc::clone(&access);
        let health = health.check("access", move || std::future::ready(standings.readiness()));
        let trail = ThroughExecutor(app.executor.clone());
        let recorder = Recorder::start(
            trail,
            Words::of(&document(), |_| false),
            config.audit.limits(),
            shutdown.clone(),
        );
        let calls = grpc::Services {
            identity: app.identity.clone(),
            health: health.clone(),
            shutdown: shutdown.clone(),
        };
        let calls =
            access::verified_by(grpc::routes(calls)?, Arc::clone(&verifier), Arc::clone(&access) as _);
        let router =
            router(app, verifier, access, Arc::clone(&recorder))?.merge(calls).merge(health.routes());
        let router = pages::answering_the_rest(router, &pages_of);
        let router = layers::guard(router, &config.http, &metrics).merge(cross_origin::preflights());
        let router = grpc::answered(router);
        Server { listener, router, config: config.http, shutdown }.run().await?;
        recorder.finish().await;
        failures_task.await.context("failed sign-ins")?;
        drop(recorder);
        pool.close().await;
        tokio::time::timeout(DRAIN_TIMEOUT, executor_task)
            .await
            .context("the executor did not stop in time")??;
        Ok(())
    }
}

/// Connects to the database, if promises can be kept on it: its role, its epoch, and the journal of erasures.
async fn connect_checked(config: &Config, master: &MasterKey) -> anyhow::Result<PgPool> {
    let pool = database::connect_pool(&config.database, Purpose::Command).await?;
    database::verify(&pool, Purpose::Command).await?;
    let mut conn = pool.acquire().await?;
    event_store::epoch::check(&mut conn).await?;
    let journal = config.erasures.erasure_journal.as_deref();
    standing::check(&mut conn, journal, || anyhow::Ok(master)).await?;
    drop(conn);
    Ok(pool)
}

/// Starts the one way to write. Whatever is appended wakes those who follow the log.
fn start_executor(
    config: &Config,
    master: &Arc<MasterKey>,
    metrics: &Metrics,
    shutdown: &CancellationToken,
) -> anyhow::Result<(Executor, JoinHandle<()>)> {
    let database = database::connect_options(&config.database, Purpose::Command)?;
    let options = ExecutorOptions::new(database, Arc::clone(master));
    let options = ExecutorOptions { queue_max: config.queue_max, ..options };
    metrics.register(|registry| options.metrics.register(registry));
    let waker = wake::start(&config.nats, shutdown.clone());
    Ok(Executor::start_observed(options, move |_head| waker.notify_one()))
}

/// Begins to follow the log for who may act.
async fn follow_access(
    config: &Config,
    pool: &PgPool,
    executor: &Executor,
    shutdown: &CancellationToken,
) -> anyhow::Result<ByLog> {
    let database = database::connect_options(&config.database, Purpose::Command)?;
    // Whoever moves may have been erased by another process: then this one has the last copy of their key.
    let forgetting = executor.clone();
    let standings = Standings::start_observed(database, shutdown.clone(), move |(category, person)| {
        if category == User::CATEGORY.code {
            forgetting.forget_key(person);
        }
    });
    Ok(ByLog { standings: standings.await?, keys: ApiKeys::new(pool.clone()) })
}

/// Every route, its documents, and the access to it.
fn router(
    app: App,
    verifier: Arc<Verifier>,
    access: Arc<ByLog>,
    recorder: Arc<Recorder>,
) -> anyhow::Result<Router> {
    let (routes, document) = routes::routes().split_for_parts();
    let document = openapi::complete(document);
    let known = KnownParameters::of(&document, routes::takes_any_query);
    let pages = pages::router(app.clone());
    let routes = routes
        .with_state(app.clone())
        .layer(Extension(Arc::clone(&recorder)))
        .route_layer(from_fn_with_state(known, refuse_unknown))
        .route_layer(from_fn_with_state(recorder, refusals::record))
        .route_layer(from_fn_with_state(app, pages::told_to_people))
        .merge(signing::published(Arc::clone(&verifier)))
        .merge(openapi::routes(&document)?)
        .merge(openapi::problem_pages())
        .merge(pages)
        .layer(Extension(ParseCodes(PARSE_CODES)));
    Ok(access::verified_by(routes, verifier, access))
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
