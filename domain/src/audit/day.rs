//! A day of a tenant's audit trail, in UTC: one stream, so that no stream grows for ever.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::AuditEvent;
use crate::aggregate::Aggregate;
pub use crate::day::id;
use crate::event::Event;
use crate::stream::{Category, StreamId};

/// An attempt was refused, once or several times within a minute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptRefused {
    /// The permission that the operation asks for.
    pub action: String,
    /// The path that was asked for, with the identifiers in it; with their names instead, where what was sent is none.
    pub resource: String,
    /// The code of the refusal.
    pub code: String,
    /// The HTTP status that the code has.
    pub status: u16,
    /// How often.
    pub count: u64,
    /// When it was first refused.
    pub first_at: DateTime<Utc>,
    /// When it was last refused.
    pub last_at: DateTime<Utc>,
}

/// Sensitive data was read, once or several times within a minute. Recorded before the answer, so also if nothing was
/// found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DataRead {
    /// The permission that was used.
    pub action: String,
    /// The path that was asked for, with the identifiers in it.
    pub resource: String,
    /// By what it was narrowed. Values are told only if they are identifiers, numbers, times or names of ours.
    pub filters: BTreeMap<String, String>,
    /// How often.
    pub count: u64,
    /// When it was first read.
    pub first_at: DateTime<Utc>,
    /// When it was last read.
    pub last_at: DateTime<Utc>,
}

/// Refusals that are not told one by one, because too many different ones came within a minute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RefusalsCounted {
    /// How many.
    pub count: u64,
    /// When the first of them was.
    pub first_at: DateTime<Utc>,
    /// When the last of them was.
    pub last_at: DateTime<Utc>,
}

/// What is known of a day. Its events say everything; this is how far they go.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Day {
    /// Nothing was recorded on it.
    #[default]
    Empty,
    /// Something was.
    Begun {
        /// When the newest of it was.
        newest_at: DateTime<Utc>,
    },
}

/// The stream of a day.
#[must_use]
pub fn stream(date: NaiveDate) -> StreamId {
    StreamId::new(Day::CATEGORY, id(date))
}

impl Day {
    fn told(event: &AuditEvent) -> Self {
        Self::Begun { newest_at: event.at() }
    }
}

impl Aggregate for Day {
    const CATEGORY: Category = Category { code: 90, name: "audit.day" };

    // A busy day has many events; the newest one says it all.
    const RESTORABLE: bool = true;

    fn evolve(&mut self, id: Uuid, event: &Event) {
        if let Some(told) = Self::restore(id, event) {
            *self = told;
        }
    }

    fn restore(id: Uuid, newest: &Event) -> Option<Self> {
        match newest {
            Event::Audit(event) if self::id(event.at().date_naive()) == id => Some(Self::told(event)),
            _ => None,
        }
    }
}
