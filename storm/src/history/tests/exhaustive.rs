//! The definition itself, for small histories: some order of the operations explains every read and every write.

use std::collections::HashMap;

use super::super::{Access, Operation};
use super::serial;

/// Up to six operations of a good history, or of one with a few accesses or times changed.
pub(super) fn history(seed: u64) -> Vec<Operation> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let operations = rng.usize(2..=6);
    let mut history = serial::history(seed, operations);
    for _ in 0..rng.usize(..=2) {
        let operation = rng.choice(&mut history).expect("an operation");
        let shift = if rng.bool() { 1 } else { -1 };
        match rng.u8(..5) {
            0 => {
                if let Some(read) = rng.choice(&mut operation.reads) {
                    read.version = (read.version + shift).max(0);
                }
            }
            1 => {
                if let Some(write) = rng.choice(&mut operation.writes) {
                    write.version = (write.version + shift).max(1);
                }
            }
            2 => {
                let read = Access { stream: rng.u128(..6), version: rng.i64(..3) };
                operation.reads.push(read);
            }
            _ => {
                if let Some(returned) = operation.returned_us {
                    let moved = rng.u64(..300);
                    operation.called_us += moved;
                    operation.returned_us = Some(returned + moved);
                }
            }
        }
    }
    history
}

/// Tries every order that real time allows.
pub(super) fn is_strictly_serializable(history: &[Operation]) -> bool {
    let operations: Vec<&Operation> = history.iter().filter(|it| it.happened()).collect();
    extend(&operations, &mut vec![false; operations.len()], &mut HashMap::new())
}

fn extend(operations: &[&Operation], done: &mut [bool], versions: &mut HashMap<u128, i64>) -> bool {
    if done.iter().all(|it| *it) {
        return true;
    }
    for next in 0..operations.len() {
        let earlier = |other: usize| !done[other] && operations[other].precedes(operations[next]);
        if done[next] || (0..operations.len()).any(earlier) {
            continue;
        }
        if let Some(mut after) = happen(operations[next], versions) {
            done[next] = true;
            if extend(operations, done, &mut after) {
                return true;
            }
            done[next] = false;
        }
    }
    false
}

/// The store after the operation, if it could have happened now.
fn happen(operation: &Operation, versions: &HashMap<u128, i64>) -> Option<HashMap<u128, i64>> {
    let mut after = versions.clone();
    let now = |it: &Access| versions.get(&it.stream).copied().unwrap_or_default() == it.version;
    if !operation.reads.iter().filter(|it| !operation.writes.contains(it)).all(now) {
        return None;
    }
    let mut writes = operation.writes.clone();
    writes.sort_unstable();
    writes.dedup();
    for write in writes {
        let version = after.entry(write.stream).or_default();
        *version += 1;
        if *version != write.version {
            return None;
        }
    }
    Some(after)
}
