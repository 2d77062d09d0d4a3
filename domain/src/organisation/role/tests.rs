//! Roles are made of what their maker holds, have a name of their own, and go when nobody has them.

use super::super::sample::*;
use super::*;
use crate::ids::UserId;
use crate::organisation::{OrganisationError as E, RoleRef};
use crate::spec::{Given, TENANT, given_nothing};

fn shop() -> Given {
    given_nothing().having(owner()).having(admin())
}

const ADMIN: Granter = Granter::Member(ADAM);

fn read(name: &str, by: Granter) -> DefineRole {
    define(CLERK, name, &["ledger.read-accounts"], by)
}

fn redefine(name: &str, names: &[&str], by: Granter) -> RedefineRole {
    let DefineRole { role_id, name, permissions, by, table } = define(CLERK, name, names, by);
    RedefineRole { role_id, name, permissions, by, table }
}

fn lacks(permission: &str) -> E {
    E::GrantsTooMuch { permission: permission.to_owned() }
}

#[test]
fn a_role_has_permissions_in_order_each_once() {
    let names = ["ledger.read-accounts", "ledger.post-transfer", "ledger.read-accounts"];
    let (_, world) = shop().when(define(CLERK, "Clerk", &names, ADMIN)).then_accepted();
    let expected = permissions(&["ledger.post-transfer", "ledger.read-accounts"]);
    assert_eq!(world.state::<Role>(CLERK.uuid()).permissions(), expected);
    assert_eq!(world.state::<Roster>(TENANT.uuid()).roles, [roster::RoleUse { role_id: CLERK, holders: 0 }]);
}

#[test]
fn a_role_grants_something_and_not_too_much() {
    shop().when(define(CLERK, "Clerk", &[], ADMIN)).then_refused_for(E::PermissionCount { count: 0 });
    let many: Vec<_> =
        ('a'..='z').flat_map(|one| ('a'..='z').map(move |two| format!("x.{one}{two}"))).collect();
    let many: Vec<_> = many.iter().take(201).map(String::as_str).collect();
    shop().when(define(CLERK, "Clerk", &many, ADMIN)).then_refused_for(E::PermissionCount { count: 201 });
}

#[test]
fn nobody_makes_a_role_of_what_they_lack() {
    let audit = |by| define(CLERK, "Clerk", &["audit.read-trail", "ledger.read-accounts"], by);
    shop().when(audit(ADMIN)).then_refused_for(lacks("audit.read-trail"));
    shop().when(audit(Granter::Member(UserId::new(Uuid::nil())))).then_refused_for(lacks("audit.read-trail"));
    shop().when(audit(Granter::Member(OLGA))).then_succeeds();
}

#[test]
fn identifiers_and_names_are_used_once() {
    let made = || shop().having(read("Clerk", ADMIN));
    made().when(read("Other", ADMIN)).then_refused_for(E::RoleExists);
    let other = define(AUDITOR, "CLERK", &["ledger.read-accounts"], ADMIN);
    made().when(other.clone()).then_refused_for(E::RoleNameTaken { name: "CLERK".to_owned() });
    let gone = || made().having(delete(CLERK, ADMIN));
    gone().when(read("Clerk", ADMIN)).then_refused_for(E::RoleExists);
    gone().when(other).then_succeeds();
}

#[test]
fn nobody_calls_a_role_as_a_built_in_one_is_called() {
    for name in ["owner", "Admin", "MANAGER", "user"] {
        let taken = || E::RoleNameTaken { name: name.to_owned() };
        shop().when(read(name, ADMIN)).then_refused_for(taken());
        let made = shop().having(read("Clerk", ADMIN));
        made.when(redefine(name, &["ledger.read-accounts"], ADMIN)).then_refused_for(taken());
    }
    shop().when(read("Owners", ADMIN)).then_succeeds();
}

#[test]
fn there_are_a_hundred_roles_at_most() {
    let mut given = shop();
    for number in 0..100 {
        let id = RoleId::new(Uuid::from_u128(1_000 + number));
        given = given.having(define(id, &number.to_string(), &["ledger.read-accounts"], ADMIN));
    }
    given.when(read("Clerk", ADMIN)).then_refused_for(E::TooManyRoles { max: 100 });
}

#[test]
fn a_role_is_redefined_for_all_who_have_it() {
    let made = || shop().having(read("Clerk", ADMIN));
    shop().when(redefine("Clerk", &["a.b"], ADMIN)).then_refused_for(E::RoleNotFound { role_id: CLERK });
    made().when(redefine("Clerk", &["audit.read-trail"], ADMIN)).then_refused_for(lacks("audit.read-trail"));
    made().when(redefine("Clerk", &["ledger.read-accounts"], ADMIN)).then_already();
    let (_, world) = made().when(redefine("clerk", &["ledger.post-transfer"], ADMIN)).then_accepted();
    assert_eq!(world.claimed(ROLE_NAME_SCOPE), ["clerk"], "the same name in other letters stays taken");
    let (_, world) = made().when(redefine("Desk", &["ledger.post-transfer"], ADMIN)).then_accepted();
    assert_eq!(world.claimed(ROLE_NAME_SCOPE), ["desk"]);
    let taken = made().having(define(AUDITOR, "Desk", &["ledger.read-accounts"], ADMIN));
    taken
        .when(redefine("Desk", &["a.b"], Granter::Platform))
        .then_refused_for(E::RoleNameTaken { name: "Desk".to_owned() });
}

#[test]
fn nobody_changes_a_role_that_grants_more_than_they_hold() {
    let given = shop().having(define(CLERK, "Clerk", &["audit.read-trail"], Granter::Member(OLGA)));
    given
        .when(redefine("Clerk", &["ledger.read-accounts"], ADMIN))
        .then_refused_for(lacks("audit.read-trail"));
}

#[test]
fn nobody_deletes_a_role_that_grants_more_than_they_hold() {
    let made = |names: &[&str]| shop().having(define(CLERK, "Clerk", names, Granter::Member(OLGA)));
    let audit = || made(&["audit.read-trail", "ledger.read-accounts"]);
    audit().when(delete(CLERK, ADMIN)).then_refused_for(lacks("audit.read-trail"));
    audit().when(delete(CLERK, Granter::Member(OLGA))).then_succeeds();
    audit().when(delete(CLERK, Granter::Platform)).then_succeeds();
    // What it grants at that moment counts, and what whoever deletes it holds.
    let grown = made(&["ledger.read-accounts"]).having(redefine(
        "Clerk",
        &["audit.read-trail"],
        Granter::Member(OLGA),
    ));
    grown.when(delete(CLERK, ADMIN)).then_refused_for(lacks("audit.read-trail"));
    let uma = Granter::Member(UMA);
    let stranger = || made(&["ledger.read-accounts"]);
    stranger().when(delete(CLERK, uma)).then_refused_for(lacks("ledger.read-accounts"));
    stranger().having(user()).when(delete(CLERK, uma)).then_succeeds();
    // Whether somebody has it is told to those alone who could take it away.
    let held = audit().having(add(UMA, &[RoleRef::Custom(CLERK)], Granter::Member(OLGA)));
    held.when(delete(CLERK, ADMIN)).then_refused_for(lacks("audit.read-trail"));
}

#[test]
fn a_role_in_use_stays() {
    let delete = || delete(CLERK, ADMIN);
    shop().when(delete()).then_refused_for(E::RoleNotFound { role_id: CLERK });
    let held = shop().having(read("Clerk", ADMIN)).having(add(UMA, &[RoleRef::Custom(CLERK)], ADMIN));
    held.when(delete()).then_refused_for(E::RoleInUse { holders: 1 });
    let free = || shop().having(read("Clerk", ADMIN));
    let (_, world) = free().when(delete()).then_accepted();
    assert_eq!(world.state::<Roster>(TENANT.uuid()).roles, []);
    assert_eq!(world.claimed(ROLE_NAME_SCOPE), Vec::<String>::new());
    free().having(delete()).when(delete()).then_already();
}
