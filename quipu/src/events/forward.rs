//! Events to somebody else's door: each is posted as a CloudEvent in binary mode and must be taken before the next one.
//! Source: CloudEvents HTTP Protocol Binding 1.0.2, section 3.1.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use crate::console;
use crate::table::{field, plain};

const TIME_MAX: Duration = Duration::from_secs(30);
/// How often one event is offered.
const ATTEMPTS_MAX: u32 = 5;

/// Where events go.
#[derive(Debug)]
pub(super) struct Forward {
    http: reqwest::Client,
    to: Url,
}

/// The other side did not take an event.
#[derive(Debug, thiserror::Error)]
#[error("{to} did not take the event at {position}: {reason}")]
pub(super) struct NotTaken {
    to: Url,
    position: String,
    reason: String,
}

impl Forward {
    pub(super) fn new(to: Url) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(TIME_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, to })
    }

    /// Offers an event until it is taken.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub(super) async fn send(&self, event: &Value) -> Result<(), NotTaken> {
        let mut reason = String::new();
        for attempt in 0..ATTEMPTS_MAX {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(200) * 2_u32.pow(attempt)).await;
            }
            match self.offer(event).await {
                Ok(status) if status.is_success() => {
                    console::note(format_args!(
                        "{} {} -> {status}",
                        plain(&field(event, "position")),
                        plain(&field(event, "type"))
                    ));
                    return Ok(());
                }
                Ok(status) => reason = status.to_string(),
                Err(error) => reason = error.without_url().to_string(),
            }
        }
        Err(NotTaken { to: self.to.clone(), position: field(event, "position"), reason })
    }

    async fn offer(&self, event: &Value) -> reqwest::Result<reqwest::StatusCode> {
        let payload = event.get("payload").map(ToString::to_string).unwrap_or_default();
        let event_type = field(event, "type");
        let request = self
            .http
            .post(self.to.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("ce-specversion", "1.0")
            .header("ce-id", field(event, "event_id"))
            .header("ce-type", &event_type)
            .header("ce-source", "/quipu")
            .header("ce-subject", field(event, "stream"))
            .header("ce-time", field(event, "recorded_at"))
            .header(
                "ce-dataschema",
                format!("urn:quipu:event:{event_type}:v{}", field(event, "schema_version")),
            )
            .header("ce-quipuposition", field(event, "position"));
        Ok(request.body(payload).send().await?.status())
    }
}
