//! Upcasting by example: an event that only this test knows, in its third version.
//!
//! | version | what it held | what changed |
//! |---|---|---|
//! | 1 | `{kite, metres: "12"}` | |
//! | 2 | `{kite, height: {amount: "12", unit: "m"}}` | the unit is said; every kite of v1 was measured in metres |
//! | 3 | `{kite, altitude: {amount: "12", unit: "m"}}` | another name; `wind` may be there |

use event_schemas::compatibility::{Change, breaks};
use event_schemas::upcast::{Unlifted, Upcaster, Upcasts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const FLOWN: &str = "toy.kite-flown";

/// The table as it would stand in `upcast.rs`: appended to twice, never edited.
const TABLE: &[Upcaster] = &[
    Upcaster {
        event: FLOWN,
        from: 1,
        lift: |mut payload| {
            if let Some(fields) = payload.as_object_mut()
                && let Some(metres) = fields.remove("metres")
            {
                fields.insert("height".to_owned(), json!({ "amount": metres, "unit": "m" }));
            }
            payload
        },
    },
    Upcaster {
        event: FLOWN,
        from: 2,
        lift: |mut payload| {
            if let Some(fields) = payload.as_object_mut()
                && let Some(height) = fields.remove("height")
            {
                fields.insert("altitude".to_owned(), height);
            }
            payload
        },
    },
];
const UPCASTS: Upcasts<'static> = Upcasts::new(TABLE);

/// The sample of each version: what was stored while it was current. None is ever touched again.
const SAMPLES: [&str; 3] = [
    r#"{"kite":"Ada","metres":"12"}"#,
    r#"{"kite":"Ada","height":{"amount":"12","unit":"m"}}"#,
    r#"{"kite":"Ada","altitude":{"amount":"12","unit":"m"}}"#,
];

/// The first shape. In the product the type is gone by now; only its schema and its sample are left.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is asked for")]
struct FlownV1 {
    kite: String,
    metres: String,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is asked for")]
struct FlownV2 {
    kite: String,
    height: Height,
}

/// Today's shape, the only one that the rules know.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Flown {
    kite: String,
    altitude: Height,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wind: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Height {
    amount: String,
    unit: String,
}

fn schemas() -> [Value; 3] {
    let of = |mut schema: schemars::Schema, version: i32| {
        schema.insert("$id".to_owned(), json!(format!("urn:quipu:event:{FLOWN}:v{version}")));
        Value::from(schema)
    };
    [
        of(schemars::schema_for!(FlownV1), 1),
        of(schemars::schema_for!(FlownV2), 2),
        of(schemars::schema_for!(Flown), 3),
    ]
}

#[test]
fn a_sample_of_every_version_is_read_as_todays_and_no_field_is_lost() {
    assert_eq!(usize::from(UPCASTS.current(FLOWN).unsigned_abs()), SAMPLES.len());
    let [_, _, today] = schemas();
    for (sample, (schema, version)) in SAMPLES.iter().zip(schemas().iter().zip(1..)) {
        let stored: Value = serde_json::from_str(sample).unwrap();
        assert!(jsonschema::is_valid(schema, &stored), "v{version} is what its schema says");
        let raised = UPCASTS.raise(FLOWN, version, sample).unwrap();
        let lifted: Value = serde_json::from_str(&raised).unwrap();
        assert!(jsonschema::is_valid(&today, &lifted), "v{version} is lifted to today's schema");
        let read: Flown = serde_json::from_str(&raised).unwrap();
        assert_eq!(read.kite, "Ada");
        assert_eq!(serde_json::to_value(&read).unwrap(), lifted, "v{version} loses nothing");
    }
}

#[test]
fn lifts_run_in_order_each_once_and_leave_today_alone() {
    let stored: Value = serde_json::from_str(SAMPLES[0]).unwrap();
    let at_once = UPCASTS.lift(FLOWN, 1, stored.clone());
    let in_steps = (TABLE[1].lift)((TABLE[0].lift)(stored.clone()));
    assert_eq!(at_once, in_steps);
    assert_ne!((TABLE[0].lift)((TABLE[1].lift)(stored)), in_steps, "the order makes a difference here");
    assert_eq!(UPCASTS.lift(FLOWN, 3, at_once.clone()), at_once, "what is current is not lifted again");
    assert_eq!(UPCASTS.raise(FLOWN, 3, SAMPLES[2]).unwrap(), SAMPLES[2], "to the letter");
    for (lift, sample) in TABLE.iter().zip(&SAMPLES[1..]) {
        let already: Value = serde_json::from_str(sample).unwrap();
        assert_eq!((lift.lift)(already.clone()), already, "a lift leaves what it does not understand");
    }
    assert_eq!(UPCASTS.current("toy.other-happened"), 1, "events without lifts have one version");
}

#[test]
fn later_versions_and_damage_are_told_apart() {
    assert!(matches!(UPCASTS.raise(FLOWN, 4, SAMPLES[2]), Err(Unlifted::Newer)));
    assert!(matches!(UPCASTS.raise(FLOWN, 1, "{"), Err(Unlifted::Json(_))));
    for (damaged, version) in [("[]", 1), ("7", 1), ("null", 2), (r#"{"metres":null}"#, 1)] {
        let raised = UPCASTS.raise(FLOWN, version, damaged).unwrap();
        assert!(serde_json::from_str::<Flown>(&raised).is_err(), "{damaged} stays damaged");
    }
}

#[test]
fn a_table_with_a_gap_a_repetition_or_another_order_is_found() {
    assert_eq!(UPCASTS.faults(), Vec::<String>::new());
    let [first, second] = [TABLE[0], TABLE[1]];
    for (table, says) in [
        (vec![second], "the next lift must be from v1, but it is from v2"),
        (vec![second, first], "the next lift must be from v1, but it is from v2"),
        (vec![first, first], "the next lift must be from v2, but it is from v1"),
        (vec![first, Upcaster { from: 3, ..second }], "the next lift must be from v2, but it is from v3"),
    ] {
        let faults = Upcasts::new(&table).faults();
        assert!(faults.iter().any(|it| it == &format!("{FLOWN}: {says}")), "{faults:?}");
    }
    let other = Upcaster { event: "toy.other-happened", ..first };
    assert_eq!(
        Upcasts::new(&[first, other, second]).faults(),
        Vec::<String>::new(),
        "each event counts for itself"
    );
}

#[test]
fn the_gate_demands_each_of_these_versions_and_not_the_optional_field() {
    let [one, two, three] = schemas();
    let changes = |old, new| breaks(old, new).into_iter().map(|it| it.change).collect::<Vec<_>>();
    assert_eq!(changes(&one, &two), [Change::FieldRemoved, Change::FieldRequired]);
    assert_eq!(changes(&two, &three), [Change::FieldRemoved, Change::FieldRequired]);
    let sentence = breaks(&two, &three).first().map(ToString::to_string);
    assert_eq!(
        sentence.as_deref(),
        Some(
            "toy.kite-flown v2: field `height` was removed (its name may be `altitude` now); stored events have \
             it. Keep it, or append an upcaster from v2 and let this become v3."
        )
    );
    let mut without = three.clone();
    without["properties"].as_object_mut().unwrap().remove("wind");
    assert_eq!(breaks(&without, &three), [], "an optional field is no new version");
}
