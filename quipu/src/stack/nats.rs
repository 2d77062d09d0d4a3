//! A private NATS server with JetStream: found or fetched, configured, started, recognised, stopped.
//!
//! Its name is random and recorded, and it names itself to everybody who connects, so a stranger on the same port is
//! seen at once. `sync_interval: always` is left off on purpose: NATS is never the record, and what it loses in a
//! power cut the publisher fills in again from the log.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::Utc;
use tokio::process::Command;

use super::fetch;
use super::layout::{Layout, tail, write_private};
use super::ports::free_port;
use super::probe::{http_status, nats_greeting};
use super::processes::{ProcessMark, Stopped, on_path, runs};
use super::run_file::NatsRun;
use super::secrets::Secrets;

const START_ATTEMPTS_MAX: u32 = 3;
const READY_WITHIN: Duration = Duration::from_secs(15);
const STOP_WITHIN: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(30);

/// The program: NATS_BIN, the search path, or a fetched one.
pub(crate) async fn obtain(layout: &Layout) -> anyhow::Result<PathBuf> {
    if let Some(program) = std::env::var_os("NATS_BIN").map(PathBuf::from) {
        let version = version_of(&program)
            .await
            .with_context(|| format!("NATS_BIN={} is not a nats-server", program.display()))?;
        check_version(&version)?;
        return Ok(program);
    }
    if let Some(program) = on_path("nats-server")
        && let Some(version) = version_of(&program).await
        && check_version(&version).is_ok()
    {
        return Ok(program);
    }
    fetch::servers(layout).await?;
    Ok(fetch::nats_server(layout))
}

/// Refuses releases whose JetStream is known to lose or reorder what it has acknowledged.
pub(crate) fn check_version(version: &str) -> anyhow::Result<()> {
    let mut parts =
        version.trim_start_matches('v').split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor, patch) =
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    let accepted = major > 2 || (major == 2 && (minor >= 14 || (minor == 12 && patch >= 7)));
    anyhow::ensure!(
        accepted,
        "nats-server {version} is not accepted: 2.12.7 or newer in 2.12, or 2.14 or newer, is"
    );
    Ok(())
}

/// Starts the server of this layout, or recognises the one that runs already.
pub(crate) async fn start(
    layout: &Layout,
    program: &Path,
    secrets: &Secrets,
    previous: Option<&NatsRun>,
) -> anyhow::Result<NatsRun> {
    if let Some(process) = running(layout) {
        if let Some(known) = previous.filter(|known| known.process == process)
            && verify(secrets, known).await.is_ok()
        {
            return Ok(known.clone());
        }
        // It is ours by its configuration file, but its ports are not known or it does not answer.
        process.stop(STOP_WITHIN).await;
    }
    let mut preferred = previous.map(|run| (run.port, run.monitor_port));
    for attempt in 1..=START_ATTEMPTS_MAX {
        let port = free_port(preferred.map(|(port, _)| port), &[])?;
        let monitor_port = free_port(preferred.map(|(_, port)| port), &[port])?;
        match attempt_start(layout, program, secrets, port, monitor_port).await {
            Ok(run) => return Ok(run),
            Err(error) if attempt == START_ATTEMPTS_MAX => return Err(error),
            Err(_) => preferred = None,
        }
    }
    anyhow::bail!("nats-server did not start; see {}", layout.log("nats").display())
}

/// Stops the server of this layout, however it was started.
pub(crate) async fn stop(layout: &Layout) -> Stopped {
    match running(layout) {
        Some(process) => process.stop(STOP_WITHIN).await,
        None => Stopped::WasGone,
    }
}

/// Checks a server that NATS_URL names: its release, and that JetStream is on.
pub(crate) async fn check_given(url: &str) -> anyhow::Result<()> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port { host.to_owned() } else { format!("{host}:4222") };
    let greeting = nats_greeting(&address)
        .await
        .with_context(|| format!("NATS_URL: no NATS server answers at {address}"))?;
    check_version(&greeting.version)?;
    anyhow::ensure!(greeting.jetstream, "the NATS server at {address} runs without JetStream: switch it on");
    Ok(())
}

/// Whether the server that the run file names runs, is ours, and has JetStream ready.
pub(crate) async fn verify(secrets: &Secrets, run: &NatsRun) -> anyhow::Result<()> {
    anyhow::ensure!(run.process.is_alive(), "nats-server (pid {}) does not run any more", run.process.pid);
    let greeting = nats_greeting(&format!("127.0.0.1:{}", run.port)).await?;
    anyhow::ensure!(
        greeting.server_name == secrets.nats_server_name && run.server_name == greeting.server_name,
        "the NATS server on port {} is not the one that was started here",
        run.port
    );
    let status = http_status(run.monitor_port, "/healthz?js-enabled-only=true").await?;
    anyhow::ensure!(status == 200, "nats-server is up, but JetStream is not ready ({status})");
    Ok(())
}

/// A URL with user and password of a private server.
pub(crate) fn url(secrets: &Secrets, port: u16) -> String {
    format!("nats://quipu:{}@127.0.0.1:{port}", secrets.nats)
}

async fn attempt_start(
    layout: &Layout,
    program: &Path,
    secrets: &Secrets,
    port: u16,
    monitor_port: u16,
) -> anyhow::Result<NatsRun> {
    write_config(layout, secrets, port, monitor_port)?;
    let path = layout.log("nats");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
    let mut command = std::process::Command::new(program);
    command.arg("-c").arg(layout.nats_config());
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // Its own process group: a Ctrl-C at the terminal is for the supervisor, which stops things in order.
    command.process_group(0);
    let mut child =
        Command::from(command).spawn().with_context(|| format!("{} cannot be started", program.display()))?;
    let process = child.id().and_then(ProcessMark::of).context("nats-server ended at once")?;
    let started = Instant::now();
    loop {
        let ended = child.try_wait()?;
        let candidate = NatsRun {
            process: process.clone(),
            port,
            monitor_port,
            version: String::new(),
            started_at: Utc::now(),
            server_name: secrets.nats_server_name.clone(),
            restarts: 0,
        };
        if ended.is_none() && verify(secrets, &candidate).await.is_ok() {
            let version = nats_greeting(&format!("127.0.0.1:{port}")).await?.version;
            return Ok(NatsRun { version, ..candidate });
        }
        if ended.is_some() || started.elapsed() > READY_WITHIN {
            process.stop(STOP_WITHIN).await;
            anyhow::bail!("nats-server did not start; {} ends with:\n{}", path.display(), tail(&path, 12));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn write_config(layout: &Layout, secrets: &Secrets, port: u16, monitor_port: u16) -> anyhow::Result<()> {
    let config = format!(
        "# Written anew at every start.\n\
         host: 127.0.0.1\n\
         port: {port}\n\
         http: \"127.0.0.1:{monitor_port}\"\n\
         server_name: {name}\n\
         pid_file: {pid_file}\n\
         jetstream {{ store_dir: {store} }}\n\
         authorization {{ user: quipu, password: \"{password}\" }}\n",
        name = secrets.nats_server_name,
        pid_file = quoted(&pid_file(layout)),
        store = quoted(&layout.nats_data()),
        password = secrets.nats,
    );
    write_private(&layout.nats_config(), config.as_bytes())
}

fn running(layout: &Layout) -> Option<ProcessMark> {
    let pid: u32 = std::fs::read_to_string(pid_file(layout)).ok()?.trim().parse().ok()?;
    let process = ProcessMark::of(pid)?;
    runs(pid, "nats-server", &layout.nats_config()).then_some(process)
}

fn pid_file(layout: &Layout) -> PathBuf {
    layout.nats_config().with_extension("pid")
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\""))
}

async fn version_of(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().await.ok()?;
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(line.trim().strip_prefix("nats-server: v")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_releases_without_known_losses_are_accepted() {
        for good in ["2.12.7", "v2.12.9", "2.14.0", "2.15.1", "3.0.0"] {
            assert!(check_version(good).is_ok(), "{good}");
        }
        for bad in ["2.9.10", "2.12.6", "2.13.2", "2.11.20", ""] {
            assert!(check_version(bad).is_err(), "{bad}");
        }
    }
}
