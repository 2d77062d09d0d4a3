//! Signing in with providers, and setting them up.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Api, Needs, Row};

/// A provider, and a link, that are not there.
const THING: u128 = 0x7e;

pub(super) fn rows() -> Vec<Row> {
    let row = |method, template: &'static str, body: Value, needs| Row {
        api: Api::Commands,
        method,
        template,
        path: template.replace("{id}", &Uuid::from_u128(THING).to_string()),
        body: (!body.is_null()).then_some(body),
        needs,
        names_a_thing: template.ends_with("{id}"),
    };
    let open = |path: &str, it: Row| Row { path: path.to_owned(), ..it };
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let begin = format!(
        "/v1/auth/corp?tenant_slug=nowhere&redirect_uri=https://a.example/&code_challenge={challenge}"
    );
    let callback = format!("/v1/auth/{}/callback", Uuid::from_u128(THING));
    let link =
        json!({ "provider": "corp", "redirect_uri": "https://a.example/", "code_challenge": challenge });
    let provider = json!({
        "name": "corp", "title": "The company", "kind": "google", "client_id": "quipu", "return_uris": ["https://a.example/"],
    });
    let handover = json!({ "code": "nothing", "verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" });
    let manages = Needs::Permission("federation.manage-providers");
    let links = "/v1/auth/links/external";
    vec![
        open(
            "/v1/auth/providers?tenant_slug=nowhere",
            row(Method::GET, "/v1/auth/providers", Value::Null, Needs::Open),
        ),
        open(&begin, row(Method::GET, "/v1/auth/{provider}", Value::Null, Needs::Open)),
        open(&callback, row(Method::GET, "/v1/auth/{provider}/callback", Value::Null, Needs::Open)),
        row(Method::POST, "/v1/auth/handover", handover, Needs::Open),
        row(Method::GET, links, Value::Null, Needs::About("identity.read-users")),
        row(Method::POST, links, link, Needs::InPerson),
        row(Method::DELETE, "/v1/auth/links/external/{id}", Value::Null, Needs::InPerson),
        open(
            "/v1/provider-tokens/corp",
            row(
                Method::GET,
                "/v1/provider-tokens/{provider}",
                Value::Null,
                Needs::Permission("federation.read-provider-token"),
            ),
        ),
        row(Method::GET, "/v1/providers", Value::Null, Needs::Permission("federation.read-providers")),
        row(Method::POST, "/v1/providers", provider.clone(), manages),
        row(Method::PUT, "/v1/providers/{id}", provider, manages),
        row(Method::POST, "/v1/providers/{id}/check", Value::Null, manages),
        row(Method::DELETE, "/v1/providers/{id}", Value::Null, manages),
    ]
}
