//! `docs/asyncapi.json`: valid by the official schema, complete, and true of samples and headers.

use std::collections::BTreeSet;

use domain::ids::{ActorId, TenantId};
use event_schemas::catalog::EVENTS;
use event_schemas::document;
use event_schemas::envelope::{CloudEvent, LogPosition, Meta, cloud_event_headers, subject};
use event_schemas::wire::{HEADERS, MARKER_SUBJECT, STREAM, SUBJECTS};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{folder, json_of, samples, versions};

fn published() -> Value {
    let text = std::fs::read_to_string(folder("../docs/asyncapi.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A validator of one part of the document, with everything that it refers to.
fn validator_of(document: &Value, pointer: &str) -> jsonschema::Validator {
    assert!(document.pointer(pointer).is_some(), "{pointer}");
    let schema = json!({ "$ref": format!("#{pointer}"), "components": document["components"] });
    jsonschema::draft7::options().should_validate_formats(true).build(&schema).unwrap()
}

#[test]
fn it_is_valid_by_the_official_schema() {
    let official = std::fs::read_to_string(folder("tests/asyncapi/3.0.0.json")).unwrap();
    let validator = jsonschema::draft7::new(&json_of(&official)).unwrap();
    let document = published();
    let faults: Vec<_> = validator.iter_errors(&document).map(|it| it.to_string()).collect();
    assert_eq!(faults, Vec::<String>::new());
    let mut broken = document;
    broken["operations"]["ledger.transfer-posted"]["action"] = json!("shout");
    assert!(!validator.is_valid(&broken), "the schema can refuse");
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(document: &Value, value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                    let found = reference.strip_prefix('#').and_then(|it| document.pointer(it));
                    assert!(found.is_some(), "{reference} leads nowhere");
                }
                fields.values().for_each(|it| walk(document, it));
            }
            Value::Array(items) => items.iter().for_each(|it| walk(document, it)),
            _ => {}
        }
    }
    let document = published();
    walk(&document, &document);
}

#[test]
fn it_has_every_event_in_every_version_on_its_subject() {
    let document = published();
    let mut expected = BTreeSet::from(["epoch-changed".to_owned(), "replay".to_owned()]);
    for event in EVENTS {
        expected.insert(event.name.to_owned());
        let channel = &document["channels"][event.name];
        let tenant = TenantId::new(Uuid::from_u128(1));
        let address = channel["address"].as_str().unwrap().replace("{tenant}", &tenant.to_string());
        assert_eq!(address, subject(tenant, event.category.name, event.name));
        for version in versions(event) {
            let name = format!("{}.v{version}", event.name);
            let message = &document["components"]["messages"][&name];
            let id = document::schema_id(event.name, version);
            assert_eq!(message["headers"]["properties"]["ce-dataschema"]["const"], json!(id));
            assert_eq!(document["components"]["schemas"][&name]["x-quipu-schema"], json!(id));
            let reference = json!({ "$ref": format!("#/components/messages/{name}") });
            assert_eq!(channel["messages"][format!("v{version}")], reference);
        }
        assert_eq!(channel["messages"].as_object().unwrap().len(), versions(event).count());
    }
    let found: BTreeSet<_> = document["channels"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(found, expected);
    assert_eq!(document["channels"]["epoch-changed"]["address"], json!(MARKER_SUBJECT));
    assert_eq!(document["x-quipu-stream"]["name"], json!(STREAM));
    assert_eq!(document["x-quipu-stream"]["subjects"], json!([SUBJECTS]));
}

#[test]
fn its_payloads_take_the_samples_as_the_released_schemas_do() {
    let document = published();
    for event in EVENTS {
        for version in versions(event) {
            let validator =
                validator_of(&document, &format!("/components/messages/{}.v{version}/payload", event.name));
            for (name, sample) in samples(event.name, version) {
                let faults: Vec<_> = validator.iter_errors(&sample).map(|it| it.to_string()).collect();
                assert!(faults.is_empty(), "{name}: {faults:?}");
            }
            assert!(!validator.is_valid(&json!({})), "{} v{version} takes anything", event.name);
        }
    }
}

#[test]
fn its_headers_are_those_that_are_sent() {
    let document = published();
    let id = Uuid::now_v7();
    let meta = Meta {
        actor: ActorId::new(id),
        token: None,
        session: None,
        on_behalf_of: None,
        correlation: id,
        causation: Some(id),
        trace: None,
        span: None,
        origin: None,
    };
    for event in EVENTS {
        let sent = cloud_event_headers(&CloudEvent {
            id,
            tenant: TenantId::new(id),
            tenant_seq: 3,
            category: event.category.name,
            stream_id: id,
            version: 2,
            event_type: event.name,
            schema_version: 1,
            time: chrono::DateTime::UNIX_EPOCH,
            position: LogPosition { epoch: 1, position: 4711 },
            meta: Some(&meta),
        });
        let known: BTreeSet<_> =
            HEADERS.iter().map(|it| it.name).filter(|it| it.starts_with("ce-")).collect();
        assert_eq!(
            sent.iter().map(|it| it.0).collect::<BTreeSet<_>>(),
            known,
            "none is untold, none is made up"
        );
        let mut headers: Map<_, _> =
            sent.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        headers.insert("Nats-Msg-Id".to_owned(), json!(id));
        headers.insert("Quipu-Position".to_owned(), json!("1-4711"));
        let validator = validator_of(&document, &format!("/components/messages/{}.v1/headers", event.name));
        let headers = Value::Object(headers);
        let faults: Vec<_> = validator.iter_errors(&headers).map(|it| it.to_string()).collect();
        assert!(faults.is_empty(), "{}: {faults:?}", event.name);
        let mut other = headers;
        other["ce-type"] = json!("ledger.sun-exploded");
        assert!(!validator.is_valid(&other), "the headers say which message it is");
    }
}

#[test]
fn names_of_attributes_are_those_that_cloud_events_allow() {
    for header in HEADERS {
        let Some(attribute) = header.name.strip_prefix("ce-") else { continue };
        let plain = attribute.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit());
        assert!(plain && (1..=20).contains(&attribute.len()), "{attribute}");
        assert!(header.example.is_ascii(), "{attribute}");
    }
}
