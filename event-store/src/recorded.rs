//! An event as it stands in the log.

use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use domain::{Category, Event, StreamId};
use event_schemas::envelope::Meta;
use event_schemas::{DecodeError, catalog, decode};
use uuid::Uuid;

/// A stored event with its envelope. Payload and meta are the exact stored text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Dense, in commit order, from 1.
    pub position: i64,
    /// Whose event.
    pub tenant: TenantId,
    /// Dense within the tenant, from 1.
    pub tenant_seq: i64,
    /// The event's own stream.
    pub stream: StreamId,
    /// Version in its own stream, from 1.
    pub version: i64,
    /// `context.noun-verbed`.
    pub event_type: String,
    /// Version of the payload's shape.
    pub schema_version: i16,
    /// UUID v7, also the message id on NATS.
    pub event_id: Uuid,
    /// Never before the event before it.
    pub recorded_at: DateTime<Utc>,
    /// JSON text.
    pub payload: String,
    /// JSON text of a [`Meta`].
    pub meta: String,
    /// RFC 6962 leaf hash, see [`crate::leaf::leaf`].
    pub leaf: Vec<u8>,
}

impl Recorded {
    /// The event, lifted to today's form.
    ///
    /// # Errors
    /// If a newer build wrote it, or the text does not fit its type.
    pub fn decode(&self) -> Result<Event, DecodeError> {
        decode(&self.event_type, self.schema_version, &self.payload)
    }

    /// The envelope's other half.
    ///
    /// # Errors
    /// If the text is not a [`Meta`].
    pub fn meta(&self) -> Result<Meta, serde_json::Error> {
        serde_json::from_str(&self.meta)
    }
}

/// A row of `store.events`, as queries return it.
#[derive(Debug)]
pub(crate) struct EventRow {
    pub(crate) position: i64,
    pub(crate) tenant_id: Uuid,
    pub(crate) tenant_seq: i64,
    pub(crate) category: i16,
    pub(crate) stream_id: Uuid,
    pub(crate) version: i64,
    pub(crate) r#type: String,
    pub(crate) schema_version: i16,
    pub(crate) event_id: Uuid,
    pub(crate) recorded_at: DateTime<Utc>,
    pub(crate) payload: String,
    pub(crate) meta: String,
    pub(crate) leaf: Vec<u8>,
}

impl From<EventRow> for Recorded {
    fn from(row: EventRow) -> Self {
        // A category of a newer build has a code but no name here yet.
        let category =
            catalog::category(row.category).unwrap_or(Category { code: row.category, name: "unknown" });
        Self {
            position: row.position,
            tenant: TenantId::new(row.tenant_id),
            tenant_seq: row.tenant_seq,
            stream: StreamId::new(category, row.stream_id),
            version: row.version,
            event_type: row.r#type,
            schema_version: row.schema_version,
            event_id: row.event_id,
            recorded_at: row.recorded_at,
            payload: row.payload,
            meta: row.meta,
            leaf: row.leaf,
        }
    }
}
