//! `quipu`: parses the command line and hands over to one module per command.
//!
//! Data goes to standard output and talk to standard error. Exit codes: 0 done, 1 failed, 2 used wrongly.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use quipu::audit::{self, AuditCommand};
use quipu::console;
use quipu::container::{self, HealthArgs, MigrateArgs, SecretsArgs};
use quipu::demo::{self, DemoCommand};
use quipu::docs::{self, DocsArgs};
use quipu::epoch::{self, EpochCommand};
use quipu::erase::{self, EraseArgs};
use quipu::events::{self, EventsCommand};
use quipu::explain::{self, ExplainArgs};
use quipu::journal::{self, JournalCommand};
use quipu::keys::{self, KeysCommand};
use quipu::log_status::LogStatus;
use quipu::mail::{self, MailCommand};
use quipu::operator::OperatorArgs;
use quipu::projection::{self, ProjectionCommand};
use quipu::replay::{self, ReplayArgs};
use quipu::stack::layout::Layout;
use quipu::stack::supervisor::Parts;
use quipu::stack::{PostgresAge, control, test_env};
use quipu::stream::{self, StreamCommand};
use quipu::tenant::{self, TenantCommand};
use quipu::token::{self, TokenCommand};
use quipu::up::{self, UpArgs};
use quipu::user::{self, UserCommand};

/// Quipu, an event-sourced business backend.
#[derive(Parser)]
#[command(name = "quipu", version, after_help = EXAMPLES)]
struct Cli {
    /// The folder of the private stack: its data, keys, passwords and logs.
    #[arg(long, global = true, env = "QUIPU_DIR", default_value = ".local")]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  quipu up                    start everything here; Ctrl-C stops it
  quipu up --detach --json    start in the background and print URLs and tokens
  quipu status                what runs, where, since when
  quipu events tail --follow  events as they are recorded
  quipu stream state ledger.account/ID --at 2h   what an account was two hours ago
  quipu explain ledger.insufficient-funds        what a refusal means
  quipu down                  stop everything

Data goes to standard output, talk to standard error. Exit codes: 0 done, 1 failed or not as it should be, 2 used wrongly.";

#[derive(Subcommand)]
enum Command {
    /// Start PostgreSQL, NATS and every service on this machine.
    Up(UpArgs),
    /// Stop everything that `up` started.
    Down,
    /// Show every part of the stack.
    Status(StatusArgs),
    /// Stop everything and delete its data.
    Reset(ResetArgs),
    /// Print the logs of servers and services.
    Logs(LogsArgs),
    /// Bring a database to the newest migration.
    Migrate(MigrateArgs),
    /// The log of a tenant.
    #[command(subcommand)]
    Events(EventsCommand),
    /// One thing through time.
    #[command(subcommand)]
    Stream(StreamCommand),
    /// Who did what, to what, from where, with which result.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// The books as text.
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Letters that wait to be sent.
    #[command(subcommand)]
    Mail(MailCommand),
    /// Read models: where they stand, rebuilding, comparing, repairing.
    #[command(subcommand)]
    Projection(ProjectionCommand),
    /// Read the whole log once more, to check it or to send it.
    Replay(ReplayArgs),
    /// What a code means, and what to do.
    Explain(ExplainArgs),
    /// Organisations.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Persons that an operator adds by hand.
    #[command(subcommand)]
    User(UserCommand),
    /// Access tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Keys that sign access tokens.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Example data.
    #[command(subcommand)]
    Demo(DemoCommand),
    /// After a restore: do positions still mean the same?
    #[command(subcommand)]
    Epoch(EpochCommand),
    /// Erase a person for ever, and prove it.
    Erase(Box<EraseArgs>),
    /// Write the generated documents anew.
    Docs(DocsArgs),
    /// Print a script that completes commands in a shell.
    #[command(
        after_help = "Example:\n  quipu completions bash > ~/.local/share/bash-completion/completions/quipu"
    )]
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Make the secret files that compose.yaml mounts.
    Secrets(SecretsArgs),
    /// Ask a service whether it is ready.
    #[command(hide = true)]
    Healthcheck(HealthArgs),
    /// Servers for tests, and the background supervisor.
    #[command(hide = true, subcommand)]
    Stack(StackCommand),
}

#[derive(Args)]
struct StatusArgs {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct ResetArgs {
    /// Really delete; there is no way back.
    #[arg(long)]
    yes: bool,
}

#[derive(Args)]
struct LogsArgs {
    /// postgres, nats, command-api, query-api, projector or supervisor; all if left out.
    part: Option<String>,
    /// How many of the last lines.
    #[arg(long, default_value_t = 40)]
    lines: usize,
    /// Go on with what is written.
    #[arg(long, short)]
    follow: bool,
}

#[derive(Subcommand)]
enum StackCommand {
    /// Run a command with a PostgreSQL and a NATS of its own.
    TestEnv(WrappedCommand),
    /// Run a command with a freshly migrated database of its own.
    ScratchDb {
        /// The folder of the migrations.
        #[arg(long, default_value = "migrations")]
        migrations: PathBuf,
        #[command(flatten)]
        wrapped: WrappedCommand,
    },
    /// The background supervisor of `up --detach`.
    Supervise {
        #[arg(long)]
        servers_only: bool,
        #[arg(long)]
        allow_old_postgres: bool,
    },
}

#[derive(Args)]
struct WrappedCommand {
    #[arg(long)]
    allow_old_postgres: bool,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match dispatch(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            console::note(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let layout = || Layout::begin(&cli.dir);
    match cli.command {
        Command::Up(args) => up::up(&layout()?, &args).await?,
        Command::Down => down(&layout()?).await?,
        Command::Status(args) => return status(&layout()?, &args).await,
        Command::Reset(args) => {
            if let Err(error) = control::reset(&layout()?, args.yes).await {
                console::note(format_args!("error: {error:#}"));
                return Ok(ExitCode::from(if args.yes { 1 } else { 2 }));
            }
        }
        Command::Logs(args) => {
            let layout = layout()?;
            let shown = control::logs(&layout, args.part.as_deref(), args.lines, args.follow);
            tokio::select! {
                shown = shown => shown?,
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Command::Migrate(args) => container::migrate(&args).await?,
        Command::Secrets(args) => container::write_secrets(&args)?,
        Command::Events(command) => events::run(&layout()?, command).await?,
        Command::Stream(command) => stream::run(&layout()?, command).await?,
        Command::Audit(command) => audit::run(&layout()?, command).await?,
        Command::Journal(command) => journal::run(&layout()?, command).await?,
        Command::Mail(command) => mail::run(&layout()?, command).await?,
        Command::Keys(command) => keys::run(&layout()?, command).await?,
        Command::Projection(command) => return projection::run(&layout()?, command).await,
        Command::Replay(args) => return replay::run(&layout()?, &args).await,
        Command::Explain(args) => explain::run(&args)?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "quipu", &mut script);
            console::bytes(&script);
        }
        Command::Tenant(command) => tenant::run(&layout()?, command).await?,
        Command::Token(command) => token::run(&layout()?, command).await?,
        Command::User(command) => user::run(&layout()?, command).await?,
        Command::Demo(command) => demo::run(&layout()?, command).await?,
        Command::Epoch(command) => epoch::run(&layout()?, command).await?,
        Command::Erase(args) => erase::run(&layout()?, &args).await?,
        Command::Docs(args) => docs::run(&args)?,
        Command::Healthcheck(args) => container::healthcheck(&args).await?,
        Command::Stack(command) => return stack(&layout()?, command).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn stack(layout: &Layout, command: StackCommand) -> anyhow::Result<ExitCode> {
    match command {
        StackCommand::TestEnv(wrapped) => {
            test_env::with_servers(layout, age(wrapped.allow_old_postgres), &wrapped.command).await
        }
        StackCommand::ScratchDb { migrations, wrapped } => {
            let age = age(wrapped.allow_old_postgres);
            test_env::with_scratch_database(layout, age, &migrations, &wrapped.command).await
        }
        StackCommand::Supervise { servers_only, allow_old_postgres } => {
            let parts = if servers_only { Parts::Servers } else { Parts::All };
            up::supervise(layout, age(allow_old_postgres), parts).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn down(layout: &Layout) -> anyhow::Result<()> {
    let report = control::down(layout).await?;
    if report.is_empty() {
        console::note("nothing was running");
    }
    for (name, stopped) in report {
        console::note(format_args!("{name} {stopped}"));
    }
    Ok(())
}

/// Exits with 1 unless everything is ready, so that a script can ask.
async fn status(layout: &Layout, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let status = control::status(layout).await?;
    // A part that is down is told above; the log is told as far as it can be reached.
    let log = if status.parts.is_empty() { None } else { log_status(layout).await.ok() };
    if args.json {
        let mut described = serde_json::to_value(&status)?;
        if let Some(fields) = described.as_object_mut() {
            fields.insert("log".to_owned(), serde_json::to_value(&log)?);
        }
        console::data(described);
    } else {
        console::data(status.table());
        if let Some(log) = &log {
            console::data(log.lines());
        }
    }
    Ok(if status.ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn log_status(layout: &Layout) -> anyhow::Result<LogStatus> {
    let pool = OperatorArgs::default().connect(layout).await?;
    Ok(LogStatus::of(&pool).await?)
}

fn age(allow_old: bool) -> PostgresAge {
    if allow_old { PostgresAge::OldToo } else { PostgresAge::Current }
}
