//! Read models that keep one row for each stream of a category: how rows are found again, folded, put in order and listed
//! is the same for all of them. What such a model adds is its row, what events make of it, and its SQL.
//!
//! The version of a row counts the events of its stream, those among them that are of other streams and changed it too.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;

use domain::ids::TenantId;
use domain::{Category, Event, StreamId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::read_model::{Item, Key, ProjectionError, ReadModel, in_order};
use crate::tenant_tx::TenantTx;

/// A row of a stream.
pub trait StreamRow: Send + Sync + 'static {
    /// Its tenant and its stream.
    fn key(&self) -> Key;
    /// Counts one more event of its stream, which stands at this position.
    fn moved(&mut self, position: i64);
    /// Where its first event stands: what lists are ordered by.
    fn first_position(&self) -> i64;
}

/// Makes a row of `tenant_id`, the named identifier, `version`, `first_position` and `position` a [`StreamRow`].
macro_rules! stream_row {
    ($row:ty: $id:ident) => {
        impl crate::row_per_stream::StreamRow for $row {
            fn key(&self) -> crate::read_model::Key {
                (self.tenant_id, self.$id)
            }

            fn moved(&mut self, position: i64) {
                self.version += 1;
                self.position = position;
            }

            fn first_position(&self) -> i64 {
                self.first_position
            }
        }
    };
}
pub(crate) use stream_row;

/// A read model with one row for each stream of a category.
pub trait RowPerStream: Send + Sync + 'static {
    /// See [`ReadModel::NAME`].
    const NAME: &'static str;
    /// See [`ReadModel::VERSION`].
    const VERSION: i32;
    /// Its one table; see [`ReadModel::TABLES`].
    const TABLES: &'static [&'static str];
    /// Whose streams have rows.
    const CATEGORY: Category;

    /// The row of a stream.
    type Row: StreamRow;

    /// The row, at version 1, that a stream has with the first event that concerns this model; `None` if this one does not.
    ///
    /// # Errors
    /// If the event cannot be taken by a stream that has no row.
    fn begin(event: &Event, item: &Item<'_>) -> Result<Option<Self::Row>, ProjectionError>;

    /// What a further event makes of the row; its version and position are seen to.
    fn change(row: &mut Self::Row, event: &Event, item: &Item<'_>);

    /// Those rows that are there, of these streams: pairs of a tenant and an identifier.
    fn load(
        conn: &mut PgConnection,
        tenants: &[Uuid],
        ids: &[Uuid],
    ) -> impl Future<Output = sqlx::Result<Vec<Self::Row>>> + Send;

    /// Writes rows over those that are there, set-based. There is at least one, in the order of their keys.
    fn save(conn: &mut PgConnection, rows: &[Self::Row]) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Writes rows of which none is there yet, by `COPY`, in the order of their keys.
    fn copy(conn: &mut PgConnection, rows: &[Self::Row]) -> impl Future<Output = sqlx::Result<()>> + Send;
}

impl<M: RowPerStream> ReadModel for M {
    const NAME: &'static str = <M as RowPerStream>::NAME;
    const VERSION: i32 = <M as RowPerStream>::VERSION;
    const TABLES: &'static [&'static str] = <M as RowPerStream>::TABLES;

    type Rows = HashMap<Key, M::Row>;

    fn partition(_: TenantId, stream: &StreamId) -> Option<Uuid> {
        (stream.category == M::CATEGORY).then_some(stream.id)
    }

    async fn load(
        conn: &mut PgConnection,
        rows: &mut Self::Rows,
        items: &[Item<'_>],
    ) -> Result<(), ProjectionError> {
        let unknown = items.iter().filter(|item| !begins_its_stream::<M>(item)).map(key_of);
        let unknown: Vec<Key> = unknown.filter(|key| !rows.contains_key(key)).collect();
        rows.extend(found::<M>(conn, &unknown).await?.into_iter().map(|row| (row.key(), row)));
        Ok(())
    }

    fn fold(rows: &mut Self::Rows, items: &[Item<'_>]) -> Result<(), ProjectionError> {
        for item in items {
            let event = item.event()?;
            match rows.entry(key_of(item)) {
                Entry::Occupied(mut row) => {
                    M::change(row.get_mut(), event, item);
                    row.get_mut().moved(item.recorded.position);
                }
                Entry::Vacant(place) => {
                    if let Some(row) = M::begin(event, item)? {
                        place.insert(row);
                    }
                }
            }
        }
        Ok(())
    }

    async fn write(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        M::save(conn, &in_order(rows, StreamRow::key)).await
    }

    async fn copy(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        <M as RowPerStream>::copy(conn, &in_order(rows, StreamRow::key)).await
    }
}

/// One row of the transaction's tenant.
pub(crate) async fn one<M: RowPerStream>(tx: &mut TenantTx, id: Uuid) -> sqlx::Result<Option<M::Row>> {
    let tenant = tx.tenant().uuid();
    Ok(found::<M>(tx.conn(), &[(tenant, id)]).await?.pop())
}

async fn found<M: RowPerStream>(conn: &mut PgConnection, keys: &[Key]) -> sqlx::Result<Vec<M::Row>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) = keys.iter().copied().unzip();
    <M as RowPerStream>::load(conn, &tenants, &ids).await
}

fn key_of(item: &Item<'_>) -> Key {
    (item.recorded.tenant.uuid(), item.partition)
}

/// Whether no event of the partition's stream can have been before. A linked event has the version of its own stream.
fn begins_its_stream<M: RowPerStream>(item: &Item<'_>) -> bool {
    let own = item.recorded.stream;
    own.category == M::CATEGORY && own.id == item.partition && item.recorded.version == 1
}
