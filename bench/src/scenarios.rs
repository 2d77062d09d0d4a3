//! What is measured, one file a scenario, and the list of them.

mod connections;
mod device_codes;
mod edges;
mod fan_out;
mod growth;
mod peers;
mod processes;
mod sign_in;
mod slow_disk;
mod snapshot;
mod writes;

use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use crate::figures::Figure;
use crate::server::Server;

/// What a scenario is given.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// Where it is measured.
    pub(crate) server: Server,
    /// How often each thing is measured.
    pub(crate) rounds: usize,
    /// How long each measurement of a round takes.
    pub(crate) slice: Duration,
    /// Sizes are divided by it in a short run.
    pub(crate) shrink: u32,
}

impl Setting {
    /// A size, smaller in a short run.
    pub(crate) const fn size(&self, whole: u32) -> u32 {
        whole / self.shrink
    }
}

/// A scenario.
pub(crate) struct Scenario {
    /// How it is asked for.
    pub(crate) name: &'static str,
    /// What it answers.
    pub(crate) question: &'static str,
    /// Does it.
    pub(crate) measure: fn(Setting) -> LocalBoxFuture<'static, anyhow::Result<Vec<Figure>>>,
}

/// All of them, in the order in which they run.
pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "writes",
        question: "transfers over HTTP beside bare inserts and the classic transfer: single, hot, batches, at half load",
        measure: |setting| Box::pin(writes::measure(setting)),
    },
    Scenario {
        name: "peers",
        question: "transfers and appends of cala-ledger, postgres-es and disintegrate-postgres beside ours",
        measure: |setting| Box::pin(peers::measure(setting)),
    },
    Scenario {
        name: "connections",
        question: "throughput and latency against the number of connections",
        measure: |setting| Box::pin(connections::measure(setting)),
    },
    Scenario {
        name: "processes",
        question: "two command APIs on the same accounts, three projectors on one log",
        measure: |setting| Box::pin(processes::measure(setting)),
    },
    Scenario {
        name: "slow_disk",
        question: "one hot account where every flush takes two milliseconds longer",
        measure: |setting| Box::pin(slow_disk::measure(setting)),
    },
    Scenario {
        name: "fan_out",
        question: "the publisher beside a bare publish; from an answer to its message and to its read model",
        measure: |setting| Box::pin(fan_out::measure(setting)),
    },
    Scenario {
        name: "edges",
        question: "tokens signed and verified, queries on a year of sales",
        measure: |setting| Box::pin(edges::measure(setting)),
    },
    Scenario {
        name: "sign_in",
        question: "people signed in beside the bare hash of a password; how soon an ended session is known",
        measure: |setting| Box::pin(sign_in::measure(setting)),
    },
    Scenario {
        name: "device_codes",
        question: "codes for devices beside bare inserts",
        measure: |setting| Box::pin(device_codes::measure(setting)),
    },
    Scenario {
        name: "growth",
        question: "a log of five million events: followers, rebuilds, memory, and the cost of one more append",
        measure: |setting| Box::pin(growth::measure(setting)),
    },
    Scenario {
        name: "snapshot",
        question: "appends while somebody holds a snapshot for ten minutes",
        measure: |setting| Box::pin(snapshot::measure(setting)),
    },
];
