//! `/v1/auth`: what a signed-in person asks about the own account.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::organisation::SecondFactor;
use read_models::progress::Touch;
use read_models::sessions::{SessionFilter, SessionRow};
use read_models::users::UserRow;
use read_models::{Consents, Factors, Order, Page, Sessions, Users};
use serde::{Deserialize, Serialize};
use service_kit::access::{Caller, Own, Recognised, permissions};
use service_kit::body::Query;
use service_kit::problem::Problem;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::accounts::NoParameters;
use super::organizations::policy_of;
use crate::app::App;
use crate::reading::{Conditions, asked, listed};
use crate::{answer, privacy};

/// Whoever asks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    /// The organisation acted in.
    tenant_id: Uuid,
    /// Who acts.
    actor_id: Uuid,
    /// The session; `null` for tokens of operators and machines.
    session_id: Option<Uuid>,
    /// Staff of the platform who act in the person's place, if it is not the person.
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonated_by: Option<Uuid>,
    /// Until when the token is good at the latest.
    expires_at: Option<DateTime<Utc>>,
    /// What the caller may do now.
    #[schema(example = json!(["ledger.read-accounts"]))]
    permissions: BTreeSet<String>,
    /// Whether the person needs a second factor, and has one; `null` where `user` is. Who needs one and has none uses no
    /// permission: they are led to enrolling one first.
    second_factor: Option<FactorAsked>,
    /// The person; `null` if it is none, such as for tokens of operators, and for whoever acts for another. These find the
    /// person at `/v1/users/{user_id}`, if they may.
    user: Option<UserRow>,
}

/// A second factor: asked for, and there.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FactorAsked {
    /// Whether the organisation asks everybody for one.
    #[schema(example = true)]
    required: bool,
    /// Whether the person has an authenticator or a passkey.
    #[schema(example = false)]
    enrolled: bool,
}

/// Show who I am
///
/// Also to programs, to services that a person lets act for them, and to staff in somebody's place: they are told for whom
/// they act and what they may do, and nothing of the person.
#[utoipa::path(get, operation_id = "getMe", path = "/v1/auth/me", tag = "identity", responses(
    (status = 200, description = "The caller.", body = Me),
))]
pub(crate) async fn me(
    State(app): State<App>,
    who: Recognised,
    conditions: Conditions,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Response, Problem> {
    let caller = who.caller();
    let in_person = caller.check_in_person().is_ok();
    let id = caller.actor.uuid();
    let touches = [Touch::one::<Users>(id), Touch::all::<Sessions>(), Touch::one::<Factors>(id)];
    let mut reading = app.read(caller.tenant, &conditions, &touches).await?;
    let user = if in_person { Users::find(&mut reading.tx, id).await? } else { None };
    let mut user: Vec<UserRow> = user.into_iter().collect();
    privacy::open_users(&app.master, &mut reading.tx, &mut user).await?;
    let (_, policy) = policy_of(&mut reading.tx, caller.tenant).await?;
    let required = policy.second_factor == SecondFactor::Required;
    let user = user.pop();
    let me = Me {
        tenant_id: caller.tenant.uuid(),
        actor_id: caller.actor.uuid(),
        session_id: caller.session,
        impersonated_by: caller.acts.map(|it| it.uuid()),
        expires_at: DateTime::from_timestamp(caller.believed_until, 0),
        permissions: held(caller),
        second_factor: user.as_ref().map(|it| FactorAsked { required, enrolled: !it.factors.is_empty() }),
        user,
    };
    answer::json(reading, &conditions, &me).await
}

/// The permissions that exist in the caller's organisation and that the caller holds.
pub(super) fn held(caller: &Caller) -> BTreeSet<String> {
    let exist = permissions::ALL.iter().filter(|it| it.exists_in(caller.tenant));
    exist.filter(|it| caller.standing.granted.allows(it.name)).map(|it| it.name.to_owned()).collect()
}

/// Which sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SessionsQuery {
    /// Only those that stand.
    live: Option<bool>,
    /// The newest first, if left out.
    #[param(inline)]
    order: Option<Order>,
    /// Rows of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List my sessions
///
/// By when they began, with where.
#[utoipa::path(get, operation_id = "listMySessions", path = "/v1/auth/sessions", tag = "identity",
    params(SessionsQuery), responses(
    (status = 200, description = "A page of sessions.", body = Page<SessionRow>),
))]
pub(crate) async fn sessions(
    State(app): State<App>,
    who: Own<permissions::ReadSessions>,
    conditions: Conditions,
    Query(query): Query<SessionsQuery>,
) -> Result<Response, Problem> {
    sessions_of(&app, who.caller(), who.caller().actor.uuid(), conditions, query).await
}

/// The sessions of a person of the caller's organisation.
pub(super) async fn sessions_of(
    app: &App,
    caller: &Caller,
    user_id: Uuid,
    conditions: Conditions,
    query: SessionsQuery,
) -> Result<Response, Problem> {
    let asked = asked(query.order, query.cursor, query.limit)?;
    let filter = SessionFilter { user_id, live: query.live.unwrap_or(false) };
    let touches = [Touch::all::<Sessions>(), Touch::one::<Users>(user_id), Touch::all::<Consents>()];
    let mut reading = app.read(caller.tenant, &conditions, &touches).await?;
    let mut page = Sessions::list(&mut reading.tx, &filter, &asked).await.map_err(listed)?;
    privacy::open(&app.master, &mut reading.tx, &mut page.items).await?;
    answer::json(reading, &conditions, &page).await
}
