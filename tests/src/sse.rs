//! A reader of server-sent events that does what the standard says, wherever the bytes are cut.
//! Source: WHATWG HTML, 9.2.6 Interpreting an event stream.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(20);

/// An event that a client would see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The place to resume at after it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it carries.
    pub data: String,
}

impl Event {
    /// What it carries, as JSON; nothing, if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_default()
    }
}

/// Bytes to events.
#[derive(Debug, Default)]
pub struct Parser {
    pending: Vec<u8>,
    id: String,
    name: String,
    data: Option<String>,
    /// The place to resume at: that of the last whole block, with or without an event.
    pub last_id: String,
}

impl Parser {
    /// Takes bytes, and gives the events that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.pending.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.pending.iter().position(|it| *it == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            self.line(line.trim_end_matches('\n'), &mut events);
        }
        events
    }

    fn line(&mut self, line: &str, events: &mut Vec<Event>) {
        if line.is_empty() {
            self.last_id.clone_from(&self.id);
            let name = std::mem::take(&mut self.name);
            if let Some(data) = self.data.take() {
                events.push(Event { id: self.id.clone(), name, data });
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut self.id),
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                Some(data) => *data = format!("{data}\n{value}"),
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Reader {
    response: Response,
    ready: VecDeque<Event>,
    /// Where the stream begins.
    pub begin: String,
    /// What was read so far.
    pub parser: Parser,
}

impl Reader {
    /// Opens a stream.
    ///
    /// # Errors
    /// If the answer is another one.
    pub async fn open(request: RequestBuilder) -> anyhow::Result<Self> {
        let response = request.send().await?;
        if !response.status().is_success() {
            let (status, text) = (response.status(), response.text().await?);
            anyhow::bail!("{status} {text}");
        }
        let begin = response.headers().get("quipu-position").context("a position")?.to_str()?.to_owned();
        Ok(Self { response, ready: VecDeque::new(), begin, parser: Parser::default() })
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// If they do not come in time, or the connection broke.
    pub async fn chunk(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
        Ok(chunk.context("nothing came")??.map(|it| it.to_vec()))
    }

    /// The next event; none at the end.
    ///
    /// # Errors
    /// If none comes in time, whatever else does, or the connection broke.
    pub async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let bytes = tokio::time::timeout_at(deadline, self.chunk()).await.context("no event came")?;
            match bytes? {
                Some(bytes) => self.ready.extend(self.parser.push(&bytes)),
                None => return Ok(None),
            }
        }
    }

    /// The next events, so many.
    ///
    /// # Errors
    /// If the stream ends before.
    pub async fn take(&mut self, count: usize) -> anyhow::Result<Vec<Event>> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.push(self.next().await?.context("the stream ended")?);
        }
        Ok(events)
    }
}
