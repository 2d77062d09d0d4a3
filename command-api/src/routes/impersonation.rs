//! Staff of the platform who act for a user of an organisation.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::{ImpersonationId, TenantId, UserId};
use domain::metadata::Label;
use domain::platform::impersonation::MINUTES_MAX;
use serde::{Deserialize, Serialize};
use service_kit::access::{Allowed, permissions};
use service_kit::body::{Json, Path};
use service_kit::problem::{FieldProblem, Problem, ProblemBody, code};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::BODY_BYTES_MAX;
use crate::answer::{Accepted, at};
use crate::app::App;
use crate::identity::impersonation::{Impersonate, ending, staff};
use crate::schema::LabelText;

/// Everything about it, with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(impersonate))
        .routes(routes!(end))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// Why and for how long somebody is acted for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImpersonateBody {
    /// Why, in words for the user, who is told.
    #[schema(value_type = LabelText, example = "You asked us to look at a transfer that is missing")]
    reason: Label,
    /// What it is about, as the platform's own books name it.
    #[schema(value_type = LabelText, example = "HELP-4711")]
    ticket: Label,
    /// For how long.
    #[schema(minimum = 1, maximum = 60, example = 15)]
    minutes: u16,
}

/// An impersonation has begun.
#[derive(Serialize, ToSchema)]
pub struct ImpersonationStarted {
    /// Names it, and its session.
    id: Uuid,
    /// Says who acts for whom. There is no other token, and nothing refreshes it.
    access_token: String,
    /// How the access token is shown.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// When it ends at the latest.
    expires_at: DateTime<Utc>,
    /// Up to here the log holds what this answer says.
    #[schema(example = "1-4711")]
    position: String,
}

fn span_of(minutes: u16) -> Result<TimeDelta, Problem> {
    let minutes = i64::from(minutes);
    if (1..=MINUTES_MAX).contains(&minutes) {
        return Ok(TimeDelta::minutes(minutes));
    }
    let (pointer, code) = ("/minutes".to_owned(), code::INVALID_FIELD.code.to_owned());
    let detail = format!("it lasts 1 to {MINUTES_MAX} minutes");
    Err(Problem::new(&code::INVALID_FIELD, "").at(FieldProblem { pointer, code, detail }))
}

/// Acts for a user
///
/// In a session that ends by itself, is recorded as the caller's doing in the organisation's log, and does not reach
/// credentials. The user is told by mail. Nobody acts for staff of the platform, and an operator's token acts for nobody.
/// Permission: `platform.impersonate-user`, shortly after the session was proven anew.
#[utoipa::path(
    post, path = "/v1/platform/users/{tenant_id}/{id}/impersonate", tag = "platform", operation_id = "impersonateUser",
    params(("tenant_id" = Uuid, Path, description = "The organisation"), ("id" = Uuid, Path, description = "The user")),
    request_body(content = ImpersonateBody, example = json!({
        "reason": "You asked us to look at a transfer that is missing", "ticket": "HELP-4711", "minutes": 15
    })),
    responses(
        (status = 201, description = "The caller can act for the user.", body = ImpersonationStarted, example = json!({
            "id": "0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e", "access_token": "eyJ...", "token_type": "Bearer",
            "expires_at": "2026-01-02T03:04:05Z", "position": "1-4711"
        })),
        (status = 403, description = "The caller may not, is no person but an operator's token, or the user is staff.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such user.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The user cannot act either.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn impersonate(
    State(app): State<App>,
    allowed: Allowed<permissions::Impersonate>,
    Path((tenant, user)): Path<(TenantId, UserId)>,
    Json(body): Json<ImpersonateBody>,
) -> Result<Response, Problem> {
    let staff = staff(allowed.caller())?;
    let (reason, ticket, span) = (body.reason, body.ticket, span_of(body.minutes)?);
    let asked = Impersonate { staff, tenant, user, reason, ticket, span };
    let begins = app.identity.impersonating(&asked).await?;
    let done = app.run_elsewhere(&allowed, tenant, begins.commands, begins.vault).await?;
    let token = app.identity.impersonation_token(&asked, begins.impersonation).await?;
    let answer = ImpersonationStarted {
        id: begins.impersonation.uuid(),
        access_token: token.token,
        token_type: "Bearer",
        expires_at: token.expires_at,
        position: done.position.clone(),
    };
    let mut response = at((StatusCode::CREATED, Json(answer)).into_response(), &done.position);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Acts for a user no more
///
/// The session ends at once, in every process. Permission: `platform.impersonate-user`, shortly after the session was proven anew.
#[utoipa::path(
    post, path = "/v1/platform/impersonations/{tenant_id}/{id}/end", tag = "platform", operation_id = "endImpersonation",
    params(("tenant_id" = Uuid, Path, description = "The organisation"),
           ("id" = Uuid, Path, description = "The impersonation")),
    responses(
        (status = 200, description = "It is over.", body = Accepted),
        (status = 404, description = "There is no such impersonation.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn end(
    State(app): State<App>,
    allowed: Allowed<permissions::Impersonate>,
    Path((tenant, impersonation)): Path<(TenantId, ImpersonationId)>,
) -> Result<Response, Problem> {
    let commands = ending(impersonation, allowed.caller().actor);
    let done = app.run_elsewhere(&allowed, tenant, commands, Vec::new()).await?;
    Ok(done.into_response())
}
