//! Other names of paths: they do what the real ones do, under the real ones' checks, and nothing can be reached by them that
//! could not be reached without.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::books::Books;
use tests::database::tenant;
use tests::stack::{Answer, Stack, answer};
use uuid::Uuid;

use super::wire::{Wire, address};
use super::{Test, is_decent};

async fn at(stack: &Stack, token: &str, url: &str) -> anyhow::Result<Answer> {
    answer(stack.request(Method::GET, token, url)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_of_a_path_is_the_same_operation() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let [query, command] = [&stack.query_url, &stack.command_url];
    for (real, others) in [
        ("/v1/ledger/accounts?limit=1", ["/api/ledger/accounts?limit=1", "/api/v1/ledger/accounts?limit=1"]),
        ("/v1/auth/me", ["/auth/me", "/api/auth/me"]),
        ("/v1/auth/me", ["/auth/me?", "/api/v1/auth/me"]),
    ] {
        let expected = books.stack.get_at(&books.token, real, &books.position()).await?;
        assert_eq!(expected.status, StatusCode::OK, "{}", expected.text);
        for other in others {
            let shown = at(&stack, &books.token, &format!("{query}{other}")).await?;
            assert_eq!((shown.status, &shown.json), (expected.status, &expected.json), "{other}");
            let refused = at(&stack, "", &format!("{query}{other}")).await?;
            assert_eq!((refused.status.as_u16(), refused.code()), (401, "auth.token-missing"), "{other}");
        }
    }

    // A command under one name and its repetition under another are one command.
    let body = json!({ "id": Uuid::from_u128(0xa11a), "name": "Cash", "currency": "EUR" });
    let open = async |path: &str| -> anyhow::Result<Answer> {
        let request = stack.request(Method::POST, &books.token, &format!("{command}{path}"));
        answer(request.header("Idempotency-Key", "one").json(&body)).await
    };
    let first = open("/api/ledger/accounts").await?;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    assert!(first.header("location").starts_with("/v1/"), "what we give out is the real path");
    for path in ["/v1/ledger/accounts", "/api/v1/ledger/accounts"] {
        let again = open(path).await?;
        assert_eq!((again.status, again.header("idempotent-replayed")), (first.status, "true"), "{path}");
        assert_eq!(again.json["id"], first.json["id"]);
    }
    let wrong =
        json!({ "tenant_slug": "nowhere", "email": "ada@example.com", "password": "no secret of hers" });
    let refused =
        answer(stack.request(Method::POST, "", &format!("{command}/auth/login")).json(&wrong)).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (401, "identity.invalid-credentials"));

    // What is counted is counted under the real name.
    let told = stack.command_metrics.text()?;
    assert!(told.contains("POST /v1/auth/login") && told.contains("POST /v1/ledger/accounts"), "{told}");
    assert!(!told.contains(" /api/") && !told.contains(" /auth/"), "{told}");
    for (name, base) in [("commands", command), ("queries", query)] {
        let described = at(&stack, "", &format!("{base}/openapi.json")).await?;
        let text = described.json["info"]["description"].as_str().unwrap_or_default();
        assert!(text.contains("`/api/v1/…`"), "{name}: {text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_reached_by_another_name_that_is_not_there() -> Test {
    let stack = Stack::whole().await?;
    let owner = stack.owner(tenant(1))?;
    // No library sends these as they are.
    let paths = [
        "/auth/../ledger/accounts",
        "/auth/../../openapi.json",
        "/auth/%2e%2e/ledger/accounts",
        "/api/../v1/ledger/accounts",
        "/api/v1/../v1/ledger/accounts",
        "/api/api/ledger/accounts",
        "/api/v1/v1/ledger/accounts",
        "/api/v1/api/v1/ledger/accounts",
        "/auth/auth/me",
        "/api/auth/auth/me",
        "//api/ledger/accounts",
        "/api//ledger/accounts",
        "/API/ledger/accounts",
        "/%61pi/ledger/accounts",
        "/api%2fledger/accounts",
        "/api\\ledger\\accounts",
        "/api;x/ledger/accounts",
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/auth",
        "/auth/",
        "/api/openapi.json",
        "/api/livez",
        "/api/oauth2/token",
        "/api/.well-known/jwks.json",
        "/api/sign-in",
    ];
    for base in [&stack.query_url, &stack.command_url] {
        for path in paths {
            let mut wire = Wire::open(address(base)?).await?;
            let head = format!(
                "GET {path} HTTP/1.1\r\nHost: quipu.example\r\nAuthorization: Bearer {owner}\r\n\r\n"
            );
            wire.say(head.as_bytes()).await?;
            let Some(reply) = wire.reply().await? else { anyhow::bail!("{path}: no answer") };
            // A backslash is no part of an address, and the accept loop says so without us.
            if reply.status != 400 {
                assert_eq!(reply.status, 404, "{base}{path}: {}", reply.text());
                is_decent(&reply)?;
            }
        }
    }
    // With the name of a host before it, as proxies send it.
    let mut wire = Wire::open(address(&stack.query_url)?).await?;
    let head = format!(
        "GET http://quipu.example/api/ledger/accounts HTTP/1.1\r\nHost: quipu.example\r\nAuthorization: Bearer {owner}\r\n\r\n"
    );
    wire.say(head.as_bytes()).await?;
    let reply = wire.reply().await?.expect("an answer");
    assert_eq!(
        (reply.status, reply.json()["items"].clone()),
        (200, Value::Array(vec![])),
        "{}",
        reply.text()
    );
    Ok(())
}
