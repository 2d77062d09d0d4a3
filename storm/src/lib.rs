//! Breaks the product on purpose and reconciles what is left with what clients were told.
//!
//! `world` is what runs, `proxy` the links between its parts, `nemesis` what breaks them, `load` the clients of the ledger,
//! `journal` what these asked for and were told, `people` those who sign in, with what they were told. In the end `reconcile`
//! compares, `chronicle` and `history` check the order of things, and `verdict` says what it comes to. `run` is the order of
//! it all.

pub mod chronicle;
pub mod consumer;
pub mod history;
pub mod journal;
pub mod load;
pub mod nemesis;
pub mod people;
pub mod proxy;
pub mod reconcile;
pub mod run;
pub mod verdict;
pub mod world;
