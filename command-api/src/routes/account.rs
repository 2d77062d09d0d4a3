//! The own account: proving an address, choosing another password or address, and what is known of oneself.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::identity::user;
use domain::ids::UserId;
use serde::{Deserialize, Serialize};
use service_kit::access::InPerson;
use service_kit::body::Json;
use service_kit::email::EmailAddress;
use service_kit::problem::{Problem, ProblemBody, code};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{BODY_BYTES_MAX, at, in_session};
use super::users::ProfileBody;
use crate::answer::Accepted;
use crate::app::App;
use crate::identity::Origin;
use crate::identity::profile::Profile;
use crate::keys::{IfMatch, OptionalKey, Request};
use crate::passwords::Password;

/// Every command about one's own account, with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(verify_email))
        .routes(routes!(resend_verification))
        .routes(routes!(forgot_password))
        .routes(routes!(reset_password))
        .routes(routes!(change_password))
        .routes(routes!(change_address))
        .routes(routes!(confirm_address))
        .routes(routes!(update_me))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// The secret of a link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkBody {
    /// What stands behind the `#` of the link.
    #[schema(max_length = 200, example = "qm_...")]
    token: String,
}

/// The secret of a link that proves an address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyBody {
    /// What stands behind the `#` of the link.
    #[schema(max_length = 200, example = "qm_...")]
    token: String,
    /// The password that was chosen with the registration, which shows that whoever follows the link is who registered. Our
    /// own page asks for it; whoever shows a page of their own should, too.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "password", max_length = 128)]
    password: Option<Password>,
}

/// Somebody's address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddressBody {
    /// The name of the organisation.
    #[schema(example = "acme")]
    tenant_slug: String,
    /// The address.
    #[schema(value_type = String, format = "email", max_length = 254)]
    email: EmailAddress,
}

/// Another password, by a link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetBody {
    /// What stands behind the `#` of the link.
    #[schema(max_length = 200, example = "qm_...")]
    token: String,
    /// The password from now on.
    #[schema(value_type = String, format = "password", max_length = 128)]
    new_password: Password,
}

/// Another password, by somebody who knows the present one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeBody {
    /// The present one.
    #[schema(value_type = String, format = "password", max_length = 128)]
    current: Password,
    /// The password from now on.
    #[schema(value_type = String, format = "password", max_length = 128)]
    new: Password,
    /// Whether all other sessions end. They do unless this says no.
    #[serde(default = "yes")]
    #[schema(default = true)]
    end_others: bool,
}

const fn yes() -> bool {
    true
}

/// Another address, wanted by somebody who knows the password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeAddressBody {
    /// The address from then on.
    #[schema(value_type = String, format = "email", max_length = 254)]
    new_email: EmailAddress,
    /// The password.
    #[schema(value_type = String, format = "password", max_length = 128)]
    password: Password,
}

/// Nothing is said, since nothing may be.
#[derive(Serialize, ToSchema)]
pub struct Nothing {}

/// Proves an address
///
/// The link in the letter does this when it is opened and confirmed with the password of the registration. Looking at it consumes
/// nothing, a wrong password neither. Open to whoever has it.
#[utoipa::path(
    post, path = "/v1/auth/verify-email", tag = "auth", operation_id = "verifyEmail", security(()),
    request_body(content = VerifyBody, example = json!({ "token": "qm_...", "password": "jade-umpire-quartz-lagoon" })),
    responses(
        (status = 204, description = "The address is proven."),
        (status = 401, description = "The password is not the one of the registration.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The organisation is not active.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The link is not good, or not any more.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong guesses.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn verify_email(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<VerifyBody>,
) -> Result<Response, Problem> {
    let position = app.identity.verify_email(&body.token, body.password.as_ref(), &origin).await?;
    Ok(at(StatusCode::NO_CONTENT.into_response(), &position.to_string()))
}

/// Has the link that proves an address sent once more
///
/// The answer is the same whether there is such an account. Open to everybody.
#[utoipa::path(
    post, path = "/v1/auth/verify-email/resend", tag = "auth", operation_id = "resendVerification", security(()),
    request_body(content = AddressBody, example = json!({ "tenant_slug": "acme", "email": "ann@example.com" })),
    responses((status = 202, description = "If there is such an account, and it needs one, a letter is on its way.", body = Nothing))
)]
pub async fn resend_verification(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<AddressBody>,
) -> Result<(StatusCode, Json<Nothing>), Problem> {
    app.identity.resend_verification(&body.tenant_slug, &body.email, &origin).await?;
    Ok((StatusCode::ACCEPTED, Json(Nothing {})))
}

/// Has a link sent to choose another password with
///
/// The answer is the same whether there is such an account. Open to everybody.
#[utoipa::path(
    post, path = "/v1/auth/password/forgot", tag = "auth", operation_id = "forgotPassword", security(()),
    request_body(content = AddressBody, example = json!({ "tenant_slug": "acme", "email": "ann@example.com" })),
    responses((status = 202, description = "If there is such an account, a letter is on its way.", body = Nothing))
)]
pub async fn forgot_password(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<AddressBody>,
) -> Result<(StatusCode, Json<Nothing>), Problem> {
    app.identity.forgot_password(&body.tenant_slug, &body.email, &origin).await?;
    Ok((StatusCode::ACCEPTED, Json(Nothing {})))
}

/// Chooses another password by a link
///
/// All sessions end, and the address counts as proven. Nobody is signed in by it. Open to whoever has the link.
#[utoipa::path(
    post, path = "/v1/auth/password/reset", tag = "auth", operation_id = "resetPassword", security(()),
    request_body(content = ResetBody, example = json!({ "token": "qm_...", "new_password": "jade-umpire-quartz-lagoon" })),
    responses(
        (status = 204, description = "The password is another one."),
        (status = 403, description = "The organisation neither works nor waits for approval.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The link is not good, or not any more.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The password is too weak.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn reset_password(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<ResetBody>,
) -> Result<StatusCode, Problem> {
    app.identity.reset_password(&body.token, body.new_password, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Chooses another password
///
/// By somebody who knows the present one, and has shown a further factor in this session if they have one. Their other sessions
/// end, unless they say no. Permission: none but to be signed in, in person.
#[utoipa::path(
    post, path = "/v1/auth/password/change", tag = "auth", operation_id = "changePassword",
    request_body(content = ChangeBody, example = json!({
        "current": "jade-umpire-quartz-lagoon", "new": "violet-anchor-marble-tundra"
    })),
    responses(
        (status = 204, description = "The password is another one."),
        (status = 401, description = "The present password is wrong.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "A factor that they have was not shown, or they came from another organisation.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It was changed meanwhile.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The password is too weak.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong guesses.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn change_password(
    State(app): State<App>,
    by: InPerson,
    Json(body): Json<ChangeBody>,
) -> Result<Response, Problem> {
    let caller = by.caller();
    let who = in_session(caller).ok_or_else(|| Problem::new(&code::INVALID_CREDENTIALS, ""))?;
    let (passwords, origin) = ((body.current, body.new), Origin::of(caller));
    let position = app.identity.change_password(who, passwords, body.end_others, &origin).await?;
    Ok(at(StatusCode::NO_CONTENT.into_response(), &position.to_string()))
}

/// Asks for another address
///
/// A link goes to it, and a word of it to the present one, which holds until the link is used. Whoever has a further factor must
/// have shown it in this session. The answer is the same if somebody else has that address. Permission: none but to be signed
/// in, in person.
#[utoipa::path(
    post, path = "/v1/auth/email/change", tag = "auth", operation_id = "changeAddress",
    request_body(content = ChangeAddressBody, example = json!({
        "new_email": "ann.smith@example.com", "password": "jade-umpire-quartz-lagoon"
    })),
    responses(
        (status = 202, description = "If the address can be theirs, a letter is on its way.", body = Nothing),
        (status = 401, description = "The password is wrong.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "A factor that they have was not shown, or they came from another organisation.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong guesses.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn change_address(
    State(app): State<App>,
    by: InPerson,
    Json(body): Json<ChangeAddressBody>,
) -> Result<(StatusCode, Json<Nothing>), Problem> {
    let caller = by.caller();
    let who = in_session(caller).ok_or_else(|| Problem::new(&code::INVALID_CREDENTIALS, ""))?;
    app.identity.ask_for_address(who, &body.new_email, &body.password, &Origin::of(caller)).await?;
    Ok((StatusCode::ACCEPTED, Json(Nothing {})))
}

/// Makes the address that was asked for the own one
///
/// The link in the letter does this when it is opened and confirmed. Both addresses are told. Open to whoever has it.
#[utoipa::path(
    post, path = "/v1/auth/email/confirm", tag = "auth", operation_id = "confirmAddress", security(()),
    request_body(content = LinkBody, example = json!({ "token": "qm_..." })),
    responses(
        (status = 204, description = "The address is theirs."),
        (status = 404, description = "The link is not good, or not any more.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn confirm_address(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<LinkBody>,
) -> Result<Response, Problem> {
    let position = app.identity.confirm_address(&body.token, &origin).await?;
    Ok(at(StatusCode::NO_CONTENT.into_response(), &position.to_string()))
}

/// Changes what is known of oneself
///
/// Name, phone, address and language. Permission: none but to be signed in, in person.
#[utoipa::path(
    patch, path = "/v1/auth/me", tag = "auth", operation_id = "updateMe",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat"),
           ("If-Match" = Option<String>, Header, description = "The version that one must have")),
    request_body(content = ProfileBody, example = json!({
        "name": { "given_name": "Ann", "family_name": "Smith" }, "phone": "+43 1 58858-0", "language": "de-AT"
    })),
    responses(
        (status = 200, description = "It is known so.", body = Accepted),
        (status = 404, description = "Who asks is no person.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "They have another version.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn update_me(
    State(app): State<App>,
    by: InPerson,
    key: OptionalKey,
    if_match: IfMatch,
    Json(body): Json<ProfileBody>,
) -> Result<Response, Problem> {
    let caller = by.caller();
    let user = UserId::new(caller.actor.uuid());
    let key = app.key(&by, &key, &Request::new("PATCH /v1/auth/me", &body).if_match(if_match))?;
    let expected = if_match.of(user::stream(user));
    app.run(&by, key, expected, "", Profile::from(body).of(user)).await
}
