//! Private values do not show themselves.

use super::*;

const SUBJECT: Uuid = Uuid::from_u128(7);

#[test]
fn debug_shows_whose_but_not_what() {
    let ip = Private::new(SUBJECT, "203.0.113.9".to_owned());
    assert_eq!(format!("{ip:?}"), format!("Private(redacted of {SUBJECT})"));
    assert!(!format!("{:?}", Some(ip)).contains("203"));
}

#[test]
fn an_erased_value_still_says_whose_it_was() {
    let ip = Private::<String>::Erased { subject: SUBJECT };
    assert_eq!((ip.subject(), ip.reveal()), (SUBJECT, None));
    assert_eq!(format!("{ip:?}"), format!("Private(erased of {SUBJECT})"));
}

#[test]
fn a_plain_value_is_revealed_on_demand() {
    assert_eq!(Private::new(SUBJECT, 5).reveal(), Some(&5));
}
