//! One person in several organisations: linking two users of theirs, and going on in one with what was shown in the other.
//! Judged on session, person and organisation together, so it belongs to none of their contexts.
//!
//! Each command is one side, in the log of its organisation; a unit has both. What is shown in one organisation is worth as
//! much in the other as the organisation there lets it: its factors, its policy, its members.

use uuid::Uuid;

use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::event::Event;
use crate::gate::GateError;
use crate::identity::user::linked;
use crate::identity::{
    Factors, IdentityError, IdentityEvent, LinkIdentities, LiveSession, OrganizationSwitched, assurance,
    session, user,
};
use crate::ids::{SessionId, UserId};
use crate::organisation::{Policy, SecondFactor, policy};
use crate::sign_in::StartSession;
use crate::stream::StreamId;

/// A session that stands and is the person's own: neither a service has it nor staff act in it.
fn own<'a>(view: &View<'a>, id: SessionId, user_id: UserId) -> Result<&'a LiveSession, Refusal> {
    let standing = session::standing(view, id).map(|(session, _)| session);
    let session = standing.filter(|it| it.user_id == user_id).ok_or(GateError::SessionEnded)?;
    if session.service_id.is_some() || session.impersonation_id.is_some() {
        return Err(GateError::ActsForAnother.into());
    }
    if !assurance::is_own_proof(&session.amr) {
        return Err(IdentityError::OwnProofRequired.into());
    }
    Ok(session)
}

/// Writes a user's half of a link, on the word of somebody who is signed in as that user. How fresh their proof must be is
/// for the gate in front of it.
///
/// Refused, in this order, with [`GateError::SessionEnded`], [`GateError::ActsForAnother`],
/// [`IdentityError::OwnProofRequired`], [`GateError::SecondFactorMissing`] if the organisation asks everybody for a second
/// factor and the session has shown none, and as [`LinkIdentities`] is.
#[derive(Debug, Clone)]
pub struct LinkInSession {
    /// In which session.
    pub session_id: SessionId,
    /// The half.
    pub link: LinkIdentities,
}

impl Decision for LinkInSession {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut needs = self.link.needs(view);
        needs.extend([session::stream(self.session_id), policy::stream(view.tenant)]);
        needs
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let session = own(view, self.session_id, self.link.user_id)?;
        // Who came by a link has proven the organisation that they came from, and not this one.
        if session.came_by.is_some() {
            return Err(IdentityError::OwnProofRequired.into());
        }
        let required = Policy::of(view).is_some_and(|it| it.second_factor == SecondFactor::Required);
        if required && !assurance::is_multi_factor(&session.amr) {
            return Err(GateError::SecondFactorMissing.into());
        }
        self.link.decide(view)
    }
}

/// Says that the person of a session goes on in another of their organisations: the side that they come from.
///
/// Refused, in this order, with [`GateError::SessionEnded`], [`GateError::ActsForAnother`],
/// [`IdentityError::OwnProofRequired`], [`IdentityError::NotLinked`].
#[derive(Debug, Clone)]
pub struct SwitchAway {
    /// In which session.
    pub session_id: SessionId,
    /// Who.
    pub user_id: UserId,
    /// Their half of the link.
    pub link: Uuid,
}

impl Decision for SwitchAway {
    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![session::stream(self.session_id), user::stream(self.user_id)]
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        own(view, self.session_id, self.user_id)?;
        linked(view, self.user_id, self.link)?;
        let event = IdentityEvent::OrganizationSwitched(OrganizationSwitched {
            session_id: self.session_id,
            user_id: self.user_id,
            at: view.now,
        });
        Ok(Verdict::done(session::stream(self.session_id), event))
    }
}

/// Starts a session of somebody who comes by a link from another organisation: the side where they go on. It stands while the
/// link does, and as long by itself as any other.
///
/// Refused, in this order, with [`IdentityError::UserNotFound`], [`IdentityError::PersonErased`],
/// [`IdentityError::UserInactive`], [`IdentityError::NotLinked`], [`IdentityError::SecondFactorRequired`] if the user has a
/// second factor here, an authenticator or a passkey, and it was not shown, whatever was shown elsewhere; and as
/// [`StartSession`] is.
#[derive(Debug, Clone)]
pub struct EnterByLink {
    /// The session.
    pub start: StartSession,
    /// The user's half of the link, here.
    pub link: Uuid,
    /// Whether a factor of the user here was shown.
    pub own_factor: bool,
}

impl Decision for EnterByLink {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        self.start.needs(view)
    }

    fn subjects(&self) -> Vec<Uuid> {
        self.start.subjects()
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let user_id = self.start.user_id;
        linked(view, user_id, self.link)?;
        let has_factor = view.find::<Factors>(user_id.uuid()).is_some_and(|it| it.state.is_some());
        if has_factor && !self.own_factor {
            return Err(IdentityError::SecondFactorRequired.into());
        }
        let mut verdict = self.start.decide(view)?;
        for event in &mut verdict.events {
            if let Event::Identity(IdentityEvent::SessionStarted(started)) = event {
                started.came_by = Some(self.link);
            }
        }
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests;
