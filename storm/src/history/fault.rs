//! What one stream or one operation shows by itself, without a cycle.

use std::collections::HashMap;

use super::graph::Writers;
use super::{Access, Anomaly, Kind, Operation};

/// Every fault, by operation and then by stream.
pub(super) fn faults(history: &[Operation], writers: &Writers) -> Vec<Anomaly> {
    let ends = Ends::of(history, writers);
    let mut found = Vec::new();
    for (index, operation) in history.iter().enumerate().filter(|(_, it)| it.happened()) {
        if operation.returned_us.is_some_and(|returned| returned < operation.called_us) {
            let detail = format!("#{index} ended before it was called");
            found.push(Anomaly { kind: Kind::ReturnedBeforeCalled, operations: vec![index], detail });
        }
        let reader = Reader { index, operation };
        for access in operation.foreign_reads() {
            found.extend(reader.source(access, history, writers));
            found.extend(reader.stale(access, writers, &ends));
        }
        found.extend(reader.torn());
        found.extend(reader.fractured(history, writers));
    }
    found.extend(lost_updates(history));
    found.extend(broken_versions(writers));
    found
}

struct Reader<'a> {
    index: usize,
    operation: &'a Operation,
}

impl Reader<'_> {
    fn anomaly(&self, kind: Kind, others: &[usize], detail: &str) -> Anomaly {
        let mut operations = vec![self.index];
        operations.extend(others.iter().filter(|it| **it != self.index));
        Anomaly {
            kind,
            operations,
            detail: format!("#{} (process {}) {detail}", self.index, self.operation.process),
        }
    }

    /// Who wrote what was read, and whether it was that operation's last word.
    fn source(&self, access: Access, history: &[Operation], writers: &Writers) -> Option<Anomaly> {
        if access.version == 0 {
            return None;
        }
        let Some(writer) = writers.of_version(access) else {
            return Some(self.anomaly(
                Kind::UnwrittenRead,
                &[],
                &format!("read {access}, which nobody wrote"),
            ));
        };
        let next = Access { version: access.version.saturating_add(1), ..access };
        let replaced = history.get(writer).is_some_and(|it| it.wrote(next));
        let detail = format!("read {access}, which #{writer} replaced itself");
        replaced.then(|| self.anomaly(Kind::IntermediateRead, &[writer], &detail))
    }

    /// Whether a later version had been acknowledged before the call.
    fn stale(&self, access: Access, writers: &Writers, ends: &Ends) -> Option<Anomaly> {
        let (returned, writer) = ends.first_from(writers.after(access)?)?;
        let detail = format!("read {access}, though #{writer} had replaced it and ended");
        (returned < self.operation.called_us).then(|| self.anomaly(Kind::StaleRead, &[writer], &detail))
    }

    fn torn(&self) -> Option<Anomaly> {
        let mut reads: Vec<Access> = self.operation.foreign_reads().collect();
        reads.sort_unstable();
        reads.dedup();
        let mut pairs = reads.iter().zip(reads.iter().skip(1));
        let (one, other) = pairs.find(|(one, other)| one.stream == other.stream)?;
        Some(self.anomaly(Kind::TornRead, &[], &format!("read {one} and {other}")))
    }

    /// Whether it saw one write of a transaction and missed another, in another stream.
    fn fractured(&self, history: &[Operation], writers: &Writers) -> Option<Anomaly> {
        let seen: HashMap<u128, i64> =
            self.operation.foreign_reads().map(|it| (it.stream, it.version)).collect();
        self.operation.foreign_reads().find_map(|access| {
            let writer = writers.of_version(access)?;
            let missed = history.get(writer)?.writes.iter().find(|write| {
                write.stream != access.stream && seen.get(&write.stream).is_some_and(|it| *it < write.version)
            })?;
            let detail = format!("read {access} of #{writer} and not its {missed}");
            Some(self.anomaly(Kind::FracturedRead, &[writer], &detail))
        })
    }
}

/// For each write, the earliest end among it and the later writes of its stream.
struct Ends(Vec<Option<(u64, usize)>>);

impl Ends {
    fn of(history: &[Operation], writers: &Writers) -> Self {
        let mut ends = Vec::with_capacity(writers.all().len());
        let mut first: Option<(u64, usize)> = None;
        let mut stream = None;
        for (access, writer) in writers.all().iter().rev() {
            if stream != Some(access.stream) {
                (first, stream) = (None, Some(access.stream));
            }
            let end = history.get(*writer).and_then(|it| it.returned_us).map(|returned| (returned, *writer));
            first = first.into_iter().chain(end).min();
            ends.push(first);
        }
        ends.reverse();
        Self(ends)
    }

    fn first_from(&self, at: usize) -> Option<(u64, usize)> {
        *self.0.get(at)?
    }
}

/// Operations that changed a stream on the strength of the same version of it.
fn lost_updates(history: &[Operation]) -> Vec<Anomaly> {
    let happened = history.iter().enumerate().filter(|(_, it)| it.happened());
    let mut changes: Vec<(Access, usize)> = happened
        .flat_map(|(index, it)| {
            let changed = |read: &Access| it.writes.iter().any(|write| write.stream == read.stream);
            it.foreign_reads().filter(changed).map(move |read| (read, index))
        })
        .collect();
    changes.sort_unstable();
    changes.dedup();
    let same = changes.chunk_by(|one, other| one.0 == other.0);
    same.filter_map(|group| {
        let (access, _) = group.first().filter(|_| group.len() > 1)?;
        let operations: Vec<usize> = group.iter().map(|it| it.1).collect();
        let detail = format!("{} all changed {access}", listed(&operations));
        Some(Anomaly { kind: Kind::LostUpdate, operations, detail })
    })
    .collect()
}

/// Versions with two writers, and versions behind a gap.
fn broken_versions(writers: &Writers) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut before: Option<Access> = None;
    for group in writers.all().chunk_by(|one, other| one.0 == other.0) {
        let Some((access, first)) = group.first() else { continue };
        if group.len() > 1 {
            let operations: Vec<usize> = group.iter().map(|it| it.1).collect();
            let detail = format!("{} all wrote {access}", listed(&operations));
            found.push(Anomaly { kind: Kind::TwoWriters, operations, detail });
        }
        let last = before.filter(|it| it.stream == access.stream).map_or(0, |it| it.version);
        if access.version != last.saturating_add(1) {
            let detail = format!("#{first} wrote {access}, and the version before was {last}");
            found.push(Anomaly { kind: Kind::VersionGap, operations: vec![*first], detail });
        }
        before = Some(*access);
    }
    found
}

fn listed(operations: &[usize]) -> String {
    operations.iter().map(|it| format!("#{it}")).collect::<Vec<_>>().join(", ")
}
