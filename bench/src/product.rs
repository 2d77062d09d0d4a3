//! The product, as its users run it: processes of the same build, each told where everything is by its environment.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::Utc;
use domain::ids::{ActorId, TenantId, TokenId};
use event_store::{Executor, ExecutorOptions, MasterKey};
use rustix::process::{Pid, Signal, kill_process};
use service_kit::config::{KeyConfig, TokenConfig};
use service_kit::token::{Claims, Role, Signer, Verifier, generate_keys};
use tempfile::TempDir;
use tests::database::Database;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::load::Connection;
use crate::processes;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// Who asks in all measurements.
pub(crate) const TENANT: TenantId = TenantId::new(Uuid::from_u128(0xbe9c));

/// A database with keys and a token, and the processes that were started on it.
pub(crate) struct Product {
    /// What it stands on.
    pub(crate) database: Database,
    /// Signs tokens.
    pub(crate) signer: Signer,
    /// The owner of [`TENANT`].
    pub(crate) token: String,
    folder: TempDir,
}

/// One process, killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Product {
    /// Makes the database and the keys; nothing runs yet.
    pub(crate) async fn fresh() -> anyhow::Result<Self> {
        Self::on(Database::fresh().await?)
    }

    /// Makes the keys for a database.
    pub(crate) fn on(database: Database) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let keys = KeyConfig::at(folder.path().join("keys"));
        generate_keys(&keys)?;
        let signer = Signer::load(&keys, &TokenConfig::default())?;
        let token = signer.mint(&claims())?;
        Ok(Self { database, signer, token, folder })
    }

    /// Starts a command API.
    pub(crate) async fn command_api(&self) -> anyhow::Result<Process> {
        self.start("command-api", "quipu_command").await
    }

    /// Starts a projector.
    pub(crate) async fn projector(&self) -> anyhow::Result<Process> {
        self.start("projector", "quipu_projector").await
    }

    /// Starts a query API.
    pub(crate) async fn query_api(&self) -> anyhow::Result<Process> {
        self.start("query-api", "quipu_query").await
    }

    /// A verifier of the tokens that were signed here.
    pub(crate) fn verifier(&self) -> anyhow::Result<Verifier> {
        Ok(Verifier::load(&KeyConfig::at(self.folder.path().join("keys")), &TokenConfig::default())?)
    }

    /// An executor in this process, with the keys that a command API has.
    pub(crate) fn executor(&self) -> anyhow::Result<Executor> {
        let master = MasterKey::new(&KeyConfig::at(self.folder.path().join("keys")).master_key()?)?;
        let options = ExecutorOptions::new(self.database.options("quipu_command")?, Arc::new(master));
        Ok(Executor::start(options).0)
    }

    async fn figure(&self, query: &'static str) -> anyhow::Result<i64> {
        Ok(sqlx::query_scalar(query).fetch_one(&mut self.database.superuser().await?).await?)
    }

    /// The newest position of the log.
    pub(crate) async fn head(&self) -> anyhow::Result<i64> {
        self.figure("select position from store.log_head").await
    }

    /// How far the publisher is.
    pub(crate) async fn published(&self) -> anyhow::Result<i64> {
        self.figure("select coalesce((select position from run.publisher), 0)").await
    }

    /// How far the slowest follower is, the publisher among them; 0 before all have begun.
    pub(crate) async fn slowest_follower(&self) -> anyhow::Result<i64> {
        self.figure(
            "select case when count(*) < 7 then 0
                    else least(min(position), (select coalesce(min(position), 0) from run.publisher)) end
             from run.projections",
        )
        .await
    }

    /// Waits until all followers have come so far.
    pub(crate) async fn followers_reach(&self, position: i64, limit: Duration) -> anyhow::Result<()> {
        tests::until(limit, || async { Ok(self.slowest_follower().await? >= position) }).await
    }

    /// Waits until the publisher has come so far.
    pub(crate) async fn published_reaches(&self, position: i64, limit: Duration) -> anyhow::Result<()> {
        tests::until(limit, || async { Ok(self.published().await? >= position) }).await
    }

    /// Waits until one follower has come so far, looking all the time.
    pub(crate) async fn follower_reaches(
        &self,
        name: &str,
        position: i64,
        limit: Duration,
    ) -> anyhow::Result<()> {
        let mut conn = self.database.superuser().await?;
        let deadline = Instant::now() + limit;
        loop {
            let reached: Option<i64> =
                sqlx::query_scalar("select position from run.projections where model = $1")
                    .bind(name)
                    .fetch_optional(&mut conn)
                    .await?;
            if reached.is_some_and(|reached| reached >= position) {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "{name} did not come to {position} in time");
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
    }

    /// Runs `quipu` as an operator would, and answers with what it prints.
    pub(crate) async fn operate(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let program = std::env::current_exe()?.with_file_name("quipu");
        let mut child = Command::new(&program)
            .args(arguments)
            .env("DATABASE_URL", self.database.url("quipu_platform")?)
            .env("QUIPU_KEY_DIR", self.folder.path().join("keys"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        child.stdin.take().context("an input")?.write_all(input.as_bytes()).await?;
        let output = child.wait_with_output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "quipu {arguments:?}: {said}");
        Ok(String::from_utf8(output.stdout)?)
    }

    async fn start(&self, name: &'static str, role: &str) -> anyhow::Result<Process> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = std::fs::File::create(self.folder.path().join(format!("{name}-{}.log", address.port())))?;
        let program = std::env::current_exe()?.with_file_name(name);
        let child = Command::new(&program)
            .envs(self.environment(role, address)?)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let mut process = Process { child, address };
        process.ready(self.folder.path()).await.with_context(|| format!("{name} did not become ready"))?;
        Ok(process)
    }

    fn environment(&self, role: &str, address: SocketAddr) -> anyhow::Result<BTreeMap<&'static str, String>> {
        let tokens = TokenConfig::default();
        Ok(BTreeMap::from([
            ("DATABASE_URL", self.database.url(role)?),
            ("REACTOR_DATABASE_URL", self.database.url("quipu_reactor")?),
            ("NATS_URL", tests::stack::nats_url()?),
            ("QUIPU_LISTEN", address.to_string()),
            ("QUIPU_KEY_DIR", self.folder.path().join("keys").display().to_string()),
            ("QUIPU_TOKEN_ISSUER", tokens.issuer().to_owned()),
            ("QUIPU_TOKEN_AUDIENCE", tokens.audience),
            ("QUIPU_LOG", "warn".to_owned()),
            // One principal makes all the load.
            ("QUIPU_RATE_PER_PRINCIPAL", "10000000".to_owned()),
            ("QUIPU_RATE_SIGN_IN", "0".to_owned()),
            ("QUIPU_RATE_SIGN_IN_TENANT", "0".to_owned()),
            ("QUIPU_PUBLIC_URL", format!("http://{address}")),
            ("QUIPU_RATE_DEVICE_CODES", "0".to_owned()),
            ("QUIPU_RATE_DEVICE_CODES_ADDRESS", "0".to_owned()),
            ("QUIPU_RATE_DEVICE_CODES_ALL", "0".to_owned()),
        ]))
    }
}

/// Claims of the owner of [`TENANT`].
pub(crate) fn claims() -> Claims {
    let now = Utc::now().timestamp();
    let (subject, token) = (ActorId::new(Uuid::from_u128(0xac70)), TokenId::new(Uuid::now_v7()));
    Claims::new(&TokenConfig::default(), TENANT, subject, token, now, now + 24 * 3600).with_role(Role::Owner)
}

impl Process {
    async fn ready(&mut self, logs: &Path) -> anyhow::Result<()> {
        let request = format!("GET /readyz HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("it ended with {status}: see {}", logs.display());
            }
            if let Ok(mut connection) = Connection::open(self.address).await
                && matches!(connection.ask(request.as_bytes()).await, Ok((200, _)))
            {
                return Ok(());
            }
            anyhow::ensure!(begun.elapsed() < READY_WITHIN, "it took too long: see {}", logs.display());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks it to end and waits until it has, so that it gives up what it holds.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid()?)?).context("no process")?;
        kill_process(pid, Signal::TERM)?;
        self.child.wait().await?;
        Ok(())
    }

    fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("the process has ended")
    }

    /// Resident memory in mebibytes.
    pub(crate) fn memory_mib(&self) -> anyhow::Result<f64> {
        processes::memory_mib(self.pid()?)
    }

    /// Processor time so far, in seconds.
    pub(crate) fn processor_seconds(&self) -> anyhow::Result<f64> {
        processes::processor_seconds(self.pid()?)
    }
}
