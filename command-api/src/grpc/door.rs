//! What every call comes past: whether it is gRPC at all, who calls, and how long that may take.

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use rpc::Method;
use service_kit::access::Authenticated;
use service_kit::problem::{Problem, code};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::deadline::{self, Deadline};
use super::{OPEN, refusal};
use crate::identity::Origin;

/// What the door knows.
pub(super) struct Door {
    /// Methods whose clients may go on sending.
    streaming: HashSet<String>,
    streams: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Door {
    pub(super) fn new(methods: &[Method], streams: Arc<Semaphore>, shutdown: CancellationToken) -> Self {
        let streaming = methods.iter().filter(|it| it.takes_a_stream).map(|it| it.path.clone()).collect();
        Self { streaming, streams, shutdown }
    }

    async fn pass(&self, request: Request, next: Next) -> Result<Response, Problem> {
        if !is_grpc(request.version(), request.headers()) {
            return Err(Problem::new(&code::NOT_GRPC, ""));
        }
        let asked = deadline::asked(request.headers()).map(|it| Instant::now() + it);
        let answer = async {
            let path = request.uri().path();
            let (is_open, is_stream) = (OPEN.contains(&path), self.streaming.contains(path));
            let mut request = with_caller(request, is_open).await?;
            if is_stream {
                request = self.bounded(request, asked)?;
            } else if let Some(at) = asked {
                request.extensions_mut().insert(Deadline(at));
            }
            Ok(next.run(request).await)
        };
        match asked {
            // The layers around it end it at their own limit, if that is sooner.
            Some(at) => {
                timeout_at(at, answer).await.unwrap_or_else(|_| Err(Problem::new(&code::TIMEOUT, "")))
            }
            None => answer.await,
        }
    }

    /// Stops to listen in time, so that the service comes to its end.
    fn bounded(&self, request: Request, asked: Option<Instant>) -> Result<Request, Problem> {
        let permit = place(&self.streams)?;
        let (end, shutdown) = (deadline::of_stream(asked), self.shutdown.clone());
        let over = async move {
            tokio::select! {
                () = sleep_until(end) => {}
                () = shutdown.cancelled_owned() => {}
            }
            drop(permit);
        };
        Ok(request.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(over)))))
    }
}

/// A place among the streams of the process.
pub(super) fn place(streams: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(streams).try_acquire_owned().map_err(|_| Problem::new(&code::STREAMS_OF_SERVER, ""))
}

/// Puts down for the method from where it is called, and by whom if it is not open to everybody.
async fn with_caller(request: Request, is_open: bool) -> Result<Request, Problem> {
    let (mut parts, body) = request.into_parts();
    let Ok(origin) = Origin::from_request_parts(&mut parts, &()).await;
    parts.extensions.insert(origin);
    if !is_open {
        let caller = Authenticated::from_request_parts(&mut parts, &()).await?;
        parts.extensions.insert(caller);
    }
    Ok(Request::from_parts(parts, body))
}

/// The layer. What a service refuses leaves it as a problem, for the layers around it to see.
pub(super) async fn at_the_door(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let response = door.pass(request, next).await.unwrap_or_else(IntoResponse::into_response);
    let problem = response.extensions().get::<Status>().and_then(refusal::problem_behind);
    problem.map_or(response, IntoResponse::into_response)
}

/// Whether a request is a call (gRPC over HTTP/2, "Requests"). gRPC-Web and codecs other than protobuf are not.
pub(super) fn is_grpc(version: Version, headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let rest = kind.strip_prefix("application/grpc").map(|it| it.strip_prefix("+proto").unwrap_or(it));
    version == Version::HTTP_2 && rest.is_some_and(|it| it.is_empty() || it.starts_with(';'))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use service_kit::problem::ProblemBody;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_no_longer_is_not_worked_for() {
        let door = Door::new(&[], Arc::new(Semaphore::new(1)), CancellationToken::new());
        let router = Router::new()
            .route(OPEN[0], post(std::future::pending::<()>))
            .route_layer(from_fn_with_state(Arc::new(door), at_the_door));
        let request = Request::post(OPEN[0])
            .version(Version::HTTP_2)
            .header(header::CONTENT_TYPE, "application/grpc")
            .header("grpc-timeout", "1m")
            .body(Body::empty())
            .unwrap();
        let response = router.oneshot(request).await.unwrap();
        let problem = response.extensions().get::<ProblemBody>().unwrap();
        assert_eq!((&*problem.code, problem.grpc_status()), ("request.timeout", 4));
    }

    #[test]
    fn grpc_web_json_and_http_1_are_not_calls() {
        let is = |version, kind: &'static str| {
            is_grpc(version, &HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]))
        };
        for kind in ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"] {
            assert!(is(Version::HTTP_2, kind) && !is(Version::HTTP_11, kind), "{kind}");
        }
        for kind in [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc+json",
            "application/json",
            "",
        ] {
            assert!(!is(Version::HTTP_2, kind), "{kind}");
        }
        assert!(!is_grpc(Version::HTTP_2, &HeaderMap::new()));
    }
}
