//! What an organisation may have by what it has booked. The platform says it, and what was said is recorded in the
//! organisation's own log, where its commands are judged: so a limit holds at the commit, and is what it was when the tier was
//! set, whatever tiers mean by now.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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

/// A program, and how often it may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The service or the key.
    pub program: Uuid,
    /// How many requests a minute.
    pub per_minute: u32,
}
