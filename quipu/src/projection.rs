//! `quipu projection`: read models under an operator's hands: where they stand, building them anew, comparing, putting
//! in place and taking back, and what to do with partitions that cannot go on. See [`projector::rebuild`].

mod list;
mod rebuild;
mod repair;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use projector::rebuild::{PARTS_MAX, Rebuilder};
use uuid::Uuid;

use crate::confirm::ConfirmArgs;
use crate::operator::OperatorArgs;
use crate::stack::layout::Layout;

/// What to do with read models.
#[derive(Debug, Subcommand)]
pub enum ProjectionCommand {
    /// List read models: how far they are, what is parked, what is being rebuilt.
    List(ListArgs),
    /// Build a read model anew beside the live one, compare, and put it in its place.
    Rebuild(RebuildArgs),
    /// Compare a read model, row by row, with one that is built from the log; exit code 1 if they differ.
    Verify(VerifyArgs),
    /// Put rebuilt tables that were kept in the place of the live ones.
    Swap(SwapArgs),
    /// Put the tables back that a rebuild has replaced.
    Rollback(NamedArgs),
    /// Drop the tables that a rebuild has replaced.
    Retire(NamedArgs),
    /// Give up an unfinished rebuild and drop its tables.
    Cancel(NamedArgs),
    /// List the partitions that wait for repair.
    Parked(ListArgs),
    /// Try a parked partition again now.
    Retry(RetryArgs),
    /// Leave the event out that a parked partition waits with.
    Skip(SkipArgs),
    /// List the events that were left out.
    Skipped(ListArgs),
    /// Let a process manager forget what it remembers and read the log again.
    ResetReactor(NamedArgs),
}

/// Options of lists.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Options of `projection rebuild`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu projection rebuild accounts                      build, compare, swap
  quipu projection rebuild --all --share 50              all of them, at half speed
  quipu projection rebuild accounts --keep               do not swap yet; then `swap` or `cancel`
  quipu projection rebuild accounts --tenant TENANT_ID   only one organisation's rows

Ctrl-C stops it; the same command goes on where it ended.")]
pub struct RebuildArgs {
    /// The read model.
    #[arg(required_unless_present = "all")]
    model: Option<String>,
    /// Every read model, one after the other.
    #[arg(long, conflicts_with = "model")]
    all: bool,
    /// Only this organisation's rows.
    #[arg(long)]
    tenant: Option<Uuid>,
    /// How many parts fold and write at once.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=i64::from(PARTS_MAX)))]
    parts: u16,
    /// The share of the time in which it may work, in percent.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=100))]
    share: u8,
    /// Leave the new tables beside the live ones.
    #[arg(long)]
    keep: bool,
    /// Swap without a comparison.
    #[arg(long, conflicts_with = "keep")]
    no_verify: bool,
    /// Drop the replaced tables at once; there is no rollback then.
    #[arg(long, conflicts_with = "keep")]
    discard_previous: bool,
    /// Print one JSON object a model.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Options of `projection verify`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu projection verify accounts
  quipu projection verify accounts --share 30 --json")]
pub struct VerifyArgs {
    /// The read model.
    model: String,
    /// Only this organisation's rows.
    #[arg(long)]
    tenant: Option<Uuid>,
    /// The share of the time in which it may work, in percent.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=100))]
    share: u8,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Options of `projection swap`.
#[derive(Debug, Args)]
pub struct SwapArgs {
    /// Swap although they differ, or were not compared.
    #[arg(long)]
    anyway: bool,
    #[command(flatten)]
    named: NamedArgs,
}

/// Which read model, and that it is meant.
#[derive(Debug, Args)]
pub struct NamedArgs {
    /// Its name.
    model: String,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Which partition.
#[derive(Debug, Args)]
struct PartitionArgs {
    /// The read model.
    model: String,
    /// The organisation.
    #[arg(long)]
    tenant: Uuid,
    /// The partition, as `projection parked` lists it.
    #[arg(long)]
    partition: Uuid,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Options of `projection retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    #[command(flatten)]
    partition: PartitionArgs,
}

/// Options of `projection skip`.
#[derive(Debug, Args)]
pub struct SkipArgs {
    #[command(flatten)]
    partition: PartitionArgs,
    /// Why, for those who find the partition wrong later.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    confirm: ConfirmArgs,
}

/// Runs the command. Fails if models differ that must not.
///
/// # Errors
/// If the database does not answer, or refuses what was asked for.
pub async fn run(layout: &Layout, command: ProjectionCommand) -> anyhow::Result<ExitCode> {
    match command {
        ProjectionCommand::List(args) => list::list(layout, &args).await?,
        ProjectionCommand::Rebuild(args) => return rebuild::rebuild(layout, &args).await,
        ProjectionCommand::Verify(args) => return rebuild::verify(layout, &args).await,
        ProjectionCommand::Swap(args) => rebuild::swap(layout, &args).await?,
        ProjectionCommand::Rollback(args) => rebuild::rollback(layout, &args).await?,
        ProjectionCommand::Retire(args) => rebuild::retire(layout, &args).await?,
        ProjectionCommand::Cancel(args) => rebuild::cancel(layout, &args).await?,
        ProjectionCommand::Parked(args) => repair::parked(layout, &args).await?,
        ProjectionCommand::Retry(args) => repair::retry(layout, &args).await?,
        ProjectionCommand::Skip(args) => repair::skip(layout, &args).await?,
        ProjectionCommand::Skipped(args) => repair::skipped(layout, &args).await?,
        ProjectionCommand::ResetReactor(args) => repair::reset_reactor(layout, &args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn rebuilder(layout: &Layout, operator: &OperatorArgs, parts: u16) -> anyhow::Result<Rebuilder> {
    Ok(Rebuilder::new(operator.options(layout)?, parts))
}
