//! `quipu audit`: who did what, to what, from where and with which result; and carrying that out, with a checksum.

use std::path::PathBuf;

use anyhow::ensure;
use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::console;
use crate::events::pages;
use crate::journal;
use crate::moments;
use crate::remote::{Remote, RemoteArgs};
use crate::stack::layout::Layout;
use crate::table::{BAD, FAINT, GOOD, Table, field, moment_field, plain, styled};

/// What to do with the audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Search it, the newest first.
    Search(SearchArgs),
    /// Show one entry: from where it was done, and the old and new values.
    Show(ShowArgs),
    /// Carry a part of it out. That is an entry itself.
    Export(ExportArgs),
}

/// Which entries. Filters can be combined.
#[derive(Debug, Clone, Args)]
struct Filters {
    /// Only those by this actor.
    #[arg(long)]
    actor: Option<Uuid>,
    /// Only this action: an event's type, a permission, or a context and a point, such as `ledger.`.
    #[arg(long)]
    action: Option<String>,
    /// Only those about this: a stream CATEGORY/ID, or a path /v1/... and what is below it.
    #[arg(long)]
    resource: Option<String>,
    /// Only those with this result.
    #[arg(long, value_enum)]
    result: Option<ResultArg>,
    /// Only those of this request and what followed from it.
    #[arg(long)]
    correlation: Option<Uuid>,
    /// Only those recorded since: a time, or how long ago (15m, 2h, 1d).
    #[arg(long, value_parser = moments::since)]
    since: Option<DateTime<Utc>>,
    /// Only those recorded before: a time, or how long ago.
    #[arg(long, value_parser = moments::since)]
    until: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ResultArg {
    Done,
    Refused,
    Read,
    Exported,
}

impl Filters {
    fn given(&self) -> Vec<(&'static str, Option<String>)> {
        let result = self.result.and_then(|it| it.to_possible_value());
        vec![
            ("actor", self.actor.map(|it| it.to_string())),
            ("action", self.action.clone()),
            ("resource", self.resource.clone()),
            ("result", result.map(|it| it.get_name().to_owned())),
            ("correlation", self.correlation.map(|it| it.to_string())),
            ("from", self.since.map(moments::parameter)),
            ("to", self.until.map(moments::parameter)),
        ]
    }
}

/// Options of `audit search`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu audit search --result refused --since 1d
  quipu audit search --resource ledger.account/0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e
  quipu audit search --action ledger. --actor 0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e --json")]
pub struct SearchArgs {
    #[command(flatten)]
    filters: Filters,
    /// How many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Options of `audit show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Where it stands, such as 1-4711.
    position: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Options of `audit export`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu audit export --format csv --since 30d --out audit.csv
  quipu audit export --resource /v1/ledger --out refused.ndjson --result refused")]
pub struct ExportArgs {
    #[command(flatten)]
    filters: Filters,
    /// How it is written.
    #[arg(long, value_enum, default_value = "ndjson")]
    format: FormatArg,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Its identifier; asking again with the same one gives the same export.
    #[arg(long)]
    id: Option<Uuid>,
    /// Print the record of the export as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatArg {
    Csv,
    Ndjson,
}

/// Runs the command.
///
/// # Errors
/// If the query API refuses or does not answer, or what came is not what was exported.
pub async fn run(layout: &Layout, command: AuditCommand) -> anyhow::Result<()> {
    match command {
        AuditCommand::Search(args) => search(&args.remote.connect(layout)?, &args).await,
        AuditCommand::Show(args) => show(&args.remote.connect(layout)?, &args).await,
        AuditCommand::Export(args) => export(&args.remote.connect(layout)?, &args).await,
    }
}

async fn search(remote: &Remote, args: &SearchArgs) -> anyhow::Result<()> {
    let mut found = 0;
    pages(remote, "/v1/audit", &args.filters.given(), args.limit, |items| {
        found += items.len();
        if args.json {
            return items.iter().all(console::try_data);
        }
        if items.is_empty() {
            return true;
        }
        let mut table = Table::new([
            "POSITION",
            "RECORDED (UTC)",
            "RESULT",
            "ACTION",
            "CODE",
            "TIMES",
            "ACTOR",
            "RESOURCES",
        ]);
        for entry in &items {
            let resources =
                entry.get("resources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let resources: Vec<_> = resources.iter().filter_map(Value::as_str).collect();
            table.row([
                field(entry, "position"),
                moment_field(entry, "recorded_at"),
                field(entry, "result"),
                field(entry, "action"),
                field(entry, "code"),
                field(entry, "count"),
                field(entry, "actor"),
                resources.join(" "),
            ]);
        }
        console::try_data(table.text())
    })
    .await?;
    if found == 0 && !args.json {
        console::note("no entries like that");
    }
    Ok(())
}

async fn show(remote: &Remote, args: &ShowArgs) -> anyhow::Result<()> {
    let detail: Value = remote.get(remote.url(&format!("/v1/audit/{}", args.position), &[])?).await?;
    if args.json {
        console::data(&detail);
        return Ok(());
    }
    let entry = detail.get("entry").unwrap_or(&Value::Null);
    for name in ["position", "recorded_at", "actor", "action", "result", "code", "count", "correlation"] {
        if entry.get(name).is_some_and(|it| !it.is_null()) {
            console::data(format_args!("{name:<12} {}", plain(&field(entry, name))));
        }
    }
    if let Some(Value::Object(origin)) = detail.get("origin") {
        for (name, value) in origin {
            console::data(format_args!("{name:<12} {}", plain(&value.to_string())));
        }
    }
    for change in detail.get("changes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default() {
        console::data(styled(
            FAINT,
            format_args!("{} became version {}", plain(&field(change, "stream")), field(change, "version")),
        ));
        for difference in
            change.get("differences").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
        {
            let side = |name| {
                difference
                    .get(name)
                    .map_or_else(|| "(not there)".to_owned(), |it: &Value| plain(&it.to_string()))
            };
            console::data(format_args!(
                "  {}: {} -> {}",
                plain(&field(difference, "path")),
                styled(BAD, side("before")),
                styled(GOOD, side("after"))
            ));
        }
    }
    Ok(())
}

async fn export(remote: &Remote, args: &ExportArgs) -> anyhow::Result<()> {
    let filters: Map<String, Value> = args
        .filters
        .given()
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), json!(value?))))
        .collect();
    let format = match args.format {
        FormatArg::Csv => "csv",
        FormatArg::Ndjson => "ndjson",
    };
    // With an identifier of its own the request can be sent again without making a second export.
    let id = args.id.unwrap_or_else(Uuid::now_v7);
    let request = json!({ "id": id, "format": format, "filters": filters });
    let record: Value = remote.post(remote.url("/v1/audit/exports", &[])?, &request).await?;
    let content = remote.open(remote.url(&format!("/v1/audit/exports/{id}/content"), &[])?, None).await?;
    journal::save(content, Some(args.out.clone())).await?;
    let hash = digest(&SHA256, &tokio::fs::read(&args.out).await?);
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let recorded = field(&record, "sha256");
    ensure!(
        hash == recorded,
        "{} is not what was exported: its SHA-256 is {hash}, recorded is {recorded}",
        args.out.display()
    );
    if args.json {
        console::data(&record);
    } else {
        console::data(format_args!(
            "{} entries up to {}, SHA-256 {hash}",
            field(&record, "rows"),
            field(&record, "up_to")
        ));
    }
    Ok(())
}
