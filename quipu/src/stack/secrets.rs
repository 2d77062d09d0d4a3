//! Passwords of a private stack: made once at random, kept in one file of mode 0600.
//!
//! They are letters and digits only, so that they need no quoting in a URL, in SQL or in a configuration file.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::layout::{Layout, write_private};

/// The roles that services log in as. The migrations make them; nobody can log in until they have a password.
pub const SERVICE_ROLES: [&str; 5] =
    ["quipu_command", "quipu_projector", "quipu_query", "quipu_reactor", "quipu_platform"];

/// The role that owns every table and runs the migrations. It is no superuser.
pub const OWNER_ROLE: &str = "quipu_owner";

/// Every password of a stack.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    /// PostgreSQL's superuser `postgres`.
    pub superuser: String,
    /// The user `quipu` of NATS.
    pub nats: String,
    /// The name by which our NATS server is told from a stranger's.
    pub nats_server_name: String,
    owner: String,
    command: String,
    projector: String,
    query: String,
    reactor: String,
    platform: String,
}

impl Secrets {
    /// Reads the file, or makes it.
    pub fn obtain(layout: &Layout) -> anyhow::Result<Self> {
        let path = layout.secrets();
        if path.exists() {
            return Self::read(layout);
        }
        let secrets = Self {
            superuser: random_word()?,
            nats: random_word()?,
            nats_server_name: format!("quipu-{}", random_word()?.get(..12).unwrap_or_default()),
            owner: random_word()?,
            command: random_word()?,
            projector: random_word()?,
            query: random_word()?,
            reactor: random_word()?,
            platform: random_word()?,
        };
        write_private(&path, &serde_json::to_vec_pretty(&secrets)?)?;
        Ok(secrets)
    }

    /// Reads the file, which must be there.
    pub fn read(layout: &Layout) -> anyhow::Result<Self> {
        let path = layout.secrets();
        let text = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        serde_json::from_slice(&text).with_context(|| {
            format!("{} is damaged: restore it, or give the data up with `quipu reset --yes`", path.display())
        })
    }

    /// The password of a database role; `None` for a role that is not ours.
    pub fn of_role(&self, role: &str) -> Option<&str> {
        Some(match role {
            OWNER_ROLE => &self.owner,
            "quipu_command" => &self.command,
            "quipu_projector" => &self.projector,
            "quipu_query" => &self.query,
            "quipu_reactor" => &self.reactor,
            "quipu_platform" => &self.platform,
            _ => return None,
        })
    }
}

/// 192 random bits from the operating system as 48 letters and digits.
pub(crate) fn random_word() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 24];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .context("the operating system gives no random numbers")?;
    anyhow::ensure!(filled == bytes.len(), "the operating system gives too few random numbers");
    Ok(bytes.iter().fold(String::with_capacity(48), |mut word, byte| {
        let _ = write!(word, "{byte:02x}");
        word
    }))
}
