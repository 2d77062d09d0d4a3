//! What is stored stays readable, and what is published is what is stored.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at a document of another shape"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use event_schemas::catalog::{AGGREGATES, EVENTS, EventType};
use event_schemas::{decode, document, encode, upcast};
use serde_json::{Value, json};

#[path = "contract/asyncapi.rs"]
mod asyncapi;
#[path = "contract/compatibility.rs"]
mod compatibility;
#[path = "contract/edges.rs"]
mod edges;
#[path = "contract/envelope.rs"]
mod envelope;
#[path = "contract/secrets.rs"]
mod secrets;
#[path = "contract/shapes.rs"]
mod shapes;
#[path = "contract/story.rs"]
mod story;
#[path = "contract/toy.rs"]
mod toy;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(folder_name: &str, event_type: &str, version: i16) -> std::io::Result<String> {
    let path = folder(folder_name).join(document::file_name(event_type, version));
    std::fs::read_to_string(&path)
        .map_err(|error| std::io::Error::other(format!("{}: {error}", path.display())))
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// Every sample of a version, with the name of its file.
fn samples(event_type: &str, version: i16) -> Vec<(String, Value)> {
    (1..)
        .map(|number| document::sample_name(event_type, version, number))
        .map_while(|name| {
            let text = std::fs::read_to_string(folder("samples").join(&name)).ok()?;
            Some((name, serde_json::from_str(&text).unwrap()))
        })
        .collect()
}

/// Every version that was ever written.
fn versions(event: &EventType) -> impl Iterator<Item = i16> {
    1..=upcast::current(event.name)
}

#[test]
fn names_are_unique_and_of_one_form() {
    let names: BTreeSet<_> = EVENTS.iter().map(|it| it.name).collect();
    assert_eq!(names.len(), EVENTS.len());
    for EventType { name, category, meaning, .. } in EVENTS {
        let (context, what) = name.split_once('.').unwrap();
        let (noun, verbed) = what.rsplit_once('-').unwrap();
        for word in [context, noun, verbed] {
            assert!(
                !word.is_empty() && word.bytes().all(|it| it.is_ascii_lowercase() || it == b'-'),
                "{name}"
            );
        }
        let past = ["ed", "held", "frozen", "read", "sent"];
        assert!(past.iter().any(|it| verbed.ends_with(it)), "{name} does not say what happened");
        assert_eq!(
            category.name.split_once('.').unwrap().0,
            context,
            "{name} is on a stream of another context"
        );
        assert!(meaning.ends_with('.'), "{name}");
    }
}

#[test]
fn categories_are_unique_and_every_event_has_an_aggregate() {
    let codes: BTreeSet<_> = AGGREGATES.iter().map(|it| it.category.code).collect();
    let names: BTreeSet<_> = AGGREGATES.iter().map(|it| it.category.name).collect();
    assert_eq!((codes.len(), names.len()), (AGGREGATES.len(), AGGREGATES.len()));
    for event in EVENTS {
        assert!(codes.contains(&event.category.code), "{} belongs to no aggregate", event.name);
    }
}

#[test]
fn every_version_has_a_schema_and_samples_and_there_are_no_other_files() {
    let all = || EVENTS.iter().flat_map(|event| versions(event).map(|version| (event.name, version)));
    let schemas = all().map(|(event, version)| document::file_name(event, version)).collect();
    let sampled = all().flat_map(|(event, version)| {
        let names: Vec<_> = samples(event, version).into_iter().map(|it| it.0).collect();
        assert!(!names.is_empty(), "{event} v{version} has no sample: run the example `samples`");
        names
    });
    for (name, expected) in [("schemas", schemas), ("samples", sampled.collect::<BTreeSet<_>>())] {
        let found: BTreeSet<_> = std::fs::read_dir(folder(name))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(found, expected, "in {name}: write them with `./dev docs` and the example `samples`");
    }
}

#[test]
fn schemas_are_those_of_the_types() {
    for event in EVENTS {
        let current = upcast::current(event.name);
        let generated = document::text(document::schema(event)).unwrap();
        assert_eq!(
            read("schemas", event.name, current).unwrap(),
            generated,
            "the shape of {} has changed: add a version, or write the schema with `./dev docs`",
            event.name
        );
    }
}

#[test]
fn schemas_name_themselves() {
    for event in EVENTS {
        for version in versions(event) {
            let schema = json_of(&read("schemas", event.name, version).unwrap());
            assert_eq!(schema["$id"], json!(document::schema_id(event.name, version)));
            assert_eq!(schema["$schema"], json!("https://json-schema.org/draft/2020-12/schema"));
            assert!(jsonschema::meta::is_valid(&schema), "{}", event.name);
        }
    }
}

#[test]
fn samples_fit_the_schema_of_their_version_and_once_lifted_todays() {
    let validator = |schema: &Value| {
        jsonschema::draft202012::options().should_validate_formats(true).build(schema).unwrap()
    };
    for event in EVENTS {
        let today = validator(&document::schema(event));
        for version in versions(event) {
            let own = validator(&json_of(&read("schemas", event.name, version).unwrap()));
            assert!(!own.is_valid(&json!({})), "{} v{version} takes anything", event.name);
            for (name, sample) in samples(event.name, version) {
                let lifted = upcast::lift(event.name, version, sample.clone());
                for (validator, value) in [(&own, &sample), (&today, &lifted)] {
                    let faults: Vec<_> = validator.iter_errors(value).map(|it| it.to_string()).collect();
                    assert!(faults.is_empty(), "{name}: {faults:?}");
                }
            }
        }
    }
}

#[test]
fn samples_of_every_version_are_read_and_written_as_today_without_losing_a_field() {
    for event in EVENTS {
        for version in versions(event) {
            for (name, sample) in samples(event.name, version) {
                let decoded = decode(event.name, version, &sample.to_string()).unwrap();
                assert_eq!(decoded.streams().first().unwrap().category, event.category, "{name}");
                let encoded = encode(&decoded).unwrap();
                assert_eq!(encoded.event_type, event.name);
                assert_eq!(encoded.schema_version, upcast::current(event.name));
                assert_eq!(json_of(&encoded.payload), upcast::lift(event.name, version, sample), "{name}");
            }
        }
    }
}

#[test]
fn samples_are_what_real_decisions_say() {
    let mut told = BTreeMap::<_, Vec<Value>>::new();
    for event in story::told().unwrap().iter().chain(&edges::told().unwrap()) {
        let encoded = encode(event).unwrap();
        told.entry(encoded.event_type).or_default().push(json_of(&encoded.payload));
    }
    for event in EVENTS {
        let told = told.get(event.name).unwrap_or_else(|| panic!("nothing tells of {}", event.name));
        let samples: Vec<_> =
            samples(event.name, upcast::current(event.name)).into_iter().map(|it| it.1).collect();
        for payload in told {
            assert!(
                samples.contains(payload),
                "{} says what no sample shows: add it with the example `samples`: {payload}",
                event.name
            );
        }
    }
}

#[test]
fn unknown_types_and_later_versions_are_newer_and_other_text_is_malformed() {
    let event = EVENTS.first().unwrap();
    let later = upcast::current(event.name) + 1;
    assert!(decode(event.name, later, "{}").unwrap_err().is_newer());
    assert!(decode("ledger.sun-exploded", 1, "{}").unwrap_err().is_newer());
    for malformed in ["", "{", "{}", "[]", "null", r#"{"tenant_id":1}"#] {
        assert!(!decode(event.name, 1, malformed).unwrap_err().is_newer(), "{malformed}");
    }
}

#[test]
fn a_field_of_a_newer_build_does_not_stop_an_older_one() {
    for event in EVENTS {
        let version = upcast::current(event.name);
        let sample = read("samples", event.name, version).unwrap();
        let mut more = json_of(&sample);
        more["added_later"] = json!({ "by": "a newer build" });
        assert_eq!(
            decode(event.name, version, &more.to_string()).unwrap(),
            decode(event.name, version, &sample).unwrap()
        );
    }
}

#[test]
fn upcasters_run_from_one_upwards_without_gaps() {
    assert_eq!(upcast::PRODUCT.faults(), Vec::<String>::new());
    for event in upcast::PRODUCT.events() {
        assert!(EVENTS.iter().any(|it| it.name == event), "{event} is not in the catalogue");
    }
}
