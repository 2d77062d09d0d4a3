//! What readers complain of, in words for whoever asks: theirs name the types of this program.

use std::borrow::Cow;

const NUMBER: &str = "a whole number within the bounds that /openapi.json says";
const MOMENT: &str = "a moment such as 2026-11-22T10:00:00Z (in a query, a plus is written as %2B)";
const YES_OR_NO: &str = "true or false";
const IDENTIFIER: &str = "an identifier such as 0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e";

/// How readers of texts begin their complaints, and what is taken instead.
const NO_SUCH_TEXT: [(&str, &str); 11] = [
    ("invalid digit found in string", NUMBER),
    ("cannot parse integer from empty string", NUMBER),
    ("number too large to fit in target type", NUMBER),
    ("number too small to fit in target type", NUMBER),
    ("premature end of input", MOMENT),
    ("input contains invalid characters", MOMENT),
    ("input is out of range", MOMENT),
    ("input is not enough for unique date and time", MOMENT),
    ("trailing input", MOMENT),
    ("provided string was not `true` or `false`", YES_OR_NO),
    ("UUID parsing failed", IDENTIFIER),
];

/// What is taken, where a reader's own words are for whoever wrote it; else these words. A text that was sent is not repeated.
pub(super) fn in_plain_words(message: &str) -> Cow<'_, str> {
    if let Some((_, taken)) = NO_SUCH_TEXT.iter().find(|(begins, _)| message.starts_with(begins)) {
        return Cow::Owned(format!("{taken} is taken here"));
    }
    of_another_sort(message).map_or(Cow::Borrowed(message), Cow::Owned)
}

/// A value of JSON in the place of another: `invalid type: map, expected a string`.
fn of_another_sort(message: &str) -> Option<String> {
    let sorts = ["invalid type: ", "invalid value: ", "invalid length "];
    let rest = sorts.iter().find_map(|it| message.strip_prefix(it))?;
    // The last one: a text that was sent may say the same.
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let (taken, found) = (taken(expected), sort(found));
    Some(format!("{taken} is taken here, and it is {found}"))
}

/// What the interface calls what a reader expects. Readers of ours say it in its words already.
fn taken(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" | "a nonzero u8"
        | "a nonzero u16" | "a nonzero u32" | "a nonzero u64" => NUMBER,
        "f32" | "f64" => "a number",
        "a string" | "a borrowed string" | "a character" => "a text",
        "a boolean" => YES_OR_NO,
        "a sequence" => "a list",
        "a map" | "map" => "an object",
        "unit" => "null",
        "an RFC 3339 formatted date and time string" => MOMENT,
        _ if expected.starts_with("struct ") || expected.starts_with("internally tagged enum ") => {
            "an object"
        }
        _ if expected.to_ascii_lowercase().contains("uuid") => IDENTIFIER,
        _ if expected.starts_with("enum ") || expected.starts_with("variant ") => "one of several",
        _ => expected,
    }
}

/// What the interface calls what was found: a number as it is, a text not again.
fn sort(found: &str) -> &str {
    match found {
        "sequence" => "a list",
        "map" => "an object",
        "null" | "unit value" => "null",
        _ if found.starts_with("string ") => "a text",
        _ if found.bytes().all(|byte| byte.is_ascii_digit()) => "a list of another length",
        _ => found.split('`').nth(1).unwrap_or("something else"),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use chrono::{DateTime, Utc};
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use crate::body::{ParseCodes, parse};

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Asked {
        small: u8,
        many: Option<NonZeroU32>,
        below: i64,
        text: String,
        yes: bool,
        at: Option<DateTime<Utc>>,
        id: Option<Uuid>,
        list: Vec<u32>,
        inner: Option<Box<Asked>>,
        word: Word,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Word {
        #[default]
        One,
        Other,
    }

    fn detail(body: &Value) -> Option<String> {
        let problem = parse::<Asked>(body.to_string().as_bytes(), ParseCodes(&[])).err()?;
        Some(problem.body().detail.clone())
    }

    #[test]
    fn what_is_taken_is_said_in_the_words_of_the_interface() {
        for (body, said) in [
            (
                json!({ "small": -1 }),
                "a whole number within the bounds that /openapi.json says is taken here, and it is -1",
            ),
            (
                json!({ "small": 300 }),
                "a whole number within the bounds that /openapi.json says is taken here, and it is 300",
            ),
            (
                json!({ "many": "7" }),
                "a whole number within the bounds that /openapi.json says is taken here, and it is a text",
            ),
            (json!({ "text": { "a": 1 } }), "a text is taken here, and it is an object"),
            (json!({ "text": 1.5 }), "a text is taken here, and it is 1.5"),
            (json!({ "yes": "true" }), "true or false is taken here, and it is a text"),
            (json!({ "list": { } }), "a list is taken here, and it is an object"),
            (json!({ "list": null }), "a list is taken here, and it is null"),
            (json!({ "inner": true }), "an object is taken here, and it is true"),
            (json!({ "text": 7, "x": ", expected a list" }), "a text is taken here, and it is 7"),
        ] {
            assert_eq!(detail(&body).as_deref(), Some(said), "{body}");
        }
        let at = detail(&json!({ "at": "2026-11-22" })).unwrap();
        assert!(at.contains("2026-11-22T10:00:00Z"), "{at}");
        let id = detail(&json!({ "id": "7" })).unwrap();
        assert!(id.starts_with("an identifier"), "{id}");
        let secret = detail(&json!({ "small": "hunter2, expected u8" })).unwrap();
        assert!(!secret.contains("hunter2"), "{secret}");
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1.0e9..1.0e9).prop_map(Value::from),
            "[a-z0-9-]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::hash_map("[a-z]{1,4}", inner, 0..3).prop_map(|it| it.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_type_of_this_program_is_named(
            field in prop::sample::select(vec!["small", "many", "below", "text", "yes", "at", "id", "list", "inner"]),
            value in any_value(),
        ) {
            let body = json!({ field: value });
            if let Some(detail) = detail(&body) {
                let words: Vec<&str> = detail.split(|it: char| !it.is_ascii_alphanumeric()).collect();
                for ours in ["u8", "u32", "i64", "struct", "map", "sequence", "string", "boolean", "Asked", "UUID"] {
                    prop_assert!(!words.contains(&ours), "{body}: {detail}");
                }
            }
        }
    }
}
