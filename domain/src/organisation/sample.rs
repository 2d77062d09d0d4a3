//! Members and roles for tests.

use uuid::Uuid;

use super::{AddMember, DefineRole, DeleteRole, Granter, RoleRef, RoleTable};
use crate::ids::{RoleId, UserId};
use crate::metadata::Label;
use crate::words::Permission;

pub(crate) const OLGA: UserId = UserId::new(Uuid::from_u128(1));
pub(crate) const ADAM: UserId = UserId::new(Uuid::from_u128(2));
pub(crate) const UMA: UserId = UserId::new(Uuid::from_u128(3));
pub(crate) const CLERK: RoleId = RoleId::new(Uuid::from_u128(0xc1));
pub(crate) const AUDITOR: RoleId = RoleId::new(Uuid::from_u128(0xa1));

/// What built-in roles mean here.
pub(crate) fn table() -> RoleTable {
    let admin = ["ledger.post-transfer", "ledger.read-accounts", "organisation.assign-roles"];
    RoleTable::new([
        ("admin", admin.as_slice().iter().copied()),
        ("manager", ["ledger.post-transfer", "ledger.read-accounts"].as_slice().iter().copied()),
        ("user", ["ledger.read-accounts"].as_slice().iter().copied()),
    ])
}

pub(crate) fn own(id: RoleId) -> RoleRef {
    RoleRef::Custom(id)
}

pub(crate) fn add(user_id: UserId, roles: &[RoleRef], by: Granter) -> AddMember {
    AddMember { user_id, roles: roles.to_vec(), by, table: table() }
}

/// The first owner, whom the platform makes one.
pub(crate) fn owner() -> AddMember {
    add(OLGA, &[RoleRef::OWNER], Granter::Platform)
}

/// An administrator, on the owner's word.
pub(crate) fn admin() -> AddMember {
    add(ADAM, &[RoleRef::ADMIN], Granter::Member(OLGA))
}

/// Somebody with little to say, on the administrator's word.
pub(crate) fn user() -> AddMember {
    add(UMA, &[RoleRef::USER], Granter::Member(ADAM))
}

pub(crate) fn permissions(names: &[&str]) -> Vec<Permission> {
    names.iter().map(|it| Permission::parse(it).unwrap()).collect()
}

pub(crate) fn define(role_id: RoleId, name: &str, names: &[&str], by: Granter) -> DefineRole {
    let name = Label::parse(name).unwrap();
    DefineRole { role_id, name, permissions: permissions(names), by, table: table() }
}

pub(crate) fn delete(role_id: RoleId, by: Granter) -> DeleteRole {
    DeleteRole { role_id, by, table: table() }
}

/// A role that reads accounts.
pub(crate) fn clerk() -> DefineRole {
    define(CLERK, "Clerk", &["ledger.read-accounts"], Granter::Platform)
}

/// A role that only an owner can give.
pub(crate) fn auditor() -> DefineRole {
    define(AUDITOR, "Auditor", &["audit.read-trail"], Granter::Platform)
}
