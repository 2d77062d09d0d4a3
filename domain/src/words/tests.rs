//! Each form takes what its pattern says, and nothing else.

use super::*;

#[test]
fn words_are_lower_case_with_a_letter_first() {
    for text in ["a", "password", "refresh-reused", "oauth2", &"a".repeat(40)] {
        assert_eq!(Word::parse(text).map(|it| it.to_string()), Ok(text.to_owned()));
    }
    for text in ["", "-a", "2fa", "A", "a b", "a_b", "ä", "a\n", &"a".repeat(41)] {
        assert_eq!(Word::parse(text), Err(WordError::Word), "{text}");
    }
}

#[test]
fn permissions_have_a_context_and_a_deed() {
    for text in ["ledger.post-transfer", "a.b", "audit.read-trail"] {
        assert!(Permission::parse(text).is_ok(), "{text}");
    }
    for text in ["", ".", "a.", ".b", "a", "a.b.c", "a.-b", "-a.b", "A.b", "a.b1", "*", "a.*"] {
        assert_eq!(Permission::parse(text), Err(WordError::Permission), "{text}");
    }
    assert!(Permission::parse(&format!("a.{}", "b".repeat(79))).is_err());
}

#[test]
fn scopes_are_those_of_oauth() {
    for text in ["openid", "ledger.read-accounts", "https://example.com/a", "!", "#", "~", "[", "]"] {
        assert!(Scope::parse(text).is_ok(), "{text}");
    }
    for text in ["", "a b", "\"", "\\", "\u{7f}", "ä", &"a".repeat(101)] {
        assert_eq!(Scope::parse(text), Err(WordError::Scope), "{text}");
    }
}

#[test]
fn languages_are_tags() {
    for text in ["en", "de", "gsw", "de-AT", "zh-Hant-TW", "es-419"] {
        assert!(Language::parse(text).is_ok(), "{text}");
    }
    for text in ["", "e", "EN", "engl", "de-", "de-A", "-de", "de--AT", "de-abcdefghi", "de_AT", "d1"] {
        assert_eq!(Language::parse(text), Err(WordError::Language), "{text}");
    }
}

#[test]
fn domains_have_two_labels_at_least() {
    for text in ["example.com", "a.b.c", "xn--bcher-kva.example", "1.de", &format!("{}.de", "a".repeat(63))] {
        assert!(DomainName::parse(text).is_ok(), "{text}");
    }
    let long = format!("{}.de", "a".repeat(64));
    for text in ["", "com", "a..b", ".a.b", "a.b.", "-a.b", "a-.b", "a.b-", "A.b", "a b.c", "ä.de", &long] {
        assert_eq!(DomainName::parse(text), Err(WordError::DomainName), "{text}");
    }
}

#[test]
fn a_text_of_another_form_is_told_with_its_code() {
    let error = serde_json::from_str::<Word>(r#""No""#).unwrap_err().to_string();
    assert!(error.starts_with("[text.word-malformed] "), "{error}");
    assert_eq!(serde_json::from_str::<Scope>(r#""openid""#).unwrap(), Scope::of("openid"));
    for (code, kind) in PARSE_CODES {
        assert!(CODES.iter().any(|it| it.code == *code && it.kind == *kind), "{code}");
    }
}
