//! Invitations, and what is known of persons.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Api, Needs, PERSON, Row};

/// An invitation that is not there.
const INVITATION: u128 = 0x80;
const INVITE: &str = "organisation.invite-member";

pub(super) fn rows() -> Vec<Row> {
    let command = |method, template: &'static str, body: Value, needs| {
        let thing = if template.contains("/users/") { PERSON } else { INVITATION };
        Row {
            api: Api::Commands,
            method,
            template,
            path: template.replace("{id}", &Uuid::from_u128(thing).to_string()),
            body: (!body.is_null()).then_some(body),
            needs,
            names_a_thing: template.contains("{id}"),
        }
    };
    let permission = Needs::Permission;
    let profile = json!({ "phone": "+43 1 58858-0", "address": null });
    let somebody = json!({ "email": "grace@example.com", "roles": ["user"] });
    vec![
        command(Method::POST, "/v1/invitations", somebody.clone(), permission(INVITE)),
        command(Method::POST, "/v1/invitations/{id}/resend", Value::Null, permission(INVITE)),
        command(Method::POST, "/v1/invitations/{id}/revoke", Value::Null, permission(INVITE)),
        command(
            Method::POST,
            "/v1/invitations/accept",
            json!({ "token": "nothing", "password": "jade-umpire-quartz-lagoon" }),
            Needs::Open,
        ),
        command(Method::POST, "/v1/invitations/decline", json!({ "token": "nothing" }), Needs::Open),
        command(Method::POST, "/v1/users", somebody, permission("identity.create-user")),
        command(Method::PATCH, "/v1/users/{id}", profile.clone(), permission("identity.update-user")),
        command(
            Method::POST,
            "/v1/users/{id}/password-reset",
            Value::Null,
            permission("identity.reset-password"),
        ),
        command(Method::PATCH, "/v1/auth/me", profile, Needs::InPerson),
        command(
            Method::POST,
            "/v1/auth/email/change",
            json!({ "new_email": "grace@example.com", "password": "no secret of theirs" }),
            Needs::InPerson,
        ),
        command(Method::POST, "/v1/auth/email/confirm", json!({ "token": "nothing" }), Needs::Open),
    ]
}
