//! What is shipped: containers as they are described, and dependencies against the advisories.

use std::path::{Path, PathBuf};

use rustsec::{Database, Lockfile, report};
use serde_yaml_ng::Value;

type Test = anyhow::Result<()>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

#[test]
fn the_compose_file_is_safe_and_whole() -> Test {
    let text = std::fs::read_to_string(root().join("compose.yaml"))?;
    let mut compose: Value = serde_yaml_ng::from_str(&text)?;
    // What is merged in may itself merge.
    compose.apply_merge()?;
    compose.apply_merge()?;
    let services = compose["services"].as_mapping().expect("services");
    for expected in ["postgres", "nats", "migrate", "command-api", "projector", "query-api"] {
        assert!(services.contains_key(expected), "{expected} is there");
    }
    for (name, service) in services {
        let name = name.as_str().unwrap_or_default();
        let image = service["image"].as_str().unwrap_or_default();
        assert!(!image.ends_with(":latest"), "{name}: a pinned tag");
        assert!(image.is_empty() || image.contains(':'), "{name}: a pinned tag");
        for port in service["ports"].as_sequence().into_iter().flatten() {
            let port = port.as_str().unwrap_or_default();
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port} is on loopback");
        }
        let runs_once = service["restart"].as_str() == Some("no") || name == "migrate" || name == "secrets";
        assert!(runs_once || service["healthcheck"].is_mapping(), "{name}: a health check");
        if !["postgres", "nats"].contains(&name) {
            assert_eq!(service["read_only"].as_bool(), Some(true), "{name}: a read-only root");
            assert_eq!(service["cap_drop"][0].as_str(), Some("ALL"), "{name}: no capabilities");
        }
        for (variable, value) in service["environment"].as_mapping().into_iter().flatten() {
            let (variable, value) =
                (variable.as_str().unwrap_or_default(), value.as_str().unwrap_or_default());
            assert!(
                !variable.ends_with("PASSWORD") || value.is_empty(),
                "{name}: {variable} is no secret here"
            );
        }
    }
    let volumes = compose["services"]["postgres"]["volumes"].as_sequence().expect("a volume");
    assert!(
        volumes.iter().filter_map(Value::as_str).any(|it| it.ends_with(":/var/lib/postgresql")),
        "PostgreSQL 18 keeps its data below /var/lib/postgresql"
    );
    Ok(())
}

#[test]
fn the_image_is_small_and_not_root() -> Test {
    let text = std::fs::read_to_string(root().join("Dockerfile"))?;
    let stages: Vec<&str> = text.lines().filter(|it| it.starts_with("FROM ")).collect();
    assert!(stages.len() >= 2, "a stage that builds and one that runs");
    let last = stages.last().copied().unwrap_or_default();
    assert!(last.contains("distroless") || last.contains("scratch"), "{last}");
    let user = text.lines().rfind(|it| it.starts_with("USER "));
    assert!(last.contains("nonroot") || user.is_some_and(|it| it != "USER root" && it != "USER 0"));
    assert!(!text.lines().any(|it| it.starts_with("ENV") && it.contains("PASSWORD")));
    Ok(())
}

#[test]
fn no_dependency_has_a_known_vulnerability() -> Test {
    let Ok(folder) = std::env::var("QUIPU_ADVISORY_DB") else { return Ok(()) };
    let database = Database::open(Path::new(&folder))?;
    let lockfile = Lockfile::load(root().join("Cargo.lock"))?;
    let report = report::Report::generate(&database, &lockfile, &report::Settings::default());
    let found: Vec<String> = report
        .vulnerabilities
        .list
        .iter()
        .map(|it| format!("{} {}: {}", it.package.name, it.package.version, it.advisory.id))
        .collect();
    assert_eq!(found, Vec::<String>::new());
    Ok(())
}
