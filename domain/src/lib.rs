//! The rules of the business and nothing else: what may happen, what then is true, and why something is refused.
//!
//! **Invariant:** no input or output, no clock, no randomness. Time, identifiers and secrets enter with the command,
//! so every decision can be repeated from the log and gives the same answer.

pub mod aggregate;
pub mod allowance;
pub mod application;
pub mod audit;
pub mod batch;
pub mod codes;
pub mod day;
pub mod decision;
pub mod email;
pub mod enrolling;
pub mod error;
pub mod event;
pub mod federation;
pub mod followed;
pub mod gate;
pub mod identity;
pub mod ids;
pub mod joining;
pub mod leaving;
pub mod ledger;
pub mod lending;
pub mod linking;
pub mod metadata;
pub mod money;
pub mod organisation;
pub mod outranking;
pub mod platform;
pub mod private;
pub mod question;
pub mod sign_in;
pub mod stream;
pub mod switching;
pub mod unproven;
pub mod words;

#[cfg(any(test, feature = "testkit"))]
pub mod spec;

#[cfg(test)]
mod sample;

pub use aggregate::Aggregate;
pub use decision::{Claim, Decision, Outcome, StateSource, Verdict, View};
pub use error::{CodeDoc, DomainError, ErrorKind, Refusal};
pub use event::Event;
pub use question::Question;
pub use stream::{Category, StreamId};
