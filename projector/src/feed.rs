//! Decoded pages of the log, with the newest of them kept: followers at its end read and decode every event once
//! between them, those that are behind read for themselves.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::{Category, Event, StreamId};
use event_schemas::{DecodeError, catalog};
use event_store::Recorded;
use event_store::log::{self, ReadError};
use sqlx::{PgConnection, PgPool};
use tokio::sync::Mutex;

/// Bounds of what is kept.
const KEPT_EVENTS_MAX: usize = 10_000;
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Reads a stored event: by the catalogue of this build, or as another build would.
pub type Decode = fn(&Recorded) -> Result<Event, DecodeError>;

/// An event, read once and used by many.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) recorded: Recorded,
    pub(crate) decoded: Result<Event, DecodeError>,
    /// Every stream that it belongs to.
    pub(crate) streams: Vec<StreamId>,
}

/// The way to the log.
pub(crate) struct Feed {
    pool: PgPool,
    decode: Decode,
    kept: Mutex<Kept>,
}

/// The newest events, without a gap. `end` is the position of the last one, or where the log ended when it was empty.
#[derive(Default)]
struct Kept {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    end: Option<i64>,
}

impl Feed {
    pub(crate) fn new(pool: PgPool, decode: Decode) -> Self {
        Self { pool, decode, kept: Mutex::default() }
    }

    /// The events after a position, at most `limit`, with no hole.
    pub(crate) async fn after(&self, position: i64, limit: i64) -> Result<Vec<Arc<Entry>>, ReadError> {
        let mut kept = self.kept.lock().await;
        if let Some(page) = kept.after(position, limit) {
            return Ok(page);
        }
        if kept.end == Some(position) {
            // The lock is held: others who stand here wait for this page instead of reading it as well.
            let page = self.read(position, limit).await?;
            kept.push(&page);
            return Ok(page);
        }
        drop(kept);
        let page = self.read(position, limit).await?;
        let reached_end = i64::try_from(page.len()).is_ok_and(|length| length < limit);
        if reached_end {
            self.kept.lock().await.begin(position, &page);
        }
        Ok(page)
    }

    /// Like [`Feed::after`], past what is kept.
    pub(crate) async fn read(&self, position: i64, limit: i64) -> Result<Vec<Arc<Entry>>, ReadError> {
        let mut conn = self.pool.acquire().await?;
        let events = log::after(&mut conn, position, limit).await?;
        entries(&mut conn, self.decode, events).await
    }
}

/// The events of a stretch of the log that is known to be there, at most a page of it; of these, those that are wanted.
///
/// # Errors
/// [`ReadError::Hole`] if any of them did not come, also the last.
pub(crate) async fn stretch(
    pool: &PgPool,
    decode: Decode,
    from: i64,
    to: i64,
    is_wanted: impl Fn(&Recorded) -> bool,
) -> Result<Vec<Arc<Entry>>, ReadError> {
    let mut conn = pool.acquire().await?;
    let mut events = log::after(&mut conn, from, to - from).await?;
    let last = events.last().map_or(from, |it| it.position);
    if last != to {
        return Err(ReadError::Hole { expected: last + 1, found: to });
    }
    events.retain(is_wanted);
    entries(&mut conn, decode, events).await
}

async fn entries(
    conn: &mut PgConnection,
    decode: Decode,
    events: Vec<Recorded>,
) -> Result<Vec<Arc<Entry>>, ReadError> {
    let mut entries = Vec::with_capacity(events.len());
    for recorded in events {
        let decoded = decode(&recorded);
        let streams = match &decoded {
            Ok(event) => event.streams(),
            Err(_) => {
                let links = log::streams_of(&mut *conn, recorded.position).await?;
                links.into_iter().map(|(code, id, _)| StreamId::new(category(code), id)).collect()
            }
        };
        entries.push(Arc::new(Entry { recorded, decoded, streams }));
    }
    Ok(entries)
}

/// A category of a newer build has a code but no name here yet.
fn category(code: i16) -> Category {
    catalog::category(code).unwrap_or(Category { code, name: "unknown" })
}

impl Kept {
    fn after(&self, position: i64, limit: i64) -> Option<Vec<Arc<Entry>>> {
        let first = self.entries.front()?.recorded.position;
        if position + 1 < first || Some(position) >= self.end {
            return None;
        }
        let start = self.entries.partition_point(|it| it.recorded.position <= position);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Some(self.entries.iter().skip(start).take(limit).cloned().collect())
    }

    fn begin(&mut self, position: i64, page: &[Arc<Entry>]) {
        let end = page.last().map_or(position, |it| it.recorded.position);
        if self.end < Some(end) {
            *self = Self { end: Some(position), ..Self::default() };
            self.push(page);
        }
    }

    fn push(&mut self, page: &[Arc<Entry>]) {
        for entry in page {
            self.bytes += size(entry);
            self.end = Some(entry.recorded.position);
            self.entries.push_back(Arc::clone(entry));
        }
        while self.entries.len() > KEPT_EVENTS_MAX || self.bytes > KEPT_BYTES_MAX {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(size(&oldest));
        }
    }
}

fn size(entry: &Entry) -> usize {
    entry.recorded.payload.len() + entry.recorded.meta.len()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use domain::ids::TenantId;
    use uuid::Uuid;

    use super::*;

    fn entry(position: i64, bytes: usize) -> Arc<Entry> {
        let stream = StreamId::new(category(1), Uuid::nil());
        let recorded = Recorded {
            position,
            tenant: TenantId::new(Uuid::nil()),
            tenant_seq: position,
            stream,
            version: position,
            event_type: "organisation.tenant-created".to_owned(),
            schema_version: 1,
            event_id: Uuid::nil(),
            recorded_at: DateTime::UNIX_EPOCH,
            payload: "x".repeat(bytes),
            meta: String::new(),
            leaf: Vec::new(),
        };
        let decoded = recorded.decode();
        Arc::new(Entry { recorded, decoded, streams: vec![stream] })
    }

    fn positions(page: Option<Vec<Arc<Entry>>>) -> Option<Vec<i64>> {
        page.map(|page| page.iter().map(|it| it.recorded.position).collect())
    }

    #[test]
    fn serves_what_it_keeps_and_nothing_else() {
        let mut kept = Kept::default();
        assert_eq!(positions(kept.after(0, 10)), None);
        kept.begin(4, &[entry(5, 1), entry(6, 1)]);
        kept.push(&[entry(7, 1)]);
        assert_eq!(positions(kept.after(3, 10)), None, "the event before is not kept");
        assert_eq!(positions(kept.after(4, 10)), Some(vec![5, 6, 7]));
        assert_eq!(positions(kept.after(5, 1)), Some(vec![6]));
        assert_eq!(positions(kept.after(7, 10)), None, "the end is read from the log");
        kept.begin(2, &[entry(3, 1)]);
        assert_eq!(positions(kept.after(6, 10)), Some(vec![7]), "an older page changes nothing");
    }

    #[test]
    fn stays_within_its_bytes() {
        let mut kept = Kept::default();
        kept.begin(0, &[entry(1, KEPT_BYTES_MAX / 2), entry(2, KEPT_BYTES_MAX / 2), entry(3, 10)]);
        assert_eq!(positions(kept.after(1, 10)), Some(vec![2, 3]));
        kept.push(&[entry(4, KEPT_BYTES_MAX + 1)]);
        assert_eq!((kept.entries.len(), kept.bytes, kept.end), (0, 0, Some(4)));
    }
}
