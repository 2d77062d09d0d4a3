//! What is on NATS, as an AsyncAPI 3.0 document: each subject, each message in every version, its headers and payload.
//!
//! Schemas of today's versions come from the types, those of earlier ones from their released files. Their definitions
//! become components, so that a reader of the document needs nothing else.

use std::path::Path;

use anyhow::{Context as _, ensure};
use event_schemas::catalog::{EVENTS, EventType};
use event_schemas::wire::{
    HEADERS, MARKER_PREFIX, MARKER_SUBJECT, OMITTED_HEADER, POSITION_HEADER, REPLAY_STREAM, REPLAY_SUBJECT,
    STREAM, SUBJECTS,
};
use event_schemas::{document, upcast};
use serde_json::{Map, Value, json};

use super::events::subject_of;

const DEFINITIONS: &str = "#/$defs/";
const COMPONENTS: &str = "#/components/schemas/";
const MARKER: &str = "epoch-changed";
const REPLAY: &str = "replay";

const DESCRIPTION: &str = "\
Every event of the log, in order, each at least once; after deduplication by `ce-id` exactly once. The stream is no \
record: what has aged out of it is read from the query API. docs/events.md says how to consume it.";

/// The document.
pub(super) fn document(schemas: &Path, samples: &Path) -> anyhow::Result<Value> {
    let mut components = Components::default();
    let (mut channels, mut operations) = (Map::new(), Map::new());
    let mut replayed = Map::new();
    for event in EVENTS {
        let mut messages = Map::new();
        for version in 1..=upcast::current(event.name) {
            let name = message_name(event, version);
            components.add(&name, schema_of(event, version, schemas)?)?;
            components.messages.insert(name.clone(), message(event, version, samples)?);
            messages.insert(format!("v{version}"), component("messages", &name));
            replayed.insert(name.clone(), component("messages", &name));
        }
        let address = format!("{STREAM}.{{tenant}}.{}", subject_of(event));
        channels.insert(event.name.to_owned(), channel(&address, event.meaning, &messages, &[TENANT]));
        operations.insert(event.name.to_owned(), operation(event.name, &messages, event.meaning));
    }
    let epoch = Map::from_iter([(MARKER.to_owned(), component("messages", MARKER))]);
    let meaning = "The log was restored from a backup and goes on as another history.";
    channels.insert(MARKER.to_owned(), channel(MARKER_SUBJECT, meaning, &epoch, &[]));
    operations.insert(MARKER.to_owned(), operation(MARKER, &epoch, meaning));
    components.schemas.insert("EpochChanged".to_owned(), marker_schema());
    components.messages.insert(MARKER.to_owned(), marker_message());
    let meaning = "Events of the log, sent once more on request, to a stream of the replay's own.";
    let address = format!("{REPLAY_SUBJECT}{{replay}}.{{tenant}}.{{context}}.{{aggregate}}.{{event}}");
    let parameters = [REPLAY_NAME, TENANT, CONTEXT, AGGREGATE, EVENT];
    channels.insert(REPLAY.to_owned(), channel(&address, meaning, &replayed, &parameters));
    operations.insert(REPLAY.to_owned(), operation(REPLAY, &replayed, meaning));
    components.schemas.insert("EventHeaders".to_owned(), headers_schema());
    Ok(json!({
        "asyncapi": "3.0.0",
        "id": "urn:quipu:events",
        "info": { "title": "Quipu events", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION },
        "defaultContentType": "application/json",
        "servers": { "nats": {
            "host": "{host}:4222",
            "protocol": "nats",
            "protocolVersion": "2.12",
            "description": "JetStream. Consumers read with a user of their own that may not publish below `quipu.`.",
            "variables": { "host": { "default": "localhost", "description": "Where NATS runs." } },
            "security": [{ "$ref": "#/components/securitySchemes/user" }],
        } },
        "channels": channels,
        "operations": operations,
        "components": {
            "schemas": components.schemas,
            "messages": components.messages,
            "securitySchemes": { "user": { "type": "userPassword", "description": "A user of the NATS server." } },
        },
        "x-quipu-stream": { "name": STREAM, "subjects": [SUBJECTS], "duplicate-window": "PT2M" },
        "x-quipu-replay-stream": { "name": format!("{REPLAY_STREAM}{{replay}}"), "subjects": [format!("{REPLAY_SUBJECT}{{replay}}.>")] },
    }))
}

type Parameter = (&'static str, &'static str, &'static str);
const TENANT: Parameter =
    ("tenant", "Whose events: the id of an organisation.", "0190a5c4-7c1e-7000-8000-000000000001");
const REPLAY_NAME: Parameter = ("replay", "The name that the replay was given.", "march");
const CONTEXT: Parameter = ("context", "The part of the product.", "ledger");
const AGGREGATE: Parameter = ("aggregate", "The noun of the event's own stream.", "transfer");
const EVENT: Parameter = ("event", "What happened, in the past tense.", "posted");

fn component(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

fn channel(
    address: &str,
    description: &str,
    messages: &Map<String, Value>,
    parameters: &[Parameter],
) -> Value {
    let parameters: Map<_, _> = parameters
        .iter()
        .map(|(name, description, example)| {
            ((*name).to_owned(), json!({ "description": description, "examples": [example] }))
        })
        .collect();
    let mut channel = json!({
        "address": address,
        "description": description,
        "servers": [{ "$ref": "#/servers/nats" }],
        "messages": messages,
    });
    if let (Some(channel), false) = (channel.as_object_mut(), parameters.is_empty()) {
        channel.insert("parameters".to_owned(), parameters.into());
    }
    channel
}

fn operation(channel: &str, messages: &Map<String, Value>, summary: &str) -> Value {
    let messages: Vec<_> =
        messages.keys().map(|it| json!({ "$ref": format!("#/channels/{channel}/messages/{it}") })).collect();
    json!({
        "action": "send",
        "channel": { "$ref": format!("#/channels/{channel}") },
        "messages": messages,
        "summary": summary,
        "bindings": { "nats": { "bindingVersion": "0.1.0" } },
    })
}

fn message_name(event: &EventType, version: i16) -> String {
    format!("{}.v{version}", event.name)
}

fn message(event: &EventType, version: i16, samples: &Path) -> anyhow::Result<Value> {
    let path = samples.join(document::file_name(event.name, version));
    let sample = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let schema = document::schema_id(event.name, version);
    let example: Map<_, _> = HEADERS
        .iter()
        .filter(|it| it.required)
        .map(|it| {
            let value = match it.name {
                "ce-type" => event.name,
                "ce-dataschema" => &schema,
                _ => it.example,
            };
            (it.name.to_owned(), json!(value))
        })
        .collect();
    Ok(json!({
        "name": event.name,
        "title": format!("{} v{version}", event.name),
        "summary": event.meaning,
        "contentType": "application/json",
        "correlationId": { "location": "$message.header#/ce-correlationid" },
        "headers": {
            "allOf": [component("schemas", "EventHeaders")],
            "properties": { "ce-type": { "const": event.name }, "ce-dataschema": { "const": schema } },
        },
        "payload": component("schemas", &message_name(event, version)),
        "examples": [{ "headers": example, "payload": serde_json::from_str::<Value>(&sample)? }],
    }))
}

fn headers_schema() -> Value {
    let properties: Map<_, _> = HEADERS
        .iter()
        .map(|it| {
            (
                it.name.to_owned(),
                json!({ "type": "string", "pattern": it.pattern, "description": it.meaning }),
            )
        })
        .collect();
    let required: Vec<_> = HEADERS.iter().filter(|it| it.required).map(|it| it.name).collect();
    json!({
        "type": "object",
        "description": format!("Names of NATS headers are case-sensitive. With `{OMITTED_HEADER}` the payload is empty."),
        "properties": properties,
        "required": required,
    })
}

fn marker_schema() -> Value {
    json!({
        "type": "object",
        "description": "Events of earlier epochs after `position` are void; what follows is of `epoch`.",
        "required": ["epoch", "position"],
        "properties": {
            "epoch": { "type": "integer", "format": "int32", "minimum": 1, "description": "The epoch that begins." },
            "position": { "type": "integer", "format": "int64", "minimum": 0, "description": "The last position that both histories share." },
        },
    })
}

fn marker_message() -> Value {
    json!({
        "name": MARKER,
        "title": "An epoch begins",
        "summary": "Forget what lies after the position, then go on.",
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "required": ["Nats-Msg-Id", POSITION_HEADER],
            "properties": {
                "Nats-Msg-Id": { "type": "string", "pattern": format!("^{MARKER_PREFIX}") },
                POSITION_HEADER: { "type": "string", "pattern": "^[1-9][0-9]*-[0-9]+$" },
            },
        },
        "payload": component("schemas", "EpochChanged"),
        "examples": [{ "payload": { "epoch": 2, "position": 4711 } }],
    })
}

fn schema_of(event: &EventType, version: i16, schemas: &Path) -> anyhow::Result<Value> {
    if version == upcast::current(event.name) {
        return Ok(document::schema(event));
    }
    let path = schemas.join(document::file_name(event.name, version));
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}

#[derive(Default)]
struct Components {
    schemas: Map<String, Value>,
    messages: Map<String, Value>,
}

impl Components {
    /// Adds a schema and its definitions. A definition that has another shape than one of the same name before (in
    /// another version of an event) gets the schema's name before its own.
    fn add(&mut self, name: &str, mut schema: Value) -> anyhow::Result<()> {
        let fields = schema.as_object_mut().context("a schema is an object")?;
        let id = fields.remove("$id").unwrap_or_default();
        fields.remove("$schema");
        fields.insert("x-quipu-schema".to_owned(), id);
        let definitions = match fields.remove("$defs") {
            Some(Value::Object(definitions)) => definitions,
            _ => Map::new(),
        };
        let plain = |local: &str| local.to_owned();
        let qualified = |local: &str| format!("{name}.{local}");
        let taken = definitions.iter().any(|(local, definition)| {
            self.schemas.get(local).is_some_and(|known| *known != referring(definition, &plain))
        });
        let naming: &dyn Fn(&str) -> String = if taken { &qualified } else { &plain };
        for (local, definition) in &definitions {
            self.schemas.insert(naming(local), referring(definition, naming));
        }
        let before = self.schemas.insert(name.to_owned(), referring(&schema, naming));
        ensure!(before.is_none(), "two schemas are named {name}");
        Ok(())
    }
}

/// A schema whose references lead to components.
fn referring(schema: &Value, naming: &dyn Fn(&str) -> String) -> Value {
    match schema {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value.as_str().and_then(|it| it.strip_prefix(DEFINITIONS)) {
                Some(local) if name == "$ref" => {
                    (name.clone(), json!(format!("{COMPONENTS}{}", naming(local))))
                }
                _ => (name.clone(), referring(value, naming)),
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(|it| referring(it, naming)).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
}
