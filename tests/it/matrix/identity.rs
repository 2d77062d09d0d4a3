//! Persons, their sessions, and signing in.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Api, Needs, PERSON, Row, filled};

/// A session that is not there.
const SESSION: u128 = 0x7f;

pub(super) fn rows() -> Vec<Row> {
    let read = |template: &'static str, needs| Row {
        api: Api::Queries,
        method: Method::GET,
        template,
        path: filled(template),
        body: None,
        needs,
        // A list of what belongs to nobody is empty.
        names_a_thing: template.ends_with('}'),
    };
    let command = |method, template: &'static str, body: Value, needs| {
        let thing = if template.contains("/users/") { PERSON } else { SESSION };
        Row {
            api: Api::Commands,
            method,
            path: template.replace("{id}", &Uuid::from_u128(thing).to_string()),
            body: (!body.is_null()).then_some(body),
            names_a_thing: template.contains("{id}"),
            ..read(template, needs)
        }
    };
    let credentials =
        json!({ "tenant_slug": "nowhere", "email": "ada@example.com", "password": "no secret of hers" });
    let address = json!({ "tenant_slug": "nowhere", "email": "ada@example.com" });
    let shown = json!({ "password": "no secret of theirs" });
    // Whoever comes is not to end the own session: it is looked at again.
    let others = Row {
        path: "/v1/auth/sessions?keep=current".to_owned(),
        ..command(Method::DELETE, "/v1/auth/sessions", Value::Null, Needs::InPerson)
    };
    vec![
        read("/v1/auth/me", Needs::Own),
        read("/v1/auth/sessions", Needs::About("identity.read-sessions")),
        read("/v1/users", Needs::Permission("identity.read-users")),
        read("/v1/users/{user_id}", Needs::Permission("identity.read-users")),
        read("/v1/users/{user_id}/sessions", Needs::Permission("identity.read-sessions")),
        command(Method::POST, "/v1/auth/register", credentials.clone(), Needs::Open),
        command(Method::POST, "/v1/auth/login", credentials, Needs::Open),
        command(Method::POST, "/v1/auth/refresh", json!({ "refresh_token": "nothing" }), Needs::Open),
        // Whoever comes is looked at again, so it is not their own session that ends.
        command(Method::POST, "/v1/auth/logout", json!({ "refresh_token": "nothing" }), Needs::Open),
        command(Method::POST, "/v1/auth/step-up", shown, Needs::InPerson),
        Row { api: Api::Commands, ..read("/v1/auth/organizations", Needs::InPerson) },
        command(Method::POST, "/v1/auth/links/identities", address.clone(), Needs::InPerson),
        command(
            Method::POST,
            "/v1/auth/links/identities/confirm",
            json!({ "code": "nothing" }),
            Needs::InPerson,
        ),
        command(Method::DELETE, "/v1/auth/links/identities/{id}", Value::Null, Needs::InPerson),
        command(Method::POST, "/v1/auth/switch", json!({ "tenant_slug": "nowhere" }), Needs::InPerson),
        command(Method::DELETE, "/v1/auth/sessions/{id}", Value::Null, Needs::InPerson),
        command(Method::POST, "/v1/auth/verify-email", json!({ "token": "nothing" }), Needs::Open),
        command(Method::POST, "/v1/auth/verify-email/resend", address.clone(), Needs::Open),
        command(Method::POST, "/v1/auth/password/forgot", address, Needs::Open),
        command(
            Method::POST,
            "/v1/auth/password/reset",
            json!({ "token": "nothing", "new_password": "jade-umpire-quartz-lagoon" }),
            Needs::Open,
        ),
        command(
            Method::POST,
            "/v1/auth/password/change",
            json!({ "current": "no secret of theirs", "new": "jade-umpire-quartz-lagoon" }),
            Needs::InPerson,
        ),
        command(
            Method::POST,
            "/v1/users/{id}/unlock",
            Value::Null,
            Needs::Permission("identity.unlock-user"),
        ),
        others,
        command(
            Method::POST,
            "/v1/users/{id}/deactivate",
            Value::Null,
            Needs::Permission("identity.deactivate-user"),
        ),
        command(
            Method::POST,
            "/v1/users/{id}/reactivate",
            Value::Null,
            Needs::Permission("identity.deactivate-user"),
        ),
        command(
            Method::DELETE,
            "/v1/users/{id}/sessions",
            Value::Null,
            Needs::Permission("identity.end-sessions"),
        ),
    ]
}
