//! The gate of released contracts: a schema gives way only to a compatible one, and released files stay.
//!
//! There are two baselines. The files in the tree, which a change of a type must be compatible with; and an earlier
//! commit, since files can be edited and deleted with the code.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use event_schemas::catalog::EVENTS;
use event_schemas::compatibility::breaks;
use event_schemas::{document, upcast};
use serde_json::Value;

/// What is wrong, in sentences.
pub(super) type Faults = Vec<String>;

/// Compares the types with the released schemas in a folder.
pub(super) fn against_files(schemas: &Path) -> anyhow::Result<Faults> {
    let mut faults = Vec::new();
    for event in EVENTS {
        let path = schemas.join(document::file_name(event.name, upcast::current(event.name)));
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                faults.extend(incompatible(&path.display().to_string(), &text, &document::schema(event))?)
            }
            // An event, or a version of it, that is not released yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
    Ok(faults)
}

/// Compares the files in folders with those of an earlier commit: none is missing, samples and the schemas of earlier
/// versions are the same to the letter, and today's schemas are compatible.
pub(super) fn against_commit(
    root: &Path,
    commit: &str,
    schemas: &str,
    samples: &str,
) -> anyhow::Result<Faults> {
    let mut faults = Vec::new();
    let current: BTreeMap<String, Value> = EVENTS
        .iter()
        .map(|it| (document::file_name(it.name, upcast::current(it.name)), document::schema(it)))
        .collect();
    for path in git(root, &["ls-tree", "-r", "--name-only", commit, "--", schemas, samples])?.lines() {
        let before = git(root, &["show", &format!("{commit}:{path}")])?;
        let Ok(now) = std::fs::read_to_string(root.join(path)) else {
            faults.push(format!(
                "{path}: it was released and is gone. Events of this shape are stored: bring it back."
            ));
            continue;
        };
        if before == now && !path.starts_with(schemas) {
            continue;
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        match current.get(name).filter(|_| path.starts_with(schemas)) {
            Some(schema) => faults.extend(incompatible(path, &before, schema)?),
            None if before != now => faults.push(format!(
                "{path}: it was released and has been edited. It stands for what is stored: restore it, and add a \
                 version or a further sample instead."
            )),
            None => {}
        }
    }
    Ok(faults)
}

fn incompatible(path: &str, released: &str, new: &Value) -> anyhow::Result<Faults> {
    let released: Value = serde_json::from_str(released).with_context(|| path.to_owned())?;
    Ok(breaks(&released, new).into_iter().map(|it| it.sentence).collect())
}

/// Fails with every sentence.
pub(super) fn refuse(mut faults: Faults) -> anyhow::Result<()> {
    faults.sort();
    faults.dedup();
    match faults.len() {
        0 => Ok(()),
        count => bail!("{count} released contracts would break:\n  {}", faults.join("\n  ")),
    }
}

fn git(root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output =
        Command::new("git").args(arguments).current_dir(root).output().context("git cannot be started")?;
    ensure!(
        output.status.success(),
        "git {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(String::from_utf8(output.stdout)?)
}
