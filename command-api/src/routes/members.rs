//! Members of the organisation: their roles, their removal, the ownership.

use axum::extract::State;
use axum::response::Response;
use domain::followed::Followed;
use domain::identity::EndSessions;
use domain::ids::UserId;
use domain::leaving::Leaving;
use domain::organisation::{AssignRoles, RemoveMember, RoleRef, TransferOwnership, membership};
use domain::unproven::ToProven;
use domain::words::Word;
use event_store::vault::VaultChange;
use serde::{Deserialize, Serialize};
use service_kit::access::{Allowed, permissions};
use service_kit::body::{Json, Path};
use service_kit::problem::{Problem, ProblemBody};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::answer::{Accepted, Together};
use crate::app::App;
use crate::keys::{IfMatch, OptionalKey, Request};
use crate::schema::RoleText;
use crate::standing::granter;

const LOCATION: &str = "/v1/members";
const REMOVED: Word = Word::of("removed");
const MEMBER_REMOVED: Word = Word::of("member-removed");

/// Which roles a member has from now on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolesBody {
    /// Names of built-in roles, or identifiers of the organisation's own; at least one.
    #[schema(value_type = Vec<RoleText>, min_items = 1, max_items = 20, example = json!(["manager"]))]
    roles: Vec<RoleRef>,
}

/// Gives a member other roles
///
/// They take effect at once, in every process. Nobody grants or takes away what they do not hold themselves; the last
/// owner stays. Permission: `organisation.assign-roles`.
#[utoipa::path(
    put, path = "/v1/members/{id}/roles", tag = "members", operation_id = "assignRoles",
    params(("id" = Uuid, Path, description = "The member"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat"),
           ("If-Match" = Option<String>, Header, description = "The version that the membership must have")),
    request_body(content = RolesBody, example = json!({ "roles": ["manager"] })),
    responses(
        (status = 200, description = "They have these roles.", body = Accepted),
        (status = 404, description = "They are no member.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "They are the last owner, or registered by themselves and have not shown that their address is theirs.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "The membership has another version.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A role does not exist.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn assign_roles(
    State(app): State<App>,
    allowed: Allowed<permissions::AssignRoles>,
    key: OptionalKey,
    if_match: IfMatch,
    Path(user_id): Path<UserId>,
    Json(body): Json<RolesBody>,
) -> Result<Response, Problem> {
    let request = Request::new("PUT /v1/members/{id}/roles", &body).about(user_id).if_match(if_match);
    let key = app.key(&allowed, &key, &request)?;
    let expected = if_match.of(membership::stream(user_id));
    let caller = allowed.caller();
    let table = permissions::role_table(caller.tenant).clone();
    let keeps_ownership = body.roles.contains(&RoleRef::OWNER);
    let roles = body.roles.clone();
    let command = AssignRoles { user_id, roles: body.roles, by: granter(caller), table };
    let command = ToProven::new(user_id, roles, Box::new(command));
    if keeps_ownership {
        return app.run(&allowed, key, expected, LOCATION, command).await;
    }
    // An owner who cannot act does not count as one.
    app.run(&allowed, key, expected, LOCATION, Leaving::new(user_id, Box::new(command))).await
}

/// Removes a member
///
/// Their sessions end at once. Permission: `organisation.remove-member`.
#[utoipa::path(
    delete, path = "/v1/members/{id}", tag = "members", operation_id = "removeMember",
    params(("id" = Uuid, Path, description = "The member"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "They are no member any more.", body = Accepted),
        (status = 404, description = "They are no member.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "They are the last owner.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn remove(
    State(app): State<App>,
    allowed: Allowed<permissions::RemoveMember>,
    key: OptionalKey,
    Path(user_id): Path<UserId>,
) -> Result<Response, Problem> {
    let key = app.key(&allowed, &key, &Request::new("DELETE /v1/members/{id}", &()).about(user_id))?;
    let caller = allowed.caller();
    let (by, table) = (granter(caller), permissions::role_table(caller.tenant).clone());
    let remove = RemoveMember { user_id, because: REMOVED, by, table };
    let end = EndSessions { user_id, except: None, because: MEMBER_REMOVED, by: caller.actor };
    // An owner who cannot act does not count as one.
    let leaving = Followed::new(Leaving::new(user_id, Box::new(remove)), end);
    let revoke = VaultChange::RevokeUser {
        tenant: caller.tenant,
        user: user_id.uuid(),
        except: None,
        because: "member-removed",
    };
    app.run_together(&allowed, key, LOCATION, Together::one(leaving, [revoke])).await
}

/// Who becomes an owner.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnershipBody {
    /// A member.
    to: Uuid,
}

/// Hands the ownership over
///
/// The caller, who must be an owner, becomes an administrator. Permission: `organisation.transfer-ownership`, shortly
/// after the session was proven anew.
#[utoipa::path(
    post, path = "/v1/organization/transfer-ownership", tag = "members", operation_id = "transferOwnership",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = OwnershipBody, example = json!({ "to": "0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e" })),
    responses(
        (status = 200, description = "They are an owner, and the caller is one no more.", body = Accepted),
        (status = 404, description = "They are no member.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "They cannot act: they are deactivated, or their address is not proven.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn transfer_ownership(
    State(app): State<App>,
    allowed: Allowed<permissions::TransferOwnership>,
    key: OptionalKey,
    Json(body): Json<OwnershipBody>,
) -> Result<Response, Problem> {
    let key = app.key(&allowed, &key, &Request::new("POST /v1/organization/transfer-ownership", &body))?;
    let from = UserId::new(allowed.caller().actor.uuid());
    let to = UserId::new(body.to);
    let transfer = Leaving::new(from, Box::new(TransferOwnership { from, to })).followed_by(to);
    app.run(&allowed, key, None, LOCATION, transfer).await
}
