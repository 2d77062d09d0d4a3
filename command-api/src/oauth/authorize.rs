//! What a service asks a person to allow, up to the code with which it gets its tokens (RFC 6749 section 4.1 with RFC 7636,
//! RFC 9207, OpenID Connect Core section 3.1).
//!
//! Until service and return address are known to belong together nobody is sent anywhere: what is wrong is told to the person.
//! From then on it is told to the service, at that address. What is asked waits in the vault while somebody signs in.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use domain::Refusal;
use domain::application::{GrantConsent, LiveService};
use domain::gate::GateError;
use domain::identity::LiveSession;
use domain::ids::{ServiceId, SessionId, TenantId, UserId};
use domain::words::Scope;
use event_store::vault::{CodeBinding, CodeGrant, Digest, RequestVaultError, Shown};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use service_kit::bearer::{Bearer, ClientId, Kind};
use service_kit::oauth_error::{OauthCode, OauthError};
use service_kit::problem::{Problem, code};
use uuid::Uuid;

use super::params::Params;
use super::{Oauth, grant, scopes, sha256, shown, written};
use crate::identity::Origin;
use crate::identity::sessions::InSession;

/// How long somebody may take to sign in and decide.
pub(super) const DECIDES_WITHIN: Duration = Duration::from_secs(10 * 60);
/// How long a code is good (RFC 6749 section 4.1.2 allows ten minutes at most).
const CODE_LASTS: Duration = Duration::from_secs(60);
/// Bytes of a state at most.
const STATE_BYTES_MAX: usize = 1_000;
/// Bytes of a nonce at most.
const NONCE_BYTES_MAX: usize = 255;
/// Bytes of all scopes at most.
const SCOPE_BYTES_MAX: usize = 1_000;
/// Bytes of a hint of who will sign in, and of languages, at most.
const HINT_BYTES_MAX: usize = 254;

/// What a service asks, as it waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Ask {
    service: ServiceId,
    redirect_uri: String,
    scopes: Vec<Scope>,
    state: Option<String>,
    nonce: Option<String>,
    /// SHA-256, in base64url.
    challenge: String,
    prompt: Prompt,
    /// Seconds since which the person must have shown who they are.
    max_age: Option<u32>,
    login_hint: Option<String>,
    ui_locales: Option<String>,
    asked_at: DateTime<Utc>,
}

/// What the person is to be asked (OpenID Connect Core section 3.1.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Prompt {
    /// Nothing at all.
    none: bool,
    /// To sign in again.
    login: bool,
    /// To allow it again.
    consent: bool,
}

/// What a stored request asks.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What names it in addresses; opaque.
    pub request: String,
    /// The organisation of the service, and of whoever signs in.
    pub tenant: TenantId,
    /// The service.
    pub service: ServiceId,
    /// The name of the service for people.
    pub client: String,
    /// What it asks for.
    pub scopes: Vec<Scope>,
    /// Who will sign in, as the service believes.
    pub login_hint: Option<String>,
    /// In which languages it would have the pages.
    pub ui_locales: Option<String>,
    ask: Ask,
    shown: Shown,
}

/// What comes next for somebody whom a service sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// They must show who they are.
    SignIn,
    /// They must say whether they allow it.
    Consent,
    /// They go back to the service, to this address.
    Back(String),
}

/// Why nobody can be asked: told to the person, or to the service at its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Service and address do not belong together.
    Here(Problem),
    /// They do: the person goes there.
    There(String),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Here(problem)
    }
}

/// What is wrong with a request whose service and address do not belong together.
fn page(told: impl Into<String>) -> Refused {
    Refused::Here(Problem::new(&code::OAUTH_REQUEST_INVALID, told))
}

fn unknown() -> Problem {
    Problem::new(&code::OAUTH_REQUEST_UNKNOWN, "")
}

fn not_kept(error: RequestVaultError) -> Problem {
    match error {
        RequestVaultError::Database(error) => Problem::store_unavailable(&error),
        RequestVaultError::Key(error) => Problem::fault(&error),
    }
}

/// An address with parameters behind those that it has.
fn with(uri: &str, pairs: &[(&str, &str)]) -> String {
    let sign = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{sign}{}", serde_urlencoded::to_string(pairs).unwrap_or_default())
}

/// Reads what is asked, once service and address are known to belong together.
fn ask_of(params: &Params, service: &LiveService) -> Result<Ask, OauthError> {
    let invalid = |told: &'static str| OauthError::new(OauthCode::InvalidRequest, told);
    params.whole()?;
    if ["request", "request_uri", "registration"].iter().any(|it| params.get(it).is_some()) {
        return Err(OauthError::new(OauthCode::RequestNotSupported, "request objects are not taken"));
    }
    if params.required("response_type")? != "code" {
        return Err(OauthError::new(OauthCode::UnsupportedResponseType, "only code is"));
    }
    if params.get("response_mode").is_some_and(|it| it != "query") {
        return Err(invalid("response_mode can only be query"));
    }
    // RFC 7636 section 4.3: without a method it would be `plain`, which shows the verifier to whoever sees this address.
    if params.required("code_challenge_method")? != "S256" {
        return Err(invalid("code_challenge_method must be S256"));
    }
    let challenge = params.required("code_challenge")?;
    if challenge_of(challenge).is_none() {
        return Err(invalid("code_challenge is no SHA-256 in base64url"));
    }
    let short = |name: &'static str, most: usize| match params.get(name) {
        Some(it) if it.len() > most => Err(invalid("a parameter is too long")),
        it => Ok(it.map(ToOwned::to_owned)),
    };
    let scope = short("scope", SCOPE_BYTES_MAX)?;
    let scope = scope.ok_or_else(|| OauthError::new(OauthCode::InvalidScope, "scope is missing"))?;
    let scopes = scopes(&scope)?;
    service.has_scopes(&scopes).map_err(|_| not_registered())?;
    let max_age = params.get("max_age").map(str::parse).transpose();
    Ok(Ask {
        service: ServiceId::new(Uuid::nil()),
        redirect_uri: params.required("redirect_uri")?.to_owned(),
        scopes,
        state: short("state", STATE_BYTES_MAX)?,
        nonce: short("nonce", NONCE_BYTES_MAX)?,
        challenge: challenge.to_owned(),
        prompt: prompt_of(params.get("prompt").unwrap_or_default())?,
        max_age: max_age.map_err(|_| invalid("max_age is no number of seconds"))?,
        login_hint: short("login_hint", HINT_BYTES_MAX)?,
        ui_locales: short("ui_locales", HINT_BYTES_MAX)?,
        asked_at: Utc::now(),
    })
}

pub(super) fn not_registered() -> OauthError {
    OauthError::new(OauthCode::InvalidScope, "a scope is not registered with the client")
}

fn prompt_of(text: &str) -> Result<Prompt, OauthError> {
    let mut prompt = Prompt::default();
    for word in text.split(' ').filter(|it| !it.is_empty()) {
        match word {
            "none" => prompt.none = true,
            // Who else could be chosen shows who they are.
            "login" | "select_account" => prompt.login = true,
            "consent" => prompt.consent = true,
            _ => return Err(OauthError::new(OauthCode::InvalidRequest, "prompt is not known")),
        }
    }
    if prompt.none && (prompt.login || prompt.consent) {
        return Err(OauthError::new(OauthCode::InvalidRequest, "prompt says none and more"));
    }
    Ok(prompt)
}

/// 32 bytes in base64url, in the one way of writing them.
fn challenge_of(text: &str) -> Option<Digest> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Digest)
}

/// The challenge of a verifier, if it is one: 43 to 128 of the characters that RFC 7636 section 4.1 names.
pub(super) fn challenge_by(verifier: &str) -> Option<Digest> {
    let known = |it: u8| it.is_ascii_alphanumeric() || b"-._~".contains(&it);
    let is_good = (43..=128).contains(&verifier.len()) && verifier.bytes().all(known);
    is_good.then(|| sha256(verifier.as_bytes()))
}

impl Ask {
    fn client(&self, tenant: TenantId) -> ClientId {
        ClientId { tenant, service: self.service }
    }

    /// Whether somebody must show who they are before they decide.
    fn wants_sign_in(&self, proof: &LiveSession, now: DateTime<Utc>) -> bool {
        if proof.auth_time >= self.asked_at {
            return false;
        }
        let age = now - proof.auth_time;
        self.prompt.login || self.max_age.is_some_and(|it| age > TimeDelta::seconds(it.into()))
    }
}

impl Oauth {
    /// Takes in what a service asks, as the query of the address to which it sent somebody has it: what names it from now on.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn ask(&self, query: &str) -> Result<String, Refused> {
        let issuer = self.issuer()?;
        let params = Params::of(query);
        let client = params.get("client_id").and_then(ClientId::parse);
        let client = client.ok_or_else(|| page("client_id names no service"))?;
        let service = self.parts().identity.service(client).await?;
        let service = service.ok_or_else(|| page("client_id names no service that may work"))?;
        let redirect_uri = params.get("redirect_uri").ok_or_else(|| page("redirect_uri is missing"))?;
        if !sends_to(&service, redirect_uri) {
            return Err(page("redirect_uri is not one of the service's, letter by letter"));
        }
        let state = params.get("state").filter(|it| it.len() <= STATE_BYTES_MAX);
        let told = |error: &OauthError| {
            Refused::There(refusal(redirect_uri, state, &issuer, error.code(), error.description()))
        };
        let grants = service.grants.iter().any(|it| it.as_str() == grant::AUTHORIZATION_CODE);
        if !grants {
            let error =
                OauthError::new(OauthCode::UnauthorizedClient, "the client is not registered for this grant");
            return Err(told(&error));
        }
        let ask = ask_of(&params, &service).map_err(|error| told(&error))?;
        let ask = Ask { service: client.service, ..ask };
        self.keep(client.tenant, &ask).await?.ok_or_else(|| {
            told(&OauthError::new(OauthCode::TemporarilyUnavailable, "too many people are signing in"))
        })
    }

    async fn keep(&self, tenant: TenantId, ask: &Ask) -> Result<Option<String>, Problem> {
        let parts = self.parts();
        let request = Bearer::make(Kind::AuthorizationRequest, tenant, Uuid::now_v7())
            .map_err(|it| Problem::fault(&it))?;
        let shown = Shown { tenant, id: request.id, hash: Digest(request.hash()) };
        let content = serde_json::to_vec(ask).map_err(|error| Problem::fault(&error))?;
        let kept =
            parts.vault.put_authorization_request(&shown, &content, DECIDES_WITHIN, &parts.master).await;
        Ok(kept.map_err(not_kept)?.then(|| request.text().expose_secret().to_owned()))
    }

    /// What a stored request asks.
    ///
    /// # Errors
    /// `oauth.request-unknown`: never asked, used up or over.
    pub async fn asked(&self, request: &str) -> Result<Asked, Problem> {
        let parts = self.parts();
        let shown = shown(Kind::AuthorizationRequest, request).ok_or_else(unknown)?;
        let content = parts.vault.authorization_request(&shown, &parts.master).await.map_err(not_kept)?;
        let ask: Ask =
            serde_json::from_slice(&content.ok_or_else(unknown)?).map_err(|error| Problem::fault(&error))?;
        let service = parts.identity.service(ask.client(shown.tenant)).await?.ok_or_else(unknown)?;
        Ok(Asked {
            request: request.to_owned(),
            tenant: shown.tenant,
            service: ask.service,
            client: service.name.to_string(),
            scopes: ask.scopes.clone(),
            login_hint: ask.login_hint.clone(),
            ui_locales: ask.ui_locales.clone(),
            ask,
            shown,
        })
    }

    /// What comes next for somebody, with the session of their browser if one stands.
    ///
    /// # Errors
    /// As [`Oauth::asked`], and if it cannot be known.
    pub async fn next(
        &self,
        asked: &Asked,
        who: Option<InSession>,
        origin: &Origin,
    ) -> Result<Next, Problem> {
        let identity = &self.parts().identity;
        let who = who.filter(|it| it.tenant == asked.tenant);
        let proof = match who {
            Some(who) => identity.stands(who).await?.filter(|it| it.service_id.is_none()).map(|it| (who, it)),
            None => None,
        };
        let prompt = asked.ask.prompt;
        let ready = proof.filter(|(_, it)| !asked.ask.wants_sign_in(it, Utc::now()));
        let Some((who, _)) = ready else {
            return self.unless_silent(asked, Next::SignIn, OauthCode::LoginRequired).await;
        };
        let client = asked.ask.client(asked.tenant);
        if prompt.consent || !identity.consents(client, who.user, &asked.scopes).await? {
            return self.unless_silent(asked, Next::Consent, OauthCode::ConsentRequired).await;
        }
        Ok(Next::Back(self.code(asked, who, origin).await?))
    }

    /// What comes next, but where the person may be asked nothing.
    async fn unless_silent(&self, asked: &Asked, next: Next, error: OauthCode) -> Result<Next, Problem> {
        if !asked.ask.prompt.none {
            return Ok(next);
        }
        Ok(Next::Back(self.end(asked, error).await?))
    }

    /// The person allows it: the address to which they go, with a code.
    ///
    /// # Errors
    /// As [`Oauth::asked`]; `auth.session-ended`, `application.scope-not-registered`.
    pub async fn allow(&self, asked: &Asked, who: InSession, origin: &Origin) -> Result<String, Problem> {
        if who.tenant != asked.tenant {
            return Err(unknown());
        }
        // Whoever was to sign in anew has to, also if they come here past that page.
        let proof = self.parts().identity.stands(who).await?;
        if proof.is_none_or(|it| it.service_id.is_some() || asked.ask.wants_sign_in(&it, Utc::now())) {
            return Err(Refusal::from(GateError::SessionEnded).into());
        }
        let consent =
            GrantConsent { user_id: who.user, service_id: asked.service, scopes: asked.scopes.clone() };
        self.parts().identity.by_own_hand(who, consent, None, origin).await?;
        self.code(asked, who, origin).await
    }

    /// The person does not allow it: the address to which they go.
    ///
    /// # Errors
    /// As [`Oauth::asked`].
    pub async fn deny(&self, asked: &Asked) -> Result<String, Problem> {
        self.end(asked, OauthCode::AccessDenied).await
    }

    /// Uses the request up, with a refusal for the service.
    async fn end(&self, asked: &Asked, error: OauthCode) -> Result<String, Problem> {
        self.take(asked).await?;
        let (ask, issuer) = (&asked.ask, self.issuer()?);
        Ok(refusal(&ask.redirect_uri, ask.state.as_deref(), &issuer, error, ""))
    }

    async fn take(&self, asked: &Asked) -> Result<(), Problem> {
        let taken = self.parts().vault.take_authorization_request(&asked.shown).await;
        let taken = taken.map_err(|error| Problem::store_unavailable(&error))?;
        taken.then_some(()).ok_or_else(unknown)
    }

    /// Uses the request up, with a code for the service.
    async fn code(&self, asked: &Asked, who: InSession, _origin: &Origin) -> Result<String, Problem> {
        let issuer = self.issuer()?;
        self.take(asked).await?;
        let ask = &asked.ask;
        let tenant = asked.tenant;
        let code = Bearer::make(Kind::AuthorizationCode, tenant, Uuid::now_v7())
            .map_err(|it| Problem::fault(&it))?;
        let shown = Shown { tenant, id: code.id, hash: Digest(code.hash()) };
        let challenge = challenge_of(&ask.challenge).ok_or_else(unknown)?;
        let bound = binding(ask.service, &ask.redirect_uri, challenge);
        let (user, came_by): (UserId, SessionId) = (who.user, who.session);
        let grant = CodeGrant { user, came_by, scope: written(&ask.scopes), nonce: ask.nonce.clone() };
        let kept = self.parts().vault.put_code(&shown, &bound, &grant, CODE_LASTS).await;
        kept.map_err(|error| Problem::store_unavailable(&error))?;
        let text = code.text();
        let mut pairs = vec![("code", text.expose_secret()), ("iss", issuer.as_str())];
        pairs.extend(ask.state.as_deref().map(|it| ("state", it)));
        Ok(with(&ask.redirect_uri, &pairs))
    }
}

/// Whether people may be sent there: to the letter (RFC 9700 section 2.1).
fn sends_to(service: &LiveService, uri: &str) -> bool {
    service.sends_to(uri)
}

/// What a code is bound to.
pub(super) fn binding(service: ServiceId, redirect_uri: &str, challenge: Digest) -> CodeBinding {
    CodeBinding { service, redirect: sha256(redirect_uri.as_bytes()), challenge }
}

/// A refusal at the address of a service.
fn refusal(uri: &str, state: Option<&str>, issuer: &str, error: OauthCode, told: &str) -> String {
    let mut pairs: Vec<(&str, Cow<'_, str>)> = vec![("error", error.word().into())];
    if !told.is_empty() {
        pairs.push(("error_description", told.into()));
    }
    pairs.extend(state.map(|it| ("state", it.into())));
    pairs.push(("iss", issuer.into()));
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_ref())).collect();
    with(uri, &pairs)
}

#[cfg(test)]
mod tests;
