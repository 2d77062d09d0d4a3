//! Invitations: sent, sent again, taken back; and accepted or declined by whoever has the link.

use axum::extract::{DefaultBodyLimit, FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use domain::Decision;
use domain::ids::InvitationId;
use domain::metadata::Label;
use domain::organisation::RoleRef;
use domain::words::Language;
use serde::{Deserialize, Serialize};
use service_kit::access::{Admitted as _, Allowed, InPerson, permissions};
use service_kit::body::{Json, Path};
use service_kit::email::EmailAddress;
use service_kit::problem::{Problem, ProblemBody, code};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::{BODY_BYTES_MAX, in_session};
use crate::answer::{Accepted, Together, at};
use crate::app::App;
use crate::identity::Origin;
use crate::identity::invitations::{Invites, Inviting, Joined, NewMember};
use crate::keys::{OptionalKey, Request};
use crate::passwords::Password;
use crate::schema::{LabelText, LanguageText, RoleText};

const LOCATION: &str = "/v1/invitations";
/// For how long an invitation can be accepted, if nothing else is said.
const DAYS: u8 = 7;
/// How often a link is made anew that somebody else's was quicker than.
const ATTEMPTS_MAX: usize = 3;

/// Every command about invitations, with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(invite))
        .routes(routes!(resend))
        .routes(routes!(revoke))
        .routes(routes!(accept))
        .routes(routes!(decline))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// Somebody is to become a member.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteBody {
    /// Where they are written to.
    #[schema(value_type = String, format = "email", max_length = 254)]
    email: EmailAddress,
    /// What they will be: names of built-in roles, or identifiers of the organisation's own; at least one.
    #[schema(value_type = Vec<RoleText>, min_items = 1, max_items = 20, example = json!(["user"]))]
    roles: Vec<RoleRef>,
    /// For how many days it can be accepted.
    #[serde(default = "days")]
    #[schema(minimum = 1, maximum = 30, default = 7)]
    expires_in_days: u8,
}

const fn days() -> u8 {
    DAYS
}

/// Invites somebody
///
/// A link goes to their address; nobody else ever sees it. Whoever registered with the address and never showed that it is
/// theirs makes room: they are out. Nobody grants what they do not hold themselves. Permission:
/// `organisation.invite-member`.
#[utoipa::path(
    post, path = "/v1/invitations", tag = "invitations", operation_id = "invite",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = InviteBody, example = json!({ "email": "ann@example.com", "roles": ["user"] })),
    responses(
        (status = 201, description = "The link is on its way.", body = Accepted),
        (status = 403, description = "The roles grant more than the caller holds.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The address is invited already, or its owner is a member.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "There is no seat left, a role is not there, or the days are too many.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn invite(
    State(app): State<App>,
    allowed: Allowed<permissions::InviteMember>,
    key: OptionalKey,
    Json(body): Json<InviteBody>,
) -> Result<Response, Problem> {
    let InviteBody { email, roles, expires_in_days } = body;
    let stated = (email.mailbox(), &roles, expires_in_days);
    let request = Request::new("POST /v1/invitations", &stated);
    let key = app.key(&allowed, &key, &request)?;
    let asked = Inviting { email, roles, lasts: TimeDelta::days(expires_in_days.into()) };
    let invites = app.identity.inviting(allowed.caller(), asked, key.as_ref()).await?;
    let Invites { displace, command, vault } = invites;
    let before = displace.into_iter().map(|it| Box::new(it) as Box<dyn Decision>).collect();
    app.run_after(&allowed, key, LOCATION, before, Together::one(command, vault)).await
}

/// Sends an invitation again
///
/// With a new link, which is good for another week; the one before is good no more. Permission: `organisation.invite-member`.
#[utoipa::path(
    post, path = "/v1/invitations/{id}/resend", tag = "invitations", operation_id = "resendInvitation",
    params(("id" = Uuid, Path, description = "The invitation"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "The new link is on its way.", body = Accepted),
        (status = 404, description = "There is no such invitation.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It was answered or taken back.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn resend(
    State(app): State<App>,
    allowed: Allowed<permissions::InviteMember>,
    key: OptionalKey,
    Path(invitation): Path<InvitationId>,
) -> Result<Response, Problem> {
    let request = Request::new("POST /v1/invitations/{id}/resend", &()).about(invitation);
    let key = app.key(&allowed, &key, &request)?;
    let caller = allowed.caller();
    let lasts = TimeDelta::days(DAYS.into());
    for _ in 0..ATTEMPTS_MAX {
        let again = app.identity.resending(caller, invitation, lasts, key.as_ref()).await?;
        let together = Together::one(again.command, again.vault);
        let response = app.run_expecting(&allowed, key, again.expected, LOCATION, together).await?;
        // Somebody else sent it in the meantime, so the link that was made is not the newest one.
        if response.status() != StatusCode::PRECONDITION_FAILED {
            return Ok(response);
        }
    }
    Err(Problem::new(&code::OVERLOADED, ""))
}

/// Takes an invitation back
///
/// Its link is good no more. Permission: `organisation.invite-member`.
#[utoipa::path(
    post, path = "/v1/invitations/{id}/revoke", tag = "invitations", operation_id = "revokeInvitation",
    params(("id" = Uuid, Path, description = "The invitation"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "Nobody can accept it.", body = Accepted),
        (status = 404, description = "There is no such invitation.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It was answered, or its time is over.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn revoke(
    State(app): State<App>,
    allowed: Allowed<permissions::InviteMember>,
    key: OptionalKey,
    Path(invitation): Path<InvitationId>,
) -> Result<Response, Problem> {
    let request = Request::new("POST /v1/invitations/{id}/revoke", &()).about(invitation);
    let key = app.key(&allowed, &key, &request)?;
    let (revoke, useless) = app.identity.revoking(allowed.caller().tenant, invitation).await?;
    app.run_together(&allowed, key, LOCATION, Together::one(revoke, [useless])).await
}

/// Somebody accepts an invitation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptBody {
    /// What stands behind the `#` of the link.
    #[schema(example = "qm_...")]
    token: String,
    /// The password of their choice; or the one that they have here, if they were a member before. Left out by somebody who is
    /// signed in.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "password", max_length = 128)]
    password: Option<Password>,
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

/// Somebody is a member.
#[derive(Serialize, ToSchema)]
pub struct JoinedBody {
    /// Who they are in the organisation.
    id: Uuid,
    /// Up to here the log holds it.
    #[schema(example = "1-4711")]
    position: String,
}

/// Whoever comes: in a session, or with nothing. A token that is shown must be good.
pub struct Whoever(Option<InPerson>);

impl<S: Send + Sync> FromRequestParts<S> for Whoever {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.headers.contains_key(header::AUTHORIZATION) {
            return InPerson::from_request_parts(parts, state).await.map(Some).map(Self);
        }
        Ok(Self(None))
    }
}

/// Accepts an invitation
///
/// With a password, by somebody who is new or was a member before: the link shows that the address is theirs. Without one, by
/// somebody who is signed in somewhere, with the invited address and that verified; elsewhere they are a new person, who
/// chooses a password later. Whoever is wrong here is refused, and the invitation stays. Open to whoever has the link.
#[utoipa::path(
    post, path = "/v1/invitations/accept", tag = "invitations", operation_id = "acceptInvitation",
    security((), ("bearer" = [])),
    request_body(content = AcceptBody, example = json!({
        "token": "qm_...", "password": "jade-umpire-quartz-lagoon", "given_name": "Ann", "family_name": "Smith"
    })),
    responses(
        (status = 200, description = "They are a member.", body = JoinedBody),
        (status = 401, description = "Neither password nor session is there, or it is not good.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The invitation is for another address, its sender may not grant the roles any more, or the organisation is not active.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The link is not good, or not any more.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "They are a member already.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The password is too weak.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong guesses.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn accept(
    State(app): State<App>,
    Whoever(by): Whoever,
    origin: Origin,
    Json(body): Json<AcceptBody>,
) -> Result<Response, Problem> {
    let AcceptBody { token, password, given_name, family_name, language } = body;
    let Joined { user, position, .. } = match (password, by) {
        (Some(password), _) => {
            let who = NewMember { password, given_name, family_name, language };
            app.identity.accept_with_password(&token, who, &origin).await?
        }
        (None, Some(by)) => {
            let caller = by.caller();
            let who = in_session(caller).ok_or_else(|| Problem::new(&code::INVALID_CREDENTIALS, ""))?;
            let gated = |command| by.gated(command);
            app.identity.accept_in_session(&token, who, gated, &Origin::of(caller)).await?
        }
        (None, None) => return Err(Problem::new(&code::TOKEN_MISSING, "")),
    };
    let position = position.to_string();
    let answer = JoinedBody { id: user.uuid(), position: position.clone() };
    Ok(at(Json(answer).into_response(), &position))
}

/// The link of the letter.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeclineBody {
    /// What stands behind the `#` of the link.
    #[schema(example = "qm_...")]
    token: String,
}

/// Declines an invitation
///
/// Open to whoever has the link.
#[utoipa::path(
    post, path = "/v1/invitations/decline", tag = "invitations", operation_id = "declineInvitation", security(()),
    request_body(content = DeclineBody, example = json!({ "token": "qm_..." })),
    responses(
        (status = 204, description = "Nobody can accept it any more."),
        (status = 404, description = "The link is not good, or not any more.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn decline(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<DeclineBody>,
) -> Result<Response, Problem> {
    let position = app.identity.decline_invitation(&body.token, &origin).await?;
    Ok(at(StatusCode::NO_CONTENT.into_response(), &position.to_string()))
}
