//! The catalogue of events: what the log can hold, field by field, with a sample of each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use domain::ids::TenantId;
use event_schemas::catalog::{EVENTS, EventType};
use event_schemas::envelope::subject;
use event_schemas::{document, upcast};
use serde_json::{Map, Value};

use super::{GENERATED, head, row};

const BEGINNING: &str = "
# Events

What the log can hold. A payload is stored as the JSON that stands here, and sent over NATS as the same bytes; one that
is too large for a message is left out there, and the header `Quipu-Payload-Omitted` says so. The schemas are in
`event-schemas/schemas`, a sample of every version ever written in `event-schemas/samples`.

A field that has its usual value is left out: `normal_side` is then `credit`, `min_balance` is `\"0\"`, `max_balance` has
no bound (`null`), a total is `\"0\"`, `frozen` is `none`, `open_expiring_holds` is `0`, `metadata` is empty. Readers must
take fields that they do not know: adding an optional one is not a new version.

The subject on NATS is `quipu.<tenant id>.` and what the table says. One event can belong to several streams: it is
published once, on the subject of its own.

";

/// The page `docs/events.md`.
pub(super) fn page(samples: &Path) -> anyhow::Result<String> {
    let mut page = GENERATED.to_owned() + BEGINNING;
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
fn subject_of(event: &EventType) -> String {
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
