//! A service of an organisation: a program that lets people sign in, or signs in itself. Which addresses it may send people
//! back to, what it may ask for, and which of its secrets are good.

mod change;
mod decide;
mod event;

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use uuid::Uuid;

pub use change::ChangeService;
pub use decide::{
    AddSecret, LimitService, RegisterService, RemoveSecret, RemoveService, ResumeService, SuspendService,
    UnlimitService,
};
pub use event::{
    GrantsChanged, RedirectUrisChanged, ScopesChanged, SecretAdded, SecretRemoved, ServiceLimited,
    ServiceRegistered, ServiceRemoved, ServiceRenamed, ServiceResumed, ServiceSuspended, ServiceUnlimited,
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
/// The grant by which a service goes on when an access token is over.
pub const REFRESH_TOKEN: &str = "refresh-token";
/// People let devices in by typing a code.
pub const DEVICE_CODE: &str = "device-code";
/// The scope by which a service asks to act while the person is away (OpenID Connect Core 1.0 section 11).
pub const OFFLINE_ACCESS: &str = "offline_access";

/// The name of OAuth for a grant as the log has it (RFC 7591 section 2). One that is not known here is named as it is.
#[must_use]
pub fn oauth_name(grant: &str) -> &str {
    match grant {
        AUTHORIZATION_CODE => "authorization_code",
        CLIENT_CREDENTIALS => "client_credentials",
        REFRESH_TOKEN => "refresh_token",
        DEVICE_CODE => "urn:ietf:params:oauth:grant-type:device_code",
        other => other,
    }
}

/// An address that a service sends people back to: absolute, and compared to the letter, but for the port of the own machine
/// (RFC 9700 section 2.1).
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

    /// Whether people are meant to be sent to `uri`: to the letter, but for the port of a program on the own machine that is
    /// registered by its address. Such a program takes the port that is free (RFC 8252 section 7.3, RFC 9700 section 2.1).
    /// `localhost` is a name, which can lead elsewhere, so its port stays as it is (RFC 8252 section 8.3).
    fn leads_to(&self, uri: &str) -> bool {
        self.0 == uri || own_machine(&self.0).is_some_and(|it| own_machine(uri) == Some(it))
    }

    /// Whether a page of this origin, as browsers name it, can be where people are sent back to.
    fn is_of(&self, origin: &str) -> bool {
        let Some((scheme, rest)) = self.0.split_once("://") else { return false };
        let usual_port = match scheme {
            "https" => ":443",
            "http" => ":80",
            _ => return false,
        };
        let authority = rest.split(['/', '?']).next().unwrap_or_default().to_ascii_lowercase();
        let authority = authority.strip_suffix(usual_port).unwrap_or(&authority);
        let by_address =
            own_machine(&self.0).is_some_and(|(host, _)| own_machine(origin) == Some((host, "")));
        by_address || origin.split_once("://") == Some((scheme, authority))
    }
}

/// The address of the own machine in `uri`, and what stands behind the port; nothing if it leads elsewhere.
fn own_machine(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let (host, rest) =
        ["127.0.0.1", "[::1]"].into_iter().find_map(|it| Some((it, rest.strip_prefix(it)?)))?;
    let (port, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let is_number = |it: &str| it.bytes().all(|byte| byte.is_ascii_digit()) && it.parse::<u16>().is_ok();
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_number)).then_some((host, path))
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
    pub secrets: Vec<Secret>,
}

/// A secret of a service, of which nothing is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Secret {
    /// Names it.
    pub secret_id: SecretId,
    /// Until when it is good, if not for ever.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Secret {
    /// Whether its time is over.
    #[must_use]
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|it| it <= now)
    }
}

/// The stream of a service.
#[must_use]
pub const fn stream(id: ServiceId) -> StreamId {
    StreamId::new(Service::CATEGORY, id.uuid())
}

/// What a service may ask for, whether it may work now or not; nothing if there is none.
pub(crate) fn scopes<'a>(view: &View<'a>, id: ServiceId) -> &'a [Scope] {
    match view.find::<Service>(id.uuid()).map(|seen| seen.state) {
        Some(Service::Active(service) | Service::Suspended(service)) => &service.scopes,
        Some(Service::Absent | Service::Removed) | None => &[],
    }
}

impl LiveService {
    /// Whether it may ask for all of these. To act while the person is away it may ask if it goes on when an access token is
    /// over, whatever it is registered with.
    ///
    /// # Errors
    /// [`ApplicationError::ScopeNotRegistered`] with the first that it may not ask for.
    pub fn has_scopes(&self, scopes: &[Scope]) -> Result<(), ApplicationError> {
        match scopes.iter().find(|it| !self.may_ask(it.as_str())) {
            Some(scope) => Err(ApplicationError::ScopeNotRegistered { scope: scope.clone() }),
            None => Ok(()),
        }
    }

    /// Whether it may ask for this by now. What it was given for a scope that it may not ask for any more is good for
    /// nothing of that scope.
    #[must_use]
    pub fn may_ask(&self, scope: &str) -> bool {
        self.scopes.iter().any(|it| it.as_str() == scope) || (scope == OFFLINE_ACCESS && self.refreshes())
    }

    /// Whether it has this secret, good or over.
    #[must_use]
    pub fn has_secret(&self, id: SecretId) -> bool {
        self.secret(id).is_some()
    }

    /// A secret that was not removed; it may be over.
    #[must_use]
    pub fn secret(&self, id: SecretId) -> Option<&Secret> {
        self.secrets.iter().find(|it| it.secret_id == id)
    }

    /// Whether it comes by tokens in this way by now. What it came by in a way that it is not granted any more is not good
    /// while that is so.
    #[must_use]
    pub fn is_granted(&self, grant: &str) -> bool {
        self.grants.iter().any(|it| it.as_str() == grant)
    }

    /// Whether it goes on when an access token is over.
    #[must_use]
    pub fn refreshes(&self) -> bool {
        self.is_granted(REFRESH_TOKEN)
    }

    /// Whether people may be sent back there: to the letter, but for the port of the own machine.
    #[must_use]
    pub fn sends_to(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|it| it.leads_to(uri))
    }

    /// Whether people may be sent back to pages of this origin, as browsers name it.
    #[must_use]
    pub fn has_pages_at(&self, origin: &str) -> bool {
        self.redirect_uris.iter().any(|it| it.is_of(origin))
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
            ApplicationEvent::GrantsChanged(it) => {
                self.change(|service| service.grants.clone_from(&it.grants));
            }
            ApplicationEvent::ScopesChanged(it) => {
                self.change(|service| service.scopes.clone_from(&it.scopes));
            }
            ApplicationEvent::ServiceLimited(it) => self.change(|service| service.limits = Some(it.limits)),
            ApplicationEvent::ServiceUnlimited(_) => self.change(|service| service.limits = None),
            ApplicationEvent::SecretAdded(it) => self.change(|service| {
                service.secrets.push(Secret { secret_id: it.secret_id, expires_at: it.expires_at });
            }),
            ApplicationEvent::SecretRemoved(it) => {
                self.change(|service| service.secrets.retain(|known| known.secret_id != it.secret_id));
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
