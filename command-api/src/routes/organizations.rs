//! Organisations: asked for, and renamed, closed and given policies by their owners. What the platform decides about them
//! stands in `platform.rs`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::Refusal;
use domain::metadata::Label;
use domain::organisation::tenant::{CloseTenant, RenameTenant};
use domain::organisation::{
    ChangeStanding, OrganisationError, Policy, RenameOrganisation, SetPolicy, Slug, TenantStatus, policy,
    profile,
};
use domain::words::{Language, Word};
use event_store::vault::{Ruling, VaultChange};
use serde::{Deserialize, Serialize};
use service_kit::access::{Allowed, permissions};
use service_kit::body::Json;
use service_kit::email::EmailAddress;
use service_kit::problem::{Problem, ProblemBody, code};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::{Asked, refused_field};
use crate::answer::{Accepted, Together, at};
use crate::app::App;
use crate::identity::Origin;
use crate::identity::founding::Found;
use crate::keys::{IfMatch, OptionalKey, Request};
use crate::passwords::Password;
use crate::schema::{LabelText, LanguageText, PolicyBody};

const LOCATION: &str = "/v1/organization";

/// Somebody wants an organisation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FoundBody {
    /// Its name in addresses.
    #[schema(value_type = String, pattern = "^[a-z0-9](-?[a-z0-9])*$", min_length = 3, max_length = 40, example = "acme")]
    slug: Slug,
    /// Its name for people.
    #[schema(value_type = LabelText, example = "Acme Ltd")]
    name: Label,
    /// Who will own it.
    owner: OwnerBody,
}

/// The first owner of an organisation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnerBody {
    /// Where they are written to.
    #[schema(value_type = String, format = "email", max_length = 254)]
    email: EmailAddress,
    /// What will prove that it is them.
    #[schema(value_type = String, format = "password", max_length = 128)]
    password: Password,
    /// What they are called by friends.
    #[serde(default)]
    #[schema(value_type = Option<LabelText>)]
    given_name: Option<Label>,
    /// What they are called by the family.
    #[serde(default)]
    #[schema(value_type = Option<LabelText>)]
    family_name: Option<Label>,
    /// The language in which they are written to, as a tag (RFC 5646). Any is taken: letters and pages are in German for `de`
    /// and its kin, else in English.
    #[serde(default)]
    #[schema(value_type = Option<LanguageText>, example = "de-AT")]
    language: Option<Language>,
}

/// All of them, with their descriptions.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(ask))
        .routes(routes!(confirm))
        .routes(routes!(rename))
        .routes(routes!(close))
        .routes(routes!(set_policy))
}

/// Asks for an organisation
///
/// The rest comes by mail: nothing is kept or taken until the link is used. Open to everybody.
#[utoipa::path(
    post, path = "/v1/organizations", tag = "organizations", operation_id = "askForOrganization", security(()),
    request_body(content = FoundBody, example = json!({
        "slug": "acme", "name": "Acme Ltd", "owner": {
            "email": "ann@example.com", "password": "jade-umpire-quartz-lagoon", "given_name": "Ann"
        }
    })),
    responses(
        (status = 202, description = "The link is on its way.", body = Asked),
        (status = 409, description = "The slug is taken.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The slug is reserved, or the password is too weak.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn ask(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<FoundBody>,
) -> Result<Response, Problem> {
    let OwnerBody { email, password, given_name, family_name, language } = body.owner;
    let asked =
        Found { slug: body.slug, name: body.name, email, password, given_name, family_name, language };
    app.identity.ask_to_found(asked, &origin).await?;
    Ok((StatusCode::ACCEPTED, Json(Asked {})).into_response())
}

/// The link of the letter.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmBody {
    /// The secret of the link.
    token: String,
    /// Another name in addresses, if the one that was asked for was taken meanwhile.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^[a-z0-9](-?[a-z0-9])*$", min_length = 3, max_length = 40)]
    slug: Option<Slug>,
    /// The password that was chosen for the owner, which shows that whoever follows the link is who asked for the organisation.
    /// Our own page asks for it; whoever shows a page of their own should, too.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "password", max_length = 128)]
    password: Option<Password>,
}

/// An organisation that waits for the platform's approval.
#[derive(Serialize, ToSchema)]
pub struct Founded {
    /// The organisation.
    id: Uuid,
    /// Its owner, who can sign in.
    owner_id: Uuid,
    /// How it stands.
    #[schema(example = "pending")]
    status: &'static str,
    /// Up to here the log holds what this answer says.
    #[schema(example = "1-4711")]
    position: String,
}

/// Founds an organisation by the link of a letter
///
/// It waits for the platform's approval; its owner can sign in. Open to whoever has the link.
#[utoipa::path(
    post, path = "/v1/organizations/confirm", tag = "organizations", operation_id = "confirmOrganization", security(()),
    request_body(content = ConfirmBody, example = json!({ "token": "qm_...", "password": "jade-umpire-quartz-lagoon" })),
    responses(
        (status = 201, description = "It waits for approval.", body = Founded),
        (status = 401, description = "It is not that password; the link is still good.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The link is not good.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The slug was taken meanwhile; the link is still good.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn confirm(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<ConfirmBody>,
) -> Result<Response, Problem> {
    let founded = app.identity.found(&body.token, body.slug, body.password.as_ref(), &origin).await?;
    let position = founded.position.to_string();
    let answer = Founded {
        id: founded.tenant.uuid(),
        owner_id: founded.owner.uuid(),
        status: "pending",
        position: position.clone(),
    };
    Ok(at((StatusCode::CREATED, Json(answer)).into_response(), &position))
}

/// What an organisation is called from now on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameBody {
    /// Its name for people.
    #[schema(value_type = LabelText, example = "Acme Ltd")]
    name: Label,
}

/// Renames the organisation
///
/// Its own log tells who did it, from which name to which. `version` counts the changes of the name: the first one makes it 1.
/// Permission: `organisation.update-organisation`.
#[utoipa::path(
    patch, path = "/v1/organization", tag = "organizations", operation_id = "renameOrganization",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat"),
           ("If-Match" = Option<String>, Header, description = "The version that its name must have; 0 while it was never renamed")),
    request_body(content = RenameBody, example = json!({ "name": "Acme & Sons" })),
    responses(
        (status = 200, description = "It is called so.", body = Accepted),
        (status = 404, description = "The platform itself has no name.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It may not work.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "Its name has another version.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn rename(
    State(app): State<App>,
    allowed: Allowed<permissions::UpdateOrganisation>,
    key: OptionalKey,
    if_match: IfMatch,
    Json(body): Json<RenameBody>,
) -> Result<Response, Problem> {
    let request = Request::new("PATCH /v1/organization", &body).if_match(if_match);
    let key = app.key(&allowed, &key, &request)?;
    let tenant = allowed.caller().tenant;
    let called = app.identity.organisation_called(tenant).await?;
    let called = called.ok_or_else(|| Refusal::from(OrganisationError::TenantNotFound))?;
    let before = Label::parse(&called.name).map_err(|error| Problem::fault(&error))?;
    let own = RenameOrganisation { before, name: body.name.clone() };
    let command = RenameTenant { tenant_id: tenant, name: body.name };
    let expected = if_match.of(profile::stream(tenant));
    app.run_on_platform(&allowed, key, expected, LOCATION, command, Together::one(own, [])).await
}

/// What is to be closed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseBody {
    /// The name of the organisation in addresses, once more, so that nobody closes one by mistake.
    #[schema(value_type = String, pattern = "^[a-z0-9](-?[a-z0-9])*$", min_length = 3, max_length = 40, example = "acme")]
    slug: Slug,
}

/// Closes the organisation
///
/// For ever. Its people are out at once and can read nothing of it any more, its owners neither: export first what is needed.
/// Its history stays, for its proofs and for the platform. Its owners are told by mail. Permission:
/// `organisation.close-organisation`, shortly after the session was proven anew.
#[utoipa::path(
    post, path = "/v1/organization/close", tag = "organizations", operation_id = "closeOrganization",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = CloseBody, example = json!({ "slug": "acme" })),
    responses(
        (status = 200, description = "It is closed.", body = Accepted),
        (status = 400, description = "The slug is not this organisation's.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The platform itself cannot be closed.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It was rejected.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The slug is another one.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn close(
    State(app): State<App>,
    allowed: Allowed<permissions::CloseOrganisation>,
    key: OptionalKey,
    Json(body): Json<CloseBody>,
) -> Result<Response, Problem> {
    let key = app.key(&allowed, &key, &Request::new("POST /v1/organization/close", &body))?;
    let caller = allowed.caller();
    let called = app.identity.organisation_called(caller.tenant).await?;
    // Those of before there were dossiers have no name that could be repeated; the command says so.
    if called.is_some_and(|it| it.slug != body.slug.as_str()) {
        return Err(refused_field(&code::CLOSE_UNCONFIRMED, "/slug", String::new()));
    }
    let because = Word::of("asked");
    let command = CloseTenant { tenant_id: caller.tenant, by: caller.actor, because: because.clone() };
    let own = ChangeStanding { to: TenantStatus::Closed, because };
    let mut vault = vec![VaultChange::CloseTenant { tenant: caller.tenant }];
    vault.extend(app.identity.tells_ruling(caller.tenant, Ruling::Closed, None).await?);
    app.run_on_platform(&allowed, key, None, LOCATION, command, Together::one(own, vault)).await
}

/// Changes the settings and policies of the organisation
///
/// The body is all of them. `language` may be any tag: letters and pages are in German for `de` and its kin, else in English.
/// Permission: `organisation.set-policy`, shortly after the session was proven anew.
#[utoipa::path(
    put, path = "/v1/organization/policy", tag = "organizations", operation_id = "setPolicy",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat"),
           ("If-Match" = Option<String>, Header, description = "The version that it must have")),
    request_body(content = PolicyBody, description = "As `GET /v1/organization/policy` shows it.", example = json!({
        "registration": "private",
        "password": { "length_min": 15, "score_min": 3, "composition": false },
        "sessions": { "access_s": 3600, "idle_s": 2592000, "absolute_s": 2592000, "grace_s": 0, "live_max": 100 },
        "second_factor": "optional",
        "domains": [],
        "lockout": { "failures": 5, "window_s": 1800, "lock_s": 1800 },
        "language": "en",
        "sign_in_unverified": false
    })),
    responses(
        (status = 200, description = "It holds from now on.", body = Accepted),
        (status = 412, description = "It has another version.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A value is out of its range.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn set_policy(
    State(app): State<App>,
    allowed: Allowed<permissions::SetPolicy>,
    key: OptionalKey,
    if_match: IfMatch,
    Json(body): Json<Policy>,
) -> Result<Response, Problem> {
    let request = Request::new("PUT /v1/organization/policy", &body).if_match(if_match);
    let key = app.key(&allowed, &key, &request)?;
    let expected = if_match.of(policy::stream(allowed.caller().tenant));
    app.run(&allowed, key, expected, LOCATION, SetPolicy { policy: body }).await
}
