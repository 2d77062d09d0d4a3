//! Counts programs, each by its own pace: what their organisation has booked, and what it has said itself of a service.
//!
//! Organisations choose paces as they like, so there is no limiter for each: of a program one moment is kept, when all that it
//! has used will have come back (GCRA). Programs that have it all back are forgotten.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use domain::allowance::Pace;
use uuid::Uuid;

use super::{Rate, SWEEP_EVERY, Standing};
use crate::problem::Problem;

/// When programs have all back that they have used of what one policy lets them.
#[derive(Debug, Default)]
pub(crate) struct Paces(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    full_at: HashMap<(&'static str, Uuid), Instant>,
    checks: u32,
}

impl Paces {
    /// Counts a request of a program. A pace of nothing is no limit.
    ///
    /// # Errors
    /// 429 `rate.limited`, when it has used up what it may.
    pub(crate) fn check(&self, pace: &Pace) -> Result<Option<Standing>, Problem> {
        self.check_at(pace, Instant::now())
    }

    fn check_at(&self, pace: &Pace, now: Instant) -> Result<Option<Standing>, Problem> {
        let rate = Rate { most: pace.most, span: pace.span };
        let Some(most) = rate.most().filter(|_| !rate.span.is_zero()) else { return Ok(None) };
        let step = rate.span / most.get();
        let latest = now + rate.span;
        let key = (pace.policy, pace.program);
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        used.sweep(now);
        // What was used under another pace counts on, as far as this one looks back.
        let before = used.full_at.get(&key).map_or(now, |it| (*it).clamp(now, latest));
        let full_at = before + step;
        if full_at > latest {
            used.full_at.insert(key, before);
            return Err(Standing::after(pace.policy, rate, 0).refused(full_at - latest));
        }
        used.full_at.insert(key, full_at);
        drop(used);
        let taken = (full_at - now).as_nanos().div_ceil(step.as_nanos().max(1));
        let left = rate.most.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX));
        Ok(Some(Standing::after(pace.policy, rate, left)))
    }
}

impl Used {
    /// Forgets from time to time who has all back: what is left is bounded by the programs of one span.
    fn sweep(&mut self, now: Instant) {
        self.checks = self.checks.wrapping_add(1);
        if self.checks.is_multiple_of(SWEEP_EVERY) {
            self.full_at.retain(|_, full_at| *full_at > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::response::IntoResponse as _;
    use domain::application::ServiceLimits;
    use domain::ids::ServiceId;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn booked(program: u128, per_minute: u32) -> Pace {
        Pace::booked(Uuid::from_u128(program), per_minute)
    }

    fn own(per_second: u32, burst: u32) -> Pace {
        Pace::of_service(ServiceId::new(Uuid::from_u128(1)), ServiceLimits { per_second, burst })
    }

    fn left(paces: &Paces, pace: &Pace, now: Instant) -> Option<u32> {
        paces.check_at(pace, now).unwrap().map(|it| it.remaining())
    }

    #[test]
    fn programs_and_policies_are_counted_apart() {
        let (paces, now) = (Paces::default(), Instant::now());
        for rest in [1, 0] {
            assert_eq!(left(&paces, &booked(1, 2), now), Some(rest));
        }
        assert_eq!(paces.check_at(&booked(1, 2), now).unwrap_err().code(), "rate.limited");
        assert_eq!(left(&paces, &booked(2, 2), now), Some(1), "another program");
        assert_eq!(left(&paces, &own(5, 9), now), Some(8), "the same one, by another word");
    }

    #[test]
    fn a_burst_is_used_at_once_and_comes_back_one_by_one() {
        let (paces, now) = (Paces::default(), Instant::now());
        for rest in (0..9).rev() {
            assert_eq!(left(&paces, &own(3, 9), now), Some(rest));
        }
        let refused = paces.check_at(&own(3, 9), now).unwrap_err().into_response();
        assert_eq!(refused.headers()["retry-after"], "1");
        assert_eq!(left(&paces, &own(3, 9), now + SECOND), Some(2), "three have come back, and one is used");
        assert_eq!(left(&paces, &own(3, 9), now + 9 * SECOND), Some(8), "and no more than there were");
    }

    #[test]
    fn another_pace_begins_with_what_was_used_and_none_with_more_than_it_looks_back() {
        let (paces, now) = (Paces::default(), Instant::now());
        for _ in 0..60 {
            paces.check_at(&booked(1, 60), now).unwrap();
        }
        assert!(paces.check_at(&booked(1, 120), now).is_err(), "a change gives nothing");
        assert_eq!(left(&paces, &booked(1, 120), now + SECOND), Some(1));
        for _ in 0..100 {
            paces.check_at(&own(1, 100), now).unwrap();
        }
        assert!(
            paces.check_at(&own(1, 5), now + 4 * SECOND).is_err(),
            "a hundred seconds are not looked back"
        );
        assert_eq!(left(&paces, &own(1, 5), now + 6 * SECOND), Some(1));
    }

    #[test]
    fn a_pace_of_nothing_is_no_limit() {
        let (paces, now) = (Paces::default(), Instant::now());
        assert_eq!(left(&paces, &booked(1, 0), now), None);
        assert_eq!(left(&paces, &own(0, 0), now), None);
    }

    #[test]
    fn memory_is_bounded_by_the_programs_of_a_span() {
        let (paces, begun) = (Paces::default(), Instant::now());
        for program in 0..100_000_u32 {
            // Each has it back within a second, in which a thousand ask.
            let now = begun + SECOND * program / 1_000;
            paces.check_at(&Pace { span: SECOND, ..booked(u128::from(program), 10) }, now).unwrap();
        }
        let kept = paces.0.lock().unwrap().full_at.len();
        assert!(kept < 6_000, "{kept}");
    }
}
