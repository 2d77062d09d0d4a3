//! A day tells what failed on it, and its newest event says how far it goes.

use super::super::sample::*;
use super::*;
use crate::spec::{TENANT, given_nothing};

fn failed(user_id: Option<UserId>, last_at: i64) -> RecordSignIn {
    let subject = month_subject(TENANT, at(last_at).date_naive());
    RecordSignIn(SignInFact::Failed(SignInFailed {
        method: Word::of("password"),
        because: Word::of("credentials"),
        user_id,
        identifier: Some(Private::new(subject, "ab12")),
        count: 3,
        first_at: at(last_at - 9),
        last_at: at(last_at),
    }))
}

#[test]
fn what_failed_is_on_the_stream_of_its_day_whoever_it_was_tried_for() {
    let known = given_nothing().when(failed(Some(ADA), 100)).then_accepted().0;
    let unknown = given_nothing().when(failed(None, 100)).then_accepted().0;
    assert_eq!(known.events[0].streams(), unknown.events[0].streams());
    assert_eq!((known.primary, known.outcome), (stream(at(100).date_naive()), Outcome::Created));
    let again = given_nothing().having(failed(None, 100)).when(failed(None, 200)).then_accepted().0;
    assert_eq!(again.outcome, Outcome::Done);
}

#[test]
fn what_was_typed_is_private_to_the_month() {
    let [march, april] = [at(6_000_000), at(8_000_000)].map(|it| month_subject(TENANT, it.date_naive()));
    assert_ne!(march, april);
    assert_eq!(failed(None, 6_000_000).subjects(), [march]);
    assert_ne!(march, month_subject(TenantId::PLATFORM, at(6_000_000).date_naive()), "each tenant its own");
}

#[test]
fn the_newest_event_says_it_all() {
    let locked = RecordSignIn(SignInFact::Locked(SignInLocked {
        method: Word::of("password"),
        user_id: Some(ADA),
        identifier: None,
        failures: 5,
        until: at(2_000),
        at: at(200),
    }));
    let unlocked =
        RecordSignIn(SignInFact::Unlocked(SignInUnlocked { user_id: ADA, by: BOB.actor(), at: at(300) }));
    let (verdict, world) =
        given_nothing().having(failed(None, 100)).having(locked).when(unlocked).then_accepted();
    let id = day::id(at(0).date_naive());
    let state = world.state::<SignInDay>(id);
    assert_eq!(state, SignInDay::Begun { newest_at: at(300) });
    assert_eq!(SignInDay::restore(id, &verdict.events[0]), Some(state));
    assert_eq!(SignInDay::restore(Uuid::nil(), &verdict.events[0]), None, "not of another day");
}
