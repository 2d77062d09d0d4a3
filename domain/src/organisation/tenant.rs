//! A tenant of the platform: the dossier that the platform keeps of an organisation, in its own log (tenant zero). Whether
//! the organisation may work is said once more in the organisation's log (`standing.rs`); a caller changes both in one
//! unit.

mod decide;
mod event;
mod reserved;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use uuid::Uuid;

pub use decide::{
    ApproveTenant, ChangeTier, CloseTenant, ExistingTenant, ReactivateTenant, RejectTenant, RenameTenant,
    RequestTenant, SuspendTenant,
};
pub use event::{
    TenantApproved, TenantClosed, TenantReactivated, TenantRejected, TenantRenamed, TenantRequested,
    TenantSuspended, TenantTierChanged,
};
pub use reserved::SLUGS_RESERVED;

use super::OrganisationEvent;
use crate::aggregate::Aggregate;
use crate::decision::{Claim, Decision, Verdict, View};
use crate::error::{CodeDoc, DomainError, ErrorKind, Refusal, coded};
use crate::event::Event;
use crate::ids::{TenantId, UserId};
use crate::metadata::Label;
use crate::stream::{Category, StreamId};
use crate::words::Word;

/// The scope in which slugs are unique, over all tenants.
pub const SLUG_SCOPE: &str = "organisation.slug";

/// Brings a tenant into being on the operator's own word, without a request: it is approved at once. Repeating it word for
/// word changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTenant {
    /// Its identifier, given by the caller.
    pub tenant_id: TenantId,
    /// Its name in addresses, unique on the platform.
    pub slug: Slug,
    /// Its name for people.
    pub name: Label,
}

/// A tenant came to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TenantCreated {
    /// Its identifier.
    pub tenant_id: TenantId,
    /// Its name in addresses.
    pub slug: Slug,
    /// Its name for people.
    pub name: Label,
    /// When.
    pub at: DateTime<Utc>,
}

/// What is known of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Tenant {
    /// Not there.
    #[default]
    Absent,
    /// Somebody asked for it, and nobody has decided.
    Pending(Dossier),
    /// There.
    Active(Dossier),
    /// There, and not allowed to work for the time being.
    Suspended(Dossier),
    /// Not approved.
    Rejected(Dossier),
    /// Gone.
    Closed(Dossier),
}

/// What the platform keeps of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dossier {
    /// Its name in addresses.
    pub slug: Slug,
    /// Its name for people.
    pub name: Label,
    /// The user, in its own log, who asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub founder: Option<UserId>,
    /// What it has booked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<Word>,
}

impl Tenant {
    /// What is kept of it, however it stands.
    #[must_use]
    pub const fn dossier(&self) -> Option<&Dossier> {
        match self {
            Self::Absent => None,
            Self::Pending(it)
            | Self::Active(it)
            | Self::Suspended(it)
            | Self::Rejected(it)
            | Self::Closed(it) => Some(it),
        }
    }

    fn dossier_mut(&mut self) -> Option<&mut Dossier> {
        match self {
            Self::Absent => None,
            Self::Pending(it)
            | Self::Active(it)
            | Self::Suspended(it)
            | Self::Rejected(it)
            | Self::Closed(it) => Some(it),
        }
    }

    fn becomes(&mut self, state: fn(Dossier) -> Self) {
        if let Some(dossier) = self.dossier().cloned() {
            *self = state(dossier);
        }
    }
}

/// Checked in this order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenantError {
    /// The identifier is in use by another tenant.
    #[error("a tenant with this id exists with another slug or name")]
    Exists,
    /// The slug is in use by another tenant.
    #[error("the slug {slug} is taken")]
    SlugTaken {
        /// Which one.
        slug: Slug,
    },
}

/// The reference of this aggregate's refusals.
pub const CODES: &[CodeDoc] = &[
    CodeDoc::new(
        ErrorKind::Conflict,
        "organisation.tenant-exists",
        "the tenant's identifier is in use with another slug or name",
        "choose another identifier, or repeat the first request word for word",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        "organisation.slug-taken",
        "the slug belongs to another tenant",
        "choose another slug",
    ),
    CodeDoc::new(
        ErrorKind::Invalid,
        "organisation.slug-malformed",
        "a slug cannot be used",
        "use 3 to 40 of a-z and 0-9, with single dashes between them",
    ),
];

/// The stream of a tenant.
#[must_use]
pub const fn stream(id: TenantId) -> StreamId {
    StreamId::new(Tenant::CATEGORY, id.uuid())
}

impl Decision for CreateTenant {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.tenant_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let primary = stream(self.tenant_id);
        match view.find::<Tenant>(self.tenant_id.uuid()).map(|seen| seen.state) {
            Some(Tenant::Active(it)) if it.slug == self.slug && it.name == self.name => {
                return Ok(Verdict::already(primary));
            }
            Some(Tenant::Absent) | None => {}
            Some(_) => return Err(TenantError::Exists.into()),
        }
        let event = OrganisationEvent::TenantCreated(TenantCreated {
            tenant_id: self.tenant_id,
            slug: self.slug.clone(),
            name: self.name.clone(),
            at: view.now,
        });
        Ok(Verdict::created(primary, event).with_claims([take(&self.slug)]))
    }
}

fn take(slug: &Slug) -> Claim {
    let taken = TenantError::SlugTaken { slug: slug.clone() }.into();
    Claim::Take { scope: SLUG_SCOPE.to_owned(), value: slug.to_string(), taken }
}

fn release(slug: &Slug) -> Claim {
    Claim::Release { scope: SLUG_SCOPE.to_owned(), value: slug.to_string() }
}

impl Aggregate for Tenant {
    const CATEGORY: Category = Category { code: 1, name: "organisation.tenant" };

    fn evolve(&mut self, id: Uuid, event: &Event) {
        let Event::Organisation(event) = event else { return };
        match event {
            OrganisationEvent::TenantCreated(it) if it.tenant_id.uuid() == id => {
                let (slug, name) = (it.slug.clone(), it.name.clone());
                *self = Self::Active(Dossier { slug, name, founder: None, tier: None });
            }
            OrganisationEvent::TenantRequested(it) if it.tenant_id.uuid() == id => {
                let (slug, name) = (it.slug.clone(), it.name.clone());
                *self = Self::Pending(Dossier { slug, name, founder: Some(it.founder), tier: None });
            }
            OrganisationEvent::TenantApproved(_) | OrganisationEvent::TenantReactivated(_) => {
                self.becomes(Self::Active);
            }
            OrganisationEvent::TenantRejected(_) => self.becomes(Self::Rejected),
            OrganisationEvent::TenantSuspended(_) => self.becomes(Self::Suspended),
            OrganisationEvent::TenantClosed(_) => self.becomes(Self::Closed),
            OrganisationEvent::TenantRenamed(it) => {
                if let Some(dossier) = self.dossier_mut() {
                    dossier.name = it.name.clone();
                }
            }
            OrganisationEvent::TenantTierChanged(it) => {
                if let Some(dossier) = self.dossier_mut() {
                    dossier.tier = Some(it.tier.clone());
                }
            }
            _ => {}
        }
    }
}

impl DomainError for TenantError {
    fn code(&self) -> &'static str {
        match self {
            Self::Exists => "organisation.tenant-exists",
            Self::SlugTaken { .. } => "organisation.slug-taken",
        }
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Conflict
    }
}

/// The codes that can stand in brackets at the head of a serde error, and their kinds.
pub const PARSE_CODES: &[(&str, ErrorKind)] = &[("organisation.slug-malformed", ErrorKind::Invalid)];

/// A tenant's name in addresses: 3 to 40 of a-z, 0-9 and single dashes between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Slug(String);

/// The text is not a [`Slug`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a slug has 3 to 40 of a-z and 0-9, with single dashes between them")]
pub struct SlugMalformed;

impl DomainError for SlugMalformed {
    fn code(&self) -> &'static str {
        "organisation.slug-malformed"
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl Slug {
    /// Takes the text as it is.
    ///
    /// # Errors
    /// [`SlugMalformed`].
    pub fn parse(text: &str) -> Result<Self, SlugMalformed> {
        let word = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if (3..=40).contains(&text.len()) && text.split('-').all(word) {
            return Ok(Self(text.to_owned()));
        }
        Err(SlugMalformed)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Slug {
    type Err = SlugMalformed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| de::Error::custom(coded(&error)))
    }
}

impl JsonSchema for Slug {
    fn schema_name() -> Cow<'static, str> {
        "Slug".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::Slug").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z0-9](-?[a-z0-9])*$", "minLength": 3, "maxLength": 40 })
    }
}

#[cfg(test)]
mod tests;
