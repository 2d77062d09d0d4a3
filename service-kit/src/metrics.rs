//! What a process tells its monitoring: one registry a process, shown as OpenMetrics text at `GET /metrics` of a listener
//! of its own, which asks for no token and is off unless set.
//!
//! A registry belongs to its process and is handed on; there is none that everybody reaches. So two processes in one test
//! do not count into each other, and what nobody registered costs an addition and no more.
//!
//! **Invariant:** no label has values that clients choose or that grow with the data: no tenant, no id, no free path.

mod process;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{HttpConfig, TelemetryConfig};
use crate::serve::Server;
use crate::telemetry::SpanCounts;

/// Upper bounds of times in seconds: from a read in memory to a deadline of a request.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Connections of monitoring; there is one of it, or two.
const CONNECTIONS_MAX: usize = 16;

/// The registry of a process. Clones are the same.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Metrics {
    /// What every process tells: its build, its processor time, memory and files, and the spans that it sent.
    #[must_use]
    pub fn of(process: &'static str) -> Self {
        let mut registry = Registry::default();
        let build = Info::new([("process", process), ("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("quipu_build", "The build that runs", build);
        registry.register_collector(Box::new(process::Process));
        SpanCounts::of_process().register(&mut registry);
        Self(Arc::new(Mutex::new(registry)))
    }

    /// Adds metrics of a part of the process.
    pub fn register<T>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        add(&mut self.lock())
    }

    /// Adds a figure that is looked up whenever it is asked for.
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        look: impl Fn() -> i64 + Send + Sync + 'static,
    ) {
        self.lock().register_collector(Box::new(Looked { name, help, look }));
    }

    /// Adds how many connections of a pool are taken, and how many there may be.
    pub fn pool(&self, pool: &PgPool) {
        let (used, most) = (pool.clone(), i64::from(pool.options().get_max_connections()));
        self.gauge("quipu_pool_connections_in_use", "Connections that somebody works with", move || {
            i64::from(used.size()).saturating_sub(i64::try_from(used.num_idle()).unwrap_or(i64::MAX)).max(0)
        });
        self.gauge("quipu_pool_connections_max", "Connections at most", move || most);
    }

    /// Everything, as OpenMetrics text.
    ///
    /// # Errors
    /// If a collector cannot write.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.lock())?;
        Ok(text)
    }

    /// The route `/metrics`.
    pub fn routes(&self) -> Router {
        let metrics = self.clone();
        Router::new().route("/metrics", get(move || std::future::ready(metrics.answer())))
    }

    /// Begins to answer where the settings say, if they do, until the token is cancelled.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn serve(&self, config: &TelemetryConfig, shutdown: CancellationToken) -> io::Result<()> {
        let Some(listen) = config.metrics_listen else { return Ok(()) };
        let config = HttpConfig { listen, max_connections: CONNECTIONS_MAX, ..HttpConfig::default() };
        let listener = crate::serve::bind(&config).await?;
        self.serve_on(listener, config, shutdown);
        Ok(())
    }

    fn serve_on(&self, listener: TcpListener, config: HttpConfig, shutdown: CancellationToken) {
        let server = Server { listener, router: self.routes(), config, shutdown };
        tokio::spawn(async move {
            if let Err(error) = server.run().await {
                tracing::error!(error = &error as &dyn std::error::Error, "metrics are not served any more");
            }
        });
    }

    fn answer(&self) -> Response {
        match self.text() {
            Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
            Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A histogram of times in seconds.
#[must_use]
pub fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// A gauge whose value is looked up when it is asked for.
struct Looked<F> {
    name: &'static str,
    help: &'static str,
    look: F,
}

impl<F> fmt::Debug for Looked<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Looked").field(&self.name).finish()
    }
}

impl<F: Fn() -> i64 + Send + Sync + 'static> Collector for Looked<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let value = ConstGauge::new((self.look)());
        value.encode(encoder.encode_descriptor(self.name, self.help, None, value.metric_type())?)
    }
}

/// Times of requests, by the route that answered and the status.
#[derive(Debug, Clone)]
pub(crate) struct RequestTimes(Family<OfRequest, Histogram, fn() -> Histogram>);

/// Operation and status.
type OfRequest = [(&'static str, String); 2];

impl RequestTimes {
    pub(crate) fn of(metrics: &Metrics) -> Self {
        let family = Family::new_with_constructor(seconds as fn() -> Histogram);
        let times = Self(family.clone());
        metrics.register(|registry| {
            registry.register(
                "quipu_http_request_seconds",
                "From a request to the beginning of its answer",
                family,
            );
        });
        times
    }

    pub(crate) fn observe(&self, operation: String, status: StatusCode, time: Duration) {
        let labels = [("operation", operation), ("status", status.as_str().to_owned())];
        self.0.get_or_create(&labels).observe(time.as_secs_f64());
    }
}

/// A route's name in metrics and traces: its method and its template. What matches no route is one operation.
pub(crate) fn operation(method: &Method, path: Option<&str>) -> String {
    // A client may send any word as a method.
    let known = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
    ];
    match (path, known.contains(method)) {
        (Some(path), true) => format!("{method} {path}"),
        (Some(path), false) => format!("OTHER {path}"),
        (None, _) => "unmatched".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_cannot_make_up_operations() {
        assert_eq!(operation(&Method::GET, Some("/v1/things/{id}")), "GET /v1/things/{id}");
        assert_eq!(operation(&Method::GET, None), "unmatched");
        let made_up = Method::from_bytes(b"BREW").unwrap();
        assert_eq!(operation(&made_up, Some("/v1/things")), "OTHER /v1/things");
    }

    #[test]
    fn a_process_tells_its_build_and_its_needs() {
        let metrics = Metrics::of("a-process");
        let text = metrics.text().unwrap();
        for expected in [
            "quipu_build_info{process=\"a-process\",version=",
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
            "process_open_fds ",
            "quipu_trace_spans_dropped_total ",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn figures_are_served_on_an_address_of_their_own() {
        let metrics = Metrics::of("a-process");
        metrics.gauge("quipu_of_this_test", "A figure", || 7);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let _stops = CancellationToken::new().drop_guard();
        metrics.serve_on(listener, HttpConfig::default(), CancellationToken::new());
        let answer = tokio::task::spawn_blocking(move || {
            use std::io::{Read, Write};
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: it\r\nconnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let answer = answer.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("application/openmetrics-text") && answer.contains("quipu_of_this_test 7"));
    }
}
