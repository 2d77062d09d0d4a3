//! Commands of the ledger.

use reqwest::Method;
use serde_json::{Value, json};
use tests::books::{id, transfer};
use uuid::Uuid;

use super::{Api, HOLD, Needs, Row};

pub(super) fn rows() -> Vec<Row> {
    let command = |template: &'static str, body: Value, permission| {
        let thing = if template.contains("/accounts/") { id(1) } else { Uuid::from_u128(HOLD).to_string() };
        Row {
            api: Api::Commands,
            method: Method::POST,
            template,
            path: template.replace("{id}", &thing),
            body: Some(body),
            needs: Needs::Permission(permission),
            names_a_thing: template.contains('{'),
        }
    };
    let transfer = transfer(0, 1, "1.00");
    let account = json!({ "name": "x", "currency": "EUR" });
    vec![
        command("/v1/ledger/accounts", account, "ledger.open-account"),
        command("/v1/ledger/accounts/{id}/freeze", json!({ "side": "both" }), "ledger.freeze-account"),
        command("/v1/ledger/accounts/{id}/unfreeze", json!({}), "ledger.unfreeze-account"),
        command("/v1/ledger/accounts/{id}/close", json!({}), "ledger.close-account"),
        command("/v1/ledger/transfers", transfer.clone(), "ledger.post-transfer"),
        command("/v1/ledger/transfers/{id}/post", json!({}), "ledger.post-hold"),
        command("/v1/ledger/transfers/{id}/void", json!({}), "ledger.void-hold"),
        command("/v1/ledger/transfers/{id}/reverse", json!({}), "ledger.reverse-transfer"),
        command("/v1/ledger/batches", json!({ "items": [{ "transfer": transfer }] }), "ledger.post-transfer"),
        command(
            "/v1/ledger/periods/close",
            json!({ "through": "2020-01-01T00:00:00Z" }),
            "ledger.close-period",
        ),
    ]
}
