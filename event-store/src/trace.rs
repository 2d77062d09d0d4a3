//! Spans that a collector gets, and their links to the requests that they work for. A batch, a page and a publication
//! each serve many requests, so they are traces of their own that point to those of the requests.

use event_schemas::envelope::Meta;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::recorded::Recorded;

/// The target of such spans. Without a collector nobody listens to it, and making one costs a look at a flag.
pub const TRACES: &str = "quipu_trace";

/// The most links of one span; the rest of a large batch is left out.
pub const LINKS_MAX: usize = 32;

/// The most events of a page that are looked at for links: those of one request stand together, and share a link.
const EVENTS_MAX: usize = 256;

/// Links a span to requests, each given by the ids of its trace and span in hexadecimal digits, as events store them.
/// `requests` is not looked at if nobody records the span.
pub fn link<'a>(span: &Span, requests: impl IntoIterator<Item = (Option<&'a str>, Option<&'a str>)>) {
    if span.is_disabled() {
        return;
    }
    let mut linked: Vec<SpanContext> = Vec::new();
    for (trace, request) in requests {
        let (Some(trace), Some(request)) = (trace, request) else { continue };
        let (Ok(trace), Ok(request)) = (TraceId::from_hex(trace), SpanId::from_hex(request)) else {
            continue;
        };
        let context = SpanContext::new(trace, request, TraceFlags::SAMPLED, true, TraceState::default());
        if context.is_valid() && !linked.contains(&context) {
            span.add_link(context.clone());
            linked.push(context);
            if linked.len() == LINKS_MAX {
                return;
            }
        }
    }
}

/// Links a span to the requests that events followed from.
pub fn link_events<'a>(span: &Span, events: impl IntoIterator<Item = &'a Recorded>) {
    if span.is_disabled() {
        return;
    }
    let metas: Vec<Meta> = events.into_iter().take(EVENTS_MAX).filter_map(|it| it.meta().ok()).collect();
    link(span, metas.iter().map(|it| (it.trace.as_deref(), it.span.as_deref())));
}
