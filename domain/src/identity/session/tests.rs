//! Sessions stand until they end, by themselves or with others.

use super::super::sample::*;
use super::*;
use crate::decision::StateSource;
use crate::identity::{DeactivateUser, EndSessions, SetPassword, Withdraw};
use crate::spec::{Given, World, given_nothing};

const ONE: SessionId = SessionId::new(Uuid::from_u128(1));

fn started(generation: u32) -> IdentityEvent {
    IdentityEvent::SessionStarted(SessionStarted {
        session_id: ONE,
        user_id: ADA,
        service_id: None,
        method: Word::of("password"),
        amr: vec![Word::of("pwd")],
        auth_time: at(0),
        expires_at: at(100),
        generation,
        consent: None,
        device: Some(of(ADA, "the old laptop")),
        impersonation_id: None,
        came_by: None,
        at: at(0),
    })
}

/// Ada, with a session.
fn signed_in() -> World {
    let mut world = given_nothing().having(register(ADA, 1)).world();
    world.record(started(0));
    world
}

fn strengthen(seen: Option<u32>) -> StrengthenSession {
    let amr = vec![Word::of("pwd"), Word::of("otp")];
    StrengthenSession { session_id: ONE, method: Word::of("totp"), amr, auth_time: at(7), seen }
}

fn end(of: Option<UserId>) -> EndSession {
    EndSession { session_id: ONE, of, because: Word::of("asked"), by: ADA.actor() }
}

fn stands(world: &World, now: i64) -> bool {
    standing(&View::new(crate::spec::TENANT, at(now), world as &dyn StateSource), ONE).is_some()
}

#[test]
fn a_session_stands_until_its_time_is_over() {
    let world = signed_in();
    assert!(stands(&world, 99) && !stands(&world, 100));
}

#[test]
fn a_session_ends_in_each_of_its_ways() {
    let ways: [Box<dyn Decision>; 4] = [
        Box::new(end(None)),
        Box::new(DeactivateUser { user_id: ADA, because: Word::of("left") }),
        Box::new(EndSessions { user_id: ADA, except: None, because: Word::of("asked"), by: ADA.actor() }),
        Box::new(SetPassword {
            user_id: ADA,
            because: Word::of("reset"),
            seen: 0,
            withdraw: Withdraw::All,
            by: ADA.actor(),
        }),
    ];
    for way in ways {
        let mut world = signed_in();
        world.submit(&*way, at(1)).unwrap();
        assert!(!stands(&world, 1), "{}", way.name());
        let refused = world.submit(&strengthen(None), at(1)).unwrap_err();
        assert_eq!(refused.code, "identity.session-over", "{}", way.name());
    }
}

#[test]
fn a_session_that_starts_in_the_moment_in_which_all_end_is_before_or_after() {
    let all = EndSessions { user_id: ADA, except: None, because: Word::of("asked"), by: ADA.actor() };
    let mut before = signed_in();
    before.submit(&all, at(0)).unwrap();
    assert!(!stands(&before, 0), "it began before, in the same microsecond");
    let mut after = given_nothing().having(register(ADA, 1)).having(all).world();
    after.record(started(1));
    assert!(stands(&after, 0), "it began afterwards, in the same microsecond");
}

#[test]
fn a_session_that_is_not_there_is_not_strengthened() {
    given_nothing().when(strengthen(None)).then_refused_for(IdentityError::SessionNotFound);
}

#[test]
fn a_session_is_strengthened_by_what_comes_to_it() {
    let mut world = signed_in();
    let verdict = world.submit(&strengthen(Some(0)), at(8)).unwrap();
    assert_eq!(verdict.valid_until, Some(at(100)));
    let Session::Live(session) = world.state::<Session>(ONE.uuid()) else { unreachable!("it lives") };
    assert_eq!(session.amr, [Word::of("pwd"), Word::of("otp")], "each once");
    assert_eq!(session.auth_time, at(7));
}

#[test]
fn a_session_is_not_strengthened_by_a_password_of_before() {
    let mut world = signed_in();
    let refused = world.submit(&strengthen(Some(1)), at(8)).unwrap_err();
    assert_eq!(refused, IdentityError::CredentialChanged.into());
}

#[test]
fn a_session_ends_once_and_only_for_its_owner() {
    let given = |commands: Vec<EndSession>| -> Given {
        let given = given_nothing().having(register(ADA, 1)).having_event(started(0));
        commands.into_iter().fold(given, Given::having)
    };
    given_nothing().when(end(None)).then_refused_for(IdentityError::SessionNotFound);
    given(vec![]).when(end(Some(BOB))).then_refused_for(IdentityError::SessionNotFound);
    given(vec![end(Some(ADA))]).when(end(Some(ADA))).then_already();
    given(vec![end(None)]).when(end(Some(BOB))).then_refused_for(IdentityError::SessionNotFound);
}
