//! Every whole-system test, in one binary: each on a database of its own, in any order, without sleeping.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at an answer of another shape"
)]

mod abuse;
mod audit;
mod cli;
mod commands;
mod contracts;
mod demo;
mod executor;
mod fan_out;
mod guards;
mod identity;
mod log;
mod matrix;
mod measure;
mod openapi;
mod operations;
mod projections;
mod queries;
mod rebuild;
mod restore;
mod supply;
mod tidy;
mod upgrade;
mod versions;
mod walls;
