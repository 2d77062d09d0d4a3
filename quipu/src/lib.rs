//! The command line of Quipu: a whole stack in one command, and the tooling of its history.
//!
//! `main.rs` parses and dispatches; each command is a module here.

pub mod admin;
pub mod audit;
pub mod confirm;
pub mod console;
pub mod container;
pub mod demo;
pub mod docs;
pub mod epoch;
pub mod erase;
pub mod events;
pub mod explain;
pub mod journal;
pub mod keys;
pub mod log_status;
pub mod mail;
pub mod moments;
pub mod operator;
mod progress;
pub mod projection;
pub mod remote;
pub mod replay;
pub mod stack;
pub mod stream;
pub mod table;
pub mod tenant;
pub mod token;
pub mod up;
pub mod user;
