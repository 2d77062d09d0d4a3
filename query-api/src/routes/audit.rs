//! `/v1/audit`: who did what, to what, from where, and with which result.

use axum::extract::State;
use axum::response::Response;
use domain::StreamId;
use event_schemas::catalog;
use event_schemas::envelope::LogPosition;
use event_store::log;
use read_models::progress::Touch;
use read_models::{AuditTrail, Moment, Order, Page, RequestOrigin, TenantTx};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_kit::access::{Allowed, permissions::ReadTrail};
use service_kit::body::{Path, Query};
use service_kit::problem::{Problem, ProblemBody, code};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::accounts::NoParameters;
use crate::answer;
use crate::app::App;
use crate::audit::TrailEntry;
use crate::audit::filters::{TrailFilters, TrailResult};
use crate::events;
use crate::reading::{Conditions, asked, listed};
use crate::time_travel::History;

pub(crate) mod exports;

/// Which page of which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TrailQuery {
    /// Only those by this actor.
    actor: Option<Uuid>,
    /// Only those of this action: the type of an event, the name of a permission, or a context and a point.
    #[param(example = "ledger.")]
    action: Option<String>,
    /// Only those about this: a stream, `category/id`, that was changed; or a path, `/v1/…`, at or below which
    /// something was asked for.
    #[param(example = "ledger.account/0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e")]
    resource: Option<String>,
    /// Only those with this result.
    #[param(inline)]
    result: Option<TrailResult>,
    /// Only those of this request and what followed from it.
    correlation: Option<Uuid>,
    /// Only those recorded at or after this moment.
    #[param(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    from: Option<Moment>,
    /// Only those recorded before this moment.
    #[param(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    to: Option<Moment>,
    /// The newest first, if left out.
    #[param(inline)]
    order: Option<Order>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Search the audit trail
///
/// What was done, what was refused, which sensitive data was read, what was exported. Filters can be
/// combined.
#[utoipa::path(get, operation_id = "searchTrail", path = "/v1/audit", tag = "audit",
    params(TrailQuery), responses(
    (status = 200, description = "A page of entries.", body = Page<TrailEntry>),
))]
pub(crate) async fn list(
    State(app): State<App>,
    allowed: Allowed<ReadTrail>,
    conditions: Conditions,
    Query(query): Query<TrailQuery>,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let TrailQuery { actor, action, resource, result, correlation, from, to, .. } = query;
    let filters = TrailFilters { actor, action, resource, result, correlation, from, to };
    let filter = filters.parsed()?;
    let touches = [Touch::all::<AuditTrail>()];
    let mut reading = app.read(allowed.caller().tenant, &conditions, &touches).await?;
    let page = AuditTrail::list(&mut reading.tx, &filter, &asked).await.map_err(listed)?;
    let epoch = reading.served.epoch;
    let items = page.items.into_iter().map(|row| TrailEntry::of(row, epoch)).collect();
    answer::json(reading, &conditions, &Page { items, next_cursor: page.next_cursor }).await
}

/// One value that was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangedValue {
    /// RFC 6901 pointer.
    #[schema(example = "/totals/debits_posted")]
    path: String,
    /// What was there; absent, if there was no such place.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    /// What is there; absent, if there is no such place any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
}

/// What became of one thing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StreamChange {
    /// Which thing: category and id.
    #[schema(example = "ledger.account/0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e")]
    stream: String,
    /// Its version afterwards.
    #[schema(example = 7)]
    version: i64,
    /// Its values that were changed, old and new.
    differences: Vec<ChangedValue>,
}

/// An entry of the trail with what it changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrailDetail {
    /// The entry.
    entry: TrailEntry,
    /// From where: `ip` and `user_agent`. `null` if nobody knows, or the person was erased.
    #[schema(value_type = Option<RequestOrigin>)]
    origin: Option<Value>,
    /// Old and new values of everything that was changed; nothing, if it was refused or read.
    changes: Vec<StreamChange>,
}

/// Show an entry of the audit trail
///
/// With the old and the new value of everything that it changed, and from where it was done.
#[utoipa::path(get, operation_id = "getTrailEntry", path = "/v1/audit/{position}", tag = "audit",
    params(("position" = String, Path, description = "Where it stands in the log.", example = "1-4711")),
    responses(
        (status = 200, description = "The entry.", body = TrailDetail),
        (status = 404, description = "The tenant has no entry there.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn find(
    State(app): State<App>,
    allowed: Allowed<ReadTrail>,
    conditions: Conditions,
    Path(position): Path<String>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let position: LogPosition = position.parse().map_err(|_| Problem::new(&code::NOT_FOUND, ""))?;
    let touches = [Touch::all::<AuditTrail>()];
    let mut reading = app.read(allowed.caller().tenant, &conditions, &touches).await?;
    let epoch = reading.served.epoch;
    if position.epoch != epoch {
        return Err(Problem::new(&code::EPOCH_CHANGED, ""));
    }
    let row = AuditTrail::find(&mut reading.tx, position.position).await?;
    let row = row.ok_or_else(|| reading.not_found())?;
    let event = events::rows(&app, &mut reading.tx, epoch, &[row.position]).await?.pop();
    let origin = event.and_then(|it| it.meta?.origin).filter(|it| !it.is_null());
    let is_done = row.result == "done";
    let changes = if is_done { changes(&mut reading.tx, row.position).await? } else { Vec::new() };
    let detail = TrailDetail { entry: TrailEntry::of(row, epoch), origin, changes };
    answer::json(reading, &conditions, &detail).await
}

/// What an event made of each stream that it belongs to.
async fn changes(tx: &mut TenantTx, position: i64) -> Result<Vec<StreamChange>, Problem> {
    let streams = log::streams_of(tx.conn(), position).await?;
    let mut changes = Vec::with_capacity(streams.len());
    for (category, id, version) in streams {
        let Some(category) = catalog::category(category) else { continue };
        let stream = StreamId::new(category, id);
        let Some(mut history) = History::find(tx, stream).await? else { continue };
        let found = history.compare(version - 1, version).await?.differences;
        let differences = found.into_iter().map(|(change, _)| ChangedValue {
            path: change.path,
            before: change.before,
            after: change.after,
        });
        changes.push(StreamChange {
            stream: stream.to_string(),
            version,
            differences: differences.collect(),
        });
    }
    Ok(changes)
}
