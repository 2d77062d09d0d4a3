//! Live streams: `/v1/events/stream` and `/v1/ledger/accounts/{account_id}/stream`.

use axum::extract::State;
use axum::response::Response;
use event_schemas::envelope::LogPosition;
use read_models::accounts::AccountRow;
use read_models::event_index::EventFilter;
use read_models::progress::Touch;
use read_models::{Accounts, Asked, EventIndex, Moment, Order, TenantTx};
use serde::Deserialize;
use service_kit::access::{Allowed, permissions::ReadAccounts, permissions::ReadEvents};
use service_kit::body::{Path, Query};
use service_kit::problem::{Problem, ProblemBody};
use utoipa::IntoParams;
use uuid::Uuid;

use super::accounts::NoParameters;
use super::events::{category, event_type, parse_position, stream};
use crate::app::App;
use crate::live::{self, EventFeed, LastEventId, LiveRow, RowFeed};
use crate::reading::{Conditions, Reading, listed};

/// Which events, and from where on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LiveQuery {
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
    /// Begin with what was recorded at or after this moment, if neither `after` nor `Last-Event-ID` says more.
    #[param(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    from: Option<Moment>,
    /// Begin behind this position; `Last-Event-ID` counts for more.
    #[param(example = "1-4711", pattern = r"^[0-9]{1,9}-[0-9]{1,18}$")]
    after: Option<String>,
}

/// Follow events
///
/// Server-sent events: each event of the log that meets the filters, once and in order, as it is recorded. `event` is
/// its type, `data` the event as in the list, `id` the position to resume after. It begins now, or behind
/// `Last-Event-ID`, and goes on until the token expires. Blocks with an `id` and no data move the place to resume at.
/// The server's own last words have no dot in their names: `dropped` (the reader was too slow), `expired` (the token),
/// `revoked` (the session has ended, or the permission is gone), `goodbye` (the server stops), `epoch-changed` (the log
/// was restored: nothing can be resumed).
#[utoipa::path(get, operation_id = "followEvents", path = "/v1/events/stream", tag = "events",
    params(LiveQuery),
    responses(
        (status = 200, description = "The stream.", body = String, content_type = "text/event-stream",
            example = "retry: 1000\nid: 1-4710\n\nid: 1-4711\nevent: ledger.transfer-posted\ndata: {\"position\":\"1-4711\"}\n\n"),
        (status = 404, description = "The log has not come to the position.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn events(
    State(app): State<App>,
    allowed: Allowed<ReadEvents>,
    conditions: Conditions,
    LastEventId(last): LastEventId,
    Query(query): Query<LiveQuery>,
) -> Result<Response, Problem> {
    let after = query.after.as_deref().map(parse_position).transpose()?;
    let filter = EventFilter {
        event_type: query.event_type.map(|it| event_type("type", it)).transpose()?,
        category: query.category.as_deref().map(category).transpose()?.map(|it| it.code),
        stream: query.stream.as_deref().map(stream).transpose()?,
        actor: query.actor,
        correlation: query.correlation,
        from: query.from.map(|it| it.0),
        ..EventFilter::default()
    };
    let caller = allowed.caller();
    let seat = app.live.seat(caller)?;
    let given = last.or(after);
    let touches = [Touch::all::<EventIndex>()];
    let mut reading = app.read_behind(caller.tenant, &conditions, &touches, given).await?;
    let begin = match given {
        Some(given) => given,
        None => beginning(&mut reading, &filter).await?,
    };
    reading.tx.end().await?;
    Ok(live::open(&app, &allowed, seat, EventFeed::new(app.clone(), caller.tenant, filter, begin)))
}

/// Behind the newest event of the log, or before the first one since the moment that is asked for.
async fn beginning(reading: &mut Reading, filter: &EventFilter) -> Result<LogPosition, Problem> {
    let now = LogPosition { epoch: reading.served.epoch, position: reading.served.head };
    if filter.from.is_none() {
        return Ok(now);
    }
    let oldest = Asked { order: Order::Oldest, cursor: None, limit: 1 };
    let first = EventIndex::list(&mut reading.tx, filter, &oldest).await;
    let first = first.map_err(listed)?.items.first().map(|it| it - 1);
    // What is not in the index yet may be asked for too.
    let position = first.unwrap_or(reading.served.position);
    Ok(LogPosition { position, ..now })
}

/// An account of `accounts`.
struct LiveAccount(Uuid);

impl LiveRow for LiveAccount {
    type Row = AccountRow;
    const NAME: &'static str = "account";

    fn touch(&self) -> Touch {
        Touch::one::<Accounts>(self.0)
    }

    async fn find(&self, tx: &mut TenantTx) -> sqlx::Result<Option<AccountRow>> {
        Accounts::find(tx, self.0).await
    }
}

/// Follow an account
///
/// Server-sent events: the account as it is, at once and whenever it has changed. `data` is the account as in its own
/// route, `id` the position that it is exact for. Changes that come faster than they are sent are sent as one.
#[utoipa::path(get, operation_id = "followAccount", path = "/v1/ledger/accounts/{account_id}/stream", tag = "ledger",
    params(("account_id" = Uuid, Path, description = "Which account.")),
    responses(
        (status = 200, description = "The stream.", body = String, content_type = "text/event-stream",
            example = "retry: 1000\nid: 1-4711\n\nid: 1-4711\nevent: account\ndata: {\"balance\":\"100.00\"}\n\n"),
        (status = 404, description = "There is no such account.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn account(
    State(app): State<App>,
    allowed: Allowed<ReadAccounts>,
    conditions: Conditions,
    LastEventId(last): LastEventId,
    Path(id): Path<Uuid>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let caller = allowed.caller();
    let seat = app.live.seat(caller)?;
    let row = LiveAccount(id);
    // Who comes back has seen that position: what it is shown next is not older.
    let conditions = match last {
        Some(last) => conditions.reaching(last)?,
        None => conditions,
    };
    let mut reading = app.read(caller.tenant, &conditions, &[row.touch()]).await?;
    if row.find(&mut reading.tx).await?.is_none() {
        return Err(reading.not_found());
    }
    let position = reading.position();
    reading.tx.end().await?;
    Ok(live::open(&app, &allowed, seat, RowFeed::new(app.clone(), caller.tenant, row, position)))
}
