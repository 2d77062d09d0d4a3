//! A provider: somebody elsewhere who says to an organisation who somebody is.
//!
//! Whoever may set one up can be anybody whom it is trusted to vouch for, so that permission is the owners'. Its secret is
//! in the vault; here is only which one it is.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::FederationEvent;
use super::address::{Issuer, ReturnUri};
use super::error::FederationError;
use crate::aggregate::Aggregate;
use crate::decision::{Claim, Decision, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::ids::{ProviderId, SecretId};
use crate::metadata::Label;
use crate::stream::{Category, StreamId};
use crate::words::{DomainName, Scope, Word};

/// The scope in which names of providers are unique within an organisation.
pub const NAME_SCOPE: &str = "federation.provider-name";

/// Any server of OpenID Connect with a discovery document.
pub const OIDC: Word = Word::of("oidc");
/// Google. Source: its documentation of OpenID Connect.
pub const GOOGLE: Word = Word::of("google");
/// Microsoft's identity platform: its people are told apart by directory and object, since what it says of addresses is
/// no proof.
pub const MICROSOFT: Word = Word::of("microsoft");
/// GitHub, which speaks OAuth 2.0 without OpenID Connect.
pub const GITHUB: Word = Word::of("github");

const KINDS: [Word; 4] = [OIDC, GOOGLE, MICROSOFT, GITHUB];

/// Words that follow `auth/` in addresses and mean something else there.
const RESERVED: &[&str] = &[
    "device",
    "email",
    "handover",
    "links",
    "login",
    "logout",
    "me",
    "organizations",
    "passkey-sign-in",
    "passkeys",
    "password",
    "providers",
    "recovery-codes",
    "refresh",
    "register",
    "second-factor",
    "security-feed",
    "sessions",
    "step-up",
    "switch",
    "totp",
    "verify-email",
];

/// Scopes that a provider is asked for at most.
pub const SCOPES_MAX: usize = 20;
/// Domains that a provider is trusted for at most, if they are listed.
pub const DOMAINS_MAX: usize = 100;
/// Addresses that people may be sent back to at most.
pub const RETURN_URIS_MAX: usize = 20;

/// All that is set of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderSettings {
    /// Its name in addresses, unique in the organisation.
    pub name: Word,
    /// Its name for people.
    pub title: Label,
    /// How it is talked to: `oidc`, `google`, `microsoft` or `github`.
    pub kind: Word,
    /// Who it says that it is.
    pub issuer: Issuer,
    /// Who we are to it; its title, while it is incomplete.
    pub client_id: Label,
    /// It has not told us yet who we are to it: nobody signs in with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
    /// What it is asked for.
    pub scopes: Vec<Scope>,
    /// The domains of whose addresses it is believed, in addition to its own word that they are verified.
    pub trusted_domains: Vec<DomainName>,
    /// It is believed of the addresses of every domain.
    #[serde(default)]
    pub trusts_every_domain: bool,
    /// Its tokens for people are kept, so that these can use them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps_tokens: bool,
    /// Where people may be sent when they are through, letter by letter.
    pub return_uris: Vec<ReturnUri>,
    /// Which of the secrets in the vault is ours at it; none if it knows us without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_id: Option<SecretId>,
}

impl ProviderSettings {
    /// Whether it is believed of addresses of this domain, which is given in its ASCII form in lower case. A domain below
    /// a trusted one is another domain.
    #[must_use]
    pub fn trusts(&self, domain: &str) -> bool {
        self.trusts_every_domain || self.trusted_domains.iter().any(|it| it.as_str() == domain)
    }
}

/// Sets a provider up, or anew. Already so, if nothing would change.
///
/// Refused with [`FederationError::KindUnknown`], [`FederationError::NameReserved`], [`FederationError::TooManyScopes`],
/// [`FederationError::TooManyDomains`], [`FederationError::TooManyReturnUris`], [`FederationError::ProviderGone`],
/// [`FederationError::ProviderFixed`], [`FederationError::NameTaken`].
#[derive(Debug, Clone)]
pub struct ConfigureProvider {
    /// Which, given by the caller.
    pub provider_id: ProviderId,
    /// All of it, as it is to be from now on.
    pub settings: ProviderSettings,
    /// What becomes of the secret.
    pub secret: SecretChange,
}

/// What becomes of our secret at a provider when the rest is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretChange {
    /// The one that is good stays so, whatever the settings name.
    Keep,
    /// The one that the settings name is good from now on, or none.
    Set,
}

/// A provider was set up, or set up anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderConfigured {
    /// Which.
    pub provider_id: ProviderId,
    /// All of it, as it is from now on.
    pub settings: ProviderSettings,
    /// When.
    pub at: DateTime<Utc>,
}

/// Removes a provider: nobody signs in with it any more. Already so, if it was removed.
///
/// Refused with [`FederationError::ProviderNotFound`].
#[derive(Debug, Clone)]
pub struct RemoveProvider {
    /// Which.
    pub provider_id: ProviderId,
}

/// Nobody signs in with a provider any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderRemoved {
    /// Which.
    pub provider_id: ProviderId,
    /// When.
    pub at: DateTime<Utc>,
}

/// What is known of a provider.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Provider {
    /// Not there.
    #[default]
    Absent,
    /// People sign in with it.
    Active(Box<ProviderSettings>),
    /// They do not any more.
    Removed,
}

/// The stream of a provider.
#[must_use]
pub const fn stream(id: ProviderId) -> StreamId {
    StreamId::new(Provider::CATEGORY, id.uuid())
}

/// The provider, if people sign in with it. Refused with [`FederationError::ProviderNotFound`].
pub(crate) fn active<'a>(view: &View<'a>, id: ProviderId) -> Result<&'a ProviderSettings, FederationError> {
    match view.find::<Provider>(id.uuid()).map(|seen| seen.state) {
        Some(Provider::Active(settings)) => Ok(settings),
        Some(Provider::Absent | Provider::Removed) | None => {
            Err(FederationError::ProviderNotFound { provider_id: id })
        }
    }
}

fn release(name: &Word) -> Claim {
    Claim::Release { scope: NAME_SCOPE.to_owned(), value: name.to_string() }
}

fn take(name: &Word) -> Claim {
    Claim::Take {
        scope: NAME_SCOPE.to_owned(),
        value: name.to_string(),
        taken: FederationError::NameTaken { name: name.clone() }.into(),
    }
}

impl ConfigureProvider {
    fn check(&self) -> Result<(), FederationError> {
        let it = &self.settings;
        if !KINDS.contains(&it.kind) {
            return Err(FederationError::KindUnknown { kind: it.kind.clone() });
        }
        if RESERVED.contains(&it.name.as_str()) {
            return Err(FederationError::NameReserved { name: it.name.clone() });
        }
        if it.scopes.len() > SCOPES_MAX {
            return Err(FederationError::TooManyScopes { max: SCOPES_MAX });
        }
        if it.trusted_domains.len() > DOMAINS_MAX {
            return Err(FederationError::TooManyDomains { max: DOMAINS_MAX });
        }
        if it.return_uris.len() > RETURN_URIS_MAX {
            return Err(FederationError::TooManyReturnUris { max: RETURN_URIS_MAX });
        }
        Ok(())
    }
}

impl Decision for ConfigureProvider {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.provider_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        self.check()?;
        let primary = stream(self.provider_id);
        let was = match view.find::<Provider>(self.provider_id.uuid()).map(|seen| seen.state) {
            Some(Provider::Removed) => return Err(FederationError::ProviderGone.into()),
            Some(Provider::Active(was)) => Some(was),
            Some(Provider::Absent) | None => None,
        };
        let mut settings = self.settings.clone();
        if self.secret == SecretChange::Keep {
            settings.secret_id = was.and_then(|it| it.secret_id);
        }
        if let Some(was) = was {
            if was.kind != settings.kind || was.issuer != settings.issuer {
                return Err(FederationError::ProviderFixed.into());
            }
            if **was == settings {
                return Ok(Verdict::already(primary));
            }
        }
        let kept_name = was.is_some_and(|it| it.name == settings.name);
        let claims = if kept_name {
            Vec::new()
        } else {
            was.map(|it| release(&it.name)).into_iter().chain([take(&settings.name)]).collect()
        };
        let event = FederationEvent::ProviderConfigured(ProviderConfigured {
            provider_id: self.provider_id,
            settings,
            at: view.now,
        });
        let verdict =
            if was.is_some() { Verdict::done(primary, event) } else { Verdict::created(primary, event) };
        Ok(verdict.with_claims(claims))
    }
}

impl Decision for RemoveProvider {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![stream(self.provider_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let primary = stream(self.provider_id);
        match view.find::<Provider>(self.provider_id.uuid()).map(|seen| seen.state) {
            Some(Provider::Removed) => Ok(Verdict::already(primary)),
            Some(Provider::Active(was)) => {
                let event = FederationEvent::ProviderRemoved(ProviderRemoved {
                    provider_id: self.provider_id,
                    at: view.now,
                });
                Ok(Verdict::done(primary, event).with_claims([release(&was.name)]))
            }
            Some(Provider::Absent) | None => {
                Err(FederationError::ProviderNotFound { provider_id: self.provider_id }.into())
            }
        }
    }
}

impl Aggregate for Provider {
    const CATEGORY: Category = Category { code: 30, name: "federation.provider" };
    const RESTORABLE: bool = true;

    fn evolve(&mut self, _id: Uuid, event: &Event) {
        if let Some(state) = told(event) {
            *self = state;
        }
    }

    fn restore(_id: Uuid, newest: &Event) -> Option<Self> {
        told(newest)
    }
}

/// Each event of a provider tells all of it.
fn told(event: &Event) -> Option<Provider> {
    match event {
        Event::Federation(FederationEvent::ProviderConfigured(event)) => {
            Some(Provider::Active(Box::new(event.settings.clone())))
        }
        Event::Federation(FederationEvent::ProviderRemoved(_)) => Some(Provider::Removed),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
