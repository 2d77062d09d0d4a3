//! The three service processes: what each is told, on which port, and when it counts as ready.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::Utc;
use event_store::erasure_journal::{Journal, JournalError};
use tokio::process::{Child, Command};

use super::connections::Connections;
use super::layout::{Layout, tail};
use super::probe::http_status;
use super::processes::ProcessMark;
use super::run_file::ServiceRun;

/// What the private stack's tokens say in `aud`.
pub const AUDIENCE: &str = "quipu-api";

/// The address that people see, if it is not said in `QUIPU_PUBLIC_URL`: this machine by its name, since browsers take
/// passkeys for names alone (Web Authentication Level 3, section 5.1.2, "effective domain").
pub(crate) fn public_url(pages: u16) -> String {
    std::env::var("QUIPU_PUBLIC_URL").unwrap_or_else(|_| format!("http://localhost:{pages}"))
}

const READY_WITHIN: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const LOG_LINES_SHOWN: usize = 20;

/// The ports of a service on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    /// Where it does its work.
    pub(crate) service: u16,
    /// Where it shows its metrics.
    pub(crate) metrics: u16,
}

/// One service.
pub(crate) struct Service {
    /// The name of its program, which lies beside ours.
    pub(crate) name: &'static str,
    /// Its ports, for its work and for its metrics, if nobody else has them.
    pub(crate) preferred_ports: Ports,
    role: &'static str,
    further_roles: &'static [(&'static str, &'static str)],
}

/// The service whose pages people see; the others are told where it is, so it starts first.
pub(crate) const PAGES: &str = "command-api";

/// Every service, in the order of their start.
pub(crate) const SERVICES: [Service; 3] = [
    Service {
        name: "command-api",
        preferred_ports: Ports { service: 8080, metrics: 9180 },
        role: "quipu_command",
        further_roles: &[],
    },
    Service {
        name: "query-api",
        preferred_ports: Ports { service: 8081, metrics: 9181 },
        role: "quipu_query",
        further_roles: &[],
    },
    Service {
        name: "projector",
        preferred_ports: Ports { service: 8082, metrics: 9182 },
        role: "quipu_projector",
        further_roles: &[("REACTOR_DATABASE_URL", "quipu_reactor")],
    },
];

impl Service {
    /// Starts the process; it is not ready yet. `public_url` is the address that people see.
    pub(crate) fn spawn(
        &self,
        layout: &Layout,
        connections: &Connections,
        ports: Ports,
        public_url: &str,
        restarts: u32,
    ) -> anyhow::Result<(Child, ServiceRun)> {
        let program = beside_us(self.name)?;
        let path = layout.log(self.name);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
        let mut command = std::process::Command::new(&program);
        command.envs(self.environment(layout, connections, ports)?);
        command.env("QUIPU_PUBLIC_URL", public_url);
        // A twin of the caller's would contradict what is set here; and an issuer what is minted here.
        for name in ["DATABASE_URL_FILE", "REACTOR_DATABASE_URL_FILE", "NATS_URL_FILE", "QUIPU_TOKEN_ISSUER"]
        {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Its own process group: a Ctrl-C at the terminal is for the supervisor, which stops things in order.
        command.process_group(0);
        let child = Command::from(command).spawn().with_context(|| {
            format!("{} cannot be started: build the workspace (./dev does)", program.display())
        })?;
        let process = child.id().and_then(ProcessMark::of).with_context(|| self.failure(layout))?;
        let run = ServiceRun {
            name: self.name.to_owned(),
            process,
            port: ports.service,
            metrics_port: ports.metrics,
            started_at: Utc::now(),
            restarts,
        };
        Ok((child, run))
    }

    /// Waits until the service says that it is ready.
    pub(crate) async fn ready(&self, layout: &Layout, run: &ServiceRun) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            anyhow::ensure!(run.process.is_alive(), self.failure(layout));
            if http_status(run.port, "/readyz").await.is_ok_and(|status| status == 200) {
                return Ok(());
            }
            anyhow::ensure!(
                started.elapsed() < READY_WITHIN,
                "{} is not ready after {} s; {} ends with:\n{}",
                self.name,
                READY_WITHIN.as_secs(),
                layout.log(self.name).display(),
                tail(&layout.log(self.name), LOG_LINES_SHOWN)
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    fn failure(&self, layout: &Layout) -> String {
        let log = layout.log(self.name);
        format!("{} ended; {} ends with:\n{}", self.name, log.display(), tail(&log, LOG_LINES_SHOWN))
    }

    fn environment(
        &self,
        layout: &Layout,
        connections: &Connections,
        ports: Ports,
    ) -> anyhow::Result<BTreeMap<&'static str, String>> {
        let mut environment = BTreeMap::from([
            ("DATABASE_URL", connections.database_url_of(self.role)?),
            ("NATS_URL", connections.nats_url.clone()),
            ("QUIPU_LISTEN", format!("127.0.0.1:{}", ports.service)),
            ("QUIPU_METRICS_LISTEN", format!("127.0.0.1:{}", ports.metrics)),
            ("QUIPU_KEY_DIR", layout.keys().display().to_string()),
            ("QUIPU_ERASURE_JOURNAL", erasure_journal(layout)?),
            ("QUIPU_TOKEN_AUDIENCE", AUDIENCE.to_owned()),
        ]);
        for (variable, role) in self.further_roles {
            environment.insert(variable, connections.database_url_of(role)?);
        }
        Ok(environment)
    }
}

/// The journal of erasures of this stack, which is as old as the stack itself.
fn erasure_journal(layout: &Layout) -> anyhow::Result<String> {
    let path = layout.erasures();
    match Journal::create(&path) {
        Ok(()) | Err(JournalError::Exists(_)) => Ok(path.display().to_string()),
        Err(error) => Err(error.into()),
    }
}

/// A program of the workspace: all of them are built into one folder.
fn beside_us(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("our own program cannot be found")?;
    let folder = own.parent().context("our own program lies in no folder")?;
    Ok(folder.join(name))
}
