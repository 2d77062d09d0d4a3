//! `quipu replay`: the whole log once more, to see whether today's build still understands it, or to NATS.

mod dry_run;
mod states;
mod to_nats;

use std::process::ExitCode;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Args;
use event_schemas::envelope::LogPosition;
use event_store::{epoch, log};
use sqlx::PgPool;
use uuid::Uuid;

use crate::moments;
use crate::operator::{NatsArgs, OperatorArgs};
use crate::stack::layout::Layout;

/// Options of `quipu replay`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu replay --dry-run                      does this build understand every event ever written?
  quipu replay --dry-run --json               the same, for a script; exit code 1 if not
  quipu replay --to-nats march --from 2026-03-01T00:00:00Z --until 2026-04-01T00:00:00Z
  quipu replay --to-nats sales --subject 'quipu.*.ledger.transfer.>'")]
#[command(group(clap::ArgGroup::new("what").required(true).args(["dry_run", "to_nats"])))]
pub struct ReplayArgs {
    /// Read every event with this build: decode it, lift it, fold it; change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Send events to NATS, to the stream quipu-replay-NAME of their own. The same name goes on where it ended.
    #[arg(long, value_name = "NAME")]
    to_nats: Option<String>,
    /// Begin behind a position, or at a time, or so long ago.
    #[arg(long, value_parser = place)]
    from: Option<Place>,
    /// End with a position, or before a time, or so long ago.
    #[arg(long, value_parser = place)]
    until: Option<Place>,
    /// Only this tenant's events.
    #[arg(long)]
    tenant: Option<Uuid>,
    /// Only events whose live subject fits; `*` and `>` as NATS has them.
    #[arg(long, requires = "to_nats")]
    subject: Option<String>,
    /// Hours for which NATS keeps what was sent.
    #[arg(long, default_value_t = 168, value_parser = clap::value_parser!(u32).range(1..=8760))]
    keep_hours: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    nats: NatsArgs,
}

/// A place in the log.
#[derive(Debug, Clone, Copy)]
enum Place {
    At(LogPosition),
    When(DateTime<Utc>),
}

fn place(text: &str) -> Result<Place, String> {
    if let Ok(position) = text.parse() {
        return Ok(Place::At(position));
    }
    let told = "neither a position (1-4711), a time (2026-03-01T12:00:00Z) nor a span (2h)";
    moments::since(text).map(Place::When).map_err(|_| told.to_owned())
}

/// Which positions are meant: those after the first number, up to the second.
#[derive(Debug, Clone, Copy)]
struct Range {
    after: i64,
    up_to: i64,
}

/// Runs the command. Fails if a dry run found an event that this build cannot read.
///
/// # Errors
/// If the log or NATS does not answer.
pub async fn run(layout: &Layout, args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let pool = args.operator.connect(layout).await?;
    let range = range(&pool, args).await?;
    match &args.to_nats {
        None => dry_run::run(&pool, range, args).await,
        Some(name) => {
            let client = args.nats.connect(layout).await?;
            to_nats::run(&pool, &client, name, range, args).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn range(pool: &PgPool, args: &ReplayArgs) -> anyhow::Result<Range> {
    let mut conn = pool.acquire().await?;
    let head = epoch::head(&mut conn).await?;
    let mut find = async |place: Place| match place {
        Place::At(at) if at.epoch == head.epoch => Ok(at.position),
        Place::At(at) => anyhow::bail!("{at} is of another epoch: the log is in epoch {}", head.epoch),
        // What was recorded at that very moment belongs to what begins there.
        Place::When(at) => {
            let just_before = at - chrono::TimeDelta::microseconds(1);
            log::position_at(&mut conn, just_before).await.context("the log cannot be read")
        }
    };
    let after = match args.from {
        Some(place) => find(place).await?,
        None => 0,
    };
    let up_to = match args.until {
        Some(place) => find(place).await?.min(head.position),
        None => head.position,
    };
    anyhow::ensure!(after <= up_to, "--from is behind --until");
    Ok(Range { after, up_to })
}
