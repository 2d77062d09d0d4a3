//! The published form of the contract: one JSON Schema and at least one sample for each version of each event, as files.
//!
//! Only today's version of a schema can be made from the types. The files of earlier versions stay as they were released.

use domain::Event;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::catalog::EventType;
use crate::upcast;

/// The name of a version: of its schema, and of the `dataschema` of its messages.
#[must_use]
pub fn schema_id(event_type: &str, version: i16) -> String {
    format!("urn:quipu:event:{event_type}:v{version}")
}

/// The name of the file of a version's schema and of that of its first sample.
#[must_use]
pub fn file_name(event_type: &str, version: i16) -> String {
    format!("{event_type}.v{version}.json")
}

/// The name of the file of a version's sample, counted from 1. Samples are added and never changed: when an optional field
/// comes, a further sample shows it.
#[must_use]
pub fn sample_name(event_type: &str, version: i16, number: u32) -> String {
    match number {
        1 => file_name(event_type, version),
        number => format!("{event_type}.v{version}.{number}.json"),
    }
}

/// The JSON Schema (2020-12) of an event's payload as today's build writes it.
#[must_use]
pub fn schema(event: &EventType) -> Value {
    let mut schema = Value::from((event.schema)());
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("$id".to_owned(), json!(schema_id(event.name, upcast::current(event.name))));
        schema.insert("title".to_owned(), json!(event.name));
        schema.insert("description".to_owned(), json!(event.meaning));
    }
    schema
}

/// A document as text: fields in the order of their names, whatever order the value keeps, and a final line break.
///
/// # Errors
/// If it cannot be written, which no JSON value gives.
pub fn text(document: Value) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&sorted(document)).map(|text| text + "\n")
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().collect();
            fields.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            fields.into_iter().map(|(name, value)| (name, sorted(value))).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

/// The payload of an event as text for people, its fields in the order in which they are stored, and a final line
/// break.
///
/// # Errors
/// If the event does not serialise.
pub fn sample(event: &Event) -> serde_json::Result<String> {
    #[derive(Deserialize)]
    struct Tagged<'a> {
        #[serde(borrow)]
        payload: &'a RawValue,
    }
    let text = serde_json::to_string_pretty(event)?;
    let tagged: Tagged<'_> = serde_json::from_str(&text)?;
    // It stood one level deeper. No JSON text holds a bare line break, so every line begins with that indentation.
    let lines: Vec<_> =
        tagged.payload.get().lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect();
    Ok(lines.join("\n") + "\n")
}
