//! The catalogue of events: what the log can hold, field by field, with a sample of each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use domain::ids::TenantId;
use event_schemas::catalog::{EVENTS, EventType};
use event_schemas::envelope::subject;
use event_schemas::wire::HEADERS;
use event_schemas::{document, upcast};
use serde_json::{Map, Value};

use super::{GENERATED, head, row};

const BEGINNING: &str = "
# Events

What the log can hold, and how it arrives on NATS. The same for programs: [asyncapi.json](asyncapi.json), the schemas in
`event-schemas/schemas`, and samples of every version ever written in `event-schemas/samples`. A consumer that was made
from these documents alone is in [examples/consumer](../examples/consumer).

## Payloads

A payload is stored as the JSON that stands here, and sent over NATS as the same bytes.

A field that has its usual value is left out: `normal_side` is then `credit`, `min_balance` is `\"0\"`, `max_balance` has
no bound (`null`), a total is `\"0\"`, `frozen` is `none`, `open_expiring_holds` is `0`, `metadata` is empty.

A version promises both directions. Everything that was stored under it stays readable; and everything that is written
under it can be read by whoever knows its schema, as long as they take fields that they do not know: an optional field is
no new version. Anything else is, even one more value of an enumeration. A message of a version or type that you do not
know is one to wait with, not one to skip: its `ce-dataschema` names what you lack.

Personal data is sealed before it is stored, and travels sealed: an object `{\"$private\": ..}` in place of the value. Who
may open it reads it from the query API. Where a request came from (address, user agent) is not sent at all.

## Messages

The stream `quipu` holds every event, in the order of the log, for some days (7, or 2 GiB, unless set otherwise). The
subject of an event is `quipu.<tenant id>.<context>.<aggregate>.<event>`, as the table below says it; `quipu.<tenant id>.>`
is a tenant's history, `quipu.*.ledger.>` is everybody's ledger. One event can belong to several streams of the log: it is
published once, on the subject of its own.

Messages are CloudEvents 1.0 in the binary mode of the NATS binding: attributes are headers, the body is the payload.

";

const CONSUMING: &str = "
## Consuming

- **Each message comes at least once.** Deduplicate by `ce-id`, in the transaction of whatever you do because of it: keep
  the id, or, if you read every subject, the position of the last message, and pass by what is not beyond it. JetStream
  refuses repetitions only for two minutes.
- **Order** is that of the log, over all tenants: within an epoch `Quipu-Position` only grows, one by one if you read
  every subject. `ce-quiputenantseq` counts one tenant's events in the same way, `ce-quipuversion` those of one stream. A
  gap means that messages have aged out before you read them: read on from the query API (`GET /v1/events`, by position).
- **Acknowledge** after your own commit. A durable pull consumer with explicit acknowledgement keeps order through crashes
  only with `max_ack_pending` 1: with more under way, those that were not acknowledged come again after later ones. Then
  deduplicate by id, not by position.
- **An epoch** begins when the log was restored from a backup. Then a message arrives on
  `quipu.00000000-0000-0000-0000-000000000000.platform.log.epoch-changed`, with the body `{epoch, position}`: what you know
  of earlier epochs beyond that position did not happen; undo it, then go on. Events at or before that position keep their
  ids and may come again under the new epoch. A message of an earlier epoch than one that you have seen is void. Whoever
  filters subjects must subscribe to this one, too.
- **A payload too large** for a message (1 MiB, or what the server allows) is left out, and the header
  `Quipu-Payload-Omitted` says so: read it from the query API by its position.
- **A replay** is sent to a stream of its own, `quipu-replay-<name>`, on `quipu-replay.<name>.` and what follows `quipu.`
  above. Messages are the same, ids included.
- During an upgrade an older process may publish events of a newer one. Bytes and headers are right; but if the category
  is new, too, the aggregate in the subject is `unknown`. Consumers that must not miss those filter by context
  (`quipu.*.ledger.>`) and look at `ce-type`.

## Catalogue

";

/// The page `docs/events.md`.
pub(super) fn page(samples: &Path) -> anyhow::Result<String> {
    let mut page = GENERATED.to_owned() + BEGINNING;
    page += &head(["Header", "Always there", "Meaning", "Example"]);
    for header in HEADERS {
        let there = if header.required { "yes" } else { "no" };
        page +=
            &row([&format!("`{}`", header.name), there, header.meaning, &format!("`{}`", header.example)]);
    }
    page += CONSUMING;
    page += &head(["Event", "Version", "Subject", "Meaning"]);
    for event in EVENTS {
        let link = format!("[`{0}`](#{1})", event.name, event.name.replace('.', ""));
        let version = upcast::current(event.name).to_string();
        page += &row([&link, &version, &format!("`{}`", subject_of(event)), event.meaning]);
    }
    let mut shapes = BTreeMap::new();
    for event in EVENTS {
        let schema = document::schema(event);
        page += &section(event, &schema, samples)?;
        if let Some(definitions) = schema.get("$defs").and_then(Value::as_object) {
            shapes.extend(definitions.clone());
        }
    }
    page += "\n# Shapes\n\nWhat several events have in common.\n";
    for (name, shape) in &shapes {
        page += &shape_section(name, shape);
    }
    Ok(page)
}

/// The subject after the tenant.
pub(super) fn subject_of(event: &EventType) -> String {
    let whole = subject(TenantId::PLATFORM, event.category.name, event.name);
    whole.splitn(3, '.').nth(2).unwrap_or_default().to_owned()
}

fn section(event: &EventType, schema: &Value, samples: &Path) -> anyhow::Result<String> {
    let version = upcast::current(event.name);
    let path = samples.join(document::file_name(event.name, version));
    let sample = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(format!(
        "\n## {name}\n\n{meaning}\n\nVersion {version}, category `{category}`, schema \
         [`{id}`](../event-schemas/schemas/{file}).\n\n{fields}\n```json\n{sample}```\n",
        name = event.name,
        meaning = event.meaning,
        category = event.category.name,
        id = document::schema_id(event.name, version),
        file = document::file_name(event.name, version),
        fields = fields(schema),
    ))
}

fn shape_section(name: &str, shape: &Value) -> String {
    let text = |field: &str| shape.get(field).and_then(Value::as_str).unwrap_or_default();
    let mut section = format!("\n## {name}\n");
    if !text("description").is_empty() {
        section += &format!("\n{}\n", sentence(text("description")));
    }
    section += "\n";
    if shape.get("properties").is_some() {
        section += &fields(shape);
    } else if let Some(values) = shape.get("oneOf").and_then(Value::as_array) {
        section += &head(["Value", "Meaning"]);
        for value in values {
            let of = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
            section += &row([&format!("`{}`", of("const")), &sentence(of("description"))]);
        }
    } else {
        let name = type_of(shape);
        let article = if name.starts_with("object") { "An" } else { "A" };
        section += &format!("{article} {name}{}.\n", bounds(shape));
    }
    section
}

/// The fields of an object, those that are always there first.
fn fields(schema: &Value) -> String {
    let nothing = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&nothing);
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let others: BTreeSet<&str> =
        properties.keys().map(String::as_str).filter(|name| !required.contains(name)).collect();
    let mut table = head(["Field", "Type", "Always there", "Meaning"]);
    for (names, there) in [(required, "yes"), (others.into_iter().collect(), "no")] {
        for name in names {
            let Some(field) = properties.get(name) else { continue };
            let meaning = field.get("description").and_then(Value::as_str).unwrap_or_default();
            table += &row([&format!("`{name}`"), &type_of(field), there, &sentence(meaning)]);
        }
    }
    table
}

/// A type in a few words; shapes by links.
fn type_of(schema: &Value) -> String {
    let text = |field: &str| schema.get(field).and_then(Value::as_str);
    if let Some(name) = text("$ref").and_then(|it| it.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let choices: Vec<_> = choices.iter().map(type_of).filter(|it| it != "null").collect();
        return choices.join(" or ");
    }
    if let Some(items) = schema.get("items") {
        return format!("list of {}", type_of(items));
    }
    let name = match schema.get("type") {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => {
            let names: Vec<_> = names.iter().filter_map(Value::as_str).filter(|it| *it != "null").collect();
            names.join(" or ")
        }
        _ => "value".to_owned(),
    };
    match text("format") {
        Some("date-time") => "moment (RFC 3339)".to_owned(),
        Some("uuid") => "UUID".to_owned(),
        Some(format) if format.starts_with("int") || format.starts_with("uint") => "whole number".to_owned(),
        _ => name,
    }
}

/// What a simple type is held to.
fn bounds(schema: &Value) -> String {
    let mut bounds = String::new();
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        bounds += &format!(" of the form `{pattern}`");
    }
    if let (Some(min), Some(max)) = (schema.get("minLength"), schema.get("maxLength")) {
        bounds += &format!(" of {min} to {max} characters");
    }
    if let Some(max) = schema.get("maxProperties") {
        bounds += &format!(" of at most {max} pairs of text");
    }
    bounds
}

/// A fragment as a sentence; comments of the code that run over a line's end as one line.
fn sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => {
            let whole: String = first.to_uppercase().chain(letters).collect();
            if whole.ends_with(['.', '!', '?']) { whole } else { whole + "." }
        }
        None => String::new(),
    }
}
