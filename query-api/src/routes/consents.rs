//! `/v1/auth/consents` and the same of others: what persons allow services. Taking it back is `command-api`'s.

use axum::extract::State;
use axum::response::Response;
use read_models::consents::ConsentRow;
use read_models::progress::Touch;
use read_models::{Consents, Order, Page, Services};
use serde::Deserialize;
use service_kit::access::permissions::ReadSessions;
use service_kit::access::{Allowed, Caller, Own};
use service_kit::body::{Path, Query};
use service_kit::problem::Problem;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::answer;
use crate::app::App;
use crate::reading::{Conditions, asked, listed};

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConsentsQuery {
    /// The newest first, if left out.
    #[param(inline)]
    order: Option<Order>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List the services that I let in
///
/// What each is allowed, and since when; by when each was first let in. What was taken back is not listed.
#[utoipa::path(get, operation_id = "listMyConsents", path = "/v1/auth/consents", tag = "identity",
    params(ConsentsQuery), responses(
    (status = 200, description = "A page of what is allowed.", body = Page<ConsentRow>),
))]
pub(crate) async fn own(
    State(app): State<App>,
    who: Own<ReadSessions>,
    conditions: Conditions,
    Query(query): Query<ConsentsQuery>,
) -> Result<Response, Problem> {
    consents_of(&app, who.caller(), who.caller().actor.uuid(), conditions, query).await
}

/// List the services that a person let in
///
/// What each is allowed, and since when; by when each was first let in. What was taken back is not listed.
#[utoipa::path(get, operation_id = "listConsents", path = "/v1/users/{user_id}/consents", tag = "identity",
    params(("user_id" = Uuid, Path, description = "Whose."), ConsentsQuery),
    responses((status = 200, description = "A page of what is allowed.", body = Page<ConsentRow>)))]
pub(crate) async fn of_user(
    State(app): State<App>,
    allowed: Allowed<ReadSessions>,
    conditions: Conditions,
    Path(id): Path<Uuid>,
    Query(query): Query<ConsentsQuery>,
) -> Result<Response, Problem> {
    consents_of(&app, allowed.caller(), id, conditions, query).await
}

async fn consents_of(
    app: &App,
    caller: &Caller,
    user_id: Uuid,
    conditions: Conditions,
    query: ConsentsQuery,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let touches = [Touch::all::<Consents>(), Touch::all::<Services>()];
    let mut reading = app.read(caller.tenant, &conditions, &touches).await?;
    let page = Consents::list(&mut reading.tx, user_id, &asked).await;
    answer::json(reading, &conditions, &page.map_err(listed)?).await
}
