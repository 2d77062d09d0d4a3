//! `quipu.auth.v1.AuthService`. Messages become the input of the functions that routes call too; no rule is here.

use axum::extract::FromRequestParts;
use axum::http::{HeaderValue, StatusCode, header};
use chrono::{DateTime, Utc};
use domain::gate::GateError;
use domain::identity::LiveSession;
use domain::metadata::Label;
use domain::organisation::{OrganisationError, TenantStatus};
use domain::words::Language;
use domain::{DomainError, ErrorKind, Refusal};
use rpc::Timestamp;
use rpc::messages::{
    Bearer, ForgotPasswordRequest, ForgotPasswordResponse, LoginRequest, LoginResponse, ResetPasswordRequest,
    ResetPasswordResponse, SignUpRequest, SignUpResponse, ValidateTokenRequest, ValidateTokenResponse,
};
use rpc::server::auth_service_server::AuthService;
use secrecy::ExposeSecret as _;
use service_kit::access::{Caller, Recognised};
use service_kit::email::EmailAddress;
use service_kit::permissions::ALL;
use service_kit::problem::{Problem, code};
use tonic::{Request, Response, Status};

use super::refusal::refused;
use crate::identity::sign_in::SignIn;
use crate::identity::sign_up::{SignUp, SignedUp};
use crate::identity::{Identity, Origin};
use crate::passwords::Password;

pub(super) struct Auth(pub(super) Identity);

#[tonic::async_trait]
impl AuthService for Auth {
    async fn sign_up(&self, request: Request<SignUpRequest>) -> Result<Response<SignUpResponse>, Status> {
        let origin = origin(&request).map_err(refused)?;
        let asked = sign_up(request.into_inner()).map_err(refused)?;
        Ok(Response::new(match self.0.sign_up(asked, &origin).await.map_err(refused)? {
            SignedUp::Registered { user, position } => {
                SignUpResponse { user_id: user.to_string(), position: position.to_string() }
            }
            SignedUp::Asked => SignUpResponse::default(),
        }))
    }

    async fn login(&self, request: Request<LoginRequest>) -> Result<Response<LoginResponse>, Status> {
        let origin = origin(&request).map_err(refused)?;
        let asked = sign_in(request.into_inner()).map_err(refused)?;
        let signed_in = self.0.sign_in(asked, &origin).await.map_err(refused)?;
        let tokens = signed_in.tokens;
        Ok(Response::new(LoginResponse {
            access_token: tokens.access.token,
            refresh_token: tokens.refresh.expose_secret().to_owned(),
            expires_at: Some(timestamp(tokens.access.expires_at)),
            device: signed_in.device,
            position: signed_in.position.to_string(),
        }))
    }

    async fn forgot_password(
        &self,
        request: Request<ForgotPasswordRequest>,
    ) -> Result<Response<ForgotPasswordResponse>, Status> {
        let origin = origin(&request).map_err(refused)?;
        let ForgotPasswordRequest { tenant_slug, email } = request.into_inner();
        let asked = text("/tenant_slug", tenant_slug).and_then(|slug| Ok((slug, address(&email)?)));
        let (slug, email) = asked.map_err(refused)?;
        self.0.forgot_password(&slug, &email, &origin).await.map_err(refused)?;
        Ok(Response::new(ForgotPasswordResponse {}))
    }

    async fn reset_password(
        &self,
        request: Request<ResetPasswordRequest>,
    ) -> Result<Response<ResetPasswordResponse>, Status> {
        let origin = origin(&request).map_err(refused)?;
        let ResetPasswordRequest { token, new_password } = request.into_inner();
        let password = Password::new(&text("/new_password", new_password).map_err(refused)?);
        self.0.reset_password(&token, password, &origin).await.map_err(refused)?;
        Ok(Response::new(ResetPasswordResponse {}))
    }

    async fn validate_token(
        &self,
        request: Request<ValidateTokenRequest>,
    ) -> Result<Response<ValidateTokenResponse>, Status> {
        let answer = match bearer_of(&request).await {
            Ok(bearer) => ValidateTokenResponse { valid: true, reason: String::new(), bearer: Some(bearer) },
            Err(no) if matches!(no.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                ValidateTokenResponse { valid: false, reason: no.code().to_owned(), bearer: None }
            }
            Err(unknown) => return Err(refused(unknown)),
        };
        Ok(Response::new(answer))
    }
}

fn sign_up(message: SignUpRequest) -> Result<SignUp, Problem> {
    let SignUpRequest { tenant_slug, email, password, given_name, family_name, language } = message;
    Ok(SignUp {
        tenant_slug: text("/tenant_slug", tenant_slug)?,
        email: address(&email)?,
        password: Password::new(&text("/password", password)?),
        given_name: given("/given_name", &given_name, Label::parse)?,
        family_name: given("/family_name", &family_name, Label::parse)?,
        language: given("/language", &language, Language::parse)?,
    })
}

fn sign_in(message: LoginRequest) -> Result<SignIn, Problem> {
    let LoginRequest { tenant_slug, email, password, device } = message;
    Ok(SignIn {
        tenant_slug: text("/tenant_slug", tenant_slug)?,
        email: address(&email)?,
        password: Password::new(&text("/password", password)?),
        device: Some(text("/device", device)?).filter(|it| !it.is_empty()),
    })
}

/// A text of any form. As in JSON, none has a NUL: the database could not look for it.
fn text(pointer: &str, text: String) -> Result<String, Problem> {
    if text.contains('\0') {
        let doc = code::NUL_CHARACTER;
        return Err(Problem::field(doc.code, ErrorKind::Invalid, pointer.to_owned(), doc.title.to_owned()));
    }
    Ok(text)
}

fn address(text: &str) -> Result<EmailAddress, Problem> {
    EmailAddress::parse(text).map_err(|error| {
        Problem::field(code::EMAIL_MALFORMED.code, ErrorKind::Invalid, "/email".to_owned(), error.to_string())
    })
}

/// A text that may be left out; the protocol does not tell that from an empty one.
fn given<T, E: DomainError>(
    pointer: &str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = parse(text);
    parsed
        .map(Some)
        .map_err(|error| Problem::field(error.code(), error.kind(), pointer.to_owned(), error.to_string()))
}

/// From where a call comes, as the door put it down.
fn origin<T>(request: &Request<T>) -> Result<Origin, Problem> {
    request.extensions().get().cloned().ok_or_else(|| Problem::fault(&NotAtTheDoor))
}

#[derive(Debug, thiserror::Error)]
#[error("this call did not come by the door")]
struct NotAtTheDoor;

/// Whose the token in a message is, by the very check that stands before every route.
async fn bearer_of(request: &Request<ValidateTokenRequest>) -> Result<Bearer, Problem> {
    let (mut parts, ()) = axum::http::Request::new(()).into_parts();
    parts.extensions = request.extensions().clone();
    let token = format!("Bearer {}", request.get_ref().access_token);
    let token = HeaderValue::try_from(token).map_err(|_| Problem::new(&code::TOKEN_INVALID, ""))?;
    parts.headers.insert(header::AUTHORIZATION, token);
    let caller = Recognised::from_request_parts(&mut parts, &()).await?;
    bearer(caller.caller())
}

fn bearer(caller: &Caller) -> Result<Bearer, Problem> {
    let standing = &caller.standing;
    // A few routes are open to members of an organisation that waits for its approval; for others it is not there yet.
    if standing.status != TenantStatus::Active {
        return Err(Refusal::from(OrganisationError::NotActive { status: standing.status.word() }).into());
    }
    // What our own interfaces refuse such a session, nobody else lets it do on our word.
    if standing.lacks_factor {
        return Err(Refusal::from(GateError::SecondFactorMissing).into());
    }
    let held = ALL.iter().filter(|it| it.exists_in(caller.tenant) && standing.granted.allows(it.name));
    let mut permissions: Vec<String> = held.map(|it| it.name.to_owned()).collect();
    permissions.sort_unstable();
    Ok(Bearer {
        tenant_id: caller.tenant.to_string(),
        subject: caller.actor.to_string(),
        session_id: caller.session.map(|it| it.to_string()).unwrap_or_default(),
        actor: caller.acts.map(|it| it.to_string()).unwrap_or_default(),
        expires_at: DateTime::from_timestamp(caller.believed_until, 0).map(timestamp),
        proven_at: standing.session.as_ref().and_then(LiveSession::shown_at).map(timestamp),
        permissions,
    })
}

/// In whole seconds, as tokens have them.
fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: at.timestamp(), nanos: 0 }
}
