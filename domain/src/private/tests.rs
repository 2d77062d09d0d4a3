//! Private values do not show themselves.

use super::*;

const SUBJECT: Uuid = Uuid::from_u128(7);

fn sealed() -> Sealed {
    Sealed { subject: SUBJECT, key: 1, nonce: "bm9uY2U".into(), data: "ZGF0YQ".into() }
}

#[test]
fn debug_shows_whose_but_not_what() {
    let ip = Private::new(SUBJECT, "203.0.113.9");
    assert_eq!(format!("{ip:?}"), format!("Private(redacted of {SUBJECT})"));
    assert!(!format!("{:?}", Some(ip)).contains("203"));
    assert_eq!(format!("{:?}", Private::Sealed(sealed())), format!("Private(sealed of {SUBJECT})"));
}

#[test]
fn an_erased_value_still_says_whose_it_was() {
    let ip = Private::Erased { subject: SUBJECT };
    assert_eq!((ip.subject(), ip.reveal()), (SUBJECT, None));
    assert_eq!(format!("{ip:?}"), format!("Private(erased of {SUBJECT})"));
}

#[test]
fn a_plain_value_is_revealed_on_demand() {
    assert_eq!(Private::new(SUBJECT, "Ada").reveal(), Some("Ada"));
}

#[test]
fn only_the_sealed_form_is_written() {
    let unsealed = serde_json::to_string(&Private::new(SUBJECT, "Ada")).expect_err("it is in the clear");
    assert!(!unsealed.to_string().contains("Ada"), "{unsealed}");
    serde_json::to_string(&Private::Erased { subject: SUBJECT }).expect_err("there is nothing to write");
    assert_eq!(
        serde_json::to_string(&Private::Sealed(sealed())).expect("it is sealed"),
        format!(r#"{{"$private":{{"subject":"{SUBJECT}","key":1,"nonce":"bm9uY2U","data":"ZGF0YQ"}}}}"#)
    );
}

#[test]
fn what_was_written_is_read_as_it_was_and_nothing_else_is() {
    let written = serde_json::to_string(&Private::Sealed(sealed())).expect("it is sealed");
    let read: Private = serde_json::from_str(&written).expect("it was written so");
    assert_eq!(read, Private::Sealed(sealed()));
    for other in [r#""Ada""#, "{}", r#"{"$private":"Ada"}"#, r#"{"$private":{},"more":1}"#] {
        serde_json::from_str::<Private>(other).expect_err(other);
    }
}
