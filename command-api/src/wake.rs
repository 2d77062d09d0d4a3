//! Tells the projector that there is something new. A hint and no more: without it the projector polls.

use std::sync::Arc;
use std::time::Duration;

use service_kit::config::NatsConfig;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The subject of the hint, outside of the stream's subjects.
pub const WAKE_SUBJECT: &str = "quipu.wake";

/// Pause between two attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Starts the task that sends a hint for every notification, however many came meanwhile. Ends with `shutdown`.
#[must_use]
pub fn start(nats: &NatsConfig, shutdown: CancellationToken) -> Arc<Notify> {
    let committed = Arc::new(Notify::new());
    let (nats, waiting) = (nats.clone(), Arc::clone(&committed));
    tokio::spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = send_hints(&nats, &waiting) => {}
        }
    });
    committed
}

async fn send_hints(nats: &NatsConfig, committed: &Notify) {
    let client = loop {
        match service_kit::nats::connect(nats, "command-api").await {
            Ok(client) => break client,
            Err(error) => {
                tracing::debug!(%error, "no NATS: the projector polls");
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
        }
    };
    loop {
        committed.notified().await;
        // Lost hints are made up for by the projector's own poll.
        drop(client.publish(WAKE_SUBJECT, Vec::new().into()).await);
        drop(client.flush().await);
    }
}
