//! Signing in with a provider: begun here, gone on with there, ended by a code that whoever began exchanges for tokens.
//!
//! | step | kept meanwhile | bound to |
//! |---|---|---|
//! | begin: the browser goes to the provider | nonce, PKCE, where to return; sealed, 10 minutes | the browser, by a cookie |
//! | return: the provider's word is judged (`federated/arrival.rs`) | a code, 60 seconds | whoever began, by a challenge |
//! | handover: the session starts | - | the link and the policy, judged at its commit |
//!
//! The session counts as of when the person showed the provider who they are (`federated/freshness.rs`), which may be long ago.
//! State and code work once each (CVE-2025-46815). No token is ever in an address.

mod arrival;
mod binding;
mod freshness;
mod links;
mod settings;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use domain::federation::ProviderSettings;
use domain::federation::provider::NAME_SCOPE;
use domain::identity::session;
use domain::ids::{ProviderId, TenantId};
use domain::words::Word;
use event_schemas::envelope::LogPosition;
use event_store::Unit;
use event_store::vault::{AttemptKind, Begun, Digest, FirstHalf};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use service_kit::bearer::{Bearer, Kind};
use service_kit::config::PublicUrl;
use service_kit::outgoing::Url;
use service_kit::problem::{Problem, code};
use uuid::Uuid;

use super::figures::Waiting;
use super::limits::{Counted, Policy as Limit};
use super::sessions::InSession;
use super::sign_in::{Opening, Starting};
use super::tokens::Tokens;
use super::{Identity, Origin, second_factor, unavailable};
use crate::federation::{Federation, Pending, ProviderError};
use binding::Browser;
pub use binding::Challenge;
pub use freshness::Freshness;
pub use links::GivingUp;
pub(super) use links::by_link;
use settings::no_provider;
pub(super) use settings::not_kept;

/// How long somebody may take at the provider.
pub const AT_PROVIDER: Duration = Duration::from_secs(10 * 60);
/// Where a sign-in ends that a page of ours began, in place of an application.
pub const BACK_PATH: &str = "/sign-in/back";
/// How long the code is good that ends a sign-in.
const HANDOVER: Duration = Duration::from_secs(60);
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

    /// What talks to those of a tenant.
    pub(super) fn federation(&self, tenant: TenantId) -> Federation {
        self.0.federation.of(tenant)
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

    /// Looks whether a provider can be asked; if not, why: a word for it, and the same in a sentence.
    pub async fn check(
        &self,
        tenant: TenantId,
        provider: ProviderId,
        settings: &ProviderSettings,
    ) -> Result<(), (&'static str, String)> {
        let checked = self.federation(tenant).check(settings).await;
        checked.map_err(|error| {
            tell(provider, &error);
            let detail = match &error {
                ProviderError::Unavailable(cause) => cause.to_string(),
                other => other.to_string(),
            };
            (error.word(), detail)
        })
    }

    /// Whether this is the page of ours where a sign-in that it began ends.
    fn is_page(&self, return_uri: &str) -> bool {
        self.0.public_url.as_ref().is_some_and(|it| it.link(BACK_PATH, None) == return_uri)
    }
}

/// Says why a provider is of no use to anybody now. Whoever comes while it rests is told no more than that.
fn tell(provider: ProviderId, error: &ProviderError) {
    if !matches!(error, ProviderError::Resting | ProviderError::Denied | ProviderError::NotFresh) {
        tracing::warn!(%provider, error = error.cause(), "a provider cannot be used");
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
    /// What of it must be fresh.
    pub freshness: Freshness,
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
    #[serde(default)]
    freshness: Freshness,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl Identity {
    /// Begins a sign-in with a provider.
    ///
    /// # Errors
    /// `rate.limited`, `request.not-found`, `federation.return-uri-unknown`, `federation.provider-unavailable`.
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
        let settings = self.offered_provider(tenant, provider).await?.filter(|it| !it.incomplete);
        let settings = settings.ok_or_else(no_provider)?;
        let is_ours = with.is_page(&asked.return_uri);
        if !is_ours && !settings.return_uris.iter().any(|it| it.as_str() == asked.return_uri) {
            return Err(Problem::new(&code::RETURN_URI_UNKNOWN, ""));
        }
        let state = Bearer::make(Kind::ProviderState, tenant, Uuid::now_v7())?;
        let browser = Browser::of(asked.browser.as_deref())?;
        let callback = with.callback(provider)?;
        let since = (asked.freshness != Freshness::Any).then(Utc::now);
        let federation = with.federation(tenant);
        let begun = federation.begin(&settings, state.text().expose_secret(), &callback, since).await;
        let (url, pending) = begun.inspect_err(|error| tell(provider, error))?;
        let session = asked.signed_in.map(|it| it.session.uuid());
        let user = asked.signed_in.map(|it| it.user);
        let challenge = asked.challenge.hash();
        let (return_uri, freshness) = (asked.return_uri, asked.freshness);
        let kept = Kept { pending, return_uri, challenge, session, freshness };
        let content = serde_json::to_vec(&kept).map_err(|error| Problem::fault(&error))?;
        let begun = Begun {
            tenant,
            state: state.id,
            hash: Digest(state.hash()),
            browser: browser.hash(),
            provider,
            user,
            whose: parts.limits.origin(tenant, origin.ip, user),
            content: &content,
        };
        let gone = parts.vault.begin_oauth(&begun, AT_PROVIDER, &parts.master).await.map_err(not_kept)?;
        self.figures().made_room(Waiting::AtProvider, gone);
        Ok(Sent { url, browser: browser.text().to_owned() })
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
        self.figures().sign_in(self.by_link(shown, verifier, origin).await)
    }

    async fn by_link(&self, shown: &str, verifier: &str, origin: &Origin) -> Result<HandedOver, Problem> {
        let invalid = || Problem::new(&code::HANDOVER_INVALID, "");
        self.limits().check([Counted::address(Limit::Links, origin.ip)]).await?;
        let shown = Bearer::parse(Kind::Handover, shown).map_err(|_| invalid())?;
        let answer = Challenge::of(verifier).ok_or_else(invalid)?.hash();
        let tenant = shown.tenant;
        let taken =
            self.parts().vault.take_handover(tenant, shown.id, Digest(shown.hash()), Digest(answer)).await;
        let (arrival, auth_time) = taken.map_err(unavailable)?.ok_or_else(invalid)?;
        let method = self.offered_provider(tenant, arrival.provider).await?.ok_or_else(invalid)?.kind;
        let policy = self.policy(tenant).await?;
        let user = arrival.user;
        let amr = vec![Word::of("fed")];
        let starting = Starting { tenant, user, seen: None, method: method.clone(), amr, auth_time };
        let Opening { session, refresh, start, family } = self.opening(starting, &policy)?;
        let unit = Unit::empty(tenant, origin.cause(user.actor()));
        let unit = by_link(unit, user, (arrival.link, arrival.provider))
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
                    auth_time,
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
}
