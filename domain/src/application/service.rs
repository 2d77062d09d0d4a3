//! A service of an organisation: a program that lets people sign in, or signs in itself. Which addresses it may send people
//! back to, what it may ask for, and which of its secrets are good.

mod decide;
mod event;

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use uuid::Uuid;

pub use decide::{
    AddSecret, ChangeRedirectUris, LimitService, RegisterService, RemoveSecret, RemoveService, RenameService,
    ResumeService, SuspendService,
};
pub use event::{
    RedirectUrisChanged, SecretAdded, SecretRemoved, ServiceLimited, ServiceRegistered, ServiceRemoved,
    ServiceRenamed, ServiceResumed, ServiceSuspended,
};

use super::ApplicationEvent;
use super::error::ApplicationError;
use crate::aggregate::Aggregate;
use crate::decision::View;
use crate::error::coded;
use crate::event::Event;
use crate::ids::{SecretId, ServiceId};
use crate::metadata::Label;
use crate::stream::{Category, StreamId};
use crate::words::{Scope, Word};

/// The scope in which names of services are unique within an organisation, in lower case.
pub const SERVICE_NAME_SCOPE: &str = "application.service-name";
/// The most addresses that a service sends people back to.
pub const URIS_MAX: usize = 20;
/// The most scopes of a service.
pub const SCOPES_MAX: usize = 100;
/// The most grants of a service.
pub const GRANTS_MAX: usize = 10;
/// The most secrets of a service that are good at once: the one in use and the one that takes its place.
pub const SECRETS_MAX: usize = 2;

/// People sign in and are sent back with a code.
pub const AUTHORIZATION_CODE: &str = "authorization-code";
/// The service signs in itself.
pub const CLIENT_CREDENTIALS: &str = "client-credentials";

/// An address that a service sends people back to: absolute, compared to the letter (RFC 9700 section 2.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RedirectUri(String);

impl RedirectUri {
    /// The longest one, in bytes.
    pub const BYTES_MAX: usize = 2_000;

    /// Takes an address by https, by http to the own machine (RFC 8252 section 7.3), or of a private scheme with a dot
    /// (section 7.1).
    ///
    /// # Errors
    /// [`ApplicationError::UriMalformed`].
    pub fn parse(text: &str) -> Result<Self, ApplicationError> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"#*\\\"<>^`{|}".contains(&byte));
        let Some((scheme, rest)) = text.split_once(':') else { return Err(ApplicationError::UriMalformed) };
        let authority = rest.strip_prefix("//").map(|it| it.split(['/', '?']).next().unwrap_or_default());
        let is_named = |host: &str| !host.is_empty() && !host.contains('@');
        let is_local = |authority: &str| {
            let host = authority
                .strip_prefix("[::1]")
                .or_else(|| ["localhost", "127.0.0.1"].iter().find_map(|it| authority.strip_prefix(it)));
            host.is_some_and(|port| {
                port.is_empty() || port.strip_prefix(':').is_some_and(|it| it.parse::<u16>().is_ok())
            })
        };
        let allowed = match scheme {
            "https" => authority.is_some_and(is_named),
            "http" => authority.is_some_and(is_local),
            private => {
                let word =
                    |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
                private.contains('.') && private.bytes().all(word) && !rest.is_empty()
            }
        };
        if printable && allowed && text.len() <= Self::BYTES_MAX {
            return Ok(Self(text.to_owned()));
        }
        Err(ApplicationError::UriMalformed)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RedirectUri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| de::Error::custom(coded(&error)))
    }
}

impl JsonSchema for RedirectUri {
    fn schema_name() -> Cow<'static, str> {
        "RedirectUri".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::RedirectUri").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z][a-z0-9.-]*:[!-~]+$", "maxLength": 2000 })
    }
}

/// How often a service may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceLimits {
    /// Requests a second, in the long run.
    pub per_second: u32,
    /// Requests at once.
    pub burst: u32,
}

/// What is known of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Service {
    /// Never registered.
    #[default]
    Absent,
    /// May work.
    Active(LiveService),
    /// May not work for the time being.
    Suspended(LiveService),
    /// Gone.
    Removed,
}

/// A service that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LiveService {
    /// Its name for people.
    pub name: Label,
    /// Whether it can keep a secret.
    pub confidential: bool,
    /// Where it sends people back to.
    pub redirect_uris: Vec<RedirectUri>,
    /// What it is granted, such as `authorization-code`.
    pub grants: Vec<Word>,
    /// What it may ask for.
    pub scopes: Vec<Scope>,
    /// How often it may ask, if that was set.
    pub limits: Option<ServiceLimits>,
    /// The secrets that were not removed; some may have expired.
    pub secrets: Vec<SecretId>,
}

/// The stream of a service.
#[must_use]
pub const fn stream(id: ServiceId) -> StreamId {
    StreamId::new(Service::CATEGORY, id.uuid())
}

impl LiveService {
    /// Whether it may ask for all of these.
    ///
    /// # Errors
    /// [`ApplicationError::ScopeNotRegistered`] with the first that it may not ask for.
    pub fn has_scopes(&self, scopes: &[Scope]) -> Result<(), ApplicationError> {
        match scopes.iter().find(|it| !self.scopes.contains(it)) {
            Some(scope) => Err(ApplicationError::ScopeNotRegistered { scope: scope.clone() }),
            None => Ok(()),
        }
    }

    /// Whether people may be sent back there: to the letter.
    #[must_use]
    pub fn sends_to(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|it| it.as_str() == uri)
    }
}

/// The service, whether it may work or not.
///
/// # Errors
/// [`ApplicationError::ServiceNotFound`].
fn known<'a>(view: &View<'a>, id: ServiceId) -> Result<&'a LiveService, ApplicationError> {
    match view.find::<Service>(id.uuid()).map(|seen| seen.state) {
        Some(Service::Active(service) | Service::Suspended(service)) => Ok(service),
        _ => Err(ApplicationError::ServiceNotFound),
    }
}

/// The service, if it may work.
///
/// # Errors
/// [`ApplicationError::ServiceNotFound`], [`ApplicationError::ServiceSuspended`].
pub(crate) fn live<'a>(view: &View<'a>, id: ServiceId) -> Result<&'a LiveService, ApplicationError> {
    match view.find::<Service>(id.uuid()).map(|seen| seen.state) {
        Some(Service::Suspended(_)) => Err(ApplicationError::ServiceSuspended),
        _ => known(view, id),
    }
}

impl Service {
    fn change(&mut self, change: impl FnOnce(&mut LiveService)) {
        match self {
            Self::Active(service) | Self::Suspended(service) => change(service),
            Self::Absent | Self::Removed => {}
        }
    }
}

impl Aggregate for Service {
    const CATEGORY: Category = Category { code: 50, name: "application.service" };

    fn evolve(&mut self, id: Uuid, event: &Event) {
        let Event::Application(event) = event else { return };
        match event {
            ApplicationEvent::ServiceRegistered(it) if it.service_id.uuid() == id => {
                *self = Self::Active(LiveService {
                    name: it.name.clone(),
                    confidential: it.confidential,
                    redirect_uris: it.redirect_uris.clone(),
                    grants: it.grants.clone(),
                    scopes: it.scopes.clone(),
                    limits: it.limits,
                    secrets: vec![],
                });
            }
            ApplicationEvent::ServiceRenamed(it) => self.change(|service| service.name = it.name.clone()),
            ApplicationEvent::RedirectUrisChanged(it) => {
                self.change(|service| service.redirect_uris.clone_from(&it.redirect_uris));
            }
            ApplicationEvent::ServiceLimited(it) => self.change(|service| service.limits = Some(it.limits)),
            ApplicationEvent::SecretAdded(it) => self.change(|service| service.secrets.push(it.secret_id)),
            ApplicationEvent::SecretRemoved(it) => {
                self.change(|service| service.secrets.retain(|known| *known != it.secret_id));
            }
            ApplicationEvent::ServiceSuspended(_) => {
                if let Self::Active(service) = self {
                    *self = Self::Suspended(service.clone());
                }
            }
            ApplicationEvent::ServiceResumed(_) => {
                if let Self::Suspended(service) = self {
                    *self = Self::Active(service.clone());
                }
            }
            ApplicationEvent::ServiceRemoved(_) => *self = Self::Removed,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
