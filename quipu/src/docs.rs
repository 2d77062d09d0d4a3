//! `quipu docs`: writes what follows from the code, or says what differs from it.
//!
//! Nothing here is written by hand twice: codes, permissions, events and routes have one place each in the code.

mod asyncapi;
mod contracts;
pub(crate) mod errors;
mod events;
mod openapi;
mod permissions;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use event_schemas::catalog::EVENTS;
use event_schemas::{document, upcast};

use crate::console;

/// Where the schemas of events are.
const SCHEMAS: &str = "event-schemas/schemas";
/// Where one payload of each version of each event is.
const SAMPLES: &str = "event-schemas/samples";

/// Heads every generated page.
const GENERATED: &str = "<!-- Written by `./dev docs`. Change the code instead. -->\n";

/// Options of `quipu docs`.
#[derive(Debug, Clone, Args)]
pub struct DocsArgs {
    /// Write nothing; fail if a document is not what the code says.
    #[arg(long)]
    pub check: bool,
    /// Compare the schemas and samples of events with those of this commit, too: what it released must still be there
    /// and be readable.
    #[arg(long, value_name = "COMMIT")]
    pub since: Option<String>,
}

/// Runs the command, in the root of the repository.
///
/// # Errors
/// If a schema would break the contract of a released one; if a document differs and `check` is set, or cannot be read
/// or written.
pub fn run(args: &DocsArgs) -> anyhow::Result<()> {
    let root = Path::new(".");
    ensure!(root.join(SCHEMAS).is_dir(), "run it in the root of the repository");
    let mut faults = contracts::against_files(&root.join(SCHEMAS))?;
    if let Some(commit) = &args.since {
        faults.extend(contracts::against_commit(root, commit, SCHEMAS, SAMPLES)?);
    }
    contracts::refuse(faults)?;
    let differing: Vec<(PathBuf, String)> = documents(root)?
        .into_iter()
        .map(|(path, text)| (root.join(path), text))
        .filter(|(path, text)| std::fs::read_to_string(path).ok().as_ref() != Some(text))
        .collect();
    if args.check && !differing.is_empty() {
        let names: Vec<_> = differing.iter().map(|(path, _)| path.display().to_string()).collect();
        bail!("not what the code says: {}; run `./dev docs` and commit it", names.join(", "));
    }
    for (path, text) in differing {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        console::note(path.display());
    }
    Ok(())
}

/// Every generated document, by its path.
fn documents(root: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let mut documents = BTreeMap::new();
    for event in EVENTS {
        let name = document::file_name(event.name, upcast::current(event.name));
        documents.insert(Path::new(SCHEMAS).join(name), document::text(document::schema(event))?);
    }
    documents.insert("docs/errors.md".into(), errors::page());
    documents.insert("docs/permissions.md".into(), permissions::page()?);
    documents.insert("docs/events.md".into(), events::page(&root.join(SAMPLES))?);
    let asyncapi = asyncapi::document(&root.join(SCHEMAS), &root.join(SAMPLES))?;
    documents.insert("docs/asyncapi.json".into(), document::text(asyncapi)?);
    for (name, description) in openapi::all()? {
        let path = Path::new("docs/openapi").join(format!("{name}.json"));
        documents.insert(path, document::text(description)?);
    }
    Ok(documents)
}

/// A row of a table in Markdown.
fn row<const N: usize>(cells: [&str; N]) -> String {
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

/// The head of a table in Markdown.
fn head<const N: usize>(names: [&str; N]) -> String {
    row(names) + &row(["---"; N])
}

#[cfg(test)]
mod tests;
