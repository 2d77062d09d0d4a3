//! What every router is wrapped in: one middleware, so that a request pays for one, plus CORS where it is configured.
//!
//! Order, from outside: trace scope, rate per address, concurrency with shedding, deadline, panics; on the way back the
//! headers and the log line.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use ipnet::IpNet;
use sabotage::Guard;
use tokio::sync::Semaphore;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::Instrument;

use crate::access::{ClientAddress, PeerAddress, PrincipalLimiter};
use crate::body::BodyTimeout;
use crate::config::HttpConfig;
use crate::metrics::{Metrics, RequestTimes, operation};
use crate::problem::{Problem, code};
use crate::rate::{KeyLimiter, Limiter, PaceLimiter, Rate};
use crate::telemetry::{self, TraceId, TraceParent};

/// What an answer of the interface may load, and who may show it within a page: nothing and nobody.
const NOTHING: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Headers of every answer that does not set its own.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::CONTENT_SECURITY_POLICY, NOTHING),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000; includeSubDomains")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

/// Headers that scripts of allowed origins may read.
const EXPOSED: [HeaderName; 8] = [
    header::ETAG,
    header::LOCATION,
    header::RETRY_AFTER,
    HeaderName::from_static("idempotent-replayed"),
    HeaderName::from_static("quipu-position"),
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("x-request-id"),
];

struct Edge {
    in_flight: Semaphore,
    request_timeout: Duration,
    body_timeout: BodyTimeout,
    trusted_proxies: Vec<IpNet>,
    by_address: Option<Limiter<IpAddr>>,
    by_principal: Option<PrincipalLimiter>,
    by_api_key: Option<KeyLimiter>,
    by_pace: PaceLimiter,
    times: RequestTimes,
}

/// Wraps a whole router: call it last. Routes that were added before are covered, and so is what matches no route.
/// `/livez`, `/readyz` and the health check of gRPC are answered however busy the server is.
pub fn harden(router: Router, http: &HttpConfig, metrics: &Metrics) -> Router {
    let router = router
        .fallback(|| async { Problem::new(&code::NOT_FOUND, "") })
        .method_not_allowed_fallback(|| async { Problem::new(&code::METHOD_NOT_ALLOWED, "") });
    guard(router, http, metrics)
}

/// The same for a router that says itself what is answered to what matches no route.
pub fn guard(router: Router, http: &HttpConfig, metrics: &Metrics) -> Router {
    let edge = Arc::new(Edge {
        in_flight: Semaphore::new(http.max_in_flight),
        request_timeout: http.request_timeout,
        body_timeout: BodyTimeout(http.body_timeout),
        trusted_proxies: http.trusted_proxies.clone(),
        by_address: Limiter::new("address", Rate::new(http.rate_per_address, 1)),
        by_principal: Limiter::new("principal", Rate::new(http.rate_per_principal, 1)).map(Arc::new),
        by_api_key: Limiter::new("api-key", Rate::new(http.rate_per_api_key, 1)).map(Arc::new),
        by_pace: PaceLimiter::default(),
        times: RequestTimes::of(metrics),
    });
    // In one call: every call of `layer` boxes the whole service once more, and each request pays for that.
    let router = router.layer((from_fn_with_state(edge, at_the_edge), body_limit(http)));
    if http.cors_origins.is_empty() { router } else { router.layer(cors(&http.cors_origins)) }
}

fn body_limit(http: &HttpConfig) -> DefaultBodyLimit {
    if sabotage::stands(Guard::BodyLimit) {
        DefaultBodyLimit::max(http.body_limit_bytes)
    } else {
        DefaultBodyLimit::disable()
    }
}

fn cors(origins: &[HeaderValue]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("quipu-position"),
            HeaderName::from_static("traceparent"),
        ])
        .expose_headers(EXPOSED)
        .max_age(Duration::from_secs(600))
}

async fn at_the_edge(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let parent = TraceParent::from_headers(request.headers());
    let trace_id = parent.map_or_else(TraceId::random, |it| it.trace_id);
    telemetry::traced(trace_id, edge.answer(trace_id, parent, request, next)).await
}

impl Edge {
    async fn answer(
        &self,
        trace_id: TraceId,
        parent: Option<TraceParent>,
        mut request: Request,
        next: Next,
    ) -> Response {
        let begun = Instant::now();
        let method = request.method().clone();
        let matched = request.extensions().get::<MatchedPath>().cloned();
        let path = matched.as_ref().map_or("unmatched", MatchedPath::as_str);
        let operation = operation(&method, matched.as_ref().map(MatchedPath::as_str));
        let recorded = telemetry::server_span(&operation, path, parent);
        let span = tracing::info_span!("request", %trace_id, %method, path);
        let run = async {
            match self.admit(&mut request) {
                Ok(()) => self.run(request, next).instrument(span).await,
                Err(problem) => problem.into_response(),
            }
        };
        let mut response = run.instrument(recorded.clone()).await;
        let notes = telemetry::take_notes();
        let headers = response.headers_mut();
        complete(headers, trace_id);
        if let Some(rate) = &notes.rate {
            rate.write(headers);
        }
        let status = response.status();
        telemetry::end_span(&recorded, status, &notes);
        telemetry::log_request(&method, path, status, &notes, begun.elapsed());
        self.times.observe(operation, status, begun.elapsed());
        response
    }

    /// What is decided before anything is spent on a request.
    fn admit(&self, request: &mut Request) -> Result<(), Problem> {
        let peer =
            request.extensions().get::<PeerAddress>().map_or(IpAddr::from([0, 0, 0, 0]), |it| it.0.ip());
        let client = ClientAddress::of(peer, request.headers(), &self.trusted_proxies);
        let extensions = request.extensions_mut();
        extensions.insert(client);
        extensions.insert(self.body_timeout);
        if let Some(limiter) = &self.by_principal {
            extensions.insert(Arc::clone(limiter));
        }
        if let Some(limiter) = &self.by_api_key {
            extensions.insert(Arc::clone(limiter));
        }
        extensions.insert(Arc::clone(&self.by_pace));
        match &self.by_address {
            Some(limiter) if !client.0.is_loopback() => {
                limiter.check(&network_of(client.0)).map(telemetry::note_rate)
            }
            _ => Ok(()),
        }
    }

    async fn run(&self, request: Request, next: Next) -> Response {
        let exempt = matches!(request.uri().path(), "/livez" | "/readyz" | "/grpc.health.v1.Health/Check");
        let permit = self.in_flight.try_acquire();
        if permit.is_err() && !exempt {
            return Problem::new(&code::OVERLOADED, "").into_response();
        }
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
        match tokio::time::timeout(self.request_timeout, answer).await {
            Ok(Ok(response)) => response,
            // The panic hook has logged it.
            Ok(Err(_panic)) => Problem::new(&code::FAULT, "").into_response(),
            Err(_) => Problem::new(&code::TIMEOUT, "").into_response(),
        }
    }
}

/// What is counted of an address: one customer of IPv6 has a whole /64.
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(it) => IpAddr::V6((it.to_bits() >> 64 << 64).into()),
    }
}

fn complete(headers: &mut HeaderMap, trace_id: TraceId) {
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    if let Ok(value) = HeaderValue::try_from(trace_id.to_string()) {
        headers.insert("x-request-id", value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::routing::get;
    use serde_json::Value;
    use tower::ServiceExt;

    const SLOW: Duration = Duration::from_secs(30);

    fn router(change: impl FnOnce(&mut HttpConfig)) -> Router {
        let mut http = HttpConfig { request_timeout: Duration::from_millis(100), ..HttpConfig::default() };
        change(&mut http);
        let routes = Router::new()
            .route("/ok", get(|| async { "ok" }))
            .route("/slow", get(|| async { tokio::time::sleep(SLOW).await }))
            .route("/panic", get(panics))
            .route("/livez", get(|| async { "alive" }));
        harden(routes, &http, &Metrics::of("a-process"))
    }

    async fn panics() -> &'static str {
        panic!("password=hunter2")
    }

    async fn call(router: &Router, request: axum::http::request::Builder) -> (StatusCode, HeaderMap, Value) {
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 100_000).await.unwrap();
        (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    fn at(path: &str) -> axum::http::request::Builder {
        Request::builder().uri(path)
    }

    #[tokio::test]
    async fn panics_deadlines_and_unknown_routes_are_problems_with_the_trace_id() {
        let router = router(|_| {});
        for (request, status, code) in [
            (at("/panic"), 500, "internal.fault"),
            (at("/slow"), 503, "request.timeout"),
            (at("/nowhere"), 404, "request.not-found"),
            (at("/ok").method("DELETE"), 405, "request.method-not-allowed"),
        ] {
            let request =
                request.header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
            let (found, headers, body) = call(&router, request).await;
            assert_eq!((found.as_u16(), body["code"].as_str().unwrap()), (status, code));
            assert_eq!(body["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
            assert_eq!(headers["x-request-id"], "4bf92f3577b34da6a3ce929d0e0e4736");
            assert_eq!(headers["x-content-type-options"], "nosniff");
            assert!(!body.to_string().contains("hunter2"));
            assert_eq!(headers.contains_key("retry-after"), status == 503);
            assert_eq!(headers.contains_key("allow"), status == 405);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_borne_is_shed_but_liveness_is_answered() {
        let router = router(|it| it.max_in_flight = 1);
        let held = tokio::spawn({
            let router = router.clone();
            async move { call(&router, at("/slow")).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (status, headers, body) = call(&router, at("/ok")).await;
        assert_eq!((status.as_u16(), &body["code"]), (503, &"overload.too-many-requests".into()));
        assert!(headers.contains_key("retry-after"));
        assert_eq!(call(&router, at("/livez")).await.0, StatusCode::OK);
        held.await.unwrap();
        assert_eq!(call(&router, at("/ok")).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn addresses_are_limited_before_anything_else() {
        let router = router(|it| it.rate_per_address = 2);
        let from = |ip: &str| at("/ok").extension(PeerAddress(format!("{ip}:1").parse().unwrap()));
        let (_, headers, _) = call(&router, from("192.0.2.1")).await;
        assert_eq!(headers["ratelimit-policy"], "\"address\";q=2;w=1");
        assert_eq!(headers["ratelimit"], "\"address\";r=1;t=1");
        call(&router, from("192.0.2.1")).await;
        let (status, headers, body) = call(&router, from("192.0.2.1")).await;
        assert_eq!((status.as_u16(), &body["code"]), (429, &"rate.limited".into()));
        assert!(headers.contains_key("retry-after"));
        assert_eq!(call(&router, from("192.0.2.2")).await.0, StatusCode::OK);
        for _ in 0..10 {
            assert_eq!(call(&router, from("127.0.0.1")).await.0, StatusCode::OK);
        }
        for (last, expected) in [(1, 200), (2, 200), (3, 429)] {
            let request = at("/ok").extension(PeerAddress(format!("[2001:db8::{last}]:1").parse().unwrap()));
            assert_eq!(call(&router, request).await.0.as_u16(), expected);
        }
    }

    #[tokio::test]
    async fn only_listed_origins_may_read() {
        let router = router(|it| it.cors_origins = vec![HeaderValue::from_static("https://console.example")]);
        let (_, headers, _) = call(&router, at("/ok").header("origin", "https://console.example")).await;
        assert_eq!(headers["access-control-allow-origin"], "https://console.example");
        let (_, headers, _) = call(&router, at("/ok").header("origin", "https://evil.example")).await;
        assert!(!headers.contains_key("access-control-allow-origin"));
    }
}
