//! What is written together, and how far it has been judged.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sabotage::Guard;
use tokio::time::Instant;

use super::core::{Core, deciding};
use super::plan::Draft;
use super::queue::Job;
use crate::unit::Unit;

/// Submissions that go into one append.
#[derive(Default)]
pub(crate) struct Batch {
    jobs: Vec<Job>,
    commands: usize,
    draft: Option<Draft>,
    /// How many of the units are in the draft.
    judged: usize,
}

impl Batch {
    pub(crate) fn of(jobs: Vec<Job>) -> Self {
        let mut batch = Self::default();
        batch.push(jobs);
        batch
    }

    pub(crate) fn push(&mut self, jobs: Vec<Job>) {
        self.commands += jobs.iter().map(Job::commands).sum::<usize>();
        self.jobs.extend(jobs);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(crate) fn commands(&self) -> usize {
        self.commands
    }

    pub(crate) fn units(&self) -> Vec<&Unit> {
        self.jobs.iter().flat_map(|job| &job.units).collect()
    }

    pub(crate) fn into_jobs(self) -> Vec<Job> {
        self.jobs
    }

    /// When the submission that has waited longest was queued.
    pub(crate) fn queued_first(&self) -> Option<Instant> {
        self.jobs.iter().map(|job| job.queued_at).min()
    }

    /// Whether somebody has waited too long in it, or waits no more.
    pub(crate) fn is_overdue(&self, wait_max: Duration) -> bool {
        self.jobs.iter().any(|job| job.is_overdue(wait_max))
    }

    /// Forgets what was judged: it rested on something that did not come about.
    pub(crate) fn forget_judgement(&mut self) {
        if sabotage::stands(Guard::JudgedAnew) {
            self.draft = None;
            self.judged = 0;
        }
    }

    /// The batch on top of which this one was judged has landed.
    pub(crate) fn knows_up_to(&mut self, recorded_at: DateTime<Utc>) {
        if let Some(draft) = &mut self.draft {
            draft.knows_up_to(recorded_at);
        }
    }

    /// The draft, and how many of the units are in it. What is judged from here on is the caller's concern.
    pub(crate) fn take_draft(&mut self) -> Option<(Draft, usize)> {
        Some((self.draft.take()?, std::mem::take(&mut self.judged)))
    }

    /// Judges what has not been judged yet on top of a batch that is on its way, as far as memory suffices. False once it
    /// does not: the rest waits until that batch has landed.
    pub(crate) fn judge_ahead(&mut self, core: &mut Core, under_way: &Draft) -> bool {
        let _span = deciding().entered();
        let mut unjudged = self.jobs.iter().flat_map(|job| &job.units).skip(self.judged).peekable();
        if unjudged.peek().is_none() {
            return true;
        }
        let draft = self.draft.get_or_insert_with(|| core.draft());
        for unit in unjudged {
            if !core.judge_ahead(draft, under_way, unit) {
                return false;
            }
            self.judged += 1;
        }
        true
    }
}
