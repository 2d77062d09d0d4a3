//! Guesses: each is reserved before it is looked at, one that failed is recorded, and too many lock.
//!
//! Failures are on the stream of the day and not on that of a person: a guess for somebody who is not there is recorded like
//! any other. What was typed, and from where, is private to the month.

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

use super::failures::{Counted, Kind};
use super::{Identity, Origin, unavailable};

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
    /// Guesses until the lock.
    most: u16,
    reservation: Reservation,
}

impl Guess {
    /// What it is counted under.
    pub(super) const fn counter(&self) -> (AttemptKind, Digest) {
        (self.kind, self.subject)
    }

    /// How many guesses there are until the lock.
    pub(super) const fn most(&self) -> u16 {
        self.most
    }

    /// Goes with the transaction of what was right and is no complete sign-in: the guess is not counted, and all those that
    /// were wrong still are.
    pub(super) const fn returned(&self) -> VaultChange {
        VaultChange::ReturnAttempt {
            tenant: self.tenant,
            kind: self.kind,
            subject: self.subject,
            most: self.most,
        }
    }

    /// Goes with the transaction of a complete sign-in.
    pub(super) const fn cleared(&self) -> VaultChange {
        VaultChange::ClearAttempts { tenant: self.tenant, kind: self.kind, subject: self.subject }
    }
}

impl Identity {
    /// Reserves a guess, or says until when there is none. `known` is the device on which it is made, if they signed in there before.
    pub(super) async fn guess(
        &self,
        door: &Door<'_>,
        known: Option<Digest>,
        policy: &Policy,
    ) -> Result<Guess, Problem> {
        let address = self.attempts_index(door.tenant, door.email);
        let counter = known.map_or((AttemptKind::SignIn, address), |device| {
            (AttemptKind::KnownDevice, on_device(address, device))
        });
        self.guess_as(door, counter, policy).await
    }

    /// Reserves a guess under a counter that is known already: that of the first half of the same sign-in.
    pub(super) async fn guess_as(
        &self,
        door: &Door<'_>,
        counter: (AttemptKind, Digest),
        policy: &Policy,
    ) -> Result<Guess, Problem> {
        let (tenant, (kind, subject)) = (door.tenant, counter);
        let limit = AttemptLimit {
            most: policy.lockout.failures,
            span: Duration::from_secs(policy.lockout.window_s.into()),
            lock: Duration::from_secs(policy.lockout.lock_s.into()),
        };
        let reservation =
            self.parts().vault.reserve_attempt(tenant, kind, subject, &limit).await.map_err(unavailable)?;
        if reservation.allowed {
            return Ok(Guess { tenant, kind, subject, most: limit.most, reservation });
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
        let first = self.failures().note(kind, now);
        let month = ActorId::new(month_subject(log, now.date_naive()));
        let mut unit = Unit::empty(log, door.origin.cause(month));
        if let Some(first) = &first {
            unit = unit.and(log, RecordSignIn(SignInFact::Failed(failed(first.kind, 1, now, now))));
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
        if !self.append(unit).await
            && let Some(first) = first
        {
            self.failures().missed(first, now);
        }
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
        Ok((RecordSignIn(SignInFact::Unlocked(unlocked)), VaultChange::OpenLocks { tenant, subject }))
    }

    /// Records what was counted, as windows end, until told to stop; then all of it.
    pub async fn tend(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let over = self.failures().over(Utc::now());
            self.append_counts(over).await;
        }
        let rest = self.failures().all();
        if tokio::time::timeout(FINISH_TIMEOUT, self.append_counts(rest)).await.is_err() {
            tracing::warn!("not all failed sign-ins were recorded before the end");
        }
    }

    async fn append_counts(&self, counts: Vec<Counted>) {
        for count in counts {
            let (kind, cause) = (*count.key(), Cause::system(Uuid::now_v7()));
            let fact = failed(kind, count.count(), count.first_at(), count.last_at());
            let unit = Unit::new(kind.log, cause, RecordSignIn(SignInFact::Failed(fact)));
            if !self.append(unit).await {
                self.failures().put_back(count);
            }
        }
    }

    /// Whether it was recorded.
    async fn append(&self, unit: Unit) -> bool {
        if unit.decisions.is_empty() {
            return true;
        }
        match self.submit(unit).await {
            Ok(Ok(_)) => return true,
            Ok(Err(refusal)) => tracing::error!(code = %refusal.code, "a failed sign-in was not recorded"),
            Err(problem) => tracing::warn!(code = problem.code(), "a failed sign-in was not recorded"),
        }
        false
    }
}

/// Under what the guesses on a known device are counted: it begins as that of its address does, so that all devices of an
/// address are found by it (migration 0064).
fn on_device(Digest(mut address): Digest, Digest(device): Digest) -> Digest {
    let half = address.len() / 2;
    for (to, from) in address.iter_mut().skip(half).zip(device) {
        *to = from;
    }
    Digest(address)
}

/// What is recorded of failures of a kind.
fn failed(kind: Kind, count: u64, first_at: DateTime<Utc>, last_at: DateTime<Utc>) -> SignInFailed {
    let Kind { log, method, because, user, subject } = kind;
    let identifier = subject.map(|it| identifier(log, last_at, it));
    let (method, because) = (Word::of(method), Word::of(because));
    SignInFailed { method, because, user_id: user, identifier, count, first_at, last_at }
}

/// What was typed, as the hash under which it is counted, private to the month.
fn identifier(log: TenantId, at: DateTime<Utc>, subject: Digest) -> Private {
    Private::new(month_subject(log, at.date_naive()), subject.to_string())
}

fn seconds_until(moment: Option<DateTime<Utc>>) -> u64 {
    let left = moment.map_or(0, |it| (it - Utc::now()).num_seconds());
    u64::try_from(left).unwrap_or_default().saturating_add(1)
}
