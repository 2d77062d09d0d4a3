//! `quipu events tail`: the newest events, then every further one as it is recorded. A connection that breaks is resumed
//! after the last event that was printed, so nothing is missed and nothing comes twice.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use futures_util::StreamExt as _;
use reqwest::Url;
use serde_json::Value;

use super::forward::Forward;
use super::sse::{Event, Parser};
use super::{Filters, Page, Parameters, print, row};
use crate::console;
use crate::moments;
use crate::remote::{Refused, Remote, RemoteArgs};
use crate::stack::layout::Layout;
use crate::stack::stop_signal;

/// How often in a row a broken stream is opened again before that is an error.
const RECONNECTS_MAX: u32 = 30;
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Options of `events tail`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  quipu events tail --follow
  quipu events tail --follow --type ledger.transfer-posted --json | jq .payload.legs
  quipu events tail --since 1h --follow --forward-to http://127.0.0.1:3000/hook
  quipu events tail --after 1-4711 --follow        go on where an earlier run ended")]
pub struct TailArgs {
    #[command(flatten)]
    filters: Filters,
    /// Begin with what was recorded since: a time, or how long ago (15m, 2h, 1d).
    #[arg(long, value_parser = moments::since, conflicts_with = "after")]
    since: Option<DateTime<Utc>>,
    /// Begin behind this position.
    #[arg(long, value_name = "POSITION")]
    after: Option<String>,
    /// How many to begin with, if neither --since nor --after says it.
    #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=200))]
    lines: u64,
    /// Go on with every further event until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    /// Post every event there too, as a CloudEvent; stops if one is not taken.
    #[arg(long, value_name = "URL")]
    forward_to: Option<Url>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

struct Tail<'a> {
    args: &'a TailArgs,
    remote: Remote,
    forward: Option<Forward>,
    /// The last place that is behind us.
    place: Option<String>,
}

pub(super) async fn tail(layout: &Layout, args: &TailArgs) -> anyhow::Result<()> {
    let forward = args.forward_to.clone().map(Forward::new).transpose()?;
    let mut tail = Tail { args, remote: args.remote.connect(layout)?, forward, place: args.after.clone() };
    let work = async {
        let read = tail.begin().await?;
        if read && args.follow {
            tail.follow().await?;
        }
        anyhow::Ok(())
    };
    let done = tokio::select! {
        done = work => done,
        () = stop_signal() => Ok(()),
    };
    if let Some(place) = tail.place.filter(|_| args.follow || done.is_err()) {
        console::note(format_args!("go on with: quipu events tail --follow --after {place}"));
    }
    done
}

impl Tail<'_> {
    /// Prints what is there already. False if nobody reads.
    async fn begin(&mut self) -> anyhow::Result<bool> {
        let mut parameters = self.args.filters.parameters();
        if self.place.is_none() && self.args.since.is_none() {
            parameters.push(("limit", Some(self.args.lines.max(1).to_string())));
            let mut page: Page = self.remote.get(self.remote.url("/v1/events", &parameters)?).await?;
            page.items.reverse();
            if self.args.lines == 0 {
                self.place = page.items.last().and_then(position);
                return Ok(true);
            }
            return self.take(&page.items).await;
        }
        parameters.push(("from", self.args.since.map(moments::parameter)));
        parameters.push(("order", Some("oldest".to_owned())));
        parameters.push(("limit", Some("200".to_owned())));
        self.catch_up(parameters).await
    }

    async fn catch_up(&mut self, parameters: Parameters) -> anyhow::Result<bool> {
        loop {
            let mut asked = parameters.clone();
            asked.push(("after", self.place.clone()));
            let page: Page = self.remote.get(self.remote.url("/v1/events", &asked)?).await?;
            if page.items.is_empty() {
                return Ok(true);
            }
            if !self.take(&page.items).await? {
                return Ok(false);
            }
        }
    }

    /// Hands events on, in order, and remembers where it is.
    async fn take(&mut self, events: &[Value]) -> anyhow::Result<bool> {
        for event in events {
            if let Some(forward) = &self.forward {
                forward.send(event).await?;
            }
            self.place = position(event).or_else(|| self.place.take());
        }
        Ok(print(events, self.args.json))
    }

    async fn follow(&mut self) -> anyhow::Result<()> {
        let mut failures = 0;
        loop {
            let before = self.place.clone();
            match self.stream().await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) if is_final(&error) || failures >= RECONNECTS_MAX => return Err(error),
                Err(error) => console::note(format_args!("{error:#}; trying again")),
            }
            failures = if self.place == before { failures + 1 } else { 0 };
            tokio::time::sleep((PAUSE * (failures + 1)).min(PAUSE_MAX)).await;
        }
    }

    /// Follows one connection to its end. False if nobody reads what is printed.
    async fn stream(&mut self) -> anyhow::Result<bool> {
        let url = self.remote.url("/v1/events/stream", &self.args.filters.parameters())?;
        let response = self.remote.open(url, self.place.as_deref()).await?;
        let mut parser = Parser::default();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            for event in parser.push(&chunk?)? {
                if !self.arrived(event).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn arrived(&mut self, event: Event) -> anyhow::Result<bool> {
        // A place without an event, or the server's own words (`dropped`, `goodbye`, `expired`, `revoked`), which no type
        // of event is.
        if event.name.contains('.') && !event.data.is_empty() {
            let value: Value = serde_json::from_str(&event.data)?;
            if let Some(forward) = &self.forward {
                forward.send(&value).await?;
            }
            let read =
                if self.args.json { console::try_data(&event.data) } else { console::try_data(line(&value)) };
            if !read {
                return Ok(false);
            }
        }
        self.place = event.id.or_else(|| self.place.take());
        Ok(true)
    }
}

/// One event in one line; the table's widths cannot be known beforehand.
fn line(event: &Value) -> String {
    let [position, recorded, event_type, actor, stream] = row(event).map(|it| crate::table::plain(&it));
    format!("{position:<10}  {recorded}  {event_type:<28}  {actor:<8}  {stream}")
}

fn position(event: &Value) -> Option<String> {
    event.get("position").and_then(Value::as_str).map(str::to_owned)
}

/// A refusal that trying again does not change.
fn is_final(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|it| it.status.is_client_error())
        || error.downcast_ref::<super::forward::NotTaken>().is_some()
}
