//! The token that a provider gave for the caller.

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::words::Word;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use service_kit::access::{Allowed, permissions};
use service_kit::body::{Json, Path};
use service_kit::problem::{Problem, ProblemBody, code};
use utoipa::ToSchema;

use super::auth::in_session;
use crate::app::App;

/// A token of a provider.
#[derive(Serialize, ToSchema)]
pub struct ProviderTokenAnswer {
    /// What the provider takes.
    access_token: String,
    /// How it is shown.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// When it ends, if the provider says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<DateTime<Utc>>,
    /// What it is good for, if the provider says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

/// Reads the token that a provider gave for oneself
///
/// As the provider gave it at the last sign-in or since, if the organisation keeps its tokens. That it was read is recorded
/// before it is answered. Permission: `federation.read-provider-token`, for whoever signed in themselves.
#[utoipa::path(
    get, path = "/v1/provider-tokens/{provider}", tag = "providers", operation_id = "readProviderToken",
    params(("provider" = String, Path, description = "The name of the provider")),
    responses(
        (status = 200, description = "The token is good now.", body = ProviderTokenAnswer, example = json!({
            "access_token": "gho_...", "token_type": "Bearer", "expires_at": "2026-01-02T03:04:05Z", "scope": "read:user"
        })),
        (status = 404, description = "There is no token that is good now.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn read(
    State(app): State<App>,
    allowed: Allowed<permissions::ReadProviderToken>,
    Path(provider): Path<String>,
) -> Result<Response, Problem> {
    let missing = || Problem::new(&code::PROVIDER_TOKEN_MISSING, "");
    let provider = Word::parse(&provider).map_err(|_| missing())?;
    let who = in_session(allowed.caller()).ok_or_else(missing)?;
    let token = app.identity.provider_token(who, &provider).await?;
    let answer = ProviderTokenAnswer {
        access_token: token.access_token.expose_secret().to_owned(),
        token_type: "Bearer",
        expires_at: token.expires_at,
        scope: token.scope,
    };
    let mut response = Json(answer).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
