//! `quipu events`: the log of a tenant, listed, shown and followed.

mod forward;
mod sse;
mod tail;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::console;
use crate::moments;
use crate::remote::{Remote, RemoteArgs};
use crate::stack::layout::Layout;
use crate::table::{FAINT, Table, field, moment_field, styled};
pub use tail::TailArgs;

/// What to do with events.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// List events, the newest first.
    List(ListArgs),
    /// Show one event, or what followed from it.
    Show(ShowArgs),
    /// Print the newest events, and with --follow what comes after them.
    Tail(TailArgs),
}

/// Which events. Filters can be combined.
#[derive(Debug, Clone, Default, Args)]
pub struct Filters {
    /// Only those of this type, such as ledger.transfer-posted.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only those whose own stream is of this category, such as ledger.transfer.
    #[arg(long)]
    category: Option<String>,
    /// Only those of this stream, as CATEGORY/ID.
    #[arg(long)]
    stream: Option<String>,
    /// Only those by this actor.
    #[arg(long)]
    actor: Option<Uuid>,
    /// Only those of this request and what followed from it.
    #[arg(long)]
    correlation: Option<Uuid>,
}

impl Filters {
    fn parameters(&self) -> Vec<(&'static str, Option<String>)> {
        vec![
            ("type", self.event_type.clone()),
            ("category", self.category.clone()),
            ("stream", self.stream.clone()),
            ("actor", self.actor.map(|it| it.to_string())),
            ("correlation", self.correlation.map(|it| it.to_string())),
        ]
    }
}

/// Options of `events list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu events list --type ledger.transfer-posted --since 1h
  quipu events list --stream ledger.account/0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e --oldest-first
  quipu events list --since 1d --all --json | jq -r .type | sort | uniq -c")]
pub struct ListArgs {
    #[command(flatten)]
    filters: Filters,
    /// Only those recorded since: a time, or how long ago (15m, 2h, 1d).
    #[arg(long, value_parser = moments::since)]
    since: Option<DateTime<Utc>>,
    /// Only those recorded before: a time, or how long ago.
    #[arg(long, value_parser = moments::since)]
    until: Option<DateTime<Utc>>,
    /// The oldest first.
    #[arg(long)]
    oldest_first: bool,
    /// How many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// All of them, whatever their number.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Options of `events show`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu events show 1-4711
  quipu events show 1-4711 --causation")]
pub struct ShowArgs {
    /// Where it stands, such as 1-4711.
    position: String,
    /// The command that it came from, and everything that followed from that, as a tree.
    #[arg(long)]
    causation: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// A page of any list.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    pub(crate) items: Vec<Value>,
    pub(crate) next_cursor: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// If the query API refuses or does not answer.
pub async fn run(layout: &Layout, command: EventsCommand) -> anyhow::Result<()> {
    match command {
        EventsCommand::List(args) => list(&args.remote.connect(layout)?, &args).await,
        EventsCommand::Show(args) => show(&args.remote.connect(layout)?, &args).await,
        EventsCommand::Tail(args) => tail::tail(layout, &args).await,
    }
}

/// The parameters of a list, ready for a request.
pub(crate) type Parameters = Vec<(&'static str, Option<String>)>;

/// Reads a list page by page and hands every page on, until `wanted` rows were read or nobody reads them.
pub(crate) async fn pages(
    remote: &Remote,
    path: &str,
    parameters: &Parameters,
    wanted: u64,
    mut take: impl FnMut(Vec<Value>) -> bool,
) -> anyhow::Result<()> {
    let mut left = wanted;
    let mut cursor = None;
    while left > 0 {
        let mut asked = parameters.clone();
        asked.push(("limit", Some(left.min(200).to_string())));
        asked.push(("cursor", cursor.take()));
        let page: Page = remote.get(remote.url(path, &asked)?).await?;
        left = left.saturating_sub(page.items.len() as u64);
        cursor = page.next_cursor;
        if !take(page.items) || cursor.is_none() {
            return Ok(());
        }
    }
    if wanted > 0 {
        console::note(format!("there are more than these {wanted}: --limit gives more of them"));
    }
    Ok(())
}

async fn list(remote: &Remote, args: &ListArgs) -> anyhow::Result<()> {
    let mut parameters = args.filters.parameters();
    parameters.push(("from", args.since.map(moments::parameter)));
    parameters.push(("to", args.until.map(moments::parameter)));
    parameters.push(("order", Some(if args.oldest_first { "oldest" } else { "newest" }.to_owned())));
    let wanted = if args.all { u64::MAX } else { args.limit };
    let mut found = 0;
    pages(remote, "/v1/events", &parameters, wanted, |items| {
        found += items.len();
        print(&items, args.json)
    })
    .await?;
    if found == 0 && !args.json {
        console::note("no events like that; try a longer --since, or fewer filters");
    }
    Ok(())
}

/// Prints events, as JSON lines or as a table. False if nobody reads them.
fn print(items: &[Value], json: bool) -> bool {
    if json {
        return items.iter().all(console::try_data);
    }
    if items.is_empty() {
        return true;
    }
    let mut table = Table::new(["POSITION", "RECORDED (UTC)", "TYPE", "ACTOR", "STREAM"]);
    for event in items {
        table.row(row(event));
    }
    console::try_data(table.text())
}

fn row(event: &Value) -> [String; 5] {
    let actor = event.get("meta").map_or_else(|| "-".to_owned(), |meta| field(meta, "actor"));
    let actor = actor.get(..8).map_or(actor.clone(), str::to_owned);
    [
        field(event, "position"),
        moment_field(event, "recorded_at"),
        field(event, "type"),
        actor,
        field(event, "stream"),
    ]
}

async fn show(remote: &Remote, args: &ShowArgs) -> anyhow::Result<()> {
    let path = format!("/v1/events/{}", args.position);
    if !args.causation {
        let event: Value = remote.get(remote.url(&path, &[])?).await?;
        console::data(if args.json { event.to_string() } else { serde_json::to_string_pretty(&event)? });
        return Ok(());
    }
    let tree: Value = remote.get(remote.url(&format!("{path}/causation"), &[])?).await?;
    if args.json {
        console::data(&tree);
        return Ok(());
    }
    console::data(styled(FAINT, format_args!("command {}", field(&tree, "correlation"))));
    branch(&tree, "events", "");
    if tree.get("truncated") == Some(&Value::Bool(true)) {
        console::note("there are more events than are shown");
    }
    Ok(())
}

/// Prints what followed, a line each, deeper ones further to the right.
fn branch(node: &Value, name: &str, indent: &str) {
    let children = node.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (at, child) in children.iter().enumerate() {
        let (turn, below) = if at + 1 == children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let mark = if child.get("asked_for") == Some(&Value::Bool(true)) { "  ◀" } else { "" };
        console::data(format_args!(
            "{indent}{turn}{}  {}  {}  {}{mark}",
            field(child, "position"),
            field(child, "type"),
            field(child, "stream"),
            styled(FAINT, format_args!("+{} ms", field(child, "elapsed_ms"))),
        ));
        branch(child, "children", &format!("{indent}{below}"));
    }
}
