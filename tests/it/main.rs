//! Every whole-system test, in one binary: each on a database of its own, in any order, without sleeping.

mod commands;
mod executor;
mod log;
mod measure;
mod supply;
mod tidy;
