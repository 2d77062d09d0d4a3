//! The load: tasks that each do one operation after the other, and what is counted of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::peers::{Outcome, Peer};

/// Operations under way at once: the connections of the load on the other side.
const TASKS: u64 = 64;
/// Connections are opened, statements prepared and caches filled before anything is counted.
const WARM_UP: Duration = Duration::from_secs(1);

/// What came of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// Operations that were committed.
    done: usize,
    /// In how many seconds.
    seconds: f64,
    /// Operations that the peer gave up because of others at the same time. Nobody repeats them.
    failed: u64,
    /// The time that half of the committed ones did not exceed.
    p50_ms: f64,
    /// The time that 99 of 100 did not exceed.
    p99_ms: f64,
}

#[derive(Default)]
struct Tally {
    times: Vec<Duration>,
    failed: u64,
}

/// Works for so long after the warm-up.
pub(crate) async fn run<P: Peer>(peer: P, time: Duration) -> anyhow::Result<Summary> {
    let peer = Arc::new(peer);
    let from = Instant::now() + WARM_UP;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        tasks.spawn(drive(Arc::clone(&peer), Rng::with_seed(task), from, from + time));
    }
    let mut all = Tally::default();
    while let Some(one) = tasks.join_next().await {
        let one = one??;
        all.times.extend(one.times);
        all.failed += one.failed;
    }
    Ok(all.summary(from.elapsed()))
}

/// What begins in the warm-up and ends in the measured time is counted, as is what ends a little after it.
async fn drive<P: Peer>(peer: Arc<P>, mut random: Rng, from: Instant, end: Instant) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    loop {
        let begun = Instant::now();
        if begun >= end {
            return Ok(tally);
        }
        let outcome = peer.operate(&mut random).await?;
        if Instant::now() < from {
            continue;
        }
        match outcome {
            Outcome::Done => tally.times.push(begun.elapsed()),
            Outcome::GivenUp => tally.failed += 1,
        }
    }
}

impl Tally {
    fn summary(mut self, elapsed: Duration) -> Summary {
        self.times.sort_unstable();
        Summary {
            done: self.times.len(),
            seconds: elapsed.as_secs_f64(),
            failed: self.failed,
            p50_ms: self.percentile_ms(50),
            p99_ms: self.percentile_ms(99),
        }
    }

    /// Of sorted times.
    fn percentile_ms(&self, percent: usize) -> f64 {
        let at = self.times.len().saturating_sub(1) * percent / 100;
        self.times.get(at).map_or(0.0, |it| it.as_secs_f64() * 1000.0)
    }
}
