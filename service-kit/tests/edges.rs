//! A real server on a real port, and clients that misbehave. Every limit is shortened, so no test waits long.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise, in its helpers too"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::{get, post};
use service_kit::body::Json;
use service_kit::config::HttpConfig;
use service_kit::layers::harden;
use service_kit::metrics::Metrics;
use service_kit::serve::{Server, bind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_millis(300);
/// An end that comes later than this is not the end that the test is about.
const LATE: Duration = Duration::from_secs(4);

struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    ended: JoinHandle<std::io::Result<()>>,
}

async fn start(change: impl FnOnce(&mut HttpConfig)) -> Running {
    let mut config = HttpConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        first_byte_timeout: SOON,
        header_timeout: SOON,
        body_timeout: SOON,
        request_timeout: SOON * 2,
        drain_timeout: SOON * 2,
        body_limit_bytes: 1000,
        ..HttpConfig::default()
    };
    change(&mut config);
    let routes = Router::new()
        .route("/ok", get(|| async { "ok" }))
        .route("/slow", get(|| async { tokio::time::sleep(SOON).await }))
        .route("/stuck", get(|| async { tokio::time::sleep(LATE).await }))
        .route("/panic", get(panics))
        .route("/large", get(|| async { vec![b'x'; 64 << 20] }))
        .route("/echo", post(|Json(it): Json<serde_json::Value>| async move { Json(it) }));
    let listener = bind(&config).await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let router = harden(routes, &config, &Metrics::of("a-process"));
    let server = Server { listener, router, config, shutdown: shutdown.clone() };
    Running { address, shutdown, ended: tokio::spawn(server.run()) }
}

async fn panics() -> &'static str {
    panic!("on purpose")
}

impl Running {
    async fn open(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and gives all that comes back until the server closes.
    async fn say(&self, bytes: &[u8]) -> (String, Duration) {
        let mut stream = self.open().await;
        stream.write_all(bytes).await.unwrap();
        until_closed(&mut stream).await
    }
}

async fn until_closed(stream: &mut TcpStream) -> (String, Duration) {
    let begun = Instant::now();
    let mut all = Vec::new();
    // A reset is an end too.
    let _reset =
        tokio::time::timeout(LATE * 2, stream.read_to_end(&mut all)).await.expect("the server never closed");
    (String::from_utf8_lossy(&all).into_owned(), begun.elapsed())
}

fn code(answer: &str) -> (u16, String) {
    let status = answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer:?}")).parse().unwrap();
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    let json: serde_json::Value =
        serde_json::from_str(body).unwrap_or_else(|_| panic!("not a problem: {answer}"));
    assert!(answer.contains("content-type: application/problem+json"), "{answer}");
    assert_eq!(json["trace_id"].as_str().unwrap().len(), 32);
    (status, json["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_client_that_says_nothing_is_closed() {
    let server = start(|it| it.keep_alive_idle = LATE * 4).await;
    let (answer, after) = server.say(b"").await;
    assert!(answer.is_empty() && after < LATE, "{answer} {after:?}");
}

#[tokio::test]
async fn a_head_that_is_never_finished_is_closed() {
    let server = start(|it| it.keep_alive_idle = LATE * 4).await;
    for start in ["G", "PRI", "PRI * HTTP/2.0\r\n", "GET /ok HTTP/1.1\r\nhost: x\r\nx-more: "] {
        let (_, after) = server.say(start.as_bytes()).await;
        assert!(after < LATE, "{start:?} {after:?}");
    }
}

#[tokio::test]
async fn a_head_that_drips_is_closed() {
    let server = start(|it| it.keep_alive_idle = LATE * 4).await;
    let mut stream = server.open().await;
    let begun = Instant::now();
    stream.write_all(b"GET /ok HTTP/1.1\r\nhost: x\r\nx-more: ").await.unwrap();
    while begun.elapsed() < LATE {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if stream.write_all(b"y").await.is_err() {
            break;
        }
    }
    assert!(begun.elapsed() < LATE);
}

#[tokio::test]
async fn the_second_head_of_a_connection_is_timed_too_and_idling_is_not_a_head() {
    let server = start(|it| it.keep_alive_idle = SOON * 5).await;
    let mut stream = server.open().await;
    let request = b"GET /ok HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut buffer = [0; 2000];
    stream.write_all(request).await.unwrap();
    assert!(stream.read(&mut buffer).await.unwrap() > 0);
    // Longer than a head may take, shorter than a connection may idle.
    tokio::time::sleep(SOON * 2).await;
    stream.write_all(request).await.unwrap();
    assert!(stream.read(&mut buffer).await.unwrap() > 0);
    stream.write_all(b"GET /ok HT").await.unwrap();
    let (_, after) = until_closed(&mut stream).await;
    assert!(after < SOON * 3, "{after:?}");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = start(|it| it.keep_alive_idle = SOON).await;
    let (answer, after) = server.say(b"GET /ok HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && after < LATE, "{answer} {after:?}");
}

#[tokio::test]
async fn connections_over_the_cap_are_refused_and_room_comes_back() {
    let server = start(|it| {
        it.max_connections = 2;
        it.first_byte_timeout = LATE * 2;
    })
    .await;
    let (first, _second) = (server.open().await, server.open().await);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut third = server.open().await;
    let (answer, after) = until_closed(&mut third).await;
    assert!(answer.is_empty() && after < LATE, "{after:?}");
    drop(first);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (answer, _) = server.say(b"GET /ok HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn faults_of_requests_are_problems() {
    let server = start(|_| {}).await;
    for (line, status, expected) in [
        ("GET /nowhere", 404, "request.not-found"),
        ("DELETE /ok", 405, "request.method-not-allowed"),
        ("GET /panic", 500, "internal.fault"),
        ("GET /stuck", 503, "request.timeout"),
    ] {
        let request = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let (answer, after) = server.say(request.as_bytes()).await;
        assert_eq!(code(&answer), (status, expected.to_owned()), "{line}");
        assert!(after < LATE, "{line}");
    }
}

#[tokio::test]
async fn bodies_have_a_limit_and_a_time() {
    let server = start(|_| {}).await;
    let head = |length: usize| {
        format!(
            "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let large = head(2000) + &" ".repeat(2000);
    assert_eq!(code(&server.say(large.as_bytes()).await.0), (413, "request.body-too-large".to_owned()));
    let chunked = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunked = format!("{chunked}7d0\r\n{}\r\n0\r\n\r\n", " ".repeat(2000));
    assert_eq!(code(&server.say(chunked.as_bytes()).await.0), (413, "request.body-too-large".to_owned()));
    let stalled = head(10) + "{";
    let (answer, after) = server.say(stalled.as_bytes()).await;
    assert_eq!(code(&answer), (408, "request.body-timeout".to_owned()));
    assert!(after < LATE);
}

#[tokio::test]
async fn heads_have_a_limit() {
    let server = start(|_| {}).await;
    let request = format!("GET /ok HTTP/1.1\r\nhost: x\r\nx-more: {}\r\n\r\n", "y".repeat(60_000));
    let mut stream = server.open().await;
    // The server may close before all of it is sent.
    let _closed = stream.write_all(request.as_bytes()).await;
    let (answer, _) = until_closed(&mut stream).await;
    assert!(!answer.contains(" 200 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut() {
    let server = start(|it| {
        it.max_connections = 1;
        it.write_timeout = SOON;
        it.request_timeout = LATE;
    })
    .await;
    let mut greedy = server.open().await;
    greedy.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(SOON * 4).await;
    let (answer, _) = server.say(b"GET /ok HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "its room must be free again: {answer}");
}

#[tokio::test]
async fn requests_finish_before_the_end_and_connections_do_not_hold_it() {
    let server = start(|it| it.keep_alive_idle = LATE * 4).await;
    let mut idle = server.open().await;
    idle.write_all(b"GET /ok HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut busy = server.open().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(SOON / 3).await;
    server.shutdown.cancel();
    let (answer, _) = until_closed(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    tokio::time::timeout(LATE, server.ended).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn what_does_not_finish_is_cut() {
    let server = start(|it| {
        it.request_timeout = LATE * 10;
        it.drain_timeout = SOON;
    })
    .await;
    let mut stuck = server.open().await;
    stuck.write_all(b"GET /stuck HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(SOON / 3).await;
    let begun = Instant::now();
    server.shutdown.cancel();
    server.ended.await.unwrap().unwrap();
    assert!(begun.elapsed() < LATE / 2, "{:?}", begun.elapsed());
}

/// Frames of HTTP/2 with prior knowledge: an idle connection of it is no head that dawdles.
#[tokio::test]
async fn http2_is_spoken_and_may_idle() {
    let server = start(|_| {}).await;
    let mut stream = server.open().await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "SETTINGS come first");
    tokio::time::sleep(SOON * 3).await;
    stream.write_all(&[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).await.unwrap();
    let mut all = [0; 1000];
    let mut pinged = false;
    while let Ok(Ok(length)) = tokio::time::timeout(LATE, stream.read(&mut all)).await {
        assert!(length > 0, "closed while idle");
        if all[..length].windows(8).any(|it| it == [1, 2, 3, 4, 5, 6, 7, 8]) {
            pinged = true;
            break;
        }
    }
    assert!(pinged);
}
