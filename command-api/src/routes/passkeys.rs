//! Passkeys: one's own, and signing in with one. Bytes travel as base64url without padding, as browsers' JSON has them.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Refusal;
use domain::identity::IdentityError;
use domain::ids::FactorId;
use domain::metadata::Label;
use event_store::vault::PasskeyAlgorithm;
use serde::{Deserialize, Serialize};
use service_kit::access::InPerson;
use service_kit::body::{Json, Path};
use service_kit::problem::{FieldProblem, Problem, ProblemBody, code};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::{BODY_BYTES_MAX, TokenAnswer, in_session, signed_in};
use super::factors::in_own_session;
use crate::answer::at;
use crate::app::App;
use crate::identity::Origin;
use crate::identity::passkeys::ceremony::Party;
use crate::identity::passkeys::{CHALLENGE, Making, NewlyMade, Signed, party};
use crate::schema::{Base64Text, LabelText};

/// Every command about passkeys, with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(passkey_options))
        .routes(routes!(add_passkey))
        .routes(routes!(remove_passkey))
        .routes(routes!(sign_in_options))
        .routes(routes!(sign_in_with_passkey))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// What `navigator.credentials.create` takes as `publicKey`, by `PublicKeyCredential.parseCreationOptionsFromJSON`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreationOptions {
    /// We.
    rp: RelyingParty,
    /// Whose it will be.
    user: PasskeyUser,
    /// What is to be signed.
    challenge: String,
    /// What it may sign with, the better first.
    pub_key_cred_params: Vec<CredentialParameters>,
    /// Milliseconds within which it must come back.
    #[schema(example = 300_000)]
    timeout: u64,
    /// Passkeys that the person has.
    exclude_credentials: Vec<KnownCredential>,
    /// What the authenticator must do.
    authenticator_selection: AuthenticatorSelection,
    /// That nobody wants to know which authenticator it is.
    #[schema(example = "none")]
    attestation: &'static str,
}

impl CreationOptions {
    /// What we ask of whoever makes a passkey.
    pub(crate) fn of(making: Making, party: &Party<'_>) -> Self {
        let (host, email) = (party.id.to_owned(), making.email.mailbox().to_owned());
        let parameters = |it: PasskeyAlgorithm| CredentialParameters { kind: "public-key", alg: it.code() };
        let known = |id| KnownCredential { kind: "public-key", id };
        Self {
            rp: RelyingParty { id: host.clone(), name: host },
            user: PasskeyUser {
                id: URL_SAFE_NO_PAD.encode(making.user.uuid().as_bytes()),
                name: email.clone(),
                display_name: email,
            },
            challenge: making.challenge,
            pub_key_cred_params: PasskeyAlgorithm::ALL.map(parameters).into(),
            timeout: milliseconds(),
            exclude_credentials: making.known.into_iter().map(known).collect(),
            authenticator_selection: AuthenticatorSelection {
                resident_key: "required",
                require_resident_key: true,
                user_verification: "required",
            },
            attestation: "none",
        }
    }
}

/// Who asks for a passkey.
#[derive(Serialize, ToSchema)]
pub struct RelyingParty {
    /// The host to which passkeys are bound.
    #[schema(example = "id.example.com")]
    id: String,
    /// The same, for people.
    #[schema(example = "id.example.com")]
    name: String,
}

/// Whose a passkey is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PasskeyUser {
    /// The person, in base64url.
    id: String,
    /// The address by which they know the account.
    #[schema(example = "ann@example.com")]
    name: String,
    /// The same, for them to read.
    #[schema(example = "ann@example.com")]
    display_name: String,
}

/// What a passkey may sign with.
#[derive(Serialize, ToSchema)]
pub struct CredentialParameters {
    /// The kind of passkeys that there are.
    #[serde(rename = "type")]
    #[schema(example = "public-key")]
    kind: &'static str,
    /// The number of the algorithm (RFC 9053).
    #[schema(example = -8)]
    alg: i16,
}

/// A passkey that somebody has.
#[derive(Serialize, ToSchema)]
pub struct KnownCredential {
    /// The kind of passkeys that there are.
    #[serde(rename = "type")]
    #[schema(example = "public-key")]
    kind: &'static str,
    /// The authenticator's name for it, in base64url.
    id: String,
}

/// What an authenticator must do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticatorSelection {
    /// It must find the passkey by itself.
    #[schema(example = "required")]
    resident_key: &'static str,
    /// The same, for browsers of old.
    require_resident_key: bool,
    /// It must ask for a finger or a number.
    #[schema(example = "required")]
    user_verification: &'static str,
}

/// What `navigator.credentials.get` takes as `publicKey`, by `PublicKeyCredential.parseRequestOptionsFromJSON`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestOptions {
    /// The host to which passkeys are bound.
    #[schema(example = "id.example.com")]
    rp_id: String,
    /// What is to be signed.
    challenge: String,
    /// Milliseconds within which it must come back.
    #[schema(example = 300_000)]
    timeout: u64,
    /// It must ask for a finger or a number.
    #[schema(example = "required")]
    user_verification: &'static str,
}

impl RequestOptions {
    /// What we ask of whoever signs in with one.
    pub(crate) fn of(challenge: String, party: &Party<'_>) -> Self {
        let (rp_id, timeout) = (party.id.to_owned(), milliseconds());
        Self { rp_id, challenge, timeout, user_verification: "required" }
    }
}

/// In which organisation somebody wants to sign in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeySignInOptionsBody {
    /// The name of the organisation.
    #[schema(example = "acme")]
    tenant_slug: String,
}

/// A passkey that a browser made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeyBody {
    /// `response.clientDataJSON`.
    #[schema(value_type = Base64Text)]
    client_data: String,
    /// `response.attestationObject`.
    #[schema(value_type = Base64Text)]
    attestation: String,
    /// What the person calls it.
    #[serde(default)]
    #[schema(value_type = Option<LabelText>)]
    label: Option<Label>,
}

/// What was signed with a passkey.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeySignInBody {
    /// The name of the organisation.
    #[schema(example = "acme")]
    tenant_slug: String,
    /// `id` of the credential.
    #[schema(value_type = Base64Text)]
    id: String,
    /// `response.clientDataJSON`.
    #[schema(value_type = Base64Text)]
    client_data: String,
    /// `response.authenticatorData`.
    #[schema(value_type = Base64Text)]
    authenticator_data: String,
    /// `response.signature`.
    #[schema(value_type = Base64Text)]
    signature: String,
}

/// A passkey that was added.
#[derive(Serialize, ToSchema)]
pub struct AddedPasskey {
    /// Which.
    id: Uuid,
    /// Up to here the log holds what this answer says.
    #[schema(example = "1-4711")]
    position: String,
}

/// What a field says in base64url.
pub(crate) fn bytes(field: &str, text: &str) -> Result<Vec<u8>, Problem> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| {
        let (doc, detail) = (&code::INVALID_FIELD, "it is not base64url without padding".to_owned());
        let place =
            FieldProblem { pointer: format!("/{field}"), code: doc.code.to_owned(), detail: detail.clone() };
        Problem::new(doc, detail).at(place)
    })
}

fn milliseconds() -> u64 {
    CHALLENGE.as_secs().saturating_mul(1_000)
}

/// Begins to add a passkey
///
/// Says what the browser is to sign. The person must have shown who they are within ten minutes, by both factors if there are
/// two. Permission: none but to be signed in, in person.
#[utoipa::path(
    post, path = "/v1/auth/passkeys/options", tag = "auth", operation_id = "beginPasskey",
    responses(
        (status = 200, description = "The browser can go on.", body = CreationOptions),
        (status = 409, description = "The organisation lets nobody enrol one.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn passkey_options(State(app): State<App>, by: InPerson) -> Result<Json<CreationOptions>, Problem> {
    let who = in_own_session(by.caller())?;
    let party = party(&app.providers)?;
    let making = app.identity.begin_passkey(who, &Origin::of(by.caller())).await?;
    Ok(Json(CreationOptions::of(making, &party)))
}

/// Adds a passkey
///
/// That a browser made as it was asked to. The person must have shown who they are within ten minutes, by both factors if there
/// are two. Permission: none but to be signed in, in person.
#[utoipa::path(
    post, path = "/v1/auth/passkeys", tag = "auth", operation_id = "addPasskey",
    request_body(content = PasskeyBody, example = json!({
        "client_data": "eyJ0eXBlIjoid2ViYXV0aG4uY3JlYXRlIn0", "attestation": "o2NmbXRkbm9uZQ", "label": "My phone"
    })),
    responses(
        (status = 201, description = "It can be signed in with.", body = AddedPasskey),
        (status = 401, description = "It is not what the browser was asked for.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It was added before, or the organisation lets nobody enrol one.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "There are as many as there may be.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn add_passkey(
    State(app): State<App>,
    by: InPerson,
    Json(body): Json<PasskeyBody>,
) -> Result<Response, Problem> {
    let (caller, party) = (by.caller(), party(&app.providers)?);
    let made = NewlyMade {
        client_data: bytes("client_data", &body.client_data)?,
        attestation: bytes("attestation", &body.attestation)?,
        label: body.label,
    };
    let who = in_own_session(caller)?;
    let (factor, position) = app.identity.add_passkey(who, made, &party, &Origin::of(caller)).await?;
    let position = position.to_string();
    let answer = AddedPasskey { id: factor.uuid(), position: position.clone() };
    Ok(at((StatusCode::CREATED, Json(answer)).into_response(), &position))
}

/// Removes a passkey of one's own
///
/// It can be signed in with no more; sessions that began with it go on. The person must have shown who they are within ten
/// minutes, by both factors if there are two. Permission: none but to be signed in, in person.
#[utoipa::path(
    delete, path = "/v1/auth/passkeys/{id}", tag = "auth", operation_id = "removePasskey",
    params(("id" = Uuid, Path, description = "The passkey")),
    responses(
        (status = 204, description = "It is removed."),
        (status = 404, description = "There is no such passkey of one's own.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn remove_passkey(
    State(app): State<App>,
    by: InPerson,
    Path(factor): Path<FactorId>,
) -> Result<Response, Problem> {
    let caller = by.caller();
    // An operator's token is nobody's who has one.
    let who = in_session(caller).ok_or_else(|| Refusal::from(IdentityError::FactorNotFound))?;
    let position = app.identity.remove_passkey(who, factor, &Origin::of(caller)).await?;
    Ok(at(StatusCode::NO_CONTENT.into_response(), &position.to_string()))
}

/// Begins a sign-in with a passkey
///
/// Says what the browser is to sign. Open to everybody.
#[utoipa::path(
    post, path = "/v1/auth/passkey-sign-in/options", tag = "auth", operation_id = "beginPasskeySignIn", security(()),
    request_body(content = PasskeySignInOptionsBody, example = json!({ "tenant_slug": "acme" })),
    responses(
        (status = 200, description = "The browser can go on, as far as anybody can tell: it is said of every organisation.", body = RequestOptions),
    )
)]
pub async fn sign_in_options(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<PasskeySignInOptionsBody>,
) -> Result<Json<RequestOptions>, Problem> {
    let party = party(&app.providers)?;
    let challenge = app.identity.begin_passkey_sign_in(&body.tenant_slug, &origin).await?;
    Ok(Json(RequestOptions::of(challenge, &party)))
}

/// Signs in with a passkey
///
/// That signed what the browser was asked to, once. It shows two factors. Open to everybody.
#[utoipa::path(
    post, path = "/v1/auth/passkey-sign-in", tag = "auth", operation_id = "signInWithPasskey", security(()),
    request_body(content = PasskeySignInBody, example = json!({
        "tenant_slug": "acme", "id": "YSBuYW1lIG9mIHNpeHRlZW4", "client_data": "eyJ0eXBlIjoid2ViYXV0aG4uZ2V0In0",
        "authenticator_data": "SZYN5YgOjGh0NBcPZHZgW4", "signature": "MEUCIQ"
    })),
    responses(
        (status = 200, description = "The person is signed in.", body = TokenAnswer),
        (status = 401, description = "The passkey, or what it signed, is not good.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The address is not proven yet, or the organisation may not work.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn sign_in_with_passkey(
    State(app): State<App>,
    origin: Origin,
    Json(body): Json<PasskeySignInBody>,
) -> Result<Response, Problem> {
    let party = party(&app.providers)?;
    let shown = Signed {
        tenant_slug: body.tenant_slug,
        credential: bytes("id", &body.id)?,
        client_data: bytes("client_data", &body.client_data)?,
        authenticator_data: bytes("authenticator_data", &body.authenticator_data)?,
        signature: bytes("signature", &body.signature)?,
        after: None,
    };
    Ok(signed_in(&app, app.identity.sign_in_with_passkey(shown, &party, &origin).await?))
}
