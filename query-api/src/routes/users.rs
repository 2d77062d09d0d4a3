//! `/v1/users`: the persons of an organisation. Their personal data is opened here, so each use is recorded.

use axum::extract::State;
use axum::response::Response;
use read_models::progress::Touch;
use read_models::sessions::SessionRow;
use read_models::users::{UserFilter, UserRow};
use read_models::{AuditTrail, Factors, Moment, Order, Page, Sessions, Users};
use serde::Deserialize;
use service_kit::access::Allowed;
use service_kit::access::permissions::{ReadSessions, ReadUsers};
use service_kit::body::{Path, Query};
use service_kit::problem::{Problem, ProblemBody};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::accounts::NoParameters;
use super::me::{SessionsQuery, sessions_of};
use crate::app::App;
use crate::audit::TrailEntry;
use crate::audit::filters::{TrailFilters, TrailResult};
use crate::reading::{Conditions, asked, listed};
use crate::{answer, privacy};

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum UserStatus {
    Active,
    Inactive,
    Erased,
}

/// Which persons.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsersQuery {
    /// Only those in this state.
    #[param(inline)]
    status: Option<UserStatus>,
    /// Only who has this address, or has asked for it and not confirmed it yet.
    #[param(example = "ada@example.com", max_length = 254)]
    email: Option<String>,
    /// The newest first, if left out.
    #[param(inline)]
    order: Option<Order>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List persons
///
/// By when they registered. Names and addresses are kept encrypted and cannot be ordered by.
#[utoipa::path(get, operation_id = "listUsers", path = "/v1/users", tag = "identity",
    params(UsersQuery), responses(
    (status = 200, description = "A page of persons.", body = Page<UserRow>),
))]
pub(crate) async fn list(
    State(app): State<App>,
    allowed: Allowed<ReadUsers>,
    conditions: Conditions,
    Query(query): Query<UsersQuery>,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let status = query.status.map(|it| match it {
        UserStatus::Active => "active".to_owned(),
        UserStatus::Inactive => "inactive".to_owned(),
        UserStatus::Erased => "erased".to_owned(),
    });
    let tenant = allowed.caller().tenant;
    let email = query.email.map(|it| privacy::address(&app, tenant, &it)).transpose()?;
    let touches = [Touch::all::<Users>(), Touch::all::<Sessions>(), Touch::all::<Factors>()];
    let mut reading = app.read(tenant, &conditions, &touches).await?;
    let filter = UserFilter { status, email };
    let mut page = Users::list(&mut reading.tx, &filter, &asked).await.map_err(listed)?;
    privacy::open_users(&app.master, &mut reading.tx, &mut page.items).await?;
    answer::json(reading, &conditions, &page).await
}

/// Show a person
#[utoipa::path(get, operation_id = "getUser", path = "/v1/users/{user_id}", tag = "identity",
    params(("user_id" = Uuid, Path, description = "Who.")),
    responses(
        (status = 200, description = "The person as they are now.", body = UserRow),
        (status = 404, description = "There is no such person.", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(crate) async fn find(
    State(app): State<App>,
    allowed: Allowed<ReadUsers>,
    conditions: Conditions,
    Path(id): Path<Uuid>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let touches = [Touch::one::<Users>(id), Touch::all::<Sessions>(), Touch::one::<Factors>(id)];
    let mut reading = app.read(allowed.caller().tenant, &conditions, &touches).await?;
    let mut row = [Users::find(&mut reading.tx, id).await?.ok_or_else(|| reading.not_found())?];
    privacy::open_users(&app.master, &mut reading.tx, &mut row).await?;
    let [row] = row;
    answer::json(reading, &conditions, &row).await
}

/// Which of what a person did.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ActivityQuery {
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

/// List what a person did
///
/// Each event that they caused, as an entry of the audit trail. What they read and what they were refused is
/// in the trail itself.
#[utoipa::path(get, operation_id = "listActivity", path = "/v1/users/{user_id}/activity", tag = "identity",
    params(("user_id" = Uuid, Path, description = "Who."), ActivityQuery),
    responses((status = 200, description = "A page of entries.", body = Page<TrailEntry>)))]
pub(crate) async fn activity(
    State(app): State<App>,
    allowed: Allowed<ReadUsers>,
    conditions: Conditions,
    Path(id): Path<Uuid>,
    Query(query): Query<ActivityQuery>,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let filters = TrailFilters {
        actor: Some(id),
        result: Some(TrailResult::Done),
        from: query.from,
        to: query.to,
        ..TrailFilters::default()
    };
    let (filter, touches) = (filters.parsed()?, [Touch::all::<AuditTrail>()]);
    let mut reading = app.read(allowed.caller().tenant, &conditions, &touches).await?;
    let page = AuditTrail::list(&mut reading.tx, &filter, &asked).await.map_err(listed)?;
    let epoch = reading.served.epoch;
    let items = page.items.into_iter().map(|row| TrailEntry::of(row, epoch)).collect();
    answer::json(reading, &conditions, &Page { items, next_cursor: page.next_cursor }).await
}

/// List the sessions of a person
///
/// By when they began, with where.
#[utoipa::path(get, operation_id = "listSessions", path = "/v1/users/{user_id}/sessions", tag = "identity",
    params(("user_id" = Uuid, Path, description = "Whose."), SessionsQuery),
    responses((status = 200, description = "A page of sessions.", body = Page<SessionRow>)))]
pub(crate) async fn sessions(
    State(app): State<App>,
    allowed: Allowed<ReadSessions>,
    conditions: Conditions,
    Path(id): Path<Uuid>,
    Query(query): Query<SessionsQuery>,
) -> Result<Response, Problem> {
    sessions_of(&app, allowed.caller(), id, conditions, query).await
}
