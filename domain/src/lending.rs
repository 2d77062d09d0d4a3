//! What a person does about a session that a service was let have: judged on the session and on what they allow together.

use crate::application::{Consent, consent};
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::identity::{EndSession, Session};
use crate::ids::{ServiceId, UserId};
use crate::stream::StreamId;

/// Ends a session by the hand of its person. If it is one of a service, they are asked before that has its next one.
///
/// Refused with what [`EndSession`] refuses.
#[derive(Debug, Clone)]
pub struct EndByHand(pub EndSession);

impl EndByHand {
    /// Whose session it is, and of which service, while it has not ended.
    fn lent(&self, view: &View<'_>) -> Option<(UserId, ServiceId)> {
        match view.find::<Session>(self.0.session_id.uuid())?.state {
            Session::Live(it) => Some((it.user_id, it.service_id?)),
            Session::Absent | Session::Ended { .. } => None,
        }
    }
}

impl Decision for EndByHand {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut needs = self.0.needs(view);
        needs.extend(self.lent(view).map(|(user, service)| consent::stream(user, service)));
        needs
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let mut verdict = self.0.decide(view)?;
        let Some((user, service)) = self.lent(view).filter(|_| !verdict.events.is_empty()) else {
            return Ok(verdict);
        };
        let consent = Consent::of(view, user, service);
        if !consent.scopes.is_empty() && !consent.questioned {
            verdict.events.push(consent.asked_again(user, service, view.now).into());
        }
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::application::sample::*;
    use crate::application::{ApplicationError as E, Consented, GrantConsent, RevokeConsent};
    use crate::identity::sample::*;
    use crate::ids::SessionId;
    use crate::organisation::sample::{add, owner};
    use crate::organisation::{Granter, RoleRef};
    use crate::sign_in::StartSession;
    use crate::spec::{Given, given_nothing};
    use crate::words::Word;

    fn allow(names: &[&str]) -> GrantConsent {
        GrantConsent { user_id: ADA, service_id: TILL, scopes: scopes(names) }
    }

    fn revoke() -> RevokeConsent {
        RevokeConsent { user_id: ADA, service_id: TILL }
    }

    fn id() -> Uuid {
        consent::id(ADA, TILL)
    }

    /// A session of the till.
    const LENT: SessionId = SessionId::new(Uuid::from_u128(0x55));

    fn lent() -> StartSession {
        StartSession {
            session_id: LENT,
            user_id: ADA,
            seen: None,
            verified_by_method: true,
            method: Word::of("authorization-code"),
            amr: vec![Word::of("pwd")],
            auth_time: at(1),
            expires_at: at(10_000),
            service_id: Some(TILL),
            device: None,
            impersonation_id: None,
        }
    }

    fn consented(names: &[&str]) -> Consented {
        Consented { user_id: ADA, service_id: TILL, scopes: scopes(names), inner: Box::new(lent()) }
    }

    fn by_hand() -> EndByHand {
        EndByHand(EndSession { session_id: LENT, of: Some(ADA), because: Word::of("asked"), by: ADA.actor() })
    }

    /// Ada is a member, and the till is there.
    fn ada() -> Given {
        given_nothing().having(till()).having(verified(ADA, 1)).having(owner()).having(add(
            ADA,
            &[RoleRef::USER],
            Granter::Platform,
        ))
    }

    #[test]
    fn nothing_is_lent_but_what_is_allowed_at_that_moment() {
        let allowed = || ada().having(allow(&["openid"]));
        allowed().when(consented(&["openid"])).then_succeeds();
        ada().when(consented(&["openid"])).then_refused_for(E::ConsentNotFound);
        allowed().when(consented(&["email", "openid"])).then_refused_for(E::ConsentNotFound);
        allowed().having(revoke()).when(consented(&["openid"])).then_refused_for(E::ConsentNotFound);
    }

    #[test]
    fn whoever_ends_a_session_of_a_service_by_hand_is_asked_before_its_next_one() {
        let lent = || ada().having(allow(&["openid"])).having(consented(&["openid"]));
        let (verdict, world) = lent().when(by_hand()).then_accepted();
        assert_eq!(verdict.events.len(), 2);
        let state = world.state::<Consent>(id());
        assert_eq!((state.generation, &state.scopes, state.questioned), (0, &scopes(&["openid"]), true));
        let ended = || lent().having(by_hand());
        ended().when(consented(&["openid"])).then_refused_for(E::ConsentNotFound);
        ended().when(by_hand()).then_already();
        // Yes again is enough, though it adds nothing.
        ended().having(allow(&["openid"])).when(allow(&["openid"])).then_already();
        let (_, world) = ended().when(allow(&["openid"])).then_accepted();
        assert!(world.state::<Consent>(id()).covers(&scopes(&["openid"])));
        // Of a consent that was taken back there is nothing to ask.
        let (verdict, _) = lent().having(revoke()).when(by_hand()).then_accepted();
        assert_eq!(verdict.events.len(), 1);
    }
}
