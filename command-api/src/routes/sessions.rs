//! The sessions of oneself: ended, and proven anew.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::ids::{SessionId, UserId};
use domain::lending::EndByHand;
use serde::{Deserialize, Serialize};
use service_kit::access::InPerson;
use service_kit::body::{Json, Path, Query};
use service_kit::problem::{Problem, ProblemBody, code};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{BODY_BYTES_MAX, TokenAnswer, in_session, not_one};
use crate::answer::{Together, instead};
use crate::app::App;
use crate::identity::Origin;
use crate::identity::sessions::{Again, ending, ending_all};
use crate::passwords::Password;

/// Every command about sessions of oneself, with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(end_session))
        .routes(routes!(end_sessions))
        .routes(routes!(step_up))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// Another proof of oneself: one of these.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepUpBody {
    /// The password.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "password")]
    password: Option<Password>,
    /// The code that one's authenticator shows now.
    #[serde(default)]
    #[schema(max_length = 32, example = "287082")]
    code: Option<String>,
}

/// Which sessions stay.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EndParams {
    /// `current` for the one of the request; all end if it is left out.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    keep: Option<Keep>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Keep {
    Current,
}

/// Sessions ended.
#[derive(Serialize, ToSchema)]
pub struct Ended {
    /// How many of them could still have been refreshed.
    #[schema(example = 2)]
    ended: usize,
}

/// Ends a session of one's own
///
/// Its tokens are good no more, everywhere within a second. If it is one of a service, that must ask before it is let have
/// another; what it was allowed stands. Permission: none but to be signed in, in person.
#[utoipa::path(
    delete, path = "/v1/auth/sessions/{id}", tag = "auth", operation_id = "endSession",
    params(("id" = Uuid, Path, description = "The session")),
    responses(
        (status = 204, description = "It has ended."),
        (status = 404, description = "There is no such session of one's own.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn end_session(
    State(app): State<App>,
    by: InPerson,
    Path(session): Path<SessionId>,
) -> Result<Response, Problem> {
    let caller = by.caller();
    let user = UserId::new(caller.actor.uuid());
    let (command, revoke) = ending(caller.tenant, session, user, "asked", caller.actor);
    let together = Together::one(EndByHand(command), [revoke]);
    Ok(instead(app.run_together(&by, None, "", together).await?, StatusCode::NO_CONTENT))
}

/// Ends the sessions of oneself
///
/// All of them, or all but the one of the request. Permission: none but to be signed in, in person.
#[utoipa::path(
    delete, path = "/v1/auth/sessions", tag = "auth", operation_id = "endSessions",
    params(EndParams),
    responses((status = 200, description = "They have ended.", body = Ended))
)]
pub async fn end_sessions(
    State(app): State<App>,
    by: InPerson,
    Query(params): Query<EndParams>,
) -> Result<Response, Problem> {
    let caller = by.caller();
    let (user, except) =
        (UserId::new(caller.actor.uuid()), params.keep.and(caller.session).map(SessionId::new));
    let live = app.identity.live_sessions(caller.tenant, user).await?;
    let ended = live.into_iter().filter(|it| Some(*it) != except).count();
    let (command, revoke) = ending_all(caller.tenant, user, except, "asked", caller.actor);
    let together = Together::one(command, [revoke]);
    let response = app.run_together(&by, None, "", together).await?;
    Ok(instead(response, Json(Ended { ended })))
}

/// Proves oneself anew
///
/// The session stays the same; what asks for a fresh proof is open for ten minutes. Permission: none but to be signed in, in person.
#[utoipa::path(
    post, path = "/v1/auth/step-up", tag = "auth", operation_id = "stepUp",
    request_body(content = StepUpBody, example = json!({ "password": "jade-umpire-quartz-lagoon" })),
    responses(
        (status = 200, description = "A new access token of the same session.", body = TokenAnswer),
        (status = 401, description = "The password or the code is wrong.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong guesses.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn step_up(
    State(app): State<App>,
    by: InPerson,
    Json(body): Json<StepUpBody>,
) -> Result<Json<TokenAnswer>, Problem> {
    let caller = by.caller();
    let who = in_session(caller).ok_or_else(|| Problem::new(&code::INVALID_CREDENTIALS, ""))?;
    let again = match (body.password, body.code) {
        (Some(password), None) => Again::Password(password),
        (None, Some(code)) => Again::Code(code.into()),
        _ => return Err(not_one("password", "code")),
    };
    let access = app.identity.step_up(who, again, &Origin::of(caller)).await?;
    Ok(Json(TokenAnswer::new(access, None)))
}
