//! `/v1/security-feed`: what happened to the security of an organisation and its persons; `/v1/auth/security-feed`: to oneself.

use axum::extract::State;
use axum::response::Response;
use event_schemas::envelope::LogPosition;
use read_models::progress::Touch;
use read_models::security_feed::{SecurityFilter, SecurityRow};
use read_models::{Moment, Order, Page, SecurityFeed};
use serde::Deserialize;
use service_kit::access::{Allowed, Caller, Own, permissions::ReadSignIns};
use service_kit::body::Query;
use service_kit::problem::{Problem, ProblemBody};
use utoipa::IntoParams;
use uuid::Uuid;

use super::events::{event_type, parse_position};
use crate::answer;
use crate::app::App;
use crate::live::{self, LastEventId, SecuritySource};
use crate::reading::{Conditions, asked, listed};

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FeedQuery {
    /// Only what concerns this person.
    user_id: Option<Uuid>,
    /// Only this type of event.
    #[param(example = "identity.password-changed")]
    kind: Option<String>,
    /// Only what was recorded at or after this moment.
    #[param(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    from: Option<Moment>,
    /// Only what was recorded before this moment.
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

/// Which entries of one's own.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OwnFeedQuery {
    /// Only this type of event.
    #[param(example = "identity.password-changed")]
    kind: Option<String>,
    /// Only what was recorded at or after this moment.
    #[param(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    from: Option<Moment>,
    /// Only what was recorded before this moment.
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

impl OwnFeedQuery {
    /// The same, of one person.
    fn of(self, user_id: Uuid) -> FeedQuery {
        let Self { kind, from, to, order, limit, cursor } = self;
        FeedQuery { user_id: Some(user_id), kind, from, to, order, limit, cursor }
    }
}

/// Read the security feed
///
/// Sign-ins and sessions, passwords and addresses, second factors, members, roles and policies,
/// providers, services and keys, and staff of the platform who acted for somebody.
#[utoipa::path(get, operation_id = "readSecurityFeed", path = "/v1/security-feed", tag = "identity",
    params(FeedQuery), responses(
    (status = 200, description = "A page of the feed.", body = Page<SecurityRow>),
))]
pub(crate) async fn list(
    State(app): State<App>,
    allowed: Allowed<ReadSignIns>,
    conditions: Conditions,
    Query(query): Query<FeedQuery>,
) -> Result<Response, Problem> {
    page(&app, allowed.caller(), conditions, query).await
}

/// Read my security feed
///
/// What happened to the own account, and who did it.
#[utoipa::path(get, operation_id = "readMySecurityFeed", path = "/v1/auth/security-feed", tag = "identity",
    params(OwnFeedQuery), responses(
    (status = 200, description = "A page of the feed.", body = Page<SecurityRow>),
))]
pub(crate) async fn own(
    State(app): State<App>,
    who: Own<ReadSignIns>,
    conditions: Conditions,
    Query(query): Query<OwnFeedQuery>,
) -> Result<Response, Problem> {
    let caller = who.caller();
    page(&app, caller, conditions, query.of(caller.actor.uuid())).await
}

async fn page(
    app: &App,
    caller: &Caller,
    conditions: Conditions,
    query: FeedQuery,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let filter = SecurityFilter {
        user_id: query.user_id,
        kind: query.kind.map(kind).transpose()?,
        from: query.from.map(|it| it.0),
        to: query.to.map(|it| it.0),
    };
    let mut reading = app.read(caller.tenant, &conditions, &[Touch::all::<SecurityFeed>()]).await?;
    let page = SecurityFeed::list(&mut reading.tx, &filter, &asked).await.map_err(listed)?;
    answer::json(reading, &conditions, &page).await
}

fn kind(name: String) -> Result<String, Problem> {
    event_type("kind", name)
}

/// What is followed, and from where on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FollowQuery {
    /// Only what concerns this person.
    user_id: Option<Uuid>,
    /// Only this type of event.
    #[param(example = "identity.sign-in-locked")]
    kind: Option<String>,
    /// Begin behind this position; `Last-Event-ID` counts for more.
    #[param(example = "1-4711", pattern = r"^[0-9]{1,9}-[0-9]{1,18}$")]
    after: Option<String>,
}

/// Follow the security feed
///
/// Server-sent events: each entry of the feed that meets the filters, once and in order. `event` is the type of what
/// happened, `data` the entry as in the list, `id` the position to resume after. It begins now, or behind `Last-Event-ID`.
#[utoipa::path(get, operation_id = "followSecurityFeed", path = "/v1/security-feed/stream", tag = "identity",
    params(FollowQuery),
    responses(
        (status = 200, description = "The stream.", body = String, content_type = "text/event-stream",
            example = "retry: 1000\nid: 1-4710\n\nid: 1-4711\nevent: identity.sign-in-locked\ndata: {\"position\":\"1-4711\"}\n\n"),
        (status = 404, description = "The log has not come to the position.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn follow(
    State(app): State<App>,
    allowed: Allowed<ReadSignIns>,
    conditions: Conditions,
    LastEventId(last): LastEventId,
    Query(query): Query<FollowQuery>,
) -> Result<Response, Problem> {
    let after = query.after.as_deref().map(parse_position).transpose()?;
    let kind = query.kind.map(kind).transpose()?;
    let filter = SecurityFilter { user_id: query.user_id, kind, ..SecurityFilter::default() };
    let caller = allowed.caller();
    let seat = app.live.seat(caller)?;
    let (given, touches) = (last.or(after), [Touch::all::<SecurityFeed>()]);
    let reading = app.read_behind(caller.tenant, &conditions, &touches, given).await?;
    // What is not in the feed yet was recorded before the stream began.
    let head = LogPosition { epoch: reading.served.epoch, position: reading.served.head };
    reading.tx.end().await?;
    let source = SecuritySource::new(app.clone(), caller.tenant, filter, given.unwrap_or(head));
    Ok(live::open(&app, &allowed, seat, source))
}
