//! Reading the log: by position, backwards, by stream, from a time. Pages only, so no snapshot is ever held for long.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use domain::{Category, StreamId};
use sabotage::Guard;
use sqlx::PgConnection;

use crate::recorded::{EventRow, Recorded};

/// The most events of a page.
pub const PAGE_MAX: i64 = 5_000;

/// Why a page could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log has a hole. It is never waited for: positions are dense by construction, so somebody has tampered or
    /// the database is damaged.
    #[error("the log has a hole: position {expected} is missing, {found} follows")]
    Hole {
        /// The position that should have come.
        expected: i64,
        /// The position that came.
        found: i64,
    },
    /// The database did not answer.
    #[error("the log cannot be read")]
    Database(#[from] sqlx::Error),
}

/// The events after a position, in order, at most `limit`. For readers of the whole log: they assert contiguity.
///
/// # Errors
/// [`ReadError::Hole`] if positions are not dense.
pub async fn after(conn: &mut PgConnection, position: i64, limit: i64) -> Result<Vec<Recorded>, ReadError> {
    let rows = sqlx::query_as!(
        EventRow,
        r#"select position, tenant_id, tenant_seq, category, stream_id, version, type, schema_version, event_id, recorded_at,
                  payload::text as "payload!", meta::text as "meta!", leaf
           from store.events where position > $1 order by position limit $2"#,
        position,
        limit.clamp(1, PAGE_MAX)
    )
    .fetch_all(conn)
    .await?;
    let mut expected = position;
    let mut page = Vec::with_capacity(rows.len());
    for row in rows {
        expected += 1;
        if row.position != expected && sabotage::stands(Guard::Contiguity) {
            return Err(ReadError::Hole { expected, found: row.position });
        }
        page.push(row.into());
    }
    if !sabotage::stands(Guard::PositionOrder) {
        page.sort_by_key(|it: &Recorded| (it.recorded_at, Reverse(it.position)));
    }
    Ok(page)
}

/// The events at the given positions that the transaction's tenants may see, in order of position.
///
/// # Errors
/// If the database does not answer.
pub async fn at(conn: &mut PgConnection, positions: &[i64]) -> sqlx::Result<Vec<Recorded>> {
    let rows = sqlx::query_as!(
        EventRow,
        r#"select position, tenant_id, tenant_seq, category, stream_id, version, type, schema_version, event_id, recorded_at,
                  payload::text as "payload!", meta::text as "meta!", leaf
           from store.events where position = any($1) order by position"#,
        positions
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// In which order a stream is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the version upwards.
    Forwards,
    /// From the version downwards.
    Backwards,
}

/// A page of one stream, each event with the version that it has there: forwards the versions above `version`,
/// backwards those below it.
///
/// # Errors
/// If the database does not answer.
pub async fn stream(
    conn: &mut PgConnection,
    tenant: TenantId,
    stream: StreamId,
    version: i64,
    direction: Direction,
    limit: i64,
) -> sqlx::Result<Vec<(i64, Recorded)>> {
    let limit = limit.clamp(1, PAGE_MAX);
    let (tenant, category, id) = (tenant.uuid(), stream.category.code, stream.id);
    let links = match direction {
        Direction::Forwards => {
            sqlx::query!(
                "select version, position from store.stream_events
                 where tenant_id = $1 and category = $2 and stream_id = $3 and version > $4 order by version limit $5",
                tenant, category, id, version, limit
            )
            .map(|row| (row.version, row.position))
            .fetch_all(&mut *conn)
            .await?
        }
        Direction::Backwards => {
            sqlx::query!(
                "select version, position from store.stream_events
                 where tenant_id = $1 and category = $2 and stream_id = $3 and version < $4 order by version desc limit $5",
                tenant, category, id, version, limit
            )
            .map(|row| (row.version, row.position))
            .fetch_all(&mut *conn)
            .await?
        }
    };
    let positions: Vec<i64> = links.iter().map(|(_, position)| *position).collect();
    let mut events = at(conn, &positions).await?;
    if direction == Direction::Backwards {
        events.reverse();
    }
    Ok(links.into_iter().map(|(version, _)| version).zip(events).collect())
}

/// A bound within a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Up to and including a position of the log.
    Position(i64),
    /// Up to and including a moment.
    Time(DateTime<Utc>),
}

/// The newest version of a stream; 0 if it has no events.
///
/// # Errors
/// If the database does not answer.
pub async fn newest_version(
    conn: &mut PgConnection,
    tenant: TenantId,
    stream: StreamId,
) -> sqlx::Result<i64> {
    let newest = sqlx::query_scalar!(
        "select version from store.stream_events where tenant_id = $1 and category = $2 and stream_id = $3
         order by version desc limit 1",
        tenant.uuid(),
        stream.category.code,
        stream.id
    );
    Ok(newest.fetch_optional(conn).await?.unwrap_or(0))
}

/// The newest version of a stream within a bound; 0 if it has none. Versions, positions and times rise together, so
/// the place is found by halving, and a stream of a million versions costs twenty look-ups.
///
/// # Errors
/// If the database does not answer.
pub async fn version_at(
    conn: &mut PgConnection,
    tenant: TenantId,
    stream: StreamId,
    until: Until,
) -> sqlx::Result<i64> {
    let (mut low, mut high) = (0, newest_version(conn, tenant, stream).await?);
    while low < high {
        let middle = low + (high - low + 1) / 2;
        let found = sqlx::query!(
            "select e.position, e.recorded_at from store.stream_events s join store.events e on e.position = s.position
             where s.tenant_id = $1 and s.category = $2 and s.stream_id = $3 and s.version = $4",
            tenant.uuid(),
            stream.category.code,
            stream.id,
            middle
        )
        .fetch_optional(&mut *conn)
        .await?;
        let within = found.is_some_and(|it| match until {
            Until::Position(position) => it.position <= position,
            Until::Time(time) => it.recorded_at <= time,
        });
        if within { low = middle } else { high = middle - 1 }
    }
    Ok(low)
}

/// Which streams an event belongs to, and as which version, its own included.
///
/// # Errors
/// If the database does not answer.
pub async fn streams_of(conn: &mut PgConnection, position: i64) -> sqlx::Result<Vec<(i16, uuid::Uuid, i64)>> {
    sqlx::query!("select category, stream_id, version from store.stream_events where position = $1", position)
        .map(|row| (row.category, row.stream_id, row.version))
        .fetch_all(conn)
        .await
}

/// The streams of a category that a tenant has, in the order of their identifiers. For categories of which there are few.
///
/// # Errors
/// If the database does not answer.
pub async fn streams_in(
    conn: &mut PgConnection,
    tenant: TenantId,
    category: Category,
) -> sqlx::Result<Vec<uuid::Uuid>> {
    let all = "select stream_id from store.stream_events
               where tenant_id = $1 and category = $2 and version = 1 order by stream_id";
    sqlx::query_scalar(all).bind(tenant.uuid()).bind(category.code).fetch_all(conn).await
}

/// The newest position recorded at or before `time`; 0 if there is none. Times never fall along the log, so the place
/// is found by halving. For readers of the whole log: to one that is walled into a tenant, other tenants' events are
/// missing, and the place found may be too early.
///
/// # Errors
/// If the database does not answer.
pub async fn position_at(conn: &mut PgConnection, time: DateTime<Utc>) -> sqlx::Result<i64> {
    let (mut low, mut high) = (0, crate::epoch::head(conn).await?.position);
    while low < high {
        let middle = low + (high - low + 1) / 2;
        let recorded_at =
            sqlx::query_scalar!("select recorded_at from store.events where position = $1", middle)
                .fetch_optional(&mut *conn)
                .await?;
        match recorded_at {
            Some(at) if at <= time => low = middle,
            _ => high = middle - 1,
        }
    }
    Ok(low)
}
