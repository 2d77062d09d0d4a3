//! What identity tells its monitoring: how sign-ins and exchanges of refresh tokens came out, and whether somebody fills
//! what waits for others. Counts of this process. No label grows: none names an organisation, a person or an address.

use event_store::vault::Rotation;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use service_kit::problem::Problem;

type By = [(&'static str, &'static str); 1];

/// How a sign-in came out.
const OUTCOMES: [&str; 7] =
    ["signed-in", "second-factor", "refused", "locked", "limited", "overloaded", "failed"];

/// The counters. Clones count together.
#[derive(Debug, Clone)]
pub struct Figures {
    sign_ins: Family<By, Counter>,
    refreshes: Family<By, Counter>,
    evicted: Family<By, Counter>,
    device_codes: Counter,
}

/// What waits for somebody who is on their way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// A service asked for something.
    OfService,
    /// A person is at a provider.
    AtProvider,
    /// A browser is to sign something.
    ToBeSigned,
}

impl Waiting {
    const ALL: [Self; 3] = [Self::OfService, Self::AtProvider, Self::ToBeSigned];

    const fn name(self) -> &'static str {
        match self {
            Self::OfService => "request-of-service",
            Self::AtProvider => "at-provider",
            Self::ToBeSigned => "passkey",
        }
    }
}

impl Default for Figures {
    fn default() -> Self {
        let this = Self {
            sign_ins: Family::default(),
            refreshes: Family::default(),
            evicted: Family::default(),
            device_codes: Counter::default(),
        };
        // They are there from the beginning: what grew from nothing cannot be told from what grew from zero.
        for outcome in OUTCOMES {
            let _begun = this.sign_ins.get_or_create(&[("outcome", outcome)]);
        }
        for outcome in ["rotated", "reused", "invalid"] {
            let _begun = this.refreshes.get_or_create(&[("outcome", outcome)]);
        }
        for what in Waiting::ALL {
            let _begun = this.evicted.get_or_create(&[("place", what.name())]);
        }
        this
    }
}

impl Figures {
    /// Adds them to what the process shows.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "quipu_sign_ins",
            "Sign-ins by how they came out; the first half of one that needs a second is one of its own",
            self.sign_ins.clone(),
        );
        registry.register(
            "quipu_refreshes",
            "Refresh tokens that were shown: exchanged, shown a second time, or good for nothing",
            self.refreshes.clone(),
        );
        registry.register(
            "quipu_waiting_evicted",
            "Rows of people on their way in that went because an organisation had too many of them",
            self.evicted.clone(),
        );
        registry.register("quipu_device_codes", "Codes that devices were given", self.device_codes.clone());
    }

    /// Counts a sign-in, and gives it back.
    pub(super) fn sign_in<T>(&self, outcome: Result<T, Problem>) -> Result<T, Problem> {
        let named = match &outcome {
            Ok(_) => "signed-in",
            Err(problem) => outcome_of(problem),
        };
        self.sign_ins.get_or_create(&[("outcome", named)]).inc();
        outcome
    }

    /// Counts what became of a refresh token.
    pub(super) fn refresh(&self, rotation: &Rotation) {
        let outcome = match rotation {
            Rotation::Rotated { .. } => "rotated",
            Rotation::Reused(_) => "reused",
            Rotation::Invalid => "invalid",
        };
        self.refreshes.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Counts what went for something that waits now, and tells it: somebody fills what waits for others.
    pub(crate) fn made_room(&self, what: Waiting, gone: u64) {
        if gone > 0 {
            tracing::warn!(place = what.name(), gone, "room was made for somebody on their way in");
            self.evicted.get_or_create(&[("place", what.name())]).inc_by(gone);
        }
    }

    /// Counts a code that a device was given.
    pub(crate) fn gave_device_code(&self) {
        self.device_codes.inc();
    }
}

/// How a sign-in came out that did not succeed.
fn outcome_of(problem: &Problem) -> &'static str {
    match problem.code() {
        "identity.second-factor-required" => "second-factor",
        "identity.locked" => "locked",
        "rate.limited" => "limited",
        "overload.hashing" => "overloaded",
        _ if problem.status().is_server_error() => "failed",
        _ => "refused",
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use service_kit::problem::code;

    use super::*;

    #[test]
    fn each_way_a_sign_in_comes_out_is_counted_under_a_name_that_was_there_before() {
        let figures = Figures::default();
        let mut registry = Registry::default();
        figures.register(&mut registry);
        let told = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text
        };
        let before = told().lines().count();
        for problem in [
            Problem::new(&code::INVALID_CREDENTIALS, ""),
            Problem::new(&code::LOCKED, ""),
            Problem::new(&code::RATE_LIMITED, ""),
            Problem::new(&code::HASHING, ""),
            Problem::new(&code::OVERLOADED, ""),
        ] {
            figures.sign_in::<()>(Err(problem)).unwrap_err();
        }
        figures.sign_in(Ok(())).unwrap();
        figures.refresh(&Rotation::Invalid);
        for what in Waiting::ALL {
            figures.made_room(what, 100);
            figures.made_room(what, 0);
        }
        let text = told();
        assert_eq!(text.lines().count(), before, "{text}");
        for outcome in ["signed-in", "refused", "locked", "limited", "overloaded", "failed"] {
            assert!(text.contains(&format!("quipu_sign_ins_total{{outcome=\"{outcome}\"}} 1\n")), "{text}");
        }
        assert!(text.contains("quipu_sign_ins_total{outcome=\"second-factor\"} 0\n"), "{text}");
        assert!(text.contains("quipu_refreshes_total{outcome=\"invalid\"} 1\n"), "{text}");
        assert_eq!(text.matches("} 100\n").count(), 3, "{text}");
    }
}
