//! Members come, change and go; nobody grants what they lack; the last owner stays.

mod model;

use super::super::sample::*;
use super::*;
use crate::error::Refusal;
use crate::ids::RoleId;
use crate::organisation::{OrganisationError as E, RedefineRole, SetSeats};
use crate::spec::{Given, TENANT, given_nothing};

/// An owner, an administrator, a user, and two roles of the organisation's own.
fn shop() -> Given {
    given_nothing().having(clerk()).having(auditor()).having(owner()).having(admin()).having(user())
}

fn assign(user_id: UserId, roles: &[RoleRef], by: Granter) -> AssignRoles {
    AssignRoles { user_id, roles: roles.to_vec(), by, table: table() }
}

fn remove(user_id: UserId, by: Granter) -> RemoveMember {
    RemoveMember { user_id, because: Word::of("removed"), by, table: table() }
}

const OWNER: Granter = Granter::Member(OLGA);
const ADMIN: Granter = Granter::Member(ADAM);
const USER: Granter = Granter::Member(UMA);
const NEW: UserId = UserId::new(Uuid::from_u128(9));

fn lacks(permission: &str) -> E {
    E::GrantsTooMuch { permission: permission.to_owned() }
}

#[test]
fn a_member_is_added_and_counted() {
    let (_, world) = shop().when(add(NEW, &[own(CLERK), RoleRef::USER], ADMIN)).then_accepted();
    let member = world.state::<Membership>(NEW.uuid());
    assert_eq!(member.roles(), [RoleRef::USER, own(CLERK)], "in order");
    let roster = world.state::<Roster>(TENANT.uuid());
    assert_eq!((roster.members, roster.holders(CLERK), roster.holders(AUDITOR)), (4, 1, 0));
    assert_eq!(roster.owners, [OLGA]);
}

#[test]
fn a_member_has_a_role_and_not_too_many() {
    shop().when(add(NEW, &[], ADMIN)).then_refused_for(E::RoleCount { count: 0 });
    let many: Vec<_> = (0..21).map(|it| own(RoleId::new(Uuid::from_u128(it)))).collect();
    shop().when(add(NEW, &many, ADMIN)).then_refused_for(E::RoleCount { count: 21 });
}

#[test]
fn a_role_must_be_there() {
    let unknown = |role: &RoleRef| E::RoleUnknown { role: role.to_string() };
    let emperor = RoleRef::BuiltIn(Word::of("emperor"));
    shop().when(add(NEW, std::slice::from_ref(&emperor), OWNER)).then_refused_for(unknown(&emperor));
    let ghost = own(RoleId::new(Uuid::from_u128(77)));
    shop().when(add(NEW, std::slice::from_ref(&ghost), OWNER)).then_refused_for(unknown(&ghost));
    let deleted = shop().having(delete(CLERK, OWNER));
    deleted.when(add(NEW, &[own(CLERK)], OWNER)).then_refused_for(unknown(&own(CLERK)));
}

#[test]
fn nobody_grants_what_they_lack() {
    shop().when(add(NEW, &[RoleRef::OWNER], ADMIN)).then_refused_for(lacks("*"));
    shop().when(add(NEW, &[own(AUDITOR)], ADMIN)).then_refused_for(lacks("audit.read-trail"));
    shop().when(add(NEW, &[RoleRef::MANAGER], USER)).then_refused_for(lacks("ledger.post-transfer"));
    shop()
        .when(add(NEW, &[RoleRef::USER], Granter::Member(NEW)))
        .then_refused_for(lacks("ledger.read-accounts"));
    assert!(shop().when(add(NEW, &[RoleRef::ADMIN], ADMIN)).then_accepted().0.events.len() == 1);
}

#[test]
fn whoever_lost_a_right_grants_it_no_more() {
    let clerk = RedefineRole {
        role_id: CLERK,
        name: crate::metadata::Label::parse("Clerk").unwrap(),
        permissions: permissions(&["ledger.post-transfer"]),
        by: OWNER,
        table: table(),
    };
    let given = shop().having(assign(UMA, &[own(CLERK)], OWNER)).having(clerk);
    given.when(add(NEW, &[RoleRef::USER], USER)).then_refused_for(lacks("ledger.read-accounts"));
}

#[test]
fn a_member_is_added_once_and_again_when_removed() {
    shop().when(add(UMA, &[RoleRef::USER], OWNER)).then_refused_for(E::AlreadyMember);
    let (_, world) =
        shop().having(remove(UMA, ADMIN)).when(add(UMA, &[RoleRef::USER], ADMIN)).then_accepted();
    assert!(world.state::<Membership>(UMA.uuid()).is_member());
}

#[test]
fn the_last_seat_is_given_once() {
    let full = || shop().having(SetSeats { seats: Some(4) }).having(add(NEW, &[RoleRef::USER], OWNER));
    let other = UserId::new(Uuid::from_u128(10));
    full().when(add(other, &[RoleRef::USER], OWNER)).then_refused_for(E::SeatsUsedUp { seats: 4 });
    full().having(remove(NEW, OWNER)).when(add(other, &[RoleRef::USER], OWNER)).then_succeeds();
}

#[test]
fn there_are_fifty_owners_at_most() {
    let mut given = shop();
    for number in 100..149 {
        given = given.having(add(UserId::new(Uuid::from_u128(number)), &[RoleRef::OWNER], OWNER));
    }
    given.when(add(NEW, &[RoleRef::OWNER], OWNER)).then_refused_for(E::TooManyOwners { max: 50 });
}

#[test]
fn roles_are_assigned_to_members() {
    shop().when(assign(NEW, &[RoleRef::USER], OWNER)).then_refused_for(E::MemberNotFound { user_id: NEW });
    shop().when(assign(UMA, &[], OWNER)).then_refused_for(E::RoleCount { count: 0 });
    shop().when(assign(UMA, &[RoleRef::OWNER], ADMIN)).then_refused_for(lacks("*"));
    shop().when(assign(UMA, &[RoleRef::USER], ADMIN)).then_already();
    let (_, world) = shop().when(assign(UMA, &[RoleRef::MANAGER], ADMIN)).then_accepted();
    assert_eq!(world.state::<Membership>(UMA.uuid()).roles(), [RoleRef::MANAGER]);
}

#[test]
fn nobody_takes_away_what_they_lack_but_from_themselves() {
    shop().when(assign(OLGA, &[RoleRef::ADMIN], ADMIN)).then_refused_for(E::Outranked);
    shop().when(remove(OLGA, ADMIN)).then_refused_for(E::Outranked);
    shop().when(remove(ADAM, USER)).then_refused_for(E::Outranked);
    shop().when(remove(ADAM, Granter::Member(ADAM))).then_succeeds();
    let auditing = shop().having(assign(UMA, &[own(AUDITOR), RoleRef::USER], OWNER));
    let (_, world) = auditing.when(assign(UMA, &[RoleRef::USER], USER)).then_accepted();
    assert_eq!(world.state::<Roster>(TENANT.uuid()).holders(AUDITOR), 0);
}

#[test]
fn what_stays_as_it_is_needs_nobodys_right() {
    let auditing = shop().having(assign(UMA, &[own(AUDITOR), RoleRef::USER], OWNER));
    auditing.when(assign(UMA, &[own(AUDITOR), RoleRef::MANAGER], ADMIN)).then_succeeds();
}

#[test]
fn the_last_owner_stays() {
    let leave = || remove(OLGA, OWNER);
    shop().when(leave()).then_refused_for(E::LastOwner);
    shop().when(assign(OLGA, &[RoleRef::ADMIN], OWNER)).then_refused_for(E::LastOwner);
    shop().when(remove(OLGA, Granter::Platform)).then_refused_for(E::LastOwner);
    let two = shop().having(assign(ADAM, &[RoleRef::OWNER], OWNER)).having(leave());
    two.when(remove(ADAM, Granter::Member(ADAM))).then_refused_for(E::LastOwner);
}

#[test]
fn a_member_is_removed_once() {
    shop().when(remove(NEW, OWNER)).then_refused_for(E::MemberNotFound { user_id: NEW });
    shop().having(remove(UMA, OWNER)).when(remove(UMA, OWNER)).then_already();
}

#[test]
fn ownership_is_handed_over_in_one_step() {
    let hand = |from, to| TransferOwnership { from, to };
    shop().when(hand(ADAM, UMA)).then_refused_for(E::NotAnOwner);
    shop().when(hand(NEW, UMA)).then_refused_for(E::NotAnOwner);
    shop().when(hand(OLGA, NEW)).then_refused_for(E::MemberNotFound { user_id: NEW });
    shop().when(hand(OLGA, OLGA)).then_already();
    let (verdict, world) = shop().when(hand(OLGA, UMA)).then_accepted();
    assert_eq!(verdict.events.len(), 1);
    let roles = |user: UserId| world.state::<Membership>(user.uuid()).roles().to_vec();
    assert_eq!(roles(OLGA), [RoleRef::ADMIN]);
    assert_eq!(roles(UMA), [RoleRef::OWNER, RoleRef::USER]);
    let roster = world.state::<Roster>(TENANT.uuid());
    assert_eq!((roster.owners, roster.members), (vec![UMA], 3));
}

#[test]
fn ownership_goes_to_an_owner_and_leaves_the_other_roles() {
    let both = [own(CLERK), RoleRef::OWNER];
    let given = shop().having(assign(ADAM, &[RoleRef::OWNER], OWNER)).having(assign(OLGA, &both, OWNER));
    let (_, world) = given.when(TransferOwnership { from: OLGA, to: ADAM }).then_accepted();
    let roster = world.state::<Roster>(TENANT.uuid());
    assert_eq!((roster.owners, roster.roles), (vec![ADAM], world_roles(1)));
    assert_eq!(world.state::<Membership>(OLGA.uuid()).roles(), [own(CLERK)]);
}

fn world_roles(clerks: u32) -> Vec<crate::organisation::RoleUse> {
    let role = |role_id, holders| crate::organisation::RoleUse { role_id, holders };
    vec![role(AUDITOR, 0), role(CLERK, clerks)]
}

#[test]
fn refusals_carry_their_figures() {
    let refusal = Refusal::from(lacks("audit.read-trail"));
    assert_eq!(refusal.details["permission"], "audit.read-trail");
    assert_eq!(Refusal::from(E::SeatsUsedUp { seats: 4 }).details["seats"], "4");
}
