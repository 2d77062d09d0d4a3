//! One process of the product, kept running: whoever kills it says when it comes back.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use quipu::stack::processes::ProcessMark;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How soon a process that ended by itself is started again: without its database it cannot start.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How long an orderly end may take: the drain of the servers is ten seconds.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// What it is.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its program.
    pub program: PathBuf,
    /// All that it is told.
    pub environment: Vec<(&'static str, String)>,
    /// Where it logs, through all of its lives.
    pub log: PathBuf,
    /// Where it runs: a folder without settings of somebody else.
    pub folder: PathBuf,
}

/// A process under supervision. Dropped, it is killed.
pub struct Supervised {
    shared: Arc<Shared>,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<ExitStatus>>,
}

struct Shared {
    spec: Spec,
    alive: watch::Sender<Option<ProcessMark>>,
    not_before: Mutex<Instant>,
    starts: AtomicU32,
}

impl Supervised {
    /// Starts it and keeps it running.
    #[must_use]
    pub fn start(spec: Spec) -> Self {
        let shared = Arc::new(Shared {
            spec,
            alive: watch::Sender::new(None),
            not_before: Mutex::new(Instant::now()),
            starts: AtomicU32::new(0),
        });
        let stop = CancellationToken::new();
        let task = tokio::spawn(supervise(Arc::clone(&shared), stop.clone()));
        Self { shared, stop, task }
    }

    /// SIGKILL; it is started again after `down`. False if it did not run.
    #[must_use]
    pub fn kill(&self, down: Duration) -> bool {
        *self.shared.not_before.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + down;
        let alive = self.shared.alive.borrow().clone();
        alive.inspect(ProcessMark::kill).is_some()
    }

    /// SIGSTOP, and SIGCONT when the guard is dropped. `None` if it does not run.
    #[must_use]
    pub fn freeze(&self) -> Option<Frozen> {
        Frozen::of(self.shared.alive.borrow().clone()?)
    }

    /// How often it was started.
    #[must_use]
    pub fn starts(&self) -> u32 {
        self.shared.starts.load(Ordering::Relaxed)
    }

    /// Its memory in KiB. `None` if it does not run.
    #[must_use]
    pub fn memory_kib(&self) -> Option<u64> {
        let pid = self.shared.alive.borrow().as_ref()?.pid;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    }

    /// Asks it to end, and says how it did.
    ///
    /// # Errors
    /// If it does not end in time; it is killed then.
    pub async fn stop(self) -> anyhow::Result<ExitStatus> {
        self.stop.cancel();
        self.task.await?
    }
}

/// A process that stands still until this is dropped.
#[derive(Debug)]
pub struct Frozen(ProcessMark);

impl Frozen {
    /// Stops it. `None` if it is gone.
    #[must_use]
    pub fn of(process: ProcessMark) -> Option<Self> {
        signal(&process, Signal::STOP).then_some(Self(process))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // Gone meanwhile: it was killed as it stood.
        signal(&self.0, Signal::CONT);
    }
}

fn signal(process: &ProcessMark, signal: Signal) -> bool {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    process.is_alive() && pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

async fn supervise(shared: Arc<Shared>, stop: CancellationToken) -> anyhow::Result<ExitStatus> {
    loop {
        let not_before = *shared.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        tokio::time::sleep_until(not_before).await;
        let mut child = spawn(&shared.spec)?;
        shared.starts.fetch_add(1, Ordering::Relaxed);
        let process = child.id().and_then(ProcessMark::of);
        shared.alive.send_replace(process.clone());
        let ended = tokio::select! {
            ended = child.wait() => Some(ended?),
            () = stop.cancelled() => None,
        };
        if ended.is_none() {
            process.inspect(ProcessMark::terminate);
            let status = tokio::time::timeout(STOP_WITHIN, child.wait()).await;
            shared.alive.send_replace(None);
            return Ok(status.with_context(|| format!("{} does not stop", shared.spec.log.display()))??);
        }
        shared.alive.send_replace(None);
        let mut not_before = shared.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        *not_before = (*not_before).max(Instant::now() + AGAIN_AFTER);
    }
}

fn spawn(spec: &Spec) -> anyhow::Result<Child> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&spec.log)?;
    Command::new(&spec.program)
        .env_clear()
        .current_dir(&spec.folder)
        .envs(spec.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} cannot be started: build the workspace", spec.program.display()))
}
