//! A batch as far as it has been judged, and what its append rests on.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::Refusal;
use domain::ids::TenantId;

use crate::executor::SubmitError;
use crate::executor::append::{Append, Basis, Guards};
use crate::executor::load::Unreadable;
use crate::executor::states::{Entry, Overlay, StateCache};
use crate::stream_ref::StreamRef;
use crate::unit::{Done, Receipt};

/// What became of a unit in the plan.
#[derive(Debug, Clone)]
pub(crate) enum Planned {
    /// Judged: its results hold once the batch has landed; up to the event with this ordinal.
    Judged { results: Vec<Result<Done, Refusal>>, last_event: i32 },
    /// The same key earlier in the batch: its answer is given again.
    SameAs { unit: usize },
    /// Not judged.
    Failed(SubmitError),
    /// Fixed already, whatever the batch does.
    Settled(Result<Receipt, SubmitError>),
}

/// How far states in memory are believed that another process may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// As they are: the append compares their versions.
    Known,
    /// They are looked at once more first, so that the append seldom finds another version.
    Looked,
    /// Not at all, nor is anything else taken for granted: the head is held, and nothing can change any more.
    Nothing,
}

/// A batch as far as it has been judged. Everything in it is speculative until [`Draft::commit`].
pub(crate) struct Draft {
    /// The time at which units are judged; later for those that joined later.
    pub(super) now: DateTime<Utc>,
    /// The oldest time that a judgement rests on: what others recorded after it may have to be known first.
    decided_at: DateTime<Utc>,
    /// The history that it belongs to.
    epoch: i32,
    /// Where the log stood when the states were brought up to date. If it was begun while the batch before was on its
    /// way: where it stood before that.
    pub(super) exact_at: i64,
    /// Whether states that are not exact there are brought up to date first.
    pub(super) trust: Trust,
    pub(crate) overlay: Overlay,
    /// The streams that were read, each with its version and where that was known, before this batch.
    pub(super) read: HashMap<StreamRef, (i64, i64)>,
    pub(super) unreadable: Unreadable,
    pub(super) answered: HashMap<(TenantId, [u8; 32]), (usize, [u8; 32])>,
    pub(super) valid_until: Option<DateTime<Utc>>,
    pub(crate) append: Append,
    pub(crate) units: Vec<Planned>,
}

impl Draft {
    pub(crate) fn new(now: DateTime<Utc>, epoch: i32, exact_at: i64, trust: Trust) -> Self {
        Self {
            now,
            decided_at: now,
            epoch,
            exact_at,
            trust,
            overlay: Overlay::default(),
            read: HashMap::new(),
            unreadable: Unreadable::new(),
            answered: HashMap::new(),
            valid_until: None,
            append: Append::default(),
            units: Vec::new(),
        }
    }

    /// The time of what is judged from here on. It never falls.
    pub(crate) fn judge_at(&mut self, now: DateTime<Utc>) {
        self.now = self.now.max(now);
        if self.units.is_empty() && self.append.events() == 0 {
            self.decided_at = self.now;
        }
    }

    /// The time at which units are judged.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// The batch on top of which this one was judged has landed: everything up to it was known.
    pub(crate) fn knows_up_to(&mut self, recorded_at: DateTime<Utc>) {
        self.decided_at = self.decided_at.max(recorded_at);
        self.now = self.now.max(recorded_at);
    }

    /// On what the append rests.
    pub(crate) fn basis(&self, cache: &StateCache) -> (Basis, Guards) {
        let mut guards = Guards::default();
        for (stream, (version, _)) in &self.read {
            guards.push(stream, *version);
        }
        let exact = self.read.iter().map(|(stream, (version, exact_at))| match cache.find(stream) {
            Some(entry) if entry.version == *version => entry.exact_at.max(*exact_at),
            _ => *exact_at,
        });
        let read_to = if self.trust == Trust::Nothing { self.exact_at } else { cache.read_to(exact) };
        let Self { epoch, decided_at, valid_until, .. } = *self;
        (Basis { read_to, epoch, decided_at, valid_until }, guards)
    }

    /// The batch has landed: what was speculative is so.
    pub(crate) fn commit(self, cache: &mut StateCache, base: i64) -> Vec<Planned> {
        let last = base + i64::from(self.append.events());
        let untouched = self.read.into_keys().filter(|it| !self.overlay.contains_key(it));
        for stream in untouched {
            if let Some(entry) = cache.find(&stream).cloned() {
                cache.insert(stream, Entry { exact_at: last, ..entry });
            }
        }
        for (stream, entry) in self.overlay {
            cache.insert(stream, Entry { exact_at: last, ..entry });
        }
        cache.wrote(base, last);
        self.units
    }
}
