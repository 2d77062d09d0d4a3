//! How the endpoints of OAuth say no: the bodies that RFC 6749 section 5.2 and RFC 8628 section 3.5 ask for, which clients of
//! others read. Everywhere else a refusal is a [`Problem`].

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::{Problem, code};
use crate::telemetry;

/// What was wrong, in the words of the standards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OauthCode {
    /// A parameter is missing, given twice or has the wrong form.
    InvalidRequest,
    /// The service did not show who it is.
    InvalidClient,
    /// The code or token is not good, or not any more, or not this service's.
    InvalidGrant,
    /// The service may not use this grant.
    UnauthorizedClient,
    /// There is no such grant here.
    UnsupportedGrantType,
    /// Only answers with a code are given.
    UnsupportedResponseType,
    /// The service may not ask for this scope, or the person did not allow it.
    InvalidScope,
    /// The person, or their organisation, said no.
    AccessDenied,
    /// Nobody has decided about the device yet.
    AuthorizationPending,
    /// As before; and the device asked too soon.
    SlowDown,
    /// The code of the device is over.
    ExpiredToken,
    /// Somebody must sign in first, and nobody may be asked.
    LoginRequired,
    /// Somebody must show a second factor first, and nobody may be asked.
    InteractionRequired,
    /// Somebody must allow it first, and nobody may be asked.
    ConsentRequired,
    /// What was asked as a request object is not taken (OpenID Connect Core, section 6).
    RequestNotSupported,
    /// Too much at once, or not now.
    TemporarilyUnavailable,
    /// Something went wrong on our side.
    ServerError,
}

impl OauthCode {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::AccessDenied => "access_denied",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::LoginRequired => "login_required",
            Self::InteractionRequired => "interaction_required",
            Self::ConsentRequired => "consent_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }
}

/// The body of a refusal.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OauthErrorBody {
    /// What was wrong.
    #[schema(example = "invalid_grant")]
    pub error: &'static str,
    /// For whoever writes the client: not for people.
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schema(value_type = Option<String>)]
    pub error_description: Cow<'static, str>,
}

/// A refusal on its way to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthError {
    code: OauthCode,
    description: Cow<'static, str>,
    shows_basic: bool,
    /// What is no matter of OAuth, and is told as everywhere else.
    other: Option<Problem>,
}

impl OauthError {
    /// A refusal, with what the writer of a client should know. No secret and nothing that was sent belongs into it.
    #[must_use]
    pub fn new(code: OauthCode, description: impl Into<Cow<'static, str>>) -> Self {
        Self { code, description: description.into(), shows_basic: false, other: None }
    }

    /// The service did not show who it is. Whoever tried with a header is told the scheme (RFC 6749 section 5.2).
    #[must_use]
    pub fn client(shows_basic: bool) -> Self {
        Self {
            shows_basic,
            ..Self::new(OauthCode::InvalidClient, "the client is not known by what it shows")
        }
    }

    /// What was wrong.
    #[must_use]
    pub const fn code(&self) -> OauthCode {
        self.code
    }

    /// For whoever writes the client.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }
}

/// What is not about the words of OAuth stays what it is: too much, not now, too large, a fault.
impl From<Problem> for OauthError {
    fn from(problem: Problem) -> Self {
        let of_tokens = [code::REFRESH_INVALID.code, code::REFRESH_REUSED.code];
        match problem.status().as_u16() {
            _ if of_tokens.contains(&problem.code()) => {
                Self::new(OauthCode::InvalidGrant, "the token is not good, or not any more")
            }
            400 if problem.code() == code::OAUTH_REQUEST_INVALID.code => {
                Self::new(OauthCode::InvalidRequest, problem.body().detail.clone())
            }
            400 => Self::new(OauthCode::InvalidRequest, ""),
            401 | 403 | 404 | 409 | 422 => Self::new(OauthCode::InvalidGrant, ""),
            500 => Self { other: Some(problem), ..Self::new(OauthCode::ServerError, "") },
            _ => Self { other: Some(problem), ..Self::new(OauthCode::TemporarilyUnavailable, "") },
        }
    }
}

impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        if let Some(problem) = self.other {
            return problem.into_response();
        }
        telemetry::note_code(self.code.word());
        let body = OauthErrorBody { error: self.code.word(), error_description: self.description };
        let is_unknown = self.code == OauthCode::InvalidClient;
        let status = if is_unknown { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        let mut response = (status, crate::body::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        if is_unknown && self.shows_basic {
            let scheme = HeaderValue::from_static("Basic realm=\"quipu\", charset=\"UTF-8\"");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_oauth_stays_what_it_is() {
        for (problem, code, status) in [
            (Problem::new(&code::RATE_LIMITED, "").retry_after(7), OauthCode::TemporarilyUnavailable, 429),
            (Problem::new(&code::UNSUPPORTED_MEDIA_TYPE, ""), OauthCode::TemporarilyUnavailable, 415),
            (Problem::new(&code::OAUTH_REQUEST_INVALID, "no form"), OauthCode::InvalidRequest, 400),
            (Problem::new(&code::FAULT, ""), OauthCode::ServerError, 500),
            (Problem::new(&code::REFRESH_REUSED, ""), OauthCode::InvalidGrant, 400),
            (Problem::new(&code::REFRESH_INVALID, ""), OauthCode::InvalidGrant, 400),
            (Problem::new(&code::PERMISSION_MISSING, ""), OauthCode::InvalidGrant, 400),
        ] {
            let error = OauthError::from(problem);
            assert_eq!(error.code(), code);
            let response = error.into_response();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), status == 429);
            let problem = response.headers()[header::CONTENT_TYPE] == crate::problem::PROBLEM_JSON;
            assert_eq!(problem, status > 400);
        }
    }

    #[test]
    fn only_a_client_that_used_the_header_is_told_of_the_scheme() {
        for (shows_basic, told) in [(true, true), (false, false)] {
            let response = OauthError::client(shows_basic).into_response();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(response.headers().contains_key(header::WWW_AUTHENTICATE), told);
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        }
    }
}
