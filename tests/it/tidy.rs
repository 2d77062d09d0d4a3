//! The shape of the repository: who may depend on whom, what files are called, how long they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

type Test = anyhow::Result<()>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The table of ARCHITECTURE.md: each crate and the crates of ours that it may use.
const EDGES: &[(&str, &[&str])] = &[
    ("sabotage", &[]),
    ("domain", &[]),
    ("event-schemas", &["domain"]),
    ("event-store", &["domain", "event-schemas", "sabotage"]),
    ("read-models", &["domain", "event-schemas", "event-store", "sabotage"]),
    ("service-kit", &["domain", "sabotage"]),
    ("rpc", &[]),
    ("command-api", &["domain", "event-schemas", "event-store", "rpc", "sabotage", "service-kit"]),
    ("projector", &["domain", "event-schemas", "event-store", "read-models", "sabotage", "service-kit"]),
    ("query-api", &["domain", "event-schemas", "event-store", "read-models", "sabotage", "service-kit"]),
];

/// What the rules may use from elsewhere: nothing that reaches the world.
const DOMAIN_USES: &[&str] =
    &["chrono", "iso_currency", "rust_decimal", "schemars", "serde", "thiserror", "uuid"];

fn dependencies() -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().expect("packages");
    Ok(packages
        .iter()
        .map(|package| {
            let uses = package["dependencies"].as_array().expect("dependencies").iter();
            let uses = uses.filter(|it| it["kind"].is_null()).filter_map(|it| it["name"].as_str());
            (package["name"].as_str().unwrap_or_default().to_owned(), uses.map(ToOwned::to_owned).collect())
        })
        .collect())
}

#[test]
fn crates_depend_on_each_other_as_the_architecture_says() -> Test {
    let dependencies = dependencies()?;
    let ours: BTreeSet<&str> = dependencies.keys().map(String::as_str).collect();
    for (name, allowed) in EDGES {
        let uses: BTreeSet<&str> =
            dependencies[*name].iter().map(String::as_str).filter(|it| ours.contains(it)).collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert_eq!(uses, allowed, "{name}");
    }
    let domain: BTreeSet<&str> = dependencies["domain"].iter().map(String::as_str).collect();
    assert_eq!(domain, DOMAIN_USES.iter().copied().collect(), "the rules reach nothing");
    Ok(())
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> Test {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            sources(&path, found)?;
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[test]
fn files_have_names_that_say_something_and_an_end() -> Test {
    let mut found = Vec::new();
    sources(&root(), &mut found)?;
    let mut faults = Vec::new();
    for path in found {
        let text = std::fs::read_to_string(&path)?;
        let shown = path.strip_prefix(root())?.display().to_string();
        let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
        if ["mod.rs", "utils.rs", "util.rs", "helpers.rs", "common.rs", "misc.rs", "types.rs"].contains(&name)
        {
            faults.push(format!("{shown}: the name says nothing"));
        }
        if !text.starts_with("//!") && name != "tests.rs" {
            faults.push(format!("{shown}: it does not say what it owns"));
        }
        let is_test = shown.contains("tests") || name == "model.rs";
        if !is_test && text.lines().count() > 600 {
            faults.push(format!("{shown}: over 600 lines"));
        }
        if !shown.contains("tidy.rs") && (text.contains("TODO") || text.contains("FIXME")) {
            faults.push(format!("{shown}: unfinished"));
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    Ok(())
}

#[test]
fn contexts_of_the_domain_do_not_reach_into_each_other() -> Test {
    let contexts = ["application", "audit", "federation", "identity", "ledger", "organisation", "platform"];
    let mut faults = Vec::new();
    for context in contexts {
        let mut found = vec![root().join(format!("domain/src/{context}.rs"))];
        sources(&root().join(format!("domain/src/{context}")), &mut found)?;
        for path in found {
            let text = std::fs::read_to_string(&path)?;
            for other in contexts.iter().filter(|it| **it != context) {
                if text.contains(&format!("crate::{other}")) {
                    faults.push(format!("{} uses {other}", path.display()));
                }
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_tenant_setting_never_outlives_its_transaction() -> Test {
    let mut found = Vec::new();
    sources(&root(), &mut found)?;
    for path in found.iter().filter(|it| !it.to_string_lossy().contains("/tests/")) {
        let text = std::fs::read_to_string(path)?.to_lowercase();
        assert!(!text.contains("set app.tenants"), "{}: set_config(.., true) only", path.display());
    }
    Ok(())
}

/// Names of tests are sentences: four words and more.
const WORDS_OF_A_TEST_MIN: usize = 4;

#[test]
fn what_the_documents_name_is_there() -> Test {
    let mut found = Vec::new();
    sources(&root(), &mut found)?;
    let mut code = String::new();
    for path in &found {
        code.push_str(&std::fs::read_to_string(path)?);
    }
    let there: BTreeSet<&str> = code
        .split("fn ")
        .skip(1)
        .filter_map(|it| it.split(|it: char| !it.is_alphanumeric() && it != '_').next())
        .collect();
    let mut faults = Vec::new();
    for document in ["docs/asvs.md", "docs/requirements.md"] {
        let text = std::fs::read_to_string(root().join(document))?;
        for named in text.split('`').skip(1).step_by(2) {
            let is_path =
                named.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || "_:".contains(it));
            let name = named.rsplit("::").next().unwrap_or_default();
            if is_path && name.split('_').count() >= WORDS_OF_A_TEST_MIN && !there.contains(name) {
                faults.push(format!("{document}: {named}"));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    Ok(())
}
