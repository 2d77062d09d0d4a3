//! The second half of a sign-in: a code of an authenticator, or a recovery code.
//!
//! Whoever showed the first half gets a ticket: it is good for five minutes and for one session, and remembers what was
//! shown. The guesses of both halves are counted by one counter, which a complete sign-in alone begins anew
//! (CVE-2024-32868): a first half that is right takes back its own guess and no other.
//!
//! Whether a second half is needed at all is decided with the session, at its commit, and nowhere else; how sure a session
//! makes who somebody is follows from what it says was shown, whenever it is asked (GHSA-wc43-73w7-x2f5).

use std::time::Duration;

use chrono::Utc;
use domain::identity::factors::{self, Factors};
use domain::identity::{IdentityError, UseRecoveryCode, session};
use domain::ids::{TenantId, UserId};
use domain::words::Word;
use domain::{Refusal, StreamId, View};
use event_store::Unit;
use event_store::access::{Question, look};
use event_store::vault::{Digest, FactorChange, FirstHalf, ShownTicket};
use secrecy::{ExposeSecret as _, SecretString};
use service_kit::bearer::{Bearer, Kind};
use service_kit::problem::{Problem, code};
use uuid::Uuid;

use super::facts::unknown;
use super::federated::by_link;
use super::guessing::{CREDENTIALS, Door, Guess};
use super::limits::{Counted, Policy as Limit};
use super::recovery_codes::RecoveryCode;
use super::sign_in::{INACTIVE, NOT_ALLOWED, SECRET, SignedIn, Starting};
use super::{Identity, Origin, device, totp, unavailable};
use crate::passwords::hash::Hashed;

pub mod enrolment;
mod lacking;

pub use lacking::{FactorAsked, Lacks};

/// How long somebody may take for the second half.
const TICKET: Duration = Duration::from_secs(300);

/// What shows a second factor.
#[derive(Debug, Clone)]
pub enum Proof {
    /// The code that an authenticator shows now.
    Code(SecretString),
    /// One of the codes that were written down.
    RecoveryCode(SecretString),
}

/// Somebody shows the second half.
#[derive(Debug)]
pub struct SecondHalf {
    /// The ticket of the first.
    pub ticket: SecretString,
    /// What shows the factor.
    pub proof: Proof,
}

/// Which factors does a person have?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FactorsOf {
    tenant: TenantId,
    user: UserId,
}

impl Question for FactorsOf {
    type Answer = Factors;

    fn tenant(&self) -> TenantId {
        self.tenant
    }

    fn needs(&self, _view: &View<'_>) -> Vec<StreamId> {
        vec![factors::stream(self.user)]
    }

    fn answer(&self, view: &View<'_>) -> Factors {
        view.find::<Factors>(self.user.uuid()).map(|it| it.state.clone()).unwrap_or_default()
    }
}

/// Whether a session was refused because a second factor was not shown.
pub(super) fn is_asked_for(refusal: &Refusal) -> bool {
    refusal.code == "identity.second-factor-required"
}

impl Identity {
    /// The factors of a person.
    ///
    /// # Errors
    /// If the log does not answer.
    pub async fn factors(&self, tenant: TenantId, user: UserId) -> Result<Factors, Problem> {
        let mut conn = self.parts().pool.acquire().await.map_err(unavailable)?;
        let known = look(&mut conn, &FactorsOf { tenant, user }).await.map_err(unknown)?;
        Ok(known.as_ref().clone())
    }

    /// Asks whoever showed the first half for the second: `identity.second-factor-required`, with a ticket. `guess` is what
    /// the first half was reserved as, if it was one, and is taken back.
    pub(super) async fn ask_for_factor(
        &self,
        tenant: TenantId,
        first: &FirstHalf,
        guess: Option<&Guess>,
    ) -> Problem {
        self.ticket_for(tenant, first, guess).await.unwrap_or_else(|problem| problem)
    }

    async fn ticket_for(
        &self,
        tenant: TenantId,
        first: &FirstHalf,
        guess: Option<&Guess>,
    ) -> Result<Problem, Problem> {
        let known = self.factors(tenant, first.user).await?;
        let ticket = Bearer::make(Kind::SecondFactor, tenant, Uuid::now_v7())?;
        let kept = ShownTicket { tenant, ticket: ticket.id, hash: Digest(ticket.hash()) };
        let most = guess.map(Guess::most);
        self.parts().vault.put_ticket(&kept, first, most, TICKET).await.map_err(unavailable)?;
        let codes = (known.codes_left > 0).then_some("recovery-code");
        let passkeys = (!known.passkeys.is_empty()).then_some("passkey");
        let factors: Vec<_> = ["totp"].into_iter().chain(codes).chain(passkeys).collect();
        Ok(Problem::from(Refusal::from(IdentityError::SecondFactorRequired))
            .with("ticket", ticket.text().expose_secret())
            .with("factors", factors.join(" "))
            .with("expires_in", TICKET.as_secs().to_string()))
    }

    /// Signs a person in who shows the second half, if the first still holds at that moment.
    ///
    /// # Errors
    /// `rate.limited`; `identity.code-invalid` for a ticket or a code that is not good, `identity.locked`, and what refuses a
    /// session.
    pub async fn sign_in_with_factor(&self, shown: SecondHalf, origin: &Origin) -> Result<SignedIn, Problem> {
        self.figures().sign_in(self.by_factor(shown, origin).await)
    }

    /// Whether whoever has a ticket that is good can go on with a passkey, too.
    ///
    /// # Errors
    /// If it cannot be known.
    pub async fn goes_on_with_passkey(&self, ticket: &SecretString) -> Result<bool, Problem> {
        let Some((ticket, first)) = self.first_half(ticket).await? else { return Ok(false) };
        Ok(!self.factors(ticket.tenant, first.user).await?.passkeys.is_empty())
    }

    /// What was shown of the first half, if this is a ticket that is good.
    pub(super) async fn first_half(
        &self,
        text: &SecretString,
    ) -> Result<Option<(ShownTicket, FirstHalf)>, Problem> {
        let Ok(bearer) = Bearer::parse(Kind::SecondFactor, text.expose_secret()) else { return Ok(None) };
        let hash = Digest(bearer.hash());
        let ticket = ShownTicket { tenant: bearer.tenant, ticket: bearer.id, hash };
        let first = self.parts().vault.ticket(&ticket).await.map_err(unavailable)?;
        Ok(first.map(|it| (ticket, it)))
    }

    async fn by_factor(&self, shown: SecondHalf, origin: &Origin) -> Result<SignedIn, Problem> {
        let invalid = || Problem::new(&code::CODE_INVALID, "");
        self.limits().check([Counted::address(Limit::SignIn, origin.ip)]).await?;
        let (ticket, first) = self.first_half(&shown.ticket).await?.ok_or_else(invalid)?;
        let (tenant, user) = (ticket.tenant, first.user);
        let policy = self.policy(tenant).await?;
        let email = self.address_of(tenant, user).await?.ok_or_else(invalid)?;
        let door = Door { tenant, exists: true, method: "second-factor", email: &email, origin };
        let guess = self.guess_as(&door, first.counter, &policy).await?;
        let is_right = match &shown.proof {
            Proof::Code(text) => self.takes_code(tenant, user, text, Some(&ticket)).await?,
            Proof::RecoveryCode(text) => self.takes_recovery_code(user, text, &ticket).await?,
        };
        if !is_right {
            self.failed(&door, &guess, Some(user), CREDENTIALS).await;
            return Err(invalid());
        }
        let amr = first.amr.iter().map(String::as_str).chain(["otp"]);
        let words = |it| Word::parse(it).map_err(|error| Problem::fault(&error));
        let starting = Starting {
            tenant,
            user,
            seen: first.seen.and_then(|it| u32::try_from(it).ok()),
            method: words(&first.method)?,
            amr: amr.map(words).collect::<Result<_, _>>()?,
            auth_time: Utc::now(),
        };
        let opening = self.opening(starting, &policy)?;
        let mut unit = Unit::empty(tenant, origin.cause(user.actor()));
        if let Some(link) = first.link {
            unit = by_link(unit, user, link);
        }
        unit = unit.and(tenant, opening.start);
        if let Proof::RecoveryCode(_) = shown.proof {
            let letter = self.factor_letter(tenant, user, FactorChange::CodeUsed).await?;
            unit = unit.and(tenant, UseRecoveryCode { user_id: user }).with_vault(letter);
        }
        let renewed = first.renewed.zip(first.seen);
        let renewed = renewed.map(|((phc, pepper), seen)| Hashed { phc, pepper }.put(tenant, user, seen));
        let unit = unit
            .minting(session::stream(opening.session))
            .with_vault([opening.family, guess.cleared()].into_iter().chain(renewed));
        let position = match self.submit(unit).await? {
            Ok(position) => position,
            Err(refusal) => {
                let told_why = !SECRET.contains(&refusal.code.as_ref());
                let because = if told_why { NOT_ALLOWED } else { INACTIVE };
                self.failed(&door, &guess, Some(user), because).await;
                let stale = refusal.code == "identity.credential-changed";
                return Err(if told_why && !stale { refusal.into() } else { invalid() });
            }
        };
        self.end_beyond(tenant, user, policy.sessions.live_max, origin).await;
        let tokens = self.tokens(tenant, opening.session, user, opening.refresh).await?;
        let device = device::remembered(&self.parts().master, tenant, &email, Utc::now());
        let factor = self.factor_asked(tenant, user).await?;
        Ok(SignedIn { tokens, device, factor, position })
    }

    /// Whether this is a code of a person's authenticator, which uses it up, and the ticket that it is shown with: a second time
    /// it is none, in any process. Reserve a guess before.
    pub(super) async fn takes_code(
        &self,
        tenant: TenantId,
        user: UserId,
        text: &SecretString,
        ticket: Option<&ShownTicket>,
    ) -> Result<bool, Problem> {
        let parts = self.parts();
        let seed = parts.vault.totp_of(tenant, user).await.map_err(unavailable)?;
        let Some(seed) = seed else { return Ok(false) };
        let plain = seed.open(&parts.master).map_err(|error| Problem::fault(&error))?;
        match totp::step_of(&plain, text.expose_secret(), Utc::now()) {
            Some(step) => parts.vault.use_totp_step(&seed, step, ticket).await.map_err(unavailable),
            None => Ok(false),
        }
    }

    /// The same of a recovery code.
    async fn takes_recovery_code(
        &self,
        user: UserId,
        text: &SecretString,
        ticket: &ShownTicket,
    ) -> Result<bool, Problem> {
        let Some(code) = RecoveryCode::parse(text.expose_secret()) else { return Ok(false) };
        let taken = self.parts().vault.take_recovery_code(ticket.tenant, user, code.hash(), ticket).await;
        taken.map_err(unavailable)
    }
}
