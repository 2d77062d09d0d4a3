//! A policy is within its bounds, and every change of it says what differs.

use super::*;
use crate::spec::{TENANT, given_nothing};

fn set(change: impl FnOnce(&mut Policy)) -> SetPolicy {
    let mut policy = Policy::default();
    change(&mut policy);
    SetPolicy { policy }
}

#[test]
fn the_defaults_are_the_figures_that_are_asked_for() {
    let policy = Policy::default();
    assert_eq!(policy.check(), Ok(()));
    assert_eq!(policy.lockout, LockoutPolicy { failures: 5, window_s: 1_800, lock_s: 1_800 });
    assert_eq!((policy.sessions.access_s, policy.sessions.grace_s), (3_600, 0));
    assert_eq!(policy.session_max(), TimeDelta::days(30));
    given_nothing().when(set(|_| {})).then_already();
}

#[test]
fn a_change_is_told_whole_with_what_differs() {
    let (verdict, world) = given_nothing()
        .when(set(|it| {
            it.registration = Registration::Closed;
            it.lockout.failures = 3;
        }))
        .then_accepted();
    let Event::Organisation(OrganisationEvent::PolicyChanged(event)) = &verdict.events[0] else {
        unreachable!("a policy changed")
    };
    assert_eq!(event.changed, [Word::of("registration"), Word::of("lockout")]);
    assert_eq!(world.state::<Policy>(TENANT.uuid()), event.policy);
    assert_eq!(Policy::restore(TENANT.uuid(), &verdict.events[0]), Some(event.policy.clone()));
}

#[test]
fn only_kinds_that_are_named_are_offered_and_all_if_none_is() {
    let (github, google) = (Word::of("github"), Word::of("google"));
    let offered = |providers: Option<Vec<Word>>| {
        let policy = Policy { providers, ..Policy::default() };
        (policy.offers(&github), policy.offers(&google))
    };
    assert_eq!(offered(None), (true, true));
    assert_eq!(offered(Some(vec![])), (true, true));
    assert_eq!(offered(Some(vec![github.clone()])), (true, false));
    assert_eq!(offered(Some(vec![google.clone()])), (false, true));
    assert_eq!(offered(Some(vec![google.clone(), github.clone()])), (true, true));
}

#[test]
fn providers_vouch_for_domains_that_are_named_to_the_letter_and_for_all_if_none_is() {
    assert!(Policy::default().lets_vouch_for("anything"));
    let domains = ["example.com", "example.net"].map(DomainName::of).to_vec();
    let policy = Policy { domains, ..Policy::default() };
    assert!(policy.lets_vouch_for("example.com") && policy.lets_vouch_for("example.net"));
    for other in ["", "a.example.com", "xample.com", "example.com.", "example.org", "EXAMPLE.com"] {
        assert!(!policy.lets_vouch_for(other), "{other}");
    }
}

#[test]
fn figures_out_of_bounds_are_refused_with_their_bounds() {
    type Change = fn(&mut Policy);
    let cases: [(&str, Change); 14] = [
        ("password.length_min", |it| it.password.length_min = 7),
        ("password.length_min", |it| it.password.length_min = 65),
        ("password.score_min", |it| it.password.score_min = 5),
        ("sessions.access_s", |it| it.sessions.access_s = 3_601),
        ("sessions.access_s", |it| it.sessions.access_s = 299),
        ("sessions.idle_s", |it| it.sessions.idle_s = 299),
        ("sessions.absolute_s", |it| it.sessions.absolute_s = 31_536_001),
        ("sessions.grace_s", |it| it.sessions.grace_s = 11),
        ("sessions.live_max", |it| it.sessions.live_max = 0),
        ("lockout.failures", |it| it.lockout.failures = 11),
        ("lockout.window_s", |it| it.lockout.window_s = 599),
        ("lockout.lock_s", |it| it.lockout.lock_s = 59),
        ("providers", |it| it.providers = Some(vec![Word::of("github"); 51])),
        ("domains", |it| it.domains = vec![DomainName::of("example.com"); 51]),
    ];
    for (field, change) in cases {
        let refusal = given_nothing().when(set(change)).then_refused("organisation.policy-out-of-range");
        assert_eq!(refusal.details["field"], field);
    }
}
