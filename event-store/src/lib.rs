//! The log in PostgreSQL and the executor that writes it. Knows no aggregate by name.
//!
//! **Invariant:** positions are dense and in commit order; an append is a batch of units, each of which lands whole or
//! not at all; every outcome is judged on states that held in the committing transaction.
//!
//! | what | round trips | where |
//! |---|---|---|
//! | a batch whose streams are known | 1 | [`executor`] |
//! | a stream that is not known | +1 a batch | [`executor`] |
//! | another process interfered | +5 a batch | [`executor`], under the head lock |
//! | reading the log | 1 a page | [`log`] |
//! | who may act, where nothing is appended | 0 | [`access`] |

pub mod access;
pub mod connect;
pub mod epoch;
pub mod erasure_journal;
pub mod executor;
pub mod idempotency;
pub mod keyring;
pub mod leaf;
pub mod log;
pub mod migrate;
pub mod recorded;
pub mod stream_ref;
pub mod trace;
pub mod unit;
pub mod vault;

pub use executor::{Executor, ExecutorMetrics, ExecutorOptions, SubmitError};
pub use idempotency::IdempotencyKey;
pub use keyring::MasterKey;
pub use migrate::migrate;
pub use recorded::Recorded;
pub use stream_ref::StreamRef;
pub use unit::{Cause, Done, Linkage, Receipt, Unit};
