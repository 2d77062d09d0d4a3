//! The one line: what was done, what came of it, and whether it counts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::journal::Book;
use crate::nemesis::Deeds;
use crate::reconcile::Check;

/// Less than this in eight minutes is no storm: faults, kills, acknowledged commands, conflicts, what people were told.
const ENOUGH_IN_EIGHT_MINUTES: [u64; 5] = [300, 120, 50_000, 5_000, 2_000];

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every promise was kept.
    Kept,
    /// One was broken.
    Broken,
    /// Too little happened for saying anything.
    NotRun,
}

impl Verdict {
    /// The exit code of the program.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Kept => 0,
            Self::Broken => 1,
            Self::NotRun => 3,
        }
    }
}

/// Everything about a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What repeats its plan, together with `minutes`.
    pub seed: u64,
    /// How long it was.
    pub minutes: u32,
    /// What it comes to.
    pub verdict: Verdict,
    /// Things that clients were told to have happened.
    pub acknowledged: u64,
    /// Of these, those that the log lacks, and those that it has twice.
    pub lost_or_doubled: u64,
    /// Commands that were judged and refused.
    pub refused: u64,
    /// Requests without an answer that says what became of them.
    pub in_doubt: u64,
    /// Requests that were sent again under the same key.
    pub retries: u64,
    /// Answers that were given before, under the same key.
    pub answered_again: u64,
    /// Messages that a consumer had before.
    pub duplicates_dropped: u64,
    /// Balances that were read.
    pub reads: u64,
    /// Operations of the history.
    pub operations: u64,
    /// Dependencies between operations that were under way at the same time.
    pub conflicts: u64,
    /// What people were told to have happened, by act: signing in, keys, roles, erasures.
    pub people: BTreeMap<String, u64>,
    /// Requests of theirs without an answer that says what became of them.
    pub people_lost: u64,
    /// What was broken.
    pub deeds: Deeds,
    /// How often processes of the product were started.
    pub starts: u32,
    /// Every comparison.
    pub checks: Vec<Check>,
}

impl Report {
    /// Counts what the journal says, and judges.
    #[must_use]
    pub fn of(seed: u64, minutes: u32, book: &Book, deeds: Deeds, mut rest: Rest) -> Self {
        let outcomes = || book.cases.values().flat_map(|it| &it.outcomes);
        let acknowledged = book.cases.values().map(|it| it.promised().count() as u64).sum();
        let refused = book.cases.values().filter(|it| it.outcome().is_some_and(|it| !it.is_success()));
        let recovery = recovery(&deeds, rest.recovery_max);
        rest.checks.push(recovery);
        let lost = rest.checks.iter().find(|it| it.name == "journal is in the log").map_or(0, |it| it.faults);
        let mut report = Self {
            seed,
            minutes,
            verdict: Verdict::Kept,
            acknowledged,
            lost_or_doubled: lost,
            refused: refused.count() as u64,
            in_doubt: book.unknown,
            retries: book.cases.values().map(|it| u64::from(it.sent.saturating_sub(1))).sum(),
            answered_again: outcomes().filter(|it| it.replayed).count() as u64,
            duplicates_dropped: rest.duplicates_dropped,
            reads: book.reads.len() as u64,
            operations: rest.operations,
            conflicts: rest.conflicts,
            people: rest.people,
            people_lost: rest.people_lost,
            deeds,
            starts: rest.starts,
            checks: rest.checks,
        };
        report.verdict = if !report.checks.iter().all(Check::holds) {
            Verdict::Broken
        } else if report.missing().is_empty() {
            Verdict::Kept
        } else {
            Verdict::NotRun
        };
        report
    }

    /// What there was too little of.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let had = [
            ("faults", u64::from(self.deeds.count())),
            ("kills", u64::from(self.deeds.kills)),
            ("acknowledged", self.acknowledged),
            ("conflicts", self.conflicts),
            ("told to people", self.people.values().sum()),
        ];
        had.into_iter()
            .zip(ENOUGH_IN_EIGHT_MINUTES)
            .map(|((name, had), enough)| (name, had, enough * u64::from(self.minutes) / 8))
            .filter(|(_, had, enough)| had < enough)
            .map(|(name, had, enough)| format!("{had} of {enough} {name}"))
            .collect()
    }

    /// The verdict in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let failed: Vec<&str> = self.checks.iter().filter(|it| !it.holds()).map(|it| it.name).collect();
        let verdict = match self.verdict {
            Verdict::Kept => "every promise kept".to_owned(),
            Verdict::Broken => format!("BROKEN: {}", failed.join(", ")),
            Verdict::NotRun => format!("NOT RUN: only {}", self.missing().join(", ")),
        };
        let slowest = self.deeds.recoveries_ms.iter().max().copied().unwrap_or_default();
        format!(
            "storm seed={} minutes={} acknowledged={} lost-or-doubled={} refused={} in-doubt={} retries={} answered-again={} \
             faults={} kinds={} kills={} conflicts={} operations={} reads={} people={} people-in-doubt={} duplicates-dropped={} \
             slowest-recovery={}ms checks={}/{}: {verdict}",
            self.seed,
            self.minutes,
            self.acknowledged,
            self.lost_or_doubled,
            self.refused,
            self.in_doubt,
            self.retries,
            self.answered_again,
            self.deeds.count(),
            self.deeds.faults.len(),
            self.deeds.kills,
            self.conflicts,
            self.operations,
            self.reads,
            self.people.values().sum::<u64>(),
            self.people_lost,
            self.duplicates_dropped,
            slowest,
            self.checks.len() - failed.len(),
            self.checks.len(),
        )
    }
}

/// What a report needs beside the journal.
#[derive(Debug, Clone, Default)]
pub struct Rest {
    /// Every comparison so far.
    pub checks: Vec<Check>,
    /// See [`Report::operations`].
    pub operations: u64,
    /// See [`Report::conflicts`].
    pub conflicts: u64,
    /// See [`Report::duplicates_dropped`].
    pub duplicates_dropped: u64,
    /// See [`Report::people`].
    pub people: BTreeMap<String, u64>,
    /// See [`Report::people_lost`].
    pub people_lost: u64,
    /// See [`Report::starts`].
    pub starts: u32,
    /// How long a command API may take to come back after PostgreSQL.
    pub recovery_max: Duration,
}

fn recovery(deeds: &Deeds, limit: Duration) -> Check {
    let mut check = Check::new("API back after PostgreSQL");
    for millis in &deeds.recoveries_ms {
        check.look(Duration::from_millis(*millis) <= limit, || format!("it took {millis} ms"));
    }
    check
}

#[cfg(test)]
mod tests;
