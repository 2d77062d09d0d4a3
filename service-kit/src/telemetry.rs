//! Logs on stderr and trace ids. A request's scope is task-local: its trace id reaches problem bodies and log lines
//! without travelling through every signature.
//!
//! Never logged: bodies, query strings, tokens, addresses of mail. Requests are logged at `debug` under the target
//! `request` (at `warn` when they end in 5xx), so `QUIPU_LOG=info,request=debug` is an access log.

use std::cell::RefCell;
use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderMap, Method, StatusCode};
use domain::ids::TenantId;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use uuid::Uuid;

use crate::config::{ConfigError, LogConfig, LogFormat};
use crate::rate::Standing;

/// Begins logging, and sends panics there too. Once a process.
pub fn init(config: &LogConfig) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&config.filter).map_err(|error| {
        ConfigError::new("QUIPU_LOG", error.to_string(), "write for example info,request=debug")
    })?;
    let pretty = match config.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Pretty => true,
    };
    let registry = tracing_subscriber::registry().with(filter);
    let done = if pretty {
        registry.with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr)).try_init()
    } else {
        let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(true);
        registry.with(lines.with_span_list(false).with_writer(std::io::stderr)).try_init()
    };
    done.map_err(|error| ConfigError::new("QUIPU_LOG", error.to_string(), "begin logging once only"))?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let trace_id = current_trace_id().map(|it| it.to_string());
        tracing::error!(trace_id, place, message = panic.payload_as_str().unwrap_or("no message"), "panic");
    }));
    Ok(())
}

/// Names one request across processes: the trace id of W3C Trace Context.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// A fresh one.
    #[must_use]
    pub fn random() -> Self {
        Self(*Uuid::new_v4().as_bytes())
    }

    /// The one that a caller sent as `traceparent`, if it is valid.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
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
        trace.parse().ok()
    }

    /// As a UUID of the same bytes, for correlation columns.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        Uuid::from_bytes(self.0)
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

pub(crate) struct Scope {
    trace_id: TraceId,
    notes: RefCell<Notes>,
}

tokio::task_local! {
    static SCOPE: Scope;
}

/// Runs a future as part of a traced request. Spawned tasks do not inherit it: wrap them too.
pub async fn traced<F: Future>(trace_id: TraceId, future: F) -> F::Output {
    SCOPE.scope(Scope { trace_id, notes: RefCell::default() }, future).await
}

/// The trace id of the request that the current task works on.
#[must_use]
pub fn current_trace_id() -> Option<TraceId> {
    SCOPE.try_with(|it| it.trace_id).ok()
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
        if it.rate.as_ref().is_none_or(|known| standing.remaining <= known.remaining) {
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

    fn from(text: &str) -> Option<TraceId> {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", text.parse().unwrap());
        TraceId::from_headers(&headers)
    }

    #[test]
    fn a_valid_traceparent_is_taken() {
        let it = from("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        assert_eq!(it.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
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
        assert_eq!(traced(id, async { current_trace_id() }).await, Some(id));
        assert_eq!(current_trace_id(), None);
    }
}
