//! What texts are taken and what they are refused for.

use super::*;

fn code(error: TextError) -> &'static str {
    error.code()
}

fn metadata(pairs: &[(&str, &str)]) -> Result<Metadata, TextError> {
    Metadata::parse(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
}

#[test]
fn a_label_loses_the_space_around_it() {
    assert_eq!(Label::parse("  Petty cash, Zürich 現金 ").unwrap().as_str(), "Petty cash, Zürich 現金");
}

#[test]
fn labels_are_refused_by_code() {
    for (text, expected) in [
        ("", "text.empty"),
        ("  \t ", "text.empty"),
        (&"x".repeat(201), "text.too-long"),
        ("a\0b", "text.not-allowed"),
        ("a\nb", "text.not-allowed"),
        ("a\u{85}b", "text.not-allowed"),
        ("a\u{202e}b", "text.not-allowed"),
        ("a\u{2066}b", "text.not-allowed"),
        ("a\u{200f}b", "text.not-allowed"),
        ("a\u{61c}b", "text.not-allowed"),
    ] {
        assert_eq!(Label::parse(text).map_err(code), Err(expected), "{text:?}");
        let error = serde_json::from_value::<Label>(text.into()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("[{expected}] ")), "{error}");
        assert!(PARSE_CODES.contains(&(expected, ErrorKind::Invalid)));
    }
    assert!(Label::parse(&"ü".repeat(200)).is_ok());
}

#[test]
fn what_others_keep_loses_the_characters_that_are_not_taken() {
    let left = |text: &str| Label::salvage(text).map(|it| it.to_string());
    assert_eq!(left("Uni\u{202e}code\n\0").as_deref(), Some("Unicode"));
    assert_eq!(left(" Zoë 現金 ").as_deref(), Some("Zoë 現金"));
    for nothing in ["", " \u{200f} ", "\0", &"x".repeat(201)] {
        assert_eq!(left(nothing), None, "{nothing:?}");
    }
}

#[test]
fn metadata_is_bounded() {
    let pairs = |count: usize| (0..count).map(|at| (format!("k{at}"), "v".to_owned())).collect();
    assert!(Metadata::parse(pairs(20)).is_ok());
    assert_eq!(Metadata::parse(pairs(21)), Err(TextError::TooMany { entries: 21 }));
    assert!(metadata(&[("order.no_1-b", "4711"), (&"k".repeat(40), &"v".repeat(500))]).is_ok());
    for key in ["", "Key", "a b", "ä", &"k".repeat(41)] {
        assert_eq!(metadata(&[(key, "v")]), Err(TextError::KeyMalformed), "{key}");
    }
    assert_eq!(metadata(&[("k", "")]), Err(TextError::Empty));
    assert_eq!(metadata(&[("k", &"v".repeat(501))]), Err(TextError::TooLong { chars: 501, max: 500 }));
    assert_eq!(metadata(&[("k", "v\u{1b}")]), Err(TextError::NotAllowed { at: 1 }));
}

#[test]
fn metadata_in_json_names_the_code_first() {
    let error = serde_json::from_str::<Metadata>(r#"{"Bad Key":"v"}"#).unwrap_err().to_string();
    assert!(error.starts_with("[metadata.key-malformed] "), "{error}");
    assert!(PARSE_CODES.contains(&("metadata.key-malformed", ErrorKind::Invalid)));
    assert!(PARSE_CODES.contains(&("metadata.too-many", ErrorKind::Invalid)));
}
