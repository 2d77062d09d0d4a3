//! Logs on stderr, traces to a collector, and the scope of a request that both take their ids from.
//!
//! Never logged: bodies, query strings, tokens, addresses. The JSON lines enforce it: they hold no field but those of
//! [`lines::ALLOWED`]. Requests are logged at `debug` under the target `request` (at `warn` when they end in 5xx), so
//! `QUIPU_LOG=info,request=debug` is an access log.
//!
//! Spans that are recorded have the target [`TRACES`]. Without a collector nobody listens to that target, and making
//! such a span costs the look at one atomic flag.

mod export;
mod lines;
mod scope;
mod server_span;

use std::io::IsTerminal;

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

pub(crate) use export::SpanCounts;
pub use scope::{TraceId, current_span_id, current_trace_id, traced};

pub(crate) use scope::{TraceParent, log_request, note_code, note_rate, note_tenant, take_notes};
pub(crate) use server_span::{end_span, server_span};

use crate::config::{ConfigError, LogConfig, LogFormat, TelemetryConfig};

/// The target of spans that go to the collector, here and in every crate of ours.
pub const TRACES: &str = "quipu_trace";

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// Ends with the process: then the last spans are sent.
#[must_use = "dropping it ends the traces"]
#[derive(Debug)]
pub struct Telemetry {
    exporter: Option<export::Exporter>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(exporter) = &self.exporter {
            exporter.stop();
        }
    }
}

/// Begins logging and tracing, and sends panics to the log. Once a process; `process` names it in traces.
///
/// # Errors
/// If a setting is wrong.
pub fn init(
    process: &'static str,
    log: &LogConfig,
    telemetry: &TelemetryConfig,
) -> Result<Telemetry, ConfigError> {
    let filter = EnvFilter::try_new(&log.filter)
        .and_then(|it| Ok(it.add_directive(format!("{TRACES}=off").parse()?)))
        .map_err(|error| {
            ConfigError::new("QUIPU_LOG", error.to_string(), "write for example info,request=debug")
        })?;
    let pretty = match log.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Pretty => true,
    };
    let logged: Boxed = if pretty {
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(filter).boxed()
    } else {
        lines::Lines(std::io::stderr).with_filter(filter).boxed()
    };
    let mut layers = vec![logged];
    let exporter = match &telemetry.otlp_endpoint {
        Some(endpoint) => {
            let (exporter, layer) = export::begin(process, endpoint)?;
            layers.push(layer.with_filter(filter_fn(|it| it.is_span() && it.target() == TRACES)).boxed());
            Some(exporter)
        }
        None => None,
    };
    let done = tracing_subscriber::registry().with(layers).try_init();
    done.map_err(|error| ConfigError::new("QUIPU_LOG", error.to_string(), "begin logging once only"))?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let trace_id = current_trace_id().map(|it| it.to_string());
        // What a panic says may quote data, so it is a field of its own, which JSON lines do not hold.
        let says = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(trace_id, place, says, "panic");
    }));
    Ok(Telemetry { exporter })
}
