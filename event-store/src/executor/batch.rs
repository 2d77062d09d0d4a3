//! What is written together, and how far it has been judged.

use sabotage::Guard;
use tokio::time::Instant;

use super::core::Core;
use super::plan::Draft;
use super::queue::Job;
use super::states::Overlay;
use crate::unit::Unit;

/// Submissions that go into one append.
#[derive(Default)]
pub(crate) struct Batch {
    jobs: Vec<Job>,
    draft: Option<Draft>,
    /// How many of the units are in the draft.
    judged: usize,
}

impl Batch {
    pub(crate) fn of(jobs: Vec<Job>) -> Self {
        Self { jobs, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether nothing of it has been judged, so that what waited too long may still be let go.
    pub(crate) fn is_unjudged(&self) -> bool {
        self.draft.is_none()
    }

    pub(crate) fn push(&mut self, jobs: impl IntoIterator<Item = Job>) {
        self.jobs.extend(jobs);
    }

    pub(crate) fn into_jobs(self) -> Vec<Job> {
        self.jobs
    }

    pub(crate) fn units(&self) -> Vec<&Unit> {
        self.jobs.iter().flat_map(|job| &job.units).collect()
    }

    pub(crate) fn commands(&self) -> usize {
        self.units().iter().map(|unit| unit.decisions.len()).sum()
    }

    /// When the submission that has waited longest was queued.
    pub(crate) fn queued_first(&self) -> Option<Instant> {
        self.jobs.iter().map(|job| job.queued_at).min()
    }

    /// Forgets what was judged: it rested on something that did not come about.
    pub(crate) fn forget_judgement(&mut self) {
        if sabotage::stands(Guard::JudgedAnew) {
            self.draft = None;
            self.judged = 0;
        }
    }

    /// The draft, and how many of the units are in it. What is judged from here on is the caller's concern.
    pub(crate) fn take_draft(&mut self) -> Option<(Draft, usize)> {
        Some((self.draft.take()?, std::mem::take(&mut self.judged)))
    }

    /// Judges what has not been judged yet on top of a batch that is on its way, as far as memory suffices. False once it
    /// does not: the rest waits until that batch has landed.
    pub(crate) fn judge_ahead(&mut self, core: &mut Core, under_way: &Overlay) -> bool {
        if self.is_empty() {
            return true;
        }
        let draft = self.draft.get_or_insert_with(|| core.draft());
        for unit in self.jobs.iter().flat_map(|job| &job.units).skip(self.judged) {
            if !core.judge_ahead(draft, under_way, unit) {
                return false;
            }
            self.judged += 1;
        }
        true
    }
}
