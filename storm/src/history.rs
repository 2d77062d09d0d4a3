//! Whether a recorded history is strictly serializable: every operation as if at one instant between its call and its
//! return. Pure: no input, no output, no clock.
//!
//! Deciding that for any history is hard; for an event store it is not, since the version of a stream says in which
//! order it was written. So the order of two operations is known wherever they meet (`graph`), and a history is good
//! exactly if that order has no cycle together with real time. What one stream or one operation shows alone is told
//! apart (`fault`), and a cycle gets the name that the literature has for it (`cycle`).
//! The cost is n log n in operations, and square in the accesses of one of them.

use std::fmt;

mod cycle;
mod fault;
mod graph;
#[cfg(test)]
mod tests;

/// A version of a stream, read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Access {
    /// The stream.
    pub stream: u128,
    /// 1 is the first that was ever written. A read of 0 saw an empty stream.
    pub version: i64,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}@{}", self.stream, self.version)
    }
}

/// One transaction as its caller saw it. Streams begin empty: whatever opened them belongs to the history too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Who called; reports say it, and nothing follows from it.
    pub process: u32,
    /// Microseconds on the one clock of the recording.
    pub called_us: u64,
    /// `None` is in doubt: the caller never heard the end, so it may have happened at any time after the call, or never.
    /// Put in what the log says that it wrote. Without writes it counts as never happened.
    pub returned_us: Option<u64>,
    /// What was there before its own writes.
    pub reads: Vec<Access>,
    /// Every version that it wrote.
    pub writes: Vec<Access>,
}

impl Operation {
    fn happened(&self) -> bool {
        self.returned_us.is_some() || !self.writes.is_empty()
    }

    /// Whether it had an end before `other` was called.
    fn precedes(&self, other: &Self) -> bool {
        self.returned_us.is_some_and(|returned| returned < other.called_us)
    }

    fn wrote(&self, access: Access) -> bool {
        self.writes.contains(&access)
    }

    /// The reads that saw what others had written: a read of its own write says nothing.
    fn foreign_reads(&self) -> impl Iterator<Item = Access> {
        self.reads.iter().copied().filter(|it| !self.wrote(*it))
    }
}

/// What is wrong. The names of cycles are those of Adya and of the checkers since: the more of `G` it takes, the weaker
/// the promise that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The record itself is broken: an operation that ended before it began.
    ReturnedBeforeCalled,
    /// G1a: a version was read that no operation wrote.
    UnwrittenRead,
    /// G1b: a version was read that its writer had already replaced in the same transaction.
    IntermediateRead,
    /// One operation read two versions of one stream.
    TornRead,
    /// One version was written twice.
    TwoWriters,
    /// A version was written, and the one before it never.
    VersionGap,
    /// Several operations changed a stream on the strength of the same version.
    LostUpdate,
    /// An operation saw one write of a transaction and missed another.
    FracturedRead,
    /// An operation missed what had been acknowledged before it began.
    StaleRead,
    /// Writes of transactions are interleaved.
    G0,
    /// Transactions saw each other's writes in a circle.
    G1c,
    /// A circle with one read of what was replaced: read skew.
    GSingle,
    /// A circle with several such reads: write skew.
    G2,
    /// [`Kind::G0`] only because of what had already ended.
    G0Realtime,
    /// [`Kind::G1c`] only because of what had already ended: a read from the future.
    G1cRealtime,
    /// [`Kind::GSingle`] only because of what had already ended.
    GSingleRealtime,
    /// [`Kind::G2`] only because of what had already ended.
    G2Realtime,
}

impl Kind {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReturnedBeforeCalled => "returned-before-called",
            Self::UnwrittenRead => "G1a",
            Self::IntermediateRead => "G1b",
            Self::TornRead => "torn-read",
            Self::TwoWriters => "two-writers",
            Self::VersionGap => "version-gap",
            Self::LostUpdate => "lost-update",
            Self::FracturedRead => "fractured-read",
            Self::StaleRead => "stale-read",
            Self::G0 => "G0",
            Self::G1c => "G1c",
            Self::GSingle => "G-single",
            Self::G2 => "G2",
            Self::G0Realtime => "G0-realtime",
            Self::G1cRealtime => "G1c-realtime",
            Self::GSingleRealtime => "G-single-realtime",
            Self::G2Realtime => "G2-realtime",
        }
    }
}

/// One proof that the history is not strictly serializable. One cause may show under several names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomaly {
    /// What is wrong.
    pub kind: Kind,
    /// The operations that show it, as indices into the history; of a cycle in its order.
    pub operations: Vec<usize>,
    /// The same in words.
    pub detail: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.detail)
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Operations that happened.
    pub operations: usize,
    /// Dependencies between them: who wrote after, read from, and was overwritten by whom.
    pub edges: usize,
    /// How many of these join operations that overlapped in time. With few of them, a verdict says little.
    pub conflicts: usize,
    /// None, if the history is strictly serializable.
    pub anomalies: Vec<Anomaly>,
}

/// Checks a history. The order of `history` does not matter.
#[must_use]
pub fn check(history: &[Operation]) -> Report {
    let writers = graph::Writers::of(history);
    let order = graph::Order::of(history, &writers);
    let mut anomalies = fault::faults(history, &writers);
    anomalies.extend(cycle::cycles(history, &order.graph));
    Report {
        operations: history.iter().filter(|it| it.happened()).count(),
        edges: order.edges,
        conflicts: order.conflicts,
        anomalies,
    }
}
