//! The share of the time in which a rebuild works, and how fast it is.

use std::time::Duration;

use tokio::time::Instant;

use super::{Control, Phase, Progress};

/// The longest rest at once, so that a slow statement does not put a rebuild to sleep.
const REST_MAX: Duration = Duration::from_secs(10);

/// How much rest follows on how much work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    share: u32,
}

impl Pace {
    /// `share` is in percent.
    pub(crate) fn new(share: u8) -> Self {
        Self { share: u32::from(share.clamp(1, 100)) }
    }

    /// Whether it never rests.
    pub(crate) fn is_full(self) -> bool {
        self.share >= 100
    }

    /// Rests after some work.
    pub(crate) async fn rest(self, worked: Duration) {
        let rest = self.rest_after(worked);
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
    }

    fn rest_after(self, worked: Duration) -> Duration {
        (worked.saturating_mul(100 - self.share) / self.share).min(REST_MAX)
    }
}

/// Tells how a phase goes.
pub(crate) struct Meter<'c> {
    control: &'c Control,
    model: &'static str,
    phase: Phase,
    began: Instant,
    from: i64,
    target: Option<i64>,
}

impl<'c> Meter<'c> {
    pub(crate) fn begin(
        control: &'c Control,
        model: &'static str,
        phase: Phase,
        from: i64,
        target: Option<i64>,
    ) -> Self {
        let meter = Self { control, model, phase, began: Instant::now(), from, target };
        meter.tell(from);
        meter
    }

    pub(crate) fn aim(&mut self, target: i64) {
        self.target = Some(target);
    }

    pub(crate) fn tell(&self, done: i64) {
        let took = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX).max(1);
        let rate = (done - self.from).saturating_mul(1_000) / took;
        let left = self.target.and_then(|target| u64::try_from(target - done).ok());
        let remaining = left.filter(|_| rate > 0).map(|left| {
            let rate = u64::try_from(rate).unwrap_or(1);
            Duration::from_millis(left.saturating_mul(1_000) / rate)
        });
        self.control.progress.send_replace(Progress {
            model: self.model.to_owned(),
            phase: self.phase,
            done,
            target: self.target,
            rate_per_second: rate,
            remaining,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_so_long_that_the_share_is_kept() {
        let worked = Duration::from_millis(100);
        assert_eq!(Pace::new(100).rest_after(worked), Duration::ZERO);
        assert_eq!(Pace::new(50).rest_after(worked), worked);
        assert_eq!(Pace::new(25).rest_after(worked), worked * 3);
        assert_eq!(Pace::new(1).rest_after(Duration::from_secs(60)), REST_MAX);
    }
}
