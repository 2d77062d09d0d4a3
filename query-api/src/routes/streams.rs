//! `/v1/streams/{category}/{stream_id}`: the history of one thing, what it was at any point of it, and what happened
//! between two points.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::StreamId;
use domain::ids::ActorId;
use event_schemas::catalog::{self, AGGREGATES};
use event_schemas::envelope::LogPosition;
use event_store::Recorded;
use event_store::log::{self, Direction};
use read_models::page::{decode, encode};
use read_models::{CursorInvalid, Moment, Order, Page};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_kit::access::{Allowed, permissions::ReadEvents};
use service_kit::body::{Path, Query};
use service_kit::problem::{Problem, ProblemBody, code};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::answer;
use crate::app::App;
use crate::difference::Change;
use crate::events::{self, EventRow};
use crate::reading::{Conditions, Reading, invalid, limit};
use crate::time_travel::{History, Maker, Point, Standing};

/// Which page of a stream.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// The newest first, if left out.
    #[param(inline)]
    order: Option<Order>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List the events of a stream
///
/// Its own events and those of other streams that changed it, such as the transfers of an account, each with the
/// version that it has here and the time since the event before it. It is read from the log itself.
#[utoipa::path(get, operation_id = "listStream", path = "/v1/streams/{category}/{stream_id}", tag = "events",
    params(
        ("category" = String, Path, description = "Which kind of thing.", example = "ledger.account"),
        ("stream_id" = Uuid, Path, description = "Which one."),
        StreamQuery,
    ),
    responses(
        (status = 200, description = "A page of events.", body = Page<EventRow>),
        (status = 404, description = "There is no such stream, or no such category.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn list(
    State(app): State<App>,
    allowed: Allowed<ReadEvents>,
    conditions: Conditions,
    Path((category, id)): Path<(String, Uuid)>,
    Query(query): Query<StreamQuery>,
) -> Result<Response, Problem> {
    let (stream, limit) = (named(&category, id)?, limit(query.limit)?);
    let order = query.order.unwrap_or_default();
    let list = format!("streams/{stream}/{}version", order.sign());
    let cursor = query.cursor.as_deref().map(|it| decode::<i64>(&list, it)).transpose();
    let behind = cursor.map_err(|CursorInvalid| Problem::new(&code::CURSOR_INVALID, ""))?;
    let mut reading = app.read(allowed.caller().tenant, &conditions, &[]).await?;
    let (found, more) = section(&mut reading, stream, order, behind, limit).await?;
    if found.is_empty() && log::newest_version(reading.tx.conn(), allowed.caller().tenant, stream).await? == 0
    {
        return Err(reading.not_found());
    }
    let places: Vec<_> = found.iter().map(|it| (it.version, it.elapsed_ms)).collect();
    let next_cursor = places.last().filter(|_| more).map(|(version, _)| encode(&list, version));
    let recorded = found.into_iter().map(|it| it.event).collect();
    let epoch = reading.served.epoch;
    let mut items = events::shown(&app, &mut reading.tx, epoch, recorded).await?;
    for (item, (version, elapsed_ms)) in items.iter_mut().zip(places) {
        (item.stream_version, item.elapsed_ms) = (Some(version), elapsed_ms);
    }
    answer::json(reading, &conditions, &Page { items, next_cursor }).await
}

/// An event of a stream, and how long after the one before it.
struct Step {
    version: i64,
    event: Recorded,
    elapsed_ms: Option<i64>,
}

/// The events behind a version in an order, and whether there are more.
async fn section(
    reading: &mut Reading,
    stream: StreamId,
    order: Order,
    behind: Option<i64>,
    limit: i64,
) -> sqlx::Result<(Vec<Step>, bool)> {
    let tenant = reading.tx.tenant();
    // Each page reads one event further: it tells whether there are more, or how long after it the first one came.
    let mut events = match order {
        Order::Newest => {
            let below = behind.unwrap_or(i64::MAX);
            log::stream(reading.tx.conn(), tenant, stream, below, Direction::Backwards, limit + 1).await?
        }
        Order::Oldest => {
            let above = behind.unwrap_or(0).saturating_sub(1);
            log::stream(reading.tx.conn(), tenant, stream, above, Direction::Forwards, limit + 2).await?
        }
    };
    if order == Order::Newest {
        events.reverse();
    }
    let mut before: Option<DateTime<Utc>> = None;
    let mut steps = Vec::with_capacity(events.len());
    for (version, event) in events {
        let elapsed_ms = before.map(|it| (event.recorded_at - it).num_milliseconds());
        before = Some(event.recorded_at);
        steps.push(Step { version, event, elapsed_ms });
    }
    match order {
        Order::Newest => steps.reverse(),
        Order::Oldest => steps.retain(|it| behind.is_none_or(|behind| it.version > behind)),
    }
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = steps.len() > wanted;
    steps.truncate(wanted);
    Ok((steps, more))
}

/// As of when: at most one of `version`, `position` and `as_of`; and what it is compared with.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StateQuery {
    /// As of a version; 0 is before the first event.
    #[param(example = 7, minimum = 1)]
    version: Option<i64>,
    /// As of a position of the log.
    #[param(example = "1-4711", pattern = r"^[0-9]{1,9}-[0-9]{1,18}$")]
    position: Option<String>,
    /// As of a moment that has passed, inclusive.
    #[param(value_type = Option<chrono::DateTime<Utc>>)]
    as_of: Option<Moment>,
    /// Another point to compare it with, in any order: a version, a position or a moment, told apart by their forms.
    #[param(example = "3", pattern = "^[0-9]")]
    compare_to: Option<String>,
}

impl StateQuery {
    fn point(&self) -> Result<Point, Problem> {
        match (self.version, &self.position, &self.as_of) {
            (None, None, None) => Ok(Point::Now),
            (Some(version), None, None) if version >= 0 => Ok(Point::Version(version)),
            (Some(_), None, None) => Err(invalid("version begins at 0, which is before the first event")),
            (None, Some(position), None) => {
                let malformed = |_| Problem::new(&code::POSITION_MALFORMED, "position");
                Ok(Point::Position(position.parse().map_err(malformed)?))
            }
            (None, None, Some(moment)) => Ok(Point::Time(moment.0)),
            _ => Err(invalid("give one of version, position and as_of")),
        }
    }
}

/// A point in any of its forms.
impl FromStr for Point {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        if let Ok(position) = text.parse::<LogPosition>() {
            return Ok(Self::Position(position));
        }
        if !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit()) {
            return text.parse().map(Self::Version).map_err(|_| invalid("compare_to is no version"));
        }
        let moment =
            Moment::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text));
        let form = "compare_to is a version (3), a position (1-4711) or a moment (2026-03-01T12:00:00Z)";
        moment.map(|it| Self::Time(it.0)).map_err(|_| invalid(form))
    }
}

/// A stream at one point.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StateAt {
    /// How many of its events are in the state.
    #[schema(example = 7)]
    version: i64,
    /// Where the event that made it stands in the log; absent before the first event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "1-4711")]
    position: Option<String>,
    /// When that event was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded_at: Option<DateTime<Utc>>,
    /// That event.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<Uuid>,
    /// What the events add up to: what commands are judged by. Its shape is the category's.
    #[schema(value_type = Object, example = json!({ "status": "open", "currency": "EUR" }))]
    state: Value,
}

/// A stream at one point, and how another point differs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StateRow {
    /// Category and id.
    #[schema(example = "ledger.account/0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e")]
    stream: String,
    /// How many of its events are in the state.
    #[schema(example = 7)]
    version: i64,
    /// Where the event that made it stands in the log; absent before the first event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "1-4711")]
    position: Option<String>,
    /// When that event was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded_at: Option<DateTime<Utc>>,
    /// That event.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<Uuid>,
    /// What the events add up to: what commands are judged by. Its shape is the category's.
    #[schema(value_type = Object, example = json!({ "status": "open", "currency": "EUR" }))]
    state: Value,
    /// The other point, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    compared_to: Option<StateAt>,
    /// What differs, from the earlier of the two points to the later one.
    #[serde(skip_serializing_if = "Option::is_none")]
    differences: Option<Vec<Difference>>,
}

/// One place at which two states differ.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Difference {
    /// RFC 6901 pointer into the state.
    #[schema(example = "/totals/credits_posted")]
    path: String,
    /// What the earlier state has there; absent if it has no such place.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    before: Option<Value>,
    /// What the later state has there; absent if it has no such place.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    after: Option<Value>,
    /// The last event between the two that changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<ChangedBy>,
}

/// An event that changed a state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangedBy {
    /// Where it stands in the log.
    #[schema(example = "1-4711")]
    position: String,
    /// `context.noun-verbed`.
    #[serde(rename = "type")]
    #[schema(example = "ledger.transfer-posted")]
    event_type: String,
    /// The version of the stream that it made.
    #[schema(example = 7)]
    stream_version: i64,
    /// Unique for ever.
    event_id: Uuid,
    /// When it was recorded.
    recorded_at: DateTime<Utc>,
    /// Who did it; absent if that cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    actor: Option<ActorId>,
}

/// Show what a thing was at any point, and what changed between two points
///
/// Replayed from the log itself. With `compare_to` alone, now is compared with that point. Each difference names the
/// last event between the two points that changed the place.
#[utoipa::path(get, operation_id = "getState", path = "/v1/streams/{category}/{stream_id}/state", tag = "events",
    params(
        ("category" = String, Path, description = "Which kind of thing.", example = "ledger.account"),
        ("stream_id" = Uuid, Path, description = "Which one."),
        StateQuery,
    ),
    responses(
        (status = 200, description = "The state, and what differs.", body = StateRow),
        (status = 404, description = "There is no such stream, category or version.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "More than 10,000 versions would have to be replayed.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn state(
    State(app): State<App>,
    allowed: Allowed<ReadEvents>,
    conditions: Conditions,
    Path((category, id)): Path<(String, Uuid)>,
    Query(query): Query<StateQuery>,
) -> Result<Response, Problem> {
    let stream = named(&category, id)?;
    let point = query.point()?;
    let other = query.compare_to.as_deref().map(str::parse::<Point>).transpose()?;
    let tenant = allowed.caller().tenant;
    let points = || std::iter::once(point).chain(other);
    let mut wanted = conditions.clone();
    let mut moment: Option<DateTime<Utc>> = None;
    for point in points() {
        match point {
            Point::Now | Point::Version(_) => {}
            Point::Position(position) => wanted = wanted.exactly_at(position)?,
            Point::Time(time) => moment = moment.max(Some(time)),
        }
    }
    let mut reading = match moment {
        Some(moment) => app.read_as_of(tenant, &wanted, &[], moment).await?,
        None => app.read(tenant, &wanted, &[]).await?,
    };
    let epoch = reading.served.epoch;
    let Some(mut history) = History::find(&mut reading.tx, stream).await? else {
        return Err(reading.not_found());
    };
    let version = history.version(point).await?;
    let row = match other {
        None => row(epoch, stream, history.at(version).await?, None),
        Some(other) => {
            let other = history.version(other).await?;
            let compared = history.compare(version, other).await?;
            let (this, that) = if version < other {
                (compared.earlier, compared.later)
            } else {
                (compared.later, compared.earlier)
            };
            let differences =
                compared.differences.into_iter().map(|(change, by)| difference(epoch, change, by)).collect();
            row(epoch, stream, this, Some((at(epoch, that), differences)))
        }
    };
    answer::json(reading, &conditions, &row).await
}

fn named(category: &str, id: Uuid) -> Result<StreamId, Problem> {
    let category = catalog::category_named(category).ok_or_else(|| {
        let known: Vec<&str> = AGGREGATES.iter().map(|it| it.category.name).collect();
        Problem::new(&code::CATEGORY_UNKNOWN, "").with("categories", known.join(", "))
    })?;
    Ok(StreamId::new(category, id))
}

fn token(epoch: i32, position: i64) -> String {
    LogPosition { epoch, position }.to_string()
}

fn at(epoch: i32, standing: Standing) -> StateAt {
    let version = standing.version();
    let by = standing.made_by.as_ref();
    StateAt {
        version,
        position: by.map(|it| token(epoch, it.position)),
        recorded_at: by.map(|it| it.recorded_at),
        event_id: by.map(|it| it.event_id),
        state: standing.state,
    }
}

fn row(epoch: i32, stream: StreamId, this: Standing, other: Option<(StateAt, Vec<Difference>)>) -> StateRow {
    let StateAt { version, position, recorded_at, event_id, state } = at(epoch, this);
    let (compared_to, differences) = other.unzip();
    let stream = stream.to_string();
    StateRow { stream, version, position, recorded_at, event_id, state, compared_to, differences }
}

fn difference(epoch: i32, change: Change, by: Option<Arc<Maker>>) -> Difference {
    let event = by.map(|it| ChangedBy {
        position: token(epoch, it.position),
        event_type: it.event_type.clone(),
        stream_version: it.stream_version,
        event_id: it.event_id,
        recorded_at: it.recorded_at,
        actor: it.actor,
    });
    Difference { path: change.path, before: change.before, after: change.after, event }
}
