//! One person in several organisations: linking two of one's users, seeing where one is, and going there.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::Refusal;
use domain::identity::IdentityError;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use service_kit::access::InPerson;
use service_kit::body::{Json, Path};
use service_kit::email::EmailAddress;
use service_kit::problem::{Problem, ProblemBody};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::{BODY_BYTES_MAX, TokenAnswer, in_session};
use crate::answer::at;
use crate::app::App;
use crate::identity::Origin;
use crate::identity::persons::switch::{OwnOrganization, Switch};
use crate::identity::sessions::InSession;

/// Everything about it, with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(offer))
        .routes(routes!(confirm))
        .routes(routes!(unlink))
        .routes(routes!(switch))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// An organisation in which one is.
#[derive(Serialize, ToSchema)]
pub struct OwnOrganizationItem {
    /// Which.
    tenant_id: Uuid,
    /// Its name in addresses.
    #[schema(example = "acme")]
    slug: String,
    /// Its name for people.
    #[schema(example = "Acme Incorporated")]
    name: String,
    /// Who one is there.
    user_id: Uuid,
    /// Whether it is the one in which one is signed in with this token.
    current: bool,
    /// The link, for taking it away; none for the current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    link_id: Option<Uuid>,
    /// Since when it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    linked_at: Option<DateTime<Utc>>,
    /// Whether one can go on there now, with what was shown in this session.
    can_switch: bool,
    /// Why not: the code of the problem that it would be refused with. With `identity.second-factor-required`, one can with a
    /// code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "identity.user-inactive")]
    reason: Option<String>,
}

/// The organisations in which one is.
#[derive(Serialize, ToSchema)]
pub struct OwnOrganizations {
    /// The current one, then the others in the order in which they were linked: 20 at most.
    organizations: Vec<OwnOrganizationItem>,
}

/// As whom, and where, one is going to show the code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferLinkBody {
    /// The name of the other organisation.
    #[schema(example = "globex")]
    tenant_slug: String,
    /// One's address there. It is compared with nothing but that of whoever shows the code.
    #[schema(value_type = String, format = "email", max_length = 254, example = "ann@globex.example")]
    email: EmailAddress,
}

/// What to show in the other organisation.
#[derive(Serialize, ToSchema)]
pub struct LinkOffered {
    /// Good once.
    #[schema(example = "ql_...")]
    code: String,
    /// Seconds for which it is good.
    #[schema(example = 600)]
    expires_in: u64,
}

/// What was given in the other organisation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmLinkBody {
    /// The code.
    #[schema(max_length = 256, example = "ql_...")]
    code: String,
}

/// Two users are one person.
#[derive(Serialize, ToSchema)]
pub struct LinkConfirmed {
    /// The link, as it is named in this organisation.
    id: Uuid,
    /// Up to here the log holds what this answer says.
    #[schema(example = "1-4711")]
    position: String,
}

/// Where to go on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchBody {
    /// The name of the organisation.
    #[schema(example = "globex")]
    tenant_slug: String,
    /// The code that one's authenticator for that organisation shows now, if one has one there.
    #[serde(default)]
    #[schema(max_length = 32, example = "287082")]
    code: Option<String>,
}

impl From<OwnOrganization> for OwnOrganizationItem {
    fn from(it: OwnOrganization) -> Self {
        let (link_id, linked_at) = it.link.unzip();
        let current = link_id.is_none();
        Self {
            tenant_id: it.tenant.uuid(),
            slug: it.slug,
            name: it.name,
            user_id: it.user.uuid(),
            current,
            link_id,
            linked_at,
            can_switch: !current && it.refusal.is_none(),
            reason: it.refusal.map(|it| it.code.into_owned()),
        }
    }
}

/// An operator came in person too, and is in no organisation as anybody.
fn session_of(by: &InPerson) -> Result<InSession, Problem> {
    in_session(by.caller()).ok_or_else(|| Refusal::from(IdentityError::OwnProofRequired).into())
}

/// What is said once is for whoever asked alone.
fn unstored(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Lists the organisations in which one is
///
/// That of the token, and those of the users that one has linked to it. Nobody else can see where one is: no organisation is told
/// of another one. So that of the token is all in a session that rests on the word of a provider (`fed`), until the password is
/// shown in it. Permission: none but to be signed in, in person.
#[utoipa::path(
    get, path = "/v1/auth/organizations", tag = "auth", operation_id = "listOwnOrganizations",
    responses(
        (status = 200, description = "They are these.", body = OwnOrganizations, example = json!({ "organizations": [
            { "tenant_id": "0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e", "slug": "acme", "name": "Acme Incorporated",
              "user_id": "0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5f", "current": true, "can_switch": false },
            { "tenant_id": "0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d60", "slug": "globex", "name": "Globex Corporation",
              "user_id": "0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d61", "current": false,
              "link_id": "6f1c2b3a-4d5e-4198-85a2-7a4e7d6e9d52", "linked_at": "2026-01-02T03:04:05Z",
              "can_switch": false, "reason": "identity.user-inactive" }
        ] })),
        (status = 403, description = "The caller is no person in a session of their own.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn list(State(app): State<App>, by: InPerson) -> Result<Response, Problem> {
    let all = app.identity.own_organizations(session_of(&by)?).await?;
    let organizations = all.into_iter().map(OwnOrganizationItem::from).collect();
    Ok(unstored(Json(OwnOrganizations { organizations }).into_response()))
}

/// Begins to link one's user in another organisation
///
/// Gives a code to be shown there at `/v1/auth/links/identities/confirm`, within ten minutes, while this session lasts, by the
/// user with the named address. A newer code takes the place of it. Nothing that is answered tells whether that organisation or
/// that address exists. The person must have shown within ten minutes who they are. Permission: none but to be signed in, in
/// person.
#[utoipa::path(
    post, path = "/v1/auth/links/identities", tag = "auth", operation_id = "offerIdentityLink",
    request_body(content = OfferLinkBody, example = json!({ "tenant_slug": "globex", "email": "ann@globex.example" })),
    responses(
        (status = 200, description = "The code can be shown.", body = LinkOffered, example = json!({ "code": "ql_...", "expires_in": 600 })),
        (status = 403, description = "The caller is no person in a session of their own, all that they showed in it is the word of a provider, it was too long ago, or a second factor is missing.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It is the organisation in which one is signed in, or one has as many links as one may have.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn offer(
    State(app): State<App>,
    by: InPerson,
    Json(body): Json<OfferLinkBody>,
) -> Result<Response, Problem> {
    let offered = app.identity.offer_link(session_of(&by)?, &body.tenant_slug, &body.email).await?;
    let answer =
        LinkOffered { code: offered.code.expose_secret().to_owned(), expires_in: offered.lasts.as_secs() };
    Ok(unstored(Json(answer).into_response()))
}

/// Links one's user in another organisation
///
/// Takes a code that one got there. From then on one can go from one organisation to the other without signing in again; either
/// side can take that back at any time. The person must have shown within ten minutes who they are. Permission: none but to be
/// signed in, in person.
#[utoipa::path(
    post, path = "/v1/auth/links/identities/confirm", tag = "auth", operation_id = "confirmIdentityLink",
    request_body(content = ConfirmLinkBody, example = json!({ "code": "ql_..." })),
    responses(
        (status = 200, description = "The two are linked.", body = LinkConfirmed, example = json!({ "id": "6f1c2b3a-4d5e-4198-85a2-7a4e7d6e9d52", "position": "1-4711" })),
        (status = 403, description = "The caller is no person in a session of their own, all that they showed in it is the word of a provider, it was too long ago, or a second factor is missing.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The code is used, over, or for somebody else; or the session in which it was asked for is over or not fresh any more.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "One of the two is linked to somebody of the other's organisation already.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "One of the two has as many links as one may have.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn confirm(
    State(app): State<App>,
    by: InPerson,
    Json(body): Json<ConfirmLinkBody>,
) -> Result<Response, Problem> {
    let origin = Origin::of(by.caller());
    let linked = app.identity.link_identities(session_of(&by)?, &body.code, &origin).await?;
    let position = linked.position.to_string();
    let answer = LinkConfirmed { id: linked.link, position: position.clone() };
    Ok(at(Json(answer).into_response(), &position))
}

/// Takes the link to one's user in another organisation away
///
/// From either side; the person is told so by mail in both. Sessions in which one came by it are over. The person must have shown
/// within ten minutes who they are, by a second factor too if they have one. Permission: none but to be signed in, in person.
#[utoipa::path(
    delete, path = "/v1/auth/links/identities/{id}", tag = "auth", operation_id = "unlinkIdentity",
    params(("id" = Uuid, Path, description = "The link, as the list of one's organisations names it")),
    responses(
        (status = 204, description = "It is taken away."),
        (status = 403, description = "The caller is no person in a session of their own, has not shown within ten minutes who they are, or a second factor is missing.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such link of one's own.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn unlink(
    State(app): State<App>,
    by: InPerson,
    Path(link): Path<Uuid>,
) -> Result<Response, Problem> {
    let who = in_session(by.caller()).ok_or_else(|| Refusal::from(IdentityError::NotLinked))?;
    let position = app.identity.unlink_identities(who, link, &Origin::of(by.caller())).await?;
    Ok(at(StatusCode::NO_CONTENT.into_response(), &position.to_string()))
}

/// Goes on in another organisation
///
/// Starts a session there, of the linked user, without another sign-in. It says what was shown in this session, and when: it is
/// no fresher. It lasts as the organisation there lets it, whatever becomes of this one, and ends if the link is taken away. If
/// the user has a second factor there, it is asked for: repeat the request with a code. Permission: none but to be signed in, in
/// person.
#[utoipa::path(
    post, path = "/v1/auth/switch", tag = "auth", operation_id = "switchOrganization",
    request_body(content = SwitchBody, example = json!({ "tenant_slug": "globex", "code": "287082" })),
    responses(
        (status = 200, description = "One is signed in there.", body = TokenAnswer, example = json!({
            "access_token": "eyJ...", "refresh_token": "qr_...", "token_type": "Bearer", "expires_in": 3600
        })),
        (status = 403, description = "The caller is no person in a session of their own, or all that they showed in it is the word of a provider; a second factor is asked for there; the address there is not proven, or one is no member there any more, or that organisation may not work.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "One has no linked user in such an organisation.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The user there is not active.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn switch(
    State(app): State<App>,
    by: InPerson,
    Json(body): Json<SwitchBody>,
) -> Result<Response, Problem> {
    let asked = Switch { slug: body.tenant_slug, code: body.code.map(Into::into) };
    let done = app.identity.switch(session_of(&by)?, asked, &Origin::of(by.caller())).await?;
    let answer = TokenAnswer::new(done.tokens.access, Some(&done.tokens.refresh));
    Ok(unstored(at(Json(answer).into_response(), &done.position.to_string())))
}
