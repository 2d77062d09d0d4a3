//! Signing in with a provider: begun here, gone on with there, ended by a code that whoever began exchanges for tokens.
//!
//! | step | kept meanwhile | bound to |
//! |---|---|---|
//! | begin: the browser goes to the provider | nonce, PKCE, where to return; sealed, 10 minutes | the browser, by a cookie |
//! | return: the provider's word is judged (`federated/arrival.rs`) | a code, 60 seconds | whoever began, by a challenge |
//! | handover: the session starts | - | the link, judged at its commit |
//!
//! State and code work once each (CVE-2025-46815). No token is ever in an address.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::federation::provider::{self, NAME_SCOPE, Provider};
use domain::federation::{CheckLink, ProviderSettings};
use domain::identity::session;
use domain::ids::{ProviderId, TenantId, UserId};
use domain::words::Word;
use domain::{StreamId, View};
use event_schemas::envelope::LogPosition;
use event_store::Unit;
use event_store::access::{Question, look};
use event_store::vault::{AttemptKind, Begun, Digest, FederationVaultError, FirstHalf};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use service_kit::bearer::{Bearer, Kind};
use service_kit::config::PublicUrl;
use service_kit::outgoing::Url;
use service_kit::problem::{Problem, code};
use uuid::Uuid;

use super::facts::unknown;
use super::limits::{Counted, Policy as Limit};
use super::sessions::InSession;
use super::sign_in::{Opening, Starting};
use super::tokens::Tokens;
use super::{Identity, Origin, second_factor, unavailable};
use crate::federation::{Federation, Pending};

mod arrival;

/// How long somebody may take at the provider.
pub const AT_PROVIDER: Duration = Duration::from_secs(10 * 60);
/// Where a sign-in ends that a page of ours began, in place of an application.
pub const BACK_PATH: &str = "/sign-in/back";
/// How long the code is good that ends a sign-in.
const HANDOVER: Duration = Duration::from_secs(60);
/// Characters of 32 bytes in base64 without padding.
const KEPT_CHARS: usize = 43;

/// What signing in with others works with beside identity. Clones are the same.
#[derive(Debug, Clone)]
pub struct Providers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    federation: Federation,
    public_url: Option<PublicUrl>,
}

impl Providers {
    /// Providers send people back to `public_url`; without it nobody can be sent there.
    #[must_use]
    pub fn new(federation: Federation, public_url: Option<PublicUrl>) -> Self {
        Self(Arc::new(Inner { federation, public_url }))
    }

    /// The address under which people reach us, if it is set.
    #[must_use]
    pub fn public_url(&self) -> Option<&PublicUrl> {
        self.0.public_url.as_ref()
    }

    /// What talks to them.
    pub(super) fn federation(&self) -> &Federation {
        &self.0.federation
    }

    /// Where a provider sends people back to. Each has an address of its own, so what one says cannot be taken for what
    /// another says (RFC 9700 section 4.4.2.2).
    ///
    /// # Errors
    /// `federation.provider-unavailable`, if nobody can be sent here.
    pub fn callback(&self, provider: ProviderId) -> Result<String, Problem> {
        let url = self.0.public_url.as_ref();
        let url =
            url.ok_or_else(|| Problem::new(&code::PROVIDER_UNAVAILABLE, "QUIPU_PUBLIC_URL is not set"))?;
        Ok(url.link(&format!("/v1/auth/{provider}/callback"), None))
    }

    /// Whether this is the page of ours where a sign-in that it began ends.
    fn is_page(&self, return_uri: &str) -> bool {
        self.0.public_url.as_ref().is_some_and(|it| it.link(BACK_PATH, None) == return_uri)
    }
}

/// SHA-256 of what whoever begins a sign-in alone knows, as PKCE has it (RFC 7636 section 4.2, method S256).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge([u8; 32]);

impl Challenge {
    /// Reads 43 characters of base64url.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The challenge of a verifier, if it is one: 43 to 128 of the characters that RFC 7636 section 4.1 names.
    #[must_use]
    pub fn of(verifier: &str) -> Option<Self> {
        let known = |it: u8| it.is_ascii_alphanumeric() || b"-._~".contains(&it);
        let is_good = (43..=128).contains(&verifier.len()) && verifier.bytes().all(known);
        let hash = digest(&SHA256, verifier.as_bytes());
        is_good.then(|| hash.as_ref().try_into().ok().map(Self)).flatten()
    }
}

/// Somebody wants to sign in with a provider.
#[derive(Debug, Clone)]
pub struct BeginFederated {
    /// In which organisation.
    pub tenant: TenantId,
    /// The provider's name.
    pub provider: String,
    /// Where they want to be sent when they are through.
    pub return_uri: String,
    /// What binds the last step to them.
    pub challenge: Challenge,
    /// What their browser keeps of an earlier sign-in.
    pub browser: Option<String>,
    /// Who is signed in and wants a link.
    pub signed_in: Option<InSession>,
}

/// Where to send them.
pub struct Sent {
    /// The provider.
    pub url: Url,
    /// What their browser must keep until they are back.
    pub browser: String,
}

/// Somebody is signed in.
pub struct HandedOver {
    /// What they go on with.
    pub tokens: Tokens,
    /// Up to here the log holds the session.
    pub position: LogPosition,
}

/// What is kept of a sign-in while somebody is at the provider.
#[derive(Serialize, Deserialize)]
struct Kept {
    pending: Pending,
    return_uri: String,
    challenge: [u8; 32],
    /// The session of whoever wants a link.
    session: Option<Uuid>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

/// What a browser keeps, and what we keep of it.
struct Browser(String);

impl Browser {
    /// The one that it has, so that two sign-ins at once do not end each other, or a fresh one.
    fn of(kept: Option<&str>) -> Result<Self, Problem> {
        if let Some(kept) = kept.and_then(Self::kept) {
            return Ok(kept);
        }
        let mut bytes = [0; 32];
        rand::fill(&mut bytes)
            .map_err(|_| Problem::fault(&crate::federation::ProviderError::NoRandomness))?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    fn kept(text: &str) -> Option<Self> {
        let is_good = text.len() == KEPT_CHARS && URL_SAFE_NO_PAD.decode(text).is_ok();
        is_good.then(|| Self(text.to_owned()))
    }

    fn hash(&self) -> Digest {
        let mut context = Context::new(&SHA256);
        context.update(b"quipu sign-in browser v1\0");
        context.update(self.0.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Digest(hash)
    }
}

/// How is a provider set up?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct SettingsOf(TenantId, ProviderId);

impl Question for SettingsOf {
    type Answer = Option<ProviderSettings>;

    fn tenant(&self) -> TenantId {
        self.0
    }

    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![provider::stream(self.1)]
    }

    fn answer(&self, view: &View<'_>) -> Option<ProviderSettings> {
        match view.find::<Provider>(self.1.uuid())?.state {
            Provider::Active(settings) => Some(settings.as_ref().clone()),
            Provider::Absent | Provider::Removed => None,
        }
    }
}

/// There is no such provider for whoever asks.
fn no_provider() -> Problem {
    Problem::new(&code::NOT_FOUND, "there is no such provider")
}

/// A sign-in that was kept cannot be had.
pub(super) fn not_kept(error: FederationVaultError) -> Problem {
    match error {
        FederationVaultError::Database(error) => unavailable(error),
        FederationVaultError::Key(error) => Problem::fault(&error),
    }
}

impl Identity {
    /// The organisation of a name.
    ///
    /// # Errors
    /// `organisation.not-found`.
    pub async fn organisation(&self, slug: &str) -> Result<TenantId, Problem> {
        self.known_tenant(slug).await
    }

    /// The providers with which people of an organisation sign in, by name.
    ///
    /// # Errors
    /// If the log does not answer.
    pub async fn providers(&self, tenant: TenantId) -> Result<Vec<(ProviderId, ProviderSettings)>, Problem> {
        let listed = self.parts().vault.providers(tenant).await.map_err(unavailable)?;
        let mut all = Vec::with_capacity(listed.len());
        for provider in listed {
            all.extend(self.provider(tenant, provider).await?.map(|settings| (provider, settings)));
        }
        Ok(all)
    }

    /// How a provider is set up, if people sign in with it.
    ///
    /// # Errors
    /// If the log does not answer.
    pub async fn provider(
        &self,
        tenant: TenantId,
        provider: ProviderId,
    ) -> Result<Option<ProviderSettings>, Problem> {
        let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
        let settings = look(&mut conn, &SettingsOf(tenant, provider)).await.map_err(unknown)?;
        Ok(settings.as_ref().clone())
    }

    /// Begins a sign-in with a provider.
    ///
    /// # Errors
    /// `rate.limited`, `request.not-found`, `federation.return-uri-unknown`, `federation.provider-unavailable`,
    /// `overload.too-many-requests`.
    pub async fn begin_federated(
        &self,
        with: &Providers,
        asked: BeginFederated,
        origin: &Origin,
    ) -> Result<Sent, Problem> {
        // What is begun is kept for a while.
        self.limits().check([Counted::address(Limit::SignIn, origin.ip)]).await?;
        // Whoever has a link can sign in by it for ever: it is asked for in person, by somebody who has just shown who they are.
        if let Some(who) = asked.signed_in {
            self.fresh(who).await?;
        }
        let (parts, tenant) = (self.parts(), asked.tenant);
        let holder =
            parts.vault.claim_holder(tenant, NAME_SCOPE, &asked.provider).await.map_err(unavailable)?;
        let provider = ProviderId::new(holder.ok_or_else(no_provider)?);
        let settings = self.provider(tenant, provider).await?.ok_or_else(no_provider)?;
        let is_ours = with.is_page(&asked.return_uri);
        if !is_ours && !settings.return_uris.iter().any(|it| it.as_str() == asked.return_uri) {
            return Err(Problem::new(&code::RETURN_URI_UNKNOWN, ""));
        }
        let state =
            Bearer::make(Kind::ProviderState, tenant, Uuid::now_v7()).map_err(|it| Problem::fault(&it))?;
        let browser = Browser::of(asked.browser.as_deref())?;
        let callback = with.callback(provider)?;
        let (url, pending) =
            with.0.federation.begin(&settings, state.text().expose_secret(), &callback).await?;
        let session = asked.signed_in.map(|it| it.session.uuid());
        let Challenge(challenge) = asked.challenge;
        let kept = Kept { pending, return_uri: asked.return_uri, challenge, session };
        let content = serde_json::to_vec(&kept).map_err(|error| Problem::fault(&error))?;
        let begun = Begun {
            tenant,
            state: state.id,
            hash: Digest(state.hash()),
            browser: browser.hash(),
            provider,
            user: asked.signed_in.map(|it| it.user),
            content: &content,
        };
        match parts.vault.begin_oauth(&begun, AT_PROVIDER, &parts.master).await.map_err(not_kept)? {
            true => Ok(Sent { url, browser: browser.0 }),
            false => Err(Problem::new(&code::OVERLOADED, "")),
        }
    }

    /// Our secret at a provider.
    pub(super) async fn secret_at(
        &self,
        tenant: TenantId,
        settings: &ProviderSettings,
    ) -> Result<Option<SecretString>, Problem> {
        let Some(secret) = settings.secret_id else { return Ok(None) };
        let parts = self.parts();
        let text = parts.vault.provider_secret(tenant, secret, &parts.master).await.map_err(not_kept)?;
        Ok(text.map(SecretString::from))
    }

    /// Exchanges the code of a sign-in for tokens: the session starts, if the link still stands at that moment.
    ///
    /// # Errors
    /// `rate.limited`, `federation.handover-invalid`, and what refuses a session; `identity.second-factor-required` has a ticket.
    pub async fn hand_over(
        &self,
        shown: &str,
        verifier: &str,
        origin: &Origin,
    ) -> Result<HandedOver, Problem> {
        let invalid = || Problem::new(&code::HANDOVER_INVALID, "");
        self.limits().check([Counted::address(Limit::Links, origin.ip)]).await?;
        let shown = Bearer::parse(Kind::Handover, shown).map_err(|_| invalid())?;
        let Challenge(answer) = Challenge::of(verifier).ok_or_else(invalid)?;
        let tenant = shown.tenant;
        let taken =
            self.parts().vault.take_handover(tenant, shown.id, Digest(shown.hash()), Digest(answer)).await;
        let (arrival, came_at) = taken.map_err(unavailable)?.ok_or_else(invalid)?;
        let method = self.provider(tenant, arrival.provider).await?.ok_or_else(invalid)?.kind;
        let check = CheckLink { link_id: arrival.link, user_id: arrival.user, provider_id: arrival.provider };
        let policy = self.policy(tenant).await?;
        let user = arrival.user;
        let amr = vec![Word::of("fed")];
        let starting = Starting { tenant, user, seen: None, method: method.clone(), amr, auth_time: came_at };
        let Opening { session, refresh, start, family } = self.opening(starting, &policy)?;
        let unit = Unit::new(tenant, origin.cause(user.actor()), check)
            .and(tenant, start)
            .minting(session::stream(session))
            .with_vault([family]);
        let position = match self.submit(unit).await? {
            Ok(position) => position,
            Err(refusal) if second_factor::is_asked_for(&refusal) => {
                let email = self.address_of(tenant, user).await?.ok_or_else(invalid)?;
                let first = FirstHalf {
                    user,
                    counter: (AttemptKind::SignIn, self.attempts_index(tenant, &email)),
                    method: method.to_string(),
                    amr: vec!["fed".to_owned()],
                    auth_time: came_at,
                    seen: None,
                    renewed: None,
                    link: Some((arrival.link, arrival.provider)),
                };
                return Err(self.ask_for_factor(tenant, &first, None).await);
            }
            Err(refusal) => return Err(refusal.into()),
        };
        self.end_beyond(tenant, user, policy.sessions.live_max, origin).await;
        let tokens = self.tokens(tenant, session, user, refresh).await?;
        Ok(HandedOver { tokens, position })
    }

    /// The links of a user, with how the provider is set up where it still is.
    ///
    /// # Errors
    /// If the log does not answer.
    pub async fn links(
        &self,
        tenant: TenantId,
        user: UserId,
    ) -> Result<Vec<(event_store::vault::LinkRow, Option<ProviderSettings>)>, Problem> {
        let rows = self.parts().vault.links_of(tenant, user).await.map_err(unavailable)?;
        let mut links = Vec::with_capacity(rows.len());
        for row in rows {
            links.push((row, self.provider(tenant, row.provider).await?));
        }
        Ok(links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_that_of_its_verifier() {
        // The example of RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = Challenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert!(challenge.is_some());
        assert_eq!(Challenge::of(verifier), challenge);
        for text in
            ["", "E9Melhoa", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM=", &"!".repeat(43), &"a".repeat(44)]
        {
            assert_eq!(Challenge::parse(text), None, "{text}");
        }
        for text in ["", &verifier[1..], &"a".repeat(129), &format!("{verifier} ")] {
            assert_eq!(Challenge::of(text), None, "{text}");
        }
    }

    #[test]
    fn a_browser_keeps_what_it_has_if_that_is_ours() {
        let fresh = Browser::of(None).unwrap().0;
        assert_eq!(Browser::of(Some(&fresh)).unwrap().0, fresh);
        for odd in ["", "x", &fresh[1..], &format!("{fresh};"), &"!".repeat(43)] {
            assert_ne!(Browser::of(Some(odd)).unwrap().0, odd);
        }
    }
}
