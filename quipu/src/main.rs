//! `quipu`: parses the command line and hands over to one module per command.
//!
//! Data goes to standard output and talk to standard error. Exit codes: 0 done, 1 failed, 2 used wrongly.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use quipu::console;
use quipu::container::{self, HealthArgs, MigrateArgs, SecretsArgs};
use quipu::demo::{self, DemoCommand};
use quipu::docs::{self, DocsArgs};
use quipu::epoch::{self, EpochCommand};
use quipu::stack::layout::Layout;
use quipu::stack::{PostgresAge, control, test_env};
use quipu::tenant::{self, TenantCommand};
use quipu::token::{self, TokenCommand};
use quipu::up::{self, UpArgs};

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
  quipu down                  stop everything";

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
    /// Organisations.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Access tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Example data.
    #[command(subcommand)]
    Demo(DemoCommand),
    /// After a restore: do positions still mean the same?
    #[command(subcommand)]
    Epoch(EpochCommand),
    /// Write the generated documents anew.
    Docs(DocsArgs),
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
        Command::Tenant(command) => tenant::run(&layout()?, command).await?,
        Command::Token(command) => token::run(&layout()?, command).await?,
        Command::Demo(command) => demo::run(&layout()?, command).await?,
        Command::Epoch(command) => epoch::run(&layout()?, command).await?,
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
        StackCommand::Supervise { allow_old_postgres } => {
            up::supervise(layout, age(allow_old_postgres)).await?;
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
    if args.json {
        console::data(serde_json::to_string(&status)?);
    } else {
        console::data(status.table());
    }
    Ok(if status.ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn age(allow_old: bool) -> PostgresAge {
    if allow_old { PostgresAge::OldToo } else { PostgresAge::Current }
}
