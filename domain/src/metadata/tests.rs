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
        ("a\u{200b}b", "text.not-allowed"),
        ("\u{feff}Ada", "text.not-allowed"),
        ("\u{200b}", "text.not-allowed"),
        ("\u{feff}", "text.not-allowed"),
        ("\u{2060}", "text.not-allowed"),
        ("\u{3164}", "text.not-allowed"),
        ("\u{115f}\u{1160}", "text.not-allowed"),
        ("\u{ffa0}", "text.not-allowed"),
        ("A\u{ad}da", "text.not-allowed"),
        ("\u{200d}", "text.empty"),
        ("\u{200c} \u{200d}", "text.empty"),
        ("\u{fe0f}", "text.empty"),
        ("\u{e0067}\u{e007f}", "text.empty"),
        ("\u{2800}", "text.empty"),
        ("\u{3000}\u{a0}", "text.empty"),
    ] {
        assert_eq!(Label::parse(text).map_err(code), Err(expected), "{text:?}");
        let error = serde_json::from_value::<Label>(text.into()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("[{expected}] ")), "{error}");
        assert!(PARSE_CODES.contains(&(expected, ErrorKind::Invalid)));
    }
    assert!(Label::parse(&"ü".repeat(200)).is_ok());
}

#[test]
fn what_a_script_is_written_with_stays_in_a_name() {
    for text in [
        "\u{646}\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
        "\u{915}\u{94d}\u{200d}\u{937}",
        "\u{1f469}\u{200d}\u{1f680} Crew",
        "\u{2764}\u{fe0f}",
        "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
        "\u{845b}\u{e0100}",
        "\u{d55c}\u{ae00}",
    ] {
        assert_eq!(Label::parse(text).map(|it| it.to_string()), Ok(text.to_owned()));
    }
    // Around a name a joiner joins nothing, and would make another name that looks the same.
    assert_eq!(Label::parse("\u{200d}Ada \u{200c}").unwrap(), Label::parse("Ada").unwrap());
}

#[test]
fn what_others_keep_loses_the_characters_that_are_not_taken() {
    let left = |text: &str| Label::salvage(text).map(|it| it.to_string());
    assert_eq!(left("Uni\u{202e}code\n\0").as_deref(), Some("Unicode"));
    assert_eq!(left("\u{feff}Uni\u{200b}code").as_deref(), Some("Unicode"));
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
    assert!(metadata(&[("k", "\u{feff}v")]).is_ok(), "what it means is the caller's to say");
    assert_eq!(metadata(&[("k", "v\u{1b}")]), Err(TextError::NotAllowed { at: 1 }));
}

#[test]
fn metadata_in_json_names_the_code_first() {
    let error = serde_json::from_str::<Metadata>(r#"{"Bad Key":"v"}"#).unwrap_err().to_string();
    assert!(error.starts_with("[metadata.key-malformed] "), "{error}");
    assert!(PARSE_CODES.contains(&("metadata.key-malformed", ErrorKind::Invalid)));
    assert!(PARSE_CODES.contains(&("metadata.too-many", ErrorKind::Invalid)));
}
