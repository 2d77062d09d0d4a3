//! What an erasure is done with: the log as the platform's operator, the log and the read models as the projector sees
//! them, the master key, the journal, and NATS if it is there.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use clap::Args;
use domain::ids::TenantId;
use event_store::erasure_journal::{Erasure, Journal, NewErasure};
use event_store::{Executor, ExecutorOptions, MasterKey};
use service_kit::config::{DatabaseConfig, KeyConfig};
use service_kit::database::{self, Purpose};
use sqlx::postgres::PgConnectOptions;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::found::Found;
use crate::admin::ADMIN_ROLE;
use crate::operator::{NatsArgs, OperatorArgs, here, read};
use crate::stack::layout::Layout;

/// Which log, keys and journal; by default those of the stack that runs here.
#[derive(Debug, Args)]
pub struct DeskArgs {
    /// File that holds the postgres:// URL of the role `quipu_platform`.
    #[arg(long, env = "PLATFORM_DATABASE_URL_FILE", value_name = "FILE")]
    platform_url_file: Option<PathBuf>,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    nats: NatsArgs,
    /// Directory of master.key.
    #[arg(long, env = "QUIPU_KEY_DIR")]
    key_dir: Option<PathBuf>,
    #[command(flatten)]
    journal: JournalArgs,
}

/// How long one erasure waits for another, and how often it looks.
const TURN_WAIT: Duration = Duration::from_secs(600);
const TURN_LOOK: Duration = Duration::from_millis(50);

/// The number of the lock that one erasure at a time holds.
const TURN: i64 = 0x6572_6173_6500;

/// Which journal of erasures.
#[derive(Debug, Clone, Args)]
pub struct JournalArgs {
    /// The journal of erasures: a file outside of the database and of its backups.
    #[arg(long = "journal", env = "QUIPU_ERASURE_JOURNAL", value_name = "FILE")]
    path: Option<PathBuf>,
}

impl JournalArgs {
    /// The one that was named, or that of the stack here.
    pub(crate) fn path(&self, layout: &Layout) -> PathBuf {
        self.path.clone().unwrap_or_else(|| layout.erasures())
    }
}

/// Everything that an erasure is done with.
pub struct Desk {
    /// As the platform's operator: appends, and may delete keys.
    pub platform: PgPool,
    /// As the projector: the whole log and the read models.
    pub projector: PgPool,
    /// Appends as the platform's operator.
    pub executor: Executor,
    /// Opens what is private.
    pub master: Arc<MasterKey>,
    /// Where it is written down.
    pub journal: PathBuf,
    /// Where events are published, if that answers.
    pub nats: Option<async_nats::Client>,
}

impl DeskArgs {
    pub(super) fn journal_path(&self, layout: &Layout) -> PathBuf {
        self.journal.path(layout)
    }

    pub(super) fn key_dir(&self, layout: &Layout) -> PathBuf {
        self.key_dir.clone().unwrap_or_else(|| layout.keys())
    }

    /// Connects.
    ///
    /// # Errors
    /// If something is missing, or does not answer.
    pub(super) async fn connect(&self, layout: &Layout) -> anyhow::Result<Desk> {
        let url = match &self.platform_url_file {
            Some(path) => read(path)?,
            None => here(layout, "--platform-url-file")?.database_url_of(ADMIN_ROLE)?,
        };
        let master = Arc::new(MasterKey::new(&KeyConfig::at(self.key_dir(layout)).master_key()?)?);
        let projector = self.operator.connect(layout).await?;
        let nats = match self.nats.connect(layout).await {
            Ok(client) => Some(client),
            Err(error) => {
                crate::console::note(format_args!("The messages on NATS are not searched: {error:#}"));
                None
            }
        };
        Desk::open(&url, projector, master, self.journal_path(layout), nats).await
    }
}

impl Desk {
    /// A desk on a database.
    ///
    /// # Errors
    /// If it does not answer, or is another history than its log says.
    pub async fn open(
        platform_url: &str,
        projector: PgPool,
        master: Arc<MasterKey>,
        journal: PathBuf,
        nats: Option<async_nats::Client>,
    ) -> anyhow::Result<Self> {
        let platform = database::connect_pool(&DatabaseConfig::at(platform_url), Purpose::Platform).await?;
        event_store::epoch::check(&mut *platform.acquire().await?).await?;
        let options = PgConnectOptions::from_str(platform_url)
            .map_err(|_| anyhow!("the database URL is not postgres://user:password@host:port/database"))?;
        let (executor, _task) = Executor::start(ExecutorOptions::new(options, Arc::clone(&master)));
        Ok(Self { platform, projector, executor, master, journal, nats })
    }

    /// Waits for the erasures that are under way: what one of them takes back in the journal, another must not have begun.
    /// The turn ends with the connection.
    ///
    /// # Errors
    /// If the database does not answer, or another one takes too long.
    pub async fn turn(&self) -> anyhow::Result<PgConnection> {
        let mut conn = self.platform.acquire().await?.detach();
        let asked = Instant::now();
        while !sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "mine!""#, TURN)
            .fetch_one(&mut conn)
            .await?
        {
            ensure!(asked.elapsed() < TURN_WAIT, "another erasure is under way");
            sleep(TURN_LOOK).await;
        }
        Ok(conn)
    }

    /// A transaction of the platform's operator that sees these tenants.
    pub(super) async fn serving(&self, tenants: &[TenantId]) -> sqlx::Result<Transaction<'static, Postgres>> {
        let served: Vec<Uuid> = tenants.iter().map(|it| it.uuid()).collect();
        let mut tx = self.platform.begin().await?;
        sqlx::query!("select set_config('app.tenants', $1::uuid[]::text, true) as served", &served)
            .fetch_one(&mut *tx)
            .await?;
        Ok(tx)
    }

    /// The erasure of a subject that the journal knows, if it does.
    pub(super) fn noted(&self, tenant: TenantId, subject: Uuid) -> anyhow::Result<Option<Erasure>> {
        Ok(Journal::read(&self.journal, &self.master)?.of_subject(tenant, subject).cloned())
    }

    /// Notes an erasure. Once this returns it stands, whatever happens to us.
    ///
    /// # Errors
    /// If it cannot be brought to the disk; then nothing may be done.
    pub async fn note(&self, found: &Found) -> anyhow::Result<Erasure> {
        let new =
            NewErasure { tenant: found.tenant, person: found.user, subjects: found.subjects().collect() };
        let (path, master) = (self.journal.clone(), Arc::clone(&self.master));
        // It waits for its turn and for the disk.
        let noted = tokio::task::spawn_blocking(move || Journal::note(&path, &master, &new));
        Ok(noted.await.context("the journal")??)
    }
}
