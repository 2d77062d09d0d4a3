//! Tokens of operators, which `quipu token mint` makes: revoked by whoever runs the organisation that one acts in, or by the
//! platform. `quipu token revoke` does the same without a token.

use axum::extract::State;
use axum::response::Response;
use domain::identity::RevokeAccessToken;
use domain::ids::{TenantId, TokenId};
use service_kit::access::{Allowed, permissions};
use service_kit::body::Path;
use service_kit::problem::{Problem, ProblemBody};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Accepted, Across, Nothing};
use crate::app::App;
use crate::keys::{OptionalKey, Request};

/// None comes to be here, so nothing is read there.
const LOCATION: &str = "/v1/access-tokens";

/// Everything about them, with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(revoke)).routes(routes!(revoke_anywhere))
}

/// Revokes an access token of an operator
///
/// One that acts in the caller's organisation. It is refused within a second, in every process, and a command that it gave is
/// not carried out any more; live streams end. Its id is what `quipu token mint` told and the token's own `jti`. Permission:
/// `identity.revoke-access-token`.
#[utoipa::path(
    post, path = "/v1/access-tokens/{id}/revoke", tag = "access-tokens", operation_id = "revokeAccessToken",
    params(("id" = Uuid, Path, description = "The token"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "It is good no more.", body = Accepted),
        (status = 404, description = "No operator was issued such a token.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn revoke(
    State(app): State<App>,
    allowed: Allowed<permissions::RevokeAccessToken>,
    key: OptionalKey,
    Path(token_id): Path<TokenId>,
) -> Result<Response, Problem> {
    let request = Request::new("POST /v1/access-tokens/{id}/revoke", &()).about(token_id);
    let key = app.key(&allowed, &key, &request)?;
    let command = RevokeAccessToken { token_id, by: allowed.caller().actor };
    app.run(&allowed, key, None, LOCATION, command).await
}

/// Revokes an access token of an operator in any organisation
///
/// As that organisation itself could, in whose log it is recorded. Permission: `platform.revoke-access-token`.
#[utoipa::path(
    post, path = "/v1/platform/access-tokens/{tenant_id}/{id}/revoke", tag = "platform", operation_id = "revokeAccessTokenAnywhere",
    params(("tenant_id" = Uuid, Path, description = "The organisation in which it acts"),
           ("id" = Uuid, Path, description = "The token"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "It is good no more.", body = Accepted),
        (status = 404, description = "No operator was issued such a token there.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn revoke_anywhere(
    State(app): State<App>,
    allowed: Allowed<permissions::RevokeAnyAccessToken>,
    key: OptionalKey,
    Path((tenant, token_id)): Path<(TenantId, TokenId)>,
) -> Result<Response, Problem> {
    let route = "POST /v1/platform/access-tokens/{tenant_id}/{id}/revoke";
    let key = app.key(&allowed, &key, &Request::new(route, &()).about(tenant).about(token_id))?;
    let across = Across {
        here: Box::new(Nothing),
        there: tenant,
        then: Box::new(RevokeAccessToken { token_id, by: allowed.caller().actor }),
        vault: Vec::new(),
    };
    app.run_there(&allowed, key, LOCATION, across).await
}
