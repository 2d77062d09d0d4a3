//! Counting what happens again and again, so that a record of it stays small: the first of its kind is recorded, those that
//! follow within a window are counted and recorded as one. Pure: time comes in with every call, and what is to be written
//! goes out.
//!
//! Bounded three times: a tenant has so many kinds in a window that are told apart exactly; beyond them they are told apart
//! by less; beyond those they are one number.

use std::collections::HashMap;
use std::hash::Hash;

use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::TenantId;

/// What makes things alike: those with equal keys are counted together.
pub trait Alike: Clone + Eq + Hash {
    /// In whose record they are.
    fn tenant(&self) -> TenantId;

    /// What is told of those that are told apart by nothing.
    fn rest(tenant: TenantId) -> Self;
}

/// How much is told apart.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long what is alike is counted as one.
    pub window: TimeDelta,
    /// Things of a tenant in a window that are told apart exactly.
    pub exact_max: usize,
    /// Further ones of a tenant, told apart by less.
    pub coarse_max: usize,
    /// Things of all tenants.
    pub entries_max: usize,
}

impl Limits {
    /// The usual bounds, with this window.
    #[must_use]
    pub fn new(window: TimeDelta) -> Self {
        Self { window, exact_max: 300, coarse_max: 100, entries_max: 10_000 }
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
pub struct Count<K, A, M> {
    key: K,
    window: Window<A, M>,
}

impl<K, A, M> Count<K, A, M> {
    /// What they have in common.
    pub const fn key(&self) -> &K {
        &self.key
    }

    /// Who came last; nobody, if it was several.
    pub const fn author(&self) -> Option<&A> {
        self.window.author.as_ref()
    }

    /// How many, without the one that began the window.
    pub const fn count(&self) -> u64 {
        self.window.more
    }

    /// When the first of them came.
    pub const fn first_at(&self) -> DateTime<Utc> {
        self.window.first_at
    }

    /// When the last of them came.
    pub const fn last_at(&self) -> DateTime<Utc> {
        self.window.last_at
    }
}

/// The windows that are open. `K` is what makes things alike, `A` is who did them, `M` marks whether the first of a window is
/// written.
#[derive(Debug)]
pub struct Tally<K, A, M> {
    limits: Limits,
    windows: HashMap<K, Window<A, M>>,
    /// Exact and coarse ones of each tenant.
    sizes: HashMap<TenantId, (usize, usize)>,
}

impl<K: Alike, A: Clone, M: Clone + Default> Tally<K, A, M> {
    /// Nothing is counted yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, windows: HashMap::new(), sizes: HashMap::new() }
    }

    /// Where something is counted: in a window of its own kind, or of the coarse kind if there are too many, with the
    /// window's marker. Nowhere, if there are too many of those as well.
    pub fn place(&mut self, exact: K, coarse: K, now: DateTime<Utc>) -> Option<(K, M)> {
        for (key, is_coarse) in [(exact, false), (coarse, true)] {
            if let Some(window) = self.windows.get(&key) {
                let marker = window.marker.clone();
                return Some((key, marker));
            }
            let (exacts, coarses) = self.sizes.get(&key.tenant()).copied().unwrap_or_default();
            let has_room = match is_coarse {
                false => exacts < self.limits.exact_max,
                true => coarses < self.limits.coarse_max,
            };
            if has_room && self.windows.len() < self.limits.entries_max {
                let marker = M::default();
                self.insert(key.clone(), Window::begin(is_coarse, marker.clone(), now));
                return Some((key, marker));
            }
        }
        None
    }

    /// Counts something at its place. If its window is over by now, it begins the next one.
    pub fn count(&mut self, key: K, marker: M, author: &A, count: u64, now: DateTime<Utc>) {
        let mut window = match self.remove(&key) {
            Some(window) => window,
            None => Window::begin(false, marker, now),
        };
        window.author = Some(author.clone());
        window.count(count, now, now);
        self.insert(key, window);
    }

    /// Counts what has no place.
    pub fn count_rest(&mut self, tenant: TenantId, count: u64, now: DateTime<Utc>) {
        let key = K::rest(tenant);
        let mut window = self.remove(&key).unwrap_or_else(|| Window::begin(true, M::default(), now));
        window.count(count, now, now);
        self.insert(key, window);
    }

    /// Ends the windows that are over and gives what was counted in them.
    pub fn over(&mut self, now: DateTime<Utc>) -> Vec<Count<K, A, M>> {
        let end = now - self.limits.window;
        self.end(|window| window.begun_at <= end)
    }

    /// Ends all windows.
    pub fn all(&mut self) -> Vec<Count<K, A, M>> {
        self.end(|_| true)
    }

    /// Takes a count back that could not be written; it is given again when its new window is over.
    pub fn put_back(&mut self, count: Count<K, A, M>) {
        let Count { key, mut window } = count;
        if let Some(newer) = self.remove(&key) {
            if newer.more > 0 {
                window.count(newer.more, newer.first_at, newer.last_at);
                window.author = newer.author;
            }
            window.marker = newer.marker;
        }
        self.insert(key, window);
    }

    /// How many are counted and not yet told.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.windows.values().map(|it| it.more).sum()
    }

    fn end(&mut self, is_over: impl Fn(&Window<A, M>) -> bool) -> Vec<Count<K, A, M>> {
        let over: Vec<K> =
            self.windows.iter().filter(|(_, it)| is_over(it)).map(|(key, _)| key.clone()).collect();
        over.into_iter()
            .filter_map(|key| {
                let window = self.remove(&key)?;
                (window.more > 0).then_some(Count { key, window })
            })
            .collect()
    }

    fn insert(&mut self, key: K, window: Window<A, M>) {
        let (exact, coarse) = self.sizes.entry(key.tenant()).or_default();
        *(if window.is_coarse { coarse } else { exact }) += 1;
        self.windows.insert(key, window);
    }

    fn remove(&mut self, key: &K) -> Option<Window<A, M>> {
        let window = self.windows.remove(key)?;
        if let Some((exact, coarse)) = self.sizes.get_mut(&key.tenant()) {
            let size = if window.is_coarse { &mut *coarse } else { &mut *exact };
            *size = size.saturating_sub(1);
            if (*exact, *coarse) == (0, 0) {
                self.sizes.remove(&key.tenant());
            }
        }
        Some(window)
    }
}
