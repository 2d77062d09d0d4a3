//! Peers of Quipu, driven for a while on a PostgreSQL server: other people's crates, as they are published.
//!
//! `./dev bench peers` makes a database for each, calls `setup` once and `run` in every round, between measurements of
//! ours. What is in whose favour is in README.md. This crate knows nothing of Quipu.

mod load;
mod peers;
mod transfer;

use std::io::Write as _;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use sqlx::postgres::PgConnectOptions;

use peers::{CalaLedger, DisintegratePostgres, Peer, PostgresEs};

/// Drives a peer on a database of its own.
#[derive(Debug, Parser)]
#[command(name = "peers")]
struct Arguments {
    /// Who is measured.
    #[arg(value_enum)]
    peer: Name,
    #[command(subcommand)]
    action: Action,
    /// The database, which must be the peer's alone.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    /// Double-entry transfers between accounts.
    CalaLedger,
    /// Commands on aggregates, each appending one event.
    PostgresEs,
    /// Decisions on streams, each appending one event.
    DisintegratePostgres,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Action {
    /// Makes the schema and the accounts in an empty database.
    Setup,
    /// Works for a while and prints one line of JSON.
    Run {
        /// How long, after a warm-up that is not counted.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        /// Connections of its pool, if not as many as it is quickest with.
        #[arg(long)]
        connections: Option<u32>,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.peer {
        Name::CalaLedger => act::<CalaLedger>(&arguments).await,
        Name::PostgresEs => act::<PostgresEs>(&arguments).await,
        Name::DisintegratePostgres => act::<DisintegratePostgres>(&arguments).await,
    }
}

async fn act<P: Peer>(arguments: &Arguments) -> anyhow::Result<()> {
    let options: PgConnectOptions = arguments.database.parse()?;
    match arguments.action {
        Action::Setup => P::set_up(options).await,
        Action::Run { seconds, connections } => {
            let peer = P::open(options, connections.unwrap_or(P::CONNECTIONS)).await?;
            let summary = load::run(peer, Duration::from_secs(seconds.max(1))).await?;
            Ok(writeln!(std::io::stdout(), "{}", serde_json::to_string(&summary)?)?)
        }
    }
}
