//! What the platform decides about organisations: whether they may work, and what they have booked.

use axum::extract::State;
use axum::response::Response;
use domain::Decision;
use domain::ids::TenantId;
use domain::organisation::tenant::{
    ApproveTenant, ChangeTier, ExistingTenant, ReactivateTenant, RejectTenant, SuspendTenant,
};
use domain::organisation::{ChangeStanding, SetAllowance, SetSeats, TenantStatus};
use domain::private::Private;
use domain::words::Word;
use event_store::vault::{Ruling, VaultChange};
use serde::{Deserialize, Serialize};
use service_kit::access::{Admitted, Allowed, permissions};
use service_kit::body::{Json, Path};
use service_kit::problem::{Problem, ProblemBody, code};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{invalid_field, refused_field};
use crate::answer::{Accepted, Across};
use crate::app::App;
use crate::keys::{OptionalKey, Request};
use crate::schema::{ReasonText, WordText};

const LOCATION: &str = "/v1/platform/organizations";
/// Members and open invitations of an organisation at most, whatever it has booked.
const SEATS_MAX: u32 = 1_000_000;
/// Characters of a reason at most.
pub(crate) const REASON_CHARS_MAX: usize = 500;

/// All of them, with their descriptions.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(approve))
        .routes(routes!(reject))
        .routes(routes!(suspend))
        .routes(routes!(activate))
        .routes(routes!(set_tier))
        .routes(routes!(set_seats))
}

/// Why something was decided.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonBody {
    /// In a word.
    #[serde(default)]
    #[schema(value_type = Option<WordText>, example = "unpaid")]
    because: Option<Word>,
    /// In words for the owners, who are told by mail; kept sealed with the founder's key.
    #[serde(default)]
    #[schema(value_type = Option<ReasonText>)]
    reason: Option<String>,
}

/// Why an organisation was rejected.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectionBody {
    /// In words for the founder, who is told by mail; kept sealed with their key.
    #[serde(default)]
    #[schema(value_type = Option<ReasonText>)]
    reason: Option<String>,
}

/// What the platform does with an organisation: in its own log and in the organisation's, together or not at all.
struct Decided<D> {
    organization: TenantId,
    /// Method and template of the route.
    route: &'static str,
    body: ReasonBody,
    /// What happens to its dossier, in the platform's log.
    command: D,
    /// How the organisation stands afterwards, in its own log, and why.
    stands: (TenantStatus, Word),
    /// What its people are told.
    told: Ruling,
    vault: Option<VaultChange>,
}

impl App {
    /// Decides about an organisation.
    async fn decide<D: Decision + 'static>(
        &self,
        by: &impl Admitted,
        key: OptionalKey,
        decided: Decided<D>,
    ) -> Result<Response, Problem> {
        let request = Request::new(decided.route, &decided.body).about(decided.organization);
        let key = self.key(by, &key, &request)?;
        let (to, because) = decided.stands;
        let word = decided.body.because.as_ref().map(Word::as_str);
        let reason = decided.body.reason.as_deref().or(word);
        let letters = self.identity.tells_ruling(decided.organization, decided.told, reason).await?;
        let across = Across {
            here: Box::new(decided.command),
            there: decided.organization,
            then: Box::new(ChangeStanding { to, because }),
            vault: decided.vault.into_iter().chain(letters).collect(),
        };
        self.run_across(by, key, LOCATION, across).await
    }

    /// The reason in words, private to the founder.
    async fn reason(&self, organization: TenantId, body: &ReasonBody) -> Result<Option<Private>, Problem> {
        let Some(text) = &body.reason else { return Ok(None) };
        if text.chars().count() > REASON_CHARS_MAX || text.chars().any(char::is_control) {
            let detail =
                format!("give at most {REASON_CHARS_MAX} characters, none of them a control character");
            return Err(invalid_field("/reason", detail));
        }
        let founder = self.identity.founder_of(organization).await?;
        Ok(founder.map(|it| Private::new(it.uuid(), text.clone())))
    }
}

/// Approves an organisation
///
/// It may work from now on. Whoever asked for it cannot, and is told by mail. Permission: `platform.approve-organisation`.
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
        told: Ruling::Approved,
        vault: None,
    };
    app.decide(&allowed, key, decided).await
}

/// Rejects an organisation
///
/// For good. Whoever asked for it is told by mail, with the reason: they cannot sign in any more. Permission:
/// `platform.approve-organisation`.
#[utoipa::path(
    post, path = "/v1/platform/organizations/{id}/reject", tag = "platform", operation_id = "rejectOrganization",
    params(("id" = Uuid, Path, description = "The organisation"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = RejectionBody, example = json!({ "reason": "nobody answered our letters" })),
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
    Json(body): Json<RejectionBody>,
) -> Result<Response, Problem> {
    let body = ReasonBody { because: None, reason: body.reason };
    let reason = app.reason(organization, &body).await?;
    let by = allowed.caller().actor;
    let decided = Decided {
        organization,
        route: "POST /v1/platform/organizations/{id}/reject",
        body,
        command: RejectTenant { tenant_id: organization, by, reason },
        stands: (TenantStatus::Rejected, Word::of("rejected")),
        told: Ruling::Rejected,
        vault: Some(VaultChange::CloseTenant { tenant: organization }),
    };
    app.decide(&allowed, key, decided).await
}

/// Suspends an organisation
///
/// Its people are out at once: no session, no refresh, no command, until it is activated again; then they sign in anew, and its
/// API keys are good again. Its owners are told by mail. One that is suspended stays so for what was said first: nothing is
/// kept of a second suspension. Permission: `platform.suspend-organisation`, shortly after the session was proven anew.
#[utoipa::path(
    post, path = "/v1/platform/organizations/{id}/suspend", tag = "platform", operation_id = "suspendOrganization",
    params(("id" = Uuid, Path, description = "The organisation"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = ReasonBody, example = json!({ "because": "unpaid" })),
    responses(
        (status = 200, description = "It does not work.", body = Accepted),
        (status = 404, description = "There is no such organisation.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It waits for approval, or is no more.", body = ProblemBody, content_type = "application/problem+json"),
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
        told: Ruling::Suspended,
        vault: Some(VaultChange::CloseTenant { tenant: organization }),
    };
    app.decide(&allowed, key, decided).await
}

/// Activates an organisation that was suspended
///
/// Its people sign in again: sessions and refresh tokens from before stay dead, API keys are good again. Its owners are told by
/// mail. Permission: `platform.suspend-organisation`, shortly after the
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
        told: Ruling::Reactivated,
        vault: Some(VaultChange::ReopenTenant { tenant: organization }),
    };
    app.decide(&allowed, key, decided).await
}

/// What an organisation has booked.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TierBody {
    /// One of those that the installation has; a refusal names them.
    #[schema(value_type = WordText, example = "standard")]
    tier: Word,
}

/// Changes what an organisation has booked
///
/// With it come how many services and API keys it may have, and how many requests a minute each of them may make. Those that are
/// there stay, also if they are more. What a tier comes with is recorded now: when the installation's tiers change, set it again.
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
        (status = 422, description = "There is no such tier.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn set_tier(
    State(app): State<App>,
    allowed: Allowed<permissions::SetTier>,
    key: OptionalKey,
    Path(organization): Path<TenantId>,
    Json(body): Json<TierBody>,
) -> Result<Response, Problem> {
    let request = Request::new("PATCH /v1/platform/organizations/{id}/tier", &body).about(organization);
    let key = app.key(&allowed, &key, &request)?;
    let by = allowed.caller().actor;
    let Some(allowance) = app.tiers.of(&body.tier).cloned() else {
        let names: Vec<_> = app.tiers.names().collect();
        return Err(refused_field(&code::TIER_UNKNOWN, "/tier", format!("there are {}", names.join(", "))));
    };
    let across = Across {
        here: Box::new(ChangeTier { tenant_id: organization, tier: body.tier, by }),
        there: organization,
        then: Box::new(SetAllowance { allowance }),
        vault: Vec::new(),
    };
    app.run_across(&allowed, key, LOCATION, across).await
}

/// How many an organisation may have.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeatsBody {
    /// Members and open invitations together; `null` for as many as every organisation may have.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_000_000, required = true, example = 250)]
    seats: Option<u32>,
}

/// Changes how many members and open invitations an organisation may have
///
/// Those that are there stay, also if they are more. Permission: `platform.set-tier`.
#[utoipa::path(
    put, path = "/v1/platform/organizations/{id}/seats", tag = "platform", operation_id = "setSeats",
    params(("id" = Uuid, Path, description = "The organisation"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = SeatsBody, example = json!({ "seats": 250 })),
    responses(
        (status = 200, description = "It may have as many.", body = Accepted),
        (status = 404, description = "There is no such organisation.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is no more.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn set_seats(
    State(app): State<App>,
    allowed: Allowed<permissions::SetTier>,
    key: OptionalKey,
    Path(organization): Path<TenantId>,
    Json(body): Json<SeatsBody>,
) -> Result<Response, Problem> {
    if body.seats.is_some_and(|it| !(1..=SEATS_MAX).contains(&it)) {
        return Err(invalid_field("/seats", format!("give a whole number from 1 to {SEATS_MAX}, or null")));
    }
    let request = Request::new("PUT /v1/platform/organizations/{id}/seats", &body).about(organization);
    let key = app.key(&allowed, &key, &request)?;
    let across = Across {
        here: Box::new(ExistingTenant { tenant_id: organization }),
        there: organization,
        then: Box::new(SetSeats { seats: body.seats }),
        vault: Vec::new(),
    };
    app.run_there(&allowed, key, LOCATION, across).await
}
