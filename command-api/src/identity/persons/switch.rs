//! Going on in another organisation without signing in again: a session there, with what was shown here. It is no fresher than
//! the one that it came from, and lasts by itself: as long as the organisation there lets it, and while the link stands.
//!
//! The organisation there looks at everything that it looks at when somebody signs in. A second factor that its user has there
//! is asked for, whatever was shown here.

use chrono::{DateTime, Utc};
use domain::gate::{GateError, Gated};
use domain::identity::{IdentityError, assurance, session};
use domain::ids::{SessionId, TenantId, UserId};
use domain::sign_in::StartSession;
use domain::switching::{EnterByLink, SwitchAway};
use domain::words::Word;
use domain::{Decision as _, Refusal, StreamId, View};
use event_schemas::envelope::LogPosition;
use event_store::Unit;
use event_store::access::{Question, look};
use secrecy::SecretString;
use service_kit::problem::{Problem, code};
use uuid::Uuid;

use super::super::facts::unknown;
use super::super::guessing::{CREDENTIALS, Door};
use super::super::sessions::InSession;
use super::super::sign_in::{Opening, Starting};
use super::super::tokens::Tokens;
use super::super::{Identity, Origin, second_factor, unavailable};
use super::tomorrow;

/// How such a session begins.
const SWITCH: &str = "switch";
/// What a code of an authenticator shows (RFC 8176).
const OTP: Word = Word::of("otp");

/// An organisation in which a person is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnOrganization {
    /// Which.
    pub tenant: TenantId,
    /// Its name in addresses.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Who the person is there.
    pub user: UserId,
    /// By which link, and since when; none for the one in which they are now.
    pub link: Option<(Uuid, DateTime<Utc>)>,
    /// Why they cannot go on there now, if they cannot.
    pub refusal: Option<Refusal>,
}

/// Somebody wants to go on elsewhere.
#[derive(Debug)]
pub struct Switch {
    /// The name of the organisation.
    pub slug: String,
    /// The code that their authenticator for that organisation shows, if they have one.
    pub code: Option<SecretString>,
}

/// They did.
#[derive(Debug)]
pub struct Switched {
    /// What they go on with.
    pub tokens: Tokens,
    /// Up to here the log holds the session.
    pub position: LogPosition,
}

/// May a person go on in an organisation, with what they showed elsewhere? It is judged again when they do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Entering {
    tenant: TenantId,
    user: UserId,
    link: Uuid,
    amr: Vec<Word>,
    auth_time: DateTime<Utc>,
}

impl Entering {
    fn command(&self) -> EnterByLink {
        let start = StartSession {
            session_id: SessionId::new(Uuid::nil()),
            user_id: self.user,
            seen: None,
            verified_by_method: false,
            method: Word::of(SWITCH),
            amr: self.amr.clone(),
            auth_time: self.auth_time,
            expires_at: tomorrow(),
            service_id: None,
            device: None,
            impersonation_id: None,
        };
        EnterByLink { start, link: self.link, own_factor: false }
    }
}

impl Question for Entering {
    type Answer = Option<Refusal>;

    fn tenant(&self) -> TenantId {
        self.tenant
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        self.command().needs(view)
    }

    fn answer(&self, view: &View<'_>) -> Option<Refusal> {
        self.command().decide(view).err()
    }
}

impl Identity {
    /// The organisations in which the person of a session is: the one of the session, then the others in the order in which
    /// they were linked. Those are not told to somebody who has only the word of a provider, which the organisation of the
    /// session sets up itself.
    ///
    /// # Errors
    /// `auth.session-ended`; if the log or the vault does not answer.
    pub async fn own_organizations(&self, who: InSession) -> Result<Vec<OwnOrganization>, Problem> {
        let proof = self.stands(who).await?.ok_or_else(ended)?;
        let (slug, name) = self.names(who.tenant).await?;
        let here =
            OwnOrganization { tenant: who.tenant, slug, name, user: who.user, link: None, refusal: None };
        let mut all = vec![here];
        if !assurance::is_own_proof(&proof.amr) {
            return Ok(all);
        }
        for it in self.links_elsewhere(who.tenant, who.user).await? {
            let entering = Entering {
                tenant: it.other_tenant,
                user: it.other_user,
                link: it.other_link,
                amr: proof.amr.clone(),
                auth_time: proof.auth_time,
            };
            let (slug, name) = self.names(it.other_tenant).await?;
            let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
            let refusal = look(&mut conn, &entering).await.map_err(unknown)?;
            all.push(OwnOrganization {
                tenant: it.other_tenant,
                slug,
                name,
                user: it.other_user,
                link: Some((it.link, it.since)),
                refusal: refusal.as_ref().clone(),
            });
        }
        Ok(all)
    }

    /// Starts a session of the same person in another organisation, if everything stands at that moment that it rests on: the
    /// session here, the link, and what the organisation there asks.
    ///
    /// # Errors
    /// `identity.not-linked`, for an organisation that does not exist too; `auth.session-ended`,
    /// `identity.own-proof-required`; `identity.second-factor-required` without a ticket, whose `factors` is `passkey` for whoever
    /// has no code to show there and signs in there by itself; `identity.locked` and
    /// `identity.code-invalid`; and what refuses a session.
    pub async fn switch(&self, who: InSession, asked: Switch, origin: &Origin) -> Result<Switched, Problem> {
        let not_linked = || Problem::from(Refusal::from(IdentityError::NotLinked));
        // Before anything that tells where else they are, or tries a code there: whoever comes on the word of a provider may be
        // the owner of the organisation that set it up.
        let proof = self.stands(who).await?.ok_or_else(ended)?;
        if !assurance::is_own_proof(&proof.amr) {
            return Err(Refusal::from(IdentityError::OwnProofRequired).into());
        }
        let tenant = self.tenant(&asked.slug).await?.ok_or_else(not_linked)?;
        let links = self.links_elsewhere(who.tenant, who.user).await?;
        let link = links.into_iter().find(|it| it.other_tenant == tenant).ok_or_else(not_linked)?;
        let (user, there) = (link.other_user, origin.elsewhere());
        let policy = self.policy(tenant).await?;
        let (mut amr, mut guess) = (proof.amr, None);
        if let Some(text) = &asked.code {
            let email = self.address_of(tenant, user).await?.ok_or_else(not_linked)?;
            let door = Door { tenant, exists: true, method: SWITCH, email: &email, origin: &there };
            let reserved = self.guess(&door, None, &policy).await?;
            if !self.takes_code(tenant, user, text, None).await? {
                self.failed(&door, &reserved, Some(user), CREDENTIALS).await;
                return Err(Problem::new(&code::CODE_INVALID, ""));
            }
            amr.push(OTP);
            guess = Some(reserved.returned());
        }
        let starting =
            Starting { tenant, user, seen: None, method: Word::of(SWITCH), amr, auth_time: proof.auth_time };
        let Opening { session, refresh, start, family } = self.opening(starting, &policy)?;
        let away = SwitchAway { session_id: who.session, user_id: who.user, link: link.link };
        // However long ago they signed in.
        let gate = who.gate().own_hand().while_pending();
        let away = Gated::new(gate, Box::new(away));
        let enter = EnterByLink { start, link: link.other_link, own_factor: guess.is_some() };
        let unit = Unit::new(who.tenant, origin.cause(who.user.actor()), away)
            .and(tenant, enter)
            .told_in(tenant, there.cause(user.actor()))
            .minting(session::stream(session))
            .with_vault([family].into_iter().chain(guess));
        let position = match self.submit(unit).await? {
            Ok(position) => position,
            Err(refusal) if second_factor::is_asked_for(&refusal) => {
                let known = self.factors(tenant, user).await?;
                let shows = if known.totp.is_some() { "totp" } else { "passkey" };
                return Err(Problem::from(refusal).with("factors", shows));
            }
            Err(refusal) => return Err(refusal.into()),
        };
        self.end_beyond(tenant, user, policy.sessions.live_max, &there).await;
        let tokens = self.tokens(tenant, session, user, refresh).await?;
        Ok(Switched { tokens, position })
    }
}

fn ended() -> Problem {
    Refusal::from(GateError::SessionEnded).into()
}
