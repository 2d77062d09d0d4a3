//! `context.json`: how to reach the stack that was started here last, and as whom. Mode 0600, since it holds a token.
//!
//! It is written by `up` for the commands that ask the query API, so that nobody has to copy tokens on one's own
//! machine.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::layout::{Layout, write_private};

/// How to reach a stack.
#[derive(Clone, Serialize, Deserialize)]
pub struct Context {
    /// Address of the query API.
    pub query_url: String,
    /// A token of the owner of the demo tenant.
    pub owner_token: String,
}

impl Context {
    /// Reads the file; `None` if nothing was started here.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(layout: &Layout) -> anyhow::Result<Option<Self>> {
        let path = layout.context();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        let damaged = || format!("{} is damaged: `quipu up` writes it anew", path.display());
        serde_json::from_slice(&text).map(Some).with_context(damaged)
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, layout: &Layout) -> anyhow::Result<()> {
        write_private(&layout.context(), &serde_json::to_vec_pretty(self)?)
    }
}
