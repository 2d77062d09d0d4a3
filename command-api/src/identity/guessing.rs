//! Guesses: each is reserved before it is looked at, one that failed is recorded, and too many lock.
//!
//! Failures are on the stream of the day and not on that of a person: a guess for somebody who is not there is recorded like
//! any other. What was typed, and from where, is private to the month.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::Refusal;
use domain::identity::{
    IdentityError, RecordSignIn, SignInFact, SignInFailed, SignInLocked, SignInUnlocked, month_subject,
};
use domain::ids::{ActorId, TenantId, UserId};
use domain::organisation::Policy;
use domain::private::Private;
use domain::words::Word;
use event_store::keyring::IndexOf;
use event_store::vault::{
    AttemptKind, AttemptLimit, Digest, Language, Letter, Mail, Reservation, Slip, VaultChange,
};
use event_store::{Cause, Unit};
use service_kit::email::EmailAddress;
use service_kit::problem::{Problem, code};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::tally::{Count, Kind, Tally};
use super::{Identity, Origin, device, unavailable};

/// What was typed is not right.
pub(super) const CREDENTIALS: &str = "credentials";
/// Nothing was looked at.
const LOCKED: &str = "locked";
/// How often windows that are over are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a process that stops may take to record what it counted.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Where and as whom somebody wants in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Door<'a> {
    /// The organisation, or what stands in for one that is not there.
    pub tenant: TenantId,
    /// Whether it is there.
    pub exists: bool,
    /// How they want in.
    pub method: &'static str,
    /// Who they say they are.
    pub email: &'a EmailAddress,
    /// From where.
    pub origin: &'a Origin,
}

impl Door<'_> {
    /// In whose log failures are recorded: one that is not there has none.
    const fn log(&self) -> TenantId {
        if self.exists { self.tenant } else { TenantId::PLATFORM }
    }
}

/// A guess that was reserved, and may be looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guess {
    tenant: TenantId,
    kind: AttemptKind,
    subject: Digest,
    reservation: Reservation,
}

impl Guess {
    /// Goes with the transaction of a complete sign-in.
    pub(super) const fn cleared(&self) -> VaultChange {
        VaultChange::ClearAttempts { tenant: self.tenant, kind: self.kind, subject: self.subject }
    }
}

/// What was counted since it was last recorded.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<Tally>);

impl Failures {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Identity {
    /// Reserves a guess, or says until when there is none. `kept` is what the device kept of an earlier sign-in.
    pub(super) async fn guess(
        &self,
        door: &Door<'_>,
        kept: Option<&str>,
        policy: &Policy,
    ) -> Result<Guess, Problem> {
        let (parts, tenant) = (self.parts(), door.tenant);
        let known = kept.and_then(|it| device::known(&parts.master, tenant, door.email, Utc::now(), it));
        let (kind, subject) = known.map_or_else(
            || (AttemptKind::SignIn, self.attempts_index(tenant, door.email)),
            |device| (AttemptKind::KnownDevice, device),
        );
        let limit = AttemptLimit {
            most: policy.lockout.failures,
            span: Duration::from_secs(policy.lockout.window_s.into()),
            lock: Duration::from_secs(policy.lockout.lock_s.into()),
        };
        let reservation =
            parts.vault.reserve_attempt(tenant, kind, subject, &limit).await.map_err(unavailable)?;
        if reservation.allowed {
            return Ok(Guess { tenant, kind, subject, reservation });
        }
        self.record(door, subject, None, LOCKED, None).await;
        Err(Problem::new(&code::LOCKED, "").retry_after(seconds_until(reservation.locked_until)))
    }

    /// Under what the guesses of an address are counted, from a device that nobody knows.
    pub(super) fn attempts_index(&self, tenant: TenantId, email: &EmailAddress) -> Digest {
        self.parts().master.index(tenant, IndexOf::Attempts, email.normal().as_bytes())
    }

    /// Records a guess that was looked at and came to nothing; and the lock, if it was the last one allowed. Whoever asks is
    /// answered afterwards, even if it could not be recorded.
    pub(super) async fn failed(
        &self,
        door: &Door<'_>,
        guess: &Guess,
        user: Option<UserId>,
        because: &'static str,
    ) {
        self.record(
            door,
            guess.subject,
            user,
            because,
            guess.reservation.locked_until.map(|until| (guess, until)),
        )
        .await;
    }

    async fn record(
        &self,
        door: &Door<'_>,
        subject: Digest,
        user: Option<UserId>,
        because: &'static str,
        lock: Option<(&Guess, DateTime<Utc>)>,
    ) {
        let (log, now) = (door.log(), Utc::now());
        let kind = Kind { log, method: door.method, because, user, subject: Some(subject) };
        let first = self.failures().tally().note(kind, now);
        let month = ActorId::new(month_subject(log, now.date_naive()));
        let mut unit = Unit::empty(log, door.origin.cause(month));
        if let Some(count) = first {
            unit = unit.and(log, RecordSignIn(SignInFact::Failed(failed(&count))));
        }
        if let Some((guess, until)) = lock {
            let locked = SignInLocked {
                method: Word::of(door.method),
                user_id: user,
                identifier: Some(identifier(log, now, subject)),
                failures: u32::try_from(guess.reservation.failed).unwrap_or_default(),
                until,
                at: now,
            };
            unit = unit.and(log, RecordSignIn(SignInFact::Locked(locked)));
            unit = unit.with_vault(self.lock_letter(door, user, until, now).await);
        }
        self.append(unit).await;
    }

    /// Tells a person that somebody guesses at their account. Reading the address takes as long for nobody.
    async fn lock_letter(
        &self,
        door: &Door<'_>,
        user: Option<UserId>,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Option<VaultChange> {
        let tenant = door.tenant;
        let email = self.address_of(tenant, user.unwrap_or(UserId::new(Uuid::nil()))).await.ok()??;
        let policy = self.policy(tenant).await.ok()?;
        let letter = Letter {
            to: email.mailbox().to_owned(),
            language: Language::nearest(policy.language.as_str()),
            mail: Mail::Locked { at: now, until },
        };
        let user = user?.uuid();
        let dedupe = format!("locked:{user}:{}", until.timestamp());
        letter
            .queued(Slip { tenant, mail: Uuid::now_v7(), user: Some(user), dedupe }, &self.parts().master)
            .ok()
    }

    /// What lets a person try again before a lock ends: the command and what goes with it.
    ///
    /// # Errors
    /// `identity.user-not-found`, also of somebody who was erased.
    pub async fn unlocking(
        &self,
        tenant: TenantId,
        user: UserId,
        by: ActorId,
    ) -> Result<(RecordSignIn, VaultChange), Problem> {
        let email = self.address_of(tenant, user).await?;
        let email = email.ok_or_else(|| Refusal::from(IdentityError::UserNotFound { user_id: user }))?;
        let subject = self.attempts_index(tenant, &email);
        let unlocked = SignInUnlocked { user_id: user, by, at: Utc::now() };
        let clear = VaultChange::ClearAttempts { tenant, kind: AttemptKind::SignIn, subject };
        Ok((RecordSignIn(SignInFact::Unlocked(unlocked)), clear))
    }

    /// Records what was counted, as windows end, until told to stop; then all of it.
    pub async fn tend(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let over = self.failures().tally().over(Utc::now());
            self.append_counts(over).await;
        }
        let rest = self.failures().tally().all();
        if tokio::time::timeout(FINISH_TIMEOUT, self.append_counts(rest)).await.is_err() {
            tracing::warn!("not all failed sign-ins were recorded before the end");
        }
    }

    async fn append_counts(&self, counts: Vec<Count>) {
        for count in counts {
            let cause = Cause::system(Uuid::now_v7());
            self.append(Unit::new(count.kind.log, cause, RecordSignIn(SignInFact::Failed(failed(&count)))))
                .await;
        }
    }

    async fn append(&self, unit: Unit) {
        if unit.decisions.is_empty() {
            return;
        }
        match self.submit(unit).await {
            Ok(Ok(_)) => {}
            Ok(Err(refusal)) => tracing::error!(code = %refusal.code, "a failed sign-in was not recorded"),
            Err(problem) => tracing::warn!(code = problem.code(), "a failed sign-in was not recorded"),
        }
    }
}

fn failed(count: &Count) -> SignInFailed {
    let Kind { log, method, because, user, subject } = count.kind;
    SignInFailed {
        method: Word::of(method),
        because: Word::of(because),
        user_id: user,
        identifier: subject.map(|it| identifier(log, count.last_at, it)),
        count: count.count,
        first_at: count.first_at,
        last_at: count.last_at,
    }
}

/// What was typed, as the hash under which it is counted, private to the month.
fn identifier(log: TenantId, at: DateTime<Utc>, subject: Digest) -> Private {
    Private::new(month_subject(log, at.date_naive()), subject.to_string())
}

fn seconds_until(moment: Option<DateTime<Utc>>) -> u64 {
    let left = moment.map_or(0, |it| (it - Utc::now()).num_seconds());
    u64::try_from(left).unwrap_or_default().saturating_add(1)
}
