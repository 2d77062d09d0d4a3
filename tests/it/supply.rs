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

/// A value of `compose.yaml` as compose reads it: `${NAME:-default}`, where the default may hold more of these.
fn interpolated(text: &str, variables: &[(&str, &str)]) -> String {
    let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
    let mut depth = 1_usize;
    let end = rest.char_indices().find_map(|(at, letter)| {
        depth = match letter {
            '{' => depth + 1,
            '}' => depth - 1,
            _ => depth,
        };
        (depth == 0).then_some(at)
    });
    let (inner, after) = rest.split_at(end.expect("a closing brace"));
    let (name, default) = inner.split_once(":-").unwrap_or((inner, ""));
    let set = variables.iter().find(|(it, value)| *it == name && !value.is_empty());
    let value = set.map_or_else(|| interpolated(default, variables), |(_, value)| (*value).to_owned());
    format!("{before}{value}{}", interpolated(&after[1..], variables))
}

#[test]
fn in_containers_we_are_one_issuer_and_know_who_was_erased() -> Test {
    let mut compose: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(root().join("compose.yaml"))?)?;
    compose.apply_merge()?;
    compose.apply_merge()?;
    let public = "https://id.example.org";
    for name in ["command-api", "query-api", "projector"] {
        let service = &compose["services"][name];
        let said = |variable: &str| service["environment"][variable].as_str().unwrap_or_default();
        // OpenID Connect Discovery 1.0, section 4.3: whoever asked at an address believes what names that address.
        for (variables, issuer, address) in [
            (&[] as &[(&str, &str)], "http://localhost:8080", "http://localhost:8080"),
            (&[("QUIPU_PUBLIC_URL", public)], public, public),
            (&[("QUIPU_TOKEN_ISSUER", "quipu"), ("QUIPU_PUBLIC_URL", public)], "quipu", public),
        ] {
            assert_eq!(interpolated(said("QUIPU_TOKEN_ISSUER"), variables), issuer, "{name}");
            assert_eq!(interpolated(said("QUIPU_PUBLIC_URL"), variables), address, "{name}");
        }
        // The journal is there, is no part of the database's volume, and no service changes it.
        let journal = Path::new(said("QUIPU_ERASURE_JOURNAL"));
        let folder = journal.parent().and_then(Path::to_str).filter(|it| !it.is_empty()).expect("a folder");
        let volumes = service["volumes"].as_sequence().expect("volumes").iter().filter_map(Value::as_str);
        let mounted: Vec<&str> = volumes.filter(|it| it.contains(&format!(":{folder}:"))).collect();
        assert_eq!(mounted, [format!("./erasures:{folder}:ro")], "{name}");
    }
    let services = compose["services"].as_mapping().expect("services");
    let touched = services.iter().filter(|(_, it)| {
        let mut volumes = it["volumes"].as_sequence().into_iter().flatten().filter_map(Value::as_str);
        volumes.any(|it| it.starts_with("./erasures"))
    });
    assert_eq!(touched.count(), 3, "nobody else sees it");
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
