//! Request rates: one limiter of bounded memory, used per client address before authentication and per principal after
//! it. Counts are per process.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::http::{HeaderMap, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::problem::{Problem, code};

/// Checks between two sweeps of keys that are back to full.
const SWEEP_EVERY: u32 = 4096;

/// Requests a second per key, with a burst of one second's worth.
#[derive(Debug)]
pub struct Limiter<K: Hash + Eq + Clone> {
    policy: &'static str,
    per_second: NonZeroU32,
    cells: RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>,
    checks: AtomicU32,
}

/// How a key stands after a request, for the RateLimit headers.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    policy: &'static str,
    per_second: u32,
    pub(crate) remaining: u32,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// A limiter whose policy has this name in headers; none when the rate is 0.
    #[must_use]
    pub fn new(policy: &'static str, per_second: u32) -> Option<Self> {
        let per_second = NonZeroU32::new(per_second)?;
        let cells =
            RateLimiter::keyed(Quota::per_second(per_second)).with_middleware::<StateInformationMiddleware>();
        Some(Self { policy, per_second, cells, checks: AtomicU32::new(0) })
    }

    /// Counts a request; refuses it when the key has used its rate up.
    pub(crate) fn check(&self, key: &K) -> Result<Standing, Problem> {
        // A key is full again after a second, and a sweep drops full ones: memory is bounded by the keys of a second.
        if self.checks.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.cells.retain_recent();
        }
        let per_second = self.per_second.get();
        match self.cells.check_key(key) {
            Ok(state) => {
                Ok(Standing { policy: self.policy, per_second, remaining: state.remaining_burst_capacity() })
            }
            Err(refused) => {
                let wait = refused.wait_time_from(DefaultClock::default().now()).as_secs().saturating_add(1);
                crate::telemetry::note_rate(Standing { policy: self.policy, per_second, remaining: 0 });
                Err(Problem::new(&code::RATE_LIMITED, "").with("policy", self.policy).retry_after(wait))
            }
        }
    }
}

impl Standing {
    /// Adds `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10).
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let policy = format!("\"{}\";q={};w=1", self.policy, self.per_second);
        let limit = format!("\"{}\";r={};t=1", self.policy, self.remaining);
        for (name, value) in [("ratelimit-policy", policy), ("ratelimit", limit)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_off() {
        assert!(Limiter::<u8>::new("it", 0).is_none());
    }

    #[test]
    fn keys_are_counted_apart_and_the_excess_is_told_when_to_return() {
        let limiter = Limiter::new("it", 3).unwrap();
        for _ in 0..3 {
            limiter.check(&1).unwrap();
        }
        assert_eq!(limiter.check(&1).unwrap_err().code(), "rate.limited");
        assert_eq!(limiter.check(&2).unwrap().remaining, 2);
    }

    #[test]
    fn memory_is_bounded_by_the_keys_of_a_second() {
        let limiter = Limiter::new("it", 1_000_000).unwrap();
        for key in 0..100_000_u32 {
            limiter.check(&key).unwrap();
        }
        assert!(limiter.cells.len() < 20_000, "{}", limiter.cells.len());
    }
}
