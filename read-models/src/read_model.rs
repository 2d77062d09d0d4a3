//! What a read model is to the projector.

use std::future::Future;

use domain::ids::TenantId;
use domain::{Event, StreamId};
use event_schemas::envelope::Meta;
use event_schemas::{DecodeError, decode};
use event_store::Recorded;
use sqlx::PgConnection;
use uuid::Uuid;

/// A fold of the log into one or more tables.
///
/// Not for side effects: a read model is folded again whenever it is rebuilt.
pub trait ReadModel: Send + Sync + 'static {
    /// Its name, stable for ever.
    const NAME: &'static str;
    /// Bump it when the fold or the table changes; the new version is then built beside the old one.
    const VERSION: i32;

    /// Which partition of this model a stream feeds; `None` if it does not concern the model. Events of one partition
    /// are applied in order; a partition that cannot take an event waits alone.
    fn partition(tenant: TenantId, stream: &StreamId) -> Option<Uuid>;

    /// Applies items, in order of position, in the transaction that also moves the checkpoint. Set-based: a page is
    /// folded in memory and written with few statements. Must not depend on where pages begin or end.
    fn apply(
        tx: &mut PgConnection,
        items: &[Item<'_>],
    ) -> impl Future<Output = Result<(), ProjectionError>> + Send;
}

/// One event on its way into one partition.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// The event as it is stored.
    pub recorded: &'a Recorded,
    /// The partition of the model that it is applied to. An event that touches several comes once for each.
    pub partition: Uuid,
    decoded: Result<&'a Event, &'a DecodeError>,
}

impl<'a> Item<'a> {
    /// Sends an event to a partition.
    #[must_use]
    pub fn new(recorded: &'a Recorded, decoded: Result<&'a Event, &'a DecodeError>, partition: Uuid) -> Self {
        Self { recorded, partition, decoded }
    }

    /// The event in today's form.
    ///
    /// # Errors
    /// If it cannot be read; the projector holds the model or parks the partition.
    pub fn event(&self) -> Result<&'a Event, ProjectionError> {
        self.decoded.map_err(|error| match error {
            DecodeError::Newer { .. } => ProjectionError::Newer { position: self.recorded.position },
            DecodeError::Malformed { .. } => {
                ProjectionError::Poisoned { position: self.recorded.position, reason: error.to_string() }
            }
        })
    }

    /// Who, from where, because of what.
    ///
    /// # Errors
    /// If the stored text cannot be read.
    pub fn meta(&self) -> Result<Meta, ProjectionError> {
        self.recorded.meta().map_err(|error| ProjectionError::Poisoned {
            position: self.recorded.position,
            reason: format!("meta: {error}"),
        })
    }
}

/// Decodes an event for [`Item::new`].
///
/// # Errors
/// See [`decode`].
pub fn decoded(recorded: &Recorded) -> Result<Event, DecodeError> {
    decode(&recorded.event_type, recorded.schema_version, &recorded.payload)
}

/// Why a page could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// A newer build wrote an event: the model waits for that build, it does not skip.
    #[error("event {position} was written by a newer build")]
    Newer {
        /// Where it stands.
        position: i64,
    },
    /// An event that this model can never take as it is.
    #[error("event {position} cannot be applied: {reason}")]
    Poisoned {
        /// Where it stands.
        position: i64,
        /// Why, for an operator.
        reason: String,
    },
    /// The database refused: the connection, or one event's data.
    #[error("the read model cannot be written")]
    Database(#[from] sqlx::Error),
}
