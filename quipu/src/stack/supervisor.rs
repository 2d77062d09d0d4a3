//! Starts the parts of a stack in order, keeps them up, and stops them in the opposite order.
//!
//! One supervisor at a time: it holds a lock on a file for as long as it lives, so the lock, unlike a pid, cannot
//! outlive it. A supervisor that was killed leaves its servers behind; the next one takes them over if they prove to
//! be ours, and starts the services anew.

use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use service_kit::config::KeyConfig;
use service_kit::token::generate_keys;
use tokio::process::Child;

use super::connections::{Connections, Given};
use super::layout::{Layout, make_private_dir};
use super::ports::free_port;
use super::postgres::{PostgresAge, Programs};
use super::processes::{ProcessMark, Stopped};
use super::run_file::{NatsRun, Phase, PostgresRun, RunFile};
use super::secrets::Secrets;
use super::services::{PAGES, Ports, SERVICES, Service, public_url};
use super::{database, nats, postgres};
use crate::console;

const WATCH_INTERVAL: Duration = Duration::from_millis(500);
const SERVICE_STOP_WITHIN: Duration = Duration::from_secs(20);
const LOCK_ATTEMPTS_MAX: u32 = 5;
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(10);
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// What is said in front of why a service does not start: what mends it may need the database, which stops with it.
const MENDED_WITHOUT_SERVICES: &str = "a service does not start, and everything is stopped; `quipu up --servers-only` starts \
                                       PostgreSQL and NATS alone, for a command that mends it";
/// A part that has lived this long starts its backoff over.
const STEADY_AFTER: Duration = Duration::from_secs(30);

/// What a supervisor starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// PostgreSQL, NATS and the services.
    All,
    /// PostgreSQL and NATS.
    Servers,
}

/// The supervisor of one layout.
pub struct Supervisor {
    layout: Layout,
    age: PostgresAge,
    parts: Parts,
    given: Given,
    secrets: Secrets,
    programs: Option<Programs>,
    nats_program: Option<PathBuf>,
    run: RunFile,
    children: Vec<(&'static str, Child)>,
    backoffs: Vec<Backoff>,
    _lock: File,
}

struct Backoff {
    name: &'static str,
    delay: Duration,
    last_attempt: Instant,
}

impl Supervisor {
    /// Takes the lock; `None` if another supervisor has it.
    pub fn begin(
        layout: &Layout,
        age: PostgresAge,
        parts: Parts,
        given: Given,
    ) -> anyhow::Result<Option<Self>> {
        let Some(lock) = insist_on_lock(layout)? else { return Ok(None) };
        let secrets = Secrets::obtain(layout)?;
        let previous = RunFile::read(layout)?;
        let run = RunFile {
            phase: Phase::Starting,
            supervisor: ProcessMark::own()?,
            postgres: previous.as_ref().and_then(|run| run.postgres.clone()),
            nats: previous.as_ref().and_then(|run| run.nats.clone()),
            public_url: None,
            services: previous.map(|run| run.services).unwrap_or_default(),
        };
        run.write(layout)?;
        Ok(Some(Self {
            layout: layout.clone(),
            age,
            parts,
            given,
            secrets,
            programs: None,
            nats_program: None,
            run,
            children: Vec::new(),
            backoffs: Vec::new(),
            _lock: lock,
        }))
    }

    /// What runs now.
    pub fn run_file(&self) -> &RunFile {
        &self.run
    }

    /// Starts everything and returns when all of it is ready.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        for orphan in &self.run.services {
            orphan.process.stop(SERVICE_STOP_WITHIN).await;
        }
        self.start_servers().await?;
        make_private_dir(&self.layout.keys())?;
        generate_keys(&KeyConfig::at(self.layout.keys())).context("the signing keys cannot be made")?;
        match self.parts {
            Parts::All => self.start_services().await.context(MENDED_WITHOUT_SERVICES)?,
            Parts::Servers => self.run.services.clear(),
        }
        self.run.phase = Phase::Ready;
        self.run.write(&self.layout)
    }

    async fn start_services(&mut self) -> anyhow::Result<()> {
        for service in &SERVICES {
            self.start_service(service, 0)?;
        }
        for service in &SERVICES {
            let run = self.run.service(service.name).context("a service was not started")?;
            service.ready(&self.layout, run).await?;
        }
        Ok(())
    }

    /// Starts PostgreSQL and NATS and prepares the database, without any service.
    async fn start_servers(&mut self) -> anyhow::Result<()> {
        match self.given.database_url.clone() {
            Some(url) => {
                self.run.postgres = None;
                database::prepare_given(&url, &self.secrets, self.age).await?;
            }
            None => {
                self.start_postgres(0).await?;
                let port =
                    self.run.postgres.as_ref().map(|run| run.port).context("PostgreSQL was not started")?;
                let url = postgres::superuser_url(&self.secrets, port, "postgres");
                database::prepare_own(&url, database::DATABASE, &self.secrets).await?;
            }
        }
        match self.given.nats_url.clone() {
            Some(url) => {
                self.run.nats = None;
                nats::check_given(&url).await?;
            }
            None => self.start_nats(0).await?,
        }
        self.run.write(&self.layout)
    }

    /// Keeps everything up until `stop` is done. Failures to mend are told and tried again, never given up: what is
    /// down may be waiting for a disk or a port that a person is about to free.
    pub async fn watch(&mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(WATCH_INTERVAL) => self.mend().await,
            }
        }
    }

    /// Stops services, then NATS, then PostgreSQL, and says how each went.
    pub async fn stop(&mut self) -> Vec<(String, Stopped)> {
        self.run.phase = Phase::Stopping;
        if let Err(error) = self.run.write(&self.layout) {
            console::note(format_args!("{error:#}"));
        }
        stop_parts(&self.layout, &self.run).await
    }

    async fn mend(&mut self) {
        self.reap();
        let ended = self.run.postgres.as_ref().filter(|run| !run.process.is_alive());
        if let Some((port, restarts)) = ended.map(|run| (run.port, run.restarts.saturating_add(1)))
            && self.may_retry("postgres")
        {
            tell_ended("postgres", restarts);
            let result = self.start_postgres(restarts).await;
            tell("postgres", result);
            self.renew_services_unless(self.run.postgres.as_ref().is_some_and(|run| run.port == port));
        }
        let ended = self.run.nats.as_ref().filter(|run| !run.process.is_alive());
        if let Some((port, restarts)) = ended.map(|run| (run.port, run.restarts.saturating_add(1)))
            && self.may_retry("nats")
        {
            tell_ended("nats", restarts);
            let result = self.start_nats(restarts).await;
            tell("nats", result);
            self.renew_services_unless(self.run.nats.as_ref().is_some_and(|run| run.port == port));
        }
        for service in &SERVICES {
            let Some(run) = self.run.service(service.name) else { continue };
            if run.process.is_alive() {
                continue;
            }
            let restarts = run.restarts.saturating_add(1);
            if self.may_retry(service.name) {
                tell_ended(service.name, restarts);
                let result = self.start_service(service, restarts);
                tell(service.name, result);
            }
        }
    }

    /// A server that came back on another port, since somebody took its own, needs services that know the new one.
    fn renew_services_unless(&self, same_port: bool) {
        if !same_port {
            self.run.services.iter().for_each(|service| service.process.terminate());
        }
    }

    async fn start_postgres(&mut self, restarts: u32) -> anyhow::Result<()> {
        if self.programs.is_none() {
            self.programs = Some(Programs::obtain(&self.layout, self.age).await?);
        }
        let programs = self.programs.as_ref().context("PostgreSQL was not found")?;
        let run = postgres::start(&self.layout, programs, &self.secrets, self.run.postgres.as_ref()).await?;
        self.run.postgres = Some(PostgresRun { restarts, ..run });
        self.run.write(&self.layout)
    }

    async fn start_nats(&mut self, restarts: u32) -> anyhow::Result<()> {
        if self.nats_program.is_none() {
            self.nats_program = Some(nats::obtain(&self.layout).await?);
        }
        let program = self.nats_program.as_ref().context("nats-server was not found")?;
        let run = nats::start(&self.layout, program, &self.secrets, self.run.nats.as_ref()).await?;
        self.run.nats = Some(NatsRun { restarts, ..run });
        self.run.write(&self.layout)
    }

    fn start_service(&mut self, service: &'static Service, restarts: u32) -> anyhow::Result<()> {
        let connections = Connections::of(&self.run, &self.given, &self.secrets)?;
        let others = self.run.services.iter().filter(|run| run.name != service.name);
        let mut taken: Vec<u16> = others.flat_map(|run| [run.port, run.metrics_port]).collect();
        // Clients know the ports of a service that comes back; a new start tries the usual ones first.
        let known = self.run.service(service.name).filter(|_| restarts > 0);
        let known = known.map(|run| Ports { service: run.port, metrics: run.metrics_port });
        let wanted = known.unwrap_or(service.preferred_ports);
        let port = free_port(Some(wanted.service), &taken)?;
        taken.push(port);
        let ports = Ports { service: port, metrics: free_port(Some(wanted.metrics), &taken)? };
        let pages = self.run.service(PAGES).filter(|_| service.name != PAGES).map_or(port, |run| run.port);
        let public_url = public_url(pages);
        let (child, run) = service.spawn(&self.layout, &connections, ports, &public_url, restarts)?;
        self.run.public_url = Some(public_url);
        self.run.services.retain(|known| known.name != service.name);
        self.run.services.push(run);
        self.children.push((service.name, child));
        self.run.write(&self.layout)
    }

    /// Collects ended children, so that none stays a zombie, and says how they ended.
    fn reap(&mut self) {
        self.children.retain_mut(|(name, child)| match child.try_wait() {
            Ok(Some(status)) => {
                console::note(format_args!("{name}: {status}"));
                false
            }
            Ok(None) => true,
            Err(_) => false,
        });
    }

    /// Whether the time of waiting after the last attempt is over; if so, doubles it for the next.
    fn may_retry(&mut self, name: &'static str) -> bool {
        let now = Instant::now();
        let Some(backoff) = self.backoffs.iter_mut().find(|backoff| backoff.name == name) else {
            self.backoffs.push(Backoff { name, delay: BACKOFF_FIRST, last_attempt: now });
            return true;
        };
        let waited = now.duration_since(backoff.last_attempt);
        if waited < backoff.delay {
            return false;
        }
        backoff.delay = if waited > STEADY_AFTER {
            BACKOFF_FIRST
        } else {
            backoff.delay.saturating_mul(2).min(BACKOFF_MAX)
        };
        backoff.last_attempt = now;
        true
    }
}

/// Whether a supervisor has the lock.
pub(crate) fn is_supervised(layout: &Layout) -> anyhow::Result<bool> {
    Ok(take_lock(layout)?.is_none())
}

/// Stops what the run file and the servers' pid files name, in order.
pub(crate) async fn stop_parts(layout: &Layout, run: &RunFile) -> Vec<(String, Stopped)> {
    let living: Vec<_> = run.services.iter().filter(|service| service.process.is_alive()).collect();
    // All are asked first, so that they drain side by side.
    for service in &living {
        service.process.terminate();
    }
    let mut report = Vec::new();
    for service in living {
        let stopped = match service.process.stop(SERVICE_STOP_WITHIN).await {
            Stopped::ByForce => Stopped::ByForce,
            Stopped::WasGone | Stopped::Gracefully => Stopped::Gracefully,
        };
        report.push((service.name.clone(), stopped));
    }
    if run.nats.is_some() {
        report.push(("nats".to_owned(), nats::stop(layout).await));
    }
    if run.postgres.is_some() {
        report.push(("postgres".to_owned(), postgres::stop(layout).await));
    }
    report
}

/// Who only asks whether there is a supervisor holds the lock for a moment; that must not look like one.
fn insist_on_lock(layout: &Layout) -> anyhow::Result<Option<File>> {
    for _ in 0..LOCK_ATTEMPTS_MAX {
        if let Some(lock) = take_lock(layout)? {
            return Ok(Some(lock));
        }
        std::thread::sleep(LOCK_RETRY_INTERVAL);
    }
    Ok(None)
}

/// Takes the supervisor's lock of a layout, if it is free.
pub(crate) fn take_lock(layout: &Layout) -> anyhow::Result<Option<File>> {
    let path = layout.supervisor_lock();
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("{} cannot be opened", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

fn tell_ended(name: &str, restarts: u32) {
    console::note(format_args!("{name} ended: starting it again (restart {restarts})"));
}

fn tell(name: &str, result: anyhow::Result<()>) {
    if let Err(error) = result {
        console::note(format_args!("{name} could not be started again: {error:#}"));
    }
}
