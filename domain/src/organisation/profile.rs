//! What an organisation is called by people, as its own log tells it: so that its owners see who renamed it, and from which
//! name to which. What it is called is in the dossier that the platform keeps (`tenant.rs`); both change in one unit.
//!
//! The stream begins with the first change of the name. Until then an organisation is called as it was founded.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::OrganisationEvent;
use crate::aggregate::Aggregate;
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::ids::TenantId;
use crate::metadata::Label;
use crate::stream::{Category, StreamId};

/// An organisation has another name for people, as its own log tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileRenamed {
    /// Which organisation.
    pub tenant_id: TenantId,
    /// What it was called.
    pub before: Label,
    /// What it is called.
    pub name: Label,
    /// When.
    pub at: DateTime<Utc>,
}

/// What an organisation is called by people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// Its name, once it was renamed.
    pub name: Option<Label>,
    /// What it was called until then: the trail, which compares states, tells the name of the foundation by it.
    pub before: Option<Label>,
}

/// The stream of what an organisation is called, in its own log.
#[must_use]
pub const fn stream(tenant: TenantId) -> StreamId {
    StreamId::new(Profile::CATEGORY, tenant.uuid())
}

/// Tells the organisation in whose log it is of another name for people. Already so, if it has it.
///
/// Whether it may be renamed is judged on the dossier, in the same unit.
#[derive(Debug, Clone)]
pub struct RenameOrganisation {
    /// What it is called in the dossier. Its own log counts before it, where somebody renamed it meanwhile.
    pub before: Label,
    /// What it will be called.
    pub name: Label,
}

impl Decision for RenameOrganisation {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![stream(view.tenant)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let primary = stream(view.tenant);
        let told = view.find::<Profile>(view.tenant.uuid()).and_then(|seen| seen.state.name.as_ref());
        let before = told.unwrap_or(&self.before);
        if *before == self.name {
            return Ok(Verdict::already(primary));
        }
        let event = OrganisationEvent::ProfileRenamed(ProfileRenamed {
            tenant_id: view.tenant,
            before: before.clone(),
            name: self.name.clone(),
            at: view.now,
        });
        Ok(Verdict::done(primary, event))
    }
}

impl Aggregate for Profile {
    const CATEGORY: Category = Category { code: 5, name: "organisation.profile" };

    const RESTORABLE: bool = true;

    fn evolve(&mut self, id: Uuid, event: &Event) {
        if let Some(told) = Self::restore(id, event) {
            *self = told;
        }
    }

    fn restore(id: Uuid, newest: &Event) -> Option<Self> {
        let Event::Organisation(OrganisationEvent::ProfileRenamed(it)) = newest else { return None };
        (it.tenant_id.uuid() == id)
            .then(|| Self { name: Some(it.name.clone()), before: Some(it.before.clone()) })
    }
}

#[cfg(test)]
mod tests;
