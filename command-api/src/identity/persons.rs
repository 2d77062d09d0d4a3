//! One person in several organisations: showing that two users are the same person, and taking that back. Where else somebody
//! is, is looked up for that person alone; no organisation is told of another one.
//!
//! A link is proven at both ends: a code is asked for in a session of one organisation and shown in a session of the other,
//! both of the person themselves and shortly after they signed in. It is good once, in the session of one user of one other
//! organisation, both named by whoever asked: a code that somebody else gets hold of links nobody to them.
//!
//! Going from one organisation to the other is [`switch`].

pub mod switch;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::gate::Gated;
use domain::identity::{Half, IdentityError, LinkIdentities, Session, UnlinkIdentities, session};
use domain::ids::{SessionId, TenantId, UserId};
use domain::organisation::{Tenant, tenant};
use domain::switching::LinkInSession;
use domain::{Decision, Refusal, StreamId, View};
use event_schemas::envelope::LogPosition;
use event_store::Unit;
use event_store::access::{Question, look};
use event_store::unit::NOT_APPLIED;
use event_store::vault::{Digest, FactorChange, LinkCode, NewPersonLink, PersonLink, VaultChange};
use secrecy::SecretString;
use service_kit::bearer::{Bearer, Kind};
use service_kit::email::EmailAddress;
use service_kit::problem::Problem;
use service_kit::telemetry::TraceId;
use uuid::Uuid;

use super::facts::unknown;
use super::limits::{Counted, Policy as Limit};
use super::second_factor::enrolment::in_person;
use super::sessions::InSession;
use super::{Identity, Origin, PLATFORM_SLUG, unavailable};
use crate::answer::carried_out;

/// For how long a code can be shown.
const CODE: Duration = Duration::from_secs(600);
/// Why sessions ended that had come by a link.
const UNLINKED: &str = "unlinked";
/// Refusals of the other side of a link that whoever shows a code is told. Anything else would tell of a session that is not
/// theirs to hear of.
const TOLD_OF_THERE: [&str; 2] = ["identity.linked-to-another", "identity.too-many-links"];
/// Refusals of the other side that leave nobody there to be unlinked.
const NOBODY_THERE: [&str; 2] = ["identity.person-erased", "identity.user-not-found"];

/// What somebody carries to the other organisation.
#[derive(Debug)]
pub struct OfferedLink {
    /// The code.
    pub code: SecretString,
    /// For how long it is good.
    pub lasts: Duration,
}

/// Two users are one person from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkedIdentity {
    /// The half of whoever showed the code.
    pub link: Uuid,
    /// Up to here the log holds it.
    pub position: LogPosition,
}

/// May somebody write a link now, as far as their own side goes? It is judged again with the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Linking {
    tenant: TenantId,
    session: SessionId,
    user: UserId,
}

impl Linking {
    fn who(&self) -> InSession {
        InSession { tenant: self.tenant, session: self.session, user: self.user }
    }
}

impl Question for Linking {
    type Answer = Option<Refusal>;

    fn tenant(&self) -> TenantId {
        self.tenant
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        linking(self.who(), nowhere()).needs(view)
    }

    fn answer(&self, view: &View<'_>) -> Option<Refusal> {
        linking(self.who(), nowhere()).decide(view).err()
    }
}

/// Which of these sessions came by a link?
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct CameBy {
    tenant: TenantId,
    link: Uuid,
    sessions: Vec<SessionId>,
}

impl Question for CameBy {
    type Answer = Vec<SessionId>;

    fn tenant(&self) -> TenantId {
        self.tenant
    }

    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        self.sessions.iter().copied().map(session::stream).collect()
    }

    fn answer(&self, view: &View<'_>) -> Vec<SessionId> {
        let came = |id: &&SessionId| match view.find::<Session>(id.uuid()).map(|seen| seen.state) {
            Some(Session::Live(it)) => it.came_by == Some(self.link),
            _ => false,
        };
        self.sessions.iter().filter(came).copied().collect()
    }
}

/// How is an organisation called?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct NamesOf(TenantId);

impl Question for NamesOf {
    type Answer = Option<(String, String)>;

    fn tenant(&self) -> TenantId {
        TenantId::PLATFORM
    }

    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![tenant::stream(self.0)]
    }

    fn answer(&self, view: &View<'_>) -> Self::Answer {
        let dossier = view.find::<Tenant>(self.0.uuid())?.state.dossier()?;
        Some((dossier.slug.to_string(), dossier.name.to_string()))
    }
}

/// Stands in for a half while nothing is written.
const fn nowhere() -> Half {
    Half { link: Uuid::nil(), elsewhere: domain::identity::ElsewhereHash::new([0; 32]) }
}

/// Writes a half, if its user is signed in, in person, and showed shortly before who they are.
fn linking(who: InSession, half: Half) -> Gated {
    let link = LinkIdentities { user_id: who.user, half };
    in_person(who, LinkInSession { session_id: who.session, link })
}

impl Origin {
    /// The same person from the same place, as another organisation's log is to tell it: nothing in it is in this one's, too.
    pub(super) fn elsewhere(&self) -> Self {
        Self { session: None, acts: None, trace_id: TraceId::random(), ..self.clone() }
    }
}

impl Identity {
    /// Makes a code with which somebody who is signed in here shows, in a session of another organisation, that they are in
    /// both. What is told does not depend on whether that organisation or that address exists.
    ///
    /// # Errors
    /// `identity.same-organisation`, and what refuses [`LinkInSession`] behind a gate that asks for a fresh proof.
    pub async fn offer_link(
        &self,
        who: InSession,
        slug: &str,
        email: &EmailAddress,
    ) -> Result<OfferedLink, Problem> {
        let shown_in = self.tenant_or_stand_in(slug).await?;
        if shown_in == who.tenant {
            return Err(Refusal::from(IdentityError::SameOrganisation).into());
        }
        self.may_link(who).await?;
        let bearer = Bearer::make(Kind::LinkCode, who.tenant, Uuid::now_v7())?;
        let code = LinkCode {
            tenant: who.tenant,
            code: bearer.id,
            hash: Digest(bearer.hash()),
            shown_in,
            shown_by: self.email_index(shown_in, email),
        };
        let vault = &self.parts().vault;
        vault.put_link_code(&code, who.user, who.session, CODE).await.map_err(unavailable)?;
        Ok(OfferedLink { code: bearer.text(), lasts: CODE })
    }

    /// Takes a code that was made in another organisation: its user and whoever shows it are one person from now on.
    ///
    /// # Errors
    /// `rate.limited`; what refuses [`LinkInSession`] behind its gate; `identity.link-code-invalid` for a code that is not good
    /// or not for whoever shows it, and if whoever asked for it could not ask any more; `identity.linked-to-another`,
    /// `identity.too-many-links`.
    pub async fn link_identities(
        &self,
        who: InSession,
        text: &str,
        origin: &Origin,
    ) -> Result<LinkedIdentity, Problem> {
        let invalid = || Problem::from(Refusal::from(IdentityError::LinkCodeInvalid));
        self.limits().check([Counted::address(Limit::Links, origin.ip)]).await?;
        let shown = Bearer::parse(Kind::LinkCode, text).map_err(|_| invalid())?;
        // Whoever may not yet has not used the code up.
        self.may_link(who).await?;
        let email = self.address_of(who.tenant, who.user).await?.ok_or_else(invalid)?;
        let code = LinkCode {
            tenant: shown.tenant,
            code: shown.id,
            hash: Digest(shown.hash()),
            shown_in: who.tenant,
            shown_by: self.email_index(who.tenant, &email),
        };
        let taken = self.parts().vault.take_link_code(&code).await.map_err(unavailable)?;
        let (user, session) = taken.ok_or_else(invalid)?;
        let asker = InSession { tenant: shown.tenant, session, user };
        let (link, other) = (Uuid::new_v4(), Uuid::new_v4());
        let cause = origin.cause(who.user.actor());
        let told_there = Origin { session: Some(session), ..origin.elsewhere() };
        let unit = Unit::new(who.tenant, cause, linking(who, self.half(who, link, asker.tenant)))
            .and(asker.tenant, linking(asker, self.half(asker, other, who.tenant)))
            .told_in(asker.tenant, told_there.cause(user.actor()))
            .with_vault([kept(who, link, asker, other), kept(asker, other, who, link)])
            .with_vault(self.factor_letter(who.tenant, who.user, FactorChange::Linked).await?)
            .with_vault(self.factor_letter(asker.tenant, asker.user, FactorChange::Linked).await?);
        let receipt = carried_out(&self.parts().executor, unit).await?;
        let mut refused =
            receipt.results.iter().enumerate().filter_map(|(n, it)| Some((n, it.as_ref().err()?)));
        match refused.find(|(_, it)| it.code != NOT_APPLIED) {
            None => Ok(LinkedIdentity { link, position: receipt.position }),
            Some((1, it)) if !TOLD_OF_THERE.contains(&it.code.as_ref()) => Err(invalid()),
            Some((_, it)) => Err(it.clone().into()),
        }
    }

    /// Takes a link away, on the word of either side; both are written to. Sessions that came by it stand no more from the same
    /// moment; that they ended is told right after.
    ///
    /// # Errors
    /// `identity.not-linked`, and what refuses somebody who has not shown who they are.
    pub async fn unlink_identities(
        &self,
        who: InSession,
        link: Uuid,
        origin: &Origin,
    ) -> Result<LogPosition, Problem> {
        let not_linked = || Problem::from(Refusal::from(IdentityError::NotLinked));
        self.fresh(who).await?;
        let links = self.links_elsewhere(who.tenant, who.user).await?;
        let it = links.into_iter().find(|it| it.link == link).ok_or_else(not_linked)?;
        let there = origin.elsewhere();
        let told = self.factor_letter(who.tenant, who.user, FactorChange::Unlinked).await?;
        let told_there = self.factor_letter(it.other_tenant, it.other_user, FactorChange::Unlinked).await?;
        let own = || {
            let halves = vec![self.half(who, link, it.other_tenant)];
            let command = in_person(who, UnlinkIdentities { user_id: who.user, halves });
            Unit::new(who.tenant, origin.cause(who.user.actor()), command)
                .with_vault([VaultChange::DropPersonLink { tenant: who.tenant, link }])
                .with_vault(told.clone())
        };
        let elsewhere = self.parts().master.elsewhere(it.other_tenant, it.other_user, who.tenant);
        let halves = vec![Half { link: it.other_link, elsewhere }];
        let both = own()
            .and(it.other_tenant, UnlinkIdentities { user_id: it.other_user, halves })
            .told_in(it.other_tenant, there.cause(it.other_user.actor()))
            .with_vault([VaultChange::DropPersonLink { tenant: it.other_tenant, link: it.other_link }])
            .with_vault(told_there);
        let position = match self.submit(both).await? {
            Err(refusal) if NOBODY_THERE.contains(&refusal.code.as_ref()) => self.submit(own()).await?,
            done => done,
        };
        let position = position.map_err(Problem::from)?;
        self.end_came_by(who.tenant, who.user, link, origin).await;
        self.end_came_by(it.other_tenant, it.other_user, it.other_link, &there).await;
        Ok(position)
    }

    /// Where else a person is.
    pub(super) async fn links_elsewhere(
        &self,
        tenant: TenantId,
        user: UserId,
    ) -> Result<Vec<PersonLink>, Problem> {
        self.parts().vault.person_links(tenant, user).await.map_err(unavailable)
    }

    fn half(&self, who: InSession, link: Uuid, other: TenantId) -> Half {
        Half { link, elsewhere: self.parts().master.elsewhere(who.tenant, who.user, other) }
    }

    async fn may_link(&self, who: InSession) -> Result<(), Problem> {
        let asked = Linking { tenant: who.tenant, session: who.session, user: who.user };
        let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
        let refusal = look(&mut conn, &asked).await.map_err(unknown)?;
        refusal.as_ref().clone().map_or(Ok(()), |it| Err(it.into()))
    }

    /// The name of an organisation in addresses, and that for people.
    async fn names(&self, tenant: TenantId) -> Result<(String, String), Problem> {
        let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
        let names = look(&mut conn, &NamesOf(tenant)).await.map_err(unknown)?;
        // The platform has no dossier with itself.
        let platform = || (PLATFORM_SLUG.to_owned(), PLATFORM_SLUG.to_owned());
        Ok(names.as_ref().clone().unwrap_or_else(platform))
    }

    /// Says of sessions that came by a link that they are over. They are, whether this succeeds or not.
    async fn end_came_by(&self, tenant: TenantId, user: UserId, link: Uuid, origin: &Origin) {
        let ended = async {
            let sessions = self.live_sessions(tenant, user).await?;
            let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
            let came = look(&mut conn, &CameBy { tenant, link, sessions }).await.map_err(unknown)?;
            drop(conn);
            for session in came.iter() {
                self.end(tenant, *session, user, UNLINKED, origin).await?.map_err(Problem::from)?;
            }
            Ok::<_, Problem>(())
        };
        if let Err(problem) = ended.await {
            tracing::warn!(code = problem.code(), "sessions that came by a link were not told to have ended");
        }
    }
}

/// What the vault keeps of a half.
fn kept(who: InSession, link: Uuid, other: InSession, other_link: Uuid) -> VaultChange {
    VaultChange::PutPersonLink(NewPersonLink {
        tenant: who.tenant,
        user: who.user,
        link,
        other_tenant: other.tenant,
        other_user: other.user,
        other_link,
    })
}

/// When a session ends that is judged without being started.
fn tomorrow() -> DateTime<Utc> {
    Utc::now() + TimeDelta::days(1)
}
