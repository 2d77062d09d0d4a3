//! Bringing states up to date, for a whole batch at once.

use std::collections::{HashMap, HashSet};

use domain::Event;
use event_schemas::catalog::{self, AggregateType};
use sabotage::Guard;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Failure;
use super::states::{Entry, StateCache, empty, fold};
use crate::stream_ref::StreamRef;

/// Streams whose newest events this build cannot read.
pub(crate) type Unreadable = HashSet<StreamRef>;

/// Loads the streams that are not cached and brings the cached ones up to date. Each ends up exact at `exact_at`.
pub(crate) async fn load(
    conn: &mut PgConnection,
    cache: &mut StateCache,
    unreadable: &mut Unreadable,
    streams: &[StreamRef],
    exact_at: i64,
) -> Result<(), Failure> {
    let mut entries: Vec<Option<Entry>> = streams.iter().map(|it| cache.find(it).cloned()).collect();
    let newest: Vec<bool> = streams.iter().map(|it| aggregate(it).is_some_and(|a| a.restorable)).collect();
    let rows = tail(conn, streams, &entries, &newest).await?;
    let mut folded: Vec<bool> = vec![true; streams.len()];
    for row in rows {
        let (Some(stream), Some(entry)) = (streams.get(row.ordinal), entries.get_mut(row.ordinal)) else {
            continue;
        };
        let Some(aggregate) = aggregate(stream) else { continue };
        let Ok(event) = event_schemas::decode(&row.event_type, row.schema_version, &row.payload) else {
            unreadable.insert(*stream);
            continue;
        };
        let known = entry.as_ref().map_or(0, |it| it.version);
        if row.version == known + 1 || !aggregate.restorable {
            fold_one(entry, stream, &event, exact_at);
        } else if let Some(state) = (aggregate.restore)(stream.stream.id, &event) {
            *entry = Some(Entry { version: row.version, state, exact_at });
        } else if let Some(folded) = folded.get_mut(row.ordinal) {
            *folded = false;
        }
    }
    for ((stream, entry), folded) in streams.iter().zip(entries).zip(folded) {
        if unreadable.contains(stream) {
            continue;
        }
        let entry = if folded { entry } else { fold_whole(conn, stream, unreadable, exact_at).await? };
        let entry = entry.unwrap_or_else(|| empty(stream.stream, exact_at));
        cache.insert(*stream, Entry { exact_at, ..entry });
    }
    if sabotage::stands(Guard::CompleteState) { complete(conn, cache, streams).await } else { Ok(()) }
}

fn aggregate(stream: &StreamRef) -> Option<&'static AggregateType> {
    catalog::aggregate_of(stream.stream.category.code)
}

fn fold_one(entry: &mut Option<Entry>, stream: &StreamRef, event: &Event, exact_at: i64) {
    fold(entry.get_or_insert_with(|| empty(stream.stream, exact_at)), stream.stream, event);
}

struct TailRow {
    ordinal: usize,
    version: i64,
    event_type: String,
    schema_version: i16,
    payload: String,
}

async fn tail(
    conn: &mut PgConnection,
    streams: &[StreamRef],
    entries: &[Option<Entry>],
    newest: &[bool],
) -> Result<Vec<TailRow>, Failure> {
    let tenants: Vec<Uuid> = streams.iter().map(|it| it.tenant.uuid()).collect();
    let categories: Vec<i16> = streams.iter().map(|it| it.stream.category.code).collect();
    let ids: Vec<Uuid> = streams.iter().map(|it| it.stream.id).collect();
    let known: Vec<i64> = entries.iter().map(|it| it.as_ref().map_or(-1, |entry| entry.version)).collect();
    let rows = sqlx::query!(
        r#"select ordinal as "ordinal!", link_version as "version!", type as "event_type!",
                  schema_version as "schema_version!", payload as "payload!"
           from store.stream_tail($1, $2, $3, $4, $5, $6)"#,
        &served(streams),
        &tenants,
        &categories,
        &ids,
        &known,
        newest,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| TailRow {
            ordinal: usize::try_from(row.ordinal - 1).unwrap_or(usize::MAX),
            version: row.version,
            event_type: row.event_type,
            schema_version: row.schema_version,
            payload: row.payload,
        })
        .collect())
}

/// Folds a stream whose newest event did not carry the whole state.
async fn fold_whole(
    conn: &mut PgConnection,
    stream: &StreamRef,
    unreadable: &mut Unreadable,
    exact_at: i64,
) -> Result<Option<Entry>, Failure> {
    let mut entry = None;
    for row in tail(conn, std::slice::from_ref(stream), &[None], &[false]).await? {
        match event_schemas::decode(&row.event_type, row.schema_version, &row.payload) {
            Ok(event) => fold_one(&mut entry, stream, &event, exact_at),
            Err(_) => {
                unreadable.insert(*stream);
                return Ok(None);
            }
        }
    }
    Ok(entry)
}

/// Adds the claims that restored states still lack.
async fn complete(
    conn: &mut PgConnection,
    cache: &mut StateCache,
    streams: &[StreamRef],
) -> Result<(), Failure> {
    let lacking: Vec<(StreamRef, String)> = streams
        .iter()
        .filter_map(|stream| {
            let entry = cache.find(stream)?;
            let scope = (aggregate(stream)?.incomplete)(&entry.state, stream.stream.id)?;
            Some((*stream, scope))
        })
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let tenants: Vec<Uuid> = lacking.iter().map(|(stream, _)| stream.tenant.uuid()).collect();
    let scopes: Vec<String> = lacking.iter().map(|(_, scope)| scope.clone()).collect();
    let rows = sqlx::query!(
        r#"select ordinal as "ordinal!", value as "value!" from store.claimed($1, $2, $3)"#,
        &served(streams),
        &tenants,
        &scopes
    )
    .fetch_all(conn)
    .await?;
    let mut values: HashMap<usize, Vec<String>> = HashMap::new();
    for row in rows {
        values.entry(usize::try_from(row.ordinal - 1).unwrap_or(usize::MAX)).or_default().push(row.value);
    }
    for (n, (stream, _)) in lacking.iter().enumerate() {
        if let (Some(mut entry), Some(aggregate)) = (cache.find(stream).cloned(), aggregate(stream)) {
            (aggregate.complete)(&mut entry.state, values.get(&n).map_or(&[], Vec::as_slice));
            cache.insert(*stream, entry);
        }
    }
    Ok(())
}

/// The tenants of streams, each once.
pub(crate) fn served(streams: &[StreamRef]) -> Vec<Uuid> {
    let mut tenants: Vec<Uuid> = streams.iter().map(|it| it.tenant.uuid()).collect();
    tenants.sort_unstable();
    tenants.dedup();
    tenants
}
