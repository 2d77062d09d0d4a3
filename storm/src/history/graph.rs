//! The order that a history forces on its operations, as a graph, and the walks over it.
//!
//! Real time is an edge from every operation to each that began after its end, which is the square of their number. A
//! chain of barriers says the same with a few edges an operation: each end leads to its barrier, each barrier to the
//! next one, and the last barrier before a call leads to that call.

#![expect(clippy::indexing_slicing, reason = "a node is a number that the graph itself has given")]

use std::collections::{HashMap, VecDeque};

use super::{Access, Operation};

/// Why one operation comes before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its version of a stream was replaced by the other.
    Overwritten(Access),
    /// Its version of a stream was read by the other.
    ReadBy(Access),
    /// It read a version of a stream that the other replaced.
    Missed(Access),
    /// It had an end before the other began.
    Earlier,
}

/// A set of reasons.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reasons {
    pub(super) reads: bool,
    pub(super) misses: bool,
    pub(super) time: bool,
}

impl Reasons {
    pub(super) const ALL: Self = Self { reads: true, misses: true, time: true };

    fn contains(self, reason: Reason) -> bool {
        match reason {
            Reason::Overwritten(_) => true,
            Reason::ReadBy(_) => self.reads,
            Reason::Missed(_) => self.misses,
            Reason::Earlier => self.time,
        }
    }
}

/// Who wrote which version.
pub(super) struct Writers {
    /// By stream and version.
    sorted: Vec<(Access, usize)>,
}

impl Writers {
    pub(super) fn of(history: &[Operation]) -> Self {
        let writes = history.iter().enumerate();
        let mut sorted: Vec<_> =
            writes.flat_map(|(index, it)| it.writes.iter().map(move |access| (*access, index))).collect();
        sorted.sort_unstable();
        sorted.dedup();
        Self { sorted }
    }

    /// All writes, by stream and version.
    pub(super) fn all(&self) -> &[(Access, usize)] {
        &self.sorted
    }

    /// Who wrote a version: the first in the history, if several claim it.
    pub(super) fn of_version(&self, access: Access) -> Option<usize> {
        let at = self.sorted.partition_point(|it| it.0 < access);
        self.sorted.get(at).filter(|it| it.0 == access).map(|it| it.1)
    }

    /// Where the writes of later versions of the stream begin in [`Writers::all`], if there are any.
    pub(super) fn after(&self, access: Access) -> Option<usize> {
        let at = self.sorted.partition_point(|it| it.0 <= access);
        self.sorted.get(at).filter(|it| it.0.stream == access.stream).map(|_| at)
    }
}

/// The graph of a history and what went into it.
pub(super) struct Order {
    /// The first nodes are the operations, as in the history; those behind are barriers.
    pub(super) graph: Graph,
    /// Edges for other reasons than time.
    pub(super) edges: usize,
    /// Those of them between operations that overlapped.
    pub(super) conflicts: usize,
}

impl Order {
    pub(super) fn of(history: &[Operation], writers: &Writers) -> Self {
        let graph = Graph { edges: vec![Vec::new(); history.len()], barrier: vec![false; history.len()] };
        let mut order = Self { graph, edges: 0, conflicts: 0 };
        for pair in writers.all().windows(2) {
            let ((access, from), (next, to)) = (pair[0], pair[1]);
            if access.stream == next.stream {
                order.join(history, from, to, Reason::Overwritten(access));
            }
        }
        for (reader, operation) in history.iter().enumerate().filter(|(_, it)| it.happened()) {
            for access in operation.foreign_reads() {
                if let Some(writer) = writers.of_version(access) {
                    order.join(history, writer, reader, Reason::ReadBy(access));
                }
                if let Some(at) = writers.after(access) {
                    order.join(history, reader, writers.all()[at].1, Reason::Missed(access));
                }
            }
        }
        order.graph.add_time(history);
        order
    }

    fn join(&mut self, history: &[Operation], from: usize, to: usize, reason: Reason) {
        if from == to {
            return;
        }
        self.graph.edges[from].push((to, reason));
        self.edges += 1;
        if !history[from].precedes(&history[to]) && !history[to].precedes(&history[from]) {
            self.conflicts += 1;
        }
    }
}

/// Nodes by number, each with its edges out, and whether it is a barrier.
pub(super) struct Graph {
    edges: Vec<Vec<(usize, Reason)>>,
    barrier: Vec<bool>,
}

/// A walk: each node with the reason of the step that leaves it.
pub(super) type Walk = Vec<(usize, Reason)>;

impl Graph {
    fn add_time(&mut self, history: &[Operation]) {
        // A record that ends before it begins is a fault of its own, and would be a cycle here.
        let timed = |it: &&Operation| it.returned_us.is_none_or(|returned| returned >= it.called_us);
        let happened = history.iter().enumerate().filter(|(_, it)| it.happened() && timed(it));
        let mut ends: Vec<(u64, usize)> =
            happened.clone().filter_map(|(index, it)| Some((it.returned_us?, index))).collect();
        ends.sort_unstable();
        let first = self.edges.len();
        for (at, (_, operation)) in ends.iter().enumerate() {
            let barrier = first + at;
            self.edges[*operation].push((barrier, Reason::Earlier));
            let next = (at + 1 < ends.len()).then_some((barrier + 1, Reason::Earlier));
            self.edges.push(next.into_iter().collect());
            self.barrier.push(true);
        }
        for (index, operation) in happened {
            let ended = ends.partition_point(|(returned, _)| *returned < operation.called_us);
            if let Some(last) = ended.checked_sub(1) {
                self.edges[first + last].push((index, Reason::Earlier));
            }
        }
    }

    /// The edges that leave a node.
    pub(super) fn leaving(&self, node: usize) -> &[(usize, Reason)] {
        &self.edges[node]
    }

    /// How many nodes there are.
    pub(super) fn size(&self) -> usize {
        self.edges.len()
    }

    /// The part of the graph that consists of `nodes`; they are numbered anew, in the given order.
    pub(super) fn part(&self, nodes: &[usize]) -> Self {
        let numbers: HashMap<usize, usize> = nodes.iter().enumerate().map(|(new, old)| (*old, new)).collect();
        let edges = nodes.iter().map(|old| {
            let leaving = self.edges[*old].iter();
            leaving.filter_map(|(to, reason)| Some((*numbers.get(to)?, *reason))).collect()
        });
        Self { edges: edges.collect(), barrier: nodes.iter().map(|old| self.barrier[*old]).collect() }
    }

    /// Nodes that lead to each other, in groups of at least two: Tarjan's strongly connected components, with a stack of
    /// our own, since a history is longer than the one of a thread.
    pub(super) fn components(&self, reasons: Reasons) -> Vec<Vec<usize>> {
        const UNSEEN: usize = usize::MAX;
        let mut seen = vec![UNSEEN; self.size()];
        let mut low = vec![UNSEEN; self.size()];
        let mut open = vec![false; self.size()];
        let (mut stack, mut found, mut count) = (Vec::new(), Vec::new(), 0);
        for root in 0..self.size() {
            if seen[root] != UNSEEN {
                continue;
            }
            // Each frame is a node and how many of its edges have been followed.
            let mut frames = vec![(root, 0)];
            while let Some((node, followed)) = frames.last_mut() {
                let node = *node;
                if *followed == 0 {
                    (seen[node], low[node], open[node]) = (count, count, true);
                    count += 1;
                    stack.push(node);
                }
                let next = self.edges[node][*followed..].iter().position(|it| reasons.contains(it.1));
                if let Some(skipped) = next {
                    let to = self.edges[node][*followed + skipped].0;
                    *followed += skipped + 1;
                    if seen[to] == UNSEEN {
                        frames.push((to, 0));
                    } else if open[to] {
                        low[node] = low[node].min(seen[to]);
                    }
                    continue;
                }
                frames.pop();
                if let Some((parent, _)) = frames.last() {
                    low[*parent] = low[*parent].min(low[node]);
                }
                if low[node] == seen[node] {
                    let at = stack.iter().rposition(|it| *it == node).unwrap_or_default();
                    let component = stack.split_off(at);
                    component.iter().for_each(|it| open[*it] = false);
                    if component.len() > 1 {
                        found.push(component);
                    }
                }
            }
        }
        found
    }

    /// A walk of at least one step from one node to another that meets the fewest operations.
    pub(super) fn walk(&self, from: usize, to: usize, reasons: Reasons) -> Option<Walk> {
        let mut came: Vec<Option<(usize, Reason)>> = vec![None; self.size()];
        let mut cost = vec![usize::MAX; self.size()];
        let mut queue = VecDeque::from([(from, 0)]);
        while let Some((node, so_far)) = queue.pop_front() {
            // A step to a barrier costs nothing, and what costs less is taken first.
            for (next, reason) in self.edges[node].iter().filter(|it| reasons.contains(it.1)) {
                let reached = so_far + usize::from(!self.barrier[*next]);
                if reached >= cost[*next] {
                    continue;
                }
                cost[*next] = reached;
                came[*next] = Some((node, *reason));
                if *next == to {
                    continue;
                }
                if reached == so_far {
                    queue.push_front((*next, reached));
                } else {
                    queue.push_back((*next, reached));
                }
            }
        }
        let mut walk = Vec::new();
        let mut at = to;
        loop {
            let step = came[at]?;
            walk.push(step);
            at = step.0;
            if at == from {
                walk.reverse();
                return Some(walk);
            }
        }
    }

    /// How many operations a walk meets.
    pub(super) fn length(&self, walk: &Walk) -> usize {
        walk.iter().filter(|(node, _)| !self.barrier[*node]).count()
    }
}
