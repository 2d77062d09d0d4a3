//! A consumer as customers have one: durable, at least once, and it drops what it has seen by the event's id. It
//! consumes all through the storm, and begins anew when NATS has forgotten it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::Stream;
use event_schemas::wire;
use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Messages of one request.
const BATCH: usize = 500;
/// How long a request waits for messages.
const WAIT: Duration = Duration::from_secs(1);
/// How long NATS may take for anything.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What arrived.
#[derive(Debug, Clone, Default)]
pub struct Received {
    /// The position of every event that came, by its id.
    pub events: HashMap<Uuid, i64>,
    /// Messages that had come before.
    pub duplicates: u64,
    /// Events that came with another position than the first time, and messages that say too little.
    pub faults: Vec<String>,
}

impl Received {
    fn take(&mut self, headers: Option<&HeaderMap>) {
        let header = |name: &str| headers.and_then(|it| it.get(name)).map(|it| it.as_str().to_owned());
        let id = header("Nats-Msg-Id").unwrap_or_default();
        if id.starts_with(wire::MARKER_PREFIX) {
            return;
        }
        let position = header(wire::POSITION_HEADER).and_then(|it| it.split_once('-')?.1.parse().ok());
        let (Ok(id), Some(position)) = (Uuid::parse_str(&id), position) else {
            self.faults.push(format!("a message without an id or a position: {headers:?}"));
            return;
        };
        match self.events.insert(id, position) {
            None => {}
            Some(before) if before == position => self.duplicates += 1,
            Some(before) => self.faults.push(format!("event {id} at {before} and at {position}")),
        }
    }
}

/// Consumes until told to stop, whatever happens to the server at this port.
pub async fn consume(port: u16, received: Arc<Mutex<Received>>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        // Whatever went wrong: the next session begins where the server says.
        let _ = stop.run_until_cancelled(session(port, &received)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn session(port: u16, received: &Mutex<Received>) -> anyhow::Result<()> {
    let consumer = tokio::time::timeout(ANSWER_WITHIN, durable(port)).await??;
    loop {
        let batch = consumer.fetch().max_messages(BATCH).expires(WAIT).messages();
        let mut batch = tokio::time::timeout(ANSWER_WITHIN, batch).await??;
        while let Some(message) = tokio::time::timeout(ANSWER_WITHIN, batch.next()).await? {
            let message = message.map_err(anyhow::Error::from_boxed)?;
            // Kept first: a message that is acknowledged does not come again.
            received.lock().unwrap_or_else(PoisonError::into_inner).take(message.headers.as_ref());
            message.ack().await.map_err(anyhow::Error::from_boxed)?;
        }
        // A consumer that is gone answers with nothing; asking for it tells.
        tokio::time::timeout(ANSWER_WITHIN, consumer.get_info()).await??;
    }
}

async fn stream(port: u16) -> anyhow::Result<Stream> {
    let options = async_nats::ConnectOptions::with_user_and_password("q".to_owned(), "q".to_owned());
    let client = options.max_reconnects(1).connect(format!("127.0.0.1:{port}")).await?;
    Ok(async_nats::jetstream::new(client).get_stream(wire::STREAM).await?)
}

async fn durable(port: u16) -> anyhow::Result<PullConsumer> {
    let config = pull::Config {
        durable_name: Some("storm".to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_secs(5),
        headers_only: true,
        ..pull::Config::default()
    };
    stream(port).await?.get_or_create_consumer("storm", config).await.context("no consumer")
}

/// Everything that the stream holds now, in its order: event id and position.
///
/// # Errors
/// If it cannot be read to its end.
pub async fn contents(port: u16) -> anyhow::Result<Vec<(Uuid, i64)>> {
    let mut stream = stream(port).await?;
    let count = stream.info().await?.state.messages;
    let config = pull::Config { ack_policy: AckPolicy::None, headers_only: true, ..pull::Config::default() };
    let consumer: PullConsumer = stream.create_consumer(config).await?;
    let (mut found, mut read) = (Vec::new(), 0);
    while read < count {
        let mut batch = consumer.fetch().max_messages(BATCH).expires(WAIT).messages().await?;
        let before = read;
        while let Some(message) = batch.next().await {
            let message = message.map_err(anyhow::Error::from_boxed)?;
            let mut one = Received::default();
            one.take(message.headers.as_ref());
            found.extend(one.events);
            read += 1;
        }
        anyhow::ensure!(read > before, "the stream has {count} messages and gave {read}");
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, position: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", id);
        headers.insert(wire::POSITION_HEADER, position);
        headers
    }

    #[test]
    fn what_comes_again_is_dropped_and_what_contradicts_itself_is_a_fault() {
        let (one, other) = (Uuid::from_u128(1).to_string(), Uuid::from_u128(2).to_string());
        let mut received = Received::default();
        received.take(Some(&message(&one, "1-7")));
        received.take(Some(&message(&other, "1-8")));
        received.take(Some(&message(&one, "1-7")));
        received.take(Some(&message("quipu-epoch-2", "2-8")));
        assert_eq!((received.events.len(), received.duplicates), (2, 1));
        assert!(received.faults.is_empty());
        received.take(Some(&message(&one, "1-9")));
        received.take(None);
        assert_eq!(received.faults.len(), 2);
    }
}
