//! `/v1/events`: the log of the tenant.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;
use domain::{Category, StreamId};
use event_schemas::catalog;
use event_schemas::envelope::LogPosition;
use read_models::event_index::EventFilter;
use read_models::progress::Touch;
use read_models::{EventIndex, Moment, Order, Page};
use serde::Deserialize;
use service_kit::access::{Allowed, permissions::ReadEvents};
use service_kit::body::{Path, Query};
use service_kit::problem::{Problem, ProblemBody, code};
use utoipa::IntoParams;
use uuid::Uuid;

use super::accounts::NoParameters;
use crate::answer;
use crate::app::App;
use crate::events::{self, EventRow};
use crate::reading::{Conditions, asked, invalid, listed, none_of};

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// Only those of this type.
    #[serde(rename = "type")]
    #[param(example = "ledger.transfer-posted")]
    event_type: Option<String>,
    /// Only those whose own stream is of this category.
    #[param(example = "ledger.transfer")]
    category: Option<String>,
    /// Only those on this stream, `category/id`: its own events, and those of other streams that changed it, such as
    /// the transfers of an account.
    #[param(example = "ledger.account/0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e")]
    stream: Option<String>,
    /// Only those by this actor.
    actor: Option<Uuid>,
    /// Only those of this request and what followed from it.
    correlation: Option<Uuid>,
    /// Only those recorded at or after this moment.
    #[param(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    from: Option<Moment>,
    /// Only those recorded before this moment.
    #[param(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    to: Option<Moment>,
    /// Only those behind this position.
    #[param(example = "1-4711", pattern = r"^[0-9]{1,9}-[0-9]{1,18}$")]
    after: Option<String>,
    /// Only those before this position.
    #[param(pattern = r"^[0-9]{1,9}-[0-9]{1,18}$")]
    before: Option<String>,
    /// The newest first, if left out.
    #[param(inline)]
    order: Option<Order>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List events
///
/// The envelope whole, the payload to the letter. Filters can be combined.
#[utoipa::path(get, operation_id = "listEvents", path = "/v1/events", tag = "events",
    params(EventsQuery), responses(
    (status = 200, description = "A page of events.", body = Page<EventRow>),
))]
pub(crate) async fn list(
    State(app): State<App>,
    allowed: Allowed<ReadEvents>,
    conditions: Conditions,
    Query(query): Query<EventsQuery>,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let position = |text: &Option<String>| text.as_deref().map(parse_position).transpose();
    let (after, before) = (position(&query.after)?, position(&query.before)?);
    let filter = EventFilter {
        event_type: query.event_type.map(|it| event_type("type", it)).transpose()?,
        category: query.category.as_deref().map(category).transpose()?.map(|it| it.code),
        stream: query.stream.as_deref().map(stream).transpose()?,
        actor: query.actor,
        correlation: query.correlation,
        from: query.from.map(|it| it.0),
        to: query.to.map(|it| it.0),
        after: after.map(|it| it.position),
        before: before.map(|it| it.position),
    };
    let mut reading = app.read(allowed.caller().tenant, &conditions, &[Touch::all::<EventIndex>()]).await?;
    let epoch = reading.served.epoch;
    if after.into_iter().chain(before).any(|it| it.epoch != epoch) {
        return Err(Problem::new(&code::EPOCH_CHANGED, ""));
    }
    let found = EventIndex::list(&mut reading.tx, &filter, &asked).await.map_err(listed)?;
    let items = events::rows(&app, &mut reading.tx, epoch, &found.items).await?;
    let page = Page { items, next_cursor: found.next_cursor };
    answer::json(reading, &conditions, &page).await
}

/// Show an event
///
/// It is read from the log itself, so it is there as soon as it is recorded.
#[utoipa::path(get, operation_id = "getEvent", path = "/v1/events/{position}", tag = "events",
    params(("position" = String, Path, description = "Where it stands in the log.", example = "1-4711")),
    responses(
        (status = 200, description = "The event.", body = EventRow),
        (status = 404, description = "The tenant has no event there.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn find(
    State(app): State<App>,
    allowed: Allowed<ReadEvents>,
    conditions: Conditions,
    Path(position): Path<String>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let position: LogPosition = position.parse().map_err(|_| Problem::new(&code::NOT_FOUND, ""))?;
    let mut reading = app.read(allowed.caller().tenant, &conditions, &[]).await?;
    if position.epoch != reading.served.epoch {
        return Err(Problem::new(&code::EPOCH_CHANGED, ""));
    }
    let found = events::rows(&app, &mut reading.tx, position.epoch, &[position.position]).await?;
    let row = found.into_iter().next().ok_or_else(|| reading.not_found())?;
    answer::json(reading, &conditions, &row).await
}

pub(super) fn parse_position(text: &str) -> Result<LogPosition, Problem> {
    text.parse()
        .map_err(|_| Problem::new(&code::POSITION_MALFORMED, "a position has the form <epoch>-<position>"))
}

/// The name of a type of events that there is. If not, those are named that it might have been: of its context, or all contexts.
pub(super) fn event_type(parameter: &'static str, name: String) -> Result<String, Problem> {
    if catalog::event_type(&name).is_some() {
        return Ok(name);
    }
    let context = |it: &str| it.split_once('.').map(|(context, _)| format!("{context}."));
    let asked = context(&name);
    let of_context = catalog::EVENTS.iter().filter(|it| context(it.name) == asked).map(|it| it.name);
    let mut might: Vec<String> = of_context.map(str::to_owned).collect();
    if might.is_empty() {
        let contexts: BTreeSet<String> = catalog::EVENTS.iter().filter_map(|it| context(it.name)).collect();
        might = contexts.into_iter().map(|it| it + "…").collect();
    }
    Err(none_of(parameter, might.iter().map(String::as_str)))
}

pub(super) fn category(name: &str) -> Result<Category, Problem> {
    let words = || catalog::AGGREGATES.iter().map(|it| it.category.name);
    catalog::category_named(name).ok_or_else(|| none_of("category", words()))
}

pub(super) fn stream(text: &str) -> Result<StreamId, Problem> {
    let malformed = || invalid("a stream has the form category/id");
    let (name, id) = text.split_once('/').ok_or_else(malformed)?;
    Ok(StreamId::new(category(name)?, Uuid::parse_str(id).map_err(|_| malformed())?))
}
