//! Processes by an identity that survives the reuse of a pid, and signals that reach only them.
//!
//! A pid alone is worthless after a crash: the number may belong to anybody by then. A [`ProcessMark`] adds the
//! process's start time and the boot of the machine, both read from `/proc`, so this module works on Linux only.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// One process, never mistaken for a later one with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMark {
    /// The process id.
    pub pid: u32,
    started_ticks: u64,
    boot: String,
}

impl ProcessMark {
    /// Marks a living process; `None` if there is none, or only a zombie.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command name stands in brackets and may itself hold brackets and blanks.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next()?;
        if matches!(state, "Z" | "X") {
            return None;
        }
        let started_ticks = fields.nth(18)?.parse().ok()?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        Some(Self { pid, started_ticks, boot })
    }

    /// Marks the process that runs this code.
    pub fn own() -> anyhow::Result<Self> {
        Self::of(std::process::id()).context("/proc is not readable: the stack runs on Linux only")
    }

    /// Whether this very process still lives.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Asks the process to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// What PostgreSQL calls a fast shutdown.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// What PostgreSQL calls an immediate shutdown.
    pub(crate) fn quit(&self) {
        self.signal(Signal::QUIT);
    }

    /// Ends the process at once.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if !self.is_alive() {
            return;
        }
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // It may have ended since it was looked at, which is what was wanted.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits until the process is gone; says whether it went in time.
    pub async fn gone_within(&self, limit: Duration) -> bool {
        let started = Instant::now();
        while self.is_alive() {
            if started.elapsed() > limit {
                return false;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        true
    }

    /// Asks the process to end, and ends it by force if it does not within the limit.
    pub async fn stop(&self, limit: Duration) -> Stopped {
        if !self.is_alive() {
            return Stopped::WasGone;
        }
        self.terminate();
        if self.gone_within(limit).await {
            return Stopped::Gracefully;
        }
        self.kill();
        self.gone_within(Duration::from_secs(5)).await;
        Stopped::ByForce
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It did not run any more.
    WasGone,
    /// It ended when asked.
    Gracefully,
    /// It had to be killed.
    ByForce,
}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::WasGone => "was not running",
            Self::Gracefully => "stopped",
            Self::ByForce => "killed, as it did not stop in time",
        })
    }
}

/// Whether a process runs a program of this name and was started with this argument.
pub(crate) fn runs(pid: u32, program: &str, argument: &Path) -> bool {
    let Ok(command_line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let mut words = command_line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let named = words.next().is_some_and(|first| Path::new(first.as_ref()).ends_with(program));
    named && words.any(|word| Path::new(word.as_ref()) == argument)
}

/// A program on the search path.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}
