//! The command line of Quipu: a whole stack in one command, tenants, tokens and demo data.
//!
//! `main.rs` parses and dispatches; each command is a module here.

pub mod admin;
pub mod console;
pub mod container;
pub mod demo;
pub mod docs;
pub mod epoch;
pub mod stack;
pub mod tenant;
pub mod token;
pub mod up;
