//! What roles grant, alone and together, and that both ways of asking agree.

use proptest::prelude::*;

use super::super::sample::{AUDITOR, CLERK, own, permissions, table};
use super::*;
use crate::metadata::Label;

fn defined(names: &[&str]) -> Role {
    Role::Defined { name: Label::parse("R").unwrap(), permissions: permissions(names) }
}

fn all_of(roles: &[RoleRef]) -> Granted {
    let clerk = defined(&["ledger.read-accounts", "orders.pack-parcel"]);
    granted(roles, &table(), |id| (id == CLERK).then_some(&clerk))
}

#[test]
fn an_owner_may_everything_also_what_no_build_knows() {
    let owner = all_of(&[RoleRef::OWNER]);
    assert!(owner.allows("ledger.post-transfer") && owner.allows("tomorrow.do-thing"));
    assert_eq!(granted(&[RoleRef::OWNER], &RoleTable::default(), |_| None), Granted::All);
}

#[test]
fn roles_add_up() {
    assert_eq!(all_of(&[]), Granted::nothing());
    let user = all_of(&[RoleRef::USER, own(CLERK)]);
    assert_eq!(user, Granted::only(["ledger.read-accounts", "orders.pack-parcel"]));
    assert_eq!(all_of(&[RoleRef::USER, RoleRef::OWNER]), Granted::All);
}

#[test]
fn a_role_that_is_not_there_or_is_gone_grants_nothing() {
    assert_eq!(all_of(&[own(AUDITOR)]), Granted::nothing());
    assert_eq!(all_of(&[RoleRef::BuiltIn(Word::of("emperor"))]), Granted::nothing());
    let gone = Role::Deleted;
    assert_eq!(granted(&[own(CLERK)], &table(), |_| Some(&gone)), Granted::nothing());
}

#[test]
fn what_is_lacking_is_named() {
    let user = all_of(&[RoleRef::USER]);
    assert_eq!(user.first_lacking(&Granted::All), Some("*".to_owned()), "nobody but everybody covers all");
    assert_eq!(user.first_lacking(&Granted::only(["a.b", "z.y"])), Some("a.b".to_owned()));
    assert_eq!(user.first_lacking(&user), None);
    assert_eq!(Granted::All.first_lacking(&Granted::All), None);
}

#[test]
fn what_both_have_is_no_more_than_either() {
    let [one, other] = [Granted::only(["a.b", "c.d"]), Granted::only(["c.d", "e.f"])];
    assert_eq!(one.clone().within(&other), Granted::only(["c.d"]));
    assert_eq!(one.clone().within(&Granted::All), one);
    assert_eq!(Granted::All.within(&one), one);
    assert_eq!(Granted::All.within(&Granted::All), Granted::All);
}

#[test]
fn a_role_is_written_as_one_text() {
    for (role, text) in [(RoleRef::ADMIN, "\"admin\"".to_owned()), (own(CLERK), format!("\"{CLERK}\""))] {
        assert_eq!(serde_json::to_string(&role).unwrap(), text);
        assert_eq!(serde_json::from_str::<RoleRef>(&text).unwrap(), role);
    }
    for text in ["", "Admin", "a b", "0190a5c4"] {
        assert!(RoleRef::parse(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn one_question_is_answered_as_the_whole_answer_says(
        roles in proptest::sample::subsequence(
            vec![RoleRef::OWNER, RoleRef::ADMIN, RoleRef::MANAGER, RoleRef::USER, own(CLERK), own(AUDITOR)],
            0..=6,
        ),
        permission in proptest::sample::select(vec![
            "ledger.post-transfer", "ledger.read-accounts", "organisation.assign-roles", "orders.pack-parcel",
            "audit.read-trail",
        ]),
    ) {
        let clerk = defined(&["orders.pack-parcel"]);
        let (find, table) = (|id| (id == CLERK).then_some(&clerk), table());
        let whole = granted(&roles, &table, find);
        prop_assert_eq!(allows(&roles, permission, &table, find), whole.allows(permission));
    }
}
