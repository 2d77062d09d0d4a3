//! Waits that double up to a bound.

use std::time::Duration;

/// The wait after the given number of failures, from 1: `first`, then twice as long each time, at most `longest`.
pub(crate) fn wait(failures: u32, first: Duration, longest: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    first.saturating_mul(1 << doublings).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_from_the_first_to_the_longest() {
        let seconds = |failures| wait(failures, Duration::from_secs(1), Duration::from_secs(3_600)).as_secs();
        assert_eq!([0, 1, 2, 3, 12].map(seconds), [1, 1, 2, 4, 2_048]);
        assert_eq!([13, 33, u32::MAX].map(seconds), [3_600; 3]);
    }
}
