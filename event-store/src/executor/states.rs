//! The states that decisions see: a bounded cache, and over it the speculative states of a batch and of one unit.

use std::any::Any;
use std::collections::HashMap;

use domain::ids::TenantId;
use domain::{Event, StateSource, StreamId};
use event_schemas::catalog::{self, AnyState};

use crate::stream_ref::StreamRef;

/// A state and what is known of it.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) version: i64,
    pub(crate) state: AnyState,
    /// The position that it was last known to be exact at.
    pub(crate) exact_at: i64,
}

/// Speculative states, on top of others.
///
/// Streams are looked up some twenty times a command. The hash is seeded anew in every process, as that of the standard
/// library is, and takes a fifth of its time.
pub(crate) type Overlay = HashMap<StreamRef, Entry, foldhash::quality::RandomState>;

/// Two generations: what was not used while the younger one filled up is forgotten.
pub(crate) struct StateCache {
    young: Overlay,
    old: Overlay,
    generation_max: usize,
    /// Every position in `known_from + 1 ..= known_to` was written by this process and is folded into its states, so a
    /// state that was exact at `known_from` or later is exact at `known_to`.
    known_from: i64,
    known_to: i64,
}

impl StateCache {
    pub(crate) fn new(generation_max: usize) -> Self {
        Self {
            young: Overlay::default(),
            old: Overlay::default(),
            generation_max,
            known_from: 0,
            known_to: 0,
        }
    }

    pub(crate) fn find(&self, stream: &StreamRef) -> Option<&Entry> {
        self.young.get(stream).or_else(|| self.old.get(stream))
    }

    /// Keeps a state, and with it the streams that were used lately.
    pub(crate) fn insert(&mut self, stream: StreamRef, entry: Entry) {
        if self.young.len() >= self.generation_max && !self.young.contains_key(&stream) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(stream, entry);
    }

    /// Moves a state that is used to the young generation.
    pub(crate) fn touch(&mut self, stream: &StreamRef) {
        if !self.young.contains_key(stream)
            && let Some(entry) = self.old.remove(stream)
        {
            self.insert(*stream, entry);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// Whether a state is exact at the newest position that this process knows.
    pub(crate) fn is_exact(&self, entry: &Entry) -> bool {
        entry.exact_at >= self.known_from
    }

    /// The newest position that this process knows.
    pub(crate) fn known_to(&self) -> i64 {
        self.known_to
    }

    /// Takes note of where the log stands; if others wrote since, older states have to be looked at again.
    pub(crate) fn stand_at(&mut self, position: i64) {
        if position != self.known_to {
            self.known_from = position;
            self.known_to = position;
        }
    }

    /// The position that every given state is exact for, or -1 if there is none, so that versions must be compared.
    pub(crate) fn read_to(&self, streams: impl IntoIterator<Item = i64>) -> i64 {
        if streams.into_iter().all(|exact_at| exact_at >= self.known_from) { self.known_to } else { -1 }
    }

    /// Remembers that this process wrote `base + 1 ..= last`.
    pub(crate) fn wrote(&mut self, base: i64, last: i64) {
        if base != self.known_to {
            self.known_from = base;
        }
        self.known_to = last;
    }
}

/// The states of one tenant through all layers.
pub(crate) struct Layers<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) unit: &'a Overlay,
    pub(crate) batch: &'a Overlay,
    /// What the batch before leaves, while it is on its way to the log.
    pub(crate) under_way: &'a Overlay,
    pub(crate) cache: &'a StateCache,
}

impl Layers<'_> {
    pub(crate) fn entry(&self, stream: StreamId) -> Option<&Entry> {
        let stream = StreamRef { tenant: self.tenant, stream };
        [self.unit, self.batch, self.under_way]
            .into_iter()
            .find_map(|layer| layer.get(&stream))
            .or_else(|| self.cache.find(&stream))
    }
}

impl StateSource for Layers<'_> {
    fn find(&self, stream: StreamId) -> Option<(i64, &(dyn Any + Send + Sync))> {
        self.entry(stream).map(|entry| (entry.version, &*entry.state))
    }
}

/// The state of a stream without events.
pub(crate) fn empty(stream: StreamId, exact_at: i64) -> Entry {
    let state: AnyState = catalog::aggregate_of(stream.category.code)
        .map_or_else(|| std::sync::Arc::new(()) as AnyState, |aggregate| (aggregate.initial)());
    Entry { version: 0, state, exact_at }
}

/// Folds an event into the state of one of its streams.
pub(crate) fn fold(entry: &mut Entry, stream: StreamId, event: &Event) {
    entry.version += 1;
    if let Some(aggregate) = catalog::aggregate_of(stream.category.code) {
        (aggregate.evolve)(&mut entry.state, stream.id, event);
    }
}
