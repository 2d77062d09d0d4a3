//! Numbers over rounds: medians, percentiles, and whether a target is met. Nothing here is money.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a figure must come to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    /// As much or more.
    AtLeast(f64),
    /// As much or less.
    AtMost(f64),
}

/// One figure of a scenario, with its value in every round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// The scenario that measured it.
    pub(crate) scenario: Cow<'static, str>,
    /// What it is.
    pub(crate) name: String,
    /// Its unit; `x` is a ratio within a round.
    pub(crate) unit: Cow<'static, str>,
    /// One value a round, in their order.
    pub(crate) rounds: Vec<f64>,
    /// The middle one.
    pub(crate) median: f64,
    /// What it must come to, if it is a target and not a mere figure.
    pub(crate) bound: Option<Bound>,
    /// Whether it does.
    pub(crate) met: Option<bool>,
}

impl Figure {
    /// A figure of these rounds.
    pub(crate) fn new(
        scenario: &'static str,
        name: impl Into<String>,
        unit: &'static str,
        rounds: Vec<f64>,
    ) -> Self {
        let median = median(&rounds);
        let (scenario, unit) = (scenario.into(), unit.into());
        Self { scenario, name: name.into(), unit, rounds, median, bound: None, met: None }
    }

    /// The same, as a target.
    pub(crate) fn bound(mut self, bound: Bound) -> Self {
        self.met = Some(match bound {
            Bound::AtLeast(least) => self.median >= least,
            Bound::AtMost(most) => self.median <= most,
        });
        self.bound = Some(bound);
        self
    }

    /// Whether it is so far off that more than the machine must be to blame: less than half of what was aimed at.
    pub(crate) fn fails_by_half(&self) -> bool {
        match self.bound {
            Some(Bound::AtLeast(least)) => self.median < least / 2.0,
            Some(Bound::AtMost(most)) => self.median > most * 2.0,
            None => false,
        }
    }
}

/// The middle value; the mean of the two in the middle if their number is even. Zero of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    if sorted.len() % 2 == 1 {
        return upper;
    }
    let lower = (sorted.len() / 2).checked_sub(1).and_then(|n| sorted.get(n)).copied().unwrap_or(0.0);
    (lower + upper) / 2.0
}

/// Element by element, the one divided by the other.
pub(crate) fn ratios(values: &[f64], by: &[f64]) -> Vec<f64> {
    values.iter().zip(by).map(|(value, by)| value / by).collect()
}

/// Times of requests, to be asked for percentiles.
#[derive(Debug, Default, Clone)]
pub(crate) struct Times(Vec<u32>);

impl Times {
    /// Notes one.
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    /// How many they are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// Takes those of another in.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// The time that `share` of them do not exceed, in milliseconds.
    pub(crate) fn percentile_ms(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index of a list in memory"
        )]
        let at = (last as f64 * share).round() as usize;
        self.0.get(at).map_or(0.0, |us| f64::from(*us) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let mut times = Times::default();
        for ms in (1..=100).rev() {
            times.push(Duration::from_millis(ms));
        }
        assert_eq!(times.percentile_ms(0.0), 1.0);
        assert_eq!(times.percentile_ms(0.99), 99.0);
        assert_eq!(times.percentile_ms(1.0), 100.0);
    }

    #[test]
    fn a_target_fails_the_gate_only_below_half_of_it() {
        let figure = |value| Figure::new("it", "rate", "x", vec![value]).bound(Bound::AtLeast(1.0));
        assert_eq!((figure(1.0).met, figure(0.6).met), (Some(true), Some(false)));
        assert!(!figure(0.6).fails_by_half() && figure(0.4).fails_by_half());
        let slow = Figure::new("it", "time", "ms", vec![11.0]).bound(Bound::AtMost(5.0));
        assert!(slow.fails_by_half());
    }
}
