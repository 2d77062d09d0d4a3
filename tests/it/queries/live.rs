//! Live streams: every event once and in order over any number of broken connections, to its own tenant only, for as
//! long as the token is believed and the reader reads.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::Utc;
use domain::ids::{ActorId, TenantId};
use query_api::LiveConfig;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use service_kit::token::Role;
use tests::books::{Books, account, id, transfer};
use tests::database::{execute, tenant};
use tests::ledger;
use tests::sse::{Event, Parser, Reader};
use tests::stack::{Stack, answer};
use tests::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{PATIENCE, Test, number, text};

const STREAM: &str = "/v1/events/stream";

/// A request behind an id.
fn resumed(stack: &Stack, token: &str, path: &str, id: &str) -> RequestBuilder {
    stack.query(token, path).header("Last-Event-ID", id)
}

/// Positions and ids of a tenant's events in the log, in order.
async fn logged(stack: &Stack, tenant: TenantId, after: i64) -> anyhow::Result<Vec<(String, String)>> {
    let mut conn = stack.database.superuser().await?;
    let rows: Vec<(i64, Uuid)> =
        sqlx::query_as("select position, event_id from store.events where tenant_id = $1 and position > $2 order by position")
            .bind(tenant.uuid())
            .bind(after)
            .fetch_all(&mut conn)
            .await?;
    Ok(rows.into_iter().map(|(position, id)| (format!("1-{position}"), id.to_string())).collect())
}

fn received(events: &[Event]) -> Vec<(String, String)> {
    events.iter().map(|it| (it.id.clone(), text(&it.json(), "event_id").to_owned())).collect()
}

/// Asserts that two lists are equal, and shows the first place where they are not.
fn same(received: &[(String, String)], expected: &[(String, String)]) {
    for (n, (found, wanted)) in received.iter().zip(expected).enumerate() {
        assert_eq!(found, wanted, "at {n}");
    }
    assert_eq!(received.len(), expected.len());
}

/// The server's own last word: the one whose name has no dot and is no row's.
async fn last_word(stream: &mut Reader) -> anyhow::Result<Event> {
    loop {
        let event = stream.next().await?.context("a last word")?;
        if !event.name.contains('.') && event.name != "account" {
            return Ok(event);
        }
    }
}

/// Writes transfers of two tenants into each other until told to stop.
async fn write_until(
    stack: &Stack,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Vec<tokio::task::JoinHandle<Test>>> {
    let mut writers = Vec::new();
    for n in 1..=2 {
        let executor = stack.executor()?;
        let stop = Arc::clone(&stop);
        writers.push(tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                for (from, to) in [(0, 1), (1, 2), (2, 0)] {
                    let moved = ledger::transfer(ledger::account(from), ledger::account(to), "0.01")?;
                    ledger::accepted(&ledger::submit(&executor, tenant(n), moved).await?)?;
                }
                tokio::task::yield_now().await;
            }
            Ok(())
        }));
    }
    Ok(writers)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_repeated_over_a_thousand_reconnects_while_two_tenants_write() -> Test {
    let stack = Stack::whole().await?;
    let (one, _two) = (
        Books::with_accounts(&stack, tenant(1), 2).await?,
        Books::with_accounts(&stack, tenant(2), 2).await?,
    );
    let begin = one.read("/v1/events").await?.header("quipu-position").to_owned();
    let stop = Arc::new(AtomicBool::new(false));
    let writers = write_until(&stack, Arc::clone(&stop)).await?;
    let (mut events, mut place, mut seed) = (Vec::new(), begin.clone(), 0x5eed_u64);
    for _ in 0..1_000 {
        // The connection is cut after any number of bytes: within a frame, within a letter.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let mut left = usize::try_from(seed >> 33)? % 4_000 + 1;
        let mut reader = Reader::open(resumed(&stack, &one.token, STREAM, &place)).await?;
        let mut parser = Parser::default();
        while left > 0 {
            let bytes = reader.chunk().await?.context("the stream ended")?;
            let taken = left.min(bytes.len());
            left -= taken;
            events.extend(parser.push(&bytes[..taken]));
        }
        if !parser.last_id.is_empty() {
            place = parser.last_id;
        }
    }
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await??;
    }
    let expected = logged(&stack, tenant(1), number(&begin)).await?;
    let mut reader = Reader::open(resumed(&stack, &one.token, STREAM, &place)).await?;
    let rest = expected.len().saturating_sub(events.len());
    events.extend(reader.take(rest).await?);
    assert!(expected.len() > 1_000, "{} events in a thousand connections", expected.len());
    same(&received(&events), &expected);
    for event in &events {
        let row = event.json();
        assert_eq!((text(&row, "position"), text(&row, "type")), (&*event.id, &*event.name));
    }
    let sample = &events[events.len() / 2];
    assert_eq!(
        sample.json(),
        one.read(&format!("/v1/events/{}", sample.id)).await?.json,
        "the event as it is shown"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_that_write_at_once_see_their_own_only() -> Test {
    let stack = Stack::whole().await?;
    let books = [
        Books::with_accounts(&stack, tenant(1), 2).await?,
        Books::with_accounts(&stack, tenant(2), 2).await?,
    ];
    let at = books[1].position();
    let mut readers = Vec::new();
    for it in &books {
        let events = stack.query(&it.token, STREAM).header("Quipu-Position", &at);
        let row = stack.query(&it.token, &format!("{}/stream", account(1))).header("Quipu-Position", &at);
        readers.push((Reader::open(events).await?, Reader::open(row).await?));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writers = write_until(&stack, Arc::clone(&stop)).await?;
    let mut seen = Vec::new();
    for (events, rows) in &mut readers {
        seen.push((events.take(500).await?, rows.take(10).await?));
    }
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await??;
    }
    for ((n, (events, rows)), (reader, _)) in (1..).zip(&seen).zip(&readers) {
        let all = logged(&stack, tenant(n), number(&reader.begin)).await?;
        same(&received(events), &all[..500]);
        // Rows of the account grow by its own tenant's writes: versions never fall, and each is what that tenant made.
        let versions: Vec<i64> = rows.iter().filter_map(|it| it.json()["version"].as_i64()).collect();
        assert!(versions.len() == rows.len() && versions.windows(2).all(|it| it[0] < it[1]), "{versions:?}");
        let mut conn = stack.database.superuser().await?;
        for row in rows {
            let (made,): (i64,) = sqlx::query_as(
                "select position from store.stream_events where tenant_id = $1 and stream_id = $2::uuid and version = $3",
            )
            .bind(tenant(n).uuid())
            .bind(id(1))
            .bind(row.json()["version"].as_i64())
            .fetch_one(&mut conn)
            .await?;
            assert_eq!(row.json()["position"], format!("1-{made}"));
            assert!(number(&row.id) >= made, "exact for its id");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_takes_the_filters_of_the_list() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let mut colleague = stack.claims(tenant(1), Role::Owner);
    colleague.sub = ActorId::new(Uuid::from_u128(0xb0b));
    let colleague = stack.signer.mint(&colleague)?;
    for n in 1..=2 {
        stack.post(&colleague, "/v1/ledger/transfers", &transfer(n, 0, "1.00")).await?;
    }
    books.write(&format!("{}/freeze", account(1)), &json!({ "side": "both" })).await?;
    let all = books.all("/v1/events?order=oldest", 200).await?;
    let correlation = text(&all[3]["meta"], "correlation").to_owned();
    let middle = text(&all[4], "recorded_at").to_owned();
    // The last event of all meets none of the filters but its own, so a stream that misses has no end here.
    for filter in [
        String::new(),
        "type=ledger.transfer-posted".to_owned(),
        "category=ledger.transfer".to_owned(),
        format!("stream=ledger.account/{}", id(1)),
        format!("actor={}", Uuid::from_u128(0xb0b)),
        format!("correlation={correlation}"),
        format!("from={middle}"),
        format!(
            "type=ledger.transfer-posted&stream=ledger.account/{}&actor={}",
            id(1),
            Uuid::from_u128(0xb0b)
        ),
    ] {
        let listed = books.all(&format!("/v1/events?order=oldest&{filter}"), 200).await?;
        assert!(!listed.is_empty(), "{filter}");
        let after = if filter.starts_with("from") { "" } else { "&after=1-0" };
        let path = format!("{STREAM}?{filter}{after}");
        let mut reader =
            Reader::open(stack.query(&books.token, &path).header("Quipu-Position", books.position())).await?;
        let events = reader.take(listed.len()).await?;
        assert_eq!(events.iter().map(Event::json).collect::<Vec<_>>(), listed, "{filter}");
        // Last-Event-ID counts for more than what the address says.
        if let [.., before, last] = events.as_slice() {
            let mut reader = Reader::open(resumed(&stack, &books.token, &path, &before.id)).await?;
            assert_eq!(reader.take(1).await?.first(), Some(last), "{filter}");
        }
    }
    for (query, status, code) in [
        ("limit=1", 400, "request.unknown-parameter"),
        ("order=newest", 400, "request.unknown-parameter"),
        ("category=nothing", 400, "request.invalid-parameter"),
        ("after=1", 400, "read.position-malformed"),
        ("after=2-1", 409, "read.epoch-changed"),
    ] {
        let refused = stack.get(&books.token, &format!("{STREAM}?{query}")).await?;
        assert_eq!((refused.status.as_u16(), refused.code()), (status, code), "{query}");
    }
    for path in [STREAM.to_owned(), format!("{}/stream", account(1))] {
        for (id, status, code) in [("x", 400, "read.position-malformed"), ("2-1", 409, "read.epoch-changed")]
        {
            let refused = answer(resumed(&stack, &books.token, &path, id)).await?;
            assert_eq!((refused.status.as_u16(), refused.code()), (status, code), "{path} {id}");
        }
        let begun = answer(resumed(&stack, &books.token, &path, "")).await?;
        assert_eq!((begun.status, begun.header("x-accel-buffering")), (StatusCode::OK, "no"), "{path}");
        assert_eq!(begun.header("cache-control"), "no-store", "{path}");
        assert!(begun.text.starts_with("retry: 1000\nid: 1-"), "{}", begun.text);
    }
    Ok(())
}

async fn with_live(
    stack: &mut Stack,
    change: impl FnOnce(&mut LiveConfig),
) -> anyhow::Result<CancellationToken> {
    let mut live = LiveConfig::default();
    change(&mut live);
    let shutdown = CancellationToken::new();
    (stack.query_url, _) = stack.query_api_until(live, shutdown.clone()).await?;
    Ok(shutdown)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_to_resume_at_moves_on_while_nothing_is_sent() -> Test {
    let mut stack = Stack::whole().await?;
    let _stops =
        with_live(&mut stack, |it| it.stream_keep_alive = Duration::from_millis(50)).await?.drop_guard();
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let path = format!("{STREAM}?type=ledger.account-frozen");
    let mut reader = Reader::open(stack.query(&books.token, &path)).await?;
    books.transfer(&transfer(0, 1, "1.00")).await?;
    let newest = books.position();
    while number(&reader.parser.last_id) < number(&newest) {
        let bytes = reader.chunk().await?.context("the stream ended")?;
        let events = reader.parser.push(&bytes);
        assert_eq!(events, [], "nothing meets the filter");
    }
    // It is heard of although nothing happens at all.
    for _ in 0..3 {
        let bytes = reader.chunk().await?.context("the stream ended")?;
        let events = reader.parser.push(&bytes);
        assert_eq!(events, [], "nothing meets the filter");
        assert_eq!(bytes, format!(":\nid: {}\n\n", reader.parser.last_id).into_bytes());
    }
    books.write(&format!("{}/freeze", account(1)), &json!({ "side": "both" })).await?;
    let event = reader.take(1).await?.remove(0);
    assert_eq!((&*event.name, &*event.id), ("ledger.account-frozen", &*books.position()));
    // At a place that the log may never come to nothing breaks.
    let furthest = format!("1-{}", i64::MAX);
    let refused = answer(resumed(&stack, &books.token, STREAM, &furthest)).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (404, "read.version-ahead"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_sent_at_once_and_whenever_it_has_changed() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    let path = format!("{}/stream", account(1));
    let mut reader =
        Reader::open(stack.query(&books.token, &path).header("Quipu-Position", books.position())).await?;
    let first = reader.take(1).await?.remove(0);
    assert_eq!((&*first.name, first.json()), ("account", books.read(&account(1)).await?.json));
    // What happens to others is not sent; what happens to it is.
    books.transfer(&transfer(0, 2, "1.00")).await?;
    books.transfer(&transfer(0, 1, "1.00")).await?;
    let second = reader.take(1).await?.remove(0);
    assert_eq!(second.json(), books.read(&account(1)).await?.json);
    assert_eq!(second.json()["balance"], "101.00");
    assert!(number(&second.id) > number(&first.id) && number(&second.id) >= number(&books.position()));
    // Who comes back gets the row as it is now, never an older one.
    books.write(&format!("{}/freeze", account(1)), &json!({ "side": "both" })).await?;
    let mut again = Reader::open(resumed(&stack, &books.token, &path, &books.position())).await?;
    assert_eq!(again.take(1).await?.remove(0).json()["status"], "frozen");
    let nobodys = format!("/v1/ledger/accounts/{}/stream", Uuid::from_u128(7));
    assert_eq!(books.ask(&nobodys).await?.code(), "request.not-found");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_only_so_many_streams_and_those_that_end_make_room() -> Test {
    let mut stack = Stack::whole().await?;
    let _stops =
        with_live(&mut stack, |it| (it.streams_per_actor, it.streams_max) = (2, 3)).await?.drop_guard();
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let stranger = stack.owner(tenant(2))?;
    let open = async |token: &str| Reader::open(stack.query(token, STREAM)).await;
    let own = [open(&books.token).await?, open(&books.token).await?];
    for path in [STREAM.to_owned(), format!("{}/stream", account(1))] {
        let refused = stack.get(&books.token, &path).await?;
        assert_eq!((refused.status.as_u16(), refused.code()), (429, "rate.too-many-streams"), "{path}");
        assert!(!refused.header("retry-after").is_empty());
    }
    let theirs = open(&stranger).await?;
    let refused = stack.get(&stranger, STREAM).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (503, "overload.too-many-streams"));
    drop((own, theirs));
    // What is refused takes no room, and what was closed gives it back.
    until(PATIENCE, || async {
        let mut open = Vec::new();
        for token in [&books.token, &books.token, &stranger] {
            let response = stack.query(token, STREAM).send().await?;
            if response.status() == StatusCode::OK {
                open.push(response);
            }
        }
        Ok(open.len() == 3)
    })
    .await?;
    for _ in 0..10 {
        let missing =
            stack.get(&books.token, &format!("/v1/ledger/accounts/{}/stream", Uuid::from_u128(7))).await?;
        assert!(matches!(
            missing.code(),
            "request.not-found" | "rate.too-many-streams" | "overload.too-many-streams"
        ));
    }
    until(PATIENCE, || async {
        Ok(stack.query(&books.token, STREAM).send().await?.status() == StatusCode::OK)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_nothing_is_dropped_and_told_where_to_go_on() -> Test {
    let mut stack = Stack::whole().await?;
    let change = |it: &mut LiveConfig| {
        (it.streams_per_actor, it.stream_stall_max) = (1, Duration::from_millis(1_500));
    };
    let _stops = with_live(&mut stack, change).await?.drop_guard();
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let items: Vec<Value> = (0..1_000).map(|_| json!({ "transfer": transfer(0, 1, "0.01") })).collect();
    for _ in 0..8 {
        books.write("/v1/ledger/batches", &json!({ "items": items })).await?;
    }
    books.read("/v1/events?limit=1").await?;
    // More than all buffers on the way can hold, to a reader that reads nothing.
    let address: std::net::SocketAddr = stack.query_url.trim_start_matches("http://").parse()?;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4_096)?;
    let mut connection = socket.connect(address).await?;
    let head = format!(
        "GET {STREAM}?after=1-0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        books.token
    );
    connection.write_all(head.as_bytes()).await?;
    let mut bytes = vec![0; 16];
    connection.read_exact(&mut bytes).await?;
    assert!(bytes.starts_with(b"HTTP/1.1 200"), "{bytes:?}");
    let refused = stack.get(&books.token, STREAM).await?;
    assert_eq!(refused.code(), "rate.too-many-streams", "it has the seat");
    // The seat is free once nothing was taken for too long, although the connection is still there.
    until(PATIENCE, || async {
        Ok(stack.query(&books.token, STREAM).send().await?.status() == StatusCode::OK)
    })
    .await?;
    let mut buffer = vec![0; 64 * 1024];
    let end = b"0\r\n\r\n";
    while !bytes.ends_with(end) {
        let read =
            tokio::time::timeout(PATIENCE, connection.read(&mut buffer)).await.context("nothing came")??;
        anyhow::ensure!(read > 0, "the connection broke before the last word");
        bytes.extend_from_slice(&buffer[..read]);
    }
    let events = Parser::default().push(&dechunked(&bytes)?);
    let (last, events) = events.split_last().context("events")?;
    assert_eq!(last.name, "dropped", "{last:?}");
    let newest = events.last().context("events")?.id.clone();
    assert_eq!((last.json(), &last.id), (json!({ "resume_after": newest }), &newest));
    assert!(events.len() < 8_000, "{} events fit into the buffers on the way", events.len());
    // Going on there, it has them all.
    let all = logged(&stack, tenant(1), 0).await?;
    let mut reader = Reader::open(resumed(&stack, &books.token, STREAM, &last.id)).await?;
    let mut whole = received(events);
    whole.extend(received(&reader.take(all.len() - events.len()).await?));
    same(&whole, &all);
    Ok(())
}

/// The body of an answer in chunks (RFC 9112, 7.1).
fn dechunked(answer: &[u8]) -> anyhow::Result<Vec<u8>> {
    let line = |rest: &[u8]| rest.windows(2).position(|it| it == b"\r\n");
    let head = answer.windows(4).position(|it| it == b"\r\n\r\n").context("a head")?;
    let (mut rest, mut body) = (&answer[head + 4..], Vec::new());
    while let Some(end) = line(rest) {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end])?, 16)?;
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
    Ok(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_token() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let mut claims = stack.claims(tenant(1), Role::Member);
    // Believed for another two seconds, with what clocks may differ by.
    claims.exp = Utc::now().timestamp() - service_kit::token::LEEWAY_SECONDS + 2;
    claims.iat -= 600;
    let until = claims.exp + service_kit::token::LEEWAY_SECONDS;
    let token = stack.signer.mint(&claims)?;
    let account = format!("{}/stream", account(1));
    let mut streams = vec![
        Reader::open(stack.query(&token, STREAM).header("Quipu-Position", books.position())).await?,
        Reader::open(stack.query(&token, &account).header("Quipu-Position", books.position())).await?,
    ];
    streams[1].take(1).await?;
    for stream in &mut streams {
        let last = last_word(stream).await?;
        assert_eq!((&*last.name, last.json()), ("expired", json!({ "resume_after": last.id })));
        assert!(number(&last.id) >= number(&books.position()), "{last:?}");
        assert_eq!(stream.next().await?, None);
        assert!(Utc::now().timestamp() > until, "no earlier than the token");
    }
    assert_eq!(stack.get(&token, STREAM).await?.code(), "auth.token-expired");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_the_server_and_do_not_hold_it_up() -> Test {
    let mut stack = Stack::whole().await?;
    let shutdown = CancellationToken::new();
    let (url, served) = stack.query_api_until(LiveConfig::default(), shutdown.clone()).await?;
    stack.query_url = url;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let mut streams = Vec::new();
    for path in
        [STREAM.to_owned(), format!("{STREAM}?type=ledger.period-closed"), format!("{}/stream", account(1))]
    {
        streams.push(
            Reader::open(stack.query(&books.token, &path).header("Quipu-Position", books.position())).await?,
        );
    }
    streams[2].take(1).await?;
    let begun = Instant::now();
    shutdown.cancel();
    for stream in &mut streams {
        let last = last_word(stream).await?;
        assert_eq!((&*last.name, last.json()), ("goodbye", json!({ "resume_after": last.id })));
        assert!(number(&last.id) >= number(&books.position()), "{last:?}");
        assert_eq!(stream.next().await?, None);
    }
    drop(streams);
    served.await??;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    Ok(())
}

/// What is recorded until the log is there would be passed over, and whoever follows it would not know.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_begins_behind_no_position_that_has_not_come() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let head = number(&books.position());
    for path in [STREAM, "/v1/security-feed/stream"] {
        let ahead = answer(resumed(&stack, &books.token, path, &format!("1-{}", head + 1_000))).await?;
        assert_eq!((ahead.status.as_u16(), ahead.code()), (404, "read.version-ahead"), "{path}");
        let newest = ahead.json["details"]["newest_position"].as_str().context("how far it is")?;
        assert!((head..head + 1_000).contains(&number(newest)), "{newest}");
    }
    Reader::open(resumed(&stack, &books.token, STREAM, &books.position())).await?;
    Ok(())
}

/// Whoever follows right behind their own command may ask before the log that is read has it: it is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_waits_for_a_position_that_is_about_to_come() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 2).await?;
    // Farther than what is told of the requests themselves.
    let target = number(&books.position()) + 10;
    let mut opened = pin!(Reader::open(resumed(&stack, &books.token, STREAM, &format!("1-{target}"))));
    let early = timeout(Duration::from_millis(300), &mut opened).await.map(|it| it.map(|_| "begun"));
    assert!(early.is_err(), "neither refused nor begun before the position has come: {early:?}");
    while number(&books.position()) < target {
        books.transfer(&transfer(0, 1, "1.00")).await?;
    }
    opened.await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_a_log_that_was_restored_ends_and_cannot_be_resumed() -> Test {
    let stack = Stack::whole().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let mut reader =
        Reader::open(stack.query(&books.token, STREAM).header("Quipu-Position", books.position())).await?;
    let mut conn = stack.database.superuser().await?;
    execute(&mut conn, "update store.log_identity set epoch = epoch + 1".to_owned()).await?;
    let last = last_word(&mut reader).await?;
    assert_eq!(last.name, "epoch-changed");
    let refused = answer(resumed(&stack, &books.token, STREAM, &last.id)).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (409, "read.epoch-changed"));
    Ok(())
}
