//! What a run says: progress on stderr, a table on stdout, a file of JSON for machines.

use std::fmt;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::figures::{Bound, Figure};

/// Says how far it is. There is nobody to tell if that fails.
pub(crate) fn note(line: fmt::Arguments<'_>) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// A whole run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Processors that everything shared.
    pub(crate) cores: usize,
    /// What the database calls itself.
    pub(crate) postgres: String,
    /// Whether the build is one of a release; figures of another are of no use to anybody.
    pub(crate) release_build: bool,
    /// When it ended.
    pub(crate) at: String,
    /// Everything that was measured.
    pub(crate) figures: Vec<Figure>,
}

impl Report {
    /// Writes the table.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "PostgreSQL {}, {} cores, {}", self.postgres, self.cores, self.at)?;
        if !self.release_build {
            writeln!(out, "NOT a release build: look at the shape, not at the figures")?;
        }
        writeln!(
            out,
            "{:<10} {:<46} {:>11} {:>24} {:>9}",
            "scenario", "figure", "median", "min .. max", "target"
        )?;
        for figure in &self.figures {
            let (min, max) = extremes(&figure.rounds);
            let spread = format!("{} .. {}", shown(min), shown(max));
            let target = match (figure.bound, figure.met) {
                (Some(Bound::AtLeast(it)), Some(met)) => format!(">= {} {}", shown(it), verdict(met)),
                (Some(Bound::AtMost(it)), Some(met)) => format!("<= {} {}", shown(it), verdict(met)),
                _ => String::new(),
            };
            let median = format!("{} {}", shown(figure.median), figure.unit);
            writeln!(
                out,
                "{:<10} {:<46} {median:>11} {spread:>24} {target:>9}",
                figure.scenario, figure.name
            )?;
        }
        Ok(())
    }

    /// Reads one that was saved.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
        Ok(serde_json::from_reader(file)?)
    }

    /// Writes the file.
    pub(crate) fn save(&self, path: &Path) -> anyhow::Result<()> {
        let file = std::fs::File::create(path).with_context(|| path.display().to_string())?;
        Ok(serde_json::to_writer_pretty(file, self)?)
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

fn extremes(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), it| (min.min(*it), max.max(*it)))
}

/// Three digits that say something.
pub(crate) fn shown(value: f64) -> String {
    match value.abs() {
        it if it < f64::EPSILON => "0".to_owned(),
        it if it >= 100.0 => format!("{value:.0}"),
        it if it >= 10.0 => format!("{value:.1}"),
        it if it >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
