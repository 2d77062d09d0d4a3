//! What is shown in one organisation opens another one as far as the one there lets it.

use super::*;
use crate::error::DomainError as _;
use crate::gate::{Bearer, Gate, Gated};
use crate::identity::sample::*;
use crate::identity::{
    AddPasskey, DeactivateUser, ElsewhereHash, EnrolTotp, Half, Session, StrengthenSession, UnlinkIdentities,
    User,
};
use crate::ids::{FactorId, ImpersonationId, ServiceId};
use crate::organisation::sample::{add, owner, table};
use crate::organisation::{Granter, RoleRef, SetPolicy};
use crate::spec::{Given, given_nothing};
use crate::words::Word;

const ID: SessionId = SessionId::new(Uuid::from_u128(5));
const LINK: Uuid = Uuid::from_u128(6);

fn start(amr: &[&str]) -> StartSession {
    StartSession {
        session_id: ID,
        user_id: ADA,
        seen: None,
        verified_by_method: false,
        method: Word::of("password"),
        amr: amr.iter().map(|it| Word::parse(it).unwrap()).collect(),
        auth_time: at(10),
        expires_at: at(1_000),
        service_id: None,
        device: None,
        impersonation_id: None,
    }
}

fn half() -> Half {
    Half { link: LINK, elsewhere: ElsewhereHash::new([9; 32]) }
}

fn link() -> LinkIdentities {
    LinkIdentities { user_id: ADA, half: half() }
}

fn here() -> LinkInSession {
    LinkInSession { session_id: ID, link: link() }
}

fn unlink() -> UnlinkIdentities {
    UnlinkIdentities { user_id: ADA, halves: vec![half()] }
}

fn away() -> SwitchAway {
    SwitchAway { session_id: ID, user_id: ADA, link: LINK }
}

fn enter(amr: &[&str], own_factor: bool) -> EnterByLink {
    EnterByLink { start: start(amr), link: LINK, own_factor }
}

fn ada() -> Given {
    let member = add(ADA, &[RoleRef::USER], Granter::Platform);
    given_nothing().having(verified(ADA, 1)).having(owner()).having(member).at(at(10))
}

fn requires_two() -> SetPolicy {
    SetPolicy { policy: Policy { second_factor: SecondFactor::Required, ..Policy::default() } }
}

fn totp() -> EnrolTotp {
    EnrolTotp { user_id: ADA, factor_id: FactorId::new(Uuid::from_u128(7)), label: None }
}

fn leave() -> DeactivateUser {
    DeactivateUser { user_id: ADA, because: Word::of("left") }
}

/// Who cannot vouch for themselves: whatever is asked in such a session is refused with this.
fn sessions_of_others() -> Vec<(StartSession, String)> {
    let staff = Some(ImpersonationId::new(Uuid::from_u128(8)));
    let service = Some(ServiceId::new(Uuid::from_u128(8)));
    let acts = || GateError::ActsForAnother.code().to_owned();
    vec![
        (StartSession { impersonation_id: staff, ..start(&["pwd"]) }, acts()),
        (StartSession { service_id: service, ..start(&["pwd"]) }, acts()),
        (start(&["fed"]), "identity.own-proof-required".to_owned()),
        (start(&["fed", "otp"]), "identity.own-proof-required".to_owned()),
        (start(&["fed", "pop", "mfa"]), "identity.own-proof-required".to_owned()),
        (start(&[]), "identity.own-proof-required".to_owned()),
    ]
}

#[test]
fn a_link_is_made_by_the_person_in_a_session_of_their_own() {
    ada().having(start(&["pwd"])).when(here()).then_succeeds();
    ada().having(start(&["fed", "pwd"])).when(here()).then_succeeds();
    ada().when(here()).then_refused_for(GateError::SessionEnded);
    for (session, code) in sessions_of_others() {
        ada().having(session).when(here()).then_refused(&code);
    }
    ada().having(start(&["pwd"])).having(leave()).when(here()).then_refused_for(GateError::SessionEnded);
    let other = LinkIdentities {
        user_id: ADA,
        half: Half { link: Uuid::from_u128(66), elsewhere: ElsewhereHash::new([66; 32]) },
    };
    let by_link = ada().having(link()).having(enter(&["pwd"], false));
    let further = LinkInSession { session_id: ID, link: other };
    by_link.when(further).then_refused_for(IdentityError::OwnProofRequired);
    let strict = || ada().having(requires_two());
    strict().having(start(&["pwd"])).when(here()).then_refused_for(GateError::SecondFactorMissing);
    strict().having(start(&["pwd", "otp"])).when(here()).then_succeeds();
}

#[test]
fn nobody_leaves_by_a_link_that_is_not_theirs_at_that_moment() {
    let given = || ada().having(start(&["pwd"])).having(link());
    let (verdict, _) = given().when(away()).then_accepted();
    assert!(matches!(&verdict.events[..], [Event::Identity(IdentityEvent::OrganizationSwitched(_))]));
    given().having(unlink()).when(away()).then_refused_for(IdentityError::NotLinked);
    given().having(leave()).when(away()).then_refused_for(GateError::SessionEnded);
    for (session, code) in sessions_of_others() {
        ada().having(session).having(link()).when(away()).then_refused(&code);
    }
}

#[test]
fn who_comes_by_a_link_meets_every_check_of_a_sign_in() {
    let given = || ada().having(link());
    let (_, world) = given().when(enter(&["pwd"], false)).then_accepted();
    let Session::Live(session) = world.state::<Session>(ID.uuid()) else { unreachable!("it lives") };
    assert_eq!(
        (session.came_by, session.auth_time),
        (Some(LINK), at(10)),
        "and nothing is fresher than it was"
    );
    ada().when(enter(&["pwd"], false)).then_refused_for(IdentityError::NotLinked);
    given().having(unlink()).when(enter(&["pwd"], false)).then_refused_for(IdentityError::NotLinked);
    given().having(leave()).when(enter(&["pwd"], false)).then_refused_for(IdentityError::UserInactive);
    // A factor of another organisation is none of this one, where there is one.
    let factor = || given().having(totp());
    factor().when(enter(&["pwd", "otp"], false)).then_refused_for(IdentityError::SecondFactorRequired);
    factor().when(enter(&["pwd", "otp"], true)).then_succeeds();
    let factor_id = FactorId::new(Uuid::from_u128(8));
    let passkey = given().having(AddPasskey { user_id: ADA, factor_id, label: None, vouched: false });
    passkey.when(enter(&["pwd", "otp"], false)).then_refused_for(IdentityError::SecondFactorRequired);
    let stranger = given_nothing().having(verified(ADA, 1)).having(owner()).having(link()).at(at(10));
    stranger.when(enter(&["pwd"], false)).then_refused("organisation.not-a-member");
}

/// What is set up in such a session would be a way in when the link is gone.
#[test]
fn who_comes_by_a_link_changes_no_way_in_here() {
    let bearer = Bearer::Session { session: ID, user: ADA };
    let change = || Gated::new(Gate::new(bearer.clone(), table()).over_ways_in(), Box::new(totp()));
    ada().having(start(&["pwd"])).when(change()).then_succeeds();
    let by_link = || ada().having(link()).having(enter(&["pwd", "otp"], false));
    by_link().when(change()).then_refused_for(IdentityError::OwnProofRequired);
    by_link().when(Gated::new(Gate::new(bearer.clone(), table()), Box::new(totp()))).then_succeeds();
}

#[test]
fn a_session_stands_no_longer_than_the_link_by_which_it_came() {
    let strengthen = || StrengthenSession {
        session_id: ID,
        method: Word::of("password"),
        amr: vec![Word::of("pwd")],
        auth_time: at(11),
        seen: None,
    };
    let given = || ada().having(link()).having(enter(&["pwd"], false));
    given().when(strengthen()).then_succeeds();
    given().having(unlink()).when(strengthen()).then_refused_for(IdentityError::SessionOver);
    // Another link to the same organisation is another one.
    let again = LinkIdentities { user_id: ADA, half: Half { link: Uuid::from_u128(66), ..half() } };
    given().having(unlink()).having(again).when(strengthen()).then_refused_for(IdentityError::SessionOver);
    let (_, world) = given().when(unlink()).then_accepted();
    let User::Active(user) = world.state::<User>(ADA.uuid()) else { unreachable!("they are active") };
    assert!(user.links.is_empty());
}
