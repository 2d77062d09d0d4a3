//! Bodies that are too large, too deep, not what they say, or not what JSON is: each is refused with a code that says so,
//! and costs neither memory nor the server.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;
use tests::books::Books;
use tests::database::tenant;
use tests::stack::Stack;
use uuid::Uuid;

use super::process::Process;
use super::wire::{Wire, address};
use super::{Test, is_decent};

const PATH: &str = "/v1/ledger/accounts";
const JSON: &str = "application/json";

/// The head of a command, without its end.
fn head(path: &str, token: &str, media_type: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: {media_type}\r\n\
         idempotency-key: {}\r\n",
        Uuid::now_v7()
    )
}

fn whole(head: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{head}content-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// An account with something in the place of its name.
fn named(name: &str) -> Vec<u8> {
    format!(r#"{{"currency":"EUR","name":{name}}}"#).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_not_the_json_asked_for_are_refused_with_a_code_that_says_so() -> Test {
    let stack = Stack::commands_only().await?;
    let token = stack.owner(tenant(1))?;
    let mut wire = Wire::open(address(&stack.command_url)?).await?;
    let deep = |open: &str, close: &str| named(&format!("{}{}", open.repeat(8_000), close.repeat(8_000)));
    let amount = |amount: &str| {
        let leg = |side: &str| {
            format!(
                r#"{{"account_id":"{}","side":"{side}","amount":{{"currency":"EUR","amount":{amount}}}}}"#,
                Uuid::nil()
            )
        };
        format!(r#"{{"legs":[{},{}]}}"#, leg("debit"), leg("credit")).into_bytes()
    };
    let transfers = "/v1/ledger/transfers";
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    zipped.write_all(&vec![b' '; 10 << 20])?;
    let zipped = zipped.finish()?;
    let cases: Vec<(&str, &str, &str, Vec<u8>, &str)> = vec![
        ("deep lists", PATH, JSON, deep("[", "]"), "request.malformed-json"),
        ("deep objects", PATH, JSON, deep("{\"a\":", "}"), "request.malformed-json"),
        (
            "invalid UTF-8",
            PATH,
            JSON,
            [b"{\"name\":\"\xff\xfe".as_slice(), b"\"}"].concat(),
            "request.malformed-json",
        ),
        (
            "overlong UTF-8",
            PATH,
            JSON,
            [b"{\"name\":\"\xc0\xaf".as_slice(), b"\"}"].concat(),
            "request.malformed-json",
        ),
        (
            "a surrogate in UTF-8",
            PATH,
            JSON,
            [b"{\"name\":\"\xed\xa0\x80".as_slice(), b"\"}"].concat(),
            "request.malformed-json",
        ),
        ("a lone surrogate", PATH, JSON, named(r#""\ud800""#), "request.malformed-json"),
        ("a surrogate turned round", PATH, JSON, named(r#""\udc00\ud800""#), "request.malformed-json"),
        ("NUL", PATH, JSON, named(r#""a\u0000b""#), "request.nul-character"),
        ("NUL in a name", PATH, JSON, br#"{"na\u0000me":1}"#.to_vec(), "request.nul-character"),
        ("a control character", PATH, JSON, named(r#""a\u0007b""#), "text.not-allowed"),
        ("a raw control character", PATH, JSON, named("\"a\u{7}b\""), "request.malformed-json"),
        ("turned text", PATH, JSON, named("\"a\u{202e}b\""), "text.not-allowed"),
        ("a long text", PATH, JSON, named(&format!("\"{}\"", "x".repeat(8_000))), "text.too-long"),
        ("a longer text", PATH, JSON, named(&format!("\"{}\"", "x".repeat(60_000))), "request.invalid-field"),
        ("a number of 60,000 digits", PATH, JSON, named(&"9".repeat(60_000)), "request.malformed-json"),
        ("a byte order mark", PATH, JSON, "\u{feff}{}".into(), "request.malformed-json"),
        (
            "UTF-16",
            PATH,
            JSON,
            "{}".encode_utf16().flat_map(u16::to_le_bytes).collect(),
            "request.malformed-json",
        ),
        ("two values", PATH, JSON, b"{}{}".to_vec(), "request.malformed-json"),
        ("a comment", PATH, JSON, b"{/* */}".to_vec(), "request.malformed-json"),
        ("nothing", PATH, JSON, Vec::new(), "request.malformed-json"),
        (
            "a field twice",
            PATH,
            JSON,
            br#"{"name":"a","name":"b","currency":"EUR"}"#.to_vec(),
            "request.duplicate-field",
        ),
        (
            "a field twice, escaped",
            PATH,
            JSON,
            br#"{"name":"a","n\u0061me":"b","currency":"EUR"}"#.to_vec(),
            "request.duplicate-field",
        ),
        (
            "more than is asked",
            PATH,
            JSON,
            br#"{"name":"a","currency":"EUR","tenant_id":"x"}"#.to_vec(),
            "request.unknown-field",
        ),
        (
            "the prototype",
            PATH,
            JSON,
            br#"{"name":"a","currency":"EUR","__proto__":{}}"#.to_vec(),
            "request.unknown-field",
        ),
        ("1e999", transfers, JSON, amount("1e999"), "request.malformed-json"),
        ("a number for an amount", transfers, JSON, amount("1.00"), "money.amount-must-be-string"),
        (
            "30 digits",
            transfers,
            JSON,
            amount("123456789012345678901234567890"),
            "money.amount-must-be-string",
        ),
        (
            "30 digits as text",
            transfers,
            JSON,
            amount("\"123456789012345678901234567890\""),
            "money.amount-out-of-range",
        ),
        ("an exponent as text", transfers, JSON, amount("\"1e2\""), "money.amount-malformed"),
        ("digits of another script", transfers, JSON, amount("\"١.٠٠\""), "money.amount-malformed"),
        ("a sign", transfers, JSON, amount("\"-1.00\""), "money.amount-malformed"),
        ("another type", PATH, "text/plain", named("\"a\""), "request.unsupported-media-type"),
        (
            "a form",
            PATH,
            "application/x-www-form-urlencoded",
            b"name=a".to_vec(),
            "request.unsupported-media-type",
        ),
        (
            "another charset",
            PATH,
            "application/json; charset=latin1",
            named("\"a\""),
            "request.unsupported-media-type",
        ),
        ("UTF-7", PATH, "application/json; charset=utf-7", named("\"a\""), "request.unsupported-media-type"),
        ("two types", PATH, "application/json, text/plain", named("\"a\""), "request.unsupported-media-type"),
        (
            "packed",
            PATH,
            "application/json\r\ncontent-encoding: gzip",
            zipped,
            "request.unsupported-media-type",
        ),
        (
            "said to be packed",
            PATH,
            "application/json\r\ncontent-encoding: br",
            named("\"a\""),
            "request.unsupported-media-type",
        ),
    ];
    for (name, path, media_type, body, expected) in cases {
        wire.say(&whole(&head(path, &token, media_type), &body)).await?;
        let reply = wire.reply().await?.with_context(|| format!("{name}: no answer"))?;
        ensure!(reply.code() == expected, "{name}: {} {}, not {expected}", reply.status, reply.text());
        is_decent(&reply)?;
        if reply.is_last() {
            wire = Wire::open(address(&stack.command_url)?).await?;
        }
    }
    wire.say(&whole(&head(PATH, &token, JSON), &named("\"an account\""))).await?;
    ensure!(wire.reply().await?.context("an answer")?.status == 201);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_without_an_end_end_at_the_limit_and_cost_no_memory() -> Test {
    let stack = Stack::commands_only().await?;
    let token = stack.owner(tenant(1))?;
    let mut server = Process::command_api(&stack, &[]).await?;
    let idle = server.memory()?;
    for (path, limit) in [(PATH, 64 << 10), ("/v1/ledger/batches", 1 << 20)] {
        let counted = format!("{}content-length: 1099511627776\r\n\r\n", head(path, &token, JSON));
        let chunked = format!("{}transfer-encoding: chunked\r\n\r\n", head(path, &token, JSON));
        let exact = whole(&head(path, &token, JSON), &vec![b' '; limit]);
        let over = whole(&head(path, &token, JSON), &vec![b' '; limit + 1]);
        let (counted, chunked) = (counted.into_bytes(), chunked.into_bytes());
        let cases = [
            (exact, false, "request.malformed-json"),
            (over, false, "request.body-too-large"),
            (counted, true, "request.body-too-large"),
            (chunked, true, "request.body-too-large"),
        ];
        for (opening, fed, expected) in cases {
            let mut wire = Wire::open(server.address).await?;
            wire.say(&opening).await?;
            // 64 MiB, if the server took them.
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
            for _ in 0..1_024 {
                if !fed || !wire.try_say(chunk.as_bytes()).await {
                    break;
                }
            }
            // An answer may be lost in the reset that follows bytes which nobody reads.
            if let Ok(Some(reply)) = wire.reply().await {
                ensure!(reply.code() == expected, "{path}: {} {}", reply.status, reply.text());
                is_decent(&reply)?;
            } else {
                ensure!(fed, "{path}: no answer");
            }
        }
    }
    // Many at once, each just below the limit.
    let mut clients = Vec::new();
    for _ in 0..100 {
        let (address, token) = (server.address, token.clone());
        clients.push(tokio::spawn(async move {
            let body = json!({ "items": vec!["x".repeat(1_000); 1_000] }).to_string();
            let mut wire = Wire::open(address).await?;
            wire.say(&whole(&head("/v1/ledger/batches", &token, JSON), body.as_bytes())).await?;
            is_decent(&wire.reply().await?.context("an answer")?)
        }));
    }
    for client in clients {
        client.await??;
    }
    let grown = server.memory()?.saturating_sub(idle);
    ensure!(grown < 256 << 20, "{} MiB", grown >> 20);
    server.is_sound()
}

/// A client that waits to be asked for its body is asked, or told at once that nobody wants it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_to_be_asked_is_answered() -> Test {
    let stack = Stack::commands_only().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let body = named("\"an account\"");
    for (token, status) in [(books.token.as_str(), 201), ("nobody", 401)] {
        let mut wire = Wire::open(address(&stack.command_url)?).await?;
        let head = format!(
            "{}expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
            head(PATH, token, JSON),
            body.len()
        );
        wire.say(head.as_bytes()).await?;
        // The refused one says nothing more: it is answered all the same.
        if status == 201 {
            tokio::time::timeout(Duration::from_secs(5), wire.say(&body)).await??;
        }
        let reply = wire.reply().await?.context("an answer")?;
        ensure!(reply.status == status, "{} {}", reply.status, reply.text());
    }
    Ok(())
}
