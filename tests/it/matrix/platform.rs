//! The organisation itself, and all organisations for members of the platform. That of the books is not known to the
//! platform, so nothing happens to it.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Api, Needs, Row};

/// An organisation that is not there.
const ORGANISATION: u128 = 0x70;

pub(super) fn rows() -> Vec<Row> {
    let row = |api, method, template: &'static str, body: Value, needs| {
        let thing = Uuid::from_u128(ORGANISATION).to_string();
        Row {
            api,
            method,
            template,
            path: template.replace("{id}", &thing).replace("{organization_id}", &thing),
            body: (!body.is_null()).then_some(body),
            needs,
            // To others than members of the platform the permission is missing, whatever is named.
            names_a_thing: false,
        }
    };
    let read =
        |template, name| row(Api::Queries, Method::GET, template, Value::Null, Needs::Permission(name));
    let command =
        |method, template, body, name| row(Api::Commands, method, template, body, Needs::Permission(name));
    let owner = json!({ "email": "ada@example.com", "password": "jade-umpire-quartz-lagoon" });
    let founding = json!({ "slug": "books-and-more", "name": "Books and more", "owner": owner });
    let open = |template, body| row(Api::Commands, Method::POST, template, body, Needs::Open);
    let because = json!({ "because": "unpaid" });
    let (suspends, approves) = ("platform.suspend-organisation", "platform.approve-organisation");
    vec![
        open("/v1/organizations", founding),
        open("/v1/organizations/confirm", json!({ "token": "nothing" })),
        read("/v1/organization", "organisation.read-organisation"),
        read("/v1/organization/limits", "organisation.read-organisation"),
        read("/v1/organization/policy", "organisation.read-policy"),
        command(
            Method::PATCH,
            "/v1/organization",
            json!({ "name": "Books" }),
            "organisation.update-organisation",
        ),
        command(Method::PUT, "/v1/organization/policy", json!({}), "organisation.set-policy"),
        command(
            Method::POST,
            "/v1/organization/close",
            json!({ "slug": "somebody-elses" }),
            "organisation.close-organisation",
        ),
        read("/v1/platform/organizations", "platform.read-organisations"),
        read("/v1/platform/organizations/{organization_id}", "platform.read-organisations"),
        command(Method::POST, "/v1/platform/organizations/{id}/approve", Value::Null, approves),
        command(
            Method::POST,
            "/v1/platform/organizations/{id}/reject",
            json!({ "reason": "tested" }),
            approves,
        ),
        command(Method::POST, "/v1/platform/organizations/{id}/suspend", because, suspends),
        command(Method::POST, "/v1/platform/organizations/{id}/activate", Value::Null, suspends),
        command(
            Method::PATCH,
            "/v1/platform/organizations/{id}/tier",
            json!({ "tier": "standard" }),
            "platform.set-tier",
        ),
        command(
            Method::PUT,
            "/v1/platform/organizations/{id}/seats",
            json!({ "seats": 250 }),
            "platform.set-tier",
        ),
    ]
}
