//! `event_index`: the envelope of each event, by which events are found. What an event says stays in the log, so an
//! event whose payload cannot be read is found like any other.
//!
//! An event is indexed once, with its own stream. By stream it is found in the log's own table of links, so also by
//! every other stream that it changed: a transfer by each account that it touched.

mod correlated;

use chrono::{DateTime, Utc};
use domain::StreamId;
use domain::ids::TenantId;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::copy::{self, cells};
use crate::figures::column;
use crate::page::{Asked, ByPosition, ListError, Page};
use crate::read_model::{Item, ProjectionError, ReadModel};
use crate::tenant_tx::TenantTx;

pub use correlated::{CORRELATED_MAX, CorrelatedRow};

/// The index of all events.
#[derive(Debug)]
pub struct EventIndex;

/// One event, without what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRow {
    tenant_id: Uuid,
    /// Where it stands in the log.
    pub position: i64,
    tenant_seq: i64,
    event_type: String,
    category: i16,
    stream_id: Uuid,
    event_id: Uuid,
    actor: Option<Uuid>,
    correlation: Option<Uuid>,
    recorded_at: DateTime<Utc>,
}

/// Refuses no event: if its meta cannot be read, it is not found by what is in there.
fn fold(rows: &mut Vec<IndexRow>, items: &[Item<'_>]) {
    for item in items {
        let it = item.recorded;
        // Its streams all lead to the tenant's one partition.
        if rows.last().is_some_and(|row| row.position == it.position) {
            continue;
        }
        let meta = item.meta().ok();
        rows.push(IndexRow {
            tenant_id: it.tenant.uuid(),
            position: it.position,
            tenant_seq: it.tenant_seq,
            event_type: it.event_type.clone(),
            category: it.stream.category.code,
            stream_id: it.stream.id,
            event_id: it.event_id,
            actor: meta.as_ref().map(|it| it.actor.uuid()),
            correlation: meta.as_ref().map(|it| it.correlation),
            recorded_at: it.recorded_at,
        });
    }
}

impl ReadModel for EventIndex {
    const NAME: &'static str = "event_index";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["event_index"];
    const APPENDS_ONLY: bool = true;

    type Rows = Vec<IndexRow>;

    fn partition(tenant: TenantId, _: &StreamId) -> Option<Uuid> {
        Some(tenant.uuid())
    }

    async fn load(_: &mut PgConnection, _: &mut Self::Rows, _: &[Item<'_>]) -> Result<(), ProjectionError> {
        Ok(())
    }

    fn fold(rows: &mut Self::Rows, items: &[Item<'_>]) -> Result<(), ProjectionError> {
        fold(rows, items);
        Ok(())
    }

    async fn write(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        sqlx::query!(
            "insert into event_index
             select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::smallint[], $6::uuid[],
                                  $7::uuid[], $8::uuid[], $9::uuid[], $10::timestamptz[])",
            column!(rows, tenant_id),
            column!(rows, position),
            column!(rows, tenant_seq),
            column!(rows, event_type),
            column!(rows, category),
            column!(rows, stream_id),
            column!(rows, event_id),
            column!(rows, actor) as &[Option<Uuid>],
            column!(rows, correlation) as &[Option<Uuid>],
            column!(rows, recorded_at)
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn copy(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        let cells = cells!(
            IndexRow:
            tenant_id, position, tenant_seq, event_type, category, stream_id, event_id, actor, correlation,
            recorded_at
        );
        copy::rows(conn, "copy event_index from stdin", &rows, cells).await
    }
}

/// Which events are listed.
#[derive(Debug, Clone, Default, Hash)]
pub struct EventFilter {
    /// Of this type.
    pub event_type: Option<String>,
    /// Whose own stream is of this category.
    pub category: Option<i16>,
    /// On this stream, their own or linked.
    pub stream: Option<StreamId>,
    /// By this actor.
    pub actor: Option<Uuid>,
    /// Of one request and what followed from it.
    pub correlation: Option<Uuid>,
    /// Recorded at or after this moment.
    pub from: Option<DateTime<Utc>>,
    /// Recorded before this moment.
    pub to: Option<DateTime<Utc>>,
    /// Behind this position.
    pub after: Option<i64>,
    /// Before this position.
    pub before: Option<i64>,
}

const LIST: &str = "events";

#[derive(FromRow)]
struct Found {
    position: i64,
    /// What the list is ordered by: the version in a stream, else the position.
    place: i64,
}

impl EventIndex {
    /// A page of positions.
    ///
    /// # Errors
    /// If the cursor is not one of this list in this order, or the database does not answer.
    pub async fn list(
        tx: &mut TenantTx,
        filter: &EventFilter,
        asked: &Asked,
    ) -> Result<Page<i64>, ListError> {
        let (first, last) = places(tx, filter.from, filter.to).await?;
        let tenant = tx.tenant().uuid();
        let mut query = QueryBuilder::<Postgres>::new("select i.position, ");
        let (column, position) = if let Some(stream) = filter.stream {
            query.push("s.version as place from store.stream_events s join event_index i");
            query.push(" on i.tenant_id = s.tenant_id and i.position = s.position where s.tenant_id = ");
            query.push_bind(tenant).push(" and s.category = ").push_bind(stream.category.code);
            query.push(" and s.stream_id = ").push_bind(stream.id);
            ("s.version", "s.position")
        } else {
            query.push("i.position as place from event_index i where i.tenant_id = ").push_bind(tenant);
            ("i.position", "i.position")
        };
        if let Some(event_type) = &filter.event_type {
            query.push(" and i.type = ").push_bind(event_type.clone());
        }
        if let Some(category) = filter.category {
            query.push(" and i.category = ").push_bind(category);
        }
        for (column, id) in [(" and i.actor = ", filter.actor), (" and i.correlation = ", filter.correlation)]
        {
            if let Some(id) = id {
                query.push(column).push_bind(id);
            }
        }
        for (than, bound) in [(" > ", filter.after), (" < ", filter.before), (" >= ", first), (" <= ", last)]
        {
            if let Some(bound) = bound {
                query.push(" and ").push(position).push(than).push_bind(bound);
            }
        }
        // Versions of one stream say nothing of another: the stream is of the filter, to which cursors are bound.
        let page =
            ByPosition { list: LIST, column }.page(tx, query, filter, asked, |it: &Found| it.place).await?;
        let items = page.items.into_iter().map(|it| it.position).collect();
        Ok(Page { items, next_cursor: page.next_cursor })
    }
}

/// Whether anything of the tenant was recorded by a moment, inclusive.
///
/// # Errors
/// If the database cannot be read.
pub async fn began_by(tx: &mut TenantTx, moment: DateTime<Utc>) -> sqlx::Result<bool> {
    let tenant = tx.tenant().uuid();
    sqlx::query_scalar!(
        r#"select exists (select from event_index where tenant_id = $1 and recorded_at <= $2) as "began!""#,
        tenant,
        moment
    )
    .fetch_one(tx.conn())
    .await
}

/// The first place at or behind `from` and the last one before `to`; times never fall along the log, so places say it
/// all. A bound that nothing meets shuts everything out.
async fn places(
    tx: &mut TenantTx,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
) -> sqlx::Result<(Option<i64>, Option<i64>)> {
    let tenant = tx.tenant().uuid();
    let (mut first, mut last) = (None, None);
    if let Some(from) = from {
        let found = sqlx::query_scalar!(
            "select position from event_index where tenant_id = $1 and recorded_at >= $2
             order by recorded_at, position limit 1",
            tenant,
            from
        );
        first = Some(found.fetch_optional(tx.conn()).await?.unwrap_or(i64::MAX));
    }
    if let Some(to) = to {
        let found = sqlx::query_scalar!(
            "select position from event_index where tenant_id = $1 and recorded_at < $2
             order by recorded_at desc, position desc limit 1",
            tenant,
            to
        );
        last = Some(found.fetch_optional(tx.conn()).await?.unwrap_or(0));
    }
    Ok((first, last))
}
