//! The gate over schemas that ours do not use yet: what is written in another way is the same, what differs is found.

use event_schemas::compatibility::Change::{Narrowed, Retyped, VariantRemoved, Widened};
use event_schemas::compatibility::Reader::{Older, Today};
use event_schemas::compatibility::{Change, Reader, breaks};
use serde_json::{Value, json};

/// A released field, what it becomes, and what must be found.
type Case = (&'static str, Value, Value, &'static [(&'static str, Change, Reader)]);

fn parts() -> Vec<Case> {
    let parts = || json!({ "allOf": [{ "type": "string", "minLength": 1 }, { "maxLength": 5 }] });
    let union = |members: Value| json!({ "allOf": [{ "anyOf": members }, { "description": "x" }] });
    let beside = |b: &str| {
        json!({ "type": "object", "required": ["a"], "properties": { "a": { "type": "string" } }, "oneOf": [
            { "required": ["b"], "properties": { "b": { "type": b } } },
            { "required": ["c"], "properties": { "c": { "type": "string" } } },
        ] })
    };
    vec![
        ("parts of one", parts(), json!({ "type": "string", "minLength": 1, "maxLength": 5 }), &[]),
        (
            "a part is held to less",
            parts(),
            json!({ "type": "string", "minLength": 1, "maxLength": 4 }),
            &[("f", Narrowed, Today)],
        ),
        (
            "a union within parts",
            union(json!([{ "type": "string" }, { "type": "null" }])),
            union(json!([{ "type": "string" }])),
            &[("f", Narrowed, Today)],
        ),
        ("what stands beside a union holds for each", beside("string"), beside("string"), &[]),
        ("it is compared with each", beside("string"), beside("integer"), &[("f.b", Retyped, Today)]),
    ]
}

fn values() -> Vec<Case> {
    vec![
        (
            "values of every kind",
            json!({ "enum": [1, 1.5, [1], null, true, { "k": 1 }, "a"] }),
            json!({ "const": "a" }),
            &[
                ("f", VariantRemoved, Today),
                ("f", VariantRemoved, Today),
                ("f", VariantRemoved, Today),
                ("f", Narrowed, Today),
                ("f", VariantRemoved, Today),
                ("f", VariantRemoved, Today),
            ],
        ),
        ("everything, said in two ways", json!(true), json!({}), &[]),
        ("nothing any more", json!(true), json!(false), &[("f", Narrowed, Today)]),
        (
            "a first bound",
            json!({ "type": "string" }),
            json!({ "type": "string", "maxLength": 5 }),
            &[("f", Narrowed, Today)],
        ),
        (
            "alternatives that look alike, in their order",
            json!({ "oneOf": [{ "type": "string", "maxLength": 3 }, { "type": "string", "maxLength": 9 }] }),
            json!({ "oneOf": [{ "type": "string", "maxLength": 3 }, { "type": "string", "maxLength": 10 }] }),
            &[("f", Widened, Older)],
        ),
    ]
}

fn objects() -> Vec<Case> {
    let named = |values: Value| json!({ "type": "object", "additionalProperties": values });
    let known = |kind: &str| {
        let mut schema = named(json!({ "type": "string" }));
        schema["properties"] = json!({ "known": { "type": kind } });
        schema
    };
    let one_of = |names: &[&str]| {
        let members = names.iter().map(|name| {
            json!({ "type": "object", "required": [name], "properties": { *name: { "type": "string" } } })
        });
        json!({ "oneOf": members.collect::<Vec<_>>() })
    };
    vec![
        ("a name gets a field of its own", named(json!({ "type": "string" })), known("string"), &[]),
        (
            "of another type",
            named(json!({ "type": "string" })),
            known("integer"),
            &[("f.known", Retyped, Today)],
        ),
        (
            "a closed object takes names",
            named(json!(false)),
            named(json!({ "type": "string" })),
            &[("f", Widened, Older)],
        ),
        (
            "objects are told apart by their only field",
            one_of(&["at", "by", "of"]),
            one_of(&["at", "of"]),
            &[("f", VariantRemoved, Today)],
        ),
    ]
}

#[test]
fn what_is_written_in_another_way_is_the_same_and_what_differs_is_found() {
    let whole = |field: &Value| json!({ "type": "object", "properties": { "f": field } });
    for (what, old, new, expected) in parts().into_iter().chain(values()).chain(objects()) {
        let found = breaks(&whole(&old), &whole(&new));
        let said: Vec<_> = found.iter().map(|it| (it.path.as_str(), it.change, it.reader)).collect();
        assert_eq!(said, expected, "{what}: {found:#?}");
    }
}
