//! What a link demands, refusal by refusal, and that its values are unique.

use proptest::prelude::*;

use super::*;
use crate::federation::RemoveProvider;
use crate::federation::provider::tests::{PROVIDER, configure};
use crate::spec::{Given, given_nothing};

const LINK: LinkId = LinkId::new(Uuid::from_u128(1));
const ANN: UserId = UserId::new(Uuid::from_u128(0xa1));
const BOB: UserId = UserId::new(Uuid::from_u128(0xb0));

fn identity(byte: u8) -> IdentityHash {
    IdentityHash::new([byte; 32])
}

fn link() -> LinkIdentity {
    let label = Some(Private::new(ANN.uuid(), "ann@example.com"));
    LinkIdentity { link_id: LINK, user_id: ANN, provider_id: PROVIDER, identity: identity(7), label }
}

fn another() -> LinkIdentity {
    LinkIdentity { link_id: LinkId::new(Uuid::from_u128(2)), label: None, ..link() }
}

fn unlink() -> UnlinkIdentity {
    UnlinkIdentity { link_id: LINK, of: ANN, identity: identity(7) }
}

fn check() -> CheckLink {
    CheckLink { link_id: LINK, user_id: ANN, provider_id: PROVIDER }
}

fn provided() -> Given {
    given_nothing().having(configure("corp"))
}

fn missing() -> FederationError {
    FederationError::ProviderNotFound { provider_id: PROVIDER }
}

#[test]
fn a_link_needs_a_provider_that_people_sign_in_with() {
    given_nothing().when(link()).then_refused_for(missing());
    let removed = provided().having(RemoveProvider { provider_id: PROVIDER });
    removed.when(link()).then_refused_for(missing());
}

#[test]
fn an_identifier_is_of_one_link() {
    provided().having(link()).when(link()).then_refused_for(FederationError::LinkExists);
    provided().having(link()).having(unlink()).when(link()).then_refused_for(FederationError::LinkExists);
}

#[test]
fn a_person_of_a_provider_is_one_user() {
    let other = LinkIdentity { user_id: BOB, ..another() };
    provided().having(link()).when(other).then_refused_for(FederationError::IdentityTaken);
}

#[test]
fn a_user_is_one_person_of_a_provider() {
    let other = LinkIdentity { identity: identity(8), ..another() };
    provided().having(link()).when(other).then_refused_for(FederationError::AlreadyLinked);
}

#[test]
fn a_link_is_told_with_its_label_and_without_the_identity() {
    let (verdict, world) = provided().when(link()).then_accepted();
    let mut event = verdict.events[0].clone();
    assert_eq!(event.privates().iter().map(|(path, _)| *path).collect::<Vec<_>>(), ["payload.label"]);
    assert!(!format!("{event:?}").contains("07"), "{event:?}");
    assert_eq!(world.state::<Link>(LINK.uuid()), Link::Linked { user_id: ANN, provider_id: PROVIDER });
    assert_eq!(world.claimed(IDENTITY_SCOPE), [format!("{PROVIDER}/{}", "07".repeat(32))]);
}

#[test]
fn another_persons_link_and_none_at_all_are_not_found() {
    provided().when(unlink()).then_refused_for(FederationError::LinkNotFound);
    provided()
        .having(link())
        .when(UnlinkIdentity { of: BOB, ..unlink() })
        .then_refused_for(FederationError::LinkNotFound);
    provided()
        .having(link())
        .having(unlink())
        .when(UnlinkIdentity { of: BOB, ..unlink() })
        .then_refused_for(FederationError::LinkNotFound);
}

#[test]
fn a_link_that_was_given_up_frees_both() {
    let unlinked = || provided().having(link()).having(unlink());
    unlinked().when(unlink()).then_already();
    assert!(unlinked().world().claimed(IDENTITY_SCOPE).is_empty());
    assert!(unlinked().world().claimed(USER_SCOPE).is_empty());
    let _ = unlinked().when(LinkIdentity { user_id: BOB, ..another() }).then_accepted();
}

#[test]
fn a_sign_in_needs_the_link_as_it_was_looked_up() {
    given_nothing().when(check()).then_refused_for(missing());
    provided().when(check()).then_refused_for(FederationError::NotLinked);
    provided().having(link()).when(check()).then_already();
    let of_bob = CheckLink { user_id: BOB, ..check() };
    provided().having(link()).when(of_bob).then_refused_for(FederationError::NotLinked);
    provided().having(link()).having(unlink()).when(check()).then_refused_for(FederationError::NotLinked);
    provided()
        .having(link())
        .having(RemoveProvider { provider_id: PROVIDER })
        .when(check())
        .then_refused_for(missing());
}

#[test]
fn the_newest_event_tells_all() {
    let mut folded = Link::default();
    for event in provided().having(link()).having(unlink()).world().history(stream(LINK)) {
        folded.evolve(LINK.uuid(), event);
        assert_eq!(Link::restore(LINK.uuid(), event), Some(folded.clone()));
    }
    assert_eq!(folded, Link::Unlinked { user_id: ANN });
}

proptest! {
    #[test]
    fn claims_of_two_parts_never_collide(one: (u128, [u8; 32]), other: (u128, [u8; 32])) {
        let value = |(provider, hash): (u128, [u8; 32])| {
            IdentityHash::new(hash).claim_value(ProviderId::new(Uuid::from_u128(provider)))
        };
        prop_assert_eq!(value(one) == value(other), one == other);
        let user = |(provider, hash): (u128, [u8; 32])| {
            let [a, b, c, d, ..] = hash;
            let user = UserId::new(Uuid::from_u128(u128::from(u32::from_be_bytes([a, b, c, d]))));
            (user_value(ProviderId::new(Uuid::from_u128(provider)), user), (provider, user))
        };
        let ((one, is_one), (other, is_other)) = (user(one), user(other));
        prop_assert_eq!(one == other, is_one == is_other);
    }
}
