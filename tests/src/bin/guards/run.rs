//! Runs one test in a process of its own, with a guard or without, and says what became of it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use sabotage::Guard;
use serde_json::Value;
use tokio::process::Command;

use crate::table::{Case, Program};

/// Longest run of one test. A test that hangs without its guard has noticed too, but says less.
const RUN_TIME_MAX: Duration = Duration::from_secs(120);
/// Characters of a reason that are shown.
const REASON_CHARS_MAX: usize = 110;

/// What became of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It passed.
    Passed,
    /// It failed, and why.
    Failed(String),
    /// There is no such test, or it was not run.
    Absent,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
            Self::Absent => f.write_str("was not run: is it called so?"),
        }
    }
}

/// The test programs, with switches.
pub(crate) struct Programs {
    /// By the name of the target: the program, and the folder that it runs in.
    found: BTreeMap<String, (PathBuf, PathBuf)>,
}

impl Programs {
    /// Builds them.
    pub(crate) async fn build() -> anyhow::Result<Self> {
        let mut cargo = Command::new("cargo");
        cargo.args(["test", "--locked", "--no-run", "--message-format", "json-render-diagnostics"]);
        cargo.args(["--workspace", "--features", "tests/sabotage"]);
        cargo.stderr(Stdio::inherit()).stdout(Stdio::piped()).kill_on_drop(true);
        let built = cargo.spawn()?.wait_with_output().await?;
        anyhow::ensure!(built.status.success(), "the tests cannot be built");
        let mut found = BTreeMap::new();
        for line in String::from_utf8(built.stdout)?.lines() {
            let message: Value = serde_json::from_str(line)?;
            let text =
                |pointer: &str| message.pointer(pointer).and_then(Value::as_str).map(ToOwned::to_owned);
            let test = message.pointer("/profile/test").and_then(Value::as_bool);
            let parts = (text("/target/name"), text("/executable"), text("/manifest_path"));
            if let (Some(true), (Some(name), Some(program), Some(manifest))) = (test, parts) {
                let folder = PathBuf::from(manifest).parent().context("a folder")?.to_owned();
                found.insert(name.replace('-', "_"), (program.into(), folder));
            }
        }
        Ok(Self { found })
    }

    /// Runs one test, alone.
    pub(crate) async fn run(&self, case: Case, without: Option<Guard>) -> anyhow::Result<Outcome> {
        let Case(program, name) = case;
        let (program, folder) = self.found.get(target(program)).context("no such test program")?;
        let mut command = Command::new(program);
        command.args(["--exact", name]).current_dir(folder).env_remove("QUIPU_SABOTAGE");
        command.env("RUST_BACKTRACE", "0").stdin(Stdio::null()).kill_on_drop(true);
        if let Some(guard) = without {
            command.env("QUIPU_SABOTAGE", guard.name());
        }
        let Ok(output) = tokio::time::timeout(RUN_TIME_MAX, command.output()).await else {
            return Ok(Outcome::Failed(format!("it was not done after {} s", RUN_TIME_MAX.as_secs())));
        };
        let output = output?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(if said.contains("test result: ok. 1 passed") {
            Outcome::Passed
        } else if output.status.success() {
            Outcome::Absent
        } else {
            Outcome::Failed(reason(&said).or_else(|| reason(&complained)).unwrap_or_default())
        })
    }
}

/// The name of the target that cargo builds a program from.
const fn target(program: Program) -> &'static str {
    match program {
        Program::Whole => "it",
        Program::Kit => "service_kit",
        Program::Edges => "edges",
    }
}

/// The first line that says what was not as it should be.
fn reason(output: &str) -> Option<String> {
    let mut lines = output.lines();
    let line = lines.find(|it| it.contains("panicked at ") || it.starts_with("Error: "))?;
    let line = match line.strip_prefix("Error: ") {
        Some(error) => error,
        None => lines.next().unwrap_or(line),
    };
    Some(line.chars().take(REASON_CHARS_MAX).collect())
}
