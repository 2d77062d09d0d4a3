//! Cycles of the order: which are there, and what each is called.
//!
//! A component is named after the worst cycle in it. The search tries a bounded number of places, so in a component of
//! more than those a weaker name may stand for a stronger one; none is ever missed.

use super::graph::{Graph, Reason, Reasons, Walk};
use super::{Anomaly, Kind, Operation};

/// Places of a component from which a cycle is searched.
const TRIES_MAX: usize = 16;

/// Names from the worst on: which edges a cycle of it may have, and whether one of them is a single miss.
const NAMES: &[(Kind, Reasons, bool)] = &[
    (Kind::G0, Reasons { reads: false, misses: false, time: false }, false),
    (Kind::G1c, Reasons { reads: true, misses: false, time: false }, false),
    (Kind::GSingle, Reasons { reads: true, misses: false, time: false }, true),
    (Kind::G2, Reasons { reads: true, misses: true, time: false }, false),
    (Kind::G0Realtime, Reasons { reads: false, misses: false, time: true }, false),
    (Kind::G1cRealtime, Reasons { reads: true, misses: false, time: true }, false),
    (Kind::GSingleRealtime, Reasons { reads: true, misses: false, time: true }, true),
    (Kind::G2Realtime, Reasons::ALL, false),
];

/// One anomaly for each set of operations that lead to each other.
pub(super) fn cycles(history: &[Operation], graph: &Graph) -> Vec<Anomaly> {
    let components = graph.components(Reasons::ALL);
    components.iter().filter_map(|nodes| name(history, graph, nodes)).collect()
}

fn name(history: &[Operation], graph: &Graph, nodes: &[usize]) -> Option<Anomaly> {
    let part = graph.part(nodes);
    let found = NAMES.iter().find_map(|(kind, reasons, single)| {
        let walk = if *single { with_one_miss(&part, *reasons) } else { shortest(&part, *reasons) };
        Some((*kind, walk?))
    });
    let (kind, walk) = found?;
    let steps = walk.iter().filter_map(|(node, reason)| Some((*nodes.get(*node)?, *reason)));
    // A barrier only hands on that something was earlier.
    let mut steps: Walk = steps.filter(|(node, _)| *node < history.len()).collect();
    let first = steps.iter().enumerate().min_by_key(|it| it.1.0).map_or(0, |it| it.0);
    steps.rotate_left(first);
    let size = nodes.iter().filter(|it| **it < history.len()).count();
    Some(Anomaly {
        kind,
        detail: describe(history, &steps, size),
        operations: steps.iter().map(|it| it.0).collect(),
    })
}

/// The shortest of the cycles through the first nodes of each component.
fn shortest(part: &Graph, reasons: Reasons) -> Option<Walk> {
    let starts = part.components(reasons).into_iter().flatten().take(TRIES_MAX);
    starts.filter_map(|node| part.walk(node, node, reasons)).min_by_key(|walk| part.length(walk))
}

/// The shortest cycle of the first misses and a way back for `reasons`.
fn with_one_miss(part: &Graph, reasons: Reasons) -> Option<Walk> {
    let edges = (0..part.size()).flat_map(|node| part.leaving(node).iter().map(move |edge| (node, *edge)));
    let misses = edges.filter(|(_, (_, reason))| matches!(reason, Reason::Missed(_))).take(TRIES_MAX);
    let cycles = misses.filter_map(|(from, (to, reason))| {
        let mut walk = part.walk(to, from, reasons)?;
        walk.push((from, reason));
        Some(walk)
    });
    cycles.min_by_key(|walk| part.length(walk))
}

/// `#3 of process 1 wrote 7f@2, replaced by #5 of process 2, which …, and so before #3`.
fn describe(history: &[Operation], steps: &Walk, size: usize) -> String {
    let mut text = String::new();
    for (node, reason) in steps {
        let process = history.get(*node).map_or(0, |it| it.process);
        let reason = match reason {
            Reason::Overwritten(access) => format!("wrote {access}, replaced by "),
            Reason::ReadBy(access) => format!("wrote {access}, read by "),
            Reason::Missed(access) => format!("read {access}, replaced by "),
            Reason::Earlier => "had ended before ".to_owned(),
        };
        text += &format!("#{node} (process {process}) {reason}");
    }
    text += &format!("#{}", steps.first().map_or(0, |it| it.0));
    if size > steps.len() {
        text += &format!("; {size} operations in all lead to each other");
    }
    text
}
