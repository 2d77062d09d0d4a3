//! What becomes of a session: it is kept with a refresh token, ended, or strengthened by another proof.
//!
//! A refresh token is good once. Whoever shows one that was used ends the session, since two have it; that stands although
//! the request is refused, and a crash before the log says so is made good by a reactor.

use std::time::Duration;

use chrono::Utc;
use domain::Refusal;
use domain::gate::{Bearer as Bearing, Gate};
use domain::identity::{EndSession, EndSessions, IdentityError, StrengthenSession};
use domain::ids::{ActorId, SessionId, TenantId, UserId};
use domain::words::Word;
use event_schemas::envelope::LogPosition;
use event_store::Unit;
use event_store::vault::{Digest, Mail, Rotation, ShownToken, TokenSession, VaultChange};
use secrecy::SecretString;
use service_kit::bearer::{Bearer, Kind};
use service_kit::permissions::role_table;
use service_kit::problem::{Problem, code};
use service_kit::token::Issued;
use uuid::Uuid;

use super::guessing::{CREDENTIALS, Door};
use super::letters::NewLetter;
use super::limits::{Counted, LocalPolicy};
use super::tokens::{Holder, Tokens};
use super::{Identity, Origin, unavailable};
use crate::passwords::Password;

/// A person ended it.
const SIGNED_OUT: &str = "signed-out";
/// One of its refresh tokens came back.
const REFRESH_REUSED: &str = "refresh-reused";
/// The person has more sessions than they may.
pub(super) const TOO_MANY_SESSIONS: &str = "too-many-sessions";
/// Sessions that are counted at most when all are ended.
const COUNTED_MAX: u16 = 1_000;

/// A person in a session, known by an access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InSession {
    /// The organisation.
    pub tenant: TenantId,
    /// The session.
    pub session: SessionId,
    /// The person.
    pub user: UserId,
}

impl InSession {
    /// The gate of what the person does in this session.
    pub(crate) fn gate(self) -> Gate {
        let bearer = Bearing::Session { session: self.session, user: self.user };
        Gate::new(bearer, role_table(self.tenant).clone())
    }
}

/// How somebody who is signed in shows again who they are.
#[derive(Debug)]
pub enum Again {
    /// By the password.
    Password(Password),
    /// By the code that their authenticator shows now.
    Code(SecretString),
}

impl Identity {
    /// Exchanges a refresh token for the next two tokens. Everything that can fail for another reason is done first, so that a
    /// token is not used up for nothing.
    ///
    /// # Errors
    /// `identity.refresh-invalid`, `rate.limited`, `identity.refresh-reused`.
    pub async fn refresh(&self, text: &str, origin: &Origin) -> Result<Tokens, Problem> {
        let invalid = || Problem::new(&code::REFRESH_INVALID, "");
        let shown = shown(text).ok_or_else(invalid)?;
        let vault = &self.parts().vault;
        let held = vault.session_of(&shown).await.map_err(unavailable)?.ok_or_else(invalid)?;
        let (session, user) = (SessionId::new(held.session), UserId::new(held.user));
        self.limits().check_here(Counted::id(LocalPolicy::Refresh, held.tenant, held.session))?;
        let stands = self.standing(held.tenant, session, user).await?;
        let (access, grace) = match stands.as_ref() {
            Some(stands) => {
                let holder = Holder { tenant: held.tenant, session, user, scope: "" };
                (Some(self.access_token(holder, stands).await?), stands.policy.sessions.grace_s)
            }
            None => (None, 0),
        };
        let next = Bearer::make(Kind::Refresh, held.tenant, Uuid::now_v7())?;
        let grace = Duration::from_secs(grace.into());
        // Of a session that is over too: whether a copy came back is told either way.
        let rotation = vault.rotate_refresh(&shown, next.id, Digest(next.hash()), grace).await;
        let rotation = rotation.map_err(unavailable)?;
        self.figures().refresh(&rotation);
        match (rotation, access) {
            (Rotation::Rotated { .. }, Some(access)) => Ok(Tokens { access, refresh: next.text() }),
            (Rotation::Rotated { .. } | Rotation::Invalid, _) => Err(invalid()),
            (Rotation::Reused(reused), _) => {
                self.end_reused(reused, origin).await;
                Err(Problem::new(&code::REFRESH_REUSED, ""))
            }
        }
    }

    /// Ends the session of a refresh token, or without one that of the caller. Says nothing of whether there was one.
    ///
    /// # Errors
    /// If it cannot be known whether they ended.
    pub async fn sign_out(
        &self,
        caller: Option<InSession>,
        refresh: Option<&str>,
        origin: &Origin,
    ) -> Result<(), Problem> {
        let ending = match refresh {
            None => caller,
            Some(text) => self.session_behind(text).await?,
        };
        if let Some(it) = ending {
            // The one refusal is that there is no such session, and then nothing is left to end.
            let _gone = self.end(it.tenant, it.session, it.user, SIGNED_OUT, origin).await?;
        }
        Ok(())
    }

    /// The session of a refresh token, whether the token is still good or not.
    pub(super) async fn session_behind(&self, text: &str) -> Result<Option<InSession>, Problem> {
        let Some(shown) = shown(text) else { return Ok(None) };
        let held = self.parts().vault.session_of(&shown).await.map_err(unavailable)?;
        Ok(held.map(|it| InSession {
            tenant: it.tenant,
            session: SessionId::new(it.session),
            user: UserId::new(it.user),
        }))
    }

    /// Ends one session of a person, in their own name.
    pub(super) async fn end(
        &self,
        tenant: TenantId,
        session: SessionId,
        user: UserId,
        because: &'static str,
        origin: &Origin,
    ) -> Result<Result<LogPosition, Refusal>, Problem> {
        let (decision, revoke) = ending(tenant, session, user, because, user.actor());
        self.submit(Unit::new(tenant, origin.cause(user.actor()), decision).with_vault([revoke])).await
    }

    /// How many sessions of a person can still be refreshed.
    ///
    /// # Errors
    /// If the vault does not answer.
    pub async fn live_sessions(&self, tenant: TenantId, user: UserId) -> Result<Vec<SessionId>, Problem> {
        let live = self.parts().vault.live_sessions(tenant, user.uuid(), COUNTED_MAX).await;
        Ok(live.map_err(unavailable)?.into_iter().map(SessionId::new).collect())
    }

    /// Takes another proof of the person in a session. The session is the same, and what asks for a fresh proof is open for a
    /// while. It is no sign-in: wrong guesses from before stay counted.
    ///
    /// # Errors
    /// `identity.second-factor-required` for the password of whoever has an authenticator: they show a code of it.
    /// `identity.locked`, `overload.hashing`, `identity.invalid-credentials` or `identity.code-invalid`,
    /// `identity.session-over`.
    pub async fn step_up(&self, who: InSession, again: Again, origin: &Origin) -> Result<Issued, Problem> {
        let wrong = || Problem::new(&code::INVALID_CREDENTIALS, "");
        let policy = self.policy(who.tenant).await?;
        let email = self.address_of(who.tenant, who.user).await?.ok_or_else(wrong)?;
        // A code of long ago and the password of now would look like both of now.
        let is_one_of_two = matches!(again, Again::Password(_))
            && self.factors(who.tenant, who.user).await?.password_needs_code();
        if is_one_of_two {
            return Err(Refusal::from(IdentityError::SecondFactorRequired).into());
        }
        let door = Door { tenant: who.tenant, exists: true, method: "step-up", email: &email, origin };
        let guess = self.guess(&door, None, &policy).await?;
        let (is_right, method, shown, seen) = match again {
            Again::Password(password) => {
                let stored = self.parts().vault.password_of(who.tenant, who.user.uuid()).await;
                let stored = stored.map_err(unavailable)?;
                let version = stored.as_ref().map_or(0, |it| it.version);
                let is_right = self.is_right(&password, stored).await?.is_some();
                (is_right, "password", "pwd", u32::try_from(version).ok())
            }
            Again::Code(code) => {
                (self.takes_code(who.tenant, who.user, &code, None).await?, "totp", "otp", None)
            }
        };
        if !is_right {
            self.failed(&door, &guess, Some(who.user), CREDENTIALS).await;
            let doc = if shown == "pwd" { &code::INVALID_CREDENTIALS } else { &code::CODE_INVALID };
            return Err(Problem::new(doc, ""));
        }
        let decision = StrengthenSession {
            session_id: who.session,
            method: Word::of(method),
            amr: vec![Word::of(shown)],
            auth_time: Utc::now(),
            seen,
        };
        let unit =
            Unit::new(who.tenant, origin.cause(who.user.actor()), decision).with_vault([guess.returned()]);
        self.submit(unit).await?.map_err(Problem::from)?;
        let stands = self.standing(who.tenant, who.session, who.user).await?;
        let Some(stands) = stands.as_ref() else { return Err(wrong()) };
        let holder = Holder { tenant: who.tenant, session: who.session, user: who.user, scope: "" };
        self.access_token(holder, stands).await
    }

    /// Tells the log, and the person, that a refresh token came back. The family is revoked already; if this fails, a reactor
    /// tells the log.
    pub(super) async fn end_reused(&self, reused: TokenSession, origin: &Origin) {
        let (session, user) = (SessionId::new(reused.session), UserId::new(reused.user));
        let told = async {
            let letter = self.reused_letter(&reused).await?;
            let (decision, revoke) = ending(reused.tenant, session, user, REFRESH_REUSED, ActorId::SYSTEM);
            let unit = Unit::new(reused.tenant, origin.cause(ActorId::SYSTEM), decision)
                .with_vault([revoke].into_iter().chain(letter));
            self.submit(unit).await
        };
        match told.await {
            Ok(Ok(_)) => {
                tracing::warn!(session = %session, "a refresh token came back: its session was ended")
            }
            Ok(Err(refusal)) => {
                tracing::error!(code = %refusal.code, "the session of a reused token was not ended")
            }
            Err(problem) => {
                tracing::error!(code = problem.code(), "the session of a reused token was not ended")
            }
        }
    }

    async fn reused_letter(&self, reused: &TokenSession) -> Result<Option<VaultChange>, Problem> {
        let user = UserId::new(reused.user);
        let Some(email) = self.address_of(reused.tenant, user).await? else { return Ok(None) };
        let language = self.policy(reused.tenant).await?.language.clone();
        let letter = self.letter(NewLetter {
            tenant: reused.tenant,
            about: reused.user,
            to: &email,
            language: &language,
            mail: Mail::RefreshReused { at: Utc::now() },
            cause: format!("{REFRESH_REUSED}:{}", reused.session),
        });
        letter.map(Some)
    }
}

/// What ends a session: the command and what goes with it.
pub fn ending(
    tenant: TenantId,
    session: SessionId,
    user: UserId,
    because: &'static str,
    by: ActorId,
) -> (EndSession, VaultChange) {
    let decision = EndSession { session_id: session, of: Some(user), because: Word::of(because), by };
    (decision, VaultChange::RevokeSession { tenant, session: session.uuid(), because })
}

/// What ends all sessions of a person but one: the command and what goes with it.
pub fn ending_all(
    tenant: TenantId,
    user: UserId,
    except: Option<SessionId>,
    because: &'static str,
    by: ActorId,
) -> (EndSessions, VaultChange) {
    let decision = EndSessions { user_id: user, except, because: Word::of(because), by };
    let except = except.map(SessionId::uuid);
    (decision, VaultChange::RevokeUser { tenant, user: user.uuid(), except, because })
}

fn shown(text: &str) -> Option<ShownToken> {
    let it = Bearer::parse(Kind::Refresh, text).ok()?;
    Some(ShownToken { tenant: it.tenant, token: it.id, hash: Digest(it.hash()), service: None })
}
