//! Good histories: callers whose operations overlap, over a store that takes one at a time.

use std::collections::HashMap;

use super::super::{Access, Operation};

/// Streams that everybody uses.
const HOT: u128 = 6;

/// What a caller is about to do, and the instant at which the store does it.
struct Plan {
    effect_us: u64,
    operation: Operation,
    happens: bool,
}

/// A strictly serializable history with operations in doubt, in no particular order.
pub(super) fn history(seed: u64, operations: usize) -> Vec<Operation> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut plans = Vec::with_capacity(operations);
    let mut clocks: Vec<(u32, u64)> = (0..8).map(|process| (process, rng.u64(..100))).collect();
    let mut processes = 8;
    for _ in 0..operations {
        let at = rng.usize(..clocks.len());
        let (process, now) = clocks[at];
        let called_us = now + rng.u64(1..50);
        let mut effect_us = called_us + rng.u64(..100);
        let returned = effect_us + rng.u64(..100);
        let in_doubt = rng.u8(..100) < 4;
        clocks[at] = if in_doubt {
            // Its end was never heard: it may come long after the caller has turned to something else.
            effect_us += rng.u64(..500);
            processes += 1;
            (processes, called_us + 200)
        } else {
            (process, returned)
        };
        let operation = Operation {
            process,
            called_us,
            returned_us: (!in_doubt).then_some(returned),
            reads: Vec::new(),
            writes: Vec::new(),
        };
        plans.push(Plan { effect_us, operation, happens: !in_doubt || rng.bool() });
    }
    plans.sort_by_key(|it| it.effect_us);
    let mut versions = HashMap::new();
    for (at, plan) in plans.iter_mut().enumerate().filter(|(_, it)| it.happens) {
        happen(&mut plan.operation, &mut versions, at as u128, &mut rng);
    }
    let mut history: Vec<Operation> = plans.into_iter().map(|it| it.operation).collect();
    rng.shuffle(&mut history);
    history
}

/// Lets the store do one operation.
fn happen(operation: &mut Operation, versions: &mut HashMap<u128, i64>, at: u128, rng: &mut fastrand::Rng) {
    let mut streams = Vec::new();
    for _ in 0..rng.usize(1..=4) {
        // Beside the hot ones a window of fresh ones moves on.
        let stream = if rng.bool() { rng.u128(..HOT) } else { 100 + at / 16 + rng.u128(..4) };
        if !streams.contains(&stream) {
            streams.push(stream);
        }
    }
    let style = rng.u8(..100);
    for (index, stream) in streams.into_iter().enumerate() {
        let version = versions.entry(stream).or_default();
        let (reads, writes) = match style {
            0..50 => (true, 1),
            50..75 => (true, 0),
            75..85 => (false, 1),
            85..93 => (true, rng.i64(1..=3)),
            _ => (true, i64::from(index == 0)),
        };
        // Nobody hears the end of what is in doubt, so nothing is known of its reads.
        if reads && operation.returned_us.is_some() {
            operation.reads.push(Access { stream, version: *version });
        }
        for _ in 0..writes {
            *version += 1;
            operation.writes.push(Access { stream, version: *version });
        }
    }
}
