//! Sessions that persons let services have: started when a person allowed it, kept with refresh tokens that the service alone
//! may show, ended when one comes back. And what is known of services and persons for that.
//!
//! Not here: the words of OAuth, which are [`crate::oauth`].
//!
//! **Invariant:** such a session starts only while the session stands in which the person allowed it, and while they allow all
//! that it is for; so whoever ends all of theirs, takes back what they allowed, is deactivated or removed ends what is under
//! way, too.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use domain::application::service;
use domain::application::{Consent, Consented, LiveService, RevokeConsent, Secret, Service, consent};
use domain::gate::Gated;
use domain::identity::{GiveBackToken, LiveSession, User, session, user};
use domain::ids::{ActorId, ServiceId, SessionId, TenantId, TokenId, UserId};
use domain::organisation::{Standing, TenantStatus, standing};
use domain::sign_in::StartSession;
use domain::words::{Scope, Word};
use domain::{Decision, Refusal, StreamId, View};
use event_store::Unit;
use event_store::access::{Question, look};
use event_store::vault::{Digest, NewFamily, Rotation, ShownToken, VaultChange};
use sabotage::Guard;
use secrecy::SecretString;
use service_kit::bearer::{Bearer, ClientId, Kind};
use service_kit::problem::{Problem, code};
use service_kit::token::{Grant, Issued, SignError};
use uuid::Uuid;

use super::facts::{Stands, unknown};
use super::limits::{Counted, LocalPolicy};
use super::sessions::{InSession, ending};
use super::tokens::Holder;
use super::{Identity, Origin, unavailable};

/// What a service is let have.
#[derive(Debug, Clone)]
pub(crate) struct Lent {
    /// The service.
    pub client: ClientId,
    /// Who lets it.
    pub user: UserId,
    /// In which session of theirs.
    pub came_by: SessionId,
    /// What: names parted by spaces.
    pub scope: String,
    /// How it was asked for.
    pub method: &'static str,
    /// Whether it may go on by itself when an access token is over.
    pub refreshes: bool,
}

/// What a service goes on with.
pub(crate) struct LentTokens {
    /// Says who acts, and for whom.
    pub access: Issued,
    /// Gets the next two, once.
    pub refresh: Option<SecretString>,
    /// The session.
    pub session: SessionId,
    /// Whose.
    pub user: UserId,
    /// What the access token is for: names parted by spaces.
    pub scope: String,
    /// How the person showed who they are, and when.
    pub proof: LiveSession,
}

/// What is known of a person that services may be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// Whether the address is proven.
    pub email_verified: bool,
    /// The language in which they are written to.
    pub language: String,
}

/// Is a service there, and may it and its organisation work?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ServiceOf(TenantId, ServiceId);

impl Question for ServiceOf {
    type Answer = Option<LiveService>;

    fn tenant(&self) -> TenantId {
        self.0
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        vec![service::stream(self.1), standing::stream(view.tenant)]
    }

    fn answer(&self, view: &View<'_>) -> Option<LiveService> {
        let standing = view.find::<Standing>(view.tenant.uuid()).map(|it| it.state.status);
        if standing.is_some_and(|it| it != TenantStatus::Active) {
            return None;
        }
        match view.find::<Service>(self.1.uuid())?.state {
            Service::Active(service) => Some(service.clone()),
            Service::Absent | Service::Suspended(_) | Service::Removed => None,
        }
    }
}

/// What does a person allow a service?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ConsentOf(TenantId, UserId, ServiceId);

impl Question for ConsentOf {
    type Answer = Consent;

    fn tenant(&self) -> TenantId {
        self.0
    }

    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![consent::stream(self.1, self.2)]
    }

    fn answer(&self, view: &View<'_>) -> Consent {
        view.find::<Consent>(consent::id(self.1, self.2)).map(|it| it.state.clone()).unwrap_or_default()
    }
}

/// What is known of a person?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct PersonOf(TenantId, UserId);

impl Question for PersonOf {
    type Answer = Option<Known>;

    fn tenant(&self) -> TenantId {
        self.0
    }

    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![user::stream(self.1)]
    }

    fn answer(&self, view: &View<'_>) -> Option<Known> {
        match view.find::<User>(self.1.uuid())?.state {
            User::Active(it) => {
                Some(Known { email_verified: it.email_verified, language: it.language.to_string() })
            }
            User::Absent | User::Inactive(_) | User::Erased => None,
        }
    }
}

impl Identity {
    /// The answer of the log as it stands now.
    async fn asked<Q: Question>(&self, question: Q) -> Result<Arc<Q::Answer>, Problem> {
        let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
        look(&mut conn, &question).await.map_err(unknown)
    }

    /// A service, if it and its organisation may work.
    pub(crate) async fn service(&self, client: ClientId) -> Result<Option<LiveService>, Problem> {
        Ok(self.asked(ServiceOf(client.tenant, client.service)).await?.as_ref().clone())
    }

    /// Whether a person allows a service all of these.
    pub(crate) async fn consents(
        &self,
        client: ClientId,
        user: UserId,
        scopes: &[Scope],
    ) -> Result<bool, Problem> {
        Ok(self.asked(ConsentOf(client.tenant, user, client.service)).await?.covers(scopes))
    }

    /// What services may be told of a person who is active.
    pub(crate) async fn known(&self, tenant: TenantId, user: UserId) -> Result<Option<Known>, Problem> {
        Ok(self.asked(PersonOf(tenant, user)).await?.as_ref().clone())
    }

    /// The address of a person, as they wrote it.
    pub(crate) async fn mailbox(&self, tenant: TenantId, user: UserId) -> Result<Option<String>, Problem> {
        Ok(self.address_of(tenant, user).await?.map(|it| it.mailbox().to_owned()))
    }

    /// The roles that the person of a session has, if the session stands.
    pub(crate) async fn roles_in(&self, who: InSession) -> Result<Option<Vec<String>>, Problem> {
        let stands = self.standing(who.tenant, who.session, who.user).await?;
        Ok(stands.as_ref().as_ref().map(|it| it.roles.clone()))
    }

    /// How a session of a person stands, if it does.
    pub(crate) async fn stands(&self, who: InSession) -> Result<Option<LiveSession>, Problem> {
        let stands = self.standing(who.tenant, who.session, who.user).await?;
        Ok(stands.as_ref().as_ref().map(|it| it.session.clone()))
    }

    /// The same, if it was shown all that the organisation asks of those who sign in: what others may rely on.
    pub(crate) async fn stands_with_every_factor(
        &self,
        who: InSession,
    ) -> Result<Option<LiveSession>, Problem> {
        let stands = self.standing(who.tenant, who.session, who.user).await?;
        Ok(stands.as_ref().as_ref().filter(|it| !it.lacks_factor).map(|it| it.session.clone()))
    }

    /// Commands of a person's own hand, all or none, behind the gate of a session of theirs.
    pub(crate) async fn by_own_hand(
        &self,
        who: InSession,
        commands: impl IntoIterator<Item = Box<dyn Decision>>,
        vault: Option<VaultChange>,
        origin: &Origin,
    ) -> Result<(), Problem> {
        let mut commands = commands.into_iter();
        let first = commands.next().map(|it| own_hand(who, it));
        let unit = Unit::of(who.tenant, origin.cause(who.user.actor()), first.into_iter().chain(commands));
        self.submit(unit.with_vault(vault)).await?.map_err(Problem::from)?;
        Ok(())
    }

    /// Starts a session that a service is let have, if everything that it rests on stands at its commit. `first` is what must
    /// be so before, in the same unit: with it comes what changes in the vault.
    pub(crate) async fn lend(
        &self,
        lent: Lent,
        session: SessionId,
        first: Option<(Box<dyn Decision>, VaultChange)>,
        origin: &Origin,
    ) -> Result<Result<LentTokens, Refusal>, Problem> {
        let ClientId { tenant, service } = lent.client;
        let who = InSession { tenant, session: lent.came_by, user: lent.user };
        let ended = || domain::gate::GateError::SessionEnded.into();
        let Some(proof) = self.stands(who).await? else { return Ok(Err(ended())) };
        let policy = self.policy(tenant).await?;
        let now = Utc::now();
        let until = now + policy.session_max();
        let refresh =
            if lent.refreshes { Some(Bearer::make(Kind::Refresh, tenant, Uuid::now_v7())?) } else { None };
        let start = StartSession {
            session_id: session,
            user_id: lent.user,
            seen: None,
            verified_by_method: false,
            method: Word::of(lent.method),
            amr: proof.amr,
            auth_time: proof.auth_time,
            expires_at: until,
            service_id: Some(service),
            device: None,
            impersonation_id: None,
        };
        let family = refresh.as_ref().map(|token| {
            VaultChange::OpenFamily(NewFamily {
                tenant,
                family: Uuid::now_v7(),
                session: session.uuid(),
                user: lent.user.uuid(),
                service: Some(service.uuid()),
                scope: lent.scope.clone(),
                absolute_until: until,
                idle_seconds: policy.sessions.idle_s,
                token: token.id,
                hash: Digest(token.hash()),
            })
        });
        let (first, noted) = first.unzip();
        let (user_id, scopes, inner) = (lent.user, named(&lent.scope), Box::new(start));
        let start: Box<dyn Decision> = if sabotage::stands(Guard::ConsentAtCommit) {
            Box::new(Consented { user_id, service_id: service, scopes, inner })
        } else {
            inner
        };
        let mut decisions = first.into_iter().chain([start]);
        // The session in which it was allowed is asked for once: the first command carries the gate.
        let gated = decisions.next().map(|it| own_hand(who, it));
        let unit = Unit::of(tenant, origin.cause(lent.user.actor()), gated.into_iter().chain(decisions))
            .minting(session::stream(session))
            .with_vault(family.into_iter().chain(noted));
        if let Err(refusal) = self.submit(unit).await? {
            return Ok(Err(refusal));
        }
        self.end_beyond(tenant, lent.user, policy.sessions.live_max, origin).await;
        let stands = self.standing(tenant, session, lent.user).await?;
        let Some(stands) = stands.as_ref() else { return Ok(Err(ended())) };
        let tokens = self.lent_tokens(tenant, session, lent.user, &lent.scope, stands).await?;
        Ok(Ok(LentTokens { refresh: refresh.map(|it| it.text()), ..tokens }))
    }

    async fn lent_tokens(
        &self,
        tenant: TenantId,
        session: SessionId,
        user: UserId,
        scope: &str,
        stands: &Stands,
    ) -> Result<LentTokens, Problem> {
        let access = self.access_token(Holder { tenant, session, user, scope }, stands).await?;
        let (scope, proof) = (scope.to_owned(), stands.session.clone());
        Ok(LentTokens { access, refresh: None, session, user, scope, proof })
    }

    /// Exchanges a refresh token of a service. `narrowed` asks for less than was allowed, and gives it from what was.
    ///
    /// # Errors
    /// `identity.refresh-invalid`, `identity.refresh-reused`, `rate.limited`, and what `narrowed` refuses.
    pub(crate) async fn refresh_lent<E: From<Problem>>(
        &self,
        shown: &ShownToken,
        narrowed: impl FnOnce(&str) -> Result<String, E>,
        origin: &Origin,
    ) -> Result<LentTokens, E> {
        let invalid = || Problem::new(&code::REFRESH_INVALID, "");
        let vault = &self.parts().vault;
        let held = vault.family_of(shown).await.map_err(unavailable)?.ok_or_else(invalid)?;
        let (session, user) = (SessionId::new(held.session.session), UserId::new(held.session.user));
        self.limits().check_here(Counted::id(LocalPolicy::Refresh, shown.tenant, session.uuid()))?;
        // Everything that can fail for another reason comes first, so that a token is not used up for nothing.
        let scope = narrowed(&held.scope)?;
        let stands = self.standing(shown.tenant, session, user).await?;
        let (tokens, grace) = match stands.as_ref() {
            Some(stands) if !stands.lacks_factor => {
                let tokens = self.lent_tokens(shown.tenant, session, user, &scope, stands).await?;
                (Some(tokens), stands.policy.sessions.grace_s)
            }
            Some(_) | None => (None, 0),
        };
        let next = Bearer::make(Kind::Refresh, shown.tenant, Uuid::now_v7()).map_err(Problem::from)?;
        let grace = Duration::from_secs(grace.into());
        let rotation = vault.rotate_refresh(shown, next.id, Digest(next.hash()), grace).await;
        let rotation = rotation.map_err(unavailable)?;
        self.figures().refresh(&rotation);
        match (rotation, tokens) {
            (Rotation::Rotated { .. }, Some(tokens)) => {
                Ok(LentTokens { refresh: Some(next.text()), ..tokens })
            }
            (Rotation::Rotated { .. } | Rotation::Invalid, _) => Err(invalid().into()),
            (Rotation::Reused(reused), _) => {
                self.end_reused(reused, origin).await;
                Err(Problem::new(&code::REFRESH_REUSED, "").into())
            }
        }
    }

    /// Ends a session that a service was let have, and its refresh tokens. It is no error if there is none.
    pub(crate) async fn take_back(
        &self,
        who: InSession,
        because: &'static str,
        by: ActorId,
        origin: &Origin,
    ) -> Result<(), Problem> {
        let (decision, revoke) = ending(who.tenant, who.session, who.user, because, by);
        match self.submit(Unit::new(who.tenant, origin.cause(by), decision).with_vault([revoke])).await? {
            Err(refusal) if refusal.code != "identity.session-not-found" => Err(refusal.into()),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Makes a token good no more that a service got to act for itself.
    pub(crate) async fn give_back(
        &self,
        client: ClientId,
        token_id: TokenId,
        origin: &Origin,
    ) -> Result<(), Problem> {
        let by = client.service.actor();
        let unit = Unit::new(client.tenant, origin.cause(by), GiveBackToken { token_id, by });
        self.submit(unit).await?.map_err(Problem::from)?;
        Ok(())
    }

    /// An access token for a service that acts for itself. It is good while the secret is for which the service gets it.
    pub(crate) async fn service_token(
        &self,
        client: ClientId,
        secret: Secret,
        scope: String,
    ) -> Result<Issued, Problem> {
        let policy = self.policy(client.tenant).await?;
        let now = Utc::now();
        let grant = Grant {
            sub: client.service.actor(),
            tenant_id: client.tenant,
            sid: None,
            email: None,
            roles: Vec::new(),
            amr: Vec::new(),
            auth_time: None,
            scope: Some(scope),
            client_id: Some(client.to_string()),
            secret_id: Some(secret.secret_id.uuid()),
            act: None,
        };
        let life = Duration::from_secs(policy.sessions.access_s.into());
        let left = secret.expires_at.map_or(life, |it| (it - now).to_std().unwrap_or_default());
        let issued = self.parts().signer.issue(&grant, now, life.min(left));
        issued.map_err(|error| not_signed(&error))
    }
}

/// A command behind the gate of a session of a person, which nobody passes for them, and of which services may believe that
/// the person signed in as the organisation asks.
fn own_hand(who: InSession, command: Box<dyn Decision>) -> Box<dyn Decision> {
    Box::new(Gated::new(who.gate().own_hand().with_every_factor(), command))
}

/// Scopes by their names, parted by spaces.
fn named(scope: &str) -> Vec<Scope> {
    scope.split(' ').filter_map(|it| Scope::parse(it).ok()).collect()
}

/// What takes back all that a person allows a service: the command and what goes with it.
pub(crate) fn taking_back(
    tenant: TenantId,
    user: UserId,
    service: ServiceId,
) -> (RevokeConsent, VaultChange) {
    let revoke = VaultChange::RevokeLent { tenant, user, service, because: "consent-revoked" };
    (RevokeConsent { user_id: user, service_id: service }, revoke)
}

/// Nothing can be signed now.
pub(crate) fn not_signed(error: &SignError) -> Problem {
    match error {
        SignError::NoKey => Problem::new(&code::NO_SIGNING_KEY, ""),
        SignError::Refused(_) => Problem::fault(error),
    }
}
