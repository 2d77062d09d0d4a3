//! What is read of the ledger, of the log and of the audit trail.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Api, EXPORT, Needs, Row, filled};

/// What makes an export of the audit trail.
pub(super) fn export_body(n: u128) -> Value {
    json!({ "id": Uuid::from_u128(n), "format": "ndjson", "filters": { "action": "ledger." } })
}

pub(super) fn rows() -> Vec<Row> {
    let statement = "?from=2020-01-01T00:00:00Z&to=2020-01-01T00:00:01Z";
    let reads = [
        ("/v1/ledger/accounts", "", "ledger.read-accounts"),
        ("/v1/ledger/accounts/{account_id}", "", "ledger.read-accounts"),
        ("/v1/ledger/accounts/{account_id}/balance", "", "ledger.read-accounts"),
        ("/v1/ledger/accounts/{account_id}/entries", "", "ledger.read-accounts"),
        ("/v1/ledger/accounts/{account_id}/statement", statement, "ledger.read-accounts"),
        ("/v1/ledger/accounts/{account_id}/stream", "", "ledger.read-accounts"),
        ("/v1/ledger/transfers", "", "ledger.read-transfers"),
        ("/v1/ledger/transfers/{transfer_id}", "", "ledger.read-transfers"),
        ("/v1/ledger/trial-balance", "", "ledger.read-journal"),
        ("/v1/ledger/journal", "", "ledger.read-journal"),
        ("/v1/events", "", "events.read-events"),
        ("/v1/events/stream", "", "events.read-events"),
        ("/v1/events/{position}", "", "events.read-events"),
        ("/v1/events/{position}/causation", "", "events.read-events"),
        ("/v1/streams/{category}/{stream_id}", "", "events.read-events"),
        ("/v1/streams/{category}/{stream_id}/state", "", "events.read-events"),
        ("/v1/audit", "", "audit.read-trail"),
        ("/v1/audit/{position}", "", "audit.read-trail"),
        ("/v1/audit/exports", "", "audit.read-trail"),
        ("/v1/audit/exports/{export_id}", "", "audit.read-trail"),
        ("/v1/audit/exports/{export_id}/content", "", "audit.export-trail"),
        ("/v1/projections", "", "projections.read-projections"),
    ];
    let read = |(template, rest, permission)| Row {
        api: Api::Queries,
        method: Method::GET,
        template,
        path: filled(template) + rest,
        body: None,
        needs: Needs::Permission(permission),
        names_a_thing: template.contains('{'),
    };
    let export = Row {
        method: Method::POST,
        body: Some(export_body(EXPORT)),
        ..read(("/v1/audit/exports", "", "audit.export-trail"))
    };
    reads.map(read).into_iter().chain([export]).collect()
}
