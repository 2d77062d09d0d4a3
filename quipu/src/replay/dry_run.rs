//! `quipu replay --dry-run`: every stored event through this build. Each must decode, lift to today's shape, and fold into
//! the states of all streams that it belongs to; a state that is taken from one event alone must be the one that all
//! events give. Nothing is written.

use std::collections::BTreeMap;
use std::process::ExitCode;

use event_store::Recorded;
use event_store::log::{self, PAGE_MAX};
use serde::Serialize;
use serde_json::json;
use sqlx::PgPool;

use super::states::{States, Unfolded};
use super::{Range, ReplayArgs};
use crate::console;
use crate::progress::Bar;
use crate::table::{BAD, GOOD, Table, styled};

/// How many faulty events are told one by one.
const FAULTS_TOLD_MAX: usize = 20;

/// What was seen of one type in one version.
#[derive(Debug, Default, Serialize)]
struct Seen {
    events: u64,
    bytes: u64,
    first_position: i64,
    last_position: i64,
    /// Of an older shape, lifted to today's.
    lifted: bool,
    /// Written by a newer build.
    newer: u64,
    /// Not what type and version promise.
    malformed: u64,
    /// Decoded, but the states that follow are not as they must be.
    unfolded: u64,
}

#[derive(Debug, Serialize)]
struct Fault {
    position: i64,
    event_type: String,
    schema_version: i16,
    reason: String,
}

#[derive(Default)]
struct Report {
    seen: BTreeMap<(String, i16), Seen>,
    faults: Vec<Fault>,
    states: States,
}

pub(super) async fn run(pool: &PgPool, range: Range, args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let bar = Bar::new("reading the log", range.up_to - range.after);
    let mut report = Report::default();
    let mut position = range.after;
    while position < range.up_to {
        let mut conn = pool.acquire().await?;
        let page = log::after(&mut conn, position, PAGE_MAX.min(range.up_to - position)).await?;
        let Some(last) = page.last() else { break };
        position = last.position;
        for recorded in &page {
            if args.tenant.is_none_or(|it| it == recorded.tenant.uuid()) {
                report.take(&mut conn, recorded).await?;
            }
        }
        bar.at(position - range.after);
    }
    bar.end();
    report.print(range, args.json);
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Report {
    async fn take(&mut self, conn: &mut sqlx::PgConnection, recorded: &Recorded) -> anyhow::Result<()> {
        let key = (recorded.event_type.clone(), recorded.schema_version);
        let seen = self.seen.entry(key).or_insert_with(|| Seen {
            first_position: recorded.position,
            lifted: recorded.schema_version < event_schemas::upcast::current(&recorded.event_type),
            ..Seen::default()
        });
        seen.events += 1;
        seen.bytes += recorded.payload.len() as u64;
        seen.last_position = recorded.position;
        let reason = match recorded.decode() {
            Ok(event) => match self.states.fold(conn, recorded, &event).await? {
                Ok(()) => return Ok(()),
                Err(Unfolded(reason)) => {
                    seen.unfolded += 1;
                    reason
                }
            },
            Err(error) => {
                *(if error.is_newer() { &mut seen.newer } else { &mut seen.malformed }) += 1;
                let cause = std::error::Error::source(&error).map(|it| format!(": {it}"));
                format!("{error}{}", cause.unwrap_or_default())
            }
        };
        if self.faults.len() < FAULTS_TOLD_MAX {
            self.faults.push(Fault {
                position: recorded.position,
                event_type: recorded.event_type.clone(),
                schema_version: recorded.schema_version,
                reason,
            });
        }
        Ok(())
    }

    fn is_sound(&self) -> bool {
        self.seen.values().all(|it| it.newer + it.malformed + it.unfolded == 0)
    }

    fn print(&self, range: Range, as_json: bool) {
        if as_json {
            let types: Vec<_> = self
                .seen
                .iter()
                .map(|((event_type, version), seen)| json!({ "type": event_type, "schema_version": version, "seen": seen }))
                .collect();
            console::data(json!({
                "sound": self.is_sound(), "after": range.after, "up_to": range.up_to, "streams": self.states.streams(),
                "types": types, "faults": self.faults,
            }));
            return;
        }
        let mut table =
            Table::new(["TYPE", "VERSION", "EVENTS", "BYTES", "NEWER", "MALFORMED", "NOT FOLDED", "LIFTED"]);
        for ((event_type, version), seen) in &self.seen {
            table.row([
                event_type.clone(),
                version.to_string(),
                seen.events.to_string(),
                seen.bytes.to_string(),
                seen.newer.to_string(),
                seen.malformed.to_string(),
                seen.unfolded.to_string(),
                if seen.lifted { "yes" } else { "-" }.to_owned(),
            ]);
        }
        console::data(table.text());
        for fault in &self.faults {
            console::note(styled(
                BAD,
                format_args!("{} {}", fault.position, crate::table::plain(&fault.reason)),
            ));
        }
        let events: u64 = self.seen.values().map(|it| it.events).sum();
        let verdict = if self.is_sound() {
            styled(GOOD, "this build understands all of them")
        } else {
            styled(BAD, "this build does not understand all of them")
        };
        console::data(format_args!("{events} events, {} streams: {verdict}", self.states.streams()));
    }
}
