//! What no event may say: secrets, anything made of one, and personal data in the clear.

use std::collections::BTreeMap;

use domain::private::{Private, Sealed};
use event_schemas::catalog::EVENTS;
use serde_json::{Value, json};
use uuid::Uuid;

/// Words of a property's name that speak of a secret, whole or as part of one.
const SECRET_WORDS: &[&str] = &[
    "password",
    "passphrase",
    "secret",
    "hash",
    "digest",
    "salt",
    "phc",
    "pepper",
    "seed",
    "otp",
    "pin",
    "cookie",
    "verifier",
    "challenge",
    "bearer",
    "refresh",
    "private",
];

/// Names that have such a word in them and speak of none.
const NO_SECRETS: &[&str] = &["secret_id", "password"];

/// Properties that tell something personal wherever they stand.
const PERSONAL: &[&str] = &[
    "email",
    "given_name",
    "family_name",
    "phone",
    "address",
    "ip",
    "user_agent",
    "device",
    "label",
    "identifier",
];

/// Every property of a schema with its path, its definitions followed.
fn properties<'a>(root: &'a Value, schema: &'a Value, path: &str, found: &mut BTreeMap<String, &'a Value>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|it| it.strip_prefix("#/$defs/")) {
        return properties(root, &root["$defs"][name], path, found);
    }
    if !schema.is_object() || schema["x-private"] == json!(true) {
        return;
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if found.insert(path.clone(), property).is_none() {
            properties(root, property, &path, found);
        }
    }
    for key in ["items", "additionalProperties"] {
        properties(root, &schema[key], path, found);
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        for part in schema[key].as_array().into_iter().flatten() {
            properties(root, part, path, found);
        }
    }
}

fn is_envelope(root: &Value, schema: &Value) -> bool {
    let named = schema["$ref"].as_str().and_then(|it| it.strip_prefix("#/$defs/"));
    let resolved = named.map_or(schema, |name| &root["$defs"][name]);
    let parts = resolved["anyOf"].as_array().or_else(|| resolved["allOf"].as_array());
    resolved["x-private"] == json!(true)
        || parts.is_some_and(|it| {
            it.iter().filter(|part| part["type"] != json!("null")).all(|part| is_envelope(root, part))
        })
}

#[test]
fn no_schema_names_a_secret_and_every_private_field_is_an_envelope() {
    let mut envelopes = 0;
    for event in EVENTS {
        let root = (event.schema)().to_value();
        let mut found = BTreeMap::new();
        properties(&root, &root, "", &mut found);
        assert!(!found.is_empty(), "{}", event.name);
        for (path, schema) in found {
            let name = path.rsplit('.').next().unwrap();
            if is_envelope(&root, schema) {
                envelopes += 1;
                continue;
            }
            let speaks = |word: &&str| name.split('_').any(|part| part == *word);
            let secret = SECRET_WORDS.iter().find(|it| speaks(it)).filter(|_| !NO_SECRETS.contains(&name));
            assert_eq!(secret, None, "{}: {path} speaks of a secret", event.name);
            assert!(
                !PERSONAL.contains(&name),
                "{}: {path} tells something personal in the clear",
                event.name
            );
        }
    }
    assert!(envelopes > 5, "it looked for something");
}

/// `password` is the name of the rules that an organisation has for passwords, and of nothing else.
#[test]
fn what_is_called_password_is_a_set_of_rules() {
    for event in EVENTS {
        let root = (event.schema)().to_value();
        let mut found = BTreeMap::new();
        properties(&root, &root, "", &mut found);
        for path in found.keys().filter(|it| it.ends_with(".password")) {
            assert!(found.contains_key(&format!("{path}.length_min")), "{}: {path}", event.name);
        }
    }
}

#[test]
fn what_is_private_is_named_in_the_event_and_cannot_be_written_in_the_clear() {
    let sealed = || Sealed { subject: Uuid::from_u128(7), key: 1, nonce: "n".into(), data: "d".into() };
    let mut seen = 0;
    for mut event in crate::story::told().unwrap() {
        let stored: Value = serde_json::from_str(&event_schemas::encode(&event).unwrap().payload).unwrap();
        let paths: Vec<&str> = event.privates().into_iter().map(|(path, _)| path).collect();
        // Each named field is where its path says, and there is no other.
        for path in &paths {
            let field = path.strip_prefix("payload.").unwrap();
            let pointer = format!("/{}", field.replace('.', "/"));
            assert!(stored.pointer(&pointer).unwrap()["$private"].is_object(), "{path} of {stored}");
        }
        assert_eq!(stored.to_string().matches("$private").count(), paths.len(), "{stored}");
        for n in 0..paths.len() {
            seen += 1;
            let mut open = event.clone();
            *open.privates().into_iter().nth(n).unwrap().1 = Private::new(Uuid::from_u128(7), "Ada");
            let refused = event_schemas::encode(&open).unwrap_err();
            assert!(!format!("{refused:?}").contains("Ada"));
            *open.privates().into_iter().nth(n).unwrap().1 = Private::Sealed(sealed());
            event_schemas::encode(&open).unwrap();
        }
    }
    assert!(seen > 5, "it looked at something");
}
