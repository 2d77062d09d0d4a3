//! Keys with which programs act: made, shown once, revoked. They are shown as `Authorization: Bearer qk_...`, wherever an
//! access token is.

use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::Decision;
use domain::application::{IssueApiKey, KeyOwner, RevokeApiKey, api_key};
use domain::gate::Granting;
use domain::ids::{ApiKeyId, ServiceId, UserId};
use domain::metadata::Label;
use domain::organisation::Granted;
use domain::words::Permission;
use event_store::vault::{Digest, KeyHolder, NewApiKey, VaultChange};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use service_kit::access::{Allowed, Caller, permissions};
use service_kit::bearer::{Bearer, Kind};
use service_kit::body::{Json, Path};
use service_kit::problem::{FieldProblem, Problem, ProblemBody, code};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::in_session;
use crate::answer::{Accepted, Together};
use crate::app::App;
use crate::keys::{OptionalKey, Request};
use crate::schema::{LabelText, PermissionText};
use crate::standing::granter;

const LOCATION: &str = "/v1/api-keys";
/// Bytes of a body: two hundred names fit.
const BODY_BYTES_MAX: usize = 32 * 1024;

/// Everything about keys, with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(issue))
        .routes(routes!(revoke))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// A key that somebody wants. For whom it acts is never read from a request but for a service: a person makes their own.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyBody {
    /// Its name for people.
    #[schema(value_type = LabelText, example = "Nightly export")]
    name: Label,
    /// What it allows at most: names of permissions that the caller holds, and none that is used in person. It allows no more
    /// than its owner does when it is used.
    #[schema(value_type = Vec<PermissionText>, min_items = 1, max_items = 200, example = json!(["ledger.read-journal"]))]
    permissions: Vec<Permission>,
    /// Until when it is good; for ever, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<DateTime<Utc>>,
    /// The service of the organisation that it is for; the caller's own, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    service_id: Option<ServiceId>,
}

/// A key was made.
#[derive(Serialize, ToSchema)]
pub struct ApiKeyMade {
    /// Names it.
    id: Uuid,
    /// Its version.
    #[schema(example = 1)]
    version: i64,
    /// Up to here the log holds what this answer says.
    #[schema(example = "1-4711")]
    position: String,
    /// The key itself. It is shown here and never again: a repeated request is answered without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "qk_...")]
    key: Option<String>,
}

/// What is shown once.
#[derive(Serialize)]
struct Shown {
    key: String,
}

fn owner_of(body: &ApiKeyBody, caller: &Caller) -> Result<KeyOwner, Problem> {
    match (body.service_id, caller.session) {
        (Some(service), _) => Ok(KeyOwner::Service(service)),
        (None, Some(_)) => Ok(KeyOwner::User(UserId::new(caller.actor.uuid()))),
        (None, None) => {
            let detail = "the token is no person's: name a service";
            let field = FieldProblem {
                pointer: "/service_id".to_owned(),
                code: code::MISSING_FIELD.code.to_owned(),
                detail: detail.to_owned(),
            };
            Err(Problem::new(&code::MISSING_FIELD, detail).at(field))
        }
    }
}

/// Makes an API key
///
/// It is shown once, in this answer. It acts for the caller, or for a service of the organisation, and allows no more than the
/// caller holds; what its owner loses, it loses. Whoever makes one for themselves has shown a further factor in this session if
/// they have one, and is told by mail. Permission: `application.manage-api-keys`, shortly after the session was proven anew.
#[utoipa::path(
    post, path = "/v1/api-keys", tag = "api-keys", operation_id = "issueApiKey",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = ApiKeyBody, example = json!({
        "name": "Nightly export", "permissions": ["ledger.read-journal"], "expires_at": "2099-01-01T00:00:00Z"
    })),
    responses(
        (status = 201, description = "This is the key.", body = ApiKeyMade, example = json!({
            "id": "0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e", "version": 1, "position": "1-4711", "key": "qk_..."
        })),
        (status = 403, description = "The roles or scopes grant less, or a factor of the caller was not shown.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such service.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The service is suspended.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It would allow nothing, or what no program may do; it has expired already, or there are too many keys.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn issue(
    State(app): State<App>,
    allowed: Allowed<permissions::ManageApiKeys>,
    key: OptionalKey,
    Json(body): Json<ApiKeyBody>,
) -> Result<Response, Problem> {
    let key = app.key(&allowed, &key, &Request::new("POST /v1/api-keys", &body))?;
    let caller = allowed.caller();
    let (tenant, owner) = (caller.tenant, owner_of(&body, caller)?);
    let names = || body.permissions.iter().map(Permission::as_str);
    permissions::must_exist(tenant, "/permissions", names())?;
    permissions::must_be_for_programs("/permissions", names())?;
    let key_id = ApiKeyId::new(Uuid::now_v7());
    let bearer = Bearer::make(Kind::ApiKey, tenant, key_id.uuid())?;
    let holder = match owner {
        KeyOwner::User(id) => KeyHolder::User(id),
        KeyOwner::Service(id) => KeyHolder::Service(id),
    };
    let kept = NewApiKey { tenant, key: key_id, holder, hash: Digest(bearer.hash()) };
    let given = Granted::only(body.permissions.iter().map(ToString::to_string));
    let issue = IssueApiKey {
        key_id,
        owner,
        name: body.name,
        permissions: body.permissions,
        expires_at: body.expires_at,
    };
    let table = permissions::role_table(tenant).clone();
    let command: Box<dyn Decision> = Box::new(Granting::new(granter(caller), table, given, Box::new(issue)));
    let (command, letter) = match (owner, in_session(caller)) {
        (KeyOwner::User(_), Some(who)) => {
            let (gated, letter) = app.identity.own_key(who, command).await?;
            (Box::new(gated) as Box<dyn Decision>, letter)
        }
        _ => (Box::new(caller.making_a_way_in(command)) as Box<dyn Decision>, None),
    };
    let vault = [VaultChange::PutApiKey(kept)].into_iter().chain(letter).collect();
    let together = Together { commands: [command], vault };
    let shown = Shown { key: bearer.text().expose_secret().to_owned() };
    app.run_showing(&allowed, key, api_key::stream(key_id), LOCATION, together, shown).await
}

/// Revokes an API key
///
/// It is refused at once, in every process. Permission: `application.manage-api-keys`, shortly after the session was proven anew.
#[utoipa::path(
    post, path = "/v1/api-keys/{id}/revoke", tag = "api-keys", operation_id = "revokeApiKey",
    params(("id" = Uuid, Path, description = "The key"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "It is good no more.", body = Accepted),
        (status = 404, description = "There is no such key.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn revoke(
    State(app): State<App>,
    allowed: Allowed<permissions::ManageApiKeys>,
    key: OptionalKey,
    Path(key_id): Path<ApiKeyId>,
) -> Result<Response, Problem> {
    let key = app.key(&allowed, &key, &Request::new("POST /v1/api-keys/{id}/revoke", &()).about(key_id))?;
    let caller = allowed.caller();
    let command = RevokeApiKey { key_id, of: None, by: caller.actor };
    let vault = vec![VaultChange::DropApiKey { tenant: caller.tenant, key: key_id }];
    app.run_together(&allowed, key, LOCATION, Together { commands: [Box::new(command)], vault }).await
}
