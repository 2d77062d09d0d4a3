//! An export of the audit trail: what was carried out, when, and the checksum by which it is known again.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::AuditEvent;
use crate::aggregate::Aggregate;
use crate::event::Event;
use crate::ids::ExportId;
use crate::stream::{Category, StreamId};

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// Comma-separated values with a head (RFC 4180).
    Csv,
    /// One JSON object a line.
    Ndjson,
}

/// A part of the trail was carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrailExported {
    /// Its identifier.
    pub export_id: ExportId,
    /// How it is written.
    pub format: ExportFormat,
    /// Which entries: those that fit all of these.
    pub filters: BTreeMap<String, String>,
    /// Up to which position of the log, `<epoch>-<position>`.
    pub up_to: String,
    /// How many entries.
    pub rows: u64,
    /// Bytes of the whole text.
    pub size: u64,
    /// SHA-256 of the whole text, in hexadecimal digits.
    pub sha256: String,
    /// How many columns its rows have, if it is CSV; 12 where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<u16>,
    /// When it was made.
    pub at: DateTime<Utc>,
}

/// What is known of an export.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Export {
    /// Never made.
    #[default]
    Absent,
    /// Made; the same text can be made again.
    Made(TrailExported),
}

/// The stream of an export.
#[must_use]
pub const fn stream(id: ExportId) -> StreamId {
    StreamId::new(Export::CATEGORY, id.uuid())
}

impl Aggregate for Export {
    const CATEGORY: Category = Category { code: 91, name: "audit.export" };

    fn evolve(&mut self, id: Uuid, event: &Event) {
        if let Event::Audit(AuditEvent::TrailExported(event)) = event
            && event.export_id.uuid() == id
        {
            *self = Self::Made(event.clone());
        }
    }
}
