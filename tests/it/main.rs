//! Every whole-system test, in one binary: each on a database of its own, in any order, without sleeping.

mod commands;
mod executor;
mod fan_out;
mod log;
mod measure;
mod projections;
mod supply;
mod tidy;
