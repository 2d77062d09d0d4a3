//! Signing in with others, we being the relying party of OpenID Connect: what is sent to a provider, and what of its
//! answers is believed. Who is let in by it is the domain's rule (`domain::linking`); this part writes nothing down.
//!
//! | step | who | in |
//! |---|---|---|
//! | learn its endpoints, once an hour | us | `federation/discovery.rs` |
//! | send the person there: state, nonce, PKCE with S256 | browser | `federation/authorize.rs` |
//! | say whether they must show there anew who they are | browser | `federation/freshness.rs` |
//! | they come back with a code; `iss` must be right | browser | `federation/callback.rs` |
//! | exchange the code | us | `federation/exchange.rs` |
//! | verify the ID token against its keys | us | `federation/{id_token,keys}.rs` |
//! | where it says nothing of an address, ask for it | us | `federation/userinfo.rs` |
//!
//! GitHub speaks plain OAuth 2.0 and has a file of its own. Every request goes through [`Outgoing`], which bounds it and
//! keeps it out of our network.
//!
//! Sources: OpenID Connect Core 1.0 and Discovery 1.0, RFC 6749, RFC 7636, RFC 9207, RFC 9700, OWASP ASVS 5.0 V10.

mod authorize;
mod callback;
mod discovery;
mod error;
mod exchange;
mod freshness;
mod github;
mod id_token;
mod keys;
mod known;
mod userinfo;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::federation::ProviderSettings;
use domain::federation::provider::{GITHUB, GOOGLE, MICROSOFT, OIDC};
use domain::ids::TenantId;
use domain::metadata::Label;
use secrecy::SecretString;
use service_kit::email::EmailAddress;
use service_kit::outgoing::{Outgoing, Url};
use uuid::Uuid;

pub use authorize::Pending;
pub use callback::{Callback, Outcome};
pub use error::{Invalid, ProviderError};
pub use exchange::Tokens;
pub use freshness::Shown;

use discovery::Metadata;
use exchange::ClientWay;
use keys::Keys;
use known::Known;

/// Characters of a person's name at a provider at most (OpenID Connect Core 1.0 section 2: 255 ASCII characters).
const SUBJECT_CHARS_MAX: usize = 255;

/// Who a provider says that somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Its name for the person, never given to another one: the subject; with Microsoft directory and object, with
    /// GitHub the number of the account.
    pub subject: String,
    /// Their address.
    pub address: Option<Address>,
    /// What they are called there.
    pub given_name: Option<String>,
    /// Likewise.
    pub family_name: Option<String>,
    /// What they would call that account, for their list of links.
    pub label: Option<String>,
}

/// An address, and what the provider says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub email: EmailAddress,
    /// Whether the provider says that it is the person's.
    pub is_verified: bool,
}

/// Somebody came back from a provider.
#[derive(Debug)]
pub struct Arrived {
    /// Who it says that they are.
    pub person: Person,
    /// When they showed it.
    pub shown: Shown,
    /// What it gave us for them.
    pub tokens: Tokens,
}

/// The client side of sign-in. One for a process: it remembers what providers publish of themselves. Clones remember the same.
#[derive(Debug, Clone)]
pub struct Federation {
    outgoing: Outgoing,
    metadata: Arc<Known<Metadata>>,
    keys: Arc<Known<Keys>>,
}

/// How a provider is talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    OpenId,
    Google,
    Microsoft,
    GitHub,
}

fn kind(settings: &ProviderSettings) -> Result<Kind, ProviderError> {
    match &settings.kind {
        it if *it == OIDC => Ok(Kind::OpenId),
        it if *it == GOOGLE => Ok(Kind::Google),
        it if *it == MICROSOFT => Ok(Kind::Microsoft),
        it if *it == GITHUB => Ok(Kind::GitHub),
        _ => Err(ProviderError::Misconfigured("this build does not know its kind")),
    }
}

impl Federation {
    /// Talks to providers through `outgoing`.
    #[must_use]
    pub fn new(outgoing: Outgoing) -> Self {
        let (metadata, keys) = (Known::new(discovery::AGE_MAX), Known::new(keys::AGE_MAX));
        Self { outgoing, metadata: Arc::new(metadata), keys: Arc::new(keys) }
    }

    /// The same for one tenant, who has a share of the requests that may be under way at once.
    #[must_use]
    pub fn of(&self, tenant: TenantId) -> Self {
        Self { outgoing: self.outgoing.of(tenant), ..self.clone() }
    }

    /// Where to send a person who wants to sign in, and what must be kept until they come back. `state` is what they bring
    /// along then, `redirect_uri` where to: one of its own for each provider (RFC 9700 section 4.4.2.2). If they must show there
    /// anew who they are, `since` is now.
    ///
    /// # Errors
    /// If the provider cannot be used.
    pub async fn begin(
        &self,
        settings: &ProviderSettings,
        state: &str,
        redirect_uri: &str,
        since: Option<DateTime<Utc>>,
    ) -> Result<(Url, Pending), ProviderError> {
        let pending = Pending::make(redirect_uri, since)?;
        let kind = kind(settings)?;
        let mut more = freshness::asked(kind, since.is_some());
        let endpoint = match kind {
            Kind::GitHub => github::authorization_endpoint(settings)?,
            Kind::OpenId | Kind::Google | Kind::Microsoft => {
                more.push(("nonce", pending.nonce()));
                self.metadata(settings).await?.authorization_endpoint.clone()
            }
        };
        let url = authorize::url(&endpoint, settings, state, &pending, &more)?;
        Ok((url, pending))
    }

    /// Who the person is that came back. `callback` was found to belong to `pending` by its state.
    ///
    /// # Errors
    /// If the provider cannot be used, says no, or says something that is not to be believed.
    pub async fn finish(
        &self,
        settings: &ProviderSettings,
        secret: Option<&SecretString>,
        pending: &Pending,
        callback: &Callback,
        now: DateTime<Utc>,
    ) -> Result<Arrived, ProviderError> {
        let kind = kind(settings)?;
        if kind == Kind::GitHub {
            let code = callback.code(|issuer| issuer == settings.issuer.as_str(), false)?;
            return github::person(&self.outgoing, settings, secret, pending, code).await;
        }
        let metadata = self.metadata(settings).await?;
        let code = callback.code(|issuer| metadata.issuer.is(issuer), metadata.is_issuer_told)?;
        let client = exchange::Client { id: settings.client_id.as_str(), secret, way: metadata.client_way };
        let tokens =
            exchange::exchange(&self.outgoing, &metadata.token_endpoint, &client, pending, code).await?;
        let token = tokens.id_token.as_deref().ok_or(Invalid::Malformed("there is no ID token"))?;
        let claims = self.verified(&metadata, token).await?;
        let expected = id_token::Expected {
            issuer: &metadata.issuer,
            client_id: settings.client_id.as_str(),
            nonce: pending.nonce(),
            now: now.timestamp(),
        };
        id_token::check(&claims, &expected)?;
        let shown = freshness::shown(kind, claims.auth_time, pending.since(), now)?;
        if kind == Kind::Microsoft {
            return Ok(Arrived { person: microsoft(claims)?, shown, tokens });
        }
        let mut person = claims.person();
        if let (None, Some(endpoint)) = (&person.address, &metadata.userinfo_endpoint) {
            let asked =
                userinfo::ask(&self.outgoing, endpoint, &tokens.access_token, &person.subject).await?;
            person = asked.completes(person);
        }
        person.label = person.address.as_ref().map(|it| it.email.mailbox().to_owned());
        Ok(Arrived { person, shown, tokens })
    }

    /// Exchanges a refresh token of a provider for newer tokens.
    ///
    /// # Errors
    /// If the provider cannot be used, or says no: [`ProviderError::says_that_it_is_over`] tells whether it will say so always.
    pub async fn refresh(
        &self,
        settings: &ProviderSettings,
        secret: Option<&SecretString>,
        token: &SecretString,
    ) -> Result<Tokens, ProviderError> {
        let (endpoint, way) = match kind(settings)? {
            Kind::GitHub => (github::token_endpoint(settings)?, ClientWay::Form),
            Kind::OpenId | Kind::Google | Kind::Microsoft => {
                let metadata = self.metadata(settings).await?;
                (metadata.token_endpoint.clone(), metadata.client_way)
            }
        };
        let client = exchange::Client { id: settings.client_id.as_str(), secret, way };
        exchange::refresh(&self.outgoing, &endpoint, &client, token).await
    }

    /// Looks whether a provider can be asked: reads anew what it publishes of itself, and its keys. GitHub publishes neither.
    ///
    /// # Errors
    /// What keeps anybody from signing in with it; [`ProviderError::Resting`], if that was looked at a moment ago.
    pub async fn check(&self, settings: &ProviderSettings) -> Result<(), ProviderError> {
        if kind(settings)? == Kind::GitHub {
            return github::token_endpoint(settings).map(|_| ());
        }
        let key = format!("{} {}", settings.kind, settings.issuer);
        let fetch = || discovery::fetch(&self.outgoing, settings);
        let metadata = self.metadata.get_newer(&key, Duration::ZERO, fetch).await?;
        let fetch = || keys::fetch(&self.outgoing, &metadata.jwks_uri);
        self.keys.get_newer(metadata.jwks_uri.as_str(), Duration::ZERO, fetch).await.map(|_| ())
    }

    async fn metadata(&self, settings: &ProviderSettings) -> Result<Arc<Metadata>, ProviderError> {
        let key = format!("{} {}", settings.kind, settings.issuer);
        self.metadata.get(&key, || discovery::fetch(&self.outgoing, settings)).await
    }

    /// The claims of a token whose signature is good. A key that is not known is looked for once more, since providers
    /// change them; how often is bounded.
    async fn verified(&self, metadata: &Metadata, token: &str) -> Result<id_token::Claims, ProviderError> {
        let head = id_token::Head::read(token)?;
        let fetch = || keys::fetch(&self.outgoing, &metadata.jwks_uri);
        let mut keys = self.keys.get(metadata.jwks_uri.as_str(), fetch).await?;
        if keys.find(&head).is_none() {
            keys = self.keys.get_newer(metadata.jwks_uri.as_str(), keys::AGE_MIN, fetch).await?;
        }
        let key = keys.find(&head).ok_or(Invalid::KeyUnknown)?;
        Ok(id_token::verify(token, &head, key)?)
    }
}

/// People of Microsoft are told apart by directory and object: subjects differ from client to client, and addresses are
/// what the owner of a directory writes into it. One that says of its domain that the directory owns it (`xms_edov`) is
/// taken as verified. Source: Microsoft identity platform, "ID token claims reference" and "Migrate away from using email
/// claims for user identification or authorization".
fn microsoft(claims: id_token::Claims) -> Result<Person, ProviderError> {
    let (Some(directory), Some(object)) = (parsed(claims.tid.as_deref()), parsed(claims.oid.as_deref()))
    else {
        return Err(Invalid::Malformed("directory and object are missing").into());
    };
    let is_owned = claims.xms_edov.is_some_and(|it| it.0);
    let mut person = claims.person();
    person.subject = format!("{directory}/{object}");
    person.address = person.address.map(|it| Address { is_verified: is_owned, ..it });
    person.label = named(claims.preferred_username.as_deref());
    Ok(person)
}

fn parsed(text: Option<&str>) -> Option<Uuid> {
    Uuid::try_parse(text?).ok()
}

/// A person's given and family name, as a provider has them. If it has all in one text alone, that is the given name: nobody knows
/// where it parts.
fn names(given: Option<&str>, family: Option<&str>, whole: Option<&str>) -> (Option<String>, Option<String>) {
    match (named(given), named(family)) {
        (None, None) => (named(whole), None),
        apart => apart,
    }
}

/// What a text of a provider leaves where a person's name can stand.
fn named(text: Option<&str>) -> Option<String> {
    Label::salvage(text?).map(|it| it.to_string())
}

/// An address as a provider writes it; none if mail cannot be sent to it.
fn address(text: Option<&str>, is_verified: bool) -> Option<Address> {
    let email = EmailAddress::parse(text?).ok()?;
    Some(Address { email, is_verified })
}

#[cfg(test)]
pub(crate) mod tests;
