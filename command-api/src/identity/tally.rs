//! Counting sign-ins that fail alike. Pure: time comes in with every call, and what is to be recorded goes out.
//!
//! The first of its kind is recorded at once; those that follow within a window are counted, and recorded as one. Bounded: a
//! tenant has so many kinds that are told apart in a window, and what is beyond them is told by its reason alone.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::{TenantId, UserId};
use event_store::vault::Digest;

/// How long failures of a kind are counted as one.
const WINDOW: TimeDelta = TimeDelta::seconds(60);
/// Kinds of a tenant that are told apart in a window.
const KINDS_MAX: usize = 300;
/// Kinds of all tenants that are told apart in a window.
const ALL_MAX: usize = 10_000;

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

/// Failures of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub kind: Kind,
    pub count: u64,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
}

/// What was counted in windows that are not over.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The counts, without what was recorded at once.
    open: HashMap<Kind, (Count, DateTime<Utc>)>,
    of_log: HashMap<TenantId, usize>,
}

impl Tally {
    /// Notes one. Gives it back if it is the first of its kind, which is to be recorded now.
    pub(super) fn note(&mut self, kind: Kind, now: DateTime<Utc>) -> Option<Count> {
        let told_apart = self.of_log.get(&kind.log).copied().unwrap_or_default();
        let full = told_apart >= KINDS_MAX || self.open.len() >= ALL_MAX;
        let kind = if full && !self.open.contains_key(&kind) {
            Kind { user: None, subject: None, ..kind }
        } else {
            kind
        };
        if let Some((count, _)) = self.open.get_mut(&kind) {
            if count.count == 0 {
                count.first_at = now;
            }
            count.count += 1;
            count.last_at = now;
            return None;
        }
        let nothing = Count { kind, count: 0, first_at: now, last_at: now };
        self.open.insert(kind, (nothing, now + WINDOW));
        *self.of_log.entry(kind.log).or_default() += 1;
        Some(Count { count: 1, ..nothing })
    }

    /// What was counted in windows that are over by now.
    pub(super) fn over(&mut self, now: DateTime<Utc>) -> Vec<Count> {
        let (over, open) =
            std::mem::take(&mut self.open).into_iter().partition(|(_, (_, ends))| *ends <= now);
        self.open = open;
        self.of_log.clear();
        for kind in self.open.keys() {
            *self.of_log.entry(kind.log).or_default() += 1;
        }
        counted(over)
    }

    /// Everything that was counted: the process ends.
    pub(super) fn all(&mut self) -> Vec<Count> {
        self.of_log.clear();
        counted(std::mem::take(&mut self.open))
    }
}

fn counted(windows: HashMap<Kind, (Count, DateTime<Utc>)>) -> Vec<Count> {
    windows.into_values().map(|(count, _)| count).filter(|it| it.count > 0).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn kind(tenant: u128, subject: u16) -> Kind {
        let mut digest = [0; 32];
        digest[..2].copy_from_slice(&subject.to_be_bytes());
        let log = TenantId::new(Uuid::from_u128(tenant));
        Kind { log, method: "password", because: "credentials", user: None, subject: Some(Digest(digest)) }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_as_one() {
        let mut tally = Tally::default();
        let first = tally.note(kind(1, 1), at(0)).unwrap();
        assert_eq!((first.count, first.first_at, first.last_at), (1, at(0), at(0)));
        for second in 1..5 {
            assert_eq!(tally.note(kind(1, 1), at(second)), None);
        }
        assert!(tally.note(kind(1, 2), at(5)).is_some(), "another kind");
        assert_eq!(tally.over(at(59)), []);
        let over = tally.over(at(60));
        assert_eq!(over, [Count { kind: kind(1, 1), count: 4, first_at: at(1), last_at: at(4) }]);
        assert!(tally.note(kind(1, 1), at(61)).is_some(), "a new window");
        assert_eq!(tally.over(at(200)), [], "nothing followed the first ones");
    }

    #[test]
    fn beyond_its_bound_a_tenant_is_told_by_reason_alone_and_others_are_not_touched() {
        let mut tally = Tally::default();
        let told = (0..1_000).filter_map(|n| tally.note(kind(1, n), at(0))).count();
        assert_eq!(told, KINDS_MAX + 1);
        assert_eq!(tally.note(kind(1, 7), at(1)), None, "one that is told apart stays so");
        assert!(tally.note(kind(2, 7), at(1)).is_some());
        let rest = tally.over(at(60)).into_iter().find(|it| it.kind.subject.is_none()).unwrap();
        assert_eq!(rest.count, 1_000 - KINDS_MAX as u64 - 1);
        assert!(tally.note(kind(1, 999), at(70)).is_some(), "the next window has room");
    }

    #[test]
    fn nothing_that_was_counted_is_lost_at_the_end() {
        let mut tally = Tally::default();
        let told: u64 = (0..100).filter_map(|n| tally.note(kind(1, n % 7), at(0))).map(|it| it.count).sum();
        assert_eq!(told + tally.all().iter().map(|it| it.count).sum::<u64>(), 100);
        assert_eq!(tally.all(), []);
    }
}
