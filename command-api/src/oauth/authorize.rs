//! What a service asks a person to allow, up to the code with which it gets its tokens (RFC 6749 section 4.1 with RFC 7636,
//! RFC 9207, OpenID Connect Core section 3.1).
//!
//! Until service and return address are known to belong together nobody is sent anywhere: what is wrong is told to the person.
//! From then on it is told to the service, at that address: at once where somebody is there whom we know, or nobody may be asked;
//! else when the person goes there. What is asked waits in the vault while somebody signs in.

use std::borrow::Cow;
use std::time::Duration;

use chrono::Utc;
use domain::application::GrantConsent;
use domain::gate::GateError;
use domain::ids::{ServiceId, SessionId, TenantId, UserId};
use domain::words::Scope;
use domain::{Decision, Refusal};
use event_store::vault::{CodeBinding, CodeGrant, Digest, RequestVaultError, Shown};
use secrecy::ExposeSecret as _;
use service_kit::bearer::{Bearer, ClientId, Kind};
use service_kit::oauth_error::{OauthCode, OauthError};
use service_kit::problem::{Problem, code};
use uuid::Uuid;

use super::ask::{Ask, STATE_BYTES_MAX, ask_of, challenge_of};
use super::params::Params;
use super::{Oauth, grant, sha256, shown, written};
use crate::identity::Origin;
use crate::identity::figures::Waiting;
use crate::identity::limits::{Counted, LocalPolicy};
use crate::identity::second_factor::Lacks;
use crate::identity::sessions::InSession;

/// How long somebody may take to sign in and decide.
pub(super) const DECIDES_WITHIN: Duration = Duration::from_secs(10 * 60);
/// How long a code is good (RFC 6749 section 4.1.2 allows ten minutes at most).
const CODE_LASTS: Duration = Duration::from_secs(60);
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
    /// They must set up the second factor that their organisation asks everybody for.
    Enrol,
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
    /// They do.
    There(SentBack),
}

/// What is wrong, for a service at its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentBack {
    /// The organisation of the service.
    pub tenant: TenantId,
    /// The name of the service for people.
    pub client: String,
    /// In which languages it would have the pages.
    pub ui_locales: Option<String>,
    /// What is wrong, for whoever makes the service.
    pub told: String,
    /// Where the person goes: the address, with the error.
    pub url: String,
    /// Whether they may be asked nothing (OpenID Connect Core section 3.1.2.6).
    pub is_silent: bool,
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

pub(super) fn not_kept(error: RequestVaultError) -> Problem {
    match error {
        RequestVaultError::Database(error) => Problem::store_unavailable(&error),
        RequestVaultError::Key(error) => Problem::fault(&error),
    }
}

/// An address with parameters behind those that it has.
pub(super) fn with(uri: &str, pairs: &[(&str, &str)]) -> String {
    let sign = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{sign}{}", serde_urlencoded::to_string(pairs).unwrap_or_default())
}

impl Asked {
    /// Whether the service demands that the person shows now, or not long ago, who they are.
    #[must_use]
    pub const fn demands_fresh_proof(&self) -> bool {
        self.ask.demands_fresh_proof()
    }
}

impl Oauth {
    /// Takes in what a service asks, as the query of the address to which it sent somebody has it: what names it from now on.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn ask(&self, query: &str, origin: &Origin) -> Result<String, Refused> {
        self.parts().identity.limits().check_here(Counted::address(LocalPolicy::Authorize, origin.ip))?;
        let issuer = self.issuer()?;
        let params = Params::of(query);
        let client = params.get("client_id").and_then(ClientId::parse);
        let client = client.ok_or_else(|| page("client_id names no service"))?;
        let service = self.parts().identity.service(client).await?;
        let service = service.ok_or_else(|| page("client_id names no service that may work"))?;
        let redirect_uri = params.get("redirect_uri").ok_or_else(|| page("redirect_uri is missing"))?;
        if !service.sends_to(redirect_uri) {
            return Err(page("redirect_uri is not one of the service's, letter by letter"));
        }
        let state = params.get("state").filter(|it| it.len() <= STATE_BYTES_MAX);
        let told = |error: &OauthError| {
            let (code, told) = (error.code(), error.description());
            Refused::There(SentBack {
                tenant: client.tenant,
                client: service.name.to_string(),
                ui_locales: params.get("ui_locales").map(ToOwned::to_owned),
                told: format!("{}: {told}", code.word()),
                url: refusal(redirect_uri, state, &issuer, code, told),
                is_silent: params.get("prompt") == Some("none"),
            })
        };
        let grants = service.grants.iter().any(|it| it.as_str() == grant::AUTHORIZATION_CODE);
        if !grants {
            let error =
                OauthError::new(OauthCode::UnauthorizedClient, "the client is not registered for this grant");
            return Err(told(&error));
        }
        let ask = ask_of(&params, &service).map_err(|error| told(&error))?;
        let meant = self.meant(&params, client, &issuer).map_err(|error| told(&error))?;
        let ask = Ask { service: client.service, meant, ..ask };
        Ok(self.keep(client.tenant, &ask, origin).await?)
    }

    /// Of whom the ID token speaks that a service shows, if it shows one of its own.
    fn meant(&self, params: &Params, client: ClientId, issuer: &str) -> Result<Option<UserId>, OauthError> {
        let Some(token) = params.get("id_token_hint") else { return Ok(None) };
        let hint = self.parts().verifier.verify_id_token(token, issuer);
        let hint = hint.filter(|it| it.aud == client.to_string());
        let refused =
            || OauthError::new(OauthCode::InvalidRequest, "id_token_hint is no ID token of this client");
        hint.map(|it| Some(UserId::new(it.sub))).ok_or_else(refused)
    }

    async fn keep(&self, tenant: TenantId, ask: &Ask, origin: &Origin) -> Result<String, Problem> {
        let parts = self.parts();
        let request = Bearer::make(Kind::AuthorizationRequest, tenant, Uuid::now_v7())?;
        let shown = Shown { tenant, id: request.id, hash: Digest(request.hash()) };
        let content = serde_json::to_vec(ask).map_err(|error| Problem::fault(&error))?;
        let whose = parts.identity.limits().origin(tenant, origin.ip, None);
        let (vault, master) = (&parts.vault, &parts.master);
        let gone = vault.put_authorization_request(&shown, whose, &content, DECIDES_WITHIN, master).await;
        parts.identity.figures().made_room(Waiting::OfService, gone.map_err(not_kept)?);
        Ok(request.text().expose_secret().to_owned())
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
    pub async fn next(&self, asked: &Asked, who: Option<InSession>) -> Result<Next, Problem> {
        let identity = &self.parts().identity;
        let who = who.filter(|it| it.tenant == asked.tenant);
        let proof = match who {
            Some(who) => identity.stands(who).await?.filter(|it| it.service_id.is_none()).map(|it| (who, it)),
            None => None,
        };
        let prompt = asked.ask.prompt;
        let is_another = |who: &InSession| asked.ask.means_another(who.user);
        if proof.as_ref().is_some_and(|(who, it)| is_another(who) && asked.ask.has_signed_in(it)) {
            // They were to sign in as the one who is meant, and did as somebody else (section 3.1.2.2).
            return Ok(Next::Back(self.end(asked, OauthCode::LoginRequired).await?));
        }
        let ready = proof.filter(|(who, it)| !is_another(who) && !asked.ask.wants_sign_in(it, Utc::now()));
        let Some((who, _)) = ready else {
            return self.unless_silent(asked, Next::SignIn, OauthCode::LoginRequired).await;
        };
        let lacking = identity.lacks(who).await?.map(|it| match it {
            Lacks::Factor => Next::Enrol,
            Lacks::Proof => Next::SignIn,
        });
        if let Some(next) = lacking {
            return self.unless_silent(asked, next, OauthCode::InteractionRequired).await;
        }
        let client = asked.ask.client(asked.tenant);
        if prompt.consent || !identity.consents(client, who.user, &asked.scopes).await? {
            return self.unless_silent(asked, Next::Consent, OauthCode::ConsentRequired).await;
        }
        Ok(Next::Back(self.code(asked, who).await?))
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
        if who.tenant != asked.tenant || asked.ask.means_another(who.user) {
            return Err(unknown());
        }
        // Whoever was to sign in anew has to, also if they come here past that page.
        let proof = self.parts().identity.stands(who).await?;
        if proof.is_none_or(|it| it.service_id.is_some() || asked.ask.wants_sign_in(&it, Utc::now())) {
            return Err(Refusal::from(GateError::SessionEnded).into());
        }
        let consent =
            GrantConsent { user_id: who.user, service_id: asked.service, scopes: asked.scopes.clone() };
        let consent: Box<dyn Decision> = Box::new(consent);
        self.parts().identity.by_own_hand(who, [consent], None, origin).await?;
        self.code(asked, who).await
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
    async fn code(&self, asked: &Asked, who: InSession) -> Result<String, Problem> {
        let issuer = self.issuer()?;
        self.take(asked).await?;
        let ask = &asked.ask;
        let tenant = asked.tenant;
        let code = Bearer::make(Kind::AuthorizationCode, tenant, Uuid::now_v7())?;
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
mod tests {
    use super::*;

    #[test]
    fn parameters_are_added_to_those_that_an_address_has() {
        assert_eq!(with("https://a.example/?x=1", &[("code", "a b")]), "https://a.example/?x=1&code=a+b");
        assert_eq!(with("com.example.app:/back", &[("code", "c&d")]), "com.example.app:/back?code=c%26d");
    }
}
