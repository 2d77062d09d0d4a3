//! What waits for the executor: bounded, in the order of arrival within a tenant, round-robin between tenants.

use std::collections::VecDeque;
use std::time::Duration;

use domain::ids::TenantId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::SubmitError;
use crate::unit::{Receipt, Unit};

/// Units of one tenant that were submitted together; they run in one batch, in order.
pub(crate) struct Job {
    pub(crate) tenant: TenantId,
    pub(crate) units: Vec<Unit>,
    pub(crate) queued_at: Instant,
    pub(crate) answer: oneshot::Sender<Vec<Result<Receipt, SubmitError>>>,
}

impl Job {
    pub(crate) fn commands(&self) -> usize {
        self.units.iter().map(|unit| unit.decisions.len()).sum()
    }

    /// Whether its caller has waited too long, or has gone.
    pub(crate) fn is_overdue(&self, wait_max: Duration) -> bool {
        self.queued_at.elapsed() > wait_max || self.answer.is_closed()
    }
}

/// How much is taken from the queue at a time, in commands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portion {
    /// Further submissions are taken only within this.
    pub(crate) at_once: usize,
    /// A single submission may be larger than that, but not than this.
    pub(crate) single: usize,
}

/// The receiving end, sorted by tenant.
pub(crate) struct Queue {
    receiver: mpsc::Receiver<Job>,
    lanes: VecDeque<(TenantId, VecDeque<Job>)>,
    waiting: usize,
    capacity: usize,
}

impl Queue {
    pub(crate) fn new(receiver: mpsc::Receiver<Job>, capacity: usize) -> Self {
        Self { receiver, lanes: VecDeque::new(), waiting: 0, capacity }
    }

    /// Waits for a job, then takes whatever else has queued, as [`Queue::take`] does. There is no timer: while one batch
    /// commits, the next one queues. But whoever can be heard at once is heard first: the callers of the last batch send
    /// their next commands at the same moment, and a batch of a few costs as much as one of many. `None` once everybody
    /// has gone. Nothing is lost if the wait is given up.
    pub(crate) async fn next(&mut self, portion: Portion) -> Option<Vec<Job>> {
        if self.waiting == 0 {
            let job = self.receiver.recv().await?;
            self.sort_in(job);
            tokio::task::yield_now().await;
        }
        Some(self.take(portion))
    }

    /// Takes what has queued, but not more than a portion. Nothing, if what comes first is larger than that.
    pub(crate) fn take(&mut self, portion: Portion) -> Vec<Job> {
        while self.waiting < self.capacity
            && let Ok(job) = self.receiver.try_recv()
        {
            self.sort_in(job);
        }
        let mut taken = Vec::new();
        let mut commands = 0;
        while let Some((tenant, mut lane)) = self.lanes.pop_front() {
            let size = lane.front().map_or(0, Job::commands);
            let limit = if taken.is_empty() { portion.single } else { portion.at_once };
            if commands + size > limit {
                self.lanes.push_front((tenant, lane));
                break;
            }
            if let Some(job) = lane.pop_front() {
                self.waiting -= 1;
                commands += size;
                taken.push(job);
            }
            if !lane.is_empty() {
                self.lanes.push_back((tenant, lane));
            }
        }
        taken
    }

    fn sort_in(&mut self, job: Job) {
        self.waiting += 1;
        if let Some((_, lane)) = self.lanes.iter_mut().find(|(tenant, _)| *tenant == job.tenant) {
            lane.push_back(job);
        } else {
            self.lanes.push_back((job.tenant, VecDeque::from([job])));
        }
    }
}
