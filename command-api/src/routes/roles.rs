//! Roles that the organisation makes itself.

use axum::extract::State;
use axum::response::Response;
use domain::ids::{RoleId, TenantId};
use domain::metadata::Label;
use domain::organisation::{DefineRole, DeleteRole, RedefineRole, role};
use domain::words::Permission;
use serde::{Deserialize, Serialize};
use service_kit::access::{Allowed, permissions};
use service_kit::body::{Json, Path};
use service_kit::problem::{Problem, ProblemBody};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::answer::Accepted;
use crate::app::App;
use crate::keys::{IfMatch, OptionalKey, Request};
use crate::schema::{LabelText, PermissionText};
use crate::standing::granter;

const LOCATION: &str = "/v1/roles";

/// A role.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleBody {
    /// Its name for people; unique in the organisation, whatever the case of its letters, and none of a built-in role.
    #[schema(value_type = LabelText, example = "Bookkeeper")]
    name: Label,
    /// What it grants: names of permissions that the caller holds.
    #[schema(value_type = Vec<PermissionText>, min_items = 1, max_items = 200, example = json!(["ledger.read-journal"]))]
    permissions: Vec<Permission>,
}

impl RoleBody {
    fn looks_right(&self, tenant: TenantId) -> Result<(), Problem> {
        permissions::must_exist(tenant, "/permissions", self.permissions.iter().map(Permission::as_str))
    }
}

/// Defines a role
///
/// Nobody puts into a role what they do not hold themselves. Permission: `organisation.define-role`.
#[utoipa::path(
    post, path = "/v1/roles", tag = "members", operation_id = "defineRole",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = RoleBody, example = json!({ "name": "Bookkeeper", "permissions": ["ledger.read-journal"] })),
    responses(
        (status = 201, description = "The role can be given.", body = Accepted),
        (status = 409, description = "The name is taken.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "There are too many roles, or too many permissions in this one, or one of them does not exist.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn define(
    State(app): State<App>,
    allowed: Allowed<permissions::DefineRole>,
    key: OptionalKey,
    Json(body): Json<RoleBody>,
) -> Result<Response, Problem> {
    let key = app.key(&allowed, &key, &Request::new("POST /v1/roles", &body))?;
    body.looks_right(allowed.caller().tenant)?;
    let role_id = RoleId::new(Uuid::now_v7());
    let caller = allowed.caller();
    let (by, table) = (granter(caller), permissions::role_table(caller.tenant).clone());
    let command = DefineRole { role_id, name: body.name, permissions: body.permissions, by, table };
    app.run_new(&allowed, key, role::stream(role_id), LOCATION, command).await
}

/// Redefines a role
///
/// It takes effect at once for all who have it. The caller must hold what it granted before and what it grants
/// afterwards. Permission: `organisation.define-role`.
#[utoipa::path(
    put, path = "/v1/roles/{id}", tag = "members", operation_id = "redefineRole",
    params(("id" = Uuid, Path, description = "The role"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat"),
           ("If-Match" = Option<String>, Header, description = "The version that it must have")),
    request_body(content = RoleBody, example = json!({ "name": "Bookkeeper", "permissions": ["ledger.read-journal"] })),
    responses(
        (status = 200, description = "It grants these permissions.", body = Accepted),
        (status = 404, description = "There is no such role.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It has another version.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "There are too many permissions, or one of them does not exist.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn redefine(
    State(app): State<App>,
    allowed: Allowed<permissions::DefineRole>,
    key: OptionalKey,
    if_match: IfMatch,
    Path(role_id): Path<RoleId>,
    Json(body): Json<RoleBody>,
) -> Result<Response, Problem> {
    let request = Request::new("PUT /v1/roles/{id}", &body).about(role_id).if_match(if_match);
    let key = app.key(&allowed, &key, &request)?;
    body.looks_right(allowed.caller().tenant)?;
    let expected = if_match.of(role::stream(role_id));
    let caller = allowed.caller();
    let (by, table) = (granter(caller), permissions::role_table(caller.tenant).clone());
    let command = RedefineRole { role_id, name: body.name, permissions: body.permissions, by, table };
    app.run(&allowed, key, expected, LOCATION, command).await
}

/// Deletes a role
///
/// The caller must hold what it grants. Nobody may have it, and no open invitation may name it. Permission: `organisation.delete-role`.
#[utoipa::path(
    delete, path = "/v1/roles/{id}", tag = "members", operation_id = "deleteRole",
    params(("id" = Uuid, Path, description = "The role"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat"),
           ("If-Match" = Option<String>, Header, description = "The version that it must have")),
    responses(
        (status = 200, description = "It is gone.", body = Accepted),
        (status = 404, description = "There is no such role.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Somebody has it.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It has another version.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn delete(
    State(app): State<App>,
    allowed: Allowed<permissions::DeleteRole>,
    key: OptionalKey,
    if_match: IfMatch,
    Path(role_id): Path<RoleId>,
) -> Result<Response, Problem> {
    let request = Request::new("DELETE /v1/roles/{id}", &()).about(role_id).if_match(if_match);
    let key = app.key(&allowed, &key, &request)?;
    let expected = if_match.of(role::stream(role_id));
    let caller = allowed.caller();
    let (by, table) = (granter(caller), permissions::role_table(caller.tenant).clone());
    app.run(&allowed, key, expected, LOCATION, DeleteRole { role_id, by, table }).await
}
