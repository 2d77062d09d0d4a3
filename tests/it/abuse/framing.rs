//! Requests whose beginning or end can be read in two ways. A proxy in front may read them the other way, so the server
//! must refuse them or close: whatever hides in one request is never run as the next.
//!
//! Every request says in `traceparent` who it is and every answer repeats it, so that it is known what was answered.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use service_kit::config::HttpConfig;
use tests::books::Books;
use tests::database::tenant;
use tests::stack::{Stack, http_config};
use uuid::Uuid;

use super::wire::{Reply, Wire, address};
use super::{Test, is_decent, note};

const CARRIER: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const HIDDEN: &str = "11111111111111111111111111111111";
const NEXT: &str = "22222222222222222222222222222222";
const SHORT: Duration = Duration::from_secs(1);

struct Server {
    stack: Stack,
    address: SocketAddr,
    token: String,
}

/// What a client says, and whether it must be refused.
struct Case {
    name: String,
    bytes: Vec<u8>,
    refused: bool,
}

fn refused(name: &str, bytes: impl Into<Vec<u8>>) -> Case {
    Case { name: name.to_owned(), bytes: bytes.into(), refused: true }
}

/// It may be taken, or be refused; what hides in it is not run.
fn harmless(name: &str, bytes: impl Into<Vec<u8>>) -> Case {
    Case { name: name.to_owned(), bytes: bytes.into(), refused: false }
}

impl Server {
    async fn start() -> anyhow::Result<Self> {
        let stack = Stack::commands_only().await?;
        let token = Books::with_accounts(&stack, tenant(1), 1).await?.token;
        let http = HttpConfig { body_timeout: SHORT, header_timeout: SHORT, ..http_config() };
        let url = stack.command_api_with(http).await?.0;
        Ok(Self { address: address(&url)?, token, stack })
    }

    /// A request that would leave a trace if it were run.
    fn hidden(&self) -> String {
        let body = format!("{{\"id\":\"{}\",\"name\":\"hidden\",\"currency\":\"EUR\"}}", Uuid::now_v7());
        let head = self.head("/v1/ledger/accounts", HIDDEN);
        format!("{head}content-length: {}\r\n\r\n{body}", body.len())
    }

    /// The head of a command, without its end.
    fn head(&self, path: &str, trace: &str) -> String {
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\
             authorization: Bearer {}\r\ncontent-type: application/json\r\n",
            self.token
        )
    }

    fn carrier(&self, headers: &str, body: &str) -> String {
        format!("{}{headers}\r\n\r\n{body}", self.head("/v1/ledger/accounts", CARRIER))
    }

    /// Says it, with an ordinary request behind it, and looks at every answer.
    async fn hears(&self, case: &Case) -> Test {
        let mut wire = Wire::open(self.address).await?;
        wire.say(&case.bytes).await?;
        let next = format!(
            "GET /livez HTTP/1.1\r\nhost: x\r\ntraceparent: 00-{NEXT}-00f067aa0ba902b7-01\r\nconnection: close\r\n\r\n"
        );
        wire.say(next.as_bytes()).await?;
        let mut replies = Vec::new();
        if case.bytes.starts_with(b"HEAD") {
            replies.extend(wire.reply_to(true).await?);
        }
        replies.extend(wire.until_closed().await?);
        let shown = || format!("{replies:?}");
        let of = |trace: &str| replies.iter().filter(|it| it.header("x-request-id") == trace).count();
        ensure!(of(HIDDEN) == 0, "what was hidden was answered: {}", shown());
        ensure!(of(CARRIER) <= 1 && of(NEXT) <= 1, "answered twice: {}", shown());
        if let Some(next) = replies.iter().find(|it| it.header("x-request-id") == NEXT) {
            ensure!(next.status == 200 && next.text() == "alive", "{}", shown());
        }
        if case.refused {
            let first = replies.first();
            ensure!(first.is_none_or(|it| (400..500).contains(&it.status)), "it was taken: {}", shown());
        }
        for reply in replies.iter().filter(|it| !is_bare(it)) {
            is_decent(reply)?;
        }
        Ok(())
    }

    async fn hears_all(&self, cases: &[Case]) -> Test {
        for case in cases {
            self.hears(case).await.with_context(|| {
                format!(
                    "{}: {:?}",
                    case.name,
                    String::from_utf8_lossy(&case.bytes).chars().take(600).collect::<String>()
                )
            })?;
        }
        let mut conn = self.stack.database.superuser().await?;
        let hidden: i64 = sqlx::query_scalar(
            "select count(*) from store.events where payload::text like '%hidden%' or meta::text like '%1111111111111111%'",
        )
        .fetch_one(&mut conn)
        .await?;
        ensure!(hidden == 0, "{hidden} hidden requests were run");
        Ok(())
    }
}

/// The library's own answer to what it could not read as a request: without a word, and the connection ends.
fn is_bare(reply: &Reply) -> bool {
    reply.body.is_empty() && reply.is_last() && matches!(reply.status, 400 | 414 | 431)
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_none_are_refused() -> Test {
    let server = Server::start().await?;
    let hidden = server.hidden();
    let with = |headers: &str| server.carrier(headers, "{}");
    let many = |count: usize| (0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let line =
        |line: &str| format!("{line}\r\nhost: x\r\ntraceparent: 00-{CARRIER}-00f067aa0ba902b7-01\r\n\r\n");
    let folded = with(&format!("x-a: b\r\n content-length: {}\r\ncontent-length: 2", hidden.len()));
    let cases = [
        refused("a folded header", folded),
        refused("a header without a colon", with("content-length: 2\r\nx-odd")),
        refused("a space before the colon", with("content-length : 2")),
        refused("a header without a name", with("content-length: 2\r\n: x")),
        refused("NUL in a header", with("content-length: 2\r\nx-a: b\0c")),
        refused("a bare CR in a header", with("content-length: 2\r\nx-a: b\rc")),
        refused("too many headers", with(&format!("{}content-length: 2", many(1_000)))),
        refused("one header too many", with(&format!("{}content-length: 2", many(64)))),
        refused("a header of 64 KiB", with(&format!("x-a: {}\r\ncontent-length: 2", "y".repeat(65_536)))),
        refused("a name of 64 KiB", with(&format!("{}: y\r\ncontent-length: 2", "x".repeat(65_536)))),
        refused("a path of 20 KiB", line(&format!("GET /{} HTTP/1.1", "p".repeat(20_000)))),
        refused("a path of 10,000 steps", line(&format!("GET {} HTTP/1.1", "/p".repeat(7_000)))),
        refused("a query of 60 KiB", line(&format!("GET /livez?{} HTTP/1.1", "q".repeat(60_000)))),
        refused("NUL in the path", line("GET /liv\0ez HTTP/1.1")),
        refused("a space in the path", line("GET /liv ez HTTP/1.1")),
        refused("a path without a slash", line("GET livez HTTP/1.1")),
        refused("no path", line("GET HTTP/1.1")),
        refused("another protocol", line("GET /livez RTSP/1.0")),
        refused("an old protocol", line("GET /livez")),
        refused("a version of the future", line("GET /livez HTTP/3.7")),
        refused("a method of 10 KiB", line(&format!("{} /livez HTTP/1.1", "M".repeat(10_000)))),
        refused("a method with a colon", line("GE:T /livez HTTP/1.1")),
        refused("a tunnel", line("CONNECT elsewhere:443 HTTP/1.1")),
        refused("all of the server", line("OPTIONS * HTTP/1.1")),
        refused("a tracing method", line("TRACE /livez HTTP/1.1")),
        refused("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(30)),
        refused("noise", (0..=255_u8).collect::<Vec<_>>().repeat(20)),
        harmless("lines that end with LF alone", line("GET /livez HTTP/1.1").replace("\r\n", "\n")),
        harmless("an absolute address", line("GET http://elsewhere/livez HTTP/1.1")),
        harmless("empty lines first", format!("\r\n\r\n{}", line("GET /livez HTTP/1.1"))),
        harmless("HTTP/1.0 that stays", line("GET /livez HTTP/1.0\r\nconnection: keep-alive")),
        harmless("an upgrade", line("GET /livez HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket")),
        harmless(
            "an upgrade to HTTP/2",
            line(
                "GET /livez HTTP/1.1\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__",
            ),
        ),
        harmless("dots in the path", line("GET /v1/../livez HTTP/1.1")),
        harmless("encoded dots", line("GET /%2e%2e/livez HTTP/1.1")),
        harmless("encoded NUL", line("GET /liv%00ez HTTP/1.1")),
        harmless("a path that is no UTF-8", line("GET /v1/ledger/accounts/%ff%fe HTTP/1.1")),
        harmless("two slashes", line("GET //livez HTTP/1.1")),
        harmless("a parameter of the path", line("GET /livez;admin=1 HTTP/1.1")),
    ];
    server.hears_all(&cases).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_whose_end_is_unclear_are_refused() -> Test {
    let server = Server::start().await?;
    let hidden = server.hidden();
    let length = hidden.len();
    let with = |headers: &str, body: &str| server.carrier(headers, body);
    let lengths = ["+2", "-2", "0x2", "2;", "2 2", "two", "", "18446744073709551616", "2.0", "2\t2"];
    let mut cases: Vec<Case> =
        lengths.iter().map(|it| refused(it, with(&format!("content-length: {it}"), "{}"))).collect();
    cases.extend([
        refused(
            "two lengths",
            with(&format!("content-length: 2\r\ncontent-length: {length}"), &format!("{{}}{hidden}")),
        ),
        refused(
            "two lengths in one",
            with(&format!("content-length: 2, {length}"), &format!("{{}}{hidden}")),
        ),
    ]);
    // What hides behind a chunk that is none must not be read as the next request.
    let huge = format!("5;{}\r\nhello", "x".repeat(60_000));
    for (name, chunk) in [
        ("a chunk of no number", "g\r\nhello\r\n"),
        ("a chunk below zero", "-5\r\nhello\r\n"),
        ("a chunk with a plus", "+5\r\nhello\r\n"),
        ("a chunk with a prefix", "0x5\r\nhello\r\n"),
        ("a chunk that is endless", "fffffffffffffffff\r\nhello\r\n"),
        ("a chunk without its end", "5\r\nhelloGET"),
        ("a chunk that is too long", "3\r\nhello\r\n"),
        ("no number at all", "\r\nhello\r\n"),
        ("a space before the number", " 5\r\nhello\r\n"),
        ("an extension of 60 KB", &huge),
    ] {
        let body = format!("{chunk}0\r\n\r\n{hidden}");
        cases.push(refused(name, with("transfer-encoding: chunked", &body)));
    }
    for coding in [
        "gzip",
        "identity",
        "xchunked",
        "chunked, identity",
        "chunked, gzip",
        "",
        "chunked;x=1",
        "\"chunked\"",
    ] {
        let headers = format!("transfer-encoding: {coding}\r\ncontent-length: 5");
        cases.push(refused(coding, with(&headers, &format!("0\r\n\r\n{hidden}"))));
    }
    let old = server.carrier("transfer-encoding: chunked", &format!("0\r\n\r\n{hidden}"));
    cases.push(refused("chunks in HTTP/1.0", old.replacen("HTTP/1.1", "HTTP/1.0", 1)));
    // An answer before the body was read: what follows is the body still.
    let early = format!(
        "{}content-length: 10000000\r\n\r\n{hidden}",
        server.head("/v1/ledger/accounts", CARRIER).replace("application/json", "text/plain")
    );
    cases.push(refused("a wrong type of a long body", early));
    cases.push(refused("a body that is too large", with("content-length: 10000000", &hidden)));
    let nobody =
        format!("POST /v1/ledger/accounts HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{hidden}");
    cases.push(refused("a body of nobody", nobody));
    cases.push(harmless(
        "a body of a read",
        format!("GET /livez HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{hidden}"),
    ));
    cases.push(harmless(
        "a body of a head",
        format!("HEAD /livez HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{hidden}"),
    ));
    let trailers = format!(
        "2\r\n{{}}\r\n0\r\ncontent-length: 5\r\nauthorization: Bearer x\r\n{}\r\n",
        "x-t: y\r\n".repeat(100)
    );
    cases.push(harmless("trailers", with("transfer-encoding: chunked", &trailers)));
    let endless = format!("2\r\n{{}}\r\n0\r\n{}", "x-t: y\r\n".repeat(20_000));
    cases.push(harmless("trailers without an end", with("transfer-encoding: chunked", &endless)));
    server.hears_all(&cases).await
}

/// Both ways to tell where a body ends, in every spelling, over a body that one way ends early.
#[tokio::test(flavor = "multi_thread")]
async fn what_hides_between_two_framings_is_never_run() -> Test {
    let server = Server::start().await?;
    let hidden = server.hidden();
    let names = [
        "Transfer-Encoding",
        "transfer-encoding",
        "Transfer-Encoding ",
        "Transfer-Encoding\t",
        "\x0bTransfer-Encoding",
    ];
    let codings = [
        "chunked",
        "Chunked",
        "cHuNkEd",
        " chunked",
        "chunked ",
        "\tchunked",
        "chunked,",
        ",chunked",
        "chunked, chunked",
        "identity, chunked",
        "gzip, chunked",
        "xchunked",
        "chunked\r\nTransfer-Encoding: identity",
        "identity\r\nTransfer-Encoding: chunked",
        "\x0bchunked",
        "chunked\x0b",
        "\"chunked\"",
        "chunked;q=1",
    ];
    let lengths =
        ["{}", "+{}", "0{}", " {} ", "{}, {}", "{}\r\nContent-Length: {}", "{}\r\nContent-Length: 0", "{};"];
    // One way it is all body, the other way the hidden request stands behind the body.
    let ends_early = format!("0\r\n\r\n{hidden}");
    let size = format!("{:x}\r\n", hidden.len());
    let ends_late = format!("{size}{hidden}\r\n0\r\n\r\n");
    let mut cases = Vec::new();
    for name in names {
        for coding in codings {
            for length in lengths {
                for (body, counted) in [(&ends_early, ends_early.len()), (&ends_late, size.len())] {
                    let length = length.replace("{}", &counted.to_string());
                    let one = format!("{name}: {coding}\r\nContent-Length: {length}");
                    let other = format!("Content-Length: {length}\r\n{name}: {coding}");
                    for headers in [one, other] {
                        cases.push(harmless("two framings", server.carrier(&headers, body)));
                    }
                }
            }
        }
    }
    note(format_args!("{} requests with two framings", cases.len()))?;
    server.hears_all(&cases).await
}
