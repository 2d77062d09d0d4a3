//! The queries of the dashboard and of the alerts, and the metrics that they name.

use std::path::{Path, PathBuf};

use serde_json::Value;

fn ops(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops").join(file)
}

/// Every query of the dashboard, with the title of its panel.
pub(super) fn of_the_dashboard() -> anyhow::Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(ops("grafana/quipu.json"))?;
    let dashboard: Value = serde_json::from_str(&text)?;
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a title").to_owned();
        assert!(panel["description"].as_str().is_some_and(|it| !it.is_empty()), "{title} says what it shows");
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push((title.clone(), target["expr"].as_str().expect("a query").to_owned()));
        }
    }
    Ok(found)
}

/// Every query of the alerts, with the name of its alert.
pub(super) fn of_the_alerts() -> anyhow::Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(ops("prometheus/alerts.yaml"))?;
    let guide = std::fs::read_to_string(ops("../docs/operations.md"))?;
    let rules: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text)?;
    let mut found = Vec::new();
    for group in rules["groups"].as_sequence().expect("groups") {
        for rule in group["rules"].as_sequence().expect("rules") {
            let name = rule["alert"].as_str().expect("a name").to_owned();
            assert!(rule["labels"]["severity"].is_string(), "{name} says how urgent it is");
            assert!(rule["annotations"]["summary"].is_string(), "{name} says what is wrong");
            assert!(guide.contains(&format!("`{name}`")), "docs/operations.md says what to do about {name}");
            found.push((name, rule["expr"].as_str().expect("a query").to_owned()));
        }
    }
    Ok(found)
}

/// Words of the language that stand where a name could.
const WORDS: &[&str] = &["and", "or", "unless", "bool", "offset", "inf"];
/// Words that a list of labels in parentheses follows.
const GROUPING: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];

/// The names of metrics in a query: what is neither a function nor a word of the language, outside of braces, brackets
/// and lists of labels.
pub(super) fn metrics(query: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let closing = match first {
            '{' => Some('}'),
            '[' => Some(']'),
            '"' => Some('"'),
            _ => None,
        };
        if let Some(closing) = closing {
            rest = rest[1..].split_once(closing).expect("what is opened is closed").1;
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|it: char| !it.is_ascii_alphanumeric() && it != '_').unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after.trim_start();
            if GROUPING.contains(&word) {
                rest = rest.split_once(')').expect("a list of labels").1;
            } else if !WORDS.contains(&word) && !rest.starts_with('(') && !follows_grouping(word, rest) {
                names.push(word.to_owned());
            }
        } else if first.is_ascii_digit() {
            rest = rest.trim_start_matches(|it: char| it.is_ascii_alphanumeric() || it == '.');
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    names
}

/// `sum by (le) (..)`: the function's parenthesis comes after the list of labels.
fn follows_grouping(word: &str, rest: &str) -> bool {
    let aggregates = ["sum", "max", "min", "avg", "count"].contains(&word);
    aggregates
        && GROUPING.iter().any(|it| rest.strip_prefix(it).is_some_and(|it| it.trim_start().starts_with('(')))
}

#[test]
fn names_are_found_and_nothing_else() {
    let query =
        "histogram_quantile(0.99, sum by (le, job) (rate(a_seconds_bucket{status=~\"5..\"}[5m]))) > 1e3";
    assert_eq!(metrics(query), ["a_seconds_bucket"]);
    assert_eq!(
        metrics("max by (model) (a) > 0 unless on (model) sum(rate(b_total[5m])) > 0"),
        ["a", "b_total"]
    );
    assert_eq!(metrics("up == 0 or absent(c)"), ["up", "c"]);
}
