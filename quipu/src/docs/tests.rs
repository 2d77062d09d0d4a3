use std::collections::BTreeSet;

use serde_json::json;
use service_kit::access::permissions;

use super::*;

#[test]
fn tables_stay_tables() {
    assert_eq!(head(["a", "b"]), "| a | b |\n| --- | --- |\n");
    assert_eq!(row(["x|y"]), "| x\\|y |\n");
}

#[test]
fn a_permission_is_found_over_the_end_of_a_line() {
    let operation = json!({ "description": "Does it. Permission:\n`ledger.open-account`, and more." });
    assert_eq!(super::permissions::permission_of(&operation).as_deref(), Some("ledger.open-account"));
    assert_eq!(super::permissions::permission_of(&json!({})), None);
}

#[test]
fn a_permission_that_an_operation_names_exists() {
    for (api, document) in openapi::all().unwrap() {
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                // What is open, or about the caller alone, names none; the access matrix has a list of these.
                let Some(permission) = super::permissions::permission_of(operation) else { continue };
                assert!(
                    permissions::find(&permission).is_some(),
                    "{api}: {method} {path} names {permission:?}"
                );
            }
        }
    }
}

#[test]
fn codes_have_one_place_each() {
    let page = errors::page();
    let codes: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).collect();
    let once: BTreeSet<_> = codes.iter().map(|(code, _)| *code).collect();
    assert_eq!(once.len(), codes.len());
    assert!(
        once.contains("batch.not-applied") && once.contains("rate.limited") && once.contains("text.empty")
    );
}
