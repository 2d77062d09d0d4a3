//! Registering, signing in, going on and signing out. The sessions that follow stand in `sessions.rs`.

use axum::extract::{DefaultBodyLimit, FromRequestParts, Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::ids::{SessionId, UserId};
use domain::metadata::Label;
use domain::words::Language;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use service_kit::access::{Allowed, Authenticated, Caller, permissions};
use service_kit::body::{Json, Path};
use service_kit::email::EmailAddress;
use service_kit::problem::{CodeDoc, FieldProblem, Problem, ProblemBody, code};
use service_kit::token::Issued;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

pub(super) use crate::answer::at;
use crate::answer::{Together, instead};
use crate::app::App;
use crate::identity::Origin;
use crate::identity::device::KNOWN_FOR;
use crate::identity::second_factor::FactorAsked;
use crate::identity::sessions::InSession;
use crate::identity::sign_in::{SignIn, SignedIn};
use crate::identity::sign_up::{SignUp, SignedUp};
use crate::passwords::Password;
use crate::schema::{LabelText, LanguageText};

/// Bytes of a body. Nothing here needs more, and nobody is known yet who sends it.
pub(super) const BODY_BYTES_MAX: usize = 8 * 1024;
/// What a browser keeps of a device that is known; the same as with the pages.
const DEVICE_COOKIE: &str = "quipu-device";

/// Every route of signing in, with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(log_in))
        .routes(routes!(refresh))
        .routes(routes!(log_out))
        .routes(routes!(unlock))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// Somebody wants to register.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterBody {
    /// The name of the organisation, as its address has it.
    #[schema(example = "acme")]
    tenant_slug: String,
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

/// A person who has just registered.
#[derive(Serialize, ToSchema)]
pub struct Registered {
    /// The person.
    id: Uuid,
    /// Whether the address is proven. It is when the link that was mailed was followed.
    email_verified: bool,
    /// Up to here the log holds what this answer says.
    #[schema(example = "1-4711")]
    position: String,
}

/// Something was asked for. Whoever has the address learns by mail how to go on.
#[derive(Serialize, ToSchema)]
pub struct Asked {}

/// Somebody wants to sign in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginBody {
    /// The name of the organisation.
    #[schema(example = "acme")]
    tenant_slug: String,
    /// Who they say they are.
    #[schema(value_type = String, format = "email", max_length = 254)]
    email: EmailAddress,
    /// What proves it.
    #[schema(value_type = String, format = "password")]
    password: Password,
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshBody {
    /// As it was given out.
    refresh_token: String,
}

/// A refresh token whose session ends; if there is none, that of the access token does.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogoutBody {
    /// As it was given out.
    #[serde(default)]
    refresh_token: Option<String>,
}

/// What a client goes on with (RFC 6749 section 5.1).
#[derive(Serialize, ToSchema)]
pub struct TokenAnswer {
    /// Says who acts.
    access_token: String,
    /// Gets the next two tokens, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// How the access token is shown.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds for which the access token is good.
    #[schema(example = 3600)]
    expires_in: i64,
    /// Whether the person needs a second factor, and has one; said when they sign in. Who needs one and has none uses no
    /// permission: lead them to enrolling one first.
    #[serde(skip_serializing_if = "Option::is_none")]
    second_factor: Option<FactorAskedAnswer>,
}

/// A second factor: asked for, and there.
#[derive(Serialize, ToSchema)]
#[schema(as = FactorAsked)]
pub struct FactorAskedAnswer {
    /// Whether the organisation asks everybody for one.
    #[schema(example = true)]
    required: bool,
    /// Whether the person has an authenticator or a passkey.
    #[schema(example = false)]
    enrolled: bool,
}

impl From<FactorAsked> for FactorAskedAnswer {
    fn from(FactorAsked { required, enrolled }: FactorAsked) -> Self {
        Self { required, enrolled }
    }
}

impl TokenAnswer {
    /// The tokens of a session that began or goes on; without the second, if it has one already.
    pub(super) fn new(access: Issued, refresh: Option<&SecretString>) -> Self {
        Self {
            expires_in: seconds_left(access.expires_at),
            access_token: access.token,
            refresh_token: refresh.map(|it| it.expose_secret().to_owned()),
            token_type: "Bearer",
            second_factor: None,
        }
    }
}

fn seconds_left(until: DateTime<Utc>) -> i64 {
    (until - Utc::now()).num_seconds().max(0)
}

/// Registers
///
/// The person becomes a member with the role `user`; the link that proves the address is mailed. Open to everybody, where the
/// organisation takes people by themselves.
#[utoipa::path(
    post, path = "/v1/auth/register", tag = "auth", operation_id = "register", security(()),
    request_body(content = RegisterBody, example = json!({
        "tenant_slug": "acme", "email": "ann@example.com", "password": "jade-umpire-quartz-lagoon",
        "given_name": "Ann", "family_name": "Smith"
    })),
    responses(
        (status = 201, description = "The person is registered.", body = Registered),
        (status = 202, description = "The organisation tells nobody who belongs to it: the rest comes by mail.", body = Asked),
        (status = 403, description = "The organisation takes people by invitation only.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such organisation, or it takes nobody now.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The address belongs to somebody already.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The password is too weak.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn register(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<RegisterBody>,
) -> Result<Response, Problem> {
    let asked = SignUp {
        tenant_slug: body.tenant_slug,
        email: body.email,
        password: body.password,
        given_name: body.given_name,
        family_name: body.family_name,
        language: body.language,
    };
    Ok(match app.identity.sign_up(asked, &origin).await? {
        SignedUp::Registered { user, position } => {
            let position = position.to_string();
            let answer = Registered { id: user.uuid(), email_verified: false, position: position.clone() };
            at((StatusCode::CREATED, Json(answer)).into_response(), &position)
        }
        SignedUp::Asked => (StatusCode::ACCEPTED, Json(Asked {})).into_response(),
    })
}

/// Signs in
///
/// Who is not there, who was deactivated and who types a wrong password are told the same. After some wrong guesses nothing is
/// looked at for a while, whoever guesses. Open to everybody.
#[utoipa::path(
    post, path = "/v1/auth/login", tag = "auth", operation_id = "logIn", security(()),
    request_body(content = LoginBody, example = json!({
        "tenant_slug": "acme", "email": "ann@example.com", "password": "jade-umpire-quartz-lagoon"
    })),
    responses(
        (status = 200, description = "The person is signed in.", body = TokenAnswer),
        (status = 401, description = "They do not belong together.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The address is not proven yet, or the organisation may not work; or a second factor is asked for: `details` has the `ticket` to show it with, `factors`, which can be shown, and `expires_in`, in seconds.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong guesses.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn log_in(
    State(app): State<App>,
    origin: Origin,
    headers: HeaderMap,
    Json(body): Json<LoginBody>,
) -> Result<Response, Problem> {
    let asked = SignIn {
        tenant_slug: body.tenant_slug,
        email: body.email,
        password: body.password,
        device: app.cookies().kept(&headers, DEVICE_COOKIE),
    };
    Ok(signed_in(&app, app.identity.sign_in(asked, &origin).await?))
}

/// The answer to somebody who signed in, with what their device should keep.
pub(super) fn signed_in(app: &App, done: SignedIn) -> Response {
    let tokens = TokenAnswer::new(done.tokens.access, Some(&done.tokens.refresh));
    let answer = TokenAnswer { second_factor: Some(done.factor.into()), ..tokens };
    let mut response = at(Json(answer).into_response(), &done.position.to_string());
    let lasts = KNOWN_FOR.num_seconds();
    if let Some(cookie) = app.cookies().given(DEVICE_COOKIE, &done.device, Some(lasts)) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Gets the next two tokens
///
/// A refresh token is good once. If one comes back that was used, somebody has a copy: its session ends. Open to everybody who
/// has one.
#[utoipa::path(
    post, path = "/v1/auth/refresh", tag = "auth", operation_id = "refreshTokens", security(()),
    request_body(content = RefreshBody, example = json!({ "refresh_token": "qr_..." })),
    responses(
        (status = 200, description = "The session goes on.", body = TokenAnswer),
        (status = 401, description = "The token is not good.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn refresh(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<RefreshBody>,
) -> Result<Json<TokenAnswer>, Problem> {
    let tokens = app.identity.refresh(&body.refresh_token, &origin).await?;
    Ok(Json(TokenAnswer::new(tokens.access, Some(&tokens.refresh))))
}

/// Signs out
///
/// Ends the session of the refresh token, or without one that of the access token; it is no error if there is none. Open to everybody.
#[utoipa::path(
    post, path = "/v1/auth/logout", tag = "auth", operation_id = "logOut", security((), ("bearer" = [])),
    request_body(content = Option<LogoutBody>, example = json!({ "refresh_token": "qr_..." })),
    responses((status = 204, description = "Whatever was named is no session any more."))
)]
pub async fn log_out(
    State(app): State<App>,
    origin: Origin,
    request: Request,
) -> Result<StatusCode, Problem> {
    let (mut parts, body) = request.into_parts();
    // A token that is no longer good names nothing to end.
    let caller = Authenticated::from_request_parts(&mut parts, &app).await.ok();
    let request = Request::from_parts(parts, body);
    let bytes = service_kit::body::read(request).await?;
    let named: LogoutBody = if matches!(bytes.trim_ascii(), b"" | b"null") {
        LogoutBody::default()
    } else {
        service_kit::body::parse(&bytes, service_kit::body::ParseCodes(&[]))?
    };
    let origin = caller.as_ref().map_or(origin, |it| Origin::of(it.caller()));
    let caller = caller.and_then(|it| in_session(it.caller()));
    app.identity.sign_out(caller, named.refresh_token.as_deref(), &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets a person try again
///
/// Ends the lock on their guesses before its time, and counts anew. Permission: `identity.unlock-user`.
#[utoipa::path(
    post, path = "/v1/users/{id}/unlock", tag = "users", operation_id = "unlockUser",
    params(("id" = Uuid, Path, description = "The person")),
    responses(
        (status = 204, description = "They may try."),
        (status = 404, description = "There is no such person.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn unlock(
    State(app): State<App>,
    by: Allowed<permissions::UnlockUser>,
    Path(user): Path<UserId>,
) -> Result<Response, Problem> {
    let caller = by.caller();
    let (command, clear) = app.identity.unlocking(caller.tenant, user, caller.actor).await?;
    let together = Together::one(command, [clear]);
    Ok(instead(app.run_together(&by, None, "", together).await?, StatusCode::NO_CONTENT))
}

/// A field has a value that it cannot have; `detail` says which it can.
pub(super) fn invalid_field(pointer: &str, detail: String) -> Problem {
    refused_field(&code::INVALID_FIELD, pointer, detail)
}

/// A field is refused with a code of its own; `detail` says which values it can have.
pub(super) fn refused_field(doc: &'static CodeDoc, pointer: &str, detail: String) -> Problem {
    let field =
        FieldProblem { pointer: pointer.to_owned(), code: doc.code.to_owned(), detail: detail.clone() };
    Problem::new(doc, detail).at(field)
}

/// A body has not exactly one of two fields.
pub(super) fn not_one(one: &str, other: &str) -> Problem {
    invalid_field("", format!("give exactly one of {one} and {other}"))
}

/// The session of a caller who is a person.
pub(super) fn in_session(caller: &Caller) -> Option<InSession> {
    let session = SessionId::new(caller.session?);
    Some(InSession { tenant: caller.tenant, session, user: UserId::new(caller.actor.uuid()) })
}
