//! Counting sign-ins that fail alike: the first of its kind is recorded at once, those that follow within a minute as one
//! ([`service_kit::tally`]). Beyond what is told apart by whom it concerned, failures are told apart by their reason alone.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::{TenantId, UserId};
use event_store::vault::Digest;
use service_kit::tally::{Alike, Count, Limits, Tally};

/// How long failures of a kind are counted as one.
const WINDOW: TimeDelta = TimeDelta::seconds(60);
/// What is told of failures that are told apart by nothing.
const SEVERAL: &str = "several";

/// What makes failures alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    /// In whose log they are recorded.
    pub log: TenantId,
    /// How it was tried.
    pub method: &'static str,
    /// Why it failed.
    pub because: &'static str,
    /// For whom, if there is such a person.
    pub user: Option<UserId>,
    /// Under what its guesses are counted, which says what was typed and nothing of it.
    pub subject: Option<Digest>,
}

impl Alike for Kind {
    fn tenant(&self) -> TenantId {
        self.log
    }

    fn rest(log: TenantId) -> Self {
        Self { log, method: SEVERAL, because: SEVERAL, user: None, subject: None }
    }
}

/// Set once somebody has taken it on to record the first of a window.
type Taken = Arc<OnceLock<()>>;

/// Failures of one kind that were counted.
pub(super) type Counted = Count<Kind, (), Taken>;

/// The first failure of its kind, which is to be recorded at once.
#[derive(Debug)]
pub(super) struct First {
    /// What it is recorded as.
    pub kind: Kind,
    taken: Taken,
}

/// What was counted in windows that are not over.
#[derive(Debug)]
pub(super) struct Failures(Mutex<Tally<Kind, (), Taken>>);

impl Default for Failures {
    fn default() -> Self {
        Self(Mutex::new(Tally::new(Limits::new(WINDOW))))
    }
}

impl Failures {
    /// Notes one. Gives it back if it is the first of its kind.
    pub(super) fn note(&self, kind: Kind, now: DateTime<Utc>) -> Option<First> {
        let mut tally = self.tally();
        let coarse = Kind { user: None, subject: None, ..kind };
        match tally.place(kind, coarse, now) {
            Some((kind, taken)) if taken.set(()).is_ok() => return Some(First { kind, taken }),
            Some((kind, taken)) => tally.count(kind, taken, &(), 1, now),
            None => tally.count_rest(kind.log, 1, now),
        }
        None
    }

    /// The first of its kind could not be recorded: it is counted, and recorded with those that follow.
    pub(super) fn missed(&self, first: First, now: DateTime<Utc>) {
        self.tally().count(first.kind, first.taken, &(), 1, now);
    }

    /// What was counted could not be recorded either: it is told again a window later.
    pub(super) fn put_back(&self, count: Counted) {
        self.tally().put_back(count);
    }

    /// What was counted in windows that are over by now.
    pub(super) fn over(&self, now: DateTime<Utc>) -> Vec<Counted> {
        self.tally().over(now)
    }

    /// Everything that was counted: the process ends.
    pub(super) fn all(&self) -> Vec<Counted> {
        self.tally().all()
    }

    fn tally(&self) -> MutexGuard<'_, Tally<Kind, (), Taken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// Kinds of a tenant that are told apart in a window.
    const KINDS_MAX: u64 = 300;

    fn kind(tenant: u128, subject: u16) -> Kind {
        let mut digest = [0; 32];
        digest[..2].copy_from_slice(&subject.to_be_bytes());
        let log = TenantId::new(Uuid::from_u128(tenant));
        Kind { log, method: "password", because: "credentials", user: None, subject: Some(Digest(digest)) }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn told(counted: &[Counted]) -> u64 {
        counted.iter().map(Counted::count).sum()
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_as_one() {
        let failures = Failures::default();
        assert_eq!(failures.note(kind(1, 1), at(0)).unwrap().kind, kind(1, 1));
        for second in 1..5 {
            assert!(failures.note(kind(1, 1), at(second)).is_none());
        }
        assert!(failures.note(kind(1, 2), at(5)).is_some(), "another kind");
        assert!(failures.over(at(59)).is_empty());
        let over = failures.over(at(60));
        let [one] = over.as_slice() else { panic!("{over:?}") };
        assert_eq!((*one.key(), one.count(), one.first_at(), one.last_at()), (kind(1, 1), 4, at(1), at(4)));
        assert!(failures.note(kind(1, 1), at(61)).is_some(), "a new window");
        assert!(failures.over(at(200)).is_empty(), "nothing followed the first ones");
    }

    #[test]
    fn beyond_its_bound_a_tenant_is_told_by_reason_alone_and_others_are_not_touched() {
        let failures = Failures::default();
        let firsts = (0..1_000).filter_map(|n| failures.note(kind(1, n), at(0))).count();
        assert_eq!(firsts as u64, KINDS_MAX + 1);
        assert!(failures.note(kind(1, 7), at(1)).is_none(), "one that is told apart stays so");
        assert!(failures.note(kind(2, 7), at(1)).is_some());
        let rest = failures.over(at(60)).into_iter().find(|it| it.key().subject.is_none()).unwrap();
        assert_eq!(rest.count(), 1_000 - KINDS_MAX - 1);
        assert!(failures.note(kind(1, 999), at(70)).is_some(), "the next window has room");
    }

    #[test]
    fn nothing_that_was_counted_is_lost_even_if_it_cannot_be_recorded() {
        let failures = Failures::default();
        let firsts: Vec<First> = (0..100).filter_map(|n| failures.note(kind(1, n % 7), at(0))).collect();
        assert_eq!(firsts.len(), 7);
        firsts.into_iter().for_each(|it| failures.missed(it, at(1)));
        let over = failures.over(at(60));
        assert_eq!(told(&over), 100);
        over.into_iter().for_each(|it| failures.put_back(it));
        assert_eq!(told(&failures.all()), 100);
        assert!(failures.all().is_empty());
    }
}
