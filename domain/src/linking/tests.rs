//! Every situation, and the race between a link and the address that it rests on.

use uuid::Uuid;

use super::*;
use crate::federation::{IdentityHash, Link};
use crate::ids::LinkId;

const ANN: UserId = UserId::new(Uuid::from_u128(0xa1));
const BOB: UserId = UserId::new(Uuid::from_u128(0xb0));

/// What the table of [`rule`] says, in other words: from the refusals to what is allowed.
fn expected(it: &Situation) -> Result<Ruling, FederationError> {
    let proven = it.is_vouched && it.is_trusted;
    if let Some(linked) = it.linked_to {
        return if it.signed_in.is_some_and(|who| who != linked) {
            Err(FederationError::IdentityTaken)
        } else {
            Ok(Ruling::SignIn(linked))
        };
    }
    if let Some(who) = it.signed_in {
        return Ok(Ruling::Link(who));
    }
    match (proven, it.holder) {
        (true, None) => Ok(Ruling::Register),
        (true, Some(Holder { user_id, is_verified: true })) => Ok(Ruling::LinkByAddress(user_id)),
        (true, Some(Holder { is_verified: false, .. })) => Err(FederationError::LinkNeedsSignIn),
        (false, _) => Err(FederationError::AddressNotVouched),
    }
}

fn situations() -> Vec<Situation> {
    let people = [None, Some(ANN), Some(BOB)];
    let holders = [
        None,
        Some(Holder { user_id: ANN, is_verified: false }),
        Some(Holder { user_id: ANN, is_verified: true }),
    ];
    let mut all = Vec::new();
    for linked_to in people {
        for signed_in in people {
            for is_vouched in [false, true] {
                for is_trusted in [false, true] {
                    for holder in holders {
                        all.push(Situation { linked_to, signed_in, is_vouched, is_trusted, holder });
                    }
                }
            }
        }
    }
    all
}

#[test]
fn every_situation_has_the_ruling_of_the_table() {
    let all = situations();
    assert_eq!(all.len(), 108);
    for it in all {
        assert_eq!(rule(&it), expected(&it), "{it:?}");
    }
}

#[test]
fn nobody_is_let_in_by_an_address_that_either_side_has_not_verified() {
    for it in situations().into_iter().filter(|it| it.linked_to.is_none() && it.signed_in.is_none()) {
        let is_verified_here = it.holder.is_none_or(|holder| holder.is_verified);
        let is_let_in = rule(&it).is_ok();
        assert_eq!(is_let_in, it.is_vouched && it.is_trusted && is_verified_here, "{it:?}");
    }
}

#[test]
fn an_address_changes_nothing_for_somebody_who_is_linked_or_signed_in() {
    for it in situations().into_iter().filter(|it| it.linked_to.is_some() || it.signed_in.is_some()) {
        let blind = Situation { is_vouched: false, is_trusted: false, holder: None, ..it };
        assert_eq!(rule(&it), rule(&blind), "{it:?}");
    }
}

#[test]
fn an_unproven_address_is_answered_alike_whether_somebody_has_it_or_not() {
    for it in situations().into_iter().filter(|it| !(it.is_vouched && it.is_trusted)) {
        assert_eq!(rule(&it), rule(&Situation { holder: None, ..it }), "{it:?}");
    }
}

mod by_address {
    use super::*;
    use crate::federation::provider::tests::{PROVIDER, configure};
    use crate::identity::user::{EmailHash, PersonNames};
    use crate::identity::{DeactivateUser, RegisterUser, VerifyEmail};
    use crate::private::Private;
    use crate::spec::{Given, given_nothing};
    use crate::words::{Language, Word};

    fn link() -> LinkByAddress {
        let link = LinkIdentity {
            link_id: LinkId::new(Uuid::from_u128(1)),
            user_id: ANN,
            provider_id: PROVIDER,
            identity: IdentityHash::new([7; 32]),
            label: None,
        };
        LinkByAddress { link, email_version: 1 }
    }

    fn registered(verified: bool) -> Given {
        given_nothing().having(configure("corp")).having(RegisterUser {
            user_id: ANN,
            email: Private::new(ANN.uuid(), "ann@example.com"),
            email_hash: EmailHash::new([1; 32]),
            names: PersonNames::default(),
            language: Language::of("en"),
            via: Word::of("form"),
            verified,
        })
    }

    #[test]
    fn a_verified_address_is_linked() {
        let (verdict, world) = registered(true).when(link()).then_accepted();
        assert_eq!(verdict.events.len(), 1);
        let expected = Link::Linked { user_id: ANN, provider_id: PROVIDER };
        assert_eq!(world.state::<Link>(Uuid::from_u128(1)), expected);
    }

    #[test]
    fn better_auth_9578_an_unverified_local_address_is_never_linked() {
        registered(false).when(link()).then_refused_for(FederationError::LinkNeedsSignIn);
    }

    #[test]
    fn an_address_that_was_verified_in_another_way_meanwhile_is_linked() {
        let verified = VerifyEmail { user_id: ANN, email_version: 1, via: Word::of("mail") };
        assert!(registered(false).having(verified).when(link()).then_accepted().0.events.len() == 1);
    }

    #[test]
    fn an_address_that_is_another_one_by_now_is_not_linked() {
        registered(true)
            .when(LinkByAddress { email_version: 2, ..link() })
            .then_refused_for(FederationError::LinkNeedsSignIn);
    }

    #[test]
    fn nobody_who_is_not_active_is_linked() {
        given_nothing()
            .having(configure("corp"))
            .when(link())
            .then_refused_for(FederationError::LinkNeedsSignIn);
        let deactivated = DeactivateUser { user_id: ANN, because: Word::of("asked") };
        registered(true).having(deactivated).when(link()).then_refused_for(FederationError::LinkNeedsSignIn);
    }

    #[test]
    fn an_identity_that_is_linked_meanwhile_is_not_linked_again() {
        let other = LinkIdentity { link_id: LinkId::new(Uuid::from_u128(2)), user_id: BOB, ..link().link };
        registered(true).having(other).when(link()).then_refused_for(FederationError::IdentityTaken);
    }
}

mod offered {
    use super::*;
    use crate::federation::RemoveProvider;
    use crate::federation::provider::OIDC;
    use crate::federation::provider::tests::{PROVIDER, configure};
    use crate::organisation::SetPolicy;
    use crate::spec::{Given, given_nothing};
    use crate::words::Word;

    const ASKED: WhileOffered = WhileOffered { provider_id: PROVIDER };

    fn provided() -> Given {
        given_nothing().having(configure("corp"))
    }

    fn allowing(kinds: &[Word]) -> SetPolicy {
        SetPolicy { policy: Policy { providers: Some(kinds.to_vec()), ..Policy::default() } }
    }

    fn missing() -> FederationError {
        FederationError::ProviderNotFound { provider_id: PROVIDER }
    }

    #[test]
    fn a_provider_is_offered_while_the_policy_names_its_kind_or_none() {
        let (own, other) = (OIDC, Word::of("another"));
        provided().when(ASKED).then_already();
        provided().having(allowing(&[])).when(ASKED).then_already();
        provided().having(allowing(&[other.clone(), own.clone()])).when(ASKED).then_already();
        let bounded = || provided().having(allowing(std::slice::from_ref(&other)));
        bounded().when(ASKED).then_refused_for(missing());
        bounded().having(allowing(&[own])).when(ASKED).then_already();
    }

    #[test]
    fn one_that_is_not_there_is_offered_by_no_policy() {
        given_nothing().when(ASKED).then_refused_for(missing());
        provided().having(RemoveProvider { provider_id: PROVIDER }).when(ASKED).then_refused_for(missing());
    }
}
