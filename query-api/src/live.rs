//! Answers that go on: server-sent events. Source: WHATWG HTML, 9.2 Server-sent events.
//!
//! A stream is pulled: its task looks for what is behind the last thing that it sent, once the checkpoints that it
//! follows have moved, and hands it over a frame at a time. It holds one page at most and never a connection between
//! two looks. What a stream is made from is a [`Source`]; how it is kept up and ended is the same for all.
//!
//! **Invariant:** the `id` of a frame is where to resume after it: everything up to there was sent or was not asked for.

mod event_feed;
mod frame;
mod pump;
mod row_feed;
mod security_feed;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;
use domain::ids::{ActorId, TenantId};
use event_schemas::envelope::LogPosition;
use read_models::progress::Touch;
use service_kit::access::Caller;
use service_kit::problem::{Problem, code};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub(crate) use event_feed::EventFeed;
pub(crate) use frame::Frame;
pub(crate) use pump::open;
pub(crate) use row_feed::{LiveRow, RowFeed};
pub(crate) use security_feed::SecuritySource;

use crate::config::LiveConfig;

/// Looks of live streams that go on at once, so that however many there are, they leave connections to other reads.
const LOOKS_MAX: usize = 4;

/// What a look found.
pub(crate) enum Look {
    /// Everything up to a position.
    News(News),
    /// The log has been restored: what was sent belongs to another history.
    EpochChanged,
}

/// What is new.
pub(crate) struct News {
    /// In the order in which they are sent.
    pub(crate) frames: Vec<Frame>,
    /// Everything up to here is in the frames or was not asked for.
    pub(crate) at: LogPosition,
    /// How far the models had come: it is worth looking again once they are past it.
    pub(crate) reached: LogPosition,
    /// Whether there is more already.
    pub(crate) more: bool,
}

/// What a live stream is made from.
pub(crate) trait Source: Send + 'static {
    /// The models whose checkpoints say that it is worth looking.
    fn touches(&self) -> Vec<Touch>;

    /// Where the stream begins.
    fn begin(&self) -> LogPosition;

    /// What has come since the last look.
    fn look(&mut self) -> impl Future<Output = Result<Look, Problem>> + Send;
}

/// All live streams of the process.
#[derive(Debug)]
pub(crate) struct Live {
    config: LiveConfig,
    looks: Semaphore,
    seats: Arc<Mutex<Seats>>,
    shutdown: CancellationToken,
}

/// Who sits where. An actor without a stream has no entry.
#[derive(Debug, Default)]
struct Seats {
    all: usize,
    of_actors: HashMap<(TenantId, ActorId), usize>,
}

/// The right to one stream, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Mutex<Seats>>,
    actor: (TenantId, ActorId),
}

impl Live {
    pub(crate) fn new(config: LiveConfig, shutdown: CancellationToken) -> Self {
        Self { config, looks: Semaphore::new(LOOKS_MAX), seats: Arc::default(), shutdown }
    }

    /// Gives a seat, if one is left for the caller.
    pub(crate) fn seat(&self, caller: &Caller) -> Result<Seat, Problem> {
        let actor = (caller.tenant, caller.actor);
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = seats.of_actors.get(&actor).copied().unwrap_or_default();
        if taken >= self.config.streams_per_actor {
            let problem = Problem::new(&code::STREAMS_OF_ACTOR, "");
            return Err(problem.with("streams_max", self.config.streams_per_actor.to_string()));
        }
        if seats.all >= self.config.streams_max {
            return Err(Problem::new(&code::STREAMS_OF_SERVER, ""));
        }
        seats.all += 1;
        seats.of_actors.insert(actor, taken + 1);
        Ok(Seat { seats: Arc::clone(&self.seats), actor })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.all = seats.all.saturating_sub(1);
        let left = seats.of_actors.get(&self.actor).copied().unwrap_or_default().saturating_sub(1);
        if left == 0 {
            seats.of_actors.remove(&self.actor);
        } else {
            seats.of_actors.insert(self.actor, left);
        }
    }
}

/// The `id` that a client saw last, which it sends when it comes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastEventId(pub(crate) Option<LogPosition>);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let malformed =
            || Problem::new(&code::POSITION_MALFORMED, "Last-Event-ID is not an id of this stream");
        let mut all = parts.headers.get_all(LAST_EVENT_ID).iter();
        match (all.next(), all.next()) {
            (None, _) => Ok(Self(None)),
            // A client that saw no id yet may send an empty one.
            (Some(one), None) if one.is_empty() => Ok(Self(None)),
            (Some(one), None) => {
                let text = one.to_str().map_err(|_| malformed())?;
                Ok(Self(Some(text.trim().parse().map_err(|_| malformed())?)))
            }
            (Some(_), Some(_)) => Err(malformed()),
        }
    }
}
