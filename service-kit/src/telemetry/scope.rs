//! The scope of a request: its trace id, the span that is recorded of it, and what is learnt about it on the way. It is
//! task-local, so it reaches problem bodies, log lines and events without travelling through every signature.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderMap, Method, StatusCode};
use domain::ids::TenantId;
use opentelemetry::trace::SpanId;
use uuid::Uuid;

use crate::rate::Standing;

/// Names one request across processes: the trace id of W3C Trace Context.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// A fresh one.
    #[must_use]
    pub fn random() -> Self {
        Self(*Uuid::new_v4().as_bytes())
    }

    /// As a UUID of the same bytes, for correlation columns.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        Uuid::from_bytes(self.0)
    }

    pub(super) const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

/// Where a caller stands in a trace: the W3C header `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceParent {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    /// Whether the caller records the trace.
    pub(crate) sampled: bool,
}

impl TraceParent {
    /// What a caller sent, if it is valid.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get("traceparent")?.to_str().ok()?;
        let mut parts = text.split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |it: &str, length: usize| {
            it.len() == length && it.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        let ends = version != "00" || parts.next().is_none();
        let formed =
            hex(version, 2) && version != "ff" && hex(parent, 16) && hex(flags, 2) && hex(trace, 32) && ends;
        if !formed || parent.bytes().all(|it| it == b'0') {
            return None;
        }
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        Some(Self { trace_id: trace.parse().ok()?, span_id: SpanId::from_hex(parent).ok()?, sampled })
    }
}

impl FromStr for TraceId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let it = Uuid::parse_str(text)?;
        if it.is_nil() { Uuid::parse_str("").map(|_| Self([0; 16])) } else { Ok(Self(*it.as_bytes())) }
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).simple().fmt(f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is learnt about a request while it runs, for its log line and headers.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) tenant: Option<TenantId>,
    pub(crate) code: Option<String>,
    pub(crate) rate: Option<Standing>,
}

struct Scope {
    trace_id: TraceId,
    span_id: Cell<Option<SpanId>>,
    notes: RefCell<Notes>,
}

tokio::task_local! {
    static SCOPE: Scope;
}

/// Runs a future as part of a traced request. Spawned tasks do not inherit it: wrap them too.
pub async fn traced<F: Future>(trace_id: TraceId, future: F) -> F::Output {
    SCOPE.scope(Scope { trace_id, span_id: Cell::new(None), notes: RefCell::default() }, future).await
}

/// The trace id of the request that the current task works on.
#[must_use]
pub fn current_trace_id() -> Option<TraceId> {
    SCOPE.try_with(|it| it.trace_id).ok()
}

/// The span that is recorded of the request that the current task works on, as 16 hexadecimal digits: ours, or the
/// caller's if only the caller records. Nothing if nobody does.
#[must_use]
pub fn current_span_id() -> Option<String> {
    SCOPE.try_with(|it| it.span_id.get()).ok().flatten().map(|it| it.to_string())
}

pub(crate) fn note_span(span_id: Option<SpanId>) {
    // Outside a request there is nothing to note on.
    let _outside = SCOPE.try_with(|it| it.span_id.set(span_id));
}

pub(crate) fn note_tenant(tenant: TenantId) {
    note(|it| it.tenant = Some(tenant));
}

pub(crate) fn note_code(code: &str) {
    note(|it| it.code = Some(code.to_owned()));
}

/// Remembers the limit that is nearest to its end.
pub(crate) fn note_rate(standing: Standing) {
    note(|it| {
        if it.rate.as_ref().is_none_or(|known| standing.remaining() <= known.remaining()) {
            it.rate = Some(standing);
        }
    });
}

pub(crate) fn take_notes() -> Notes {
    SCOPE.try_with(|it| it.notes.take()).unwrap_or_default()
}

fn note(change: impl FnOnce(&mut Notes)) {
    // Outside a request there is nothing to note on.
    let _outside = SCOPE.try_with(|it| change(&mut it.notes.borrow_mut()));
}

pub(crate) fn log_request(method: &Method, path: &str, status: StatusCode, notes: &Notes, latency: Duration) {
    let trace_id = current_trace_id().map(|it| it.to_string());
    let tenant = notes.tenant.map(|it| it.to_string());
    let (status, code) = (status.as_u16(), notes.code.as_deref());
    let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    if status >= 500 {
        tracing::warn!(target: "request", trace_id, %method, path, status, code, tenant, latency_us);
    } else {
        tracing::debug!(target: "request", trace_id, %method, path, status, code, tenant, latency_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> Option<TraceParent> {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", text.parse().unwrap());
        TraceParent::from_headers(&headers)
    }

    #[test]
    fn a_valid_traceparent_is_taken() {
        let it = from("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(it.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((it.span_id.to_string().as_str(), it.sampled), ("00f067aa0ba902b7", true));
        assert!(!from("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").unwrap().sampled);
        assert!(from("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
    }

    #[test]
    fn an_invalid_traceparent_is_not() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert!(from(bad).is_none(), "{bad}");
        }
    }

    #[tokio::test]
    async fn the_scope_ends_with_the_future() {
        let id = TraceId::random();
        let span = SpanId::from(7);
        let seen = traced(id, async {
            note_span(Some(span));
            (current_trace_id(), current_span_id())
        });
        assert_eq!(seen.await, (Some(id), Some(span.to_string())));
        assert_eq!(current_trace_id(), None);
    }
}
