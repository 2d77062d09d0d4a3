//! `down`, `status`, `reset` and `logs`: what a person does with a stack that runs, or ran.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::layout::{Layout, tail};
use super::probe::http_status;
use super::processes::{ProcessMark, Stopped};
use super::run_file::{Phase, RunFile};
use super::secrets::Secrets;
use super::supervisor::{is_supervised, stop_parts, take_lock};
use super::{nats, postgres};
use crate::console;

const SUPERVISOR_STOP_WITHIN: Duration = Duration::from_secs(120);
const FOLLOW_INTERVAL: Duration = Duration::from_millis(300);

/// One line of `quipu status`.
#[derive(Debug, Serialize)]
pub struct PartStatus {
    /// `postgres`, `nats`, or the name of a service.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The version it reports; that of this build for a service.
    pub version: String,
    /// Whether it lives, is ours and answers.
    pub ready: bool,
    /// Seconds since its start; absent if it does not run.
    pub uptime_seconds: Option<i64>,
    /// How often the supervisor started it again.
    pub restarts: u32,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The whole of `quipu status`.
#[derive(Debug, Serialize)]
pub struct StackStatus {
    /// Whether a supervisor lives and every part is ready.
    pub ready: bool,
    /// `stopped`, `starting`, `ready`, `stopping`, or `unsupervised` if the supervisor was killed.
    pub phase: &'static str,
    /// The supervisor's process.
    pub supervisor_pid: Option<u32>,
    /// Every part.
    pub parts: Vec<PartStatus>,
}

/// Looks at every part afresh; the file of a stack that was stopped names nothing that runs.
pub async fn status(layout: &Layout) -> anyhow::Result<StackStatus> {
    let supervised = is_supervised(layout)?;
    let run = RunFile::read(layout)?.filter(|run| supervised || run.any_alive());
    let Some(run) = run else {
        return Ok(StackStatus { ready: false, phase: "stopped", supervisor_pid: None, parts: Vec::new() });
    };
    let secrets = Secrets::read(layout)?;
    let mut parts = Vec::new();
    if let Some(it) = &run.postgres {
        let seen = postgres::verify(layout, &secrets, it).await;
        parts.push(part("postgres", &it.process, it.port, &it.version, it.started_at, it.restarts, seen));
    }
    if let Some(it) = &run.nats {
        let seen = nats::verify(&secrets, it).await;
        parts.push(part("nats", &it.process, it.port, &it.version, it.started_at, it.restarts, seen));
    }
    for it in &run.services {
        let seen = service_ready(&it.process, it.port).await;
        let version = env!("CARGO_PKG_VERSION");
        parts.push(part(&it.name, &it.process, it.port, version, it.started_at, it.restarts, seen));
    }
    let phase = match (supervised, run.phase) {
        (true, Phase::Starting) => "starting",
        (true, Phase::Ready) => "ready",
        (true, Phase::Stopping) => "stopping",
        (false, _) => "unsupervised",
    };
    let ready = phase == "ready" && parts.iter().all(|part| part.ready);
    Ok(StackStatus { ready, phase, supervisor_pid: supervised.then_some(run.supervisor.pid), parts })
}

impl StackStatus {
    /// A table for people.
    pub fn table(&self) -> String {
        let mut lines = vec![format!("stack: {}", self.phase)];
        if !self.parts.is_empty() {
            lines.push(format!(
                "{:<12} {:>8} {:>6} {:<10} {:<6} {:>9} {:>8}",
                "PART", "PID", "PORT", "VERSION", "READY", "UPTIME", "RESTARTS"
            ));
        }
        for part in &self.parts {
            let uptime = part.uptime_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s"));
            let ready = if part.ready { "yes" } else { "no" };
            lines.push(format!(
                "{:<12} {:>8} {:>6} {:<10} {ready:<6} {uptime:>9} {:>8}",
                part.name, part.pid, part.port, part.version, part.restarts
            ));
            lines.extend(part.reason.iter().map(|reason| format!("{:<12} {reason}", "")));
        }
        lines.join("\n")
    }
}

/// Stops everything, whether or not its supervisor still lives, and says how each part went.
pub async fn down(layout: &Layout) -> anyhow::Result<Vec<(String, Stopped)>> {
    let Some(run) = RunFile::read(layout)? else { return Ok(Vec::new()) };
    let mut report = Vec::new();
    if is_supervised(layout)? && run.supervisor.is_alive() {
        let names = run.services.iter().map(|service| (service.name.clone(), &service.process));
        let nats = run.nats.iter().map(|it| ("nats".to_owned(), &it.process));
        let postgres = run.postgres.iter().map(|it| ("postgres".to_owned(), &it.process));
        let before: Vec<(String, &ProcessMark)> =
            names.chain(nats).chain(postgres).filter(|(_, process)| process.is_alive()).collect();
        run.supervisor.terminate();
        let obeyed = run.supervisor.gone_within(SUPERVISOR_STOP_WITHIN).await;
        if !obeyed {
            run.supervisor.kill();
        }
        for (name, process) in before {
            if !process.is_alive() {
                report.push((name, Stopped::Gracefully));
            }
        }
        report.push(("supervisor".to_owned(), if obeyed { Stopped::Gracefully } else { Stopped::ByForce }));
    }
    // What a killed supervisor left behind, with the lock held so that no `up` starts it again meanwhile.
    let _lock = take_lock(layout)?;
    let left = RunFile::read(layout)?.unwrap_or(run);
    let leftovers = stop_parts(layout, &left).await;
    report.extend(leftovers.into_iter().filter(|(_, stopped)| *stopped != Stopped::WasGone));
    if left.any_alive() {
        anyhow::bail!("something did not stop; see `quipu status`");
    }
    Ok(report)
}

/// Stops everything and deletes the data; the fetched servers stay.
pub async fn reset(layout: &Layout, confirmed: bool) -> anyhow::Result<()> {
    let doomed = layout.disposable();
    let names = doomed.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n  ");
    if doomed.is_empty() {
        console::note("there is nothing to delete");
        return Ok(());
    }
    anyhow::ensure!(
        confirmed,
        "this stops the stack and deletes all of its data and keys for ever; to do so, add --yes. It would \
         delete:\n  {names}"
    );
    down(layout).await?;
    for path in &doomed {
        let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{} cannot be deleted", path.display()));
            }
            _ => console::note(format_args!("deleted {}", path.display())),
        }
    }
    Ok(())
}

/// Prints the last lines of the logs, and goes on with what is written if asked to.
pub async fn logs(layout: &Layout, part: Option<&str>, lines: usize, follow: bool) -> anyhow::Result<()> {
    let mut paths = match part {
        Some(part) => vec![layout.log(part)],
        None => std::fs::read_dir(layout.logs())?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            .collect(),
    };
    paths.sort();
    let missing = paths.iter().find(|path| !path.exists());
    if let Some(path) = missing {
        anyhow::bail!(
            "there is no log {}: name postgres, nats, command-api, query-api or projector",
            path.display()
        );
    }
    let mut followed = Vec::new();
    for path in paths {
        console::data(format_args!("==> {} <==\n{}", path.display(), tail(&path, lines)));
        let mut file = std::fs::File::open(&path)?;
        file.seek(SeekFrom::End(0))?;
        followed.push(file);
    }
    if !follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(FOLLOW_INTERVAL).await;
        for file in &mut followed {
            let mut more = Vec::new();
            file.read_to_end(&mut more)?;
            std::io::stdout().write_all(&more)?;
        }
    }
}

/// Whether every part that the run file names lives, is ours and answers.
pub(crate) async fn verify(layout: &Layout, secrets: &Secrets, run: &RunFile) -> anyhow::Result<()> {
    if let Some(it) = &run.postgres {
        postgres::verify(layout, secrets, it).await?;
    }
    if let Some(it) = &run.nats {
        nats::verify(secrets, it).await?;
    }
    for it in &run.services {
        service_ready(&it.process, it.port).await.with_context(|| format!("{} is not ready", it.name))?;
    }
    Ok(())
}

async fn service_ready(process: &ProcessMark, port: u16) -> anyhow::Result<()> {
    anyhow::ensure!(process.is_alive(), "it does not run any more");
    let status = http_status(port, "/readyz").await?;
    anyhow::ensure!(status == 200, "/readyz answers {status}");
    Ok(())
}

fn part(
    name: &str,
    process: &ProcessMark,
    port: u16,
    version: &str,
    started_at: DateTime<Utc>,
    restarts: u32,
    seen: anyhow::Result<()>,
) -> PartStatus {
    let uptime = Utc::now().signed_duration_since(started_at).num_seconds();
    PartStatus {
        name: name.to_owned(),
        pid: process.pid,
        port,
        version: version.to_owned(),
        ready: seen.is_ok(),
        uptime_seconds: process.is_alive().then_some(uptime),
        restarts,
        reason: seen.err().map(|error| format!("{error:#}")),
    }
}
