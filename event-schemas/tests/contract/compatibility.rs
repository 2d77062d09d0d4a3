//! The gate: each kind of break is caught, at its place and for whom it breaks; each compatible change passes.

use event_schemas::compatibility::Change::{
    DefaultChanged, FieldInClosedObject, FieldOptional, FieldRemoved, FieldRequired, Narrowed, ObjectClosed,
    Retyped, Unknown, VariantAdded, VariantRemoved, Widened,
};
use event_schemas::compatibility::Reader::{Older, Today};
use event_schemas::compatibility::{Change, Reader, breaks};
use serde_json::{Value, json};

/// A schema as schemars writes it, with something of everything.
fn released() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:quipu:event:toy.kite-flown:v3",
        "title": "toy.kite-flown",
        "type": "object",
        "required": ["kite", "lines", "wind", "seen"],
        "properties": {
            "kite": { "$ref": "#/$defs/KiteId", "description": "Which kite." },
            "lines": { "type": "array", "items": { "$ref": "#/$defs/Line" }, "minItems": 1, "maxItems": 4 },
            "wind": { "$ref": "#/$defs/Wind" },
            "seen": { "$ref": "#/$defs/Seen" },
            "note": { "anyOf": [{ "$ref": "#/$defs/Label" }, { "type": "null" }] },
            "height": { "type": "integer", "format": "uint32", "minimum": 0 },
            "colours": { "type": "object", "additionalProperties": { "type": "string", "maxLength": 10 },
                         "propertyNames": { "pattern": "^[a-z]+$" } },
            "mood": { "enum": ["calm", "wild"] },
            "times": { "type": "integer", "default": 1 },
            "open": { "description": "Anything." }
        },
        "$defs": {
            "KiteId": { "type": "string", "format": "uuid" },
            "Label": { "type": "string", "minLength": 1, "maxLength": 200 },
            "Line": { "type": "object", "required": ["length", "side"], "properties": {
                "length": { "$ref": "#/$defs/Metres" }, "side": { "$ref": "#/$defs/Side" },
                "knots": { "type": ["string", "null"] }, "next": { "$ref": "#/$defs/Line" } } },
            "Metres": { "type": "object", "additionalProperties": false, "required": ["metres"],
                        "properties": { "metres": { "type": "string", "pattern": "^[0-9]+$" } } },
            "Side": { "oneOf": [{ "const": "left", "type": "string" }, { "const": "right", "type": "string" }] },
            "Wind": { "oneOf": [
                { "type": "object", "required": ["kind"], "properties": { "kind": { "const": "none", "type": "string" } } },
                { "type": "object", "required": ["kind", "force"], "properties": {
                    "kind": { "const": "steady", "type": "string" }, "force": { "type": "integer", "format": "int32" } } }
            ] },
            "Seen": { "oneOf": [
                { "const": "nobody", "type": "string" },
                { "type": "object", "required": ["by"], "additionalProperties": false,
                  "properties": { "by": { "$ref": "#/$defs/Label" } } }
            ] }
        }
    })
}

/// An edit of the released schema: a pointer and the value there, or nothing to remove it.
type Edit = (&'static str, Option<Value>);

fn edited(edits: &[Edit]) -> Value {
    let mut schema = released();
    for (pointer, value) in edits {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match (schema.pointer_mut(parent).unwrap(), value) {
            (Value::Object(fields), Some(value)) => {
                fields.insert(name.to_owned(), value.clone());
            }
            (Value::Object(fields), None) => {
                fields.remove(name).unwrap();
            }
            (Value::Array(items), Some(value)) if name == "-" => items.push(value.clone()),
            (Value::Array(items), Some(value)) => items[name.parse::<usize>().unwrap()] = value.clone(),
            (Value::Array(items), None) => {
                items.remove(name.parse().unwrap());
            }
            (other, _) => panic!("{pointer} leads into {other}"),
        }
    }
    schema
}

fn put(pointer: &'static str, value: Value) -> Edit {
    (pointer, Some(value))
}

fn cut(pointer: &'static str) -> Edit {
    (pointer, None)
}

/// What it is, how the schema changes, and what must be found: where, what, for whom.
type Case = (&'static str, Vec<Edit>, &'static [(&'static str, Change, Reader)]);

fn fields() -> Vec<Case> {
    let line = "/$defs/Line/properties/length";
    vec![
        ("a field removed", vec![cut("/properties/height")], &[("height", FieldRemoved, Today)]),
        (
            "a nested field removed",
            vec![cut(line), cut("/$defs/Line/required/0")],
            &[("lines[].length", FieldRemoved, Today)],
        ),
        (
            "a field renamed",
            vec![
                cut("/properties/height"),
                put("/properties/altitude", released()["properties"]["height"].clone()),
            ],
            &[("height", FieldRemoved, Today)],
        ),
        (
            "a field newly required",
            vec![put("/required/-", json!("height"))],
            &[("height", FieldRequired, Today)],
        ),
        (
            "a required field added",
            vec![put("/properties/colour", json!({ "type": "string" })), put("/required/-", json!("colour"))],
            &[("colour", FieldRequired, Today)],
        ),
        ("a field no longer required", vec![cut("/required/0")], &[("kite", FieldOptional, Older)]),
        (
            "an optional field in a closed object",
            vec![put("/$defs/Metres/properties/exact", json!({ "type": "boolean" }))],
            &[("lines[].length.exact", FieldInClosedObject, Older)],
        ),
        (
            "an object closed",
            vec![put("/$defs/Line/additionalProperties", json!(false))],
            &[("lines[]", ObjectClosed, Today)],
        ),
        (
            "another meaning of nothing",
            vec![put("/properties/times/default", json!(2))],
            &[("times", DefaultChanged, Today)],
        ),
        (
            "no meaning of nothing",
            vec![cut("/properties/times/default")],
            &[("times", DefaultChanged, Today)],
        ),
    ]
}

fn types() -> Vec<Case> {
    vec![
        (
            "a number for a text",
            vec![put("/$defs/KiteId", json!({ "type": "integer" }))],
            &[("kite", Retyped, Today)],
        ),
        (
            "an object for a text",
            vec![put("/$defs/Label", json!({ "type": "object", "properties": {} }))],
            &[("note", VariantRemoved, Today), ("note", VariantAdded, Older), ("seen.by", Retyped, Today)],
        ),
        ("another format", vec![put("/$defs/KiteId/format", json!("date"))], &[("kite", Narrowed, Today)]),
        ("a format dropped", vec![cut("/$defs/KiteId/format")], &[("kite", Widened, Older)]),
        (
            "fewer bits",
            vec![put("/properties/height/format", json!("uint16"))],
            &[("height", Narrowed, Today)],
        ),
        ("more bits", vec![put("/properties/height/format", json!("uint64"))], &[("height", Widened, Older)]),
        (
            "a sign gone",
            vec![put("/$defs/Wind/oneOf/1/properties/force/format", json!("uint64"))],
            &[("wind.force", Narrowed, Today)],
        ),
        ("fractions", vec![put("/properties/times/type", json!("number"))], &[("times", Widened, Older)]),
        (
            "another pattern",
            vec![put("/$defs/Metres/properties/metres/pattern", json!("^[0-9]{2}$"))],
            &[("lines[].length.metres", Narrowed, Today)],
        ),
        ("a lower bound raised", vec![put("/$defs/Label/minLength", json!(2))], &[("note", Narrowed, Today)]),
        (
            "an upper bound lowered",
            vec![put("/$defs/Label/maxLength", json!(20))],
            &[("note", Narrowed, Today)],
        ),
        (
            "an upper bound raised",
            vec![put("/$defs/Label/maxLength", json!(500))],
            &[("note", Widened, Older)],
        ),
        ("a bound dropped", vec![cut("/properties/lines/minItems")], &[("lines", Widened, Older)]),
        ("null refused", vec![cut("/properties/note/anyOf/1")], &[("note", Narrowed, Today)]),
        (
            "null refused, as types",
            vec![put("/$defs/Line/properties/knots/type", json!("string"))],
            &[("lines[].knots", Narrowed, Today)],
        ),
        (
            "null allowed",
            vec![put("/properties/height/type", json!(["integer", "null"]))],
            &[("height", Widened, Older)],
        ),
        (
            "items of another type",
            vec![put("/properties/lines/items", json!({ "type": "string" }))],
            &[("lines[]", Retyped, Today)],
        ),
        (
            "values of a map held to less",
            vec![put("/properties/colours/additionalProperties/maxLength", json!(20))],
            &[("colours.*", Widened, Older)],
        ),
        (
            "values of a map of another type",
            vec![put("/properties/colours/additionalProperties", json!({ "type": "boolean" }))],
            &[("colours.*", Retyped, Today)],
        ),
        (
            "names of a map held to more",
            vec![put("/properties/colours/propertyNames/pattern", json!("^[a-f]+$"))],
            &[("colours.*", Narrowed, Today)],
        ),
        (
            "anything no longer",
            vec![put("/properties/open/type", json!("string"))],
            &[("open", Narrowed, Today)],
        ),
        (
            "anything at all",
            vec![put("/properties/times", json!({ "default": 1 }))],
            &[("times", Widened, Older)],
        ),
        (
            "a keyword that cannot be weighed",
            vec![put("/properties/lines/contains", json!({ "required": ["knots"] }))],
            &[("lines", Unknown, Today)],
        ),
    ]
}

fn variants() -> Vec<Case> {
    vec![
        ("a value removed", vec![cut("/properties/mood/enum/1")], &[("mood", VariantRemoved, Today)]),
        (
            "a value added",
            vec![put("/properties/mood/enum/-", json!("stormy"))],
            &[("mood", VariantAdded, Older)],
        ),
        (
            "a named value removed",
            vec![cut("/$defs/Side/oneOf/0")],
            &[("lines[].side", VariantRemoved, Today)],
        ),
        (
            "a named value added",
            vec![put("/$defs/Side/oneOf/-", json!({ "const": "middle", "type": "string" }))],
            &[("lines[].side", VariantAdded, Older)],
        ),
        (
            "a value renamed",
            vec![put("/$defs/Side/oneOf/0/const", json!("port"))],
            &[("lines[].side", VariantRemoved, Today), ("lines[].side", VariantAdded, Older)],
        ),
        (
            "any text for values",
            vec![put("/properties/mood", json!({ "type": "string" }))],
            &[("mood", Widened, Older)],
        ),
        (
            "values for any text",
            vec![put("/$defs/Label", json!({ "enum": ["a", "b"] }))],
            &[("note", Narrowed, Today), ("seen.by", Narrowed, Today)],
        ),
        ("a tagged variant removed", vec![cut("/$defs/Wind/oneOf/0")], &[("wind", VariantRemoved, Today)]),
        (
            "a tagged variant added",
            vec![put(
                "/$defs/Wind/oneOf/-",
                json!({ "type": "object", "properties": { "kind": { "const": "gusts", "type": "string" } } }),
            )],
            &[("wind", VariantAdded, Older)],
        ),
        (
            "a field of a variant removed",
            vec![cut("/$defs/Wind/oneOf/1/properties/force"), cut("/$defs/Wind/oneOf/1/required/1")],
            &[("wind.force", FieldRemoved, Today)],
        ),
        (
            "the variant of an object removed",
            vec![cut("/$defs/Seen/oneOf/1")],
            &[("seen", VariantRemoved, Today)],
        ),
    ]
}

#[test]
fn each_kind_of_break_is_found_at_its_place_and_for_whom_it_breaks() {
    for (what, edits, expected) in fields().into_iter().chain(types()).chain(variants()) {
        let found = breaks(&released(), &edited(&edits));
        let said: Vec<_> = found.iter().map(|it| (it.path.as_str(), it.change, it.reader)).collect();
        assert_eq!(said, expected, "{what}: {found:#?}");
        for it in &found {
            assert!(it.sentence.starts_with("toy.kite-flown v3: field `"), "{what}: {it}");
            assert!(
                it.sentence.contains("upcaster from v3") && it.sentence.contains("become v4"),
                "{what}: {it}"
            );
            let places =
                [released().pointer(&it.pointer).is_some(), edited(&edits).pointer(&it.pointer).is_some()];
            assert!(places.contains(&true), "{what}: {} leads nowhere", it.pointer);
        }
    }
}

#[test]
fn compatible_changes_pass() {
    let moved =
        json!({ "type": "array", "minItems": 1, "maxItems": 4, "items": released()["$defs"]["Line"] });
    let cases: Vec<(&str, Vec<Edit>)> = vec![
        ("nothing", vec![]),
        ("an optional field", vec![put("/properties/colour", json!({ "type": "string" }))]),
        ("an optional nested field", vec![put("/$defs/Line/properties/colour", json!({ "type": "string" }))]),
        (
            "other words",
            vec![put("/properties/kite/description", json!("The kite.")), put("/title", json!("Kite"))],
        ),
        ("examples", vec![put("/$defs/Label/examples", json!(["red"]))]),
        ("a definition written in its place", vec![put("/properties/lines", moved)]),
        (
            "a definition renamed",
            vec![
                put("/$defs/Flyer", released()["$defs"]["KiteId"].clone()),
                put("/properties/kite/$ref", json!("#/$defs/Flyer")),
                cut("/$defs/KiteId"),
            ],
        ),
        (
            "nullable in the other way of writing",
            vec![put(
                "/properties/note",
                json!({ "type": ["string", "null"], "minLength": 1, "maxLength": 200 }),
            )],
        ),
        (
            "values in the other way of writing",
            vec![put("/$defs/Side", json!({ "enum": ["right", "left"] }))],
        ),
        ("demands in another order", vec![put("/required", json!(["wind", "seen", "lines", "kite"]))]),
        ("a closed object opened", vec![cut("/$defs/Metres/additionalProperties")]),
    ];
    for (what, edits) in cases {
        assert_eq!(breaks(&released(), &edited(&edits)), [], "{what}");
    }
}

#[test]
fn a_sentence_says_what_is_wrong_and_what_to_do() {
    let said = |edits: &[Edit]| breaks(&released(), &edited(edits)).first().map(ToString::to_string);
    assert_eq!(
        said(&[cut("/$defs/Line/properties/side"), cut("/$defs/Line/required/1")]).as_deref(),
        Some(
            "toy.kite-flown v3: field `lines[].side` was removed; stored events have it. Keep it, or append an \
             upcaster from v3 and let this become v4."
        )
    );
    let height = released()["properties"]["height"].clone();
    assert_eq!(
        said(&[cut("/properties/height"), put("/properties/altitude", height)]).as_deref(),
        Some(
            "toy.kite-flown v3: field `height` was removed (its name may be `altitude` now); stored events have it. \
             Keep it, or append an upcaster from v3 and let this become v4."
        )
    );
    assert_eq!(
        said(&[put("/properties/mood/enum/-", json!("stormy"))]).as_deref(),
        Some(
            "toy.kite-flown v3: field `mood` takes the value \"stormy\" now. Builds and consumers of v3 would take such \
             an event for damaged: append an upcaster from v3 that changes nothing and let this become v4, which \
             they wait for."
        )
    );
}

#[test]
fn the_products_schemas_are_compatible_with_themselves_and_with_nothing_less() {
    for event in event_schemas::catalog::EVENTS {
        let schema = event_schemas::document::schema(event);
        assert_eq!(breaks(&schema, &schema), [], "{}", event.name);
        let required = schema["required"].as_array().unwrap();
        for name in required.iter().filter_map(Value::as_str) {
            let mut less = schema.clone();
            less["properties"].as_object_mut().unwrap().remove(name);
            let found = breaks(&schema, &less);
            let removed = found.iter().any(|it| it.path == name && it.change == FieldRemoved);
            assert!(removed, "{}: {name} can be removed unnoticed: {found:?}", event.name);
        }
    }
}
