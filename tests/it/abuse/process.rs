//! A server as it is run in earnest: the built program in a process of its own, whose memory, files and log can be looked
//! at.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tempfile::NamedTempFile;
use tests::stack::{PUBLIC_URL, Stack, nats_url};
use tests::{tools, until};
use tokio::process::{Child, Command};

use super::wire::Wire;

/// A program that serves. It is killed when the test ends.
pub(super) struct Process {
    /// Where it serves.
    pub(super) address: SocketAddr,
    metrics: SocketAddr,
    child: Child,
    log: NamedTempFile,
}

/// Settings, by the names of their variables.
pub(super) type Settings<'a> = &'a [(&'a str, String)];

impl Process {
    /// Starts a command API on the database of a stack.
    pub(super) async fn command_api(stack: &Stack, settings: Settings<'_>) -> anyhow::Result<Self> {
        Self::start(stack, "command-api", "quipu_command", settings).await
    }

    /// Starts a query API on the database of a stack.
    pub(super) async fn query_api(stack: &Stack, settings: Settings<'_>) -> anyhow::Result<Self> {
        Self::start(stack, "query-api", "quipu_query", settings).await
    }

    async fn start(stack: &Stack, name: &str, role: &str, settings: Settings<'_>) -> anyhow::Result<Self> {
        let process = Self::spawn(stack, name, role, settings, Command::new(program(name)?))?;
        let serves = until(Duration::from_secs(30), || async { Ok(Self::is_ready(process.address).await) });
        serves.await.with_context(|| format!("{name} does not serve: {:?}", process.said()))?;
        Ok(process)
    }

    /// Starts a program that is expected to end by itself, by a command that leads to it, and gives what it said.
    pub(super) async fn refused(
        stack: &Stack,
        command: Command,
        settings: Settings<'_>,
    ) -> anyhow::Result<String> {
        let mut process = Self::spawn(stack, "command-api", "quipu_command", settings, command)?;
        let ended = tokio::time::timeout(Duration::from_secs(30), process.child.wait()).await;
        ensure!(!ended.context("it serves")??.success(), "it ended well");
        process.said()
    }

    fn spawn(
        stack: &Stack,
        name: &str,
        role: &str,
        settings: Settings<'_>,
        mut command: Command,
    ) -> anyhow::Result<Self> {
        let (address, metrics) = (free_address()?, free_address()?);
        let log = NamedTempFile::new()?;
        command.env_clear().env("PATH", std::env::var("PATH").unwrap_or_default()).envs(tools::counts());
        command.env("QUIPU_LISTEN", address.to_string()).env("QUIPU_METRICS_LISTEN", metrics.to_string());
        command.env("DATABASE_URL", stack.database.url(role)?).env("QUIPU_KEY_DIR", stack.keys.path());
        command.env("QUIPU_PUBLIC_URL", PUBLIC_URL);
        command.env("QUIPU_RATE_PER_ADDRESS", "0").env("QUIPU_RATE_PER_PRINCIPAL", "0");
        command.env("QUIPU_LOG", "info").env("QUIPU_LOG_FORMAT", "json");
        if name == "command-api" {
            command.env("NATS_URL", nats_url()?);
        }
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        // A `.env` file in the working folder would be read.
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(log.reopen()?).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        Ok(Self { address, metrics, child, log })
    }

    async fn is_ready(address: SocketAddr) -> bool {
        let asked = async {
            let mut wire = Wire::open(address).await?;
            wire.say(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
            anyhow::Ok(wire.reply().await?.is_some_and(|it| it.status == 200))
        };
        asked.await.unwrap_or(false)
    }

    /// Bytes of memory that it holds.
    pub(super) fn memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(self.proc("status")?).context("it has ended")?;
        let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
    }

    /// Files and connections that it has open.
    pub(super) fn open_files(&self) -> anyhow::Result<usize> {
        Ok(std::fs::read_dir(self.proc("fd")?).context("it has ended")?.count())
    }

    /// Its monitoring, as text.
    pub(super) async fn figures(&self) -> anyhow::Result<String> {
        let mut wire = Wire::open(self.metrics).await?;
        wire.say(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
        Ok(wire.reply().await?.context("figures")?.text())
    }

    /// Its log.
    pub(super) fn said(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.log.path())?)
    }

    /// Fails if it has ended, or anything in it panicked.
    pub(super) fn is_sound(&mut self) -> anyhow::Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "it ended: {}", self.said()?);
        let said = self.said()?;
        let panic = said.lines().find(|it| it.contains("panic"));
        ensure!(panic.is_none(), "{panic:?}");
        Ok(())
    }

    fn proc(&self, file: &str) -> anyhow::Result<PathBuf> {
        Ok(Path::new("/proc").join(self.child.id().context("it has ended")?.to_string()).join(file))
    }
}

/// A program that was built beside the test program, where cargo puts both.
pub(super) fn program(name: &str) -> anyhow::Result<PathBuf> {
    let tests = std::env::current_exe()?;
    let target = tests.parent().and_then(|it| it.parent()).context("a target folder")?;
    let program = target.join(name);
    ensure!(program.exists(), "{name} was not built: run the tests with ./dev test");
    Ok(program)
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
