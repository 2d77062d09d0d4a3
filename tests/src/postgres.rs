//! A PostgreSQL of a test's own, with an archive of its log: to be stopped, and restored to a moment in the middle.

use std::ffi::OsString;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use quipu::stack::processes::ProcessMark;
use quipu::stack::unprivileged::Unprivileged;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};
use tempfile::TempDir;

use crate::database::{execute, server};
use crate::until;

const PATIENCE: Duration = Duration::from_secs(60);

/// One server on one port, its data, its archive and a base backup below one folder that goes with the test.
pub struct Postgres {
    bin: PathBuf,
    run_as: Unprivileged,
    folder: TempDir,
    port: u16,
    preload: Option<PathBuf>,
}

impl Postgres {
    /// Makes and starts one, with the programs of the harness's server.
    ///
    /// # Errors
    /// If they are not there or do not work.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with("").await
    }

    /// The same, with a library that takes the place of some of the C library's functions.
    ///
    /// # Errors
    /// See [`Postgres::start`].
    pub async fn start_preloading(library: &Path, settings: &str) -> anyhow::Result<Self> {
        Self::make(Some(library.to_owned()), settings).await
    }

    /// The same, with further settings: lines of `postgresql.conf`, which count for more than those made here.
    ///
    /// # Errors
    /// See [`Postgres::start`].
    pub async fn start_with(settings: &str) -> anyhow::Result<Self> {
        Self::make(None, settings).await
    }

    async fn make(preload: Option<PathBuf>, settings: &str) -> anyhow::Result<Self> {
        let mut conn = server()?.connect().await?;
        let bin: String = sqlx::query_scalar("select setting from pg_config where name = 'BINDIR'")
            .fetch_one(&mut conn)
            .await?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (run_as, folder) = (Unprivileged::find().await?, tempfile::tempdir()?);
        let this = Self { bin: bin.into(), run_as, folder, port, preload };
        for name in ["data", "archive", "backup"] {
            std::fs::DirBuilder::new().mode(0o700).create(this.path(name))?;
            this.hand_over(name)?;
        }
        this.run("initdb", ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-D"], &["data"])
            .await?;
        let archive = this.path("archive");
        this.configure(&format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\nmax_connections = 60\n\
             wal_level = replica\narchive_mode = on\n\
             archive_command = 'test ! -f {archive}/%f && cp %p {archive}/%f.partial && mv {archive}/%f.partial {archive}/%f'\n\
             restore_command = 'cp {archive}/%f %p'\n{settings}",
            archive = archive.display()
        ))?;
        this.up().await?;
        Ok(this)
    }

    /// How to connect as its superuser.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new().host("127.0.0.1").port(self.port).username("postgres").database("postgres")
    }

    /// A connection as its superuser.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn superuser(&self) -> anyhow::Result<PgConnection> {
        Ok(self.options().connect().await?)
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it says what happens to it.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path("log")
    }

    /// Pulls the plug: every process of it ends at once, and nothing is written any more.
    ///
    /// # Errors
    /// If it does not run.
    pub async fn stop_at_once(&self) -> anyhow::Result<()> {
        self.run("pg_ctl", ["-w", "-m", "immediate", "stop", "-D"], &["data"]).await
    }

    /// Kills every process of it, the first one first, and waits until they are gone.
    ///
    /// # Errors
    /// If it does not run, or a process stays.
    pub async fn kill(&self) -> anyhow::Result<()> {
        let path = self.path("data/postmaster.pid");
        let text = std::fs::read_to_string(&path).context("it does not run")?;
        let first: u32 = text.lines().next().context("a process id")?.trim().parse()?;
        let all: Vec<ProcessMark> =
            std::iter::once(first).chain(children(first)?).filter_map(ProcessMark::of).collect();
        all.iter().for_each(ProcessMark::kill);
        for process in &all {
            anyhow::ensure!(process.gone_within(PATIENCE).await, "process {} stays", process.pid);
        }
        // Whoever should bury the dead may be slow, and a number in use, even by a dead process, forbids the next start.
        std::fs::remove_file(path)?;
        Ok(())
    }

    /// Starts it again after it was stopped or killed, and waits until it answers.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn back(&self) -> anyhow::Result<()> {
        self.up().await
    }

    /// Takes a base backup while it works.
    ///
    /// # Errors
    /// If that fails.
    pub async fn back_up(&self) -> anyhow::Result<()> {
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        self.run("pg_basebackup", ["--checkpoint=fast", "--wal-method=none", "-d", &url, "-D"], &["backup"])
            .await
    }

    /// Names this moment, and waits until the archive holds everything up to it.
    ///
    /// # Errors
    /// If the archive does not come to hold it.
    pub async fn mark(&self, name: &str) -> anyhow::Result<()> {
        let mut conn = self.superuser().await?;
        let at: String = sqlx::query_scalar("select pg_walfile_name(pg_create_restore_point($1))")
            .bind(name)
            .fetch_one(&mut conn)
            .await?;
        execute(&mut conn, "select pg_switch_wal()".to_owned()).await?;
        let archived = self.path("archive").join(at);
        until(PATIENCE, || async { Ok(archived.exists()) }).await
    }

    /// Pulls the plug and puts the backup in the place of the data, brought up to a marked moment; on the same port.
    ///
    /// # Errors
    /// If it does not come up again.
    pub async fn restore(&self, name: &str) -> anyhow::Result<()> {
        self.stop_at_once().await?;
        std::fs::remove_dir_all(self.path("data"))?;
        std::fs::rename(self.path("backup"), self.path("data"))?;
        self.configure(&format!("recovery_target_name = '{name}'\nrecovery_target_action = 'promote'\n"))?;
        std::fs::write(self.path("data").join("recovery.signal"), "")?;
        self.hand_over("data/recovery.signal")?;
        self.up().await?;
        until(PATIENCE, || async {
            let Ok(mut conn) = self.superuser().await else { return Ok(false) };
            let recovering: bool =
                sqlx::query_scalar("select pg_is_in_recovery()").fetch_one(&mut conn).await?;
            Ok(!recovering)
        })
        .await
    }

    async fn up(&self) -> anyhow::Result<()> {
        let log = self.path("log");
        std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        self.hand_over("log")?;
        let log = log.display().to_string();
        self.run("pg_ctl", ["-w", "-t", "60", "start", "-l", &log, "-D"], &["data"]).await
    }

    fn configure(&self, settings: &str) -> anyhow::Result<()> {
        use std::io::Write as _;
        let path = self.path("data").join("postgresql.conf");
        let mut file = std::fs::OpenOptions::new().append(true).open(path)?;
        Ok(file.write_all(settings.as_bytes())?)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn hand_over(&self, name: &str) -> anyhow::Result<()> {
        self.run_as.hand_over(&self.path(name), self.folder.path())
    }

    /// Runs a program of the server; the last arguments are folders of ours.
    async fn run<'a>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = &'a str>,
        folders: &[&str],
    ) -> anyhow::Result<()> {
        let mut command = self.run_as.command(self.bin.join(program).as_os_str());
        if let Some(library) = &self.preload {
            command.env("LD_PRELOAD", library);
        }
        let folders = folders.iter().map(|it| self.path(it).into_os_string());
        command.args(arguments.into_iter().map(OsString::from).chain(folders)).current_dir("/");
        // A server that stays would keep a pipe open, so what is said goes to a file.
        let said = self.path(&format!("{program}.said"));
        let file = std::fs::File::create(&said)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let status = command.status().await.with_context(|| format!("{program} cannot be started"))?;
        let said = std::fs::read_to_string(said)?;
        anyhow::ensure!(status.success(), "{program}: {said}\n{}", tail(&self.path("log")));
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut command = self.run_as.command(self.bin.join("pg_ctl").as_os_str());
        command.args(["-m", "immediate", "stop", "-D"]).arg(self.path("data")).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // It may have been stopped; there is nobody to tell of anything else.
        drop(command.into_std().status());
    }
}

/// The processes that a process has started.
fn children(parent: u32) -> anyhow::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        // It may have ended since it was listed.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let of = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_ascii_whitespace().nth(1));
        if of.and_then(|it| it.parse().ok()) == Some(parent) {
            found.push(pid);
        }
    }
    Ok(found)
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
