//! Keys allow something, for a time if asked, and are revoked by their owner or by whoever may revoke any.

use super::super::error::ApplicationError as E;
use super::super::inventory::Inventory;
use super::*;
use crate::sample::{ADA, BOB, at};
use crate::spec::{Given, TENANT, given_nothing};

const ID: ApiKeyId = ApiKeyId::new(Uuid::from_u128(1));

fn issue(number: u128) -> IssueApiKey {
    IssueApiKey {
        key_id: ApiKeyId::new(Uuid::from_u128(number)),
        owner: KeyOwner::User(ADA),
        name: Label::parse("Nightly").unwrap(),
        permissions: vec![Permission::of("b.c"), Permission::of("a.b"), Permission::of("b.c")],
        expires_at: Some(at(100)),
    }
}

fn revoke(of: Option<KeyOwner>) -> RevokeApiKey {
    RevokeApiKey { key_id: ID, of, by: BOB.actor() }
}

fn issued() -> Given {
    given_nothing().having(issue(1))
}

#[test]
fn a_key_is_issued_once_and_counted() {
    let (verdict, world) = given_nothing().when(issue(1)).then_accepted();
    assert_eq!(verdict.valid_until, Some(at(100)));
    let ApiKey::Live(key) = world.state(ID.uuid()) else { unreachable!("it is good") };
    assert_eq!(key.permissions, [Permission::of("a.b"), Permission::of("b.c")]);
    assert_eq!(world.state::<Inventory>(TENANT.uuid()).api_keys, 1);
    assert_eq!(KeyOwner::User(ADA).actor(), ADA.actor());
}

#[test]
fn refusals_come_in_their_order() {
    let dead = || IssueApiKey { expires_at: Some(at(0)), ..issue(1) };
    issued().when(IssueApiKey { permissions: vec![], ..dead() }).then_refused_for(E::KeyEmpty);
    let letters = || 'a'..='z';
    let many = letters().flat_map(|one| letters().map(move |two| format!("x.{one}{two}"))).take(201);
    let permissions = many.map(|it| Permission::parse(&it).unwrap()).collect();
    issued()
        .when(IssueApiKey { permissions, ..dead() })
        .then_refused_for(E::LimitReached { what: "permissions", max: 200 });
    issued().when(dead()).then_refused_for(E::KeyExpired);
    issued().when(issue(1)).then_refused_for(E::KeyExists);
}

#[test]
fn a_key_of_a_service_is_for_one_that_works() {
    let owner = KeyOwner::Service(ServiceId::new(Uuid::from_u128(9)));
    issued().when(IssueApiKey { owner, ..issue(1) }).then_refused_for(E::ServiceNotFound);
}

#[test]
fn there_are_a_thousand_keys_at_most() {
    let mut world = issued().world();
    for number in 2..=1_000 {
        world.submit(&issue(number), at(0)).unwrap();
    }
    let refused = E::LimitReached { what: "api_keys", max: 1_000 };
    assert_eq!(world.submit(&issue(1_001), at(0)).unwrap_err(), refused.into());
    world.submit(&revoke(None), at(0)).unwrap();
    assert!(world.submit(&issue(1_001), at(0)).is_ok());
}

#[test]
fn a_key_is_revoked_once_and_not_by_a_stranger() {
    given_nothing().when(revoke(None)).then_refused_for(E::KeyNotFound);
    issued().when(revoke(Some(KeyOwner::User(BOB)))).then_refused_for(E::KeyNotFound);
    let (_, world) = issued().when(revoke(Some(KeyOwner::User(ADA)))).then_accepted();
    assert_eq!(world.state::<ApiKey>(ID.uuid()), ApiKey::Revoked);
    issued().having(revoke(None)).when(revoke(None)).then_already();
    issued().having(revoke(None)).when(issue(1)).then_refused_for(E::KeyExists);
}
