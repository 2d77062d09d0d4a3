//! One anomaly of each kind, put into a history that was good.

use fastrand::Rng;

use super::super::{Access, Kind, Operation};

type History = Vec<Operation>;

/// Changes a good history; answers with the operations that have to be named.
type Plant = fn(&mut History, &mut Rng) -> Vec<usize>;

/// Every kind, with somebody who plants it.
pub(super) const KINDS: &[(Kind, Plant)] = &[
    (Kind::ReturnedBeforeCalled, end_before_the_call),
    (Kind::UnwrittenRead, read_what_nobody_wrote),
    (Kind::IntermediateRead, read_between_two_writes),
    (Kind::TornRead, read_twice),
    (Kind::TwoWriters, write_again),
    (Kind::VersionGap, skip_a_version),
    (Kind::LostUpdate, change_what_was_replaced),
    (Kind::FracturedRead, miss_half_a_transaction),
    (Kind::StaleRead, miss_what_had_ended),
    (Kind::G0, interleave_writes),
    (Kind::G1c, read_in_a_circle),
    (Kind::GSingle, skew_a_read),
    (Kind::G2, skew_writes),
    (Kind::G0Realtime, write_before_the_past),
    (Kind::G1cRealtime, read_the_future),
    (Kind::GSingleRealtime, forget_what_others_had_seen),
    (Kind::G2Realtime, skew_against_time),
];

/// Write skew and nothing else, for the words of a report.
pub(super) fn write_skew() -> History {
    let (x, y) = (Access { stream: 10, version: 0 }, Access { stream: 11, version: 0 });
    let write = |it: Access| vec![Access { version: 1, ..it }];
    let operation = |process, read, writes| Operation {
        process,
        called_us: 1,
        returned_us: Some(9),
        reads: vec![read],
        writes,
    };
    vec![operation(1, x, write(y)), operation(2, y, write(x))]
}

/// The first thing that fits, from a random place on.
fn pick<T>(history: &History, rng: &mut Rng, fits: impl Fn(usize, &Operation) -> Option<T>) -> T {
    let start = rng.usize(..history.len());
    let mut places = (0..history.len()).map(|it| (it + start) % history.len());
    places.find_map(|at| fits(at, &history[at])).expect("the history has a place for it")
}

fn ended(operation: &Operation) -> bool {
    operation.returned_us.is_some()
}

fn only_reads(operation: &Operation) -> bool {
    ended(operation) && operation.writes.is_empty()
}

fn writer(history: &History, access: Access) -> Option<usize> {
    history.iter().position(|it| it.writes.contains(&access))
}

fn end_before_the_call(history: &mut History, rng: &mut Rng) -> Vec<usize> {
    let at = pick(history, rng, |at, it| it.returned_us.is_some_and(|end| end > it.called_us).then_some(at));
    let it = &mut history[at];
    (it.called_us, it.returned_us) = (it.returned_us.expect("an end"), Some(it.called_us));
    vec![at]
}

fn read_what_nobody_wrote(history: &mut History, rng: &mut Rng) -> Vec<usize> {
    let at = pick(history, rng, |at, it| only_reads(it).then_some(at));
    let stream = history[at].reads[0].stream;
    let writes = history.iter().flat_map(|it| &it.writes).filter(|it| it.stream == stream);
    let last = writes.map(|it| it.version).max().unwrap_or_default();
    history[at].reads[0].version = last + rng.i64(1..=3);
    vec![at]
}

fn read_between_two_writes(history: &mut History, rng: &mut Rng) -> Vec<usize> {
    let (writer, between) = pick(history, rng, |at, it| {
        let twice = |write: &&Access| it.writes.contains(&Access { version: write.version + 1, ..**write });
        Some((at, *it.writes.iter().find(twice)?))
    });
    let reader = pick(history, rng, |at, it| only_reads(it).then_some(at));
    history[reader].reads = vec![between];
    vec![reader, writer]
}

fn read_twice(history: &mut History, rng: &mut Rng) -> Vec<usize> {
    let (at, read) = pick(history, rng, |at, it| {
        let read = it.reads.iter().find(|it| it.version > 0)?;
        only_reads(it).then_some((at, *read))
    });
    history[at].reads.push(Access { version: read.version - 1, ..read });
    vec![at]
}

fn write_again(history: &mut History, rng: &mut Rng) -> Vec<usize> {
    let (first, write) = pick(history, rng, |at, it| Some((at, *it.writes.first()?)));
    let second = pick(history, rng, |at, it| (at != first && ended(it)).then_some(at));
    history[second].writes.push(write);
    vec![first, second]
}

fn skip_a_version(history: &mut History, rng: &mut Rng) -> Vec<usize> {
    let (at, from) = pick(history, rng, |at, it| Some((at, *it.writes.first()?)));
    let later = |it: &&mut Access| it.stream == from.stream && it.version >= from.version;
    for operation in history.iter_mut() {
        let accesses = operation.reads.iter_mut().chain(&mut operation.writes);
        accesses.filter(later).for_each(|it| it.version += 1);
    }
    vec![at]
}

fn change_what_was_replaced(history: &mut History, rng: &mut Rng) -> Vec<usize> {
    let (first, second, read) = pick(history, rng, |second, it| {
        let changes = |read: &Access| it.writes.contains(&Access { version: read.version + 1, ..*read });
        it.reads.iter().filter(|read| changes(read)).find_map(|read| {
            let before = Access { version: read.version - 1, ..*read };
            let first = writer(history, *read)?;
            history[first].reads.contains(&before).then_some((first, second, *read))
        })
    });
    let reads = &mut history[second].reads;
    reads.iter_mut().filter(|it| **it == read).for_each(|it| it.version -= 1);
    vec![first, second]
}

fn miss_half_a_transaction(history: &mut History, rng: &mut Rng) -> Vec<usize> {
    let (reader, writer, missed) = pick(history, rng, |at, it| {
        it.reads.iter().filter(|_| only_reads(it)).find_map(|read| {
            let writer = writer(history, *read)?;
            let missed = history[writer].writes.iter().find(|write| {
                let saw = |it: &Access| it.stream == write.stream && it.version >= write.version;
                write.stream != read.stream && it.reads.iter().any(saw)
            })?;
            Some((at, writer, *missed))
        })
    });
    let before = Access { version: missed.version - 1, ..missed };
    let reads = &mut history[reader].reads;
    reads.iter_mut().filter(|it| it.stream == missed.stream).for_each(|it| *it = before);
    vec![reader, writer]
}

fn miss_what_had_ended(history: &mut History, rng: &mut Rng) -> Vec<usize> {
    let (reader, read) = pick(history, rng, |at, it| {
        let known = |read: &&Access| writer(history, **read).is_some_and(|by| history[by].precedes(it));
        Some((at, *it.reads.iter().filter(|_| only_reads(it)).find(known)?))
    });
    let reads = &mut history[reader].reads;
    reads.iter_mut().filter(|it| **it == read).for_each(|it| it.version -= 1);
    vec![reader]
}

/// A span of time from a moment of the history on, and streams that nobody else uses.
struct Stage<'a> {
    history: &'a mut History,
    first: usize,
    start_us: u64,
    streams: u128,
}

impl<'a> Stage<'a> {
    fn of(history: &'a mut History, rng: &mut Rng) -> Self {
        let start_us = pick(history, rng, |_, it| Some(it.called_us));
        Self { first: history.len(), history, start_us, streams: 1 << 100 | u128::from(rng.u64(..)) << 8 }
    }

    /// An operation from one moment to another; its reads and writes are `(stream, version)`.
    fn act(&mut self, from: u64, to: u64, reads: &[(u128, i64)], writes: &[(u128, i64)]) {
        let access =
            |(stream, version): &(u128, i64)| Access { stream: self.streams + stream, version: *version };
        let operation = Operation {
            process: 900 + from as u32,
            called_us: self.start_us + from,
            returned_us: Some(self.start_us + to),
            reads: reads.iter().map(access).collect(),
            writes: writes.iter().map(access).collect(),
        };
        self.history.push(operation);
    }

    fn actors(self) -> Vec<usize> {
        (self.first..self.history.len()).collect()
    }
}

const X: u128 = 1;
const Y: u128 = 2;
const Z: u128 = 3;

fn interleave_writes(history: &mut History, rng: &mut Rng) -> Vec<usize> {
    let mut stage = Stage::of(history, rng);
    stage.act(0, 30, &[], &[(X, 1), (Y, 2)]);
    stage.act(10, 40, &[], &[(X, 2), (Y, 1)]);
    stage.actors()
}

fn read_in_a_circle(history: &mut History, rng: &mut Rng) -> Vec<usize> {
    let mut stage = Stage::of(history, rng);
    stage.act(0, 30, &[(Y, 1)], &[(X, 1)]);
    stage.act(10, 40, &[(X, 1)], &[(Y, 1)]);
    stage.actors()
}

fn skew_a_read(history: &mut History, rng: &mut Rng) -> Vec<usize> {
    let mut stage = Stage::of(history, rng);
    stage.act(0, 30, &[], &[(X, 1), (Z, 1)]);
    stage.act(5, 35, &[(X, 1)], &[(Y, 1)]);
    stage.act(10, 40, &[(Y, 1), (Z, 0)], &[]);
    stage.actors()
}

fn skew_writes(history: &mut History, rng: &mut Rng) -> Vec<usize> {
    let mut stage = Stage::of(history, rng);
    stage.act(0, 30, &[(X, 0)], &[(Y, 1)]);
    stage.act(10, 40, &[(Y, 0)], &[(X, 1)]);
    stage.actors()
}

fn write_before_the_past(history: &mut History, rng: &mut Rng) -> Vec<usize> {
    let mut stage = Stage::of(history, rng);
    stage.act(0, 10, &[], &[(X, 2)]);
    stage.act(20, 30, &[], &[(X, 1)]);
    stage.actors()
}

fn read_the_future(history: &mut History, rng: &mut Rng) -> Vec<usize> {
    let mut stage = Stage::of(history, rng);
    stage.act(0, 10, &[(X, 1)], &[]);
    stage.act(20, 30, &[], &[(X, 1)]);
    stage.actors()
}

/// The write has not ended yet, but somebody has seen it, and who came after that one has not.
fn forget_what_others_had_seen(history: &mut History, rng: &mut Rng) -> Vec<usize> {
    let mut stage = Stage::of(history, rng);
    stage.act(0, 40, &[], &[(X, 1)]);
    stage.act(5, 15, &[(X, 1)], &[]);
    stage.act(20, 30, &[(X, 0)], &[]);
    stage.actors()
}

fn skew_against_time(history: &mut History, rng: &mut Rng) -> Vec<usize> {
    let mut stage = Stage::of(history, rng);
    stage.act(0, 10, &[], &[(Y, 1)]);
    stage.act(5, 25, &[(Y, 0)], &[(X, 1)]);
    stage.act(20, 30, &[(X, 0)], &[]);
    stage.actors()
}
