//! Every whole-system test, in one binary: each on a database of its own, in any order, without sleeping.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at an answer of another shape"
)]

mod commands;
mod demo;
mod executor;
mod fan_out;
mod log;
mod measure;
mod openapi;
mod projections;
mod queries;
mod supply;
mod tidy;
mod walls;
