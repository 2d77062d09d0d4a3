//! Second factors: the second half of a sign-in, one's own authenticator and recovery codes, and help for whoever lost them.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::ids::UserId;
use domain::metadata::Label;
use serde::{Deserialize, Serialize};
use service_kit::access::{Allowed, Caller, InPerson, Own, permissions};
use service_kit::body::{Json, Path};
use service_kit::config::PublicUrl;
use service_kit::problem::{Problem, ProblemBody, code};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::{BODY_BYTES_MAX, TokenAnswer, at, in_session, not_one, signed_in};
use crate::answer::{Accepted, Together};
use crate::app::App;
use crate::identity::Origin;
use crate::identity::second_factor::enrolment::Issued;
use crate::identity::second_factor::{Proof, SecondHalf};
use crate::identity::sessions::InSession;
use crate::keys::{OptionalKey, Request};
use crate::schema::LabelText;
use crate::standing::granter;

/// How authenticators name the place where there is no public address.
const ISSUER: &str = "Quipu";
const LOCATION: &str = "/v1/users";

/// Every command about second factors, with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show_factor))
        .routes(routes!(list_factors))
        .routes(routes!(offer_totp, remove_totp))
        .routes(routes!(confirm_totp))
        .routes(routes!(renew_codes))
        .routes(routes!(remove_factors))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// The second half of a sign-in: the ticket, and one of the others.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondFactorBody {
    ticket: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    recovery_code: Option<String>,
}

/// Described as what it must be, and not as what it is read into: one of the two, and not both.
impl PartialSchema for SecondFactorBody {
    fn schema() -> RefOr<Schema> {
        let text = |told: &str, chars_max: usize| {
            let text = ObjectBuilder::new().schema_type(Type::String).description(Some(told));
            text.max_length(Some(chars_max))
        };
        let ticket = || text("What the first half was answered with.", 200);
        let with = |name: &str, shown: ObjectBuilder| {
            let both = ObjectBuilder::new().property("ticket", ticket()).property(name, shown);
            let both = both.required("ticket").required(name);
            both.additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
        };
        let code = text("The code that the authenticator shows now.", 32);
        let recovery_code = text("One of the codes that were written down.", 64);
        let either = OneOfBuilder::new().item(with("code", code)).item(with("recovery_code", recovery_code));
        either.description(Some("The second half of a sign-in: the ticket, and one of the others.")).into()
    }
}

impl ToSchema for SecondFactorBody {}

/// A code of the authenticator that is being enrolled.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmTotpBody {
    /// The code that it shows now.
    #[schema(max_length = 32, example = "287082")]
    code: String,
    /// What the person calls it.
    #[serde(default)]
    #[schema(value_type = Option<LabelText>)]
    label: Option<Label>,
}

/// One's own factors.
#[derive(Serialize, ToSchema)]
pub struct FactorsAnswer {
    /// The authenticator, if there is one.
    totp: Option<Uuid>,
    /// How many recovery codes are left.
    #[schema(example = 10)]
    recovery_codes_left: u16,
    /// The passkeys, in the order in which they were added.
    passkeys: Vec<Uuid>,
}

/// A seed for an authenticator. It is shown this once, and is no factor before it is confirmed.
#[derive(Serialize, ToSchema)]
pub struct OfferedTotp {
    /// The authenticator that it would be.
    id: Uuid,
    /// The seed in letters, to be typed.
    #[schema(example = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")]
    secret: String,
    /// The same as an address, to be shown as a picture.
    #[schema(
        example = "otpauth://totp/Acme%20%28id.example.com%29:ann%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Acme%20%28id.example.com%29&algorithm=SHA1&digits=6&period=30"
    )]
    uri: String,
    /// Seconds within which it can be confirmed.
    #[schema(example = 600)]
    expires_in: u64,
}

/// Recovery codes. They are shown this once; those before are good no more.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodes {
    /// Each is good once.
    #[schema(example = json!(["mzxw6-ytboi-5wgy3-tpebs-q3dpm"]))]
    recovery_codes: Vec<String>,
    /// Up to here the log holds what this answer says.
    #[schema(example = "1-4711")]
    position: String,
}

pub(super) fn in_own_session(caller: &Caller) -> Result<InSession, Problem> {
    // An operator's token is nobody's who signs in.
    in_session(caller).ok_or_else(|| Problem::new(&code::INVALID_CREDENTIALS, ""))
}

fn shown_once(issued: Issued) -> Response {
    let position = issued.position.to_string();
    let answer = RecoveryCodes { recovery_codes: issued.codes, position: position.clone() };
    at(Json(answer).into_response(), &position)
}

/// Signs in with a second factor
///
/// The second half of a sign-in whose first half was answered with a ticket. A ticket is good for five minutes and for one
/// session; wrong codes are counted together with wrong passwords, and too many lock. Open to whoever has a ticket.
#[utoipa::path(
    post, path = "/v1/auth/second-factor", tag = "auth", operation_id = "showSecondFactor", security(()),
    request_body(content = SecondFactorBody, examples(
        ("code" = (summary = "By an authenticator", value = json!({ "ticket": "qf_...", "code": "287082" }))),
        ("recovery_code" = (summary = "Without it", value = json!({ "ticket": "qf_...", "recovery_code": "mzxw6-ytboi-5wgy3-tpebs-q3dpm" }))),
    )),
    responses(
        (status = 200, description = "The person is signed in.", body = TokenAnswer),
        (status = 401, description = "The ticket or the code is not good.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The organisation may not work.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong guesses.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn show_factor(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<SecondFactorBody>,
) -> Result<Response, Problem> {
    let proof = match (body.code, body.recovery_code) {
        (Some(code), None) => Proof::Code(code.into()),
        (None, Some(code)) => Proof::RecoveryCode(code.into()),
        _ => return Err(not_one("code", "recovery_code")),
    };
    let shown = SecondHalf { ticket: body.ticket.into(), proof };
    Ok(signed_in(&app, app.identity.sign_in_with_factor(shown, &origin).await?))
}

/// Lists one's own factors
///
/// That they are, never what. Permission: none but to be signed in. Whoever acts for another needs `identity.read-users`, and
/// every such use is recorded in the audit trail.
#[utoipa::path(
    get, path = "/v1/auth/factors", tag = "auth", operation_id = "listFactors",
    responses((status = 200, description = "They are these.", body = FactorsAnswer))
)]
pub async fn list_factors(
    State(app): State<App>,
    by: Own<permissions::ReadUsers>,
) -> Result<Json<FactorsAnswer>, Problem> {
    let caller = by.caller();
    let known = app.identity.factors(caller.tenant, UserId::new(caller.actor.uuid())).await?;
    Ok(Json(FactorsAnswer {
        totp: known.totp.map(|it| it.uuid()),
        recovery_codes_left: known.codes_left,
        passkeys: known.passkeys.iter().map(|it| it.uuid()).collect(),
    }))
}

/// Shows a seed for an authenticator
///
/// It is no factor before a code of it is shown. The person must have shown who they are within ten minutes. Permission: none
/// but to be signed in, in person.
#[utoipa::path(
    post, path = "/v1/auth/totp", tag = "auth", operation_id = "offerTotp",
    responses(
        (status = 200, description = "The seed, once.", body = OfferedTotp),
        (status = 409, description = "There is an authenticator already, or the organisation lets nobody enrol one.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn offer_totp(State(app): State<App>, by: InPerson) -> Result<Json<OfferedTotp>, Problem> {
    let who = in_own_session(by.caller())?;
    let host = app.providers.public_url().map_or(ISSUER, PublicUrl::host);
    let offered = app.identity.offer_totp(who, host).await?;
    Ok(Json(OfferedTotp {
        id: offered.factor.uuid(),
        secret: offered.secret,
        uri: offered.uri,
        expires_in: offered.expires_in,
    }))
}

/// Enrols an authenticator
///
/// By a code of the seed that was shown last. A password alone lets the person in no more, and they get ten recovery codes. The
/// person must have shown who they are within ten minutes. Permission: none but to be signed in, in person.
#[utoipa::path(
    post, path = "/v1/auth/totp/confirm", tag = "auth", operation_id = "confirmTotp",
    request_body(content = ConfirmTotpBody, example = json!({ "code": "287082", "label": "My phone" })),
    responses(
        (status = 200, description = "It is enrolled.", body = RecoveryCodes),
        (status = 401, description = "The code is not one of this seed and of now.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No seed was shown, or too long ago.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "There is an authenticator already, or the organisation lets nobody enrol one.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many tries.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn confirm_totp(
    State(app): State<App>,
    by: InPerson,
    Json(body): Json<ConfirmTotpBody>,
) -> Result<Response, Problem> {
    let caller = by.caller();
    let who = in_own_session(caller)?;
    let issued = app.identity.enrol_totp(who, &body.code, body.label, &Origin::of(caller)).await?;
    Ok(shown_once(issued))
}

/// Removes the own authenticator
///
/// The recovery codes go with it, and a password alone lets the person in again. They must have shown both factors, one of them
/// within ten minutes. Permission: none but to be signed in, in person.
#[utoipa::path(
    delete, path = "/v1/auth/totp", tag = "auth", operation_id = "removeTotp",
    responses(
        (status = 204, description = "There is none any more."),
        (status = 404, description = "There was none.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn remove_totp(State(app): State<App>, by: InPerson) -> Result<Response, Problem> {
    let caller = by.caller();
    let position = app.identity.remove_totp(in_own_session(caller)?, &Origin::of(caller)).await?;
    Ok(at(StatusCode::NO_CONTENT.into_response(), &position.to_string()))
}

/// Gets other recovery codes
///
/// Those before are good no more. The person must have shown both factors, one of them within ten minutes. Permission: none but
/// to be signed in, in person.
#[utoipa::path(
    post, path = "/v1/auth/recovery-codes", tag = "auth", operation_id = "renewRecoveryCodes",
    responses(
        (status = 200, description = "The codes, once.", body = RecoveryCodes),
        (status = 404, description = "There is no authenticator to recover from.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many tries.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn renew_codes(State(app): State<App>, by: InPerson) -> Result<Response, Problem> {
    let caller = by.caller();
    let issued = app.identity.renew_recovery_codes(in_own_session(caller)?, &Origin::of(caller)).await?;
    Ok(shown_once(issued))
}

/// Removes the factors of a person
///
/// For somebody who has lost them: their password lets them in again, all their sessions end, and they are written to. The
/// caller must have shown who they are within ten minutes. Permission: `identity.remove-factors`.
#[utoipa::path(
    delete, path = "/v1/users/{id}/factors", tag = "users", operation_id = "removeFactorsOfUser",
    params(("id" = Uuid, Path, description = "The person"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "They have none.", body = Accepted),
        (status = 404, description = "There is no such person, or they have none.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "They are not active, or were erased.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn remove_factors(
    State(app): State<App>,
    allowed: Allowed<permissions::RemoveFactors>,
    key: OptionalKey,
    Path(user): Path<UserId>,
) -> Result<Response, Problem> {
    let caller = allowed.caller();
    let key = app.key(&allowed, &key, &Request::new("DELETE /v1/users/{id}/factors", &()).about(user))?;
    let removal = app.identity.removal_of_factors(caller.tenant, user, granter(caller), caller.actor).await?;
    let together = Together { commands: removal.commands, vault: removal.vault };
    app.run_together(&allowed, key, LOCATION, together).await
}
