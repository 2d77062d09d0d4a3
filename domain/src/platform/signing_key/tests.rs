use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::*;
use crate::ids::TenantId;
use crate::spec::{World, given_nothing};

const SUSPECTED: Word = Word::of("suspected");

fn start() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn key(number: u128) -> KeyId {
    KeyId::new(Uuid::from_u128(number))
}

fn kid(number: u128) -> KeyName {
    KeyName::parse(&format!("key-{number}")).unwrap()
}

fn announce(number: u128, after: TimeDelta) -> AnnounceSigningKey {
    let public_key = PublicKey::new([u8::try_from(number).unwrap(); 32]);
    AnnounceSigningKey { key_id: key(number), kid: kid(number), public_key, use_from: start() + after }
}

fn activate(number: u128) -> ActivateSigningKey {
    ActivateSigningKey { key_id: key(number) }
}

fn retire(number: u128) -> RetireSigningKey {
    RetireSigningKey { key_id: key(number) }
}

fn remove(number: u128, because: Word) -> RemoveSigningKey {
    RemoveSigningKey { key_id: key(number), kid: kid(number), because }
}

/// Key 1 signs.
fn active() -> crate::spec::Given {
    given_nothing().at(start()).having(announce(1, TimeDelta::zero())).having(activate(1))
}

#[test]
fn a_key_is_announced_then_signs_then_is_believed_a_while_then_is_gone() {
    let (_, world) = active()
        .having(announce(2, NOTICE))
        .at(start() + NOTICE)
        .having(retire(1))
        .having(activate(2))
        .at(start() + NOTICE + BELIEVED_AFTER)
        .when(remove(1, EXPIRED))
        .then_accepted();
    assert_eq!(world.state::<SigningKey>(key(1).uuid()), SigningKey::Removed { kid: kid(1) });
    let use_until = start() + NOTICE + TERM;
    assert_eq!(world.state::<SigningKey>(key(2).uuid()), SigningKey::Active { kid: kid(2), use_until });
    assert_eq!(world.claimed(SCOPE), [ACTIVE]);
}

#[test]
fn an_announcement_is_of_a_fresh_key_and_the_only_one() {
    active().when(announce(1, NOTICE)).then_refused("platform.signing-key-exists");
    let announced = || active().having(announce(2, NOTICE));
    announced().when(announce(3, NOTICE)).then_refused("platform.signing-key-other-announced");
    let (_, world) = announced().having(remove(2, SUSPECTED)).when(announce(3, NOTICE)).then_accepted();
    assert_eq!(world.claimed(SCOPE), [ACTIVE, ANNOUNCED]);
}

#[test]
fn a_key_signs_after_its_notice_and_alone() {
    given_nothing().when(activate(1)).then_refused("platform.signing-key-not-found");
    let announced = || active().having(announce(2, NOTICE));
    announced().when(activate(2)).then_refused_for(SigningKeyError::TooEarly { use_from: start() + NOTICE });
    announced().at(start() + NOTICE).when(activate(2)).then_refused("platform.signing-key-other-active");
    active().when(activate(1)).then_already();
    active()
        .having(retire(1))
        .when(activate(1))
        .then_refused_for(SigningKeyError::State { state: "retired" });
}

#[test]
fn what_signs_can_be_retired_and_nothing_else() {
    given_nothing().when(retire(1)).then_refused("platform.signing-key-not-found");
    active().having(retire(1)).when(retire(1)).then_already();
    active()
        .having(announce(2, NOTICE))
        .when(retire(2))
        .then_refused_for(SigningKeyError::State { state: "announced" });
    active().having(remove(1, SUSPECTED)).when(retire(1)).then_refused("platform.signing-key-in-other-state");
}

#[test]
fn a_key_can_be_removed_at_once_but_expires_no_earlier_than_its_tokens() {
    let retired = || active().having(retire(1));
    let believe_until = start() + BELIEVED_AFTER;
    retired().when(remove(1, EXPIRED)).then_refused_for(SigningKeyError::StillBelieved { believe_until });
    active().when(remove(1, EXPIRED)).then_refused_for(SigningKeyError::State { state: "active" });
    given_nothing().when(remove(1, EXPIRED)).then_refused("platform.signing-key-not-found");
    for given in [active(), retired(), active().having(announce(2, NOTICE)), given_nothing()] {
        let number = 1;
        let (_, world) = given.when(remove(number, SUSPECTED)).then_accepted();
        assert_eq!(world.state::<SigningKey>(key(number).uuid()), SigningKey::Removed { kid: kid(number) });
        assert!(!world.claimed(SCOPE).contains(&ACTIVE.to_owned()));
    }
    active().having(remove(1, SUSPECTED)).when(remove(1, SUSPECTED)).then_already();
}

#[test]
fn after_a_removal_another_key_signs_at_once() {
    let mut world = World::new(TenantId::PLATFORM);
    let steps: [&dyn Decision; 5] = [
        &announce(1, TimeDelta::zero()),
        &activate(1),
        &remove(1, SUSPECTED),
        &announce(2, TimeDelta::zero()),
        &activate(2),
    ];
    for step in steps {
        world.submit(step, start()).unwrap();
    }
    assert_eq!(world.claimed(SCOPE), [ACTIVE]);
}

#[test]
fn names_and_public_keys_come_back_as_they_were_and_nothing_else_is_one() {
    for bad in ["", "a b", "a/b", "ä", &"x".repeat(65)] {
        assert_eq!(KeyName::parse(bad), Err(NameMalformed), "{bad}");
    }
    let public = PublicKey::new([0xa7; 32]);
    let text = serde_json::to_string(&public).unwrap();
    assert_eq!(text, format!("\"{}\"", "a7".repeat(32)));
    assert_eq!(serde_json::from_str::<PublicKey>(&text).unwrap(), public);
    for bad in ["A7".repeat(32), "a7".repeat(31), "a7".repeat(33), "+7".repeat(32), "é".repeat(32)] {
        assert!(serde_json::from_str::<PublicKey>(&format!("\"{bad}\"")).is_err(), "{bad}");
    }
}
