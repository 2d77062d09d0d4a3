//! Sends spans to a collector: OTLP, protobuf over HTTP. What waits is bounded, and what finds no room is counted and
//! let go: nothing ever waits for a collector.
//!
//! Besides the endpoint, the standard variables `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TIMEOUT`,
//! `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` hold; the exporter itself reads them.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{SpanId, TraceId, TracerProvider as _};
use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider,
    Span, SpanData, SpanExporter, SpanProcessor,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tracing_opentelemetry::OpenTelemetryLayer;

use super::scope;
use crate::config::ConfigError;

/// Spans that have ended and are not sent yet.
const WAITING_MAX: usize = 4_096;
const BATCH_MAX: usize = 512;
const SEND_EVERY: Duration = Duration::from_secs(1);
const STOP_TIME_MAX: Duration = Duration::from_secs(3);

/// What became of the spans of this process. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpanCounts {
    exported: Counter,
    failed: Counter,
    dropped: Counter,
}

static COUNTS: LazyLock<SpanCounts> = LazyLock::new(SpanCounts::default);

impl SpanCounts {
    /// Those of the process.
    #[must_use]
    pub(crate) fn of_process() -> Self {
        COUNTS.clone()
    }

    /// Makes them part of what `/metrics` shows.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let mut each = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        each("quipu_trace_spans_exported", "Spans that the collector took", &self.exported);
        each("quipu_trace_spans_failed", "Spans that the collector did not take", &self.failed);
        each("quipu_trace_spans_dropped", "Spans that found no room to wait in", &self.dropped);
    }
}

/// The way to the collector.
#[derive(Debug)]
pub(super) struct Exporter(SdkTracerProvider);

impl Exporter {
    /// Sends what waits, within a limit, and ends.
    pub(super) fn stop(&self) {
        if let Err(error) = self.0.shutdown_with_timeout(STOP_TIME_MAX) {
            tracing::warn!(error = error.to_string(), "the last spans were not sent");
        }
    }
}

/// Begins to send to the collector at `endpoint`, whether or not it is there.
pub(super) fn begin<S>(
    process: &'static str,
    endpoint: &str,
) -> Result<(Exporter, OpenTelemetryLayer<S, SdkTracer>), ConfigError>
where
    S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
{
    let bad = |problem: String| {
        ConfigError::new(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            problem,
            "set it to http://host:4318; for a collector elsewhere run one beside this process that forwards by TLS",
        )
    };
    if !endpoint.starts_with("http://") {
        return Err(bad("it is not an http:// URL".to_owned()));
    }
    let sender = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .build()
        .map_err(|error| bad(error.to_string()))?;
    let waiting = Arc::<AtomicUsize>::default();
    let counts = SpanCounts::of_process();
    let counted = Counted { sender, waiting: Arc::clone(&waiting), counts: counts.clone() };
    let batches = BatchConfigBuilder::default()
        // Room for everything that `Bounded` lets in, so that it alone decides what is let go.
        .with_max_queue_size(WAITING_MAX + BATCH_MAX)
        .with_max_export_batch_size(BATCH_MAX)
        .with_scheduled_delay(SEND_EVERY)
        .build();
    let batches = BatchSpanProcessor::builder(counted).with_batch_config(batches).build();
    let resource = Resource::builder()
        .with_service_name(process)
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_id_generator(RequestIds::default())
        .with_span_processor(Bounded { batches, waiting, counts })
        .with_resource(resource)
        .build();
    let layer = OpenTelemetryLayer::new(provider.tracer("quipu"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false);
    Ok((Exporter(provider), layer))
}

/// Gives the trace of a request the id that the request has already.
#[derive(Debug, Default)]
struct RequestIds(RandomIdGenerator);

impl IdGenerator for RequestIds {
    fn new_trace_id(&self) -> TraceId {
        match scope::current_trace_id() {
            Some(id) => TraceId::from_bytes(id.bytes()),
            None => self.0.new_trace_id(),
        }
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

/// Lets spans in while there is room.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    counts: SpanCounts,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            self.counts.dropped.inc();
            return;
        }
        self.batches.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Counts what became of the spans that are sent.
struct Counted {
    sender: opentelemetry_otlp::SpanExporter,
    waiting: Arc<AtomicUsize>,
    counts: SpanCounts,
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.sender.export(batch).await;
        self.waiting.fetch_sub(spans, Ordering::AcqRel);
        let counter = if sent.is_ok() { &self.counts.exported } else { &self.counts.failed };
        counter.inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.sender.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.sender.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanKind, Status, TraceFlags, TraceState};
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};

    use super::*;

    fn span() -> SpanData {
        let now = std::time::SystemTime::UNIX_EPOCH;
        SpanData {
            span_context: SpanContext::new(
                TraceId::from(1_u128),
                SpanId::from(1_u64),
                TraceFlags::SAMPLED,
                false,
                TraceState::default(),
            ),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "a span".into(),
            start_time: now,
            end_time: now,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: opentelemetry::InstrumentationScope::default(),
        }
    }

    /// An exporter that stands still, as towards a collector that takes nothing.
    #[derive(Debug)]
    struct Stuck;

    impl SpanExporter for Stuck {
        async fn export(&self, _batch: Vec<SpanData>) -> OTelSdkResult {
            Ok(())
        }
    }

    #[test]
    fn what_finds_no_room_is_counted_and_let_go() {
        let counts = SpanCounts::default();
        // Nobody takes anything out: `Stuck` does not tell that it has sent.
        let bounded = Bounded {
            batches: BatchSpanProcessor::builder(Stuck).build(),
            waiting: Arc::default(),
            counts: counts.clone(),
        };
        for _ in 0..WAITING_MAX + 3 {
            bounded.on_end(span());
        }
        assert_eq!(counts.dropped.get(), 3);
        assert_eq!(bounded.waiting.load(Ordering::Acquire), WAITING_MAX);
    }

    #[tokio::test]
    async fn a_trace_has_the_id_of_its_request() {
        let id = scope::TraceId::random();
        let made = scope::traced(id, async { RequestIds::default().new_trace_id() }).await;
        assert_eq!(made.to_string(), id.to_string());
        assert_ne!(RequestIds::default().new_trace_id().to_string(), id.to_string());
    }

    #[test]
    fn only_plain_http_to_a_collector_nearby() {
        for endpoint in ["https://collector.example:4318", "collector:4318", ""] {
            let begun = begin::<tracing_subscriber::Registry>("a process", endpoint);
            assert_eq!(begun.map(drop).unwrap_err().variable, "OTEL_EXPORTER_OTLP_ENDPOINT");
        }
    }
}
