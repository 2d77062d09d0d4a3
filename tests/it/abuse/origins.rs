//! Browsers: which pages may read answers, and what every answer tells a browser to leave alone. Of both APIs, good answers
//! and refusals.

use axum::http::HeaderValue;
use query_api::{LiveConfig, QueryApi};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use service_kit::config::HttpConfig;
use tests::database::tenant;
use tests::stack::{Answer, Stack, answer, http_config, listener};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Test;

const CONSOLE: &str = "https://console.example.org";

/// Both APIs, whose answers pages of some origins may read.
async fn open(stack: &Stack, origins: &[&'static str]) -> anyhow::Result<([String; 2], DropGuard)> {
    let cors_origins = origins.iter().map(|it| HeaderValue::from_static(it)).collect();
    let http = HttpConfig { cors_origins, ..http_config() };
    let (command, _) = stack.command_api_with(http.clone()).await?;
    let shutdown = CancellationToken::new();
    let config = query_api::Config { http, ..stack.query_config(LiveConfig::default())? };
    let (listener, address) = listener().await?;
    let query = QueryApi::connect(config, shutdown.clone()).await?;
    tokio::spawn(query.serve(listener));
    Ok(([command, format!("http://{address}")], shutdown.drop_guard()))
}

/// Requests with all sorts of answers, and the status of each.
fn asked(stack: &Stack, bases: &[String; 2]) -> anyhow::Result<Vec<(RequestBuilder, u16)>> {
    let owner = stack.owner(tenant(1))?;
    let [command, query] = bases;
    let mut all = Vec::new();
    for base in bases {
        let send = |method, token: &str, path: &str| stack.request(method, token, &format!("{base}{path}"));
        all.extend([
            (send(Method::GET, "", "/livez"), 200),
            (send(Method::GET, "", "/openapi.json"), 200),
            (send(Method::GET, "", "/nowhere"), 404),
            (send(Method::DELETE, "", "/openapi.json"), 405),
        ]);
    }
    let accounts =
        |base: &str, method, token: &str| stack.request(method, token, &format!("{base}/v1/ledger/accounts"));
    // Somebody else each time, since too many wrong guesses at one are refused otherwise.
    let nobody = format!("{}@example.com", uuid::Uuid::now_v7());
    let login = || stack.request(Method::POST, "", &format!("{command}/v1/auth/login"));
    all.extend([
        (accounts(query, Method::GET, ""), 401),
        (accounts(query, Method::GET, "no-token"), 401),
        (accounts(query, Method::GET, &owner), 200),
        (accounts(command, Method::POST, ""), 401),
        (accounts(command, Method::POST, &owner).json(&json!({})), 400),
        (login().body("{}"), 415),
        (login().json(&json!({ "tenant_slug": "nowhere", "email": nobody, "password": "x" })), 401),
        (login().json(&json!("x".repeat(100_000))), 413),
    ]);
    Ok(all)
}

/// What an answer lets a page of another origin do.
fn allowed(answer: &Answer) -> Vec<(String, String)> {
    let told = answer.headers.iter().filter(|(name, _)| name.as_str().starts_with("access-control-allow"));
    told.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned())).collect()
}

fn of_console() -> Vec<(String, String)> {
    vec![("access-control-allow-origin".to_owned(), CONSOLE.to_owned())]
}

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_origins_may_read_answers() -> Test {
    let stack = Stack::whole().await?;
    let (bases, _guard) = open(&stack, &[CONSOLE, "https://other.example.org"]).await?;
    let strangers = [
        "https://evil.example",
        "null",
        "*",
        "http://console.example.org",
        "https://console.example.org.evil.example",
        "https://console.example.org:8443",
        "https://CONSOLE.example.org",
    ];
    for origin in strangers.into_iter().chain([CONSOLE]) {
        let expected = if origin == CONSOLE { of_console() } else { Vec::new() };
        for (request, status) in asked(&stack, &bases)? {
            let answer = answer(request.header("Origin", origin)).await?;
            assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
            assert_eq!(allowed(&answer), expected, "{origin} {status}");
            let varies = answer.headers.get_all("vary").iter().filter_map(|it| it.to_str().ok());
            assert!(
                varies.flat_map(|it| it.split(',')).any(|it| it.trim() == "origin"),
                "{:?}",
                answer.headers
            );
        }
    }
    for base in &bases {
        let ask_first = async |origin: &str| {
            let request = stack.request(Method::OPTIONS, "", &format!("{base}/v1/ledger/accounts"));
            let request = request.header("Origin", origin).header("Access-Control-Request-Method", "POST");
            answer(request.header("Access-Control-Request-Headers", "authorization")).await
        };
        let listed = ask_first(CONSOLE).await?;
        assert_eq!(listed.header("access-control-allow-origin"), CONSOLE);
        assert!(listed.header("access-control-allow-methods").contains("POST"), "{:?}", listed.headers);
        assert!(
            listed.header("access-control-allow-headers").contains("authorization"),
            "{:?}",
            listed.headers
        );
        // Nothing is done because of a cookie that a browser adds by itself.
        assert_eq!(listed.header("access-control-allow-credentials"), "");
        for origin in strangers {
            let answer = ask_first(origin).await?;
            assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
            assert_eq!(answer.header("access-control-allow-credentials"), "", "{origin}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_elses_pages_read_anything_unless_it_is_set_so() -> Test {
    let stack = Stack::whole().await?;
    let (bases, _guard) = open(&stack, &[]).await?;
    for (request, status) in asked(&stack, &bases)? {
        let answer = answer(request.header("Origin", CONSOLE)).await?;
        assert_eq!((answer.status.as_u16(), allowed(&answer)), (status, Vec::new()));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_browsers_what_to_leave_alone() -> Test {
    let stack = Stack::whole().await?;
    let (bases, _guard) = open(&stack, &[]).await?;
    for (request, status) in asked(&stack, &bases)? {
        let answer = answer(request).await?;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("strict-transport-security", "max-age=31536000; includeSubDomains"),
        ] {
            assert_eq!(answer.header(name), value, "{status} {:?}", answer.headers);
        }
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!answer.header("x-request-id").is_empty() && !answer.header("cache-control").is_empty());
        assert_eq!((answer.header("server"), answer.header("x-powered-by")), ("", ""));
        if status >= 400 {
            assert_eq!(answer.header("content-type"), "application/problem+json", "{status}");
            assert_eq!(answer.header("cache-control"), "no-store", "{status}");
        }
    }
    Ok(())
}
