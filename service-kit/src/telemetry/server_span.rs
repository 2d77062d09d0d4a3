//! The span of a request as the collector gets it. It continues the caller's trace, and its id is stored with the events
//! that the request leads to.

use axum::http::StatusCode;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::TRACES;
use super::scope::{Notes, TraceParent, note_span};

/// Begins the span, in the scope of the request. A span that nobody records costs nothing; then the caller's, if the
/// caller records, stands for it.
pub(crate) fn server_span(operation: &str, route: &str, parent: Option<TraceParent>) -> Span {
    let span = tracing::info_span!(
        target: TRACES,
        "request",
        otel.name = operation,
        otel.kind = "server",
        otel.status_code = Empty,
        http.route = route,
        http.response.status_code = Empty,
        quipu.code = Empty,
    );
    if span.is_disabled() {
        note_span(parent.filter(|it| it.sampled).map(|it| it.span_id));
        return span;
    }
    if let Some(parent) = parent {
        let flags = TraceFlags::default().with_sampled(parent.sampled);
        let trace_id = TraceId::from_bytes(parent.trace_id.bytes());
        let remote = SpanContext::new(trace_id, parent.span_id, flags, true, TraceState::default());
        // It fails only where nobody records; then there is nothing to continue.
        let _unrecorded = span.set_parent(Context::new().with_remote_span_context(remote));
    }
    let context = span.context();
    let own = context.span().span_context().clone();
    note_span(own.is_sampled().then(|| own.span_id()));
    span
}

/// Says how the request ended.
pub(crate) fn end_span(span: &Span, status: StatusCode, notes: &Notes) {
    if span.is_disabled() {
        return;
    }
    span.record("http.response.status_code", status.as_u16());
    if let Some(code) = notes.code.as_deref() {
        span.record("quipu.code", code);
    }
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}
