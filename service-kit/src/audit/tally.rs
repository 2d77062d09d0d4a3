//! Counting identical attempts. Pure: time comes in with every call, and what is to be written goes out.
//!
//! Bounded three times: a tenant has so many exact attempts in a window; beyond them attempts are told apart by who,
//! what and which kind of thing only; beyond those they are one number.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use domain::audit::{AttemptRefused, AuditEvent, DataRead, RefusalsCounted};
use domain::ids::{ActorId, TenantId};

use super::Kind;
use crate::access::Caller;

/// How much is told apart.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long identical attempts are counted as one.
    pub window: TimeDelta,
    /// Attempts of a tenant in a window that are told apart exactly.
    pub exact_max: usize,
    /// Further ones of a tenant, told apart without identifiers and filters.
    pub coarse_max: usize,
    /// Attempts of all tenants.
    pub entries_max: usize,
}

impl Limits {
    /// The usual bounds, with this window.
    #[must_use]
    pub fn new(window: TimeDelta) -> Self {
        Self { window, exact_max: 300, coarse_max: 100, entries_max: 10_000 }
    }
}

/// What was attempted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum What {
    /// It was refused.
    Refused {
        /// What kind of attempt.
        kind: Kind,
        /// With which code.
        code: Cow<'static, str>,
        /// And HTTP status.
        status: u16,
    },
    /// Sensitive data was read.
    Read {
        /// By what it was narrowed.
        filters: BTreeMap<String, String>,
    },
    /// More was refused than is told apart.
    Rest,
}

/// What makes attempts identical.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attempt {
    tenant: TenantId,
    actor: ActorId,
    action: &'static str,
    resource: String,
    what: What,
}

impl Attempt {
    /// An attempt of a caller.
    #[must_use]
    pub fn new(caller: &Caller, action: &'static str, resource: &str, what: What) -> Self {
        Self { tenant: caller.tenant, actor: caller.actor, action, resource: resource.to_owned(), what }
    }

    fn rest(tenant: TenantId) -> Self {
        Self { tenant, actor: ActorId::SYSTEM, action: "", resource: String::new(), what: What::Rest }
    }

    pub(super) fn is_refused(&self) -> bool {
        !matches!(self.what, What::Read { .. })
    }

    /// What is recorded of so many of them.
    #[must_use]
    pub fn event(&self, count: u64, first_at: DateTime<Utc>, last_at: DateTime<Utc>) -> AuditEvent {
        let (action, resource) = (self.action.to_owned(), self.resource.clone());
        match &self.what {
            What::Refused { kind, code, status } => {
                let (code, status) = (code.clone().into_owned(), *status);
                let refused = AttemptRefused { action, resource, code, status, count, first_at, last_at };
                match kind {
                    Kind::Command => AuditEvent::CommandRefused(refused),
                    Kind::Read => AuditEvent::ReadRefused(refused),
                }
            }
            What::Read { filters } => {
                let filters = filters.clone();
                AuditEvent::DataRead(DataRead { action, resource, filters, count, first_at, last_at })
            }
            What::Rest => AuditEvent::RefusalsCounted(RefusalsCounted { count, first_at, last_at }),
        }
    }
}

#[derive(Debug, Clone)]
struct Window<A, M> {
    begun_at: DateTime<Utc>,
    is_coarse: bool,
    marker: M,
    /// Who came last.
    author: Option<A>,
    /// How many came after the first.
    more: u64,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
}

impl<A, M> Window<A, M> {
    fn begin(is_coarse: bool, marker: M, now: DateTime<Utc>) -> Self {
        Self { begun_at: now, is_coarse, marker, author: None, more: 0, first_at: now, last_at: now }
    }

    fn count(&mut self, more: u64, first_at: DateTime<Utc>, last_at: DateTime<Utc>) {
        self.first_at = if self.more == 0 { first_at } else { self.first_at.min(first_at) };
        self.last_at = if self.more == 0 { last_at } else { self.last_at.max(last_at) };
        self.more += more;
    }
}

/// What was counted in a window that is over.
#[derive(Debug)]
pub struct Count<A, M> {
    attempt: Attempt,
    window: Window<A, M>,
}

impl<A, M> Count<A, M> {
    /// Whose.
    pub(super) fn tenant(&self) -> TenantId {
        self.attempt.tenant
    }

    /// Who came last; nobody, if it was several.
    pub(super) fn author(&self) -> Option<&A> {
        self.window.author.as_ref()
    }

    /// What is recorded of it.
    pub(super) fn event(&self) -> AuditEvent {
        self.attempt.event(self.window.more, self.window.first_at, self.window.last_at)
    }
}

/// The windows that are open. `A` is who attempts, `M` marks whether the first of a window is written.
#[derive(Debug)]
pub struct Tally<A, M> {
    limits: Limits,
    windows: HashMap<Attempt, Window<A, M>>,
    /// Exact and coarse ones of each tenant.
    sizes: HashMap<TenantId, (usize, usize)>,
}

impl<A: Clone, M: Clone + Default> Tally<A, M> {
    /// Nothing is counted yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, windows: HashMap::new(), sizes: HashMap::new() }
    }

    /// Where an attempt is counted: in a window of its own kind, or of the coarse kind if there are too many, with the
    /// window's marker. Nowhere, if there are too many of those as well.
    pub fn place(&mut self, exact: Attempt, coarse: Attempt, now: DateTime<Utc>) -> Option<(Attempt, M)> {
        for (attempt, is_coarse) in [(exact, false), (coarse, true)] {
            if let Some(window) = self.windows.get(&attempt) {
                let marker = window.marker.clone();
                return Some((attempt, marker));
            }
            let (exacts, coarses) = self.sizes.get(&attempt.tenant).copied().unwrap_or_default();
            let has_room = match is_coarse {
                false => exacts < self.limits.exact_max,
                true => coarses < self.limits.coarse_max,
            };
            if has_room && self.windows.len() < self.limits.entries_max {
                let marker = M::default();
                self.insert(attempt.clone(), Window::begin(is_coarse, marker.clone(), now));
                return Some((attempt, marker));
            }
        }
        None
    }

    /// Counts an attempt at its place. If its window is over by now, it begins the next one.
    pub fn count(&mut self, attempt: Attempt, marker: M, author: &A, count: u64, now: DateTime<Utc>) {
        let mut window = match self.remove(&attempt) {
            Some(window) => window,
            None => Window::begin(false, marker, now),
        };
        window.author = Some(author.clone());
        window.count(count, now, now);
        self.insert(attempt, window);
    }

    /// Counts what has no place.
    pub fn count_rest(&mut self, tenant: TenantId, count: u64, now: DateTime<Utc>) {
        let attempt = Attempt::rest(tenant);
        let mut window = self.remove(&attempt).unwrap_or_else(|| Window::begin(true, M::default(), now));
        window.count(count, now, now);
        self.insert(attempt, window);
    }

    /// Ends the windows that are over and gives what was counted in them.
    pub fn over(&mut self, now: DateTime<Utc>) -> Vec<Count<A, M>> {
        let end = now - self.limits.window;
        self.end(|window| window.begun_at <= end)
    }

    /// Ends all windows.
    pub fn all(&mut self) -> Vec<Count<A, M>> {
        self.end(|_| true)
    }

    /// Takes a count back that could not be written; it is given again when its new window is over.
    pub fn put_back(&mut self, count: Count<A, M>) {
        let Count { attempt, mut window } = count;
        if let Some(newer) = self.remove(&attempt) {
            if newer.more > 0 {
                window.count(newer.more, newer.first_at, newer.last_at);
                window.author = newer.author;
            }
            window.marker = newer.marker;
        }
        self.insert(attempt, window);
    }

    /// How many are counted and not yet told.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.windows.values().map(|it| it.more).sum()
    }

    fn end(&mut self, is_over: impl Fn(&Window<A, M>) -> bool) -> Vec<Count<A, M>> {
        let over: Vec<Attempt> =
            self.windows.iter().filter(|(_, it)| is_over(it)).map(|(attempt, _)| attempt.clone()).collect();
        over.into_iter()
            .filter_map(|attempt| {
                let window = self.remove(&attempt)?;
                (window.more > 0).then_some(Count { attempt, window })
            })
            .collect()
    }

    fn insert(&mut self, attempt: Attempt, window: Window<A, M>) {
        let (exact, coarse) = self.sizes.entry(attempt.tenant).or_default();
        *(if window.is_coarse { coarse } else { exact }) += 1;
        self.windows.insert(attempt, window);
    }

    fn remove(&mut self, attempt: &Attempt) -> Option<Window<A, M>> {
        let window = self.windows.remove(attempt)?;
        if let Some((exact, coarse)) = self.sizes.get_mut(&attempt.tenant) {
            let size = if window.is_coarse { &mut *coarse } else { &mut *exact };
            *size = size.saturating_sub(1);
            if (*exact, *coarse) == (0, 0) {
                self.sizes.remove(&attempt.tenant);
            }
        }
        Some(window)
    }
}
