//! A server on loopback that answers anything, and what of it is taken.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Answers every connection with these bytes, after it has read the head of the request; then it closes, or holds.
async fn server(answer: Vec<u8>, holds: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(&answer).await;
            if holds {
                held.push(stream);
            }
        }
    });
    address
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn ok(body: &str) -> Vec<u8> {
    answer("200 OK\r\nContent-Type: application/json", body)
}

fn outgoing(allowed: &[&str]) -> Outgoing {
    crate::install_crypto();
    Outgoing::new(&OutgoingConfig { outgoing_allow: allowed.iter().map(|it| it.parse().unwrap()).collect() })
        .unwrap()
}

async fn get(outgoing: &Outgoing, url: &str) -> Result<serde_json::Value, OutgoingError> {
    outgoing.get(&Url::parse(url).unwrap(), Credential::None).await?.json()
}

async fn got(answer: Vec<u8>) -> Result<serde_json::Value, OutgoingError> {
    let address = server(answer, false).await;
    get(&outgoing(&["127.0.0.0/8"]), &format!("http://{address}/x")).await
}

#[tokio::test]
async fn json_of_an_allowed_network_is_taken() {
    assert_eq!(got(ok(r#"{"a":1}"#)).await.unwrap(), serde_json::json!({ "a": 1 }));
    let keys = answer("200 OK\r\nContent-Type: application/jwk-set+json; charset=utf-8", "{}");
    assert!(got(keys).await.is_ok());
}

#[tokio::test]
async fn cve_2026_5469_we_fetch_nothing_from_networks_that_are_not_public() {
    let address = server(ok("{}"), false).await;
    let port = address.port();
    let nowhere = outgoing(&[]);
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "0.0.0.0",
        "0",
        "localhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "10.0.0.1",
        "169.254.169.254",
        "[fd00::1]",
        "[fe80::1]",
        "[ff02::1]",
    ] {
        for scheme in ["http", "https"] {
            let told = get(&nowhere, &format!("{scheme}://{host}:{port}/")).await.unwrap_err();
            assert!(matches!(told, OutgoingError::Network), "{scheme}://{host}: {told:?}");
        }
    }
}

#[tokio::test]
async fn a_name_is_judged_by_what_it_leads_to() {
    let address = server(ok("{}"), false).await;
    let loopback = outgoing(&["127.0.0.0/8"]);
    assert!(get(&loopback, &format!("http://localhost:{}/", address.port())).await.is_ok());
    let elsewhere = outgoing(&["10.0.0.0/8"]);
    let told = get(&elsewhere, &format!("http://localhost:{}/", address.port())).await.unwrap_err();
    assert!(matches!(told, OutgoingError::Network), "{told:?}");
}

#[tokio::test]
async fn plain_http_is_for_allowed_networks_and_other_schemes_for_none() {
    let told = get(&outgoing(&["127.0.0.0/8"]), "http://8.8.8.8/").await.unwrap_err();
    assert!(matches!(told, OutgoingError::Network), "{told:?}");
    for url in ["ftp://example.com/", "file:///etc/passwd", "data:,x", "https://user:secret@example.com/"] {
        let told = get(&outgoing(&[]), url).await.unwrap_err();
        assert!(matches!(told, OutgoingError::Address), "{url}: {told:?}");
        assert!(!told.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for status in
        ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent", "304 Not Modified"]
    {
        let told = got(answer(&format!("{status}\r\nLocation: http://127.0.0.1:1/"), "")).await.unwrap_err();
        assert!(matches!(told, OutgoingError::Redirected), "{status}: {told:?}");
    }
}

#[tokio::test]
async fn what_is_not_json_or_can_be_read_in_two_ways_is_refused() {
    for (head, body) in [
        ("200 OK\r\nContent-Type: text/html", "{}"),
        ("200 OK\r\nContent-Type: application/javascript", "{}"),
        ("200 OK", "{}"),
        ("200 OK\r\nContent-Type: application/json", ""),
        ("200 OK\r\nContent-Type: application/json", "<html>"),
        ("200 OK\r\nContent-Type: application/json", r#"{"iss":"a","iss":"b"}"#),
        ("200 OK\r\nContent-Type: application/json", r#"{"a":{"b":1,"b":2}}"#),
        ("200 OK\r\nContent-Type: application/json", r#"{"a":"\u0000"}"#),
        ("200 OK\r\nContent-Type: application/json", r#"{"a":1} {"a":2}"#),
        ("502 Bad Gateway\r\nContent-Type: text/html", "<html>"),
    ] {
        let told = got(answer(head, body)).await.unwrap_err();
        assert!(matches!(told, OutgoingError::NotJson { .. }), "{head} {body}: {told:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read_to_its_end() {
    let announced =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999999999\r\n\r\n".to_vec();
    assert!(matches!(got(announced).await, Err(OutgoingError::TooLarge)));
    let mut endless =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n".to_vec();
    endless.resize(endless.len() + ANSWER_BYTES_MAX + 1, b' ');
    assert!(matches!(got(endless).await, Err(OutgoingError::TooLarge)));
    let mut fits =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{}".to_vec();
    fits.resize(fits.len() + ANSWER_BYTES_MAX - 2, b' ');
    assert!(got(fits).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_waited_for_five_seconds() {
    let begun: [&[u8]; 2] =
        [b"", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"];
    let began = std::time::Instant::now();
    let waits = begun.map(async |begun| {
        let address = server(begun.to_vec(), true).await;
        get(&outgoing(&["127.0.0.0/8"]), &format!("http://{address}/")).await.unwrap_err()
    });
    for told in futures_util::future::join_all(waits).await {
        assert!(matches!(told, OutgoingError::TooSlow), "{told:?}");
    }
    assert!(began.elapsed() >= TIMEOUT && began.elapsed() < TIMEOUT * 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn only_so_many_requests_are_under_way() {
    let address = server(Vec::new(), true).await;
    let outgoing = outgoing(&["127.0.0.0/8"]);
    let all: Vec<_> = (0..AT_ONCE_MAX).map(|_| outgoing.places.take(None)).collect();
    assert!(all.iter().all(Option::is_some));
    let told = get(&outgoing, &format!("http://{address}/")).await.unwrap_err();
    assert!(matches!(told, OutgoingError::Busy), "{told:?}");
}

#[tokio::test]
async fn errors_do_not_tell_what_was_sent() {
    // Nothing listens on this port any more.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = Url::parse(&format!("http://{address}/?code=hush")).unwrap();
    let secret = SecretString::from("hush");
    let form = [("client_secret", "hush")];
    let told = outgoing(&["127.0.0.0/8"]).post(&url, &form, Credential::Bearer(&secret)).await.err().unwrap();
    let shown = format!("{told} {told:?} {}", crate::problem::chain(&told));
    assert!(matches!(told, OutgoingError::Unreachable(_)) && !shown.contains("hush"), "{shown}");
}

#[test]
fn names_and_secrets_of_clients_are_encoded_before_they_are_joined() {
    assert_eq!(form_encoded("a:b c%"), "a%3Ab+c%25");
    assert_eq!(form_encoded("=a="), "%3Da%3D");
    assert_eq!(form_encoded(""), "");
}

#[tokio::test]
async fn a_tenant_whose_provider_is_slow_keeps_nobody_else_from_theirs() {
    let [slow, theirs] = [1, 2].map(|n| TenantId::new(uuid::Uuid::from_u128(n)));
    let outgoing = outgoing(&["127.0.0.0/8"]);
    let hanging = server(Vec::new(), true).await;
    let url = format!("http://{hanging}/");
    let mut waiting = Vec::new();
    for _ in 0..AT_ONCE_OF_ONE_MAX {
        let (outgoing, url) = (outgoing.of(slow), url.clone());
        let mut asked = tokio::spawn(async move { get(&outgoing, &url).await });
        // Spawned tasks begin when this one waits.
        let early = tokio::time::timeout(Duration::from_millis(5), &mut asked).await;
        assert!(early.is_err(), "{early:?}");
        waiting.push(asked);
    }
    let told = get(&outgoing.of(slow), &url).await.unwrap_err();
    assert!(matches!(told, OutgoingError::Busy), "{told:?}");
    let quick = format!("http://{}/", server(ok("{}"), false).await);
    assert!(get(&outgoing.of(theirs), &quick).await.is_ok());
    for asked in waiting {
        asked.abort();
        let _ = asked.await;
    }
    assert!(get(&outgoing.of(slow), &quick).await.is_ok(), "whoever gives up gives their place back");
}
