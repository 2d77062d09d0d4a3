//! Servers for one command: the tests (`./dev test`), or the checks that need a migrated database.
//!
//! Every run has servers, ports and data of its own below `.local/test/<pid>`, so that two runs cannot meet and
//! nothing is left over from the last; what a killed run left is cleared by the next.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use super::layout::Layout;
use super::postgres::{PostgresAge, Programs};
use super::secrets::Secrets;
use super::supervisor::take_lock;
use super::{database, nats, postgres, stop_signal};
use crate::console;

/// What a check prints that could not run for want of an outside tool.
const NOT_RUN: &str = "NOT RUN: ";
/// Set to 1, a check that was NOT RUN fails the whole run.
const DENY_NOT_RUN: &str = "QUIPU_DENY_NOT_RUN";
const SCRATCH_DATABASE: &str = "scratch";

/// Runs a command with `QUIPU_TEST_DATABASE_URL` (superuser, database postgres) and `QUIPU_TEST_NATS_URL`, and
/// counts the checks that were not run.
pub async fn with_servers(
    layout: &Layout,
    age: PostgresAge,
    command: &[OsString],
) -> anyhow::Result<ExitCode> {
    let servers = Servers::begin(layout)?;
    let prepared = async {
        let port = servers.start_postgres(age).await?;
        let program = nats::obtain(&servers.layout).await?;
        let nats = nats::start(&servers.layout, &program, &servers.secrets, None).await?;
        anyhow::Ok(vec![
            ("QUIPU_TEST_DATABASE_URL", postgres::superuser_url(&servers.secrets, port, "postgres")),
            ("QUIPU_TEST_NATS_URL", nats::url(&servers.secrets, nats.port)),
            // For tests that kill or wipe a NATS of their own.
            ("QUIPU_TEST_NATS_BIN", program.display().to_string()),
        ])
    };
    let outcome = run(prepared, command).await;
    servers.end().await;
    let (code, mut not_run) = outcome?;
    not_run.sort();
    not_run.dedup();
    if not_run.is_empty() {
        return Ok(code);
    }
    console::note(format_args!("\n{} checks were not run:", not_run.len()));
    not_run.iter().for_each(console::note);
    let denied = std::env::var(DENY_NOT_RUN).is_ok_and(|value| value == "1");
    if denied {
        console::note(format_args!("{DENY_NOT_RUN}=1: a check that was not run is a failure"));
    }
    Ok(if denied && code == ExitCode::SUCCESS { ExitCode::from(3) } else { code })
}

/// Runs a command with `DATABASE_URL` naming, as its owner, a fresh database with the migrations of a folder.
///
/// They are read now, not compiled in: the command that writes `.sqlx` anew must work when the workspace, for want of
/// it, does not compile.
pub async fn with_scratch_database(
    layout: &Layout,
    age: PostgresAge,
    migrations: &Path,
    command: &[OsString],
) -> anyhow::Result<ExitCode> {
    let servers = Servers::begin(layout)?;
    let prepared = async {
        let port = servers.start_postgres(age).await?;
        let server_url = postgres::superuser_url(&servers.secrets, port, "postgres");
        let owner_url = database::create_own(&server_url, SCRATCH_DATABASE, &servers.secrets).await?;
        database::migrate_from(migrations, &owner_url).await?;
        anyhow::Ok(vec![("DATABASE_URL", owner_url)])
    };
    let outcome = run(prepared, command).await;
    servers.end().await;
    outcome.map(|(code, _)| code)
}

struct Servers {
    layout: Layout,
    secrets: Secrets,
    _lock: std::fs::File,
}

impl Servers {
    fn begin(layout: &Layout) -> anyhow::Result<Self> {
        let layout = layout.nested(&format!("test/{}", std::process::id()))?;
        let lock = take_lock(&layout)?.context("another run uses the same folder")?;
        let secrets = Secrets::obtain(&layout)?;
        Ok(Self { layout, secrets, _lock: lock })
    }

    async fn start_postgres(&self, age: PostgresAge) -> anyhow::Result<u16> {
        clear_leftovers(&self.layout).await;
        let programs = Programs::obtain(&self.layout, age).await?;
        Ok(postgres::start(&self.layout, &programs, &self.secrets, None).await?.port)
    }

    async fn end(self) {
        stop_and_delete(&self.layout).await;
    }
}

/// Clears the folders beside this one whose run has ended without doing so.
async fn clear_leftovers(layout: &Layout) {
    let Some(entries) = layout.root().parent().and_then(|folder| std::fs::read_dir(folder).ok()) else {
        return;
    };
    for entry in entries.flatten().filter(|entry| entry.path() != layout.root()) {
        let Ok(other) = Layout::begin(&entry.path()) else { continue };
        if let Ok(Some(_lock)) = take_lock(&other) {
            stop_and_delete(&other).await;
        }
    }
}

async fn stop_and_delete(layout: &Layout) {
    nats::stop(layout).await;
    postgres::stop(layout).await;
    if let Err(error) = std::fs::remove_dir_all(layout.root()) {
        console::note(format_args!("{} cannot be deleted: {error}", layout.root().display()));
    }
}

/// Waits for the servers, then runs the command; a signal ends either.
async fn run(
    prepared: impl Future<Output = anyhow::Result<Vec<(&'static str, String)>>>,
    command: &[OsString],
) -> anyhow::Result<(ExitCode, Vec<String>)> {
    let environment = tokio::select! {
        environment = prepared => environment?,
        () = stop_signal() => anyhow::bail!("stopped by a signal"),
    };
    let (program, arguments) = command.split_first().context("name a command to run")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_remove("DATABASE_URL")
        .env_remove("NATS_URL")
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} cannot be started", program.to_string_lossy()))?;
    let not_run = Arc::new(Mutex::new(Vec::new()));
    let out = child.stdout.take().context("no standard output")?;
    let err = child.stderr.take().context("no standard error")?;
    let out = tokio::spawn(pass_on(out, tokio::io::stdout(), not_run.clone()));
    let err = tokio::spawn(pass_on(err, tokio::io::stderr(), not_run.clone()));
    let status = tokio::select! {
        status = child.wait() => status?,
        () = stop_signal() => {
            // At a terminal the command has had the signal too; let it end by itself first.
            let ended = tokio::time::timeout(Duration::from_secs(10), child.wait()).await;
            if ended.is_err() {
                child.kill().await?;
            }
            anyhow::bail!("stopped by a signal")
        }
    };
    // A grandchild may hold the pipes open for ever; what the command itself wrote is there at once.
    let _ = tokio::time::timeout(Duration::from_secs(5), async { tokio::join!(out, err) }).await;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    let lines = std::mem::take(&mut *not_run.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((ExitCode::from(code), lines))
}

async fn pass_on(
    from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    not_run: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).await? > 0 {
        to.write_all(&line).await?;
        to.flush().await?;
        let text = String::from_utf8_lossy(&line);
        if let Some(start) = text.find(NOT_RUN) {
            let said = text.get(start..).unwrap_or_default().trim_end().to_owned();
            not_run.lock().unwrap_or_else(PoisonError::into_inner).push(said);
        }
        line.clear();
    }
    Ok(())
}
