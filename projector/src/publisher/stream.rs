//! The stream `quipu` on JetStream: how it is set up, and what it holds.

use std::cmp::Ordering;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, StorageType, Stream,
};
use async_nats::jetstream::{Context, ErrorCode};
use chrono::{DateTime, SubsecRound, Utc};
use event_schemas::envelope::LogPosition;
use event_schemas::wire::{MARKER_PREFIX, POSITION_HEADER, STREAM, SUBJECTS};
use sqlx::PgPool;
use uuid::Uuid;

use super::position::{Seen, Tail};
use crate::options::StreamOptions;
use crate::run::Fault;

const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// Also the `max_payload` that NATS servers come with.
pub(super) const MESSAGE_BYTES_MAX: i32 = 1024 * 1024;

fn nats(error: impl std::fmt::Display) -> Fault {
    Fault::Nats(error.to_string())
}

fn config(options: &StreamOptions) -> Config {
    Config {
        name: STREAM.to_owned(),
        description: Some("every event of the log, in order".to_owned()),
        subjects: vec![SUBJECTS.to_owned()],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        discard: DiscardPolicy::Old,
        max_age: options.max_age,
        max_bytes: options.max_bytes,
        max_message_size: MESSAGE_BYTES_MAX,
        duplicate_window: DUPLICATE_WINDOW,
        num_replicas: options.replicas,
        allow_direct: true,
        ..Config::default()
    }
}

/// Finds the stream, makes it if it is missing, and brings its settings in line with ours.
pub(super) async fn ensure(context: &Context, options: &StreamOptions) -> Result<Stream, Fault> {
    let wanted = config(options);
    let stream = match context.get_stream(STREAM).await {
        Ok(stream) => stream,
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                context.create_stream(wanted.clone()).await.map_err(|error| {
                    nats(format!("the stream cannot be made: {error}; if storage is short, lower QUIPU_STREAM_MAX_BYTES"))
                })?;
                tracing::info!(stream = STREAM, "stream made");
                context.get_stream(STREAM).await.map_err(nats)?
            }
            _ => return Err(nats(error)),
        },
    };
    let found = &stream.cached_info().config;
    if let Some(difference) = difference(found, &wanted) {
        if found.storage != wanted.storage || found.retention != wanted.retention {
            return Err(nats(format!(
                "the stream {STREAM} is set up otherwise ({difference}) and that cannot be changed: delete it, it is filled again"
            )));
        }
        context.update_stream(&wanted).await.map_err(nats)?;
        tracing::info!(stream = STREAM, difference, "stream settings changed");
        return context.get_stream(STREAM).await.map_err(nats);
    }
    Ok(stream)
}

/// The first of our settings that is another.
fn difference(found: &Config, wanted: &Config) -> Option<&'static str> {
    [
        ("storage", found.storage != wanted.storage),
        ("retention", found.retention != wanted.retention),
        ("subjects", found.subjects != wanted.subjects),
        ("discard", found.discard != wanted.discard),
        ("max_age", found.max_age != wanted.max_age),
        ("max_bytes", found.max_bytes != wanted.max_bytes),
        ("max_msg_size", found.max_message_size != wanted.max_message_size),
        ("duplicate_window", found.duplicate_window != wanted.duplicate_window),
        ("num_replicas", found.num_replicas != wanted.num_replicas),
    ]
    .into_iter()
    .find_map(|(name, differs)| differs.then_some(name))
}

/// What the stream holds, as far as going on depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    /// When it was made, as exactly as PostgreSQL remembers it.
    pub(super) created: DateTime<Utc>,
    pub(super) messages: u64,
    pub(super) first: u64,
    pub(super) last: u64,
}

pub(super) async fn facts(stream: &Stream) -> Result<Facts, Fault> {
    let info = stream.get_info().await.map_err(nats)?;
    Ok(Facts {
        created: info.created.trunc_subsecs(6),
        messages: info.state.messages,
        first: info.state.first_sequence,
        last: info.state.last_sequence,
    })
}

/// Reads the end of the stream and holds it against the log.
pub(super) async fn inspect(
    stream: &Stream,
    facts: &Facts,
    pool: &PgPool,
    epoch: i32,
) -> Result<Seen, Fault> {
    let tail = if facts.messages == 0 {
        Tail::Empty
    } else {
        match stream.get_last_raw_message_by_subject(SUBJECTS).await {
            Ok(message) => tail(&message, pool, epoch).await?,
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Tail::Empty,
            Err(error) => return Err(nats(error)),
        }
    };
    Ok(Seen { created: facts.created, sequence: facts.last, tail })
}

async fn tail(message: &StreamMessage, pool: &PgPool, epoch: i32) -> Result<Tail, Fault> {
    let Some((at, id)) = mark(&message.headers) else { return Ok(Tail::Foreign) };
    match at.epoch.cmp(&epoch) {
        Ordering::Less => return Ok(Tail::OtherEpoch),
        // The log was of that epoch once, and does not know it any more.
        Ordering::Greater => return Ok(Tail::Lost { position: at.position }),
        Ordering::Equal => {}
    }
    let ours = match id {
        Mark::Epoch => true,
        Mark::Event(id) => is_in_log(pool, at.position, id).await?,
    };
    let position = at.position;
    Ok(if ours { Tail::Ours { sequence: message.sequence, position } } else { Tail::Lost { position } })
}

/// What a message of ours says that it is.
enum Mark {
    Epoch,
    Event(Uuid),
}

fn mark(headers: &HeaderMap) -> Option<(LogPosition, Mark)> {
    let at: LogPosition = headers.get(POSITION_HEADER)?.as_str().parse().ok()?;
    let id = headers.get(async_nats::header::NATS_MESSAGE_ID)?.as_str();
    let mark = match id.parse() {
        Ok(id) => Mark::Event(id),
        Err(_) => id.starts_with(MARKER_PREFIX).then_some(Mark::Epoch)?,
    };
    Some((at, mark))
}

async fn is_in_log(pool: &PgPool, position: i64, id: Uuid) -> Result<bool, Fault> {
    let found = sqlx::query_scalar!("select event_id from store.events where position = $1", position)
        .fetch_optional(pool)
        .await?;
    Ok(found == Some(id))
}

/// The position of the newest message that is an event of this log: steps back from the end that double, then halves.
/// What it finds is an event of both; where histories alternate, an older one than the newest may be found, and more is
/// published again than had to be.
pub(super) async fn last_common(stream: &Stream, facts: &Facts, pool: &PgPool) -> Result<Option<i64>, Fault> {
    let (mut bad, mut step) = (facts.last + 1, 1);
    let (mut good, mut position) = loop {
        let probe = bad.saturating_sub(step).max(facts.first);
        if let Some(position) = common_at(stream, probe, pool).await? {
            break (probe, position);
        }
        if probe <= facts.first {
            return Ok(None);
        }
        (bad, step) = (probe, step.saturating_mul(2));
    };
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        match common_at(stream, middle, pool).await? {
            Some(found) => (good, position) = (middle, found),
            None => bad = middle,
        }
    }
    Ok(Some(position))
}

async fn common_at(stream: &Stream, sequence: u64, pool: &PgPool) -> Result<Option<i64>, Fault> {
    let message = match stream.get_raw_message(sequence).await {
        Ok(message) => message,
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => return Ok(None),
        Err(error) => return Err(nats(error)),
    };
    match mark(&message.headers) {
        Some((at, Mark::Event(id))) if is_in_log(pool, at.position, id).await? => Ok(Some(at.position)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_not_in_the_stream() {
        let parts = |subject: &str| subject.split('.').count();
        assert_ne!(parts(crate::wake::WAKE_SUBJECT), parts(SUBJECTS));
    }

    #[test]
    fn settings_are_compared_with_ours() {
        let wanted = config(&StreamOptions::default());
        assert_eq!(difference(&wanted, &wanted), None);
        assert_eq!(
            difference(&Config { max_age: Duration::from_secs(60), ..wanted.clone() }, &wanted),
            Some("max_age")
        );
        assert_eq!(
            difference(&Config { storage: StorageType::Memory, ..wanted.clone() }, &wanted),
            Some("storage")
        );
    }

    #[test]
    fn messages_of_ours_are_known_by_two_headers() {
        let id = Uuid::now_v7();
        let headers = |position: &str, id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(POSITION_HEADER, position);
            headers.insert(async_nats::header::NATS_MESSAGE_ID, id);
            headers
        };
        assert!(
            matches!(mark(&headers("2-7", &id.to_string())), Some((at, Mark::Event(found))) if at.position == 7 && found == id)
        );
        assert!(matches!(mark(&headers("2-7", "quipu-epoch-2-7")), Some((_, Mark::Epoch))));
        assert!(mark(&headers("2-7", "something")).is_none());
        assert!(mark(&headers("seven", &id.to_string())).is_none());
        assert!(mark(&HeaderMap::new()).is_none());
    }
}
