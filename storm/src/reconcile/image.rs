//! The log as it lies in the database, read past every part of the product but its decoder.

use std::collections::HashMap;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use domain::{Event, StreamId};
use event_store::{Recorded, log};
use sqlx::{Executor as _, PgConnection};
use uuid::Uuid;

/// An event of the log.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Where it stands.
    pub position: i64,
    /// Whose.
    pub tenant: TenantId,
    /// Where it stands among those of its tenant.
    pub tenant_seq: i64,
    /// Its own stream.
    pub stream: StreamId,
    /// The version that it makes of it.
    pub version: i64,
    /// Its type.
    pub event_type: String,
    /// Its id.
    pub event_id: Uuid,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// What it says.
    pub event: Event,
}

/// That an event makes a version of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Whose.
    pub tenant: TenantId,
    /// The code of the stream's category.
    pub category: i16,
    /// The stream.
    pub stream: Uuid,
    /// The version.
    pub version: i64,
    /// Which event.
    pub position: i64,
}

/// A whole log.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// The newest position, as the head says.
    pub head: i64,
    /// Every event, by position.
    pub entries: Vec<Entry>,
    /// Every link, by stream and version.
    pub links: Vec<Link>,
}

/// What an event is asked for by: tenant, type and the stream's id.
pub type Subject<'a> = (TenantId, &'a str, Uuid);

impl Image {
    /// Reads everything.
    ///
    /// # Errors
    /// If the database does not answer, there is a hole, or an event is not readable.
    pub async fn read(conn: &mut PgConnection) -> anyhow::Result<Self> {
        // One snapshot: events, links and head of the same moment.
        conn.execute("begin isolation level repeatable read, read only").await?;
        let head = event_store::epoch::head(conn).await?.position;
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let page = log::after(conn, entries.last().map_or(0, |it| it.position), log::PAGE_MAX).await?;
            if page.is_empty() {
                break;
            }
            for recorded in page {
                entries.push(entry(recorded)?);
            }
        }
        let links = sqlx::query_as::<_, (Uuid, i16, Uuid, i64, i64)>(
            "select tenant_id, category, stream_id, version, position from store.stream_events
             order by tenant_id, category, stream_id, version",
        )
        .fetch_all(&mut *conn)
        .await?
        .into_iter()
        .map(|(tenant, category, stream, version, position)| Link {
            tenant: TenantId::new(tenant),
            category,
            stream,
            version,
            position,
        })
        .collect();
        conn.execute("commit").await?;
        Ok(Self { head, entries, links })
    }

    /// The events by what they are asked for by.
    #[must_use]
    pub fn by_subject(&self) -> HashMap<Subject<'_>, Vec<&Entry>> {
        let mut found: HashMap<Subject<'_>, Vec<&Entry>> = HashMap::new();
        for it in &self.entries {
            found.entry((it.tenant, it.event_type.as_str(), it.stream.id)).or_default().push(it);
        }
        found
    }

    /// The event at a position.
    #[must_use]
    pub fn at(&self, position: i64) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&position, |it| it.position).ok()?;
        self.entries.get(at)
    }
}

fn entry(recorded: Recorded) -> anyhow::Result<Entry> {
    let event = recorded.decode().with_context(|| format!("position {}", recorded.position))?;
    Ok(Entry {
        position: recorded.position,
        tenant: recorded.tenant,
        tenant_seq: recorded.tenant_seq,
        stream: recorded.stream,
        version: recorded.version,
        event_type: recorded.event_type,
        event_id: recorded.event_id,
        recorded_at: recorded.recorded_at,
        event,
    })
}
