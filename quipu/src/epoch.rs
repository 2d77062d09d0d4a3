//! `quipu epoch`: says, after a restore or a fail-over, whether positions still mean the same.

use std::str::FromStr as _;

use clap::{Args, Subcommand};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use crate::admin::AdminArgs;
use crate::console;
use crate::stack::layout::Layout;

/// What became of the log.
#[derive(Debug, Subcommand)]
pub enum EpochCommand {
    /// It was restored to an earlier moment: positions handed out before are void.
    Bump(EpochArgs),
    /// A standby took over and nothing was lost: positions mean the same.
    Keep(EpochArgs),
}

/// Which log.
#[derive(Debug, Args)]
pub struct EpochArgs {
    #[command(flatten)]
    admin: AdminArgs,
}

/// Runs the command.
///
/// # Errors
/// If the log cannot be reached.
pub async fn run(layout: &Layout, command: EpochCommand) -> anyhow::Result<()> {
    let (args, bump) = match command {
        EpochCommand::Bump(args) => (args, true),
        EpochCommand::Keep(args) => (args, false),
    };
    let url = args.admin.settings(layout)?.database_url;
    let mut conn = PgConnectOptions::from_str(&url)?.connect().await?;
    let epoch = event_store::epoch::accept_timeline(&mut conn, bump).await?;
    console::data(epoch);
    Ok(())
}
