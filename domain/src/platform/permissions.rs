//! What built-in roles grant, recorded when a build changes it: so that "who could do what then" is answered with what the
//! roles meant then.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::PlatformEvent;
use crate::aggregate::Aggregate;
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::stream::{Category, StreamId};
use crate::words::{Permission, Word};

/// What one role grants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct RoleGrants {
    /// Its name.
    pub role: Word,
    /// What it grants, in order.
    pub permissions: Vec<Permission>,
}

/// Built-in roles grant this from now on. `owner`, which grants everything, is not among them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionsRecorded {
    /// Each role, in the order of their names.
    pub roles: Vec<RoleGrants>,
    /// When.
    pub at: DateTime<Utc>,
}

/// What built-in roles grant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Permissions {
    /// Each role, in the order of their names.
    pub roles: Vec<RoleGrants>,
}

/// The one stream of it, in tenant zero.
#[must_use]
pub const fn stream() -> StreamId {
    StreamId::new(Permissions::CATEGORY, Uuid::nil())
}

/// Records what built-in roles grant in this build. Already so, if that is what was recorded last. Nothing to refuse.
#[derive(Debug, Clone)]
pub struct RecordPermissions {
    /// Each role.
    pub roles: Vec<RoleGrants>,
}

impl Decision for RecordPermissions {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream()]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let mut roles = self.roles.clone();
        for role in &mut roles {
            role.permissions.sort_unstable();
            role.permissions.dedup();
        }
        roles.sort_unstable();
        let known = view.find::<Permissions>(Uuid::nil());
        if known.is_some_and(|seen| seen.version > 0 && seen.state.roles == roles) {
            return Ok(Verdict::already(stream()));
        }
        let event = PermissionsRecorded { roles, at: view.now };
        Ok(Verdict::done(stream(), PlatformEvent::PermissionsRecorded(event)))
    }
}

impl Aggregate for Permissions {
    const CATEGORY: Category = Category { code: 81, name: "platform.permissions" };

    const RESTORABLE: bool = true;

    fn evolve(&mut self, id: Uuid, event: &Event) {
        if let Some(told) = Self::restore(id, event) {
            *self = told;
        }
    }

    fn restore(_id: Uuid, newest: &Event) -> Option<Self> {
        match newest {
            Event::Platform(PlatformEvent::PermissionsRecorded(it)) => Some(Self { roles: it.roles.clone() }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::given_nothing;

    fn record(rows: &[(&'static str, &[&str])]) -> RecordPermissions {
        let roles = rows.iter().map(|(role, names)| RoleGrants {
            role: Word::of(role),
            permissions: names.iter().map(|it| Permission::parse(it).unwrap()).collect(),
        });
        RecordPermissions { roles: roles.collect() }
    }

    #[test]
    fn it_is_recorded_when_it_differs_in_whatever_order_it_is_given() {
        let first = || given_nothing().having(record(&[("user", &["a.b"]), ("admin", &["c.d", "a.b"])]));
        first().when(record(&[("admin", &["a.b", "c.d", "a.b"]), ("user", &["a.b"])])).then_already();
        let (verdict, world) = first().when(record(&[("user", &["a.b"])])).then_accepted();
        let state = world.state::<Permissions>(Uuid::nil());
        assert_eq!(state.roles.len(), 1);
        assert_eq!(Permissions::restore(Uuid::nil(), &verdict.events[0]), Some(state));
        assert_eq!(
            given_nothing().when(record(&[])).then_accepted().0.events.len(),
            1,
            "nothing is said once"
        );
    }
}
