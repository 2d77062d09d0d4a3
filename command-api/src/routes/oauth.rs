//! The endpoints of OAuth 2.0 and OpenID Connect, as services and browsers call them. What is told there has the words of
//! the standards: see [`service_kit::oauth_error`].

use axum::extract::{DefaultBodyLimit, RawQuery, Request, State};
use axum::http::header::{CACHE_CONTROL, PRAGMA};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use service_kit::access::Recognised;
use service_kit::body::Json;
use service_kit::oauth_error::{OauthError, OauthErrorBody};
use service_kit::problem::{Problem, ProblemBody};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::BODY_BYTES_MAX;
use crate::answer::gone_to;
use crate::app::App;
use crate::identity::Origin;
use crate::oauth::authorize::Refused;
use crate::oauth::cross_origin::BY_EVERYBODY;
use crate::oauth::discovery::Metadata;
use crate::oauth::grants::TokenBody;
use crate::oauth::inspect::{TokenFacts, UserInfo};
use crate::oauth::{form_text, read_form};
use crate::pages::{Visitor, send_back};

/// Everything of OAuth, with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(openid_configuration))
        .routes(routes!(authorization_server))
        .routes(routes!(authorize, authorize_by_form))
        .routes(routes!(token))
        .routes(routes!(introspect))
        .routes(routes!(revoke))
        .routes(routes!(user_info, user_info_by_form))
        .routes(routes!(log_out, log_out_by_form))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// What is exchanged for tokens (RFC 6749, RFC 7636, RFC 8628). Each grant has parameters of its own.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used: a form is read by its parameters")]
pub struct TokenForm {
    /// `authorization_code`, `refresh_token`, `client_credentials` or `urn:ietf:params:oauth:grant-type:device_code`.
    #[schema(example = "authorization_code")]
    grant_type: String,
    /// The service, if it does not show itself by HTTP Basic.
    #[schema(example = "qa_...")]
    client_id: Option<String>,
    /// Its secret, likewise; none, if it can keep none.
    client_secret: Option<String>,
    /// The code that came with the return address.
    code: Option<String>,
    /// The return address that was asked with, letter by letter.
    redirect_uri: Option<String>,
    /// The text that the challenge was made of.
    code_verifier: Option<String>,
    /// The token that gets the next two.
    refresh_token: Option<String>,
    /// What a device polls with.
    device_code: Option<String>,
    /// What the access token is for; all that may be, if it is left out.
    scope: Option<String>,
}

/// A token that is asked about or given back.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used: a form is read by its parameters")]
pub struct TokenQuestion {
    /// As it was given out.
    token: String,
    /// What it is; not needed.
    token_type_hint: Option<String>,
    /// The service, if it does not show itself by HTTP Basic.
    #[schema(example = "qa_...")]
    client_id: Option<String>,
    /// Its secret, likewise.
    client_secret: Option<String>,
}

/// What a service asks of a person (RFC 6749 section 4.1.1, RFC 7636, OpenID Connect Core section 3.1.2.1).
#[derive(ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used: a form is read by its parameters")]
pub struct AuthorizationForm {
    /// The service.
    #[schema(example = "qa_...")]
    client_id: String,
    /// One of its addresses, letter by letter; of `http://127.0.0.1` and `http://[::1]` the port may be another.
    redirect_uri: String,
    /// `code`.
    #[schema(example = "code")]
    response_type: String,
    /// What it asks for: names parted by spaces, all registered with the service. `offline_access` a service may ask for that has
    /// the grant `refresh-token`, registered or not; of others it is passed over.
    #[schema(example = "openid email")]
    scope: String,
    /// Comes back as it was sent.
    state: Option<String>,
    /// Comes back in the ID token.
    nonce: Option<String>,
    /// SHA-256, in base64url, of a random text of 43 to 128 characters that the service keeps.
    code_challenge: String,
    /// `S256`.
    #[schema(example = "S256")]
    code_challenge_method: String,
    /// `none`, or `login`, `select_account` and `consent`.
    prompt: Option<String>,
    /// Seconds since which the person must have shown who they are.
    max_age: Option<u32>,
    /// An ID token of whoever is to sign in: nobody else is let in.
    id_token_hint: Option<String>,
    /// Who will sign in, as the service believes.
    login_hint: Option<String>,
    /// In which languages it would have the pages.
    ui_locales: Option<String>,
}

/// Says how to sign in to services
///
/// OpenID Connect Discovery 1.0. Open to everybody, and to scripts of every page.
#[utoipa::path(
    get, path = "/.well-known/openid-configuration", tag = "oauth", operation_id = "readOpenidConfiguration", security(()),
    responses((status = 200, description = "It is this.", body = Metadata))
)]
pub async fn openid_configuration(State(app): State<App>) -> Result<Response, Problem> {
    document(&app)
}

/// Says the same, for services that know no OpenID Connect
///
/// RFC 8414. Open to everybody, and to scripts of every page.
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", tag = "oauth", operation_id = "readAuthorizationServer", security(()),
    responses((status = 200, description = "It is this.", body = Metadata))
)]
pub async fn authorization_server(State(app): State<App>) -> Result<Response, Problem> {
    document(&app)
}

fn document(app: &App) -> Result<Response, Problem> {
    let kept = (CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    Ok(([kept, BY_EVERYBODY], Json(app.oauth.metadata()?)).into_response())
}

/// Asks a person to allow a service something
///
/// The browser comes here, goes on to sign in and to decide, and then to the service's address with `code` or `error`, and with
/// `iss`. If the request is wrong and nobody of the organisation is signed in, a page says so, with a link to that address; not if
/// `prompt` is `none`. Only PKCE with S256 is taken. Open to everybody.
#[utoipa::path(
    get, path = "/oauth2/authorize", tag = "oauth", operation_id = "authorize", security(()),
    params(AuthorizationForm),
    responses(
        (status = 303, description = "The browser goes on, or to the service's address with `error`."),
        (status = 400, description = "Service and address do not belong together: nobody is sent anywhere. Or, as a page, that the request is wrong.",
         content((ProblemBody = "application/problem+json"), (String = "text/html"))),
    )
)]
pub async fn authorize(
    State(app): State<App>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    ask(&app, visitor, &query.unwrap_or_default()).await
}

/// Asks the same by a form
///
/// As OpenID Connect Core section 3.1.2.1 has it. Open to everybody.
#[utoipa::path(
    post, path = "/oauth2/authorize", tag = "oauth", operation_id = "authorizeByForm", security(()),
    request_body(content = AuthorizationForm, content_type = "application/x-www-form-urlencoded", example = json!({
        "client_id": "qa_...", "redirect_uri": "https://shop.example.com/signed-in", "response_type": "code", "scope": "openid",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256"
    })),
    responses(
        (status = 303, description = "The browser goes on, or to the service's address with `error`."),
        (status = 400, description = "Service and address do not belong together: nobody is sent anywhere. Or, as a page, that the request is wrong.",
         content((ProblemBody = "application/problem+json"), (String = "text/html"))),
    )
)]
pub async fn authorize_by_form(
    State(app): State<App>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, Problem> {
    ask(&app, visitor, &form_text(request).await?).await
}

async fn ask(app: &App, visitor: Visitor, query: &str) -> Result<Response, Problem> {
    match app.oauth.ask(query, &visitor.origin).await {
        Ok(request) => Ok(gone_to(&app.pages.path(&format!("/sign-in?request={request}")))),
        Err(Refused::There(back)) => send_back(visitor, &back),
        Err(Refused::Here(problem)) => Err(problem),
    }
}

/// Exchanges something for tokens
///
/// A code of a sign-in, a refresh token, a device that was let in, or nothing where a service acts for itself. The service shows
/// who it is by HTTP Basic or in the form. Scripts can read the answer on pages of the origins to which the service sends people
/// back. Open to services.
#[utoipa::path(
    post, path = "/oauth2/token", tag = "oauth", operation_id = "exchangeForTokens", security(()),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded", examples(
        ("code" = (summary = "A code", value = json!({
            "grant_type": "authorization_code", "code": "qc_...", "redirect_uri": "https://shop.example.com/signed-in",
            "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "client_id": "qa_...", "client_secret": "qs_..."
        }))),
        ("refresh" = (summary = "A refresh token", value = json!({
            "grant_type": "refresh_token", "refresh_token": "qr_...", "client_id": "qa_...", "client_secret": "qs_..."
        }))),
        ("itself" = (summary = "A service for itself", value = json!({
            "grant_type": "client_credentials", "client_id": "qa_...", "client_secret": "qs_..."
        }))),
        ("device" = (summary = "A device", value = json!({
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "qd_...", "client_id": "qa_..."
        }))),
    )),
    responses(
        (status = 200, description = "These are the tokens.", body = TokenBody),
        (status = 400, description = "What is shown is not good (RFC 6749 section 5.2).", body = OauthErrorBody),
        (status = 401, description = "The service is not known by what it shows.", body = OauthErrorBody),
    )
)]
pub async fn token(
    State(app): State<App>,
    origin: Origin,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, OauthError> {
    let params = read_form(request).await?;
    let answer = app.oauth.token(&headers, &params, &origin).await;
    Ok(app.oauth.read_by_named(&headers, &params, kept_by_nobody(answer.map(Json))).await)
}

/// Says what is known of a token
///
/// Of one that is not good, or of another organisation, only that. Open to services that keep a secret.
#[utoipa::path(
    post, path = "/oauth2/introspect", tag = "oauth", operation_id = "introspectToken", security(()),
    request_body(content = TokenQuestion, content_type = "application/x-www-form-urlencoded", example = json!({
        "token": "eyJ...", "client_id": "qa_...", "client_secret": "qs_..."
    })),
    responses(
        (status = 200, description = "It is this (RFC 7662).", body = TokenFacts),
        (status = 400, description = "The question is malformed.", body = OauthErrorBody),
        (status = 401, description = "The service is not known by what it shows.", body = OauthErrorBody),
    )
)]
pub async fn introspect(
    State(app): State<App>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, OauthError> {
    let params = read_form(request).await?;
    Ok(kept_by_nobody(Json(app.oauth.introspect(&headers, &params).await?)))
}

/// Gives a token back
///
/// Its session ends, with every token of it; one that a service got for itself ends alone. One that is not known, or is another's,
/// is answered alike and stays as it is. Scripts can read the answer as that of `/oauth2/token`. Open to services.
#[utoipa::path(
    post, path = "/oauth2/revoke", tag = "oauth", operation_id = "giveTokenBack", security(()),
    request_body(content = TokenQuestion, content_type = "application/x-www-form-urlencoded", example = json!({
        "token": "qr_...", "client_id": "qa_...", "client_secret": "qs_..."
    })),
    responses(
        (status = 200, description = "It is good no more (RFC 7009).", body = RevokedBody),
        (status = 400, description = "No token is named.", body = OauthErrorBody),
        (status = 401, description = "The service is not known by what it shows.", body = OauthErrorBody),
    )
)]
pub async fn revoke(
    State(app): State<App>,
    origin: Origin,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, OauthError> {
    let params = read_form(request).await?;
    let answer = app.oauth.revoke(&headers, &params, &origin).await.map(|()| Json(RevokedBody {}));
    Ok(app.oauth.read_by_named(&headers, &params, kept_by_nobody(answer)).await)
}

/// Nothing is to be said of it any more.
#[derive(serde::Serialize, ToSchema)]
pub struct RevokedBody {}

/// Says who signed in to a service
///
/// To the service, by its access token, as far as the person allowed it to know. Scripts can read the answer as that of
/// `/oauth2/token`. Permission: none but to be signed in.
#[utoipa::path(
    get, path = "/oauth2/userinfo", tag = "oauth", operation_id = "readUserInfo",
    responses((status = 200, description = "It is this person.", body = UserInfo))
)]
pub async fn user_info(State(app): State<App>, _stands: Recognised, headers: HeaderMap) -> Response {
    told_of_user(&app, &headers).await
}

/// Says the same to whoever posts
///
/// As OpenID Connect Core section 5.3.1 has it; the token is in the header. Permission: none but to be signed in.
#[utoipa::path(
    post, path = "/oauth2/userinfo", tag = "oauth", operation_id = "postUserInfo",
    responses((status = 200, description = "It is this person.", body = UserInfo))
)]
pub async fn user_info_by_form(State(app): State<App>, _stands: Recognised, headers: HeaderMap) -> Response {
    told_of_user(&app, &headers).await
}

async fn told_of_user(app: &App, headers: &HeaderMap) -> Response {
    let answer = app.oauth.user_info(headers).await.map(Json);
    app.oauth.read_by_bearer(headers, answer.into_response()).await
}

/// Signs somebody out from a service
///
/// The browser comes here, the person is asked, and goes to the service's address if it named one (OpenID Connect RP-Initiated
/// Logout 1.0). Open to everybody.
#[utoipa::path(
    get, path = "/oauth2/logout", tag = "oauth", operation_id = "signOutFromService", security(()),
    params(
        ("id_token_hint" = Option<String>, Query, description = "An ID token of whoever is to be signed out"),
        ("client_id" = Option<String>, Query, description = "The service"),
        ("post_logout_redirect_uri" = Option<String>, Query, description = "One of its addresses, letter by letter"),
        ("state" = Option<String>, Query, description = "Comes back as it was sent"),
    ),
    responses(
        (status = 303, description = "The browser goes on to the page that asks."),
        (status = 400, description = "Service, token and address do not belong together: nobody is sent anywhere.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn log_out(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    leave(&app, &query.unwrap_or_default()).await
}

/// What a service asks that wants somebody to be signed out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used: a form is read by its parameters")]
pub struct LogOutForm {
    /// An ID token of whoever is to be signed out.
    id_token_hint: Option<String>,
    /// The service.
    #[schema(example = "qa_...")]
    client_id: Option<String>,
    /// One of its addresses, letter by letter; then token or service must be named.
    post_logout_redirect_uri: Option<String>,
    /// Comes back as it was sent.
    state: Option<String>,
}

/// Asks the same by a form
///
/// As RP-Initiated Logout 1.0 section 2 has it. Open to everybody.
#[utoipa::path(
    post, path = "/oauth2/logout", tag = "oauth", operation_id = "signOutFromServiceByForm", security(()),
    request_body(content = LogOutForm, content_type = "application/x-www-form-urlencoded", example = json!({
        "client_id": "qa_...", "post_logout_redirect_uri": "https://shop.example.com/signed-out"
    })),
    responses(
        (status = 303, description = "The browser goes on to the page that asks."),
        (status = 400, description = "Service, token and address do not belong together: nobody is sent anywhere.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn log_out_by_form(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    leave(&app, &form_text(request).await?).await
}

async fn leave(app: &App, asked: &str) -> Result<Response, Problem> {
    app.oauth.leaving(asked).await?;
    // Written anew: a form may hold what no address does.
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(asked).unwrap_or_default();
    let asked = serde_urlencoded::to_string(pairs).unwrap_or_default();
    Ok(gone_to(&app.pages.path(&format!("/sign-out?{asked}"))))
}

/// What nobody on the way may keep (RFC 6749 section 5.1).
pub(super) fn kept_by_nobody(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
