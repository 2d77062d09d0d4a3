//! What a read model is to the projector.

use std::collections::HashMap;
use std::future::Future;

use domain::ids::TenantId;
use domain::{Event, StreamId};
use event_schemas::envelope::Meta;
use event_schemas::{DecodeError, decode};
use event_store::Recorded;
use sqlx::PgConnection;
use uuid::Uuid;

/// The row of a tenant: whose, and the row's own identifier.
pub(crate) type Key = (Uuid, Uuid);

/// Rows in one order of locks and of index pages, whatever the page of the log held.
pub(crate) fn in_order<K: Ord, R>(rows: HashMap<K, R>, key: impl Fn(&R) -> K) -> Vec<R> {
    let mut rows: Vec<R> = rows.into_values().collect();
    rows.sort_unstable_by_key(key);
    rows
}

/// A fold of the log into one or more tables, in three steps: what was there before is loaded, items are folded onto it
/// in memory, the outcome is written. A rebuild folds with the same fold, over many pages, and writes by `COPY`.
///
/// Not for side effects: a read model is folded again whenever it is rebuilt.
pub trait ReadModel: Send + Sync + 'static {
    /// Its name, stable for ever.
    const NAME: &'static str;
    /// Bump it when the fold or the table changes; the new version is then built beside the old one.
    const VERSION: i32;
    /// Its tables, without a schema: the search path says whether the live ones are meant or a shadow of them.
    const TABLES: &'static [&'static str];
    /// Columns whose values may differ between two builds of the same log. None, if the fold is a function of the log.
    const EXPECTED_DIFFERENCES: &'static [&'static str] = &[];
    /// Whether rows are only ever inserted, never changed. Such a model is always written by `COPY` when it is rebuilt.
    const APPENDS_ONLY: bool = false;

    /// What is folded in memory: rows, and what the fold needs of earlier ones.
    type Rows: Default + Send + Sync + 'static;

    /// Which partition of this model a stream feeds; `None` if it does not concern the model. Events of one partition
    /// are applied in order; a partition that cannot take an event waits alone.
    fn partition(tenant: TenantId, stream: &StreamId) -> Option<Uuid>;

    /// Whose rows a partition makes: its events' tenant, unless the events are the platform's.
    fn tenant_of(tenant: TenantId, _partition: Uuid) -> TenantId {
        tenant
    }

    /// Loads what items need of earlier rows, unless it is in `rows` already: what is there is newer.
    fn load(
        conn: &mut PgConnection,
        rows: &mut Self::Rows,
        items: &[Item<'_>],
    ) -> impl Future<Output = Result<(), ProjectionError>> + Send;

    /// Folds items onto rows, in order of position. Must not depend on where pages begin or end.
    ///
    /// # Errors
    /// At the first item that cannot be taken. `rows` is then as the items before it have left it.
    fn fold(rows: &mut Self::Rows, items: &[Item<'_>]) -> Result<(), ProjectionError>;

    /// Writes rows over those that are there, set-based: few statements, however many rows.
    fn write(conn: &mut PgConnection, rows: Self::Rows) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Writes rows of which none is there yet, by `COPY`. If it is cancelled, the connection must not be used again.
    fn copy(conn: &mut PgConnection, rows: Self::Rows) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Applies items, in order of position, in the transaction that also moves the checkpoint.
    fn apply(
        conn: &mut PgConnection,
        items: &[Item<'_>],
    ) -> impl Future<Output = Result<(), ProjectionError>> + Send {
        async move {
            let mut rows = Self::Rows::default();
            Self::load(&mut *conn, &mut rows, items).await?;
            Self::fold(&mut rows, items)?;
            Ok(Self::write(conn, rows).await?)
        }
    }
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
            DecodeError::Malformed { .. } => self.poisoned(error.to_string()),
        })
    }

    /// Who, from where, because of what.
    ///
    /// # Errors
    /// If the stored text cannot be read.
    pub fn meta(&self) -> Result<Meta, ProjectionError> {
        self.recorded.meta().map_err(|error| self.poisoned(format!("meta: {error}")))
    }

    /// The event can never be taken as it is: why, for an operator.
    pub(crate) fn poisoned(&self, reason: impl Into<String>) -> ProjectionError {
        ProjectionError::Poisoned { position: self.recorded.position, reason: reason.into() }
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
