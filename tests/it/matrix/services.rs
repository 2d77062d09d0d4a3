//! Services of the organisation, what persons allow them, and the endpoints of OAuth at which they show who they are themselves.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Api, Needs, Row};

/// A service, and a secret of it, that are not there.
const THING: u128 = 0x80;

pub(super) fn rows() -> Vec<Row> {
    let row = |method, template: &'static str, body: Value, needs| Row {
        api: Api::Commands,
        method,
        template,
        path: template
            .replace("{id}", &Uuid::from_u128(THING).to_string())
            .replace("{secret_id}", &Uuid::from_u128(THING).to_string())
            .replace("{user_id}", &Uuid::from_u128(THING).to_string())
            .replace("{service_id}", &Uuid::from_u128(THING).to_string()),
        body: (!body.is_null()).then_some(body),
        needs,
        names_a_thing: template.contains("id}"),
    };
    let manages = Needs::Permission("application.manage-services");
    let service = json!({ "name": "Till", "confidential": true, "grants": ["client-credentials"] });
    // Who asks is shown in the form, or by what the browser keeps; a token of ours says nothing here.
    let open = |method, path| row(method, path, Value::Null, Needs::Open);
    let read = |template, needs| Row {
        api: Api::Queries,
        names_a_thing: false,
        ..row(Method::GET, template, Value::Null, needs)
    };
    let ends = Needs::Permission("identity.end-sessions");
    vec![
        read("/v1/auth/consents", Needs::About("identity.read-sessions")),
        read("/v1/users/{user_id}/consents", Needs::Permission("identity.read-sessions")),
        row(Method::DELETE, "/v1/auth/consents/{service_id}", Value::Null, Needs::InPerson),
        row(Method::DELETE, "/v1/users/{id}/consents/{service_id}", Value::Null, ends),
        row(Method::POST, "/v1/services", service, manages),
        row(Method::PATCH, "/v1/services/{id}", json!({ "name": "Shop" }), manages),
        row(Method::DELETE, "/v1/services/{id}", Value::Null, manages),
        row(Method::POST, "/v1/services/{id}/suspend", Value::Null, manages),
        row(Method::POST, "/v1/services/{id}/resume", Value::Null, manages),
        row(Method::PUT, "/v1/services/{id}/limits", json!({ "per_second": 5, "burst": 9 }), manages),
        row(Method::DELETE, "/v1/services/{id}/limits", Value::Null, manages),
        row(Method::POST, "/v1/services/{id}/secrets", json!({}), manages),
        row(Method::DELETE, "/v1/services/{id}/secrets/{secret_id}", Value::Null, manages),
        open(Method::GET, "/.well-known/openid-configuration"),
        open(Method::GET, "/.well-known/oauth-authorization-server"),
        open(Method::GET, "/oauth2/authorize"),
        open(Method::POST, "/oauth2/authorize"),
        open(Method::POST, "/oauth2/token"),
        open(Method::POST, "/oauth2/introspect"),
        open(Method::POST, "/oauth2/revoke"),
        open(Method::POST, "/oauth2/device_authorization"),
        open(Method::GET, "/oauth2/logout"),
        open(Method::POST, "/oauth2/logout"),
        row(Method::GET, "/oauth2/userinfo", Value::Null, Needs::Own),
        row(Method::POST, "/oauth2/userinfo", Value::Null, Needs::Own),
    ]
}
