//! Staff of the platform who act for a user of an organisation: for a reason, for an hour at most, in a session of their own
//! that nothing refreshes. What is done in it is recorded as theirs, on the user's behalf; the user is told by mail.
//!
//! The session has the identifier of the impersonation, so whoever knows the one can end the other.

use chrono::{DateTime, TimeDelta, Utc};
use domain::identity::EndSession;
use domain::ids::{ActorId, ImpersonationId, SessionId, TenantId, UserId};
use domain::metadata::Label;
use domain::platform::{EndImpersonation, ImpersonationError, StartImpersonation};
use domain::private::Private;
use domain::sign_in::StartSession;
use domain::words::Word;
use domain::{Decision, Refusal};
use event_store::vault::{Mail, VaultChange};
use service_kit::access::Caller;
use service_kit::problem::{Problem, code};
use service_kit::token::{Grant, Issued, SignError};
use uuid::Uuid;

use super::Identity;
use super::letters::NewLetter;

/// How the session began, as lists of sessions tell it.
const METHOD: Word = Word::of("impersonation");
/// Why the session ended.
const STOPPED: Word = Word::of("stopped");

/// Staff want to act for somebody.
#[derive(Debug, Clone)]
pub struct Impersonate {
    /// Who wants to.
    pub staff: ActorId,
    /// In which organisation.
    pub tenant: TenantId,
    /// For whom.
    pub user: UserId,
    /// Why, in words for the user.
    pub reason: Label,
    /// What it is about, as the platform's own books name it.
    pub ticket: Label,
    /// For how long.
    pub span: TimeDelta,
}

/// What begins an impersonation: the commands in the organisation's log, and what goes with them.
pub struct Beginning {
    /// Names it.
    pub impersonation: ImpersonationId,
    /// The session, then the reason for it.
    pub commands: [Box<dyn Decision>; 2],
    /// The letter to the user.
    pub vault: Vec<VaultChange>,
}

/// The member of the platform who asks. An operator's token is refused: who has it is not known, so nobody could be told who
/// acted, and an hour in somebody's place would outlast the token's revocation.
///
/// # Errors
/// [`ImpersonationError::ByOperator`].
pub fn staff(caller: &Caller) -> Result<ActorId, Refusal> {
    if caller.who.is_operator() { Err(ImpersonationError::ByOperator.into()) } else { Ok(caller.actor) }
}

/// What ends one, in the organisation's log.
#[must_use]
pub fn ending(impersonation_id: ImpersonationId, by: ActorId) -> [Box<dyn Decision>; 2] {
    let session_id = SessionId::new(impersonation_id.uuid());
    [
        Box::new(EndImpersonation { impersonation_id, because: STOPPED, by }),
        Box::new(EndSession { session_id, of: None, because: STOPPED, by }),
    ]
}

impl Identity {
    /// What begins an impersonation. Nothing has happened yet.
    ///
    /// # Errors
    /// Only if the user's address cannot be looked up.
    pub async fn impersonating(&self, asked: &Impersonate) -> Result<Beginning, Problem> {
        let now = Utc::now();
        let until = now.checked_add_signed(asked.span).unwrap_or(now);
        let impersonation = ImpersonationId::new(Uuid::now_v7());
        let session = StartSession {
            session_id: SessionId::new(impersonation.uuid()),
            user_id: asked.user,
            seen: None,
            // Nobody has shown who they are: whether the address is proven says nothing of staff.
            verified_by_method: true,
            method: METHOD,
            amr: Vec::new(),
            auth_time: now,
            expires_at: until,
            service_id: None,
            device: None,
            impersonation_id: Some(impersonation),
        };
        let start = StartImpersonation {
            impersonation_id: impersonation,
            staff: asked.staff,
            user_id: asked.user,
            reason: Private::new(asked.user.uuid(), asked.reason.as_str()),
            ticket: asked.ticket.clone(),
            until,
        };
        let vault = self.told(asked, impersonation, now, until).await?.into_iter().collect();
        Ok(Beginning { impersonation, commands: [Box::new(session), Box::new(start)], vault })
    }

    /// The letter that tells the user, if there is an address to send it to.
    async fn told(
        &self,
        asked: &Impersonate,
        impersonation: ImpersonationId,
        at: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Option<VaultChange>, Problem> {
        let Some(email) = self.address_of(asked.tenant, asked.user).await? else { return Ok(None) };
        let language = self.policy(asked.tenant).await?.language.clone();
        let (reason, ticket) = (asked.reason.as_str().to_owned(), asked.ticket.as_str().to_owned());
        let letter = self.letter(NewLetter {
            tenant: asked.tenant,
            about: asked.user.uuid(),
            to: &email,
            language: &language,
            mail: Mail::Impersonated { at, until, reason, ticket },
            cause: format!("impersonated:{impersonation}"),
        });
        letter.map(Some)
    }

    /// The one token of an impersonation that has begun. It names the user as who acts and the staff as who acts in their
    /// place (RFC 8693, section 4.1); it lasts as long as the session.
    ///
    /// # Errors
    /// 503 if there is no key to sign with. 401 if the session is over already.
    pub async fn impersonation_token(
        &self,
        asked: &Impersonate,
        impersonation: ImpersonationId,
    ) -> Result<Issued, Problem> {
        let session = SessionId::new(impersonation.uuid());
        let stands = self.standing(asked.tenant, session, asked.user).await?;
        let Some(stands) = stands.as_ref() else { return Err(Problem::new(&code::TOKEN_EXPIRED, "")) };
        let now = Utc::now();
        let grant = Grant {
            sub: asked.user.actor(),
            tenant_id: asked.tenant,
            sid: Some(session.uuid()),
            email: None,
            roles: stands.roles.clone(),
            amr: Vec::new(),
            auth_time: Some(stands.session.auth_time),
            scope: None,
            client_id: None,
            secret_id: None,
            act: Some(asked.staff),
        };
        self.parts().signer.issue(&grant, now, stands.remains(now)).map_err(|error| match error {
            SignError::NoKey => Problem::new(&code::NO_SIGNING_KEY, ""),
            SignError::Refused(_) => Problem::fault(&error),
        })
    }
}
