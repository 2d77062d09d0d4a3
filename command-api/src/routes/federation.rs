//! Signing in with others: the way there and back, and one's own links.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CACHE_CONTROL, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::Refusal;
use domain::federation::{FederationError, ProviderSettings};
use domain::ids::{LinkId, ProviderId, UserId};
use event_store::vault::LinkRow;
use serde::{Deserialize, Serialize};
use service_kit::access::permissions::ReadUsers;
use service_kit::access::{InPerson, Own};
use service_kit::body::{Json, Path, Query};
use service_kit::problem::{Problem, ProblemBody, code};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::{TokenAnswer, in_session};
use crate::answer::{Accepted, POSITION, Together, gone_to};
use crate::app::App;
use crate::identity::Origin;
use crate::identity::federated::{AT_PROVIDER, BeginFederated, Challenge, Freshness, GivingUp, Sent};

/// Bytes of a body. Nothing here needs more, and nobody is known yet who sends it.
const BODY_BYTES_MAX: usize = 8 * 1024;
/// What a browser keeps while somebody is at a provider: it must come along when they are sent back.
const BROWSER_COOKIE: &str = "quipu-provider";

/// Everything about signing in with others, with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(begin))
        .routes(routes!(callback))
        .routes(routes!(hand_over))
        .routes(routes!(links, begin_link))
        .routes(routes!(unlink))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// A provider, as somebody sees it who wants to sign in.
#[derive(Serialize, ToSchema)]
pub struct ProviderChoice {
    /// Its name in addresses.
    #[schema(example = "github")]
    name: String,
    /// Its name for people.
    #[schema(example = "GitHub")]
    title: String,
    /// How it is talked to.
    #[schema(example = "github")]
    kind: String,
}

/// The providers of an organisation.
#[derive(Serialize, ToSchema)]
pub struct ProviderChoices {
    /// By name.
    providers: Vec<ProviderChoice>,
}

/// In which organisation.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OrganisationParams {
    /// The name of the organisation, as its address has it.
    #[param(example = "acme")]
    tenant_slug: String,
}

/// How a sign-in begins.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BeginParams {
    /// The name of the organisation, as its address has it.
    #[param(example = "acme")]
    tenant_slug: String,
    /// Where to go at the end: one of the provider's return addresses, letter by letter. `code` or `error` is added to it.
    #[param(example = "https://app.example.com/signed-in")]
    redirect_uri: String,
    /// SHA-256, in base64url, of a random text of 43 to 128 characters that the client keeps (RFC 7636, S256).
    #[param(example = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")]
    code_challenge: String,
    /// `login`, if the provider must have the person show anew who they are and say so: the session then counts as fresh. Without
    /// it, the session counts as of when they did, which may be days ago.
    #[param(inline, example = "login")]
    prompt: Option<Prompt>,
}

/// What the person is to be asked.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// To show anew who they are.
    Login,
}

/// How a link begins.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginLinkBody {
    /// The provider's name in addresses.
    #[schema(example = "github")]
    provider: String,
    /// Where to go at the end: one of the provider's return addresses, letter by letter.
    #[schema(example = "https://app.example.com/settings")]
    redirect_uri: String,
    /// SHA-256, in base64url, of a random text that the client keeps (RFC 7636, S256).
    #[schema(example = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")]
    code_challenge: String,
}

/// Where to send the browser.
#[derive(Serialize, ToSchema)]
pub struct Begun {
    /// The provider, with everything that it must be asked.
    authorization_url: String,
}

/// The last step of a sign-in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandOverBody {
    /// The code that came with the return address.
    #[schema(example = "qh_...")]
    code: String,
    /// The text that the challenge was made of.
    #[schema(min_length = 43, max_length = 128)]
    verifier: String,
}

/// A link of one's own.
#[derive(Serialize, ToSchema)]
pub struct LinkItem {
    /// Which.
    id: Uuid,
    /// Who vouches.
    provider_id: Uuid,
    /// Its name in addresses, if people still sign in with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    /// Its name for people, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// Since when.
    linked_at: DateTime<Utc>,
}

/// One's own links.
#[derive(Serialize, ToSchema)]
pub struct LinkItems {
    /// One a provider at most.
    links: Vec<LinkItem>,
}

/// Lists with whom one can sign in
///
/// The providers that an organisation's policy lets people sign in with, by name; none of one that does not exist. Open to
/// everybody.
#[utoipa::path(
    get, path = "/v1/auth/providers", tag = "providers", operation_id = "listProviderChoices", security(()),
    params(OrganisationParams),
    responses(
        (status = 200, description = "They are these.", body = ProviderChoices),
    )
)]
pub async fn list(
    State(app): State<App>,
    Query(params): Query<OrganisationParams>,
) -> Result<Json<ProviderChoices>, Problem> {
    let tenant = app.identity.organisation(&params.tenant_slug).await?;
    let choice = |(_, it): (ProviderId, ProviderSettings)| ProviderChoice {
        name: it.name.to_string(),
        title: it.title.to_string(),
        kind: it.kind.to_string(),
    };
    let providers = app.identity.provider_choices(tenant).await?.into_iter().map(choice).collect();
    Ok(Json(ProviderChoices { providers }))
}

/// Begins a sign-in with a provider
///
/// Sends the browser there. At the end it is at the return address, with `code` or with `error`. With `prompt=login` the error
/// is `federation.not-fresh` if the provider does not say that the person just showed it who they are: GitHub never says it,
/// Google and Microsoft where the application is set up to. A second factor that is shown after it will do, too. Without
/// `prompt`, a session whose provider does not say when counts as fresh for people who have nothing else to show here, and for
/// nobody else. Open to everybody.
#[utoipa::path(
    get, path = "/v1/auth/{provider}", tag = "providers", operation_id = "beginProviderSignIn", security(()),
    params(("provider" = String, Path, description = "The provider's name"), BeginParams),
    responses(
        (status = 303, description = "The browser goes to the provider."),
        (status = 400, description = "The return address or the challenge is not one.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such organisation or provider.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The provider does not answer as it should.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn begin(
    State(app): State<App>,
    Path(provider): Path<String>,
    Query(params): Query<BeginParams>,
    origin: Origin,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let challenge = challenge(&params.code_challenge)?;
    let asked = BeginFederated {
        tenant: app.identity.organisation(&params.tenant_slug).await?,
        provider,
        return_uri: params.redirect_uri,
        challenge,
        browser: browser_of(&app, &headers),
        signed_in: None,
        freshness: params.prompt.map_or(Freshness::Any, |Prompt::Login| Freshness::Demanded),
    };
    let sent = app.identity.begin_federated(&app.providers, asked, &origin).await?;
    Ok(remembered(&app, &sent, gone_to(sent.url.as_str())))
}

/// Takes somebody back from a provider
///
/// The provider sends the browser here; nobody else calls it. Open to everybody.
#[utoipa::path(
    get, path = "/v1/auth/{provider}/callback", tag = "providers", operation_id = "endProviderSignIn", security(()),
    params(
        ("provider" = String, Path, description = "The provider's identifier"),
        ("state" = Option<String>, Query, description = "What the browser was sent with"),
        ("code" = Option<String>, Query, description = "What the provider gives"),
        ("error" = Option<String>, Query, description = "What the provider gives instead"),
        ("iss" = Option<String>, Query, description = "Who the provider says that it is (RFC 9207)"),
    ),
    responses(
        (status = 303, description = "The browser goes to the return address, with `code`, or with the code of a problem as `error`."),
        (status = 401, description = "This is no sign-in that was begun in this browser.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The path names no provider.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn callback(
    State(app): State<App>,
    origin: Origin,
    Path(provider): Path<ProviderId>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let (query, browser) = (uri.query().unwrap_or_default(), browser_of(&app, &headers));
    let url = app.identity.came_back(&app.providers, provider, query, browser.as_deref(), &origin).await?;
    Ok(gone_to(url.as_str()))
}

/// Ends a sign-in with a provider
///
/// Exchanges the code of the return address for tokens, once and within a minute, for whoever has the text that the challenge
/// was made of. Open to everybody.
#[utoipa::path(
    post, path = "/v1/auth/handover", tag = "providers", operation_id = "handOver", security(()),
    request_body(content = HandOverBody, example = json!({
        "code": "qh_...", "verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    })),
    responses(
        (status = 200, description = "The person is signed in.", body = TokenAnswer),
        (status = 401, description = "The code is not good, or the link stands no more.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The address is not proven yet, or the organisation may not work; or a second factor is asked for, as at `/v1/auth/login`.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn hand_over(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<HandOverBody>,
) -> Result<Response, Problem> {
    let done = app.identity.hand_over(&body.code, &body.verifier, &origin).await?;
    let mut response = Json(TokenAnswer::new(done.tokens.access, Some(&done.tokens.refresh))).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(position) = HeaderValue::try_from(done.position.to_string()) {
        headers.insert(POSITION, position);
    }
    Ok(response)
}

/// Lists one's own links
///
/// With whom one can sign in as oneself. Permission: none but to be signed in. Whoever acts for another needs
/// `identity.read-users`, and every such use is recorded in the audit trail.
#[utoipa::path(
    get, path = "/v1/auth/links/external", tag = "providers", operation_id = "listLinks",
    responses((status = 200, description = "They are these.", body = LinkItems))
)]
pub async fn links(State(app): State<App>, by: Own<ReadUsers>) -> Result<Json<LinkItems>, Problem> {
    let caller = by.caller();
    let links = app.identity.links(caller.tenant, UserId::new(caller.actor.uuid())).await?;
    let item = |(row, settings): (LinkRow, Option<ProviderSettings>)| LinkItem {
        id: row.link.uuid(),
        provider_id: row.provider.uuid(),
        provider: settings.as_ref().map(|it| it.name.to_string()),
        title: settings.map(|it| it.title.to_string()),
        linked_at: row.since,
    };
    Ok(Json(LinkItems { links: links.into_iter().map(item).collect() }))
}

/// Begins a link
///
/// Says where to send the browser, so that one can sign in with that provider too from then on, of which one is told by mail.
/// The person must have shown within ten minutes who they are, by a second factor too if they have one, and the provider is told
/// to have them show it who they are. Permission: none but to be signed in, in person.
#[utoipa::path(
    post, path = "/v1/auth/links/external", tag = "providers", operation_id = "beginLink",
    request_body(content = BeginLinkBody, example = json!({
        "provider": "github", "redirect_uri": "https://app.example.com/settings",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    })),
    responses(
        (status = 200, description = "The browser can go there.", body = Begun),
        (status = 400, description = "The return address or the challenge is not one.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such provider.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The provider does not answer as it should.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn begin_link(
    State(app): State<App>,
    by: InPerson,
    headers: HeaderMap,
    Json(body): Json<BeginLinkBody>,
) -> Result<Response, Problem> {
    let caller = by.caller();
    // A program has no browser and no identity elsewhere.
    let who = in_session(caller).ok_or_else(|| Refusal::from(FederationError::LinkNeedsSignIn))?;
    let asked = BeginFederated {
        tenant: caller.tenant,
        provider: body.provider,
        return_uri: body.redirect_uri,
        challenge: challenge(&body.code_challenge)?,
        browser: browser_of(&app, &headers),
        signed_in: Some(who),
        freshness: Freshness::Asked,
    };
    let sent = app.identity.begin_federated(&app.providers, asked, &Origin::of(caller)).await?;
    let answer = Json(Begun { authorization_url: sent.url.to_string() }).into_response();
    Ok(remembered(&app, &sent, answer))
}

/// Gives a link up
///
/// One cannot sign in with it any more, and is told so by mail; sessions that began with it go on. The person must have shown
/// within ten minutes who they are, by a second factor too if they have one. Permission: none but to be signed in, in person.
#[utoipa::path(
    delete, path = "/v1/auth/links/external/{id}", tag = "providers", operation_id = "unlink",
    params(("id" = Uuid, Path, description = "The link")),
    responses(
        (status = 200, description = "It is given up.", body = Accepted),
        (status = 403, description = "The caller is no person in a session of their own, has not shown within ten minutes who they are, or a second factor is missing.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such link of one's own.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn unlink(
    State(app): State<App>,
    by: InPerson,
    Path(link): Path<LinkId>,
) -> Result<Response, Problem> {
    let who = in_session(by.caller()).ok_or_else(|| Refusal::from(FederationError::LinkNotFound))?;
    let GivingUp { command, vault } = app.identity.giving_up(who, link).await?;
    app.run_together(&by, None, "", Together { commands: [command], vault }).await
}

fn challenge(text: &str) -> Result<Challenge, Problem> {
    Challenge::parse(text)
        .ok_or_else(|| Problem::new(&code::INVALID_PARAMETER, "code_challenge is not SHA-256 in base64url"))
}

/// What the browser kept of an earlier sign-in.
pub(crate) fn browser_of(app: &App, headers: &HeaderMap) -> Option<String> {
    app.cookies().kept(headers, BROWSER_COOKIE)
}

/// Has the browser keep what binds it to a sign-in that was begun.
pub(crate) fn remembered(app: &App, sent: &Sent, mut response: Response) -> Response {
    let lasts = i64::try_from(AT_PROVIDER.as_secs()).ok();
    if let Some(cookie) = app.cookies().given(BROWSER_COOKIE, &sent.browser, lasts) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}
