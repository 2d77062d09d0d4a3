//! A tenant of the platform. One stream a tenant, kept by the platform itself (tenant zero).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use uuid::Uuid;

use super::OrganisationEvent;
use crate::aggregate::Aggregate;
use crate::decision::{Claim, Decision, Verdict, View};
use crate::error::{CodeDoc, DomainError, ErrorKind, Refusal, coded};
use crate::event::Event;
use crate::ids::TenantId;
use crate::metadata::Label;
use crate::stream::{Category, StreamId};

/// The scope in which slugs are unique, over all tenants.
pub const SLUG_SCOPE: &str = "organisation.slug";

/// Brings a tenant into being. Repeating it word for word changes nothing.
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
    /// There.
    Active {
        /// Its name in addresses.
        slug: Slug,
        /// Its name for people.
        name: Label,
    },
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
            Some(Tenant::Active { slug, name }) if *slug == self.slug && *name == self.name => {
                return Ok(Verdict::already(primary));
            }
            Some(Tenant::Active { .. }) => return Err(TenantError::Exists.into()),
            Some(Tenant::Absent) | None => {}
        }
        let event = OrganisationEvent::TenantCreated(TenantCreated {
            tenant_id: self.tenant_id,
            slug: self.slug.clone(),
            name: self.name.clone(),
            at: view.now,
        });
        let claim = Claim::Take {
            scope: SLUG_SCOPE.to_owned(),
            value: self.slug.to_string(),
            taken: TenantError::SlugTaken { slug: self.slug.clone() }.into(),
        };
        Ok(Verdict::created(primary, event).with_claims([claim]))
    }
}

impl Aggregate for Tenant {
    const CATEGORY: Category = Category { code: 1, name: "organisation.tenant" };

    fn evolve(&mut self, id: Uuid, event: &Event) {
        if let Event::Organisation(OrganisationEvent::TenantCreated(event)) = event
            && event.tenant_id.uuid() == id
        {
            *self = Self::Active { slug: event.slug.clone(), name: event.name.clone() };
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
