//! What a person allows a service grows until they allow nothing any more.

use super::super::error::ApplicationError as E;
use super::super::sample::*;
use super::super::{RemoveService, SuspendService};
use super::*;
use crate::sample::{ADA, BOB};
use crate::spec::{Given, given_nothing};
use crate::words::Word;

fn allow(names: &[&str]) -> GrantConsent {
    GrantConsent { user_id: ADA, service_id: TILL, scopes: scopes(names) }
}

fn revoke() -> RevokeConsent {
    RevokeConsent { user_id: ADA, service_id: TILL }
}

fn registered() -> Given {
    given_nothing().having(till())
}

#[test]
fn consent_is_to_a_service_that_works_for_what_it_may_ask() {
    given_nothing().when(allow(&["openid"])).then_refused_for(E::ServiceNotFound);
    let suspended = registered().having(SuspendService { service_id: TILL, because: Word::of("abuse") });
    suspended.when(allow(&["phone"])).then_refused_for(E::ServiceSuspended);
    let removed = registered().having(RemoveService { service_id: TILL });
    removed.when(allow(&["openid"])).then_refused_for(E::ServiceNotFound);
    registered()
        .when(allow(&["openid", "phone"]))
        .then_refused_for(E::ScopeNotRegistered { scope: Scope::of("phone") });
}

#[test]
fn consent_grows_and_ends() {
    registered().having(allow(&["openid"])).when(allow(&["openid"])).then_already();
    let (_, world) = registered().having(allow(&["openid"])).when(allow(&["email"])).then_accepted();
    let state = world.state::<Consent>(id(ADA, TILL));
    assert_eq!(state.scopes, scopes(&["email", "openid"]));
    assert!(state.covers(&scopes(&["openid"])) && !state.covers(&scopes(&["openid", "phone"])));
    let (_, world) = registered().having(allow(&["openid"])).when(revoke()).then_accepted();
    assert_eq!(world.state::<Consent>(id(ADA, TILL)), Consent { generation: 1, ..Consent::default() });
    registered().having(allow(&["openid"])).having(revoke()).when(revoke()).then_already();
    registered().when(revoke()).then_refused_for(E::ConsentNotFound);
    assert_ne!(id(ADA, TILL), id(BOB, TILL), "each person for themselves");
}

#[test]
fn what_is_allowed_again_is_another_generation_and_begins_with_nothing() {
    let (_, world) = registered()
        .having(allow(&["openid", "email"]))
        .having(revoke())
        .when(allow(&["openid"]))
        .then_accepted();
    let state = world.state::<Consent>(id(ADA, TILL));
    assert_eq!((state.generation, &state.scopes), (1, &scopes(&["openid"])));
    assert!(!state.covers(&scopes(&["openid", "email"])), "what was taken back is not allowed by the way");
}

#[test]
fn nothing_allowed_covers_nothing() {
    assert!(!Consent::default().covers(&[]) && !Consent::default().covers(&scopes(&["openid"])));
}
