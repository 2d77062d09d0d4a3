//! What an executor tells its monitoring. Everything is counted once a batch, but for what became of its commands.

use std::time::Duration;

use domain::Decision;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::core::{Attempt, Outcomes};
use super::{Failure, SubmitError};
use crate::unit::Unit;

/// From a tenth of a millisecond to some six seconds.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 17))
}

/// The figures of one executor. Clones are the same.
#[derive(Debug, Clone)]
pub struct ExecutorMetrics {
    batch_commands: Histogram,
    queue_age: Histogram,
    pub(super) queue_length: Gauge,
    append: Histogram,
    head_lock_wait: Histogram,
    pub(super) judged_ahead: Counter,
    attempts: Family<[(&'static str, &'static str); 1], Counter>,
    commands: Family<[(&'static str, &'static str); 2], Counter>,
}

impl Default for ExecutorMetrics {
    fn default() -> Self {
        Self {
            batch_commands: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            queue_age: seconds(),
            queue_length: Gauge::default(),
            append: seconds(),
            head_lock_wait: seconds(),
            judged_ahead: Counter::default(),
            attempts: Family::default(),
            commands: Family::default(),
        }
    }
}

impl ExecutorMetrics {
    /// Makes them part of what a process shows.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "quipu_executor_batch_commands",
            "Commands that were judged and appended together",
            self.batch_commands.clone(),
        );
        registry.register(
            "quipu_executor_queue_age_seconds",
            "How long the oldest submission of a batch had waited",
            self.queue_age.clone(),
        );
        registry.register(
            "quipu_executor_queue_length",
            "Submissions that wait for the executor",
            self.queue_length.clone(),
        );
        registry.register(
            "quipu_append_seconds",
            "From sending a batch to its commit, as the writer sees it",
            self.append.clone(),
        );
        registry.register(
            "quipu_append_head_lock_wait_seconds",
            "How long a batch waited for the head row, which other writers hold until their commit",
            self.head_lock_wait.clone(),
        );
        registry.register(
            "quipu_executor_units_judged_ahead",
            "Units that were judged while the batch before them was on its way to the log",
            self.judged_ahead.clone(),
        );
        registry.register(
            "quipu_append_outcomes",
            "Attempts to append a batch, by what became of them",
            self.attempts.clone(),
        );
        registry.register(
            "quipu_commands",
            "Commands by what they are and what became of them",
            self.commands.clone(),
        );
    }

    pub(super) fn batch(&self, units: &[&Unit], queue_age: Duration) {
        let commands: usize = units.iter().map(|unit| unit.decisions.len()).sum();
        self.batch_commands.observe(f64::from(u32::try_from(commands).unwrap_or(u32::MAX)));
        self.queue_age.observe(queue_age.as_secs_f64());
    }

    pub(super) fn attempt(&self, attempt: &Attempt) {
        let outcome = match attempt {
            Ok(attempted) => {
                if attempted.head > attempted.base {
                    self.append.observe(attempted.append.as_secs_f64());
                    self.head_lock_wait.observe(attempted.waited.as_secs_f64());
                }
                "appended"
            }
            Err((Failure::Stale, _)) => "stale",
            Err((Failure::Constraint(_), _)) => "constraint",
            Err((Failure::Lost, _)) => "lost",
            Err((Failure::Database(_) | Failure::NotInMemory, _)) => "fault",
        };
        self.attempts.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub(super) fn outcomes(&self, units: &[&Unit], outcomes: &Outcomes) {
        for (unit, outcome) in units.iter().zip(outcomes) {
            for (n, placed) in unit.decisions.iter().enumerate() {
                let outcome = match outcome {
                    Ok(receipt) if receipt.replayed => "replayed",
                    Ok(receipt) => match receipt.results.get(n) {
                        Some(Ok(_)) => "done",
                        Some(Err(_)) => "refused",
                        None => "fault",
                    },
                    Err(error) => word(error),
                };
                self.command(placed.decision.as_ref(), outcome);
            }
        }
    }

    /// Counts the commands of units that were not judged.
    pub(super) fn unjudged(&self, units: &[Unit], error: &SubmitError) {
        for placed in units.iter().flat_map(|unit| &unit.decisions) {
            self.command(placed.decision.as_ref(), word(error));
        }
    }

    fn command(&self, decision: &dyn Decision, outcome: &'static str) {
        self.commands.get_or_create(&[("operation", decision.name()), ("outcome", outcome)]).inc();
    }
}

const fn word(error: &SubmitError) -> &'static str {
    match error {
        SubmitError::Overloaded => "overloaded",
        SubmitError::Unavailable => "unavailable",
        SubmitError::KeyReused => "key-reused",
        SubmitError::NewerEvent => "newer-event",
        SubmitError::Internal => "fault",
    }
}
