//! The log, or a part of it, sent once more to NATS: to a stream of its own, so that consumers of the live one notice
//! nothing. A replay that was cut off is continued by its name: what its stream holds is not sent again.
//!
//! Messages are those of the publisher, with `quipu-replay.<id>.` in place of `quipu.` before the subject. Order and
//! count are kept by the same guards: message ids, and the expected last sequence.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, StorageType, Stream,
};
use domain::ids::TenantId;
use event_schemas::envelope::LogPosition;
use event_schemas::wire::POSITION_HEADER;
use event_store::epoch;
use event_store::log::{self, PAGE_MAX, ReadError};
use sqlx::PgPool;

use crate::publisher::publish::{self, Outgoing};

/// Events that are read at once.
const PAGE: i64 = 1_000;
const _: () = assert!(PAGE <= PAGE_MAX);

/// What to send, and where.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// Names the replay: letters, digits and dashes, at most 64. The stream is `quipu-replay-<id>`.
    pub id: String,
    /// Only events after this position.
    pub after: i64,
    /// Only events up to this position.
    pub up_to: i64,
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
    /// Only events whose live subject fits this pattern, with `*` and `>` as NATS has them.
    pub subject: Option<String>,
    /// How long NATS keeps the messages.
    pub max_age: Duration,
}

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayProgress {
    /// Everything up to here was read.
    pub position: i64,
    /// Where it ends.
    pub up_to: i64,
    /// Messages that the stream holds by now.
    pub sent: u64,
}

/// Why a replay ended early. What was sent stays; the same command goes on with it.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The name cannot be part of a subject.
    #[error("a replay's name has 1 to 64 letters, digits and dashes")]
    Name,
    /// The stream holds something else.
    #[error("the stream {0} holds messages of another epoch or of somebody else: choose another name")]
    Foreign(String),
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The database did not answer.
    #[error("the log cannot be read")]
    Database(#[from] sqlx::Error),
    /// NATS did not answer, or refused.
    #[error("NATS: {0}")]
    Nats(String),
}

fn nats(error: impl std::fmt::Display) -> ReplayError {
    ReplayError::Nats(error.to_string())
}

/// The stream of a replay.
#[must_use]
pub fn stream_name(id: &str) -> String {
    format!("quipu-replay-{id}")
}

/// Sends events until all are there, and tells how far it is after every page.
///
/// # Errors
/// [`ReplayError`].
pub async fn replay(
    pool: &PgPool,
    client: &async_nats::Client,
    options: &ReplayOptions,
    mut tell: impl FnMut(ReplayProgress),
) -> Result<ReplayProgress, ReplayError> {
    if !is_name(&options.id) {
        return Err(ReplayError::Name);
    }
    let context = async_nats::jetstream::new(client.clone());
    let stream = make_stream(&context, options).await?;
    let epoch = epoch::head(&mut *pool.acquire().await?).await?.epoch;
    let held = held(&stream, &stream_name(&options.id), epoch).await?;
    let mut progress = ReplayProgress {
        position: options.after.max(held.position),
        up_to: options.up_to,
        sent: held.sequence,
    };
    let payload_max = publish::payload_max(client);
    while progress.position < options.up_to {
        let page = log::after(&mut *pool.acquire().await?, progress.position, PAGE).await?;
        let Some(end) = page.last().map(|it| it.position.min(options.up_to)) else { break };
        let messages = page
            .iter()
            .filter(|it| {
                it.position <= options.up_to && options.tenant.is_none_or(|tenant| it.tenant == tenant)
            })
            .map(|it| publish::event(&stream_name(&options.id), it, epoch, payload_max))
            .filter(|it| options.subject.as_deref().is_none_or(|pattern| fits(pattern, &it.subject)))
            .map(|it| Outgoing { subject: subject(&options.id, &it.subject), ..it })
            .collect();
        let sent = publish::send(&context, progress.sent, messages).await;
        if let Some(fault) = sent.failed {
            return Err(nats(fault));
        }
        progress = ReplayProgress { position: end, sent: sent.sequence, ..progress };
        tell(progress);
    }
    Ok(progress)
}

fn is_name(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
}

fn subject(id: &str, live: &str) -> String {
    format!("quipu-replay.{id}.{}", live.strip_prefix("quipu.").unwrap_or(live))
}

async fn make_stream(context: &Context, options: &ReplayOptions) -> Result<Stream, ReplayError> {
    let config = Config {
        name: stream_name(&options.id),
        description: Some("events sent once more; delete it when it has been read".to_owned()),
        subjects: vec![format!("quipu-replay.{}.>", options.id)],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        // A replay that does not fit must say so rather than lose its beginning.
        discard: DiscardPolicy::New,
        max_age: options.max_age,
        allow_direct: true,
        ..Config::default()
    };
    context.get_or_create_stream(config).await.map_err(nats)
}

/// What the stream of a replay ends with.
struct Held {
    sequence: u64,
    position: i64,
}

async fn held(stream: &Stream, name: &str, epoch: i32) -> Result<Held, ReplayError> {
    let sequence = stream.get_info().await.map_err(nats)?.state.last_sequence;
    if sequence == 0 {
        return Ok(Held { sequence, position: 0 });
    }
    let foreign = || ReplayError::Foreign(name.to_owned());
    let message = match stream.get_raw_message(sequence).await {
        Ok(message) => message,
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => return Err(foreign()),
        Err(error) => return Err(nats(error)),
    };
    let at = position(&message.headers).filter(|it| it.epoch == epoch).ok_or_else(foreign)?;
    Ok(Held { sequence, position: at.position })
}

fn position(headers: &HeaderMap) -> Option<LogPosition> {
    headers.get(POSITION_HEADER)?.as_str().parse().ok()
}

/// Whether a subject fits a pattern. Source: NATS, subject-based messaging, wildcards.
fn fits(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return pattern.next().is_none(),
            (Some("*"), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_nats() {
        let live = "quipu.7.ledger.transfer.posted";
        for pattern in [live, "quipu.>", ">", "quipu.*.ledger.transfer.*", "*.*.*.*.*", "quipu.7.ledger.>"] {
            assert!(fits(pattern, live), "{pattern}");
        }
        for pattern in [
            "",
            "quipu",
            "quipu.*",
            "quipu.7.ledger.transfer.posted.>",
            "quipu.>.posted",
            "quipu.*.*.*",
            "QUIPU.>",
        ] {
            assert!(!fits(pattern, live), "{pattern}");
        }
    }

    #[test]
    fn a_replay_has_subjects_of_its_own() {
        assert_eq!(
            subject("march", "quipu.7.ledger.transfer.posted"),
            "quipu-replay.march.7.ledger.transfer.posted"
        );
        for bad in ["", "a.b", "a b", "a>", "*", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
