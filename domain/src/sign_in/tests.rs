//! Nobody comes in who may not, whichever way; what is checked is checked in this order.

use super::*;
use crate::decision::Outcome;
use crate::event::Event;
use crate::identity::sample::*;
use crate::identity::{DeactivateUser, EnrolTotp, ErasePerson, SetPassword, User, Withdraw};
use crate::ids::FactorId;
use crate::organisation::sample::{add, owner, table};
use crate::organisation::{ChangeStanding, Granter, RemoveMember, RoleRef, SetPolicy};
use crate::spec::{Given, given_nothing};

const ID: SessionId = SessionId::new(Uuid::from_u128(5));

fn start() -> StartSession {
    StartSession {
        session_id: ID,
        user_id: ADA,
        seen: None,
        verified_by_method: false,
        method: Word::of("password"),
        amr: vec![Word::of("pwd"), Word::of("otp"), Word::of("pwd")],
        auth_time: at(10),
        expires_at: at(1_000),
        service_id: None,
        device: Some(of(ADA, "the old laptop")),
        impersonation_id: None,
    }
}

fn member() -> crate::organisation::AddMember {
    add(ADA, &[RoleRef::USER], Granter::Platform)
}

fn standing(to: TenantStatus) -> ChangeStanding {
    ChangeStanding { to, because: Word::of("tested") }
}

/// A member whose address is verified.
fn ada() -> Given {
    given_nothing().having(verified(ADA, 1)).having(owner()).having(member()).at(at(10))
}

#[test]
fn a_member_signs_in() {
    let (verdict, world) = ada().when(start()).then_accepted();
    assert_eq!((verdict.outcome, verdict.valid_until), (Outcome::Created, Some(at(1_000))));
    let Session::Live(session) = world.state::<Session>(ID.uuid()) else { unreachable!("it lives") };
    assert_eq!(session.amr, [Word::of("pwd"), Word::of("otp")], "each once");
    assert_eq!((session.user_id, session.expires_at), (ADA, at(1_000)));
}

#[test]
fn refusals_come_in_their_order() {
    let unverified = || given_nothing().having(register(ADA, 1)).at(at(10));
    let refused = |given: Given, start: StartSession, code: &str| {
        given.when(start).then_refused(code);
    };
    let past = StartSession { expires_at: at(10), seen: Some(1), ..start() };
    refused(given_nothing().at(at(10)), past, "identity.expiry-in-past");
    refused(given_nothing().at(at(10)), start(), "identity.user-not-found");
    let erase = ErasePerson { user_id: ADA, receipt: Uuid::nil(), email: (1, hash(1)), email_pending: None };
    refused(ada().having(erase), start(), "identity.person-erased");
    let leave = DeactivateUser { user_id: ADA, because: Word::of("left") };
    refused(unverified().having(leave), StartSession { seen: Some(7), ..start() }, "identity.user-inactive");
    refused(unverified(), StartSession { seen: Some(1), ..start() }, "identity.credential-changed");
    let suspended = || unverified().having(standing(TenantStatus::Suspended));
    refused(suspended(), start(), "identity.email-unverified");
    let proven = || StartSession { verified_by_method: true, ..start() };
    refused(suspended(), proven(), "organisation.not-active");
    refused(unverified(), proven(), "organisation.not-a-member");
    refused(ada().having(start()), start(), "identity.session-exists");
}

#[test]
fn only_an_organisation_that_works_or_waits_lets_in() {
    use TenantStatus::{Active, Closed, Pending, Rejected, Suspended};
    for (status, lets_in) in
        [(Active, true), (Pending, true), (Suspended, false), (Rejected, false), (Closed, false)]
    {
        let judged = ada().having(standing(status)).when(start());
        if lets_in {
            drop(judged.then_accepted())
        } else {
            drop(judged.then_refused("organisation.not-active"))
        }
    }
}

#[test]
fn a_password_of_before_lets_nobody_in() {
    let set = |seen| SetPassword {
        user_id: ADA,
        because: Word::of("change"),
        seen,
        withdraw: Withdraw::Nothing,
        by: ADA.actor(),
    };
    let twice = || ada().having(set(0)).having(set(1));
    let with = |seen| StartSession { seen: Some(seen), ..start() };
    twice().when(with(1)).then_refused_for(IdentityError::CredentialChanged);
    twice().when(with(2)).then_succeeds();
}

#[test]
fn an_address_that_is_not_verified_lets_in_where_the_policy_says_so() {
    let given = || given_nothing().having(register(ADA, 1)).having(owner()).having(member()).at(at(10));
    given().when(start()).then_refused_for(IdentityError::EmailUnverified);
    let policy = Policy { sign_in_unverified: true, ..Policy::default() };
    given().having(SetPolicy { policy }).when(start()).then_succeeds();
}

#[test]
fn whoever_was_removed_comes_in_no_more() {
    let removed =
        RemoveMember { user_id: ADA, because: Word::of("removed"), by: Granter::Platform, table: table() };
    ada().having(removed).when(start()).then_refused_for(OrganisationError::NotAMember);
}

#[test]
fn the_policy_ends_a_session_earlier() {
    let mut policy = Policy::default();
    policy.sessions.absolute_s = 300;
    let (_, world) = ada().having(SetPolicy { policy }).when(start()).then_accepted();
    assert!(matches!(world.state::<Session>(ID.uuid()), Session::Live(it) if it.expires_at == at(310)));
}

#[test]
fn a_session_is_of_the_generation_in_which_it_began() {
    let end = crate::identity::EndSessions {
        user_id: ADA,
        except: None,
        because: Word::of("asked"),
        by: ADA.actor(),
    };
    let (verdict, world) = ada().having(end).when(start()).then_accepted();
    let Event::Identity(IdentityEvent::SessionStarted(event)) = &verdict.events[0] else {
        unreachable!("a session started")
    };
    assert_eq!(event.generation, 1);
    assert!(world.state::<User>(ADA.uuid()).registered().unwrap().counts(ID, event.generation));
}

#[test]
fn whoever_has_a_second_factor_shows_it_whichever_way_they_come() {
    let enrol = EnrolTotp { user_id: ADA, factor_id: FactorId::new(Uuid::from_u128(1)), label: None };
    let shown = |amr: &[&str]| StartSession {
        amr: amr.iter().map(|it| Word::parse(it).unwrap()).collect(),
        ..start()
    };
    for amr in [&["pwd"] as &[_], &["fed"], &["otp"], &[]] {
        let given = ada().having(enrol.clone());
        given.when(shown(amr)).then_refused_for(IdentityError::SecondFactorRequired);
        ada().when(shown(amr)).then_succeeds();
    }
    ada().having(enrol.clone()).when(shown(&["pwd", "otp"])).then_succeeds();
    let staff = StartSession { impersonation_id: Some(ImpersonationId::new(Uuid::nil())), ..shown(&[]) };
    ada().having(enrol).when(staff).then_succeeds();
}
