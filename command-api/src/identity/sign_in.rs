//! Signing in with a password, and the lock on guessing.
//!
//! The order is the promise: the guess is reserved and committed, then the password is looked at, then the session is judged
//! at its commit, together with the counter that it clears. An organisation that does not exist, a person who does not, one
//! without a password and one who was deactivated go the same way and are told the same.

use chrono::{DateTime, Utc};
use domain::Refusal;
use domain::identity::session;
use domain::ids::{SessionId, TenantId, UserId};
use domain::organisation::Policy;
use domain::sign_in::StartSession;
use domain::words::Word;
use event_schemas::envelope::LogPosition;
use event_store::Unit;
use event_store::vault::{Digest, FirstHalf, NewFamily, StoredPassword, VaultChange};
use service_kit::bearer::{Bearer, Kind};
use service_kit::email::EmailAddress;
use service_kit::problem::{Problem, code};
use uuid::Uuid;

use super::guessing::{CREDENTIALS, Door, Guess};
use super::limits::{Counted, Policy as Limit};
use super::second_factor::FactorAsked;
use super::sessions::TOO_MANY_SESSIONS;
use super::tokens::{Holder, Tokens};
use super::{Identity, Origin, device, not_hashed, second_factor, unavailable};
use crate::passwords::Password;
use crate::passwords::hash::{Checked, Hashed};

/// How often a password is looked at anew that was changed while it was looked at.
const ATTEMPTS_MAX: usize = 3;
/// Sessions that one sign-in ends at most, of those that a person has too many of.
const ENDED_MAX: u16 = 20;

/// How somebody signs in who is met here.
const PASSWORD: &str = "password";
/// The password was right, and its owner may not come in, which they are not told.
pub(super) const INACTIVE: &str = "inactive";
/// The password was right, and its owner is told why they may not come in.
pub(super) const NOT_ALLOWED: &str = "not-allowed";

/// Refusals of a session that would tell that somebody exists: answered as a wrong password.
pub(super) const SECRET: [&str; 4] = [
    "identity.user-not-found",
    "identity.person-erased",
    "identity.user-inactive",
    "organisation.not-a-member",
];

/// Somebody wants to sign in.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The name of the organisation.
    pub tenant_slug: String,
    /// Who they say they are.
    pub email: EmailAddress,
    /// What proves it.
    pub password: Password,
    /// What their device kept of an earlier time.
    pub device: Option<String>,
}

/// Somebody signed in.
#[derive(Debug)]
pub struct SignedIn {
    /// What they go on with.
    pub tokens: Tokens,
    /// What their device should keep.
    pub device: String,
    /// Whether they need a second factor, and have one.
    pub factor: FactorAsked,
    /// Up to here the log holds the session.
    pub position: LogPosition,
}

/// A session of a person that is about to start.
pub(super) struct Starting {
    pub tenant: TenantId,
    pub user: UserId,
    /// The number of the password that was right, if one was.
    pub seen: Option<u32>,
    /// How they sign in.
    pub method: Word,
    /// What they showed, in the words of RFC 8176.
    pub amr: Vec<Word>,
    /// When.
    pub auth_time: DateTime<Utc>,
}

/// What starts it.
pub(super) struct Opening {
    pub session: SessionId,
    /// The first token of its family.
    pub refresh: Bearer,
    /// The command.
    pub start: StartSession,
    /// What goes with it.
    pub family: VaultChange,
}

/// A password was right.
struct Proven {
    user: UserId,
    version: i32,
    renewed: Option<Hashed>,
}

impl Identity {
    /// Signs a person in.
    ///
    /// # Errors
    /// In this order: `rate.limited`, `identity.locked`, `overload.hashing`, `identity.invalid-credentials`,
    /// `identity.email-unverified`, `identity.second-factor-required` with a ticket, `organisation.not-active`.
    pub async fn sign_in(&self, asked: SignIn, origin: &Origin) -> Result<SignedIn, Problem> {
        self.figures().sign_in(self.by_password(asked, origin).await)
    }

    async fn by_password(&self, asked: SignIn, origin: &Origin) -> Result<SignedIn, Problem> {
        let known = self.tenant(&asked.tenant_slug).await?;
        let tenant = known.unwrap_or_else(|| self.nobodys(&asked.tenant_slug));
        let index = self.email_index(tenant, &asked.email);
        let kept = asked.device.as_deref();
        let device =
            kept.and_then(|it| device::known(&self.parts().master, tenant, &asked.email, Utc::now(), it));
        // Whoever was here before has a limit of their own: strangers can use up that of the organisation, from many networks.
        let of_whom = match device {
            Some(_) => Counted::hash(Limit::SignInKnown, tenant, index),
            None => Counted::tenant(Limit::SignInTenant, tenant),
        };
        self.limits().check([Counted::address(Limit::SignIn, origin.ip), of_whom]).await?;
        let policy = self.policy(tenant).await?;
        let door = Door { tenant, exists: known.is_some(), method: PASSWORD, email: &asked.email, origin };
        let guess = self.guess(&door, device, &policy).await?;
        let mut failed = (None, CREDENTIALS);
        for _ in 0..ATTEMPTS_MAX {
            let proven = match self.proven(tenant, index, &asked.password).await? {
                (_, Some(proven)) => proven,
                (user, None) => {
                    failed.0 = user;
                    break;
                }
            };
            failed.0 = Some(proven.user);
            match self.start(tenant, &proven, &guess, &policy, origin).await? {
                Ok((session, refresh, position)) => {
                    self.end_beyond(tenant, proven.user, policy.sessions.live_max, origin).await;
                    let tokens = self.tokens(tenant, session, proven.user, refresh).await?;
                    let device = device::remembered(&self.parts().master, tenant, &asked.email, Utc::now());
                    let factor = self.factor_asked(tenant, proven.user).await?;
                    return Ok(SignedIn { tokens, device, factor, position });
                }
                Err(refusal) if second_factor::is_asked_for(&refusal) => {
                    let first = first_half(proven, &guess);
                    return Err(self.ask_for_factor(tenant, &first, Some(&guess)).await);
                }
                // Somebody changed the password while it was looked at: what was right may be wrong by now.
                Err(refusal) if refusal.code == "identity.credential-changed" => {}
                Err(refusal) if SECRET.contains(&refusal.code.as_ref()) => {
                    failed.1 = INACTIVE;
                    break;
                }
                Err(refusal) => {
                    self.failed(&door, &guess, failed.0, NOT_ALLOWED).await;
                    return Err(refusal.into());
                }
            }
        }
        self.failed(&door, &guess, failed.0, failed.1).await;
        Err(Problem::new(&code::INVALID_CREDENTIALS, ""))
    }

    /// Who has the address, and whether the password is theirs. The same work is done if nobody has.
    async fn proven(
        &self,
        tenant: TenantId,
        index: Digest,
        password: &Password,
    ) -> Result<(Option<UserId>, Option<Proven>), Problem> {
        let row = self.parts().vault.sign_in_row(tenant, index).await.map_err(unavailable)?;
        let (user, stored) = row.map_or((None, None), |it| (Some(it.user), it.password));
        let version = stored.as_ref().map_or(0, |it| it.version);
        let renewed = self.is_right(password, stored).await?;
        let user = user.map(UserId::new);
        Ok((user, user.zip(renewed).map(|(user, renewed)| Proven { user, version, renewed })))
    }

    /// Whether a password is the one that is kept, and what to keep from now on if that should be renewed.
    pub(super) async fn is_right(
        &self,
        password: &Password,
        stored: Option<StoredPassword>,
    ) -> Result<Option<Option<Hashed>>, Problem> {
        match self.parts().passwords.check(password.clone(), stored).await.map_err(not_hashed)? {
            Checked::Right { renewed } => Ok(Some(renewed)),
            Checked::Wrong => Ok(None),
        }
    }

    /// Starts the session: one unit, with the family of its refresh tokens, a counter that begins anew and, if it is due, the
    /// password at today's cost.
    async fn start(
        &self,
        tenant: TenantId,
        proven: &Proven,
        guess: &Guess,
        policy: &Policy,
        origin: &Origin,
    ) -> Result<Result<(SessionId, Bearer, LogPosition), Refusal>, Problem> {
        let user = proven.user;
        let opening = self.opening(
            Starting {
                tenant,
                user,
                seen: u32::try_from(proven.version).ok(),
                method: Word::of(PASSWORD),
                amr: vec![Word::of("pwd")],
                auth_time: Utc::now(),
            },
            policy,
        )?;
        let Opening { session, refresh, start, family } = opening;
        let renewed = proven.renewed.clone().map(|it| it.put(tenant, user, proven.version));
        let unit = Unit::new(tenant, origin.cause(user.actor()), start)
            .minting(session::stream(session))
            .with_vault([family, guess.cleared()].into_iter().chain(renewed));
        Ok(self.submit(unit).await?.map(|position| (session, refresh, position)))
    }

    /// What starts a session of a person that lasts as long as the organisation lets it.
    pub(super) fn opening(&self, starting: Starting, policy: &Policy) -> Result<Opening, Problem> {
        let Starting { tenant, user, seen, method, amr, auth_time } = starting;
        let session = SessionId::new(Uuid::now_v7());
        let refresh = Bearer::make(Kind::Refresh, tenant, Uuid::now_v7())?;
        let until = Utc::now() + policy.session_max();
        let family = VaultChange::OpenFamily(NewFamily {
            tenant,
            family: Uuid::now_v7(),
            session: session.uuid(),
            user: user.uuid(),
            service: None,
            scope: String::new(),
            absolute_until: until,
            idle_seconds: policy.sessions.idle_s,
            token: refresh.id,
            hash: Digest(refresh.hash()),
        });
        let start = StartSession {
            session_id: session,
            user_id: user,
            seen,
            verified_by_method: false,
            method,
            amr,
            auth_time,
            expires_at: until,
            service_id: None,
            device: None,
            impersonation_id: None,
        };
        Ok(Opening { session, refresh, start, family })
    }

    /// What a session that was just started goes on with.
    pub(super) async fn tokens(
        &self,
        tenant: TenantId,
        session: SessionId,
        user: UserId,
        refresh: Bearer,
    ) -> Result<Tokens, Problem> {
        let stands = self.standing(tenant, session, user).await?;
        let Some(stands) = stands.as_ref() else {
            // It was ended by somebody in the moment since.
            return Err(Problem::new(&code::INVALID_CREDENTIALS, ""));
        };
        let access = self.access_token(Holder { tenant, session, user, scope: "" }, stands).await?;
        Ok(Tokens { access, refresh: refresh.text() })
    }

    /// Ends the oldest sessions of somebody who has too many. The new one stands whether this succeeds or not; what is left
    /// over the next sign-in ends.
    pub(super) async fn end_beyond(&self, tenant: TenantId, user: UserId, most: u16, origin: &Origin) {
        let all = self.parts().vault.live_sessions(tenant, user.uuid(), most.saturating_add(ENDED_MAX)).await;
        let ended = async {
            for session in all.map_err(unavailable)?.into_iter().skip(usize::from(most)) {
                let because = TOO_MANY_SESSIONS;
                self.end(tenant, SessionId::new(session), user, because, origin)
                    .await?
                    .map_err(Problem::from)?;
            }
            Ok::<_, Problem>(())
        };
        if let Err(problem) = ended.await {
            tracing::warn!(code = problem.code(), "the oldest sessions of a person were not ended");
        }
    }
}

/// What is kept of a sign-in until the second factor is shown.
fn first_half(proven: Proven, guess: &Guess) -> FirstHalf {
    FirstHalf {
        user: proven.user,
        counter: guess.counter(),
        method: PASSWORD.to_owned(),
        amr: vec!["pwd".to_owned()],
        auth_time: Utc::now(),
        seen: Some(proven.version),
        renewed: proven.renewed.map(|it| (it.phc, it.pepper)),
        link: None,
    }
}
