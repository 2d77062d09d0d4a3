//! Standing at any point of a stream, and what happened between two of them. It reads the log itself, so it is exact
//! however far the read models have come. What it answers over HTTP is `routes/streams.rs`'s.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::ids::ActorId;
use domain::{Aggregate, StreamId};
use event_schemas::envelope::LogPosition;
use event_schemas::history::Replay;
use event_store::Recorded;
use event_store::log::{self, Direction, Until};
use read_models::TenantTx;
use serde_json::Value;
use service_kit::problem::{CodeDoc, Problem, code};
use uuid::Uuid;

use crate::difference::{Change, Trail, changes};

/// Versions that are replayed for one answer.
pub(crate) const VERSIONS_MAX: i64 = 10_000;
/// Events that are read at once.
const PAGE: i64 = 200;

/// A point of a stream's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// Its newest version.
    Now,
    /// A version; 0 is before the first event.
    Version(i64),
    /// What it was when the log stood at a position.
    Position(LogPosition),
    /// What it was at a moment, inclusive.
    Time(DateTime<Utc>),
}

/// The event that made a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Maker {
    pub(crate) position: i64,
    pub(crate) event_type: String,
    pub(crate) stream_version: i64,
    pub(crate) event_id: Uuid,
    pub(crate) recorded_at: DateTime<Utc>,
    /// Unknown, if the event's meta cannot be read.
    pub(crate) actor: Option<ActorId>,
}

impl Maker {
    fn of(stream_version: i64, event: &Recorded) -> Self {
        Self {
            position: event.position,
            event_type: event.event_type.clone(),
            stream_version,
            event_id: event.event_id,
            recorded_at: event.recorded_at,
            actor: event.meta().ok().map(|it| it.actor),
        }
    }
}

/// A stream at one of its versions.
#[derive(Clone)]
pub(crate) struct Standing {
    replay: Replay,
    /// None before the first event.
    pub(crate) made_by: Option<Maker>,
    pub(crate) state: Value,
}

impl Standing {
    fn new(replay: Replay, made_by: Option<Maker>) -> Result<Self, Problem> {
        let state = replay.view().map_err(|error| Problem::fault(&error))?;
        Ok(Self { replay, made_by, state })
    }

    pub(crate) fn version(&self) -> i64 {
        self.replay.version()
    }

    /// The state as what it is; `None` if the stream is not one of this aggregate.
    pub(crate) fn known_as<A: Aggregate>(&self) -> Option<&A> {
        self.replay.state()
    }
}

/// A stream at two of its versions, the earlier one first, and what differs.
pub(crate) struct Comparison {
    pub(crate) earlier: Standing,
    pub(crate) later: Standing,
    pub(crate) differences: Vec<(Change, Option<Arc<Maker>>)>,
}

/// One stream within one snapshot.
pub(crate) struct History<'a> {
    tx: &'a mut TenantTx,
    stream: StreamId,
    newest: i64,
}

impl<'a> History<'a> {
    /// The history of a stream; `None` if the tenant has no such stream.
    pub(crate) async fn find(tx: &'a mut TenantTx, stream: StreamId) -> sqlx::Result<Option<Self>> {
        let tenant = tx.tenant();
        let newest = log::newest_version(tx.conn(), tenant, stream).await?;
        Ok((newest > 0).then_some(Self { tx, stream, newest }))
    }

    /// The version at a point.
    pub(crate) async fn version(&mut self, point: Point) -> Result<i64, Problem> {
        let until = match point {
            Point::Now => return Ok(self.newest),
            Point::Version(version) if version > self.newest => {
                let problem = Problem::new(&code::VERSION_AHEAD, "");
                return Err(problem.with("newest_version", self.newest.to_string()));
            }
            Point::Version(version) => return Ok(version),
            Point::Position(at) => Until::Position(at.position),
            Point::Time(moment) => Until::Time(moment),
        };
        let tenant = self.tx.tenant();
        Ok(log::version_at(self.tx.conn(), tenant, self.stream, until).await?)
    }

    /// The stream at a version that it has come to. Where events carry the state whole, one event is read.
    pub(crate) async fn at(&mut self, version: i64) -> Result<Standing, Problem> {
        let beginning = self.beginning()?;
        if version == 0 {
            return Standing::new(beginning, None);
        }
        if beginning.restorable()
            && let Some((_, event)) = self.events(version - 1, 1).await?.pop()
            && let Some(replay) = beginning.restored(version, &decoded(&event)?)
        {
            return Standing::new(replay, Some(Maker::of(version, &event)));
        }
        within_bounds(version)?;
        let mut replay = beginning;
        let mut made_by = None;
        while replay.version() < version {
            for (at, event) in self.page(replay.version(), version).await? {
                replay.apply(&decoded(&event)?);
                made_by = Some((at, event));
            }
        }
        Standing::new(replay, made_by.map(|(at, event)| Maker::of(at, &event)))
    }

    /// The stream at two versions, in any order, and what differs from the earlier to the later.
    pub(crate) async fn compare(&mut self, one: i64, other: i64) -> Result<Comparison, Problem> {
        let (from, to) = (one.min(other), one.max(other));
        within_bounds(to - from)?;
        let earlier = self.at(from).await?;
        let mut later = earlier.clone();
        let mut trail = Trail::new();
        while later.version() < to {
            for (at, event) in self.page(later.version(), to).await? {
                later.replay.apply(&decoded(&event)?);
                let next = Standing::new(later.replay, Some(Maker::of(at, &event)))?;
                trail.step(Maker::of(at, &event), &later.state, &next.state);
                later = next;
            }
        }
        let found = changes(&earlier.state, &later.state).into_iter();
        let differences = found
            .map(|it| {
                let by = trail.last(&it.path).cloned();
                (it, by)
            })
            .collect();
        Ok(Comparison { earlier, later, differences })
    }

    fn beginning(&self) -> Result<Replay, Problem> {
        Replay::begin(self.stream).ok_or_else(|| Problem::new(&code::NEWER_EVENT, ""))
    }

    /// The next events up to a version. Versions are dense, so a page that ends early is damage.
    async fn page(&mut self, after: i64, up_to: i64) -> Result<Vec<(i64, Recorded)>, Problem> {
        let page = self.events(after, PAGE.min(up_to - after)).await?;
        if page.is_empty() {
            Err(Problem::fault(&VersionMissing { stream: self.stream, after }))
        } else {
            Ok(page)
        }
    }

    async fn events(&mut self, after: i64, limit: i64) -> sqlx::Result<Vec<(i64, Recorded)>> {
        let tenant = self.tx.tenant();
        log::stream(self.tx.conn(), tenant, self.stream, after, Direction::Forwards, limit).await
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{stream} has no event after version {after}, though it has come further")]
struct VersionMissing {
    stream: StreamId,
    after: i64,
}

fn within_bounds(versions: i64) -> Result<(), Problem> {
    if versions <= VERSIONS_MAX {
        return Ok(());
    }
    let problem = Problem::new(&code::HISTORY_TOO_LONG, "");
    Err(problem.with("versions", versions.to_string()).with("versions_max", VERSIONS_MAX.to_string()))
}

/// An event in today's form.
pub(crate) fn decoded(event: &Recorded) -> Result<domain::Event, Problem> {
    event.decode().map_err(|error| {
        let newer: &CodeDoc = &code::NEWER_EVENT;
        if error.is_newer() { Problem::new(newer, error.to_string()) } else { Problem::fault(&error) }
    })
}
