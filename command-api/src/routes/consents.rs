//! Taking back what a person allowed a service: by themselves, or by an administrator. What they allow is listed by
//! `query-api`; allowing is a page (`pages/consent.rs`, `pages/device.rs`).

use axum::extract::State;
use axum::response::Response;
use domain::ids::{ServiceId, UserId};
use domain::outranking::Outranking;
use service_kit::access::{Allowed, InPerson, permissions};
use service_kit::body::Path;
use service_kit::problem::{Problem, ProblemBody};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Accepted, Together};
use crate::app::App;
use crate::identity::lent::taking_back;
use crate::keys::{OptionalKey, Request};
use crate::standing::granter;

const LOCATION: &str = "/v1/auth/consents";

/// Every command about consents, with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(revoke_own)).routes(routes!(revoke))
}

/// Allows a service nothing any more
///
/// The sessions and refresh tokens that it has of oneself end at once, and before it is let have another one it must ask. To
/// repeat it changes nothing. Permission: none but to be signed in, in person.
#[utoipa::path(
    delete, path = "/v1/auth/consents/{service_id}", tag = "auth", operation_id = "revokeConsent",
    params(("service_id" = Uuid, Path, description = "The service"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "It is allowed nothing.", body = Accepted),
        (status = 404, description = "It never was allowed anything.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn revoke_own(
    State(app): State<App>,
    by: InPerson,
    key: OptionalKey,
    Path(service_id): Path<ServiceId>,
) -> Result<Response, Problem> {
    let user_id = UserId::new(by.caller().actor.uuid());
    let request = Request::new("DELETE /v1/auth/consents/{service_id}", &()).about(service_id);
    let key = app.key(&by, &key, &request)?;
    let (command, revoke) = taking_back(by.caller().tenant, user_id, service_id);
    let together = Together { commands: [Box::new(command)], vault: vec![revoke] };
    app.run_together(&by, key, LOCATION, together).await
}

/// Allows a service nothing any more, for a person
///
/// As the person could do it; of one who holds more than oneself, it is refused. Permission: `identity.end-sessions`.
#[utoipa::path(
    delete, path = "/v1/users/{id}/consents/{service_id}", tag = "users", operation_id = "revokeConsentOfUser",
    params(("id" = Uuid, Path, description = "The person"),
           ("service_id" = Uuid, Path, description = "The service"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "It is allowed nothing.", body = Accepted),
        (status = 403, description = "The person holds what the caller does not.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "It never was allowed anything.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn revoke(
    State(app): State<App>,
    allowed: Allowed<permissions::EndSessions>,
    key: OptionalKey,
    Path((user_id, service_id)): Path<(UserId, ServiceId)>,
) -> Result<Response, Problem> {
    let route = "DELETE /v1/users/{id}/consents/{service_id}";
    let request = Request::new(route, &()).about(user_id).about(service_id);
    let key = app.key(&allowed, &key, &request)?;
    let caller = allowed.caller();
    let (command, revoke) = taking_back(caller.tenant, user_id, service_id);
    let table = permissions::role_table(caller.tenant).clone();
    let command = Outranking::new(granter(caller), table, user_id, Box::new(command));
    let together = Together { commands: [Box::new(command)], vault: vec![revoke] };
    app.run_together(&allowed, key, LOCATION, together).await
}
