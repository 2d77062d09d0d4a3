//! A role that an organisation made itself: a name and a set of permissions. Nobody puts more into one than they hold.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::OrganisationEvent;
use super::error::OrganisationError;
use super::grants::{Granted, RoleRef, RoleTable};
use super::membership::Granter;
use super::roster::{self, ROLES_MAX, Roster};
use crate::aggregate::Aggregate;
use crate::decision::{Claim, Decision, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::ids::{RoleId, TenantId};
use crate::metadata::Label;
use crate::stream::{Category, StreamId};
use crate::words::Permission;

/// The scope in which names of roles are unique within an organisation, in lower case.
pub const ROLE_NAME_SCOPE: &str = "organisation.role-name";

/// The built-in roles: an organisation's own have other names, so that nobody takes one for the other.
const BUILT_IN: [&str; 4] = ["owner", "admin", "manager", "user"];

/// The most permissions of a role.
pub const PERMISSIONS_MAX: usize = 200;

/// A role came to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoleDefined {
    /// In which organisation.
    pub tenant_id: TenantId,
    /// Which.
    pub role_id: RoleId,
    /// Its name for people.
    pub name: Label,
    /// What it grants, in the order of their names.
    pub permissions: Vec<Permission>,
    /// The organisation's members and roles after it.
    pub roster: Roster,
    /// When.
    pub at: DateTime<Utc>,
}

/// A role has another name or grants something else, at once and for all who have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoleRedefined {
    /// Which.
    pub role_id: RoleId,
    /// Its name for people.
    pub name: Label,
    /// What it granted before.
    pub before: Vec<Permission>,
    /// What it grants, in the order of their names.
    pub permissions: Vec<Permission>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A role that nobody had is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoleDeleted {
    /// In which organisation.
    pub tenant_id: TenantId,
    /// Which.
    pub role_id: RoleId,
    /// The organisation's members and roles after it.
    pub roster: Roster,
    /// When.
    pub at: DateTime<Utc>,
}

/// What is known of a role.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Role {
    /// Never defined.
    #[default]
    Absent,
    /// There.
    Defined {
        /// Its name for people.
        name: Label,
        /// What it grants, in the order of their names.
        permissions: Vec<Permission>,
    },
    /// Gone.
    Deleted,
}

/// The stream of a role.
#[must_use]
pub const fn stream(id: RoleId) -> StreamId {
    StreamId::new(Role::CATEGORY, id.uuid())
}

impl Role {
    /// What it grants.
    #[must_use]
    pub fn permissions(&self) -> &[Permission] {
        match self {
            Self::Defined { permissions, .. } => permissions,
            Self::Absent | Self::Deleted => &[],
        }
    }

    /// Whether it can be given to somebody.
    #[must_use]
    pub const fn is_defined(&self) -> bool {
        matches!(self, Self::Defined { .. })
    }
}

fn name_value(name: &Label) -> String {
    name.as_str().to_lowercase()
}

fn take(name: &Label) -> Claim {
    let taken = OrganisationError::RoleNameTaken { name: name.to_string() }.into();
    Claim::Take { scope: ROLE_NAME_SCOPE.to_owned(), value: name_value(name), taken }
}

/// Whether the name is free of what every organisation has.
fn own_name(name: &Label) -> Result<(), OrganisationError> {
    if BUILT_IN.contains(&name_value(name).as_str()) {
        return Err(OrganisationError::RoleNameTaken { name: name.to_string() });
    }
    Ok(())
}

fn release(name: &Label) -> Claim {
    Claim::Release { scope: ROLE_NAME_SCOPE.to_owned(), value: name_value(name) }
}

/// The permissions in order, each once, if there are some, not too many, and none that the granter lacks.
fn checked(
    permissions: &[Permission],
    by: &Granter,
    table: &RoleTable,
    view: &View<'_>,
) -> Result<Vec<Permission>, OrganisationError> {
    let mut sorted = permissions.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.is_empty() || sorted.len() > PERMISSIONS_MAX {
        return Err(OrganisationError::PermissionCount { count: sorted.len() });
    }
    let wanted = Granted::only(sorted.iter().map(ToString::to_string));
    match by.holds(view, table).first_lacking(&wanted) {
        Some(permission) => Err(OrganisationError::GrantsTooMuch { permission }),
        None => Ok(sorted),
    }
}

/// Makes a role.
///
/// Refused with [`OrganisationError::PermissionCount`], [`OrganisationError::GrantsTooMuch`],
/// [`OrganisationError::RoleExists`], [`OrganisationError::TooManyRoles`], [`OrganisationError::RoleNameTaken`].
#[derive(Debug, Clone)]
pub struct DefineRole {
    /// Its identifier, given by the caller.
    pub role_id: RoleId,
    /// Its name for people.
    pub name: Label,
    /// What it grants.
    pub permissions: Vec<Permission>,
    /// Who makes it.
    pub by: Granter,
    /// What built-in roles mean.
    pub table: RoleTable,
}

impl Decision for DefineRole {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let own = [stream(self.role_id), roster::stream(view.tenant)];
        own.into_iter().chain(self.by.needs(view)).collect()
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let permissions = checked(&self.permissions, &self.by, &self.table, view)?;
        let known = view.find::<Role>(self.role_id.uuid()).map(|seen| seen.state);
        if known.is_some_and(|role| *role != Role::Absent) {
            return Err(OrganisationError::RoleExists.into());
        }
        own_name(&self.name)?;
        let before = Roster::of(view);
        if before.roles.len() >= ROLES_MAX {
            return Err(OrganisationError::TooManyRoles { max: ROLES_MAX }.into());
        }
        let event = OrganisationEvent::RoleDefined(RoleDefined {
            tenant_id: view.tenant,
            role_id: self.role_id,
            name: self.name.clone(),
            permissions,
            roster: before.with_role(self.role_id),
            at: view.now,
        });
        Ok(Verdict::created(stream(self.role_id), event).with_claims([take(&self.name)]))
    }
}

/// Gives a role another name or other permissions. Already so, if it has them. Whoever changes a role holds what it
/// grants before and what it grants afterwards.
///
/// Refused with [`OrganisationError::RoleNotFound`], [`OrganisationError::PermissionCount`],
/// [`OrganisationError::GrantsTooMuch`], [`OrganisationError::RoleNameTaken`].
#[derive(Debug, Clone)]
pub struct RedefineRole {
    /// Which.
    pub role_id: RoleId,
    /// Its name for people.
    pub name: Label,
    /// What it grants.
    pub permissions: Vec<Permission>,
    /// Who does it.
    pub by: Granter,
    /// What built-in roles mean.
    pub table: RoleTable,
}

impl Decision for RedefineRole {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        std::iter::once(stream(self.role_id)).chain(self.by.needs(view)).collect()
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let known = view.find::<Role>(self.role_id.uuid()).map(|seen| seen.state);
        let Some(Role::Defined { name, permissions: before }) = known else {
            return Err(OrganisationError::RoleNotFound { role_id: self.role_id }.into());
        };
        let permissions = checked(&self.permissions, &self.by, &self.table, view)?;
        self.by.grants(&[RoleRef::Custom(self.role_id)], view, &self.table)?;
        if *name == self.name && *before == permissions {
            return Ok(Verdict::already(stream(self.role_id)));
        }
        let event = OrganisationEvent::RoleRedefined(RoleRedefined {
            role_id: self.role_id,
            name: self.name.clone(),
            before: before.clone(),
            permissions,
            at: view.now,
        });
        let renamed = name_value(name) != name_value(&self.name);
        if renamed {
            own_name(&self.name)?;
        }
        let claims = renamed.then(|| [release(name), take(&self.name)]).into_iter().flatten();
        Ok(Verdict::done(stream(self.role_id), event).with_claims(claims))
    }
}

/// Deletes a role that nobody has and no open invitation names. Already so, if it is gone. Whoever deletes a role holds
/// what it grants, as for every other change of it.
///
/// Refused with [`OrganisationError::RoleNotFound`], [`OrganisationError::GrantsTooMuch`],
/// [`OrganisationError::RoleInUse`].
#[derive(Debug, Clone)]
pub struct DeleteRole {
    /// Which.
    pub role_id: RoleId,
    /// Who does it.
    pub by: Granter,
    /// What built-in roles mean.
    pub table: RoleTable,
}

impl Decision for DeleteRole {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let own = [stream(self.role_id), roster::stream(view.tenant)];
        own.into_iter().chain(self.by.needs(view)).collect()
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let name = match view.find::<Role>(self.role_id.uuid()).map(|seen| seen.state) {
            Some(Role::Defined { name, .. }) => name,
            Some(Role::Deleted) => return Ok(Verdict::already(stream(self.role_id))),
            Some(Role::Absent) | None => {
                return Err(OrganisationError::RoleNotFound { role_id: self.role_id }.into());
            }
        };
        self.by.grants(&[RoleRef::Custom(self.role_id)], view, &self.table)?;
        let before = Roster::of(view);
        let holders = before.holders(self.role_id);
        if holders > 0 {
            return Err(OrganisationError::RoleInUse { holders }.into());
        }
        let roster = before.without_role(self.role_id);
        let event = OrganisationEvent::RoleDeleted(RoleDeleted {
            tenant_id: view.tenant,
            role_id: self.role_id,
            roster,
            at: view.now,
        });
        Ok(Verdict::done(stream(self.role_id), event).with_claims([release(name)]))
    }
}

impl Aggregate for Role {
    const CATEGORY: Category = Category { code: 41, name: "organisation.role" };

    // Each of its events says all of it.
    const RESTORABLE: bool = true;

    fn evolve(&mut self, id: Uuid, event: &Event) {
        if let Some(told) = Self::restore(id, event) {
            *self = told;
        }
    }

    fn restore(id: Uuid, newest: &Event) -> Option<Self> {
        let defined = |role_id: RoleId, name: &Label, permissions: &[Permission]| {
            (role_id.uuid() == id)
                .then(|| Self::Defined { name: name.clone(), permissions: permissions.to_vec() })
        };
        let Event::Organisation(newest) = newest else { return None };
        match newest {
            OrganisationEvent::RoleDefined(it) => defined(it.role_id, &it.name, &it.permissions),
            OrganisationEvent::RoleRedefined(it) => defined(it.role_id, &it.name, &it.permissions),
            OrganisationEvent::RoleDeleted(it) => (it.role_id.uuid() == id).then_some(Self::Deleted),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
