//! Hints: that there is something new in the log, and that a checkpoint has moved. Core NATS messages, so they may be
//! lost; behind each of them is a poll.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;
use crate::supervise;

/// Subject of the hint that the log has grown. Outside the stream's subjects, which have five parts.
pub const WAKE_SUBJECT: &str = "quipu.wake";

const HINTS_WAITING_MAX: usize = 256;
const SEND_TIME_MAX: Duration = Duration::from_secs(1);

/// Wakes whoever waits for the log to grow.
#[derive(Debug, Clone)]
pub(crate) struct Wake(watch::Sender<()>);

impl Wake {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// There is something new.
    pub(crate) fn call(&self) {
        self.0.send_replace(());
    }

    /// Hears every later call; several between two looks are one.
    pub(crate) fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

/// One who waits.
#[derive(Debug)]
pub(crate) struct Listener(watch::Receiver<()>);

impl Listener {
    /// Waits for a call, or for `poll` to pass.
    pub(crate) async fn heard(&mut self, poll: Duration) {
        // Neither a closed channel nor the time that passed makes a difference: the log is looked at.
        let _either = tokio::time::timeout(poll, self.0.changed()).await;
    }
}

/// Passes on hints of other processes.
pub(crate) fn spawn(tasks: &mut JoinSet<()>, shared: &Arc<Shared>, nats: &async_nats::Client) {
    let nats = nats.clone();
    supervise::spawn(tasks, shared, "wake", move |shared| {
        let nats = nats.clone();
        async move {
            let mut hints = nats.subscribe(WAKE_SUBJECT).await?;
            loop {
                tokio::select! {
                    () = shared.shutdown.cancelled() => return Ok(()),
                    hint = hints.next() => match hint {
                        Some(_) => shared.wake.call(),
                        None => return Ok(()),
                    },
                }
            }
        }
    });
}

/// Sends hints without ever making its caller wait: with NATS down they are dropped.
#[derive(Debug, Clone)]
pub(crate) struct Announcer(mpsc::Sender<(&'static str, Bytes)>);

impl Announcer {
    pub(crate) fn start(nats: async_nats::Client, shutdown: CancellationToken) -> Self {
        let (sender, mut hints) = mpsc::channel(HINTS_WAITING_MAX);
        tokio::spawn(shutdown.run_until_cancelled_owned(async move {
            while let Some((subject, body)) = hints.recv().await {
                if nats.connection_state() == State::Connected {
                    let sent = tokio::time::timeout(SEND_TIME_MAX, nats.publish(subject, body)).await;
                    if !matches!(sent, Ok(Ok(()))) {
                        tracing::debug!(subject, "hint dropped");
                    }
                }
            }
        }));
        Self(sender)
    }

    pub(crate) fn log_grew(&self) {
        self.send(WAKE_SUBJECT, Bytes::new());
    }

    fn send(&self, subject: &'static str, body: Bytes) {
        // Full means that NATS is slow; the poll behind the hint makes up for it.
        let _dropped = self.0.try_send((subject, body));
    }
}
