//! A collector of traces: takes OTLP, protobuf over HTTP, and keeps what matters to the tests.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span as Sent;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;

/// A span, with its ids in hexadecimal digits.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) trace: String,
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) is_server: bool,
    pub(super) links: Vec<(String, String)>,
    pub(super) attributes: BTreeMap<String, String>,
}

/// One that listens for as long as the test runs.
pub(super) struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let (listener, address) = tests::stack::listener().await?;
        let kept = Arc::clone(&spans);
        let router = Router::new().route(
            "/v1/traces",
            post(move |body: Bytes| async move {
                let Ok(request) = ExportTraceServiceRequest::decode(body) else {
                    return StatusCode::BAD_REQUEST;
                };
                let scopes = request.resource_spans.into_iter().flat_map(|it| it.scope_spans);
                let sent = scopes.flat_map(|it| it.spans).map(span);
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend(sent);
                StatusCode::OK
            }),
        );
        let server = service_kit::serve::Server {
            listener,
            router,
            config: tests::stack::http_config(),
            shutdown: tokio_util::sync::CancellationToken::new(),
        };
        tokio::spawn(server.run());
        Ok(Self { url: format!("http://{address}"), spans })
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn span(sent: Sent) -> Span {
    let attributes = sent.attributes.into_iter().filter_map(|it| {
        let value = match it.value?.value? {
            Value::StringValue(text) => text,
            Value::IntValue(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        Some((it.key, value))
    });
    Span {
        name: sent.name,
        trace: hex(&sent.trace_id),
        id: hex(&sent.span_id),
        parent: hex(&sent.parent_span_id),
        is_server: sent.kind == SpanKind::Server as i32,
        links: sent.links.iter().map(|it| (hex(&it.trace_id), hex(&it.span_id))).collect(),
        attributes: attributes.collect(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes it");
        text
    })
}
