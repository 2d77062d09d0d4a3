//! Request rates: how they are written, one limiter of bounded memory that counts within the process, and the headers that
//! tell a client how it stands.
//!
//! Programs with paces of their own are counted in `rate/paces.rs`. Not here: which rates there are ([`crate::config`]), and
//! counters that several processes share (command-api).

mod paces;

use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use uuid::Uuid;

pub(crate) use paces::Paces;

use crate::config::duration;
use crate::problem::{Problem, code};
use crate::telemetry;

/// Checks between two sweeps of keys that are back to full.
const SWEEP_EVERY: u32 = 4096;

/// So many in so long. Written `30/1m`; `0` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    most: u32,
    span: Duration,
}

/// A text is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write how many in how long, such as 30/1m, at most 1000000 and at most 24h; or 0 for no limit")]
pub struct RateError;

impl Rate {
    /// No limit.
    pub const OFF: Self = Self { most: 0, span: Duration::from_secs(1) };
    /// The most that a rate may take in its time.
    pub const MOST: u32 = 1_000_000;

    /// So many in so many seconds; no limit if it is 0 of either.
    #[must_use]
    pub const fn new(most: u32, seconds: u64) -> Self {
        if most == 0 || seconds == 0 {
            return Self::OFF;
        }
        Self { most, span: Duration::from_secs(seconds) }
    }

    /// How many; nothing if there is no limit.
    #[must_use]
    pub const fn most(self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.most)
    }

    /// In how long.
    #[must_use]
    pub const fn span(self) -> Duration {
        self.span
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        if text == "0" {
            return Ok(Self::OFF);
        }
        let (most, span) = text.split_once('/').ok_or(RateError)?;
        let most = most.parse().ok().filter(|it| (1..=Self::MOST).contains(it)).ok_or(RateError)?;
        Ok(Self { most, span: duration(span).map_err(|_| RateError)? })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.most == 0 { f.write_str("0") } else { write!(f, "{}/{}ms", self.most, self.span.as_millis()) }
    }
}

/// Counts by key, within this process. A key may use the whole rate at once; then it gets one more each time that a part of
/// the span has passed (GCRA), until it has the whole rate again.
#[derive(Debug)]
pub struct Limiter<K: Hash + Eq + Clone> {
    policy: &'static str,
    rate: Rate,
    cells: RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>,
    checks: AtomicU32,
}

/// Limits per API key; [`crate::layers::harden`] puts it into every request.
pub(crate) type KeyLimiter = Arc<Limiter<Uuid>>;

/// Limits of programs, each by its own pace; [`crate::layers::harden`] puts it into every request.
pub(crate) type PaceLimiter = Arc<Paces>;

/// How a key stands after a request, for the RateLimit headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    policy: &'static str,
    rate: Rate,
    remaining: u32,
    full_in: Duration,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// A limiter whose policy has this name in headers; none when there is no limit.
    #[must_use]
    pub fn new(policy: &'static str, rate: Rate) -> Option<Self> {
        let most = rate.most()?;
        // A period is that of one request, not of all of them: sixty a minute are one a second, and sixty at once.
        let quota = Quota::with_period(rate.span() / most.get())?.allow_burst(most);
        let cells = RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>();
        Some(Self { policy, rate, cells, checks: AtomicU32::new(0) })
    }

    /// Counts a request.
    ///
    /// # Errors
    /// 429 `rate.limited`, when the key has used its rate up.
    pub fn check(&self, key: &K) -> Result<Standing, Problem> {
        // A key is full again after its span, and a sweep drops full ones: memory is bounded by the keys of one span.
        if self.checks.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.cells.retain_recent();
        }
        match self.cells.check_key(key) {
            Ok(state) => Ok(Standing::after(self.policy, self.rate, state.remaining_burst_capacity())),
            Err(refused) => {
                let wait = refused.wait_time_from(DefaultClock::default().now());
                Err(Standing::after(self.policy, self.rate, 0).refused(wait))
            }
        }
    }
}

impl Standing {
    /// After a request under a policy of this name, when so many are left until the time `full_in` has passed.
    #[must_use]
    pub const fn new(policy: &'static str, rate: Rate, remaining: u32, full_in: Duration) -> Self {
        Self { policy, rate, remaining, full_in }
    }

    /// The same where what is used comes back bit by bit.
    fn after(policy: &'static str, rate: Rate, remaining: u32) -> Self {
        let used = rate.most.saturating_sub(remaining);
        let full_in = rate.span.saturating_mul(used) / rate.most.max(1);
        Self { policy, rate, remaining, full_in }
    }

    /// How many are left.
    #[must_use]
    pub const fn remaining(&self) -> u32 {
        self.remaining
    }

    /// Has the answer to the present request tell it, unless another limit is nearer to its end.
    pub fn note(self) {
        telemetry::note_rate(self);
    }

    /// The refusal of a request for which nothing was left, and what its answer tells; `wait` is how long until there is.
    #[must_use]
    pub fn refused(self, wait: Duration) -> Problem {
        self.note();
        Problem::new(&code::RATE_LIMITED, "").with("policy", self.policy).retry_after(seconds_above(wait))
    }

    /// Adds `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10).
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let window = self.rate.span.as_secs().max(1);
        let policy = format!("\"{}\";q={};w={window}", self.policy, self.rate.most);
        let limit = format!("\"{}\";r={};t={}", self.policy, self.remaining, seconds_above(self.full_in));
        for (name, value) in [("ratelimit-policy", policy), ("ratelimit", limit)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}

/// In whole seconds, never too early and never none.
fn seconds_above(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn rates_are_written_as_how_many_in_how_long() {
        for (text, rate) in [
            ("30/1m", Rate::new(30, 60)),
            ("200/24h", Rate::new(200, 86_400)),
            ("0", Rate::OFF),
            ("1/1500ms", Rate { most: 1, span: Duration::from_millis(1_500) }),
        ] {
            assert_eq!(text.parse(), Ok(rate), "{text}");
            assert_eq!(rate.to_string().parse(), Ok(rate), "{rate}");
        }
        for bad in
            ["", "30", "/1m", "30/", "30/1", "-1/1m", "0/1m", "1000001/1s", "30/25h", "30/0s", "1.5/1m", "00"]
        {
            assert_eq!(bad.parse::<Rate>(), Err(RateError), "{bad}");
        }
        assert_eq!((Rate::OFF.most(), Rate::new(0, 5), Rate::new(5, 0)), (None, Rate::OFF, Rate::OFF));
    }

    #[test]
    fn zero_is_off() {
        assert!(Limiter::<u8>::new("it", Rate::OFF).is_none());
    }

    #[test]
    fn keys_are_counted_apart_and_the_excess_is_told_when_to_return() {
        let limiter = Limiter::new("it", Rate::new(3, 1)).unwrap();
        for _ in 0..3 {
            limiter.check(&1).unwrap();
        }
        assert_eq!(limiter.check(&1).unwrap_err().code(), "rate.limited");
        assert_eq!(limiter.check(&2).unwrap().remaining(), 2);
    }

    #[test]
    fn a_rate_of_sixty_a_minute_admits_sixty_in_a_minute() {
        let limiter = Limiter::new("it", Rate::new(60, 60)).unwrap();
        for left in (0..60).rev() {
            assert_eq!(limiter.check(&1).unwrap().remaining(), left);
        }
        let refused = limiter.check(&1).unwrap_err().into_response();
        assert_eq!(refused.headers()["retry-after"], "1", "one comes back each second");
    }

    #[test]
    fn headers_say_how_many_of_how_many_are_left_and_when_all_are_back() {
        let mut headers = HeaderMap::new();
        Standing::new("it", Rate::new(30, 60), 29, Duration::from_millis(41_200)).write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"it\";q=30;w=60");
        assert_eq!(headers["ratelimit"], "\"it\";r=29;t=42");
        Standing::after("it", Rate::new(30, 60), 15).write(&mut headers);
        assert_eq!(headers["ratelimit"], "\"it\";r=15;t=30");
        Standing::after("it", Rate::new(2_000, 1), 1_999).write(&mut headers);
        assert_eq!(headers["ratelimit"], "\"it\";r=1999;t=1");
    }

    #[test]
    fn memory_is_bounded_by_the_keys_of_a_span() {
        let limiter = Limiter::new("it", Rate::new(1_000_000, 1)).unwrap();
        for key in 0..100_000_u32 {
            limiter.check(&key).unwrap();
        }
        assert!(limiter.cells.len() < 20_000, "{}", limiter.cells.len());
    }
}
