//! Bodies, query strings and paths that must be refused, and what the refusal says.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Leg {
    amount: Amount,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    legs: Vec<Leg>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Amount(String);

impl TryFrom<String> for Amount {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "odd" => Err("[money.odd] the amount is odd"),
            "big" => Err("[money.too-large] the amount is too large"),
            _ => Ok(Self(text)),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    #[expect(dead_code, reason = "only whether it can be read matters")]
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only whether they can be read matters")]
enum Item {
    Transfer(Transfer),
    #[serde(rename = "a/b")]
    Priced {
        amount: Priced,
    },
    Side(Side),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it can be read matters")]
struct Priced {
    amount: Amount,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Side {
    Debit,
}

const CODES: ParseCodes = ParseCodes(&[&[("money.too-large", ErrorKind::Rejected)]]);

fn fault(text: &[u8]) -> (String, u16, String) {
    fault_of::<Transfer>(text)
}

fn fault_of<T: DeserializeOwned + fmt::Debug>(text: &[u8]) -> (String, u16, String) {
    let problem = parse::<T>(text, CODES).unwrap_err();
    let body = problem.body();
    (body.code.to_string(), body.status, body.errors.first().map(|it| it.pointer.clone()).unwrap_or_default())
}

#[track_caller]
fn expect(text: &str, code: &str, status: u16, pointer: &str) {
    assert_eq!(fault(text.as_bytes()), (code.to_owned(), status, pointer.to_owned()), "{text}");
}

#[test]
fn a_good_body_is_taken() {
    let it: Transfer = parse(br#"{"legs":[{"amount":"1.00","metadata":{"a":"b"}}]}"#, CODES).unwrap();
    assert_eq!(it.legs[0].amount.0, "1.00");
    assert_eq!(it.legs[0].metadata["a"], "b");
}

#[test]
fn places_are_named() {
    expect(r#"{"legs":[{"amount":"1"},{"amount":1}]}"#, "request.invalid-field", 400, "/legs/1/amount");
    expect(r#"{"legs":[{}]}"#, "request.missing-field", 400, "/legs/0/amount");
    expect(r#"{"legs":[],"extra":1}"#, "request.unknown-field", 400, "/extra");
    expect(r#"{"legs":[{"amount":"1","a/b":1}]}"#, "request.unknown-field", 400, "/legs/0/a~1b");
    expect(r#"{"legs":null}"#, "request.invalid-field", 400, "/legs");
    expect("[]", "request.invalid-field", 400, "");
}

#[test]
fn the_name_of_one_of_several_is_a_step_where_the_body_has_it() {
    for (item, code, pointer) in [
        (r#"{"transfer":{}}"#, "request.missing-field", "/transfer/legs"),
        (r#"{"transfer":{"legs":[],"x":1}}"#, "request.unknown-field", "/transfer/x"),
        (r#"{"transfer":{"legs":[{"amount":"odd"}]}}"#, "money.odd", "/transfer/legs/0/amount"),
        (r#"{"transfer":[]}"#, "request.invalid-field", "/transfer"),
        (r#"{"transfer":null}"#, "request.invalid-field", "/transfer"),
        (r#"{"transfer":{"legs":[],"legs":[]}}"#, "request.duplicate-field", "/transfer/legs"),
        (r#"{"a/b":{}}"#, "request.missing-field", "/a~1b/amount"),
        (r#"{"a/b":{"amount":{}}}"#, "request.missing-field", "/a~1b/amount/amount"),
        (r#"{"a/b":{"amount":{"amount":"odd"}}}"#, "money.odd", "/a~1b/amount/amount"),
        (r#"{"side":"credit"}"#, "request.invalid-field", "/side"),
        (r#"{"side":{"debit":1}}"#, "request.invalid-field", "/side/debit"),
        (r#"{"side":5}"#, "request.invalid-field", "/side"),
        (r#"{"other":{}}"#, "request.invalid-field", "/other"),
        (r#""transfer""#, "request.invalid-field", ""),
        (r#""other""#, "request.invalid-field", ""),
        (r#"{"side":"debit","transfer":{"legs":[]}}"#, "request.invalid-field", ""),
        ("{}", "request.invalid-field", ""),
        ("5", "request.invalid-field", ""),
    ] {
        let text = format!(r#"{{"items":[{{"side":"debit"}},{item}]}}"#);
        let expected = (code.to_owned(), 400, format!("/items/1{pointer}"));
        assert_eq!(fault_of::<Batch>(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn codes_of_the_domain_come_through() {
    expect(r#"{"legs":[{"amount":"odd"}]}"#, "money.odd", 400, "/legs/0/amount");
    expect(r#"{"legs":[{"amount":"big"}]}"#, "money.too-large", 422, "/legs/0/amount");
}

#[test]
fn fields_given_twice_are_refused_at_any_depth() {
    expect(r#"{"legs":[],"legs":[]}"#, "request.duplicate-field", 400, "/legs");
    expect(
        r#"{"legs":[{"amount":"1","metadata":{"a":"1","a":"2"}}]}"#,
        "request.duplicate-field",
        400,
        "/legs/0/metadata/a",
    );
    let many: Vec<_> = (0..100).chain([7]).map(|it| format!("\"k{it}\":\"v\"")).collect();
    let text = format!(r#"{{"legs":[{{"amount":"1","metadata":{{{}}}}}]}}"#, many.join(","));
    expect(&text, "request.duplicate-field", 400, "/legs/0/metadata/k7");
}

#[test]
fn texts_that_are_not_json_are_refused() {
    for bad in
        ["", "{", "nul", "{'a':1}", "{\"legs\":[]} x", "{\"legs\":[],}", "{\"legs\":[NaN]}", "\u{feff}{}"]
    {
        expect(bad, "request.malformed-json", 400, "");
    }
    assert_eq!(fault(b"{\"legs\":[\"\xff\"]}").0, "request.malformed-json");
    expect(&format!("{{\"legs\":{}", "[".repeat(100_000)), "request.malformed-json", 400, "");
    expect(r#"{"legs":[{"amount":"\ud800"}]}"#, "request.malformed-json", 400, "");
}

#[test]
fn nul_is_refused_in_values_and_names() {
    expect(r#"{"legs":[{"amount":"a\u0000b"}]}"#, "request.nul-character", 400, "/legs/0/amount");
    let (code, ..) = fault(br#"{"legs":[{"amount":"1","metadata":{"a\u0000":"b"}}]}"#);
    assert_eq!(code, "request.nul-character");
}

#[test]
fn texts_that_are_too_long_are_refused_at_any_depth() {
    let with = |text: &str| format!(r#"{{"legs":[{{"amount":"1","metadata":{{"a":"{text}"}}}}]}}"#);
    let letters = "\u{1f600}".repeat(TEXT_CHARS_MAX);
    assert!(parse::<Transfer>(with(&letters).as_bytes(), CODES).is_ok(), "characters are counted, not bytes");
    expect(&with(&format!("{letters}x")), "request.invalid-field", 400, "/legs/0/metadata/a");
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    limit: Option<u32>,
}

async fn answer(path: &str, content_type: Option<&str>, body: impl Into<Body>) -> (u16, Value) {
    let router = Router::new()
        .route("/take", post(|Json(it): Json<Transfer>| async move { Json(it.legs.len()) }))
        .route("/list", get(|Query(it): Query<Page>| async move { Json(it.limit) }))
        .route("/things/{id}", get(|Path(id): Path<Uuid>| async move { Json(id) }))
        .layer(DefaultBodyLimit::max(100));
    let mut request = Request::builder().uri(path).method(if path == "/take" { "POST" } else { "GET" });
    if let Some(it) = content_type {
        request = request.header(header::CONTENT_TYPE, it);
    }
    let response = router.oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn the_media_type_must_say_json() {
    for good in ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\""]
    {
        assert_eq!(answer("/take", Some(good), "{\"legs\":[]}").await, (200, json!(0)), "{good}");
    }
    for bad in [None, Some("text/plain"), Some("application/jsonx"), Some("application/json; charset=latin1")]
    {
        let (status, body) = answer("/take", bad, "{\"legs\":[]}").await;
        assert_eq!((status, &body["code"]), (415, &json!("request.unsupported-media-type")), "{bad:?}");
    }
}

#[tokio::test]
async fn a_body_that_says_it_is_packed_is_refused() {
    for (encoding, expected) in
        [("identity", 200), ("Identity", 200), ("gzip", 415), ("br, identity", 415), ("", 415)]
    {
        let router =
            Router::new().route("/take", post(|Json(it): Json<Transfer>| async move { Json(it.legs.len()) }));
        let request = Request::builder().uri("/take").method("POST");
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let request = request.header(header::CONTENT_ENCODING, encoding).body(Body::from("{\"legs\":[]}"));
        let response = router.oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{encoding}");
    }
}

#[tokio::test]
async fn a_large_body_is_refused() {
    let (status, body) = answer("/take", Some("application/json"), vec![b' '; 101]).await;
    assert_eq!((status, &body["code"]), (413, &json!("request.body-too-large")));
}

#[tokio::test]
async fn queries_and_paths() {
    assert_eq!(answer("/list?limit=5", None, "").await, (200, json!(5)));
    for (path, status, code) in [
        ("/list?limt=5", 400, "request.unknown-parameter"),
        ("/list?limit=x", 400, "request.invalid-parameter"),
        ("/list?limit=1&limit=2", 400, "request.invalid-parameter"),
        ("/list?limit=%00", 400, "request.nul-character"),
        ("/things/1", 404, "request.not-found"),
        ("/things/%ff", 404, "request.not-found"),
    ] {
        let (found, body) = answer(path, None, "").await;
        assert_eq!((found, &body["code"]), (status, &json!(code)), "{path}");
    }
}
