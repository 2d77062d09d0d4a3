//! The contract of everything ever written: names, versions, upcasters, envelope, subjects, schemas and samples.
//!
//! **Invariant:** what is here is append-only. A stored event is read by today's build for ever.

pub mod catalog;
pub mod codec;
pub mod compatibility;
pub mod document;
pub mod envelope;
pub mod history;
pub mod upcast;
pub mod wire;

pub use codec::{DecodeError, EncodeError, Encoded, decode, encode};
