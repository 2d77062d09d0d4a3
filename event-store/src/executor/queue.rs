//! What waits for the executor: bounded, in the order of arrival within a tenant, round-robin between tenants.

use std::collections::VecDeque;

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
    pub(crate) async fn next(&mut self, commands_max: usize) -> Option<Vec<Job>> {
        if self.waiting == 0 {
            let job = self.receiver.recv().await?;
            self.sort_in(job);
            tokio::task::yield_now().await;
        }
        Some(self.take(commands_max))
    }

    /// Takes what has queued, at most `commands_max` commands; but at least one job, if any waits and any is wanted.
    pub(crate) fn take(&mut self, commands_max: usize) -> Vec<Job> {
        if commands_max == 0 {
            return Vec::new();
        }
        while self.waiting < self.capacity
            && let Ok(job) = self.receiver.try_recv()
        {
            self.sort_in(job);
        }
        let mut batch = Vec::new();
        let mut commands = 0;
        while let Some((tenant, mut lane)) = self.lanes.pop_front() {
            let size = lane.front().map_or(0, |job| job.units.iter().map(|unit| unit.decisions.len()).sum());
            if commands > 0 && commands + size > commands_max {
                self.lanes.push_front((tenant, lane));
                break;
            }
            if let Some(job) = lane.pop_front() {
                self.waiting -= 1;
                commands += size;
                batch.push(job);
            }
            if !lane.is_empty() {
                self.lanes.push_back((tenant, lane));
            }
        }
        batch
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
