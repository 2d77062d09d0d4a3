//! `quipu up`: from nothing to a stack that serves, and what a person needs to use it.
//!
//! In the foreground this process is the supervisor. With `--detach` it starts one in a process group of its own and
//! returns when everything is ready. If a stack runs already, it is recognised and described in the same words.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;
use service_kit::config::TokenConfig;

use crate::admin::{ADMIN_ROLE, AdminSettings, DemoPerson, DemoService, ensure_demo};
use crate::console;
use crate::stack::connections::{Connections, Given};
use crate::stack::context::Context;
use crate::stack::layout::Layout;
use crate::stack::run_file::{Phase, RunFile};
use crate::stack::secrets::Secrets;
use crate::stack::supervisor::{Parts, Supervisor, is_supervised};
use crate::stack::{AUDIENCE, PostgresAge, ProcessMark, control, stop_signal};

/// Long, since the first start may have to fetch the servers.
const READY_WITHIN: Duration = Duration::from_secs(300);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Options of `quipu up`.
#[derive(Args, Clone, Debug)]
pub struct UpArgs {
    /// Return when everything is ready and leave it running in the background.
    #[arg(long)]
    pub detach: bool,
    /// Print one JSON object instead of a description.
    #[arg(long)]
    pub json: bool,
    /// Load example data once everything is ready.
    #[arg(long, value_enum)]
    pub demo: Option<DemoData>,
    /// Start PostgreSQL and NATS alone, for a command that mends what the services refuse to serve.
    #[arg(long, conflicts_with = "demo")]
    pub servers_only: bool,
    /// Accept PostgreSQL 15 to 17 too, if no newer one is installed.
    #[arg(long)]
    pub allow_old_postgres: bool,
}

/// Example data that `quipu up` can load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoData {
    /// A month of a grocery chain's baskets.
    Grocery,
}

impl UpArgs {
    fn age(&self) -> PostgresAge {
        if self.allow_old_postgres { PostgresAge::OldToo } else { PostgresAge::Current }
    }

    fn parts(&self) -> Parts {
        if self.servers_only { Parts::Servers } else { Parts::All }
    }
}

/// What `quipu up --json` prints.
#[derive(Debug, Serialize)]
struct Description {
    /// Where people are: pages, and what letters and services link to.
    public_url: String,
    command_url: String,
    query_url: String,
    database_url: String,
    nats_url: String,
    /// Where each service shows its metrics.
    metrics_urls: BTreeMap<String, String>,
    tenant_id: String,
    owner_token: String,
    member_token: String,
    other_tenant_owner_token: String,
    /// Who can sign in, all with the same password.
    people: Vec<DemoPerson>,
    password: String,
    /// What they can sign in to.
    service: DemoService,
}

/// Starts the stack, or finds it running, and describes it.
pub async fn up(layout: &Layout, args: &UpArgs) -> anyhow::Result<()> {
    if args.detach {
        if !is_supervised(layout)? {
            return detach(layout, args).await;
        }
    } else if let Some(supervisor) =
        Supervisor::begin(layout, args.age(), args.parts(), Given::from_environment())?
    {
        return foreground(layout, args, supervisor).await;
    }
    console::note("a stack runs here already");
    let run = when_ready(layout, None).await?;
    present(layout, &run, args).await
}

/// The background supervisor, started by `quipu up --detach`.
pub async fn supervise(layout: &Layout, age: PostgresAge, parts: Parts) -> anyhow::Result<()> {
    let mut supervisor = Supervisor::begin(layout, age, parts, Given::from_environment())?
        .context("another supervisor runs here")?;
    let started = tokio::select! {
        started = supervisor.start() => started,
        () = stop_signal() => Err(anyhow::anyhow!("stopped by a signal")),
    };
    if started.is_ok() {
        supervisor.watch(stop_signal()).await;
    }
    stop(&mut supervisor).await;
    started
}

async fn foreground(layout: &Layout, args: &UpArgs, mut supervisor: Supervisor) -> anyhow::Result<()> {
    let started = tokio::select! {
        started = supervisor.start() => started,
        () = stop_signal() => Err(anyhow::anyhow!("stopped by a signal")),
    };
    if let Err(error) = started {
        stop(&mut supervisor).await;
        return Err(error);
    }
    let (layout, args, run) = (layout.clone(), args.clone(), supervisor.run_file().clone());
    let presenting = tokio::spawn(async move {
        present(&layout, &run, &args).await?;
        console::note("Ctrl-C stops everything");
        anyhow::Ok(())
    });
    let mut failure = None;
    let until = async {
        tokio::select! {
            () = stop_signal() => {}
            error = failed(presenting) => failure = Some(error),
        }
    };
    supervisor.watch(until).await;
    console::note("stopping");
    stop(&mut supervisor).await;
    failure.map_or(Ok(()), Err)
}

/// Waits for a task that goes well to go wrong, which may be for ever.
async fn failed(task: tokio::task::JoinHandle<anyhow::Result<()>>) -> anyhow::Error {
    match task.await {
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) => error,
        Err(error) => error.into(),
    }
}

async fn stop(supervisor: &mut Supervisor) {
    for (name, stopped) in supervisor.stop().await {
        console::note(format_args!("{name} {stopped}"));
    }
}

async fn detach(layout: &Layout, args: &UpArgs) -> anyhow::Result<()> {
    let path = layout.log("supervisor");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
    let logged_before = log.metadata()?.len();
    let mut command = Command::new(std::env::current_exe().context("our own program cannot be found")?);
    command.arg("--dir").arg(layout.root()).args(["stack", "supervise"]);
    if args.servers_only {
        command.arg("--servers-only");
    }
    if args.allow_old_postgres {
        command.arg("--allow-old-postgres");
    }
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    let mut child = command.spawn().context("the supervisor cannot be started")?;
    console::note(format_args!("starting in the background; log: {}", path.display()));
    let ready = tokio::select! {
        ready = when_ready(layout, Some(&mut child)) => ready,
        () = stop_signal() => Err(anyhow::anyhow!("stopped by a signal")),
    };
    match ready {
        Ok(run) => present(layout, &run, args).await,
        Err(error) => {
            if let Some(supervisor) = ProcessMark::of(child.id()) {
                supervisor.stop(Duration::from_secs(60)).await;
            } else if is_supervised(layout)? {
                // Somebody else was quicker.
                let run = when_ready(layout, None).await?;
                return present(layout, &run, args).await;
            }
            Err(failure_since(&path, logged_before).map_or(error, anyhow::Error::msg))
        }
    }
}

/// The error with which the supervisor ended, from its part of the log.
fn failure_since(log: &Path, start: u64) -> Option<String> {
    let text = std::fs::read(log).ok()?;
    let text = String::from_utf8_lossy(text.get(usize::try_from(start).ok()?..)?).into_owned();
    Some(text.rsplit_once("error: ")?.1.trim().to_owned())
}

/// Waits until the supervisor says that all is ready, and checks that it is true.
async fn when_ready(layout: &Layout, mut child: Option<&mut Child>) -> anyhow::Result<RunFile> {
    let started = Instant::now();
    loop {
        if let Some(run) = RunFile::read(layout)?
            && run.phase == Phase::Ready
            && run.supervisor.is_alive()
            && child.as_ref().is_none_or(|child| child.id() == run.supervisor.pid)
        {
            let secrets = Secrets::read(layout)?;
            let verified = control::verify(layout, &secrets, &run).await;
            // A part that has just died is being started again, so give it the time for it.
            if verified.is_ok() || started.elapsed() > Duration::from_secs(30) {
                verified.context("see `quipu status`")?;
                return Ok(run);
            }
        }
        if let Some(child) = child.as_mut()
            && let Some(status) = child.try_wait()?
        {
            anyhow::bail!("the stack did not start ({status})");
        }
        if child.is_none() {
            anyhow::ensure!(is_supervised(layout)?, "the stack stopped while it was waited for");
        }
        anyhow::ensure!(
            started.elapsed() < READY_WITHIN,
            "the stack is not ready in time: see `quipu status`"
        );
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn present(layout: &Layout, run: &RunFile, args: &UpArgs) -> anyhow::Result<()> {
    let connections = Connections::of(run, &Given::from_environment(), &Secrets::read(layout)?)?;
    if run.services.is_empty() {
        return present_servers(args, &connections);
    }
    let public_url = run.public_url.clone();
    let public_url =
        public_url.context("the supervisor is of an older build: `quipu down`, then `quipu up`")?;
    let tokens = TokenConfig { audience: AUDIENCE.to_owned(), ..TokenConfig::default() };
    let settings = AdminSettings {
        database_url: connections.database_url_of(ADMIN_ROLE)?,
        key_dir: layout.keys(),
        tokens: tokens.issued_at(Some(&public_url.parse()?)),
    };
    let tokens = ensure_demo(&settings).await.context("the demo tenants cannot be set up")?;
    let description = Description {
        public_url,
        command_url: service_url(run, "command-api")?,
        query_url: service_url(run, "query-api")?,
        database_url: connections.admin_database_url,
        nats_url: connections.nats_url,
        metrics_urls: run
            .services
            .iter()
            .map(|it| (it.name.clone(), format!("http://127.0.0.1:{}/metrics", it.metrics_port)))
            .collect(),
        tenant_id: tokens.tenant_id.to_string(),
        owner_token: tokens.owner_token,
        member_token: tokens.member_token,
        other_tenant_owner_token: tokens.other_tenant_owner_token,
        people: tokens.people,
        password: tokens.password,
        service: tokens.service,
    };
    let (query_url, owner_token) = (description.query_url.clone(), description.owner_token.clone());
    Context { query_url, owner_token }.write(layout)?;
    if args.demo == Some(DemoData::Grocery) {
        crate::demo::grocery_january(
            &description.command_url,
            &description.query_url,
            &description.owner_token,
        )
        .await
        .context("the demo data cannot be loaded")?;
    }
    if args.json {
        console::data(serde_json::to_string(&description)?);
    } else {
        console::data(description.for_people());
    }
    Ok(())
}

/// What is there without the services.
fn present_servers(args: &UpArgs, connections: &Connections) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.servers_only,
        "PostgreSQL and NATS alone run here: stop them with `quipu down`, then start everything"
    );
    let (database, nats) = (&connections.admin_database_url, &connections.nats_url);
    if args.json {
        console::data(json!({ "database_url": database, "nats_url": nats }));
    } else {
        console::data(format_args!("PostgreSQL {database}\nNATS       {nats}"));
        console::note("no service runs; when what they refuse is mended, `quipu down` and `quipu up`");
    }
    Ok(())
}

fn service_url(run: &RunFile, name: &str) -> anyhow::Result<String> {
    let service = run.service(name).with_context(|| format!("{name} does not run"))?;
    Ok(format!("http://127.0.0.1:{}", service.port))
}

impl Description {
    fn for_people(&self) -> String {
        let rule = "─".repeat(78);
        let (people, first): (Vec<String>, _) = (
            self.people
                .iter()
                .map(|it| format!("{:11} {:9} {}", it.tenant_slug, it.role, it.email))
                .collect(),
            self.people.first(),
        );
        format!(
            "\n{rule}\n Quipu is ready\n{rule}\n \
             commands   {command}        documentation  {command}/docs\n \
             queries    {query}        documentation  {query}/docs\n \
             tenant     {tenant}\n \
             people     {people}\n \
             password   {password}, unless somebody has changed theirs\n \
             service    {service}: {client_id}\n            {client_secret}\n            \
             sign in at {public}/sign-in\n\n \
             try        TOKEN=$(curl -s {command}/v1/auth/login --json \\\n              \
             '{{\"tenant_slug\":\"{slug}\",\"email\":\"{email}\",\"password\":\"{password}\"}}' \\\n              \
             | python3 -c 'import json,sys; print(json.load(sys.stdin)[\"access_token\"])')\n            \
             curl -H \"Authorization: Bearer $TOKEN\" {query}/v1/auth/me\n\n \
             events     ./dev events tail --follow\n \
             mail       ./dev mail list, ./dev mail show ID   (QUIPU_SMTP_URL sends it)\n \
             status     ./dev status        logs  ./dev logs        stop  ./dev down\n{rule}",
            public = self.public_url.trim_end_matches('/'),
            command = self.command_url,
            query = self.query_url,
            tenant = self.tenant_id,
            people = people.join("\n            "),
            password = self.password,
            service = self.service.name,
            client_id = self.service.client_id,
            client_secret = self.service.client_secret,
            slug = first.map_or("", |it| it.tenant_slug),
            email = first.map_or("", |it| it.email),
        )
    }
}
