//! Persons, as an administrator makes and changes them: made, described, deactivated, reactivated, their sessions ended, their
//! password asked for anew.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::Decision;
use domain::followed::Followed;
use domain::identity::{DeactivateUser, EndSessions, ReactivateUser, user};
use domain::ids::UserId;
use domain::leaving::Leaving;
use domain::metadata::Label;
use domain::organisation::RoleRef;
use domain::outranking::Outranking;
use domain::words::{Language, Word};
use event_store::vault::VaultChange;
use serde::{Deserialize, Deserializer, Serialize};
use service_kit::access::{Admitted, Allowed, permissions};
use service_kit::body::{Json, Path};
use service_kit::contact::{Phone, PostalAddress};
use service_kit::email::EmailAddress;
use service_kit::problem::{Problem, ProblemBody};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::account::Nothing;
use crate::answer::{Accepted, Together};
use crate::app::App;
use crate::identity::profile::{Making, Name, NewPerson, Profile};
use crate::keys::{IfMatch, OptionalKey, Request};
use crate::schema::{LabelText, LanguageText, PostalText, RoleText};
use crate::standing::granter;

const LOCATION: &str = "/v1/users";
const DEACTIVATED: Word = Word::of("deactivated");
const BY_ADMINISTRATOR: Word = Word::of("administrator");

/// Every command about persons, with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(update))
        .routes(routes!(reset_password))
        .routes(routes!(deactivate))
        .routes(routes!(reactivate))
        .routes(routes!(end_sessions))
}

/// What a person is called. What is left out stays; what is `null` is not known any more.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NameBody {
    /// By friends.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<LabelText>, required = false)]
    given_name: Option<Option<Label>>,
    /// By the family.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<LabelText>, required = false)]
    family_name: Option<Option<Label>>,
}

impl From<NameBody> for Name {
    fn from(body: NameBody) -> Self {
        Self { given: body.given_name, family: body.family_name }
    }
}

/// What changes of a person. What is left out stays; what is `null` is not known any more.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileBody {
    /// What they are called.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = NameBody, required = false)]
    name: Option<NameBody>,
    /// Their telephone number.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = r"^\+?[ ()./-]*([0-9][ ()./-]*){4,15}$", max_length = 32, example = "+43 1 58858-0")]
    phone: Option<Option<Phone>>,
    /// Where they live, in lines.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PostalText>, required = false, example = "1 Main Street\nA-1010 Wien")]
    address: Option<Option<PostalAddress>>,
    /// The language in which they are written to, as a tag (RFC 5646). Any is taken: letters and pages are in German for `de`
    /// and its kin, else in English.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = LanguageText, required = false, example = "de-AT")]
    language: Option<Language>,
}

/// What is there, even if it is `null`.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl From<ProfileBody> for Profile {
    fn from(body: ProfileBody) -> Self {
        Self {
            name: body.name.unwrap_or_default().into(),
            phone: body.phone,
            address: body.address,
            language: body.language,
        }
    }
}

/// A person is to be made.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    /// Where they are written to.
    #[schema(value_type = String, format = "email", max_length = 254)]
    email: EmailAddress,
    /// What they are called.
    #[serde(default)]
    name: Option<NameBody>,
    /// What they will be: names of built-in roles, or identifiers of the organisation's own; at least one.
    #[serde(default = "least")]
    #[schema(value_type = Vec<RoleText>, min_items = 1, max_items = 20, default = json!(["user"]))]
    roles: Vec<RoleRef>,
    /// The language in which they are written to, as a tag (RFC 5646); the organisation's if it is left out. Any is taken:
    /// letters and pages are in German for `de` and its kin, else in English.
    #[serde(default)]
    #[schema(value_type = Option<LanguageText>, example = "de-AT")]
    language: Option<Language>,
}

fn least() -> Vec<RoleRef> {
    vec![RoleRef::USER]
}

/// Adds a person
///
/// They are a member at once, and choose their password by a link that is mailed to them: nobody else knows it. Nobody grants
/// what they do not hold themselves. An open invitation of the address is taken back, and whoever registered with it and never
/// showed that it is theirs is out. Permission: `identity.create-user`.
#[utoipa::path(
    post, path = "/v1/users", tag = "users", operation_id = "createUser",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    request_body(content = CreateBody, example = json!({
        "email": "ann@example.com", "name": { "given_name": "Ann", "family_name": "Smith" }, "roles": ["user"]
    })),
    responses(
        (status = 201, description = "They are there, and the link is on its way.", body = Accepted),
        (status = 403, description = "The roles grant more than the caller holds.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The address belongs to somebody already.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "There is no seat left, or a role is not there.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(app): State<App>,
    allowed: Allowed<permissions::CreateUser>,
    key: OptionalKey,
    Json(body): Json<CreateBody>,
) -> Result<Response, Problem> {
    let CreateBody { email, name, roles, language } = body;
    let key = app.key(
        &allowed,
        &key,
        &Request::new("POST /v1/users", &(email.mailbox(), &name, &roles, &language)),
    )?;
    let asked = NewPerson { email, name: name.unwrap_or_default().into(), roles, language };
    let Making { room, register, join, vault } =
        app.identity.making(allowed.caller(), asked, key.as_ref()).await?;
    let commands: [Box<dyn Decision>; 2] = [Box::new(register), Box::new(join)];
    let vault = room.vault.into_iter().chain(vault).collect();
    app.run_after(&allowed, key, LOCATION, room.commands, Together { commands, vault }).await
}

/// Changes what is known of a person
///
/// Their name, phone, address and language. The address of mail changes by its owner's hand alone, and whether it is proven by
/// a link alone. Permission: `identity.update-user`.
#[utoipa::path(
    patch, path = "/v1/users/{id}", tag = "users", operation_id = "updateUser",
    params(("id" = Uuid, Path, description = "The person"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat"),
           ("If-Match" = Option<String>, Header, description = "The version that the person must have")),
    request_body(content = ProfileBody, example = json!({
        "name": { "given_name": "Ann", "family_name": "Smith" }, "phone": "+43 1 58858-0", "address": null
    })),
    responses(
        (status = 200, description = "It is known so.", body = Accepted),
        (status = 404, description = "There is no such person.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "They are not active, or were erased.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "They have another version.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn update(
    State(app): State<App>,
    allowed: Allowed<permissions::UpdateUser>,
    key: OptionalKey,
    if_match: IfMatch,
    Path(user): Path<UserId>,
    Json(body): Json<ProfileBody>,
) -> Result<Response, Problem> {
    let request = Request::new("PATCH /v1/users/{id}", &body).about(user).if_match(if_match);
    let key = app.key(&allowed, &key, &request)?;
    let expected = if_match.of(user::stream(user));
    let change = outranking(&allowed, user, Profile::from(body).of(user));
    app.run(&allowed, key, expected, LOCATION, change).await
}

/// Has a person asked by mail for a new password
///
/// The link goes to their address; whoever asks never sees it. Permission: `identity.reset-password`.
#[utoipa::path(
    post, path = "/v1/users/{id}/password-reset", tag = "users", operation_id = "resetPasswordOfUser",
    params(("id" = Uuid, Path, description = "The person")),
    responses(
        (status = 202, description = "The letter is on its way.", body = Nothing),
        (status = 404, description = "There is no such person.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "They are not active, or were erased.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn reset_password(
    State(app): State<App>,
    allowed: Allowed<permissions::ResetPassword>,
    Path(user): Path<UserId>,
) -> Result<(StatusCode, Json<Nothing>), Problem> {
    let caller = allowed.caller();
    app.identity.ask_for_reset(caller.tenant, user, caller.actor).await?;
    Ok((StatusCode::ACCEPTED, Json(Nothing {})))
}

/// What is done to somebody's account on the word of one who holds all that they hold.
fn outranking(by: &impl Admitted, user: UserId, command: impl Decision + 'static) -> Outranking {
    let caller = by.caller();
    let table = permissions::role_table(caller.tenant).clone();
    Outranking::new(granter(caller), table, user, Box::new(command))
}

/// Ends all sessions of a person, with the refresh tokens that keep them alive.
fn ends(by: &impl Admitted, user_id: UserId, because: Word) -> (EndSessions, VaultChange) {
    let caller = by.caller();
    let revoke = VaultChange::RevokeUser {
        tenant: caller.tenant,
        user: user_id.uuid(),
        except: None,
        because: "ended",
    };
    (EndSessions { user_id, except: None, because, by: caller.actor }, revoke)
}

/// Deactivates a person
///
/// They cannot act or sign in any more; all their sessions end at once. The last owner stays. Permission: `identity.deactivate-user`.
#[utoipa::path(
    post, path = "/v1/users/{id}/deactivate", tag = "users", operation_id = "deactivateUser",
    params(("id" = Uuid, Path, description = "The person"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "They cannot act.", body = Accepted),
        (status = 404, description = "There is no such person.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "They were erased, or nobody else owns the organisation.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn deactivate(
    State(app): State<App>,
    allowed: Allowed<permissions::DeactivateUser>,
    key: OptionalKey,
    Path(user_id): Path<UserId>,
) -> Result<Response, Problem> {
    let key = app.key(&allowed, &key, &Request::new("POST /v1/users/{id}/deactivate", &()).about(user_id))?;
    let (end, revoke) = ends(&allowed, user_id, DEACTIVATED);
    let deactivate = DeactivateUser { user_id, because: BY_ADMINISTRATOR };
    let leaving = Followed::new(Leaving::new(user_id, Box::new(deactivate)), end);
    let unit = Together::one(outranking(&allowed, user_id, leaving), [revoke]);
    app.run_together(&allowed, key, LOCATION, unit).await
}

/// Reactivates a person
///
/// They may sign in again, with the roles that they had: so by somebody who holds what these grant. Permission:
/// `identity.deactivate-user`.
#[utoipa::path(
    post, path = "/v1/users/{id}/reactivate", tag = "users", operation_id = "reactivateUser",
    params(("id" = Uuid, Path, description = "The person"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "They may act.", body = Accepted),
        (status = 403, description = "They may do what the caller may not.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such person.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "They were erased.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn reactivate(
    State(app): State<App>,
    allowed: Allowed<permissions::DeactivateUser>,
    key: OptionalKey,
    Path(user_id): Path<UserId>,
) -> Result<Response, Problem> {
    let key = app.key(&allowed, &key, &Request::new("POST /v1/users/{id}/reactivate", &()).about(user_id))?;
    let command = outranking(&allowed, user_id, ReactivateUser { user_id });
    app.run(&allowed, key, None, LOCATION, command).await
}

/// Ends the sessions of a person
///
/// All of them, at once and in every process. Permission: `identity.end-sessions`.
#[utoipa::path(
    delete, path = "/v1/users/{id}/sessions", tag = "users", operation_id = "endSessionsOfUser",
    params(("id" = Uuid, Path, description = "The person"),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes the command safe to repeat")),
    responses(
        (status = 200, description = "They have no session.", body = Accepted),
        (status = 404, description = "There is no such person.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "They were erased.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn end_sessions(
    State(app): State<App>,
    allowed: Allowed<permissions::EndSessions>,
    key: OptionalKey,
    Path(user_id): Path<UserId>,
) -> Result<Response, Problem> {
    let key = app.key(&allowed, &key, &Request::new("DELETE /v1/users/{id}/sessions", &()).about(user_id))?;
    let (end, revoke) = ends(&allowed, user_id, BY_ADMINISTRATOR);
    let commands: [Box<dyn Decision>; 1] = [Box::new(outranking(&allowed, user_id, end))];
    app.run_together(&allowed, key, LOCATION, Together { commands, vault: vec![revoke] }).await
}
