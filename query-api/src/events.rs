//! Events as people see them: the envelope whole, the payload as it is stored, and where the request came from, which
//! is sealed in the log and opened here only.

use chrono::{DateTime, Utc};
use event_schemas::envelope::{LogPosition, Meta, Origin};
use event_store::keyring::{ORIGIN_PATH, Place, sealed_in};
use event_store::{Recorded, log};
use read_models::TenantTx;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use service_kit::problem::Problem;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::privacy::{self, Keys};

/// An event of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventRow {
    /// Where it stands in the log, with the log's epoch.
    #[schema(example = "1-4711")]
    pub position: String,
    /// Where it stands among the tenant's events, without holes.
    #[schema(example = 42)]
    pub tenant_seq: i64,
    /// `context.noun-verbed`.
    #[serde(rename = "type")]
    #[schema(example = "ledger.transfer-posted")]
    pub event_type: String,
    /// Version of the payload's shape.
    #[schema(example = 1)]
    pub schema_version: i16,
    /// Its own stream: category and id.
    #[schema(example = "ledger.transfer/0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e")]
    pub stream: String,
    /// Its version in that stream.
    #[schema(example = 1)]
    pub version: i64,
    /// Unique for ever; also the message id on NATS.
    pub event_id: Uuid,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// What it says, to the letter. Private values in it stay sealed.
    #[schema(value_type = Object)]
    pub payload: Box<RawValue>,
    /// Who, from where, because of what; `null` if it cannot be read. `origin` holds `ip` and `user_agent`, or is `null`
    /// if the person was erased.
    #[schema(value_type = Object, example = json!({
        "actor": "0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e",
        "correlation": "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
        "origin": { "ip": "192.0.2.7", "user_agent": "curl/8.9" }
    }))]
    pub meta: Option<Meta>,
    /// Its version in the stream that is listed; only in the list of one stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 7)]
    pub stream_version: Option<i64>,
    /// Milliseconds since the event before it in the stream that is listed; only in the list of one stream, and not
    /// with its first event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 42)]
    pub elapsed_ms: Option<i64>,
}

/// The events at these positions, in the order of the positions.
pub(crate) async fn rows(
    app: &App,
    tx: &mut TenantTx,
    epoch: i32,
    positions: &[i64],
) -> Result<Vec<EventRow>, Problem> {
    let mut events = log::at(tx.conn(), positions).await?;
    if positions.first() > positions.last() {
        events.reverse();
    }
    shown(app, tx, epoch, events).await
}

/// Events of the log, in the order in which they are given.
pub(crate) async fn shown(
    app: &App,
    tx: &mut TenantTx,
    epoch: i32,
    events: Vec<Recorded>,
) -> Result<Vec<EventRow>, Problem> {
    let metas: Vec<Option<Meta>> = events.iter().map(|it| it.meta().ok()).collect();
    let subjects = metas.iter().flatten().filter_map(subject_of);
    let keys = privacy::keys_of(&app.master, tx, subjects).await?;
    let mut rows = Vec::with_capacity(events.len());
    for (event, meta) in events.into_iter().zip(metas) {
        let meta = meta.map(|it| opened(it, &event, &keys));
        let payload = RawValue::from_string(event.payload).map_err(|error| Problem::fault(&error))?;
        rows.push(EventRow {
            position: LogPosition { epoch, position: event.position }.to_string(),
            tenant_seq: event.tenant_seq,
            event_type: event.event_type,
            schema_version: event.schema_version,
            stream: event.stream.to_string(),
            version: event.version,
            event_id: event.event_id,
            recorded_at: event.recorded_at,
            payload,
            meta,
            stream_version: None,
            elapsed_ms: None,
        });
    }
    Ok(rows)
}

fn subject_of(meta: &Meta) -> Option<Uuid> {
    meta.origin.as_ref().and_then(sealed_in).map(|it| it.subject)
}

/// The meta with its origin in the clear, or with `null` in its place.
fn opened(mut meta: Meta, event: &Recorded, keys: &Keys) -> Meta {
    let place =
        Place { tenant: event.tenant, stream: event.stream, event_id: event.event_id, path: ORIGIN_PATH };
    meta.origin = meta.origin.take().map(|value| {
        let sealed = sealed_in(&value);
        let plain = sealed.and_then(|it| keys.get(&it.subject)?.open(&place, &it).ok());
        let origin = plain.and_then(|it| serde_json::from_slice::<Origin>(&it).ok());
        origin.and_then(|it| serde_json::to_value(it).ok()).unwrap_or(Value::Null)
    });
    meta
}
