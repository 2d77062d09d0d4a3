//! Log lines as JSON, one object a line, holding no field but those that are allowed. A new log line can therefore not
//! let personal data out by a field that nobody thought about: the field is left out, and `omitted` counts it.
//!
//! A message counts as free of data if it is ours: our messages are fixed texts, which a test sees to. Those of
//! libraries may quote what they work on, so of them a line tells only where they are made.

use std::fmt;
use std::io::Write as _;

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Every field that a line may hold: ids, counts, times, codes, names of ours, and texts of faults.
const ALLOWED: &[&str] = &[
    "active",
    "at",
    "attempts",
    "audit_failures",
    "code",
    "connections",
    "difference",
    "due",
    "ending",
    "epoch",
    "error",
    "event",
    "events",
    "factor",
    "failures",
    "from",
    "gone",
    "index",
    "known",
    "latency_us",
    "lease",
    "letter",
    "listen",
    "lost",
    "made",
    "manager",
    "method",
    "model",
    "own",
    "part",
    "partition",
    "path",
    "place",
    "position",
    "provider",
    "purpose",
    "reason",
    "refusal",
    "session",
    "state",
    "status",
    "stream",
    "target",
    "task",
    "tasks",
    "tenant",
    "trace_id",
    "transfer",
    "version",
    "wait_ms",
    "warning",
    "why",
];

/// The longest text of a field, in characters.
const TEXT_MAX: usize = 500;

/// Whose messages are fixed texts.
const OURS: &[&str] = &[
    "command_api",
    "domain",
    "event_schemas",
    "event_store",
    "projector",
    "query_api",
    "quipu",
    "read_models",
    "request",
    "service_kit",
];

/// The layer that writes the lines.
pub(super) struct Lines<W>(pub(super) W);

/// The allowed fields of a span.
#[derive(Default)]
struct Kept(Fields);

#[derive(Default)]
struct Fields {
    kept: Map<String, Value>,
    message: Option<String>,
    omitted: u64,
}

impl Fields {
    fn keep(&mut self, field: &Field, value: impl Into<Value>) {
        if ALLOWED.contains(&field.name()) {
            self.kept.insert(field.name().to_owned(), value.into());
        } else {
            self.omitted += 1;
        }
    }

    fn text(&mut self, field: &Field, text: String) {
        let text = match text.char_indices().nth(TEXT_MAX) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text,
        };
        if field.name() == "message" {
            self.message = Some(text);
        } else {
            self.keep(field, text);
        }
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut next = value.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        self.text(field, text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format!("{value:?}"));
    }
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Kept(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(kept) = span.extensions_mut().get_mut::<Kept>()
        {
            values.record(&mut kept.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut line = Map::new();
        let metadata = event.metadata();
        line.insert("timestamp".to_owned(), Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true).into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.insert("target".to_owned(), metadata.target().into());
        if is_ours(metadata.target()) {
            line.extend(fields.message.map(|it| ("message".to_owned(), it.into())));
        } else {
            let place =
                format!("{}:{}", metadata.file().unwrap_or_default(), metadata.line().unwrap_or_default());
            line.insert("source".to_owned(), place.into());
            fields.omitted += u64::from(fields.message.is_some());
        }
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(kept) = span.extensions().get::<Kept>() {
                for (name, value) in &kept.0.kept {
                    fields.kept.entry(name.clone()).or_insert_with(|| value.clone());
                }
            }
        }
        for (name, value) in fields.kept {
            // The line's own words stay; a field of such a name stands beside them.
            let name = if line.contains_key(&name) { format!("{name}_") } else { name };
            line.insert(name, value);
        }
        if fields.omitted > 0 {
            line.insert("omitted".to_owned(), fields.omitted.into());
        }
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // Where the log is gone there is nobody to tell.
        drop(self.0.make_writer().write_all(text.as_bytes()));
    }
}

fn is_ours(target: &str) -> bool {
    OURS.contains(&target.split("::").next().unwrap_or(target))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn logged(log: impl FnOnce()) -> Vec<Value> {
        let written = tempfile::NamedTempFile::new().unwrap();
        let subscriber = tracing_subscriber::registry().with(Lines(Arc::new(written.reopen().unwrap())));
        tracing::subscriber::with_default(subscriber, log);
        let text = std::fs::read_to_string(written.path()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_field_that_is_not_allowed_is_counted_and_left_out() {
        let lines = logged(|| {
            let span = tracing::info_span!("request", trace_id = "4bf9", mail = "ada@example.org");
            let _entered = span.enter();
            tracing::info!(position = 7, address = "203.0.113.7", "an account of somebody");
        });
        let line = &lines[0];
        assert_eq!((&line["position"], &line["trace_id"]), (&7.into(), &"4bf9".into()));
        assert_eq!(line["message"], "an account of somebody");
        assert_eq!(line["omitted"], 1);
        let text = line.to_string();
        assert!(!text.contains("ada@example.org") && !text.contains("203.0.113.7"), "{text}");
    }

    #[test]
    fn messages_of_libraries_are_left_out() {
        let lines =
            logged(|| tracing::info!(target: "sqlx::query", error = "a reason", "select 'ada@example.org'"));
        assert_eq!(lines[0]["error"], "a reason");
        assert!(lines[0]["source"].as_str().unwrap().contains("lines.rs:"));
        assert!(!lines[0].to_string().contains("ada@example.org"));
    }

    #[test]
    fn long_texts_end() {
        let lines = logged(|| tracing::info!(error = "é".repeat(TEXT_MAX * 2)));
        assert_eq!(lines[0]["error"].as_str().unwrap().chars().count(), TEXT_MAX + 1);
    }

    /// The arguments of each of our calls of a macro of `tracing`, with the place of the call.
    fn calls() -> Vec<(String, Vec<String>)> {
        let mut files = Vec::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for name in ["command-api", "event-store", "projector", "query-api", "read-models", "service-kit"] {
            sources(&root.join(name).join("src"), &mut files);
        }
        let mut found = Vec::new();
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for kind in ["error!(", "warn!(", "info!(", "debug!(", "trace!("] {
                for part in text.split(&format!("tracing::{kind}")).skip(1) {
                    found.push((file.display().to_string(), arguments(part)));
                }
            }
        }
        found
    }

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|it| it == "rs") {
                found.push(path);
            }
        }
    }

    /// Splits what follows an opening parenthesis at the commas of its own level.
    fn arguments(text: &str) -> Vec<String> {
        let (mut depth, mut quoted, mut before) = (0, false, ' ');
        let mut arguments = vec![String::new()];
        for it in text.chars() {
            match it {
                '"' if before != '\\' => quoted = !quoted,
                '(' | '[' | '{' if !quoted => depth += 1,
                ')' if !quoted && depth == 0 => break,
                ')' | ']' | '}' if !quoted => depth -= 1,
                ',' if !quoted && depth == 0 => arguments.push(String::new()),
                _ => {}
            }
            if it != ',' || quoted || depth > 0 {
                arguments.last_mut().unwrap().push(it);
            }
            before = it;
        }
        arguments.into_iter().map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect()
    }

    #[test]
    fn our_messages_are_fixed_texts_and_our_fields_are_decided_upon() {
        // Written for a person at a terminal, and left out of the lines on purpose.
        let left_out = ["peer", "says", "subject"];
        let calls = calls();
        assert!(calls.len() > 30, "{}", calls.len());
        let mut faults = Vec::new();
        for (place, arguments) in calls {
            for argument in &arguments {
                if argument.starts_with('"') {
                    if argument.contains('{') {
                        faults.push(format!("{place}: {argument} holds data: make it a field"));
                    }
                } else if !argument.starts_with("target:") {
                    let name =
                        argument.split('=').next().unwrap_or_default().trim().trim_start_matches(['%', '?']);
                    let decided = ALLOWED.contains(&name) || left_out.contains(&name);
                    if !decided {
                        faults.push(format!("{place}: is `{name}` free of data about people? Then allow it"));
                    }
                }
            }
        }
        assert_eq!(faults, Vec::<String>::new());
    }
}
