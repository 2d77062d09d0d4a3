//! The audit trail's own facts: what was asked for and refused, which personal data was read, what of the trail was
//! carried out. What was done stands in the log already, as the events of the other contexts.
//!
//! **Invariant:** no body, no secret and no free text of a caller is in any of them. Who asked, and from where, is in
//! the envelope, the latter sealed.

pub mod day;
pub mod export;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decision::{Decision, Outcome, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::stream::StreamId;
pub use day::{AttemptRefused, DataRead, Day, RefusalsCounted};
pub use export::{Export, ExportFormat, TrailExported};

/// The names are the contract: a rename breaks stored history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "payload")]
pub enum AuditEvent {
    /// A command was refused, for its form, by a permission or by a rule.
    #[serde(rename = "audit.command-refused")]
    CommandRefused(AttemptRefused),
    /// A sensitive read was refused.
    #[serde(rename = "audit.read-refused")]
    ReadRefused(AttemptRefused),
    /// Sensitive data was asked for by somebody who may read it.
    #[serde(rename = "audit.data-read")]
    DataRead(DataRead),
    /// More refusals came than are told one by one.
    #[serde(rename = "audit.refusals-counted")]
    RefusalsCounted(RefusalsCounted),
    /// A part of the trail was carried out.
    #[serde(rename = "audit.trail-exported")]
    TrailExported(TrailExported),
}

impl AuditEvent {
    /// The stored name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::CommandRefused(_) => "audit.command-refused",
            Self::ReadRefused(_) => "audit.read-refused",
            Self::DataRead(_) => "audit.data-read",
            Self::RefusalsCounted(_) => "audit.refusals-counted",
            Self::TrailExported(_) => "audit.trail-exported",
        }
    }

    /// When the newest of what it tells was.
    #[must_use]
    pub fn at(&self) -> DateTime<Utc> {
        match self {
            Self::CommandRefused(event) | Self::ReadRefused(event) => event.last_at,
            Self::DataRead(event) => event.last_at,
            Self::RefusalsCounted(event) => event.last_at,
            Self::TrailExported(event) => event.at,
        }
    }

    /// The streams that it belongs to: that of its day, and that of the export.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamId> {
        let mut streams = vec![day::stream(self.at().date_naive())];
        if let Self::TrailExported(event) = self {
            streams.push(export::stream(event.export_id));
        }
        streams
    }
}

/// Records what was seen at an edge. It is a fact already, so there is nothing to refuse.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordAudit(pub AuditEvent);

impl Decision for RecordAudit {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        self.0.streams()
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let date = self.0.at().date_naive();
        let begun = view.find::<Day>(day::id(date)).is_some_and(|seen| seen.version > 0);
        let outcome = if begun { Outcome::Done } else { Outcome::Created };
        Ok(Verdict { outcome, ..Verdict::created(day::stream(date), Event::Audit(self.0.clone())) })
    }
}

#[cfg(test)]
mod tests;
