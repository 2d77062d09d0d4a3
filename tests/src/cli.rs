//! The program `quipu`, run as a person or a script would run it.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use domain::ids::TenantId;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::stack::Stack;
use crate::tools;

/// The program, told where a test's stack is and as whom to ask.
pub struct Cli {
    folder: TempDir,
    query_url: String,
}

/// What a run left behind.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub out: String,
    /// What it said beside that.
    pub talk: String,
}

impl Ran {
    /// The lines of its data, each read as JSON.
    ///
    /// # Errors
    /// If one is none.
    pub fn json_lines(&self) -> anyhow::Result<Vec<Value>> {
        self.out.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }
}

impl Cli {
    /// For an owner of a tenant.
    ///
    /// # Errors
    /// If the program was not built.
    pub fn owner(stack: &Stack, tenant: TenantId) -> anyhow::Result<Self> {
        Self::bearing(stack, &stack.owner(tenant)?)
    }

    /// For whoever bears a token.
    ///
    /// # Errors
    /// If the program was not built.
    pub fn bearing(stack: &Stack, token: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("token"), token)?;
        std::fs::write(folder.path().join("database"), stack.database.url("quipu_projector")?)?;
        Ok(Self { folder, query_url: stack.query_url.clone() })
    }

    /// A file among those of this caller.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Prepares a run.
    ///
    /// # Errors
    /// If the program was not built.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(program()?);
        command
            .env_clear()
            .envs(tools::counts())
            .env("QUIPU_DIR", self.file("stack"))
            .env("QUIPU_QUERY_URL", &self.query_url)
            .env("QUIPU_TOKEN_FILE", self.file("token"))
            .env("PROJECTOR_DATABASE_URL_FILE", self.file("database"))
            .env("NATS_URL_FILE", self.file("nats"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(command)
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// If it cannot be run, or does not print text.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        let output = self.command(arguments)?.output().await?;
        Ok(Ran {
            code: output.status.code().context("it was killed")?,
            out: String::from_utf8(output.stdout)?,
            talk: String::from_utf8(output.stderr)?,
        })
    }

    /// Runs something that has to succeed.
    ///
    /// # Errors
    /// If it does not.
    pub async fn good(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        let ran = self.run(arguments).await?;
        ensure!(ran.code == 0, "{arguments:?}: {ran:?}");
        Ok(ran)
    }

    /// Starts something that goes on.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn start(&self, arguments: &[&str]) -> anyhow::Result<Child> {
        Ok(self.command(arguments)?.spawn()?)
    }
}

/// Beside the test program, where cargo puts both.
///
/// # Errors
/// If it was not built.
pub fn program() -> anyhow::Result<PathBuf> {
    let tests = std::env::current_exe()?;
    let target = tests.parent().and_then(|it| it.parent()).context("a target folder")?;
    let program = target.join("quipu");
    ensure!(program.exists(), "quipu was not built: run the tests with ./dev test");
    Ok(program)
}
