//! Services of the organisation: programs that let its people sign in, or sign in themselves. Registered, changed, suspended,
//! removed; and their secrets, shown once.

mod limits;

use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::Decision;
use domain::application::{
    AddSecret, ChangeService, RedirectUri, RegisterService, RemoveSecret, RemoveService, ResumeService,
    SuspendService, service,
};
use domain::gate::Granting;
use domain::ids::{SecretId, ServiceId};
use domain::metadata::Label;
use domain::organisation::Granted;
use domain::words::{Scope, Word};
use event_store::vault::{Digest, NewClientSecret, VaultChange};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use service_kit::access::{Allowed, Caller, permissions};
use service_kit::bearer::{Bearer, ClientId, Kind};
use service_kit::body::{Json, Path};
use service_kit::problem::{FieldProblem, Problem, ProblemBody, code};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::answer::{Accepted, Together};
use crate::app::App;
use crate::keys::{IfMatch, OptionalKey, Request};
use crate::oauth::OF_OPENID;
use crate::oauth::grant::GrantType;
use crate::oauth::grants::may_be_lent;
use crate::schema::{LabelText, RedirectText, ScopeText};
use crate::standing::granter;

const LOCATION: &str = "/v1/services";
/// Bytes of a body: twenty addresses fit.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Why a service is suspended, or a secret removed, where nobody says it.
const ASKED: &str = "asked";

/// Everything about services, with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(change, remove))
        .routes(routes!(suspend))
        .routes(routes!(resume))
        .routes(routes!(limits::limit, limits::unlimit))
        .routes(routes!(add_secret))
        .routes(routes!(remove_secret))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// A service that is to be registered.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceBody {
    /// Its name for people, who are asked whether they allow it something; unique in the organisation.
    #[schema(value_type = LabelText, example = "Web shop")]
    name: Label,
    /// Whether it can keep a secret: a program on a server can, one on a telephone or in a browser cannot. It never changes.
    confidential: bool,
    /// Where people may be sent back to, letter by letter: by https, by http to the own machine, or of a private scheme with a dot.
    /// For `http://127.0.0.1` and `http://[::1]` any port is taken, so that a program can use one that is free; `localhost` keeps
    /// its port. Scripts on pages of these origins can read the answers of `/oauth2/token`, `/oauth2/revoke` and
    /// `/oauth2/userinfo`.
    #[serde(default)]
    #[schema(value_type = Vec<RedirectText>, max_items = 20, example = json!(["https://shop.example.com/signed-in"]))]
    redirect_uris: Vec<RedirectUri>,
    /// How it comes by tokens.
    #[schema(min_items = 1, max_items = 4, example = json!(["authorization_code", "refresh_token"]))]
    grants: Vec<GrantType>,
    /// What it may ask for: `openid`, `profile`, `email`, `phone`, `organization`, `offline_access`, which the grant
    /// `refresh_token` brings along; names of permissions that the caller holds, to read and to keep the books; and names with
    /// a colon, which mean something to others.
    #[serde(default)]
    #[schema(value_type = Vec<ScopeText>, max_items = 100, example = json!(["openid", "email", "ledger.read-accounts"]))]
    scopes: Vec<Scope>,
}

/// What of a service is to be another. What is left out stays.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceChange {
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<LabelText>, example = "Web shop")]
    name: Option<Label>,
    /// All addresses to which people may be sent back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<RedirectText>>, max_items = 20, example = json!(["https://shop.example.com/signed-in"]))]
    redirect_uris: Option<Vec<RedirectUri>>,
    /// All the ways in which it comes by tokens. What it came by in another way is refused everywhere within a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 4, example = json!(["authorization_code", "refresh_token"]))]
    grants: Option<Vec<GrantType>>,
    /// All that it may ask for, as at its registration. What is left out is taken from every token that it has, within a second,
    /// and people who are sent to sign in are not asked for it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<ScopeText>>, max_items = 100, example = json!(["openid", "email", "ledger.read-accounts"]))]
    scopes: Option<Vec<Scope>>,
}

/// A secret that a service is to have.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretBody {
    /// Until when it is good; for ever, if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "2099-01-01T00:00:00Z")]
    expires_at: Option<DateTime<Utc>>,
}

/// A service was registered.
#[derive(Serialize, ToSchema)]
pub struct ServiceMade {
    /// Names it.
    id: Uuid,
    /// Its version.
    #[schema(example = 1)]
    version: i64,
    /// Up to here the log holds what this answer says.
    #[schema(example = "1-4711")]
    position: String,
    /// The same name, as OAuth takes it. It is no secret. A repeated request is answered without it: the list has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "qa_...")]
    client_id: Option<String>,
}

/// A service has one more secret.
#[derive(Serialize, ToSchema)]
pub struct SecretMade {
    /// The service.
    id: Uuid,
    /// Its version.
    #[schema(example = 2)]
    version: i64,
    /// Up to here the log holds what this answer says.
    #[schema(example = "1-4712")]
    position: String,
    /// Names the secret. A repeated request is answered without it: the service's description has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_id: Option<Uuid>,
    /// The secret itself. It is shown here and never again: a repeated request is answered without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "qs_...")]
    secret: Option<String>,
}

/// What is told of a service that was just made.
#[derive(Serialize)]
struct Named {
    client_id: String,
}

/// What is shown once.
#[derive(Serialize)]
struct Shown {
    secret_id: Uuid,
    secret: String,
}

fn field(pointer: String, told: &'static str) -> Problem {
    let code = code::INVALID_FIELD.code.to_owned();
    Problem::new(&code::INVALID_FIELD, told).at(FieldProblem { pointer, code, detail: told.to_owned() })
}

/// Refuses scopes that no service can have, and says which permissions it would be lent.
fn lent(scopes: &[Scope]) -> Result<Granted, Problem> {
    let of_others = |it: &Scope| OF_OPENID.contains(&it.as_str()) || it.as_str().contains(':');
    let known = |it: &Scope| of_others(it) || may_be_lent(it.as_str());
    if let Some(place) = scopes.iter().position(|it| !known(it)) {
        let told =
            "it is neither of OpenID Connect, nor a permission that services are lent, nor has it a colon";
        return Err(field(format!("/scopes/{place}"), told));
    }
    Ok(Granted::only(scopes.iter().filter(|it| !of_others(it)).map(ToString::to_string)))
}

/// As the log names them.
fn words(grants: &[GrantType]) -> Vec<Word> {
    grants.iter().map(|it| it.word()).collect()
}

/// Registers a service
///
/// People of the organisation can sign in to it, or it signs in itself. It may be lent no permission that the caller does not
/// hold. Permission: `application.manage-services`.
#[utoipa::path(
    post, path = "/v1/services", tag = "services", operation_id = "registerService",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = ServiceBody, example = json!({
        "name": "Web shop", "confidential": true, "redirect_uris": ["https://shop.example.com/signed-in"],
        "grants": ["authorization_code", "refresh_token"], "scopes": ["openid", "email", "ledger.read-accounts"]
    })),
    responses(
        (status = 201, description = "It is registered.", body = ServiceMade, example = json!({
            "id": "0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e", "version": 1, "position": "1-4711", "client_id": "qa_..."
        })),
        (status = 409, description = "The name is taken.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It could do nothing, needs an address, or there are too many.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn register(
    State(app): State<App>,
    allowed: Allowed<permissions::ManageServices>,
    key: OptionalKey,
    Json(body): Json<ServiceBody>,
) -> Result<Response, Problem> {
    let key = app.key(&allowed, &key, &Request::new("POST /v1/services", &body))?;
    let lent = lent(&body.scopes)?;
    let caller = allowed.caller();
    let (tenant, service_id) = (caller.tenant, ServiceId::new(Uuid::now_v7()));
    let register = RegisterService {
        service_id,
        name: body.name,
        confidential: body.confidential,
        redirect_uris: body.redirect_uris,
        grants: words(&body.grants),
        scopes: body.scopes,
        limits: None,
    };
    let table = permissions::role_table(tenant).clone();
    let command = Granting::new(granter(caller), table, lent, Box::new(register));
    let together = Together { commands: [Box::new(command)], vault: vec![] };
    let named = Named { client_id: ClientId { tenant, service: service_id }.to_string() };
    app.run_showing(&allowed, key, service::stream(service_id), LOCATION, together, named).await
}

/// Changes a service
///
/// Its name, the addresses to which people may be sent back, how it comes by tokens, what it may ask for: all that is named, or
/// nothing. By other addresses or grants somebody could be the service, so the caller must hold what it may do; other scopes lend
/// it no permission that the caller does not hold. What a grant or scope was good for ends with it; what people allowed is theirs
/// to take back, and means something again if it is registered again. Permission: `application.manage-services`.
#[utoipa::path(
    patch, path = "/v1/services/{id}", tag = "services", operation_id = "changeService",
    params(("id" = Uuid, Path, description = "The service"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat"),
           ("If-Match" = Option<String>, Header, description = "The version that the service must have")),
    request_body(content = ServiceChange, example = json!({ "redirect_uris": ["https://shop.example.com/signed-in"] })),
    responses(
        (status = 200, description = "It is so.", body = Accepted),
        (status = 404, description = "There is no such service.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "It has another version.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It could do nothing, needs an address, can keep no secret, or these are too many.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    State(app): State<App>,
    allowed: Allowed<permissions::ManageServices>,
    key: OptionalKey,
    if_match: IfMatch,
    Path(service_id): Path<ServiceId>,
    Json(body): Json<ServiceChange>,
) -> Result<Response, Problem> {
    let request = Request::new("PATCH /v1/services/{id}", &body).about(service_id).if_match(if_match);
    let key = app.key(&allowed, &key, &request)?;
    let expected = if_match.of(service::stream(service_id));
    let command = changing(allowed.caller(), service_id, body)?;
    let together = Together { commands: [command], vault: vec![] };
    app.run_expecting(&allowed, key, expected, LOCATION, together).await
}

/// The change of a service, on the word of one who holds what it takes.
fn changing(
    caller: &Caller,
    service_id: ServiceId,
    body: ServiceChange,
) -> Result<Box<dyn Decision>, Problem> {
    let ServiceChange { name, redirect_uris, grants, scopes } = body;
    // Where people are sent back to, there their codes go; and by a grant more it could be somebody that it could not be.
    let becomes = redirect_uris.is_some() || grants.is_some();
    if !becomes && name.is_none() && scopes.is_none() {
        return Err(field(String::new(), "name what is to be another"));
    }
    let lent = scopes.as_deref().map(lent).transpose()?;
    let grants = grants.as_deref().map(words);
    let mut command: Box<dyn Decision> =
        Box::new(ChangeService { service_id, name, redirect_uris, grants, scopes });
    if let Some(lent) = lent {
        let table = permissions::role_table(caller.tenant).clone();
        command = Box::new(Granting::new(granter(caller), table, lent, command));
    }
    Ok(if becomes { being(caller, service_id, command) } else { command })
}

/// Suspends a service
///
/// Until it is resumed it is no client of anything: what it was let have is refused everywhere within a second. Permission:
/// `application.manage-services`.
#[utoipa::path(
    post, path = "/v1/services/{id}/suspend", tag = "services", operation_id = "suspendService",
    params(("id" = Uuid, Path, description = "The service"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "It may not work.", body = Accepted),
        (status = 404, description = "There is no such service.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn suspend(
    State(app): State<App>,
    allowed: Allowed<permissions::ManageServices>,
    key: OptionalKey,
    Path(service_id): Path<ServiceId>,
) -> Result<Response, Problem> {
    let command = Box::new(SuspendService { service_id, because: Word::of(ASKED) });
    stands(&app, &allowed, &key, "POST /v1/services/{id}/suspend", service_id, command).await
}

/// Resumes a service
///
/// It may work again, and the caller must hold what it may do. Permission: `application.manage-services`.
#[utoipa::path(
    post, path = "/v1/services/{id}/resume", tag = "services", operation_id = "resumeService",
    params(("id" = Uuid, Path, description = "The service"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "It may work.", body = Accepted),
        (status = 404, description = "There is no such service.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn resume(
    State(app): State<App>,
    allowed: Allowed<permissions::ManageServices>,
    key: OptionalKey,
    Path(service_id): Path<ServiceId>,
) -> Result<Response, Problem> {
    let route = "POST /v1/services/{id}/resume";
    let command = Box::new(ResumeService { service_id });
    let command = being(allowed.caller(), service_id, command);
    stands(&app, &allowed, &key, route, service_id, command).await
}

/// A command after which somebody could be that service: for whoever holds all that it may do.
fn being(caller: &Caller, service_id: ServiceId, command: Box<dyn Decision>) -> Box<dyn Decision> {
    let table = permissions::role_table(caller.tenant).clone();
    Box::new(Granting::being(granter(caller), table, service_id, command))
}

/// A command without a body about a service.
async fn stands(
    app: &App,
    allowed: &Allowed<permissions::ManageServices>,
    key: &OptionalKey,
    route: &'static str,
    service_id: ServiceId,
    command: Box<dyn Decision>,
) -> Result<Response, Problem> {
    let key = app.key(allowed, key, &Request::new(route, &()).about(service_id))?;
    app.run_together(allowed, key, LOCATION, Together { commands: [command], vault: vec![] }).await
}

/// Removes a service
///
/// For ever, with its secrets; whatever it was let have is refused everywhere within a second. Its name is free again.
/// Permission: `application.manage-services`.
#[utoipa::path(
    delete, path = "/v1/services/{id}", tag = "services", operation_id = "removeService",
    params(("id" = Uuid, Path, description = "The service"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "It is gone.", body = Accepted),
        (status = 404, description = "There is no such service.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn remove(
    State(app): State<App>,
    allowed: Allowed<permissions::ManageServices>,
    key: OptionalKey,
    Path(service_id): Path<ServiceId>,
) -> Result<Response, Problem> {
    let request = Request::new("DELETE /v1/services/{id}", &()).about(service_id);
    let key = app.key(&allowed, &key, &request)?;
    let vault = vec![VaultChange::DropService { tenant: allowed.caller().tenant, service: service_id }];
    let together = Together { commands: [Box::new(RemoveService { service_id })], vault };
    app.run_together(&allowed, key, LOCATION, together).await
}

/// Gives a service a secret
///
/// It is shown once, in this answer. Two are good at once at most: the one in use, and the one that takes its place. Whoever has
/// it can be the service, so the caller must hold what that may do. Permission: `application.manage-services`.
#[utoipa::path(
    post, path = "/v1/services/{id}/secrets", tag = "services", operation_id = "addServiceSecret",
    params(("id" = Uuid, Path, description = "The service"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = SecretBody, example = json!({ "expires_at": "2099-01-01T00:00:00Z" })),
    responses(
        (status = 200, description = "This is the secret.", body = SecretMade, example = json!({
            "id": "0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e", "version": 2, "position": "1-4712",
            "secret_id": "0198c5a2-9c0d-7b1a-8e2f-3a4b5c6d7e8f", "secret": "qs_..."
        })),
        (status = 404, description = "There is no such service.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It can keep no secret, or has two that are good.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn add_secret(
    State(app): State<App>,
    allowed: Allowed<permissions::ManageServices>,
    key: OptionalKey,
    Path(service_id): Path<ServiceId>,
    Json(body): Json<SecretBody>,
) -> Result<Response, Problem> {
    let request = Request::new("POST /v1/services/{id}/secrets", &body).about(service_id);
    let key = app.key(&allowed, &key, &request)?;
    let (tenant, secret_id) = (allowed.caller().tenant, SecretId::new(Uuid::now_v7()));
    if body.expires_at.is_some_and(|it| it <= Utc::now()) {
        return Err(field("/expires_at".to_owned(), "it would have expired already"));
    }
    let bearer = Bearer::make(Kind::ClientSecret, tenant, secret_id.uuid())?;
    let kept = NewClientSecret {
        tenant,
        service: service_id,
        secret: secret_id,
        hash: Digest(bearer.hash()),
        expires_at: body.expires_at,
    };
    let command = Box::new(AddSecret { service_id, secret_id, expires_at: body.expires_at });
    let command = allowed.caller().making_a_way_in(being(allowed.caller(), service_id, command));
    let vault = vec![VaultChange::PutClientSecret(kept)];
    let together = Together { commands: [Box::new(command) as Box<dyn Decision>], vault };
    let shown = Shown { secret_id: secret_id.uuid(), secret: bearer.text().expose_secret().to_owned() };
    // No stream has the name of the secret; the service's is looked for as ever.
    let minted = service::stream(ServiceId::new(secret_id.uuid()));
    app.run_showing(&allowed, key, minted, LOCATION, together, shown).await
}

/// Takes a secret from a service
///
/// It is good no more, at once, and every token that the service got for it is refused everywhere within a second. Permission: `application.manage-services`.
#[utoipa::path(
    delete, path = "/v1/services/{id}/secrets/{secret_id}", tag = "services", operation_id = "removeServiceSecret",
    params(("id" = Uuid, Path, description = "The service"),
           ("secret_id" = Uuid, Path, description = "The secret"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "It is gone.", body = Accepted),
        (status = 404, description = "There is no such service, or it has no such secret.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn remove_secret(
    State(app): State<App>,
    allowed: Allowed<permissions::ManageServices>,
    key: OptionalKey,
    Path((service_id, secret_id)): Path<(ServiceId, SecretId)>,
) -> Result<Response, Problem> {
    let route = "DELETE /v1/services/{id}/secrets/{secret_id}";
    let key = app.key(&allowed, &key, &Request::new(route, &()).about(service_id).about(secret_id))?;
    let tenant = allowed.caller().tenant;
    let command = RemoveSecret { service_id, secret_id, because: Word::of(ASKED) };
    let vault = vec![VaultChange::DropClientSecret { tenant, service: service_id, secret: secret_id }];
    app.run_together(&allowed, key, LOCATION, Together { commands: [Box::new(command)], vault }).await
}
