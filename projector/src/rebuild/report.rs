//! What a rebuild tells: while it works, when it has ended, and about what stands beside the live tables.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use uuid::Uuid;

/// What a rebuild does at the moment. Phases come in this order; one that was left is gone on with in a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It folds the log.
    #[default]
    Building,
    /// It makes keys and indexes.
    Indexing,
    /// It follows the live model.
    CatchingUp,
    /// It compares itself with the live model.
    Comparing,
    /// It waits for a moment in which the tables can change places.
    Swapping,
}

/// How far a rebuild has come.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Progress {
    /// The model.
    pub model: String,
    /// What it does.
    pub phase: Phase,
    /// The position up to which it has come in this phase; of a comparison, rows.
    pub done: i64,
    /// The position at which the phase ends; nothing if that is not known.
    pub target: Option<i64>,
    /// Events a second in this phase; of a comparison, rows.
    pub rate_per_second: i64,
    /// How long the phase will still take at this rate.
    pub remaining: Option<Duration>,
}

/// What a rebuild came to.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The model.
    pub model: String,
    /// The version that was built.
    pub version: i32,
    /// What is so now.
    pub state: RebuildState,
    /// Everything up to here is in it.
    pub position: i64,
    /// The comparison with the live model, if one was asked for.
    pub comparison: Option<Comparison>,
    /// How many of its partitions could not take an event and wait for repair.
    pub parked: usize,
    /// How long it took in this process.
    pub took: Duration,
    /// How long readers of the model were kept waiting by the swap, at most.
    pub pause: Option<Duration>,
}

/// Where a rebuild stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RebuildState {
    /// Parts of the log are in its tables.
    Building,
    /// Everything up to its target is; indexes are being made.
    Indexing,
    /// It follows the live model.
    CatchingUp,
    /// It is as the live model was at the position of the comparison.
    Verified,
    /// It is not. Somebody has to look, and then swap or cancel.
    Differs,
    /// It is live.
    Swapped,
    /// It was compared and dropped.
    Compared,
    /// It met something that it cannot go on from by itself.
    Failed,
    /// It was given up; nothing of it is left.
    Cancelled,
}

impl RebuildState {
    /// Whether its tables stand and wait for something.
    #[must_use]
    pub const fn is_unfinished(self) -> bool {
        !matches!(self, Self::Swapped | Self::Compared | Self::Cancelled)
    }

    /// Its name, as in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Indexing => "indexing",
            Self::CatchingUp => "catching-up",
            Self::Verified => "verified",
            Self::Differs => "differs",
            Self::Swapped => "swapped",
            Self::Compared => "compared",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn parse(name: &str) -> Self {
        let all = [
            Self::Building,
            Self::Indexing,
            Self::CatchingUp,
            Self::Verified,
            Self::Differs,
            Self::Swapped,
            Self::Compared,
            Self::Cancelled,
        ];
        all.into_iter().find(|it| it.name() == name).unwrap_or(Self::Failed)
    }
}

/// A comparison of rebuilt tables with the live ones, each row of them, at one position a bucket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Why nothing was compared; everything else is empty then.
    pub skipped: Option<String>,
    /// The version of the live tables, if it is another: the columns that both have were compared.
    pub live_version: Option<i32>,
    /// The position of the last bucket.
    pub position: i64,
    /// Rows that are on both sides.
    pub compared: i64,
    /// Rows that only the live tables have.
    pub missing: i64,
    /// Rows that only the rebuilt tables have.
    pub extra: i64,
    /// Rows on both sides with another value in some column.
    pub differing: i64,
    /// Parked partitions of the live model; rows of theirs may differ.
    pub parked_live: i64,
    /// Parked partitions of the rebuilt model.
    pub parked_rebuilt: i64,
    /// Columns that were left out because they may differ, and those that only one side has.
    pub left_out: Vec<String>,
    /// The first differences, at most [`super::DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
}

impl Comparison {
    /// Whether everything that was to be compared was, and was the same.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.skipped.is_none() && self.missing + self.extra + self.differing == 0
    }
}

/// One row that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// The primary key of the row, column by column.
    pub key: String,
    /// The column; nothing if the whole row is on one side only.
    pub column: Option<String>,
    /// The value of the live table; the row, if it has no counterpart.
    pub live: Option<String>,
    /// The rebuilt value.
    pub rebuilt: Option<String>,
}

/// A rebuild as it is recorded, and the tables that stand beside the live ones.
#[derive(Debug, Clone, Serialize)]
pub struct RebuildRow {
    /// The model.
    pub model: String,
    /// The version that is or was built.
    pub version: i32,
    /// The only tenant, if it is of one.
    pub tenant: Option<Uuid>,
    /// Where it stands.
    pub state: RebuildState,
    /// The epoch of its positions.
    pub epoch: i32,
    /// Everything up to here is in it; of one that builds, in all of its parts.
    pub position: i64,
    /// The position up to which it folds in memory.
    pub target: i64,
    /// The newest comparison.
    pub comparison: Option<Json<Comparison>>,
    /// Why it failed.
    pub error: Option<String>,
    /// The process that works on it now.
    pub lease_owner: Option<String>,
    /// When it was begun.
    pub started_at: DateTime<Utc>,
    /// Its last sign of life.
    pub updated_at: DateTime<Utc>,
}

/// Tables that a rebuild has replaced and that are still there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PreviousRow {
    /// The model.
    pub model: String,
    /// The version that wrote them.
    pub version: i32,
    /// The epoch of their position.
    pub epoch: i32,
    /// How far they had come.
    pub position: i64,
    /// When they were replaced.
    pub swapped_at: DateTime<Utc>,
}

/// What a rollback came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RolledBack {
    /// The version that is live again.
    pub version: i32,
    /// How far it has come.
    pub position: i64,
    /// Whether it was written by this build, and so brought up to date first. If not, it stands where it was replaced,
    /// and a projector of its own build goes on with it.
    pub of_this_build: bool,
    /// How long readers of the model were kept waiting, at most.
    pub pause: Duration,
}
