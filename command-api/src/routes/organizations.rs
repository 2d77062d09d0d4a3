//! Organisations: asked for, decided about by the platform, renamed and closed by their owners.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::Decision;
use domain::ids::TenantId;
use domain::metadata::Label;
use domain::organisation::tenant::{
    ApproveTenant, ChangeTier, CloseTenant, ReactivateTenant, RejectTenant, RenameTenant, SuspendTenant,
};
use domain::organisation::{ChangeStanding, Policy, SetPolicy, Slug, TenantStatus, policy};
use domain::private::Private;
use domain::words::{Language, Word};
use event_store::vault::VaultChange;
use serde::{Deserialize, Serialize};
use service_kit::access::{Admitted, Allowed, permissions};
use service_kit::body::{Json, Path};
use service_kit::email::EmailAddress;
use service_kit::problem::{FieldProblem, Problem, ProblemBody, code};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::{Asked, at};
use crate::answer::{Accepted, Across};
use crate::app::App;
use crate::identity::Origin;
use crate::identity::founding::Found;
use crate::keys::{Fingerprinted, IfMatch, OptionalKey};
use crate::passwords::Password;
use crate::schema::{LabelText, LanguageText, PolicyBody, ReasonText, WordText};

const LOCATION: &str = "/v1/platform/organizations";
const OWN: &str = "/v1/organization";
/// Characters of a reason at most.
pub(crate) const REASON_CHARS_MAX: usize = 500;

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
    /// The language in which they are written to, as a tag (RFC 5646).
    #[serde(default)]
    #[schema(value_type = Option<LanguageText>, example = "de-AT")]
    language: Option<Language>,
}

/// All of them, with their descriptions.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(ask))
        .routes(routes!(confirm))
        .routes(routes!(approve))
        .routes(routes!(reject))
        .routes(routes!(suspend))
        .routes(routes!(activate))
        .routes(routes!(set_tier))
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
    request_body(content = ConfirmBody, example = json!({ "token": "qm_..." })),
    responses(
        (status = 201, description = "It waits for approval.", body = Founded),
        (status = 404, description = "The link is not good.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The slug was taken meanwhile; the link is still good.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn confirm(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<ConfirmBody>,
) -> Result<Response, Problem> {
    let founded = app.identity.found(&body.token, body.slug, &origin).await?;
    let position = founded.position.to_string();
    let answer = Founded {
        id: founded.tenant.uuid(),
        owner_id: founded.owner.uuid(),
        status: "pending",
        position: position.clone(),
    };
    Ok(at((StatusCode::CREATED, Json(answer)).into_response(), &position))
}

/// Why something was decided.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonBody {
    /// In a word.
    #[serde(default)]
    #[schema(value_type = Option<WordText>, example = "unpaid")]
    because: Option<Word>,
    /// In words for the founder; kept sealed with their key.
    #[serde(default)]
    #[schema(value_type = Option<ReasonText>)]
    reason: Option<String>,
}

/// What the platform does with an organisation: in its own log and in the organisation's, together or not at all.
struct Decided<D> {
    organization: TenantId,
    route: &'static str,
    body: ReasonBody,
    command: D,
    stands: (TenantStatus, Word),
    vault: Vec<VaultChange>,
}

impl App {
    async fn decide<D: Decision + 'static>(
        &self,
        by: &impl Admitted,
        key: OptionalKey,
        decided: Decided<D>,
    ) -> Result<Response, Problem> {
        let path = decided.organization.to_string();
        let request = Fingerprinted {
            route: decided.route,
            path: &[&path],
            if_match: IfMatch(None),
            body: &decided.body,
        };
        let key = key.stands_for(&self.master, by.caller(), &request)?;
        let (to, because) = decided.stands;
        let across = Across {
            here: Box::new(decided.command),
            there: decided.organization,
            then: Box::new(ChangeStanding { to, because }),
            vault: decided.vault,
        };
        self.run_across(by, key, LOCATION, across).await
    }

    /// The reason in words, private to the founder.
    async fn reason(&self, organization: TenantId, body: &ReasonBody) -> Result<Option<Private>, Problem> {
        let Some(text) = &body.reason else { return Ok(None) };
        if text.chars().count() > REASON_CHARS_MAX || text.chars().any(char::is_control) {
            let (pointer, code) = ("/reason".to_owned(), code::INVALID_FIELD.code.to_owned());
            let detail = "a reason has at most 500 characters, and none that controls".to_owned();
            return Err(Problem::new(&code::INVALID_FIELD, "").at(FieldProblem { pointer, code, detail }));
        }
        Ok(self
            .identity
            .founder_of(organization)
            .await?
            .map(|founder| Private::new(founder.uuid(), text.clone())))
    }
}

/// Approves an organisation
///
/// It may work from now on. Whoever asked for it cannot. Permission: `platform.approve-organisation`.
#[utoipa::path(
    post, path = "/v1/platform/organizations/{id}/approve", tag = "platform", operation_id = "approveOrganization",
    params(("id" = Uuid, Path, description = "The organisation"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "It may work.", body = Accepted),
        (status = 404, description = "There is no such organisation.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It does not wait for approval.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn approve(
    State(app): State<App>,
    allowed: Allowed<permissions::ApproveOrganisation>,
    key: OptionalKey,
    Path(organization): Path<TenantId>,
) -> Result<Response, Problem> {
    let caller = allowed.caller();
    let is = app.identity.same_person_in(organization, caller).await?;
    let decided = Decided {
        organization,
        route: "POST /v1/platform/organizations/{id}/approve",
        body: ReasonBody::default(),
        command: ApproveTenant { tenant_id: organization, by: caller.actor, is },
        stands: (TenantStatus::Active, Word::of("approved")),
        vault: vec![],
    };
    app.decide(&allowed, key, decided).await
}

/// Rejects an organisation
///
/// For good. Permission: `platform.approve-organisation`.
#[utoipa::path(
    post, path = "/v1/platform/organizations/{id}/reject", tag = "platform", operation_id = "rejectOrganization",
    params(("id" = Uuid, Path, description = "The organisation"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = ReasonBody, example = json!({ "reason": "nobody answered our letters" })),
    responses(
        (status = 200, description = "It will not work.", body = Accepted),
        (status = 404, description = "There is no such organisation.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It does not wait for approval.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn reject(
    State(app): State<App>,
    allowed: Allowed<permissions::ApproveOrganisation>,
    key: OptionalKey,
    Path(organization): Path<TenantId>,
    Json(body): Json<ReasonBody>,
) -> Result<Response, Problem> {
    let reason = app.reason(organization, &body).await?;
    let by = allowed.caller().actor;
    let decided = Decided {
        organization,
        route: "POST /v1/platform/organizations/{id}/reject",
        body,
        command: RejectTenant { tenant_id: organization, by, reason },
        stands: (TenantStatus::Rejected, Word::of("rejected")),
        vault: vec![VaultChange::CloseTenant { tenant: organization }],
    };
    app.decide(&allowed, key, decided).await
}

/// Suspends an organisation
///
/// Its people are out at once: no session, no refresh, no command, until it is activated again. Permission:
/// `platform.suspend-organisation`, shortly after the session was proven anew.
#[utoipa::path(
    post, path = "/v1/platform/organizations/{id}/suspend", tag = "platform", operation_id = "suspendOrganization",
    params(("id" = Uuid, Path, description = "The organisation"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = ReasonBody, example = json!({ "because": "unpaid" })),
    responses(
        (status = 200, description = "It does not work.", body = Accepted),
        (status = 404, description = "There is no such organisation.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is not active.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn suspend(
    State(app): State<App>,
    allowed: Allowed<permissions::SuspendOrganisation>,
    key: OptionalKey,
    Path(organization): Path<TenantId>,
    Json(body): Json<ReasonBody>,
) -> Result<Response, Problem> {
    let reason = app.reason(organization, &body).await?;
    let because = body.because.clone().unwrap_or(Word::of("suspended"));
    let by = allowed.caller().actor;
    let decided = Decided {
        organization,
        route: "POST /v1/platform/organizations/{id}/suspend",
        body,
        command: SuspendTenant { tenant_id: organization, by, because: because.clone(), reason },
        stands: (TenantStatus::Suspended, because),
        vault: vec![VaultChange::CloseTenant { tenant: organization }],
    };
    app.decide(&allowed, key, decided).await
}

/// Activates an organisation that was suspended
///
/// Its people sign in again: refresh tokens from before stay dead. Permission: `platform.suspend-organisation`, shortly after the
/// session was proven anew.
#[utoipa::path(
    post, path = "/v1/platform/organizations/{id}/activate", tag = "platform", operation_id = "activateOrganization",
    params(("id" = Uuid, Path, description = "The organisation"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "It works.", body = Accepted),
        (status = 404, description = "There is no such organisation.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is not suspended.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn activate(
    State(app): State<App>,
    allowed: Allowed<permissions::SuspendOrganisation>,
    key: OptionalKey,
    Path(organization): Path<TenantId>,
) -> Result<Response, Problem> {
    let by = allowed.caller().actor;
    let decided = Decided {
        organization,
        route: "POST /v1/platform/organizations/{id}/activate",
        body: ReasonBody::default(),
        command: ReactivateTenant { tenant_id: organization, by },
        stands: (TenantStatus::Active, Word::of("reactivated")),
        vault: vec![VaultChange::ReopenTenant { tenant: organization }],
    };
    app.decide(&allowed, key, decided).await
}

/// What an organisation has booked.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TierBody {
    /// In a word.
    #[schema(value_type = WordText, example = "standard")]
    tier: Word,
}

/// Changes what an organisation has booked
///
/// Permission: `platform.set-tier`.
#[utoipa::path(
    patch, path = "/v1/platform/organizations/{id}/tier", tag = "platform", operation_id = "setTier",
    params(("id" = Uuid, Path, description = "The organisation"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = TierBody, example = json!({ "tier": "standard" })),
    responses(
        (status = 200, description = "It has booked this.", body = Accepted),
        (status = 404, description = "There is no such organisation.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is no more.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn set_tier(
    State(app): State<App>,
    allowed: Allowed<permissions::SetTier>,
    key: OptionalKey,
    Path(organization): Path<TenantId>,
    Json(body): Json<TierBody>,
) -> Result<Response, Problem> {
    let path = organization.to_string();
    let request = Fingerprinted {
        route: "PATCH /v1/platform/organizations/{id}/tier",
        path: &[&path],
        if_match: IfMatch(None),
        body: &body,
    };
    let key = key.stands_for(&app.master, allowed.caller(), &request)?;
    let by = allowed.caller().actor;
    let command = ChangeTier { tenant_id: organization, tier: body.tier, by };
    app.run(&allowed, key, None, LOCATION, command).await
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
/// Permission: `organisation.update-organisation`.
#[utoipa::path(
    patch, path = "/v1/organization", tag = "organizations", operation_id = "renameOrganization",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = RenameBody, example = json!({ "name": "Acme & Sons" })),
    responses(
        (status = 200, description = "It is called so.", body = Accepted),
        (status = 404, description = "The platform itself has no name.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn rename(
    State(app): State<App>,
    allowed: Allowed<permissions::UpdateOrganisation>,
    key: OptionalKey,
    Json(body): Json<RenameBody>,
) -> Result<Response, Problem> {
    let request =
        Fingerprinted { route: "PATCH /v1/organization", path: &[], if_match: IfMatch(None), body: &body };
    let key = key.stands_for(&app.master, allowed.caller(), &request)?;
    let command = RenameTenant { tenant_id: allowed.caller().tenant, name: body.name };
    app.run_on_platform(&allowed, key, OWN, command, None).await
}

/// Closes the organisation
///
/// For ever; its people are out at once, its history stays. Permission: `organisation.close-organisation`, shortly after the
/// session was proven anew.
#[utoipa::path(
    post, path = "/v1/organization/close", tag = "organizations", operation_id = "closeOrganization",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "It is closed.", body = Accepted),
        (status = 404, description = "The platform itself cannot be closed.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It was rejected.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn close(
    State(app): State<App>,
    allowed: Allowed<permissions::CloseOrganisation>,
    key: OptionalKey,
) -> Result<Response, Problem> {
    let request =
        Fingerprinted { route: "POST /v1/organization/close", path: &[], if_match: IfMatch(None), body: &() };
    let key = key.stands_for(&app.master, allowed.caller(), &request)?;
    let caller = allowed.caller();
    let because = Word::of("asked");
    let command = CloseTenant { tenant_id: caller.tenant, by: caller.actor, because: because.clone() };
    let own = ChangeStanding { to: TenantStatus::Closed, because };
    let vault = VaultChange::CloseTenant { tenant: caller.tenant };
    app.run_on_platform(&allowed, key, OWN, command, Some((Box::new(own), vault))).await
}

/// Changes the settings and policies of the organisation
///
/// The body is all of them. Permission: `organisation.set-policy`, shortly after the session was proven anew.
#[utoipa::path(
    put, path = "/v1/organization/policy", tag = "organizations", operation_id = "setPolicy",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat"),
           ("If-Match" = Option<String>, Header, description = "The version that it must have")),
    request_body(content = PolicyBody, description = "As `GET /v1/organization/policy` shows it.", example = json!({
        "registration": "explicit",
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
    let request = Fingerprinted { route: "PUT /v1/organization/policy", path: &[], if_match, body: &body };
    let key = key.stands_for(&app.master, allowed.caller(), &request)?;
    let expected = if_match.0.map(|version| (policy::stream(allowed.caller().tenant), version));
    app.run(&allowed, key, expected, OWN, SetPolicy { policy: body }).await
}
