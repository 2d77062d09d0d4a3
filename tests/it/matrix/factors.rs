//! Second factors: shown, enrolled, removed.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Api, Needs, PERSON, Row};

pub(super) fn rows() -> Vec<Row> {
    let row = |method, template: &'static str, body: Value, needs| Row {
        api: Api::Commands,
        method,
        template,
        path: template.replace("{id}", &Uuid::from_u128(PERSON).to_string()),
        body: (!body.is_null()).then_some(body),
        needs,
        names_a_thing: template.contains("{id}"),
    };
    let code = json!({ "code": "000000" });
    vec![
        row(
            Method::POST,
            "/v1/auth/second-factor",
            json!({ "ticket": "nothing", "code": "000000" }),
            Needs::Open,
        ),
        row(Method::GET, "/v1/auth/factors", Value::Null, Needs::About("identity.read-users")),
        row(Method::POST, "/v1/auth/totp", Value::Null, Needs::InPerson),
        row(Method::POST, "/v1/auth/totp/confirm", code, Needs::InPerson),
        row(Method::DELETE, "/v1/auth/totp", Value::Null, Needs::InPerson),
        row(Method::POST, "/v1/auth/recovery-codes", Value::Null, Needs::InPerson),
        row(Method::POST, "/v1/auth/passkeys/options", Value::Null, Needs::InPerson),
        row(
            Method::POST,
            "/v1/auth/passkeys",
            json!({ "client_data": "e30", "attestation": "oA" }),
            Needs::InPerson,
        ),
        row(Method::DELETE, "/v1/auth/passkeys/{id}", Value::Null, Needs::InPerson),
        row(
            Method::POST,
            "/v1/auth/passkey-sign-in/options",
            json!({ "tenant_slug": "nowhere" }),
            Needs::Open,
        ),
        row(
            Method::POST,
            "/v1/auth/passkey-sign-in",
            json!({
                "tenant_slug": "nowhere", "id": "AA", "client_data": "e30", "authenticator_data": "AA", "signature": "AA",
            }),
            Needs::Open,
        ),
        row(
            Method::DELETE,
            "/v1/users/{id}/factors",
            Value::Null,
            Needs::Permission("identity.remove-factors"),
        ),
    ]
}
