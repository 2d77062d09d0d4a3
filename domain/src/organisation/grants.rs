//! What roles grant: the one function that answers who may do what, for a command, for a request and for any moment of
//! the past.
//!
//! What a built-in role means is the build's to say and comes from outside as a [`RoleTable`]; a role that an
//! organisation made itself carries its permissions. `owner` is not a list of names but everything, so a permission that
//! is born tomorrow needs no change of any role.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use super::role::Role;
use crate::decision::View;
use crate::error::coded;
use crate::ids::RoleId;
use crate::words::{Word, WordError};

/// A role that somebody has: a built-in one by its name, or one of the organisation's own by its identifier. Written as
/// one text, `admin` or the identifier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleRef {
    /// One that every organisation has.
    BuiltIn(Word),
    /// One that the organisation made.
    Custom(RoleId),
}

impl RoleRef {
    /// Everything.
    pub const OWNER: Self = Self::BuiltIn(Word::of("owner"));
    /// Everything but closing the organisation and making owners.
    pub const ADMIN: Self = Self::BuiltIn(Word::of("admin"));
    /// The daily business.
    pub const MANAGER: Self = Self::BuiltIn(Word::of("manager"));
    /// Looking at the ledger, and the own account.
    pub const USER: Self = Self::BuiltIn(Word::of("user"));

    /// Takes the name of a built-in role, or an identifier.
    ///
    /// # Errors
    /// [`WordError::Word`], if it is neither.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        if let Ok(id) = Uuid::parse_str(text) {
            return Ok(Self::Custom(RoleId::new(id)));
        }
        Word::parse(text).map(Self::BuiltIn)
    }

    /// The identifier, if it is one of the organisation's own.
    #[must_use]
    pub const fn custom(&self) -> Option<RoleId> {
        match self {
            Self::BuiltIn(_) => None,
            Self::Custom(id) => Some(*id),
        }
    }
}

impl fmt::Display for RoleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(name) => name.fmt(f),
            Self::Custom(id) => id.fmt(f),
        }
    }
}

impl FromStr for RoleRef {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for RoleRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RoleRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| de::Error::custom(coded(&error)))
    }
}

impl JsonSchema for RoleRef {
    fn schema_name() -> Cow<'static, str> {
        "RoleRef".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::RoleRef").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9-]*$", "maxLength": 40 })
    }
}

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Granted {
    /// Everything, also what no build knows yet.
    All,
    /// These permissions.
    Only(BTreeSet<Cow<'static, str>>),
}

impl Granted {
    /// Nothing.
    #[must_use]
    pub const fn nothing() -> Self {
        Self::Only(BTreeSet::new())
    }

    /// These permissions.
    #[must_use]
    pub fn only(permissions: impl IntoIterator<Item = impl Into<Cow<'static, str>>>) -> Self {
        Self::Only(permissions.into_iter().map(Into::into).collect())
    }

    /// Whether it has a permission.
    #[must_use]
    pub fn allows(&self, permission: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(permission),
        }
    }

    /// The first permission of `other` that this one lacks: `None` means that it covers all of it. What is everything
    /// lacks a name, so it is shown as `*`.
    #[must_use]
    pub fn first_lacking(&self, other: &Self) -> Option<String> {
        match (self, other) {
            (Self::All, _) => None,
            (Self::Only(_), Self::All) => Some("*".to_owned()),
            (Self::Only(own), Self::Only(names)) => {
                names.iter().find(|it| !own.contains(*it)).map(ToString::to_string)
            }
        }
    }

    /// What both have.
    #[must_use]
    pub fn within(self, other: &Self) -> Self {
        match (self, other) {
            (own, Self::All) => own,
            (Self::All, Self::Only(names)) => Self::Only(names.clone()),
            (Self::Only(mut own), Self::Only(names)) => {
                own.retain(|it| names.contains(it));
                Self::Only(own)
            }
        }
    }

    /// This and `other`.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::Only(mut own), Self::Only(names)) => {
                own.extend(names);
                Self::Only(own)
            }
        }
    }
}

/// What the built-in roles mean, in one build or at one moment of the past. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleTable(Arc<BTreeMap<String, BTreeSet<Cow<'static, str>>>>);

impl RoleTable {
    /// A table of the names of roles and of what each grants. `owner` needs no row: it is everything.
    #[must_use]
    pub fn new<P>(rows: impl IntoIterator<Item = (impl Into<String>, P)>) -> Self
    where
        P: IntoIterator<Item: Into<Cow<'static, str>>>,
    {
        let rows = rows
            .into_iter()
            .map(|(role, permissions)| (role.into(), permissions.into_iter().map(Into::into).collect()));
        Self(Arc::new(rows.collect()))
    }

    /// The roles that have a row, with what they grant, in the order of their names.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &BTreeSet<Cow<'static, str>>)> {
        self.0.iter().map(|(role, permissions)| (role.as_str(), permissions))
    }

    /// Whether there is such a built-in role.
    #[must_use]
    pub fn knows(&self, name: &Word) -> bool {
        is_owner(name) || self.0.contains_key(name.as_str())
    }
}

fn is_owner(name: &Word) -> bool {
    name.as_str() == "owner"
}

/// What one role grants. `custom` finds the organisation's own roles; one that is not there, or not any more, grants
/// nothing.
fn one<'a>(role: &RoleRef, table: &'a RoleTable, custom: impl Fn(RoleId) -> Option<&'a Role>) -> Grant<'a> {
    match role {
        RoleRef::BuiltIn(name) if is_owner(name) => Grant::All,
        RoleRef::BuiltIn(name) => table.0.get(name.as_str()).map_or(Grant::Nothing, Grant::BuiltIn),
        RoleRef::Custom(id) => custom(*id).map_or(Grant::Nothing, Grant::Custom),
    }
}

/// What one role grants, without a copy of it.
enum Grant<'a> {
    Nothing,
    All,
    BuiltIn(&'a BTreeSet<Cow<'static, str>>),
    Custom(&'a Role),
}

/// Whether roles grant a permission: [`granted`] for one question, without building the whole answer.
#[must_use]
pub fn allows<'a>(
    roles: &[RoleRef],
    permission: &str,
    table: &'a RoleTable,
    custom: impl Fn(RoleId) -> Option<&'a Role>,
) -> bool {
    roles.iter().any(|role| match one(role, table, &custom) {
        Grant::Nothing => false,
        Grant::All => true,
        Grant::BuiltIn(names) => names.contains(permission),
        Grant::Custom(role) => role.permissions().iter().any(|it| it.as_str() == permission),
    })
}

/// All that roles grant together.
#[must_use]
pub fn granted<'a>(
    roles: &[RoleRef],
    table: &'a RoleTable,
    custom: impl Fn(RoleId) -> Option<&'a Role>,
) -> Granted {
    roles.iter().fold(Granted::nothing(), |all, role| {
        all.and(match one(role, table, &custom) {
            Grant::Nothing => Granted::nothing(),
            Grant::All => Granted::All,
            Grant::BuiltIn(names) => Granted::Only(names.clone()),
            Grant::Custom(role) => Granted::only(role.permissions().iter().map(ToString::to_string)),
        })
    })
}

/// Finds the organisation's own roles among the states of a decision.
pub(crate) fn seen<'a>(view: &View<'a>) -> impl Fn(RoleId) -> Option<&'a Role> {
    let view = *view;
    move |id| view.find::<Role>(id.uuid()).map(|seen| seen.state)
}

#[cfg(test)]
mod tests;
