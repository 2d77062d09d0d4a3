//! Whoever borrows an address gets nothing by it, and makes room for whom it is.

use super::*;
use crate::identity::sample::*;
use crate::identity::{AddPasskey, DeactivateUser, ReactivateUser, RequestEmailChange, SetPassword};
use crate::identity::{VerifyEmail, Withdraw};
use crate::ids::FactorId;
use crate::organisation::sample::{ADAM, CLERK, OLGA, add, admin, clerk, own, owner, table};
use crate::organisation::{AssignRoles, Granter, OrganisationError as E};
use crate::spec::{Given, TENANT, given_nothing};

/// Ada's address, with which somebody has registered by a password of theirs.
fn borrowed() -> Given {
    let shop = given_nothing().having(clerk()).having(owner()).having(admin());
    shop.having(register(ADA, 1)).having(password(ADA)).having(add(ADA, &[RoleRef::USER], Granter::Platform))
}

fn password(user_id: UserId) -> SetPassword {
    SetPassword {
        user_id,
        because: Word::of("registered"),
        seen: 0,
        withdraw: Withdraw::Nothing,
        by: user_id.actor(),
    }
}

fn proven() -> VerifyEmail {
    VerifyEmail { user_id: ADA, email_version: 1, via: Word::of("link") }
}

fn displace() -> DisplaceUnproven {
    DisplaceUnproven { user_id: ADA, email_hash: hash(1) }
}

fn assign(roles: &[RoleRef]) -> ToProven {
    let by = Granter::Member(OLGA);
    let inner = AssignRoles { user_id: ADA, roles: roles.to_vec(), by, table: table() };
    ToProven::new(ADA, roles.to_vec(), Box::new(inner))
}

#[test]
fn a_stranger_with_a_borrowed_address_is_given_no_role() {
    borrowed().when(assign(&[RoleRef::MANAGER])).then_refused_for(E::AddressUnproven);
    borrowed().when(assign(&[RoleRef::USER, own(CLERK)])).then_refused_for(E::AddressUnproven);
    borrowed().when(assign(&[RoleRef::USER])).then_already();
    borrowed().having(proven()).when(assign(&[RoleRef::MANAGER])).then_succeeds();
}

#[test]
fn a_stranger_with_a_borrowed_address_sets_no_other_way_in_up() {
    let add = |factor| AddPasskey {
        user_id: ADA,
        factor_id: FactorId::new(Uuid::from_u128(factor)),
        label: None,
        vouched: false,
    };
    let way_in = |factor| AnotherWayIn::new(ADA, Box::new(add(factor)));
    borrowed().when(way_in(1)).then_refused_for(IdentityError::EmailUnverified);
    borrowed().having(proven()).when(way_in(1)).then_succeeds();
    let known = borrowed().having(add(1));
    known.when(way_in(1)).then_refused_for(IdentityError::FactorExists);
    assert_eq!((way_in(1).name(), way_in(1).subjects()), ("AddPasskey", vec![ADA.uuid()]));
}

#[test]
fn whom_an_administrator_added_is_given_roles_before_they_come() {
    let made = || {
        let shop = given_nothing().having(owner()).having(register(ADA, 1));
        shop.having(add(ADA, &[RoleRef::USER], Granter::Member(OLGA)))
    };
    made().when(assign(&[RoleRef::MANAGER])).then_succeeds();
    made().when(displace()).then_already();
}

#[test]
fn what_the_command_refuses_comes_before_the_address() {
    borrowed().when(assign(&[])).then_refused_for(E::RoleCount { count: 0 });
    let lost = given_nothing().having(owner()).when(assign(&[RoleRef::MANAGER]));
    lost.then_refused_for(E::MemberNotFound { user_id: ADA });
}

#[test]
fn whoever_borrowed_an_address_makes_room_for_good() {
    let (_, world) = borrowed().when(displace()).then_accepted();
    assert!(!world.state::<Membership>(ADA.uuid()).is_member());
    assert_eq!(world.state::<Roster>(TENANT.uuid()).members, 2, "the seat is free");
    assert!(world.claimed(EMAIL_SCOPE).is_empty(), "and so is the address");
    let gone = || borrowed().having(displace());
    // The newcomer takes the address, and keeps it whatever becomes of who had it.
    gone().when(register(BOB, 1)).then_succeeds();
    gone().having(register(BOB, 1)).when(displace()).then_already();
    gone().when(proven()).then_refused_for(IdentityError::UserInactive);
    gone().when(ReactivateUser { user_id: ADA }).then_refused_for(IdentityError::UserInactive);
}

#[test]
fn an_erasure_of_the_displaced_leaves_the_address_to_whom_it_is() {
    let given = borrowed().having(displace()).having(register(BOB, 1));
    let erase = crate::identity::ErasePerson {
        user_id: ADA,
        receipt: Uuid::nil(),
        email: (1, hash(1)),
        email_pending: None,
    };
    let (_, world) = given.when(erase).then_accepted();
    assert_eq!(world.claimed(EMAIL_SCOPE).len(), 1);
}

#[test]
fn nobody_else_is_displaced() {
    borrowed().having(proven()).when(displace()).then_already();
    // Roles that they were given before this was looked at stay.
    let manager = given_nothing().having(owner()).having(register(ADA, 1)).having(password(ADA));
    manager.having(add(ADA, &[RoleRef::MANAGER], Granter::Platform)).when(displace()).then_already();
    // Whoever waits for another address goes as well.
    let waiting = RequestEmailChange {
        user_id: ADA,
        email: of(ADA, "other@example.com"),
        email_hash: hash(7),
        expires_at: at(100),
        replaces: None,
    };
    borrowed().having(waiting).when(displace()).then_succeeds();
    given_nothing()
        .having(owner())
        .when(DisplaceUnproven { user_id: ADAM, email_hash: hash(2) })
        .then_already();
    // Deactivated or not: who cannot act has not shown it either.
    let inactive = borrowed().having(DeactivateUser { user_id: ADA, because: Word::of("tested") });
    inactive.when(displace()).then_succeeds();
}
