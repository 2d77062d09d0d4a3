//! `quipu stream`: one thing through time: its events, its state at any moment, and what changed between two.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::console;
use crate::events::pages;
use crate::moments;
use crate::remote::{Remote, RemoteArgs};
use crate::stack::layout::Layout;
use crate::table::{BAD, FAINT, GOOD, Table, field, moment_field, plain, styled};

/// What to see of a stream.
#[derive(Debug, Subcommand)]
pub enum StreamCommand {
    /// List its events, the oldest first, with the time between them.
    Show(ShowArgs),
    /// Show what it was, now or then.
    State(StateArgs),
    /// Show what changed between two moments, and by which events.
    Diff(DiffArgs),
}

/// Which stream.
#[derive(Debug, Args)]
struct Which {
    /// CATEGORY/ID, such as ledger.account/0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e.
    #[arg(value_name = "STREAM")]
    stream: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Options of `stream show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    which: Which,
    /// How many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// The newest first.
    #[arg(long)]
    newest_first: bool,
}

/// Options of `stream state`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu stream state ledger.account/ID
  quipu stream state ledger.account/ID --at 3                     version 3
  quipu stream state ledger.account/ID --at 1-4711                as of a position
  quipu stream state ledger.account/ID --at 2026-03-01T12:00:00Z  as of a moment
  quipu stream state ledger.account/ID --at 2h                    two hours ago")]
pub struct StateArgs {
    #[command(flatten)]
    which: Which,
    /// A version, a position, a time, or how long ago; now if left out.
    #[arg(long, value_parser = point)]
    at: Option<Point>,
}

/// Options of `stream diff`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu stream diff ledger.account/ID --from 3 --to 7
  quipu stream diff ledger.account/ID --from 2026-03-01T00:00:00Z --to 2026-04-01T00:00:00Z
  quipu stream diff ledger.account/ID --from 1d                    from a day ago until now")]
pub struct DiffArgs {
    #[command(flatten)]
    which: Which,
    /// A version, a position, a time, or how long ago.
    #[arg(long, value_parser = point)]
    from: Point,
    /// The same kind of point; now if left out.
    #[arg(long, value_parser = point)]
    to: Option<Point>,
}

/// A point of a stream's history, as the parameter that names it.
#[derive(Debug, Clone)]
struct Point {
    parameter: &'static str,
    value: String,
}

fn point(text: &str) -> Result<Point, String> {
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
    if digits(text) {
        return Ok(Point { parameter: "version", value: text.to_owned() });
    }
    if text.split_once('-').is_some_and(|(epoch, position)| digits(epoch) && digits(position)) {
        return Ok(Point { parameter: "position", value: text.to_owned() });
    }
    let at = moments::since(text).map_err(|_| {
        "neither a version (3), a position (1-4711), a time (2026-03-01T12:00:00Z) nor a span (2h)".to_owned()
    })?;
    Ok(Point { parameter: "as_of", value: moments::parameter(at) })
}

/// Runs the command.
///
/// # Errors
/// If the query API refuses or does not answer.
pub async fn run(layout: &Layout, command: StreamCommand) -> anyhow::Result<()> {
    match command {
        StreamCommand::Show(args) => show(&args.which.remote.connect(layout)?, &args).await,
        StreamCommand::State(args) => {
            let remote = args.which.remote.connect(layout)?;
            let at = args.at.map(|it| (it.parameter, Some(it.value)));
            let state: Value = remote.get(remote.url(&state_path(&args.which), at.as_slice())?).await?;
            console::data(if args.which.json { state.to_string() } else { described(&state)? });
            Ok(())
        }
        StreamCommand::Diff(args) => diff(&args.which.remote.connect(layout)?, &args).await,
    }
}

fn state_path(which: &Which) -> String {
    format!("/v1/streams/{}/state", which.stream)
}

fn described(state: &Value) -> anyhow::Result<String> {
    let title = format!(
        "{}  version {}  at {}  recorded {}",
        field(state, "stream"),
        field(state, "version"),
        field(state, "position"),
        moment_field(state, "recorded_at")
    );
    let body = serde_json::to_string_pretty(state.get("state").unwrap_or(&Value::Null))?;
    Ok(format!("{}\n{body}", styled(FAINT, plain(&title))))
}

async fn show(remote: &Remote, args: &ShowArgs) -> anyhow::Result<()> {
    let order = if args.newest_first { "newest" } else { "oldest" };
    let parameters = vec![("order", Some(order.to_owned()))];
    let path = format!("/v1/streams/{}", args.which.stream);
    pages(remote, &path, &parameters, args.limit, |items| {
        if args.which.json {
            return items.iter().all(console::try_data);
        }
        let mut table = Table::new(["VERSION", "POSITION", "RECORDED (UTC)", "AFTER", "TYPE", "BY"]);
        for event in &items {
            let actor = event.get("meta").map_or_else(|| "-".to_owned(), |meta| field(meta, "actor"));
            table.row([
                field(event, "stream_version"),
                field(event, "position"),
                moment_field(event, "recorded_at"),
                event.get("elapsed_ms").and_then(Value::as_u64).map_or_else(|| "-".to_owned(), elapsed),
                field(event, "type"),
                actor,
            ]);
        }
        console::try_data(table.text())
    })
    .await
}

async fn diff(remote: &Remote, args: &DiffArgs) -> anyhow::Result<()> {
    if let Some(to) = &args.to {
        anyhow::ensure!(
            to.parameter == args.from.parameter,
            "--from and --to are points of two kinds: give two versions, two positions or two times"
        );
    }
    // Without an end it is compared with now, which the API does when only the other point is given.
    let mut parameters = Vec::new();
    if let Some(to) = &args.to {
        parameters.push((to.parameter, Some(to.value.clone())));
    }
    parameters.push(("compare_to", Some(args.from.value.clone())));
    let answer: Value = remote.get(remote.url(&state_path(&args.which), &parameters)?).await?;
    if args.which.json {
        console::data(&answer);
        return Ok(());
    }
    let changes = answer.get("differences").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if changes.is_empty() {
        console::note("nothing changed");
    }
    for change in changes {
        let event = change.get("event").unwrap_or(&Value::Null);
        console::data(format_args!(
            "{}\n  {}\n  {}\n  {}",
            plain(&field(change, "path")),
            styled(BAD, format_args!("- {}", shown(change.get("before")))),
            styled(GOOD, format_args!("+ {}", shown(change.get("after")))),
            styled(
                FAINT,
                format_args!(
                    "by {} at {}, {}",
                    plain(&field(event, "type")),
                    field(event, "position"),
                    moment_field(event, "recorded_at")
                )
            ),
        ));
    }
    Ok(())
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "(not there)".to_owned(), |it| plain(&it.to_string()))
}

/// A span of milliseconds in its two largest units.
fn elapsed(milliseconds: u64) -> String {
    let span = Duration::from_millis(milliseconds);
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..60 => format!("{seconds}.{:03} s", span.subsec_millis()),
        60..3_600 => format!("{} m {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_version_a_position_or_a_moment() {
        let kind = |text| point(text).map(|it| (it.parameter, it.value));
        assert_eq!(kind("3"), Ok(("version", "3".to_owned())));
        assert_eq!(kind("1-4711"), Ok(("position", "1-4711".to_owned())));
        assert_eq!(kind("2026-03-01T12:00:00Z"), Ok(("as_of", "2026-03-01T12:00:00.000000Z".to_owned())));
        assert_eq!(kind("2h").map(|it| it.0), Ok("as_of"));
        assert!(kind("2026-03-01").is_err() && kind("now").is_err() && kind("").is_err());
    }

    #[test]
    fn spans_are_told_in_their_two_largest_units() {
        let told = [0, 999, 1_500, 61_000, 3_660_000, 90_000_000].map(elapsed);
        assert_eq!(told, ["0 ms", "999 ms", "1.500 s", "1 m 1 s", "1 h 1 m", "1 d 1 h"]);
    }
}
