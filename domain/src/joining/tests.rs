//! Who was invited becomes a member, nobody else, and for no more than whoever invited may still grant.

use chrono::TimeDelta;
use uuid::Uuid;

use super::*;
use crate::identity::sample::*;
use crate::identity::{DeactivateUser, ReactivateUser, User};
use crate::ids::UserId;
use crate::organisation::sample::{ADAM, CLERK, OLGA, add, admin, clerk, own, owner, table};
use crate::organisation::{
    AssignRoles, ChangeStanding, Invite, OrganisationError as E, RemoveMember, ResendInvitation,
    RevokeInvitation, RoleRef, SetSeats, TenantStatus,
};
use crate::private::Private;
use crate::spec::{Given, TENANT, given_nothing};
use crate::words::Word;

const ID: InvitationId = InvitationId::new(Uuid::from_u128(0x17));

fn invite() -> Invite {
    Invite {
        invitation_id: ID,
        email: Private::new(ID.uuid(), "ada@example.com"),
        email_hash: hash(1),
        holder: None,
        roles: vec![RoleRef::ADMIN, own(CLERK)],
        expires_at: at(100),
        by: Granter::Member(ADAM),
        table: table(),
    }
}

/// An invitation by an administrator, and Ada, who has the address.
fn invited() -> Given {
    let shop = given_nothing().having(clerk()).having(owner()).having(admin());
    shop.having(invite()).having(verified(ADA, 1))
}

fn accept(user_id: UserId) -> AcceptInvitation {
    AcceptInvitation {
        invitation_id: ID,
        sendings: 1,
        email_hash: hash(1),
        user_id,
        same_email: Some(1),
        table: table(),
    }
}

fn standing_is(to: TenantStatus) -> ChangeStanding {
    ChangeStanding { to, because: Word::of("tested") }
}

fn assign(user_id: UserId, roles: &[RoleRef]) -> AssignRoles {
    AssignRoles { user_id, roles: roles.to_vec(), by: Granter::Member(OLGA), table: table() }
}

#[test]
fn the_invited_person_becomes_a_member() {
    let (verdict, world) = invited().at(at(99)).when(accept(ADA)).then_accepted();
    let names: Vec<_> = verdict.events.iter().map(crate::event::Event::name).collect();
    assert_eq!(names, ["organisation.invitation-accepted", "organisation.member-added"]);
    assert_eq!(verdict.valid_until, Some(at(100)));
    assert_eq!(world.state::<Membership>(ADA.uuid()).roles(), [RoleRef::ADMIN, own(CLERK)]);
    let roster = world.state::<Roster>(TENANT.uuid());
    assert_eq!((roster.members, roster.invited, roster.holders(CLERK)), (3, 0, 1));
    assert_eq!(world.claimed(INVITATION_SCOPE), Vec::<String>::new());
    assert_eq!(world.state::<Invitation>(ID.uuid()), Invitation::Accepted);
}

#[test]
fn the_last_seat_is_the_one_that_the_invitation_took() {
    invited().having(SetSeats { seats: Some(3) }).when(accept(ADA)).then_succeeds();
}

#[test]
fn refusals_come_in_their_order() {
    let suspended = || invited().having(standing_is(TenantStatus::Suspended));
    let revoke = RevokeInvitation { invitation_id: ID, email_hash: hash(1) };
    suspended().having(revoke).when(accept(BOB)).then_refused_for(E::InvitationInvalid);
    suspended().when(accept(BOB)).then_refused("organisation.not-active");
    invited().when(accept(BOB)).then_refused("identity.user-not-found");
    let leave = DeactivateUser { user_id: ADA, because: Word::of("left") };
    invited().having(leave).when(accept(ADA)).then_refused("identity.user-inactive");
    let member = || invited().having(add(ADA, &[RoleRef::USER], Granter::Platform));
    let elsewhere = AcceptInvitation { same_email: None, ..accept(ADA) };
    member().when(elsewhere).then_refused_for(E::InvitationForAnother);
    member().having(assign(ADAM, &[RoleRef::USER])).when(accept(ADA)).then_refused_for(E::AlreadyMember);
}

#[test]
fn vibe_kanban_3430_a_wrong_account_neither_redeems_nor_consumes() {
    let wrong = AcceptInvitation { same_email: None, ..accept(BOB) };
    let mut world = invited().having(verified(BOB, 2)).world();
    assert_eq!(world.submit(&wrong, at(1)).unwrap_err(), E::InvitationForAnother.into());
    assert!(world.submit(&accept(ADA), at(1)).is_ok(), "it is open for whom it is for");
}

#[test]
fn an_address_that_is_not_verified_or_not_the_newest_is_not_the_invited_one() {
    let given = given_nothing().having(clerk()).having(owner()).having(admin()).having(invite());
    given.having(register(ADA, 1)).when(accept(ADA)).then_refused_for(E::InvitationForAnother);
    let older = AcceptInvitation { same_email: Some(2), ..accept(ADA) };
    invited().when(older).then_refused_for(E::InvitationForAnother);
}

#[test]
fn an_invitation_grants_no_more_than_its_sender_still_may() {
    let lacking = |permission: &str| E::GrantsTooMuch { permission: permission.to_owned() };
    let lowered = invited().having(assign(ADAM, &[RoleRef::MANAGER]));
    lowered.when(accept(ADA)).then_refused_for(lacking("organisation.assign-roles"));
    let removed = RemoveMember {
        user_id: ADAM,
        because: Word::of("removed"),
        by: Granter::Member(OLGA),
        table: table(),
    };
    invited().having(removed).when(accept(ADA)).then_refused_for(lacking("ledger.post-transfer"));
}

#[test]
fn nobody_joins_on_the_word_of_somebody_who_is_out() {
    let given = || invited().having(verified(ADAM, 3));
    let out = || given().having(DeactivateUser { user_id: ADAM, because: Word::of("left") });
    given().when(accept(ADA)).then_succeeds();
    out().when(accept(ADA)).then_refused_for(E::InvitationInvalid);
    out().having(ReactivateUser { user_id: ADAM }).when(accept(ADA)).then_succeeds();
}

#[test]
fn only_the_newest_link_is_good_and_only_in_time() {
    invited().at(at(100)).when(accept(ADA)).then_refused_for(E::InvitationInvalid);
    let resent = || {
        let expires_at = at(0) + TimeDelta::days(1);
        invited().having(ResendInvitation { invitation_id: ID, expires_at })
    };
    resent().when(accept(ADA)).then_refused_for(E::InvitationInvalid);
    resent().when(AcceptInvitation { sendings: 2, ..accept(ADA) }).then_succeeds();
    invited().having(accept(ADA)).when(accept(ADA)).then_refused_for(E::InvitationInvalid);
}

#[test]
fn accepting_says_nothing_of_the_user() {
    let (_, world) = invited().when(accept(ADA)).then_accepted();
    assert_eq!(world.version(user::stream(ADA)), 1);
    assert!(matches!(world.state::<User>(ADA.uuid()), User::Active(_)));
}
