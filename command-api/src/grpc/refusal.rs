//! How gRPC says no: the problem that HTTP would show, as a status with details that every client knows (`google.rpc`).
//!
//! Until the last moment a refusal is a [`Problem`], in services too: so layers log, count and time it as they do all
//! others. [`speak`] then says it as the caller speaks.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use service_kit::problem::{Problem, ProblemBody, code};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use super::door::is_grpc;

/// Whose codes they are, in [`tonic_types::ErrorInfo`].
const DOMAIN: &str = "quipu";

/// A problem on its way out of a service, inside a status.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.code())]
struct Refused(Problem);

/// For a service to refuse with.
pub(super) fn refused(problem: Problem) -> Status {
    let mut status = status_of(problem.body(), None);
    status.set_source(Arc::new(Refused(problem)));
    status
}

/// The problem behind the status of an answer: the service's, or what the library finds wrong with a message.
pub(super) fn problem_behind(status: &Status) -> Option<Problem> {
    if let Some(Refused(problem)) = status.source().and_then(|it| it.downcast_ref()) {
        return Some(problem.clone());
    }
    match status.code() {
        Code::OutOfRange => Some(Problem::new(&code::BODY_TOO_LARGE, "")),
        // No service of ours has a fault without a problem, so it is the library that could not read.
        Code::Internal => Some(Problem::new(&code::MALFORMED_MESSAGE, "")),
        _ => None,
    }
}

/// The layer around all else.
pub(super) async fn speak(request: Request, next: Next) -> Response {
    let is_call = is_grpc(request.version(), request.headers());
    let mut response = next.run(request).await;
    if !is_call {
        return response;
    }
    match response.extensions_mut().remove::<ProblemBody>() {
        Some(problem) => trailers_only(&problem, response),
        None => response,
    }
}

/// A refused call has no message, so its headers are its trailers (gRPC over HTTP/2, "Responses").
fn trailers_only(problem: &ProblemBody, response: Response) -> Response {
    let (mut parts, _said_in_http) = response.into_parts();
    let status = status_of(problem, wait(&parts.headers));
    let (said, body) = status.into_http::<Body>().into_parts();
    for name in [header::CONTENT_LENGTH, header::ALLOW, header::WWW_AUTHENTICATE, header::RETRY_AFTER] {
        parts.headers.remove(name);
    }
    parts.headers.extend(said.headers);
    parts.status = said.status;
    Response::from_parts(parts, body)
}

fn wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn status_of(problem: &ProblemBody, wait: Option<Duration>) -> Status {
    let mut figures: HashMap<String, String> =
        problem.details.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    figures.insert("code".to_owned(), problem.code.to_string());
    let mut details = ErrorDetails::with_error_info(reason(&problem.code), DOMAIN, figures);
    if !problem.errors.is_empty() {
        let places = problem.errors.iter().map(|it| FieldViolation {
            field: field(&it.pointer),
            description: it.detail.clone(),
            reason: reason(&it.code),
            localized_message: None,
        });
        details.set_bad_request(places.collect::<Vec<_>>());
    }
    if wait.is_some() {
        details.set_retry_info(wait);
    }
    if let Some(trace_id) = &problem.trace_id {
        details.set_request_info(trace_id, "");
    }
    let message = if problem.detail.is_empty() { &*problem.title } else { &problem.detail };
    Status::with_error_details(Code::from(problem.grpc_status()), message, details)
}

/// A code in the form that `google.rpc.ErrorInfo` asks for.
fn reason(code: &str) -> String {
    code.to_ascii_uppercase().replace(['.', '-'], "_")
}

/// A pointer into JSON as a path of fields.
fn field(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

#[cfg(test)]
mod tests {
    use domain::ErrorKind;

    use super::*;

    #[test]
    fn a_refusal_says_all_that_http_would() {
        let problem = Problem::field(
            "identity.password-weak",
            ErrorKind::Rejected,
            "/password".into(),
            "too short".into(),
        )
        .with("least", "15");
        let status = refused(problem.clone());
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "too short"));
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("IDENTITY_PASSWORD_WEAK", "quipu"));
        assert_eq!(
            (info.metadata["code"].as_str(), info.metadata["least"].as_str()),
            ("identity.password-weak", "15")
        );
        let places = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!((places[0].field.as_str(), places[0].description.as_str()), ("password", "too short"));
        assert_eq!(problem_behind(&status), Some(problem), "layers see it as it was");
    }

    #[test]
    fn what_the_library_refuses_has_a_code_too_but_not_what_it_does_not_offer() {
        for (status, doc) in [
            (Status::out_of_range("message too large"), code::BODY_TOO_LARGE),
            (Status::internal("failed to decode"), code::MALFORMED_MESSAGE),
        ] {
            assert_eq!(problem_behind(&status).unwrap().code(), doc.code);
        }
        assert_eq!(problem_behind(&Status::unimplemented("compression")), None);
    }
}
