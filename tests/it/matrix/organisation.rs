//! Members and roles.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Api, Needs, PERSON, Row, filled};

/// A role that is not there.
const ROLE: u128 = 0x7e;

pub(super) fn rows() -> Vec<Row> {
    let read = |template: &'static str, needs| Row {
        api: Api::Queries,
        method: Method::GET,
        template,
        path: filled(template),
        body: None,
        needs,
        names_a_thing: template.contains('{'),
    };
    let command = |method, template: &'static str, body: Value, permission| {
        let thing = if template.contains("/roles/{id}") { ROLE } else { PERSON };
        Row {
            api: Api::Commands,
            method,
            path: template.replace("{id}", &Uuid::from_u128(thing).to_string()),
            body: (!body.is_null()).then_some(body),
            ..read(template, Needs::Permission(permission))
        }
    };
    let role = json!({ "name": "Cashier", "permissions": ["ledger.read-accounts"] });
    let nobody = json!({ "to": Uuid::from_u128(0xdead) });
    vec![
        read("/v1/members", Needs::Permission("organisation.read-members")),
        read("/v1/members/{user_id}", Needs::Permission("organisation.read-members")),
        read("/v1/roles", Needs::Permission("organisation.read-roles")),
        read("/v1/permissions", Needs::Own),
        command(
            Method::PUT,
            "/v1/members/{id}/roles",
            json!({ "roles": ["user"] }),
            "organisation.assign-roles",
        ),
        command(Method::DELETE, "/v1/members/{id}", Value::Null, "organisation.remove-member"),
        command(
            Method::POST,
            "/v1/organization/transfer-ownership",
            nobody,
            "organisation.transfer-ownership",
        ),
        command(Method::POST, "/v1/roles", role.clone(), "organisation.define-role"),
        command(Method::PUT, "/v1/roles/{id}", role, "organisation.define-role"),
        command(Method::DELETE, "/v1/roles/{id}", Value::Null, "organisation.delete-role"),
    ]
}
