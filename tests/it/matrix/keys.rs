//! Keys with which programs act, tokens of operators, and staff of the platform who act for somebody.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Api, Needs, Row};

/// A key, a token, a user and an impersonation that are not there.
const THING: u128 = 0x7e;
/// An organisation that is not there.
const ORGANISATION: u128 = 0x70;

pub(super) fn rows() -> Vec<Row> {
    let row = |template: &'static str, body: Value, name| {
        let path = template
            .replace("{id}", &Uuid::from_u128(THING).to_string())
            .replace("{tenant_id}", &Uuid::from_u128(ORGANISATION).to_string());
        Row {
            api: Api::Commands,
            method: Method::POST,
            template,
            path,
            body: (!body.is_null()).then_some(body),
            needs: Needs::Permission(name),
            names_a_thing: ["/v1/api-keys/", "/v1/access-tokens/"].iter().any(|it| template.starts_with(it)),
        }
    };
    let (manages, impersonates) = ("application.manage-api-keys", "platform.impersonate-user");
    let key = json!({ "name": "Nightly", "permissions": ["ledger.read-accounts"] });
    let reason = json!({ "reason": "a test", "ticket": "1", "minutes": 5 });
    vec![
        row("/v1/api-keys", key, manages),
        row("/v1/api-keys/{id}/revoke", Value::Null, manages),
        row("/v1/access-tokens/{id}/revoke", Value::Null, "identity.revoke-access-token"),
        row(
            "/v1/platform/access-tokens/{tenant_id}/{id}/revoke",
            Value::Null,
            "platform.revoke-access-token",
        ),
        row("/v1/platform/users/{tenant_id}/{id}/impersonate", reason, impersonates),
        row("/v1/platform/impersonations/{tenant_id}/{id}/end", Value::Null, impersonates),
    ]
}
