//! `run.json`: what runs, and by what it is recognised. Written by the supervisor only, read by every command.
//!
//! It is a claim, not a proof: a reader checks process marks, PostgreSQL's system identifier and the name of the
//! NATS server before it believes a line of it. It holds no secret.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::layout::{Layout, write_private};
use super::processes::ProcessMark;

/// How far the supervisor has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Parts are being started.
    Starting,
    /// Every part has answered.
    Ready,
    /// Parts are being stopped.
    Stopping,
}

/// What runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunFile {
    /// How far the supervisor has come.
    pub phase: Phase,
    /// The process that started the rest and keeps it up.
    pub supervisor: ProcessMark,
    /// Our PostgreSQL; absent if DATABASE_URL names another.
    pub postgres: Option<PostgresRun>,
    /// Our NATS; absent if NATS_URL names another.
    pub nats: Option<NatsRun>,
    /// What services are told to be the address that people see. Files of older builds do not have it.
    #[serde(default)]
    pub public_url: Option<String>,
    /// The services; none if only the servers were wanted.
    pub services: Vec<ServiceRun>,
}

/// A PostgreSQL server of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresRun {
    /// The postmaster.
    pub process: ProcessMark,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// As the server says it.
    pub version: String,
    /// When it was started.
    pub started_at: DateTime<Utc>,
    /// Given to the data at its making; no other cluster has it.
    pub system_identifier: String,
    /// How often the supervisor had to start it again.
    #[serde(default)]
    pub restarts: u32,
}

/// A NATS server of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsRun {
    /// The server.
    pub process: ProcessMark,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Its port for health checks.
    pub monitor_port: u16,
    /// As the server says it.
    pub version: String,
    /// When it was started.
    pub started_at: DateTime<Utc>,
    /// Random, so no other server has it.
    pub server_name: String,
    /// How often the supervisor had to start it again.
    #[serde(default)]
    pub restarts: u32,
}

/// A service of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRun {
    /// The name of its program.
    pub name: String,
    /// The process.
    pub process: ProcessMark,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The port on 127.0.0.1 where it shows its metrics.
    pub metrics_port: u16,
    /// When this process was started.
    pub started_at: DateTime<Utc>,
    /// How often the supervisor had to start it again.
    pub restarts: u32,
}

impl RunFile {
    /// Reads the file; `None` if there is none.
    pub fn read(layout: &Layout) -> anyhow::Result<Option<Self>> {
        let path = layout.run_file();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        serde_json::from_slice(&text).map(Some).with_context(|| {
            format!("{} is damaged: stop what it names by hand and delete it", path.display())
        })
    }

    /// Replaces the file.
    pub fn write(&self, layout: &Layout) -> anyhow::Result<()> {
        write_private(&layout.run_file(), &serde_json::to_vec_pretty(self)?)
    }

    /// A service by its name.
    pub fn service(&self, name: &str) -> Option<&ServiceRun> {
        self.services.iter().find(|service| service.name == name)
    }

    /// Whether any process that the file names still lives.
    pub fn any_alive(&self) -> bool {
        self.postgres.iter().any(|run| run.process.is_alive())
            || self.nats.iter().any(|run| run.process.is_alive())
            || self.services.iter().any(|run| run.process.is_alive())
    }
}
