//! What an organisation may have by what it has booked. The platform says it, and what was said is recorded in the
//! organisation's own log, where its commands are judged: so a limit holds at the commit, and is what it was when the tier was
//! set, whatever tiers mean by now.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::application::ServiceLimits;
use crate::decision::View;
use crate::ids::{ServiceId, TenantId};
use crate::organisation::{Standing, standing};
use crate::stream::StreamId;
use crate::words::Word;

/// What an organisation may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Allowance {
    /// What it has booked.
    pub tier: Word,
    /// How many services.
    pub services: u32,
    /// How many API keys.
    pub api_keys: u32,
    /// How many requests a minute each service may make, for itself and for people together.
    pub service_per_minute: u32,
    /// How many requests a minute may be made with each API key.
    pub api_key_per_minute: u32,
}

/// The stream that tells what an organisation may have.
#[must_use]
pub const fn stream(tenant: TenantId) -> StreamId {
    standing::stream(tenant)
}

impl Allowance {
    /// What the organisation that is judged may have, if the platform has said anything.
    #[must_use]
    pub fn of<'a>(view: &'a View<'_>) -> Option<&'a Self> {
        Standing::of(view).allowance.as_ref()
    }
}

/// A program, and how often it may ask by one word of several: whoever asks keeps to all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The service or the key.
    pub program: Uuid,
    /// Whose word it is, as clients are told.
    pub policy: &'static str,
    /// How many requests at once.
    pub most: u32,
    /// In how long they all come back, one by one.
    pub span: Duration,
}

impl Pace {
    /// What the organisation has booked.
    #[must_use]
    pub const fn booked(program: Uuid, per_minute: u32) -> Self {
        Self { program, policy: "tier", most: per_minute, span: Duration::from_secs(60) }
    }

    /// What the organisation has said itself of a service.
    #[must_use]
    pub fn of_service(service: ServiceId, limits: ServiceLimits) -> Self {
        let ServiceLimits { per_second, burst } = limits;
        let span = Duration::from_secs(u64::from(burst)) / per_second.max(1);
        Self { program: service.uuid(), policy: "service", most: burst, span }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Allowance;
    use crate::organisation::SetAllowance;
    use crate::words::Word;

    /// The platform says that an organisation may have so many services, and no key.
    pub(crate) fn booked(services: u32) -> SetAllowance {
        let (tier, service_per_minute, api_key_per_minute) = (Word::of("small"), 60, 60);
        SetAllowance {
            allowance: Allowance { tier, services, api_keys: 0, service_per_minute, api_key_per_minute },
        }
    }
}
