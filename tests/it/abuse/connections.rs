//! Crowds of clients that say nothing, half of something, or take nothing: they cost little, hold nobody up, and are shown
//! the door in time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tests::books::{Books, transfer};
use tests::database::tenant;
use tests::stack::Stack;
use tests::until;
use uuid::Uuid;

use super::process::Process;
use super::wire::Wire;
use super::{PATIENCE, Test, note, quantile};

/// What a process may take above what it needs when nobody is there.
const MEMORY_MAX: u64 = 256 << 20;
/// What nine of ten answers to a normal client take less than, beside a crowd.
const TYPICAL_MAX: Duration = Duration::from_millis(250);
/// Connections to the database and to NATS that a server may have opened meanwhile.
const FILES_BESIDE: usize = 12;
/// Whoever has a token may hold up the work of a server by bodies that do not come: fewer than it works on at once.
const STALLED_MAX: usize = 500;

fn seconds(it: Duration) -> String {
    format!("{}s", it.as_secs())
}

/// A client with manners, on a connection that it keeps.
struct Polite {
    wire: Wire,
    token: String,
    waited: Vec<Duration>,
}

impl Polite {
    async fn open(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        Ok(Self { wire: Wire::open(address).await?, token: token.to_owned(), waited: Vec::new() })
    }

    /// Moves a cent.
    async fn ask(&mut self) -> Test {
        let begun = Instant::now();
        self.wire.say(&post(&self.token, &transfer(0, 1, "0.01").to_string())).await?;
        let reply = self.wire.reply().await?.context("the polite client was shown the door")?;
        ensure!(reply.status == 201, "{} {}", reply.status, reply.text());
        self.waited.push(begun.elapsed());
        Ok(())
    }
}

/// Fails if a normal client was held up by others, who say nothing for the time given. Some answers may have waited for the
/// disk, but none as long as for one of them.
fn not_held_up(waited: &mut [Duration], silent_for: Duration) -> Test {
    let (typical, slowest) = (quantile(waited, 0.9), quantile(waited, 1.0));
    ensure!(typical < TYPICAL_MAX, "of ten answers to a normal client one took {typical:?}");
    ensure!(slowest < silent_for, "a normal client waited {slowest:?}");
    Ok(())
}

fn post(token: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "POST /v1/ledger/transfers HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nidempotency-key: {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        Uuid::now_v7(),
        body.len()
    );
    (head + body).into_bytes()
}

/// How the client with this number begins, before it falls silent.
fn opening(n: usize, token: &str) -> Vec<u8> {
    let head = format!(
        "POST /v1/ledger/transfers HTTP/1.1\r\nhost: x\r\nidempotency-key: {n}\r\n\
         authorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n"
    );
    match n % 4 {
        0 => Vec::new(),
        1 => b"GET /livez HTTP/1.1\r\nhost: x\r\nx-more: ".to_vec(),
        2 if n / 4 < STALLED_MAX => (head + "\r\n{\"legs\":").into_bytes(),
        2 => head.into_bytes(),
        _ => b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
    }
}

/// Lets this process, and those that it starts, have as many files as the machine allows; whether that is enough.
fn allow_files(count: usize) -> anyhow::Result<bool> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum.is_none_or(|it| it >= u64::try_from(count).unwrap_or(u64::MAX)))
}

async fn crowd(count: usize, limit: Duration) -> Test {
    if !allow_files(count + 1_000)? {
        return note(format_args!("NOT RUN: a limit of {} open files is needed", count + 1_000));
    }
    let stack = Stack::commands_only().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let mut settings = vec![("QUIPU_MAX_CONNECTIONS", (count + 1).to_string())];
    for name in
        ["QUIPU_FIRST_BYTE_TIMEOUT", "QUIPU_HEADER_TIMEOUT", "QUIPU_BODY_TIMEOUT", "QUIPU_KEEP_ALIVE_IDLE"]
    {
        settings.push((name, seconds(limit)));
    }
    let mut server = Process::command_api(&stack, &settings).await?;
    let mut polite = Polite::open(server.address, &books.token).await?;
    for _ in 0..100 {
        polite.ask().await?;
    }
    let before = quantile(&mut std::mem::take(&mut polite.waited), 0.99);
    let (idle, files) = (server.memory()?, server.open_files()?);

    let begun = Instant::now();
    let mut crowd = Vec::with_capacity(count);
    for n in 0..count {
        let mut wire = Wire::open(server.address).await?;
        wire.say(&opening(n, &books.token)).await?;
        crowd.push(wire);
        if n % 50 == 0 {
            polite.ask().await?;
        }
    }
    let opened = begun.elapsed();
    ensure!(opened < limit, "the machine is too slow to have {count} clients at once: {opened:?}");
    until(limit, || async { Ok(server.open_files()? >= files + count) })
        .await
        .context("they are not all in")?;
    // One more is not queued.
    for _ in 0..50 {
        let mut refused = Wire::open(server.address).await?;
        ensure!(refused.is_closed_within(Duration::from_secs(2)).await, "a client over the cap was let in");
    }
    let mut most = 0;
    while begun.elapsed() < limit {
        most = most.max(server.memory()?);
        polite.ask().await?;
    }
    for wire in &mut crowd {
        wire.drain().await?;
    }
    let closed = begun.elapsed();
    ensure!(closed < limit * 2 + opened + Duration::from_secs(10), "the last one left after {closed:?}");
    until(PATIENCE, || async { Ok(server.open_files()? <= files + FILES_BESIDE) })
        .await
        .context("files are still open")?;
    let (asked, slowest) = (polite.waited.len(), quantile(&mut polite.waited.clone(), 1.0));
    note(format_args!(
        "{count} idle clients: opened in {opened:?}, all gone after {closed:?}; memory {} MiB above {} MiB; a normal \
         client asked {asked} times: p99 {:?} (before: {before:?}), slowest {slowest:?}",
        most.saturating_sub(idle) >> 20,
        idle >> 20,
        quantile(&mut polite.waited, 0.99),
    ))?;
    ensure!(most.saturating_sub(idle) < MEMORY_MAX);
    not_held_up(&mut polite.waited, limit)?;
    server.is_sound()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_idle_clients_is_borne_and_shown_the_door() -> Test {
    crowd(1_200, Duration::from_secs(6)).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "opens 10,000 connections"]
async fn ten_thousand_idle_clients_are_borne_and_shown_the_door() -> Test {
    crowd(10_000, Duration::from_secs(15)).await
}

/// Clients that ask for much and take nothing of it.
async fn slow_readers(count: usize, limit: Duration) -> Test {
    ensure!(allow_files(count + 1_000)?, "too few files");
    let stack = Stack::commands_only().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let mut server = Process::command_api(&stack, &[("QUIPU_WRITE_TIMEOUT", seconds(limit))]).await?;
    let mut polite = Polite::open(server.address, &books.token).await?;
    for _ in 0..100 {
        polite.ask().await?;
    }
    polite.waited.clear();
    let (idle, files) = (server.memory()?, server.open_files()?);
    let begun = Instant::now();
    let mut readers = Vec::with_capacity(count);
    for _ in 0..count {
        // Eleven megabytes in one go: more than the buffers of both kernels.
        let mut wire = Wire::narrow(server.address).await?;
        wire.say(&b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n".repeat(8)).await?;
        readers.push(wire);
        polite.ask().await?;
    }
    let mut most = 0;
    let all_gone = async {
        while server.open_files()? > files + FILES_BESIDE {
            most = most.max(server.memory()?);
            polite.ask().await?;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(limit * 3 + PATIENCE, all_gone)
        .await
        .context("slow readers were not dropped")
        .with_context(|| format!("{files} files before, {:?} now", server.open_files()))??;
    let (gone, slowest) = (begun.elapsed(), quantile(&mut polite.waited, 1.0));
    note(format_args!(
        "{count} readers that take nothing: dropped after {gone:?}; memory {} MiB above {} MiB; a normal client's \
         slowest answer {slowest:?}",
        most.saturating_sub(idle) >> 20,
        idle >> 20
    ))?;
    ensure!(gone >= limit, "they were dropped before their time");
    ensure!(most.saturating_sub(idle) < MEMORY_MAX);
    not_held_up(&mut polite.waited, limit)?;
    server.is_sound()
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_take_nothing_of_a_large_answer_are_dropped() -> Test {
    slow_readers(60, Duration::from_secs(2)).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "opens 2,000 connections"]
async fn two_thousand_readers_that_take_nothing_are_dropped() -> Test {
    slow_readers(2_000, Duration::from_secs(5)).await
}

/// A byte now and then is no progress: heads and bodies have an end in time, however they come.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_drip_are_shown_the_door_in_time() -> Test {
    let stack = Stack::commands_only().await?;
    let books = Books::with_accounts(&stack, tenant(1), 1).await?;
    let limit = Duration::from_secs(2);
    let settings = ["QUIPU_HEADER_TIMEOUT", "QUIPU_BODY_TIMEOUT"].map(|it| (it, seconds(limit)));
    let mut server = Process::command_api(&stack, &settings).await?;
    let head = format!(
        "POST /v1/ledger/transfers HTTP/1.1\r\nhost: x\r\nidempotency-key: 1\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\n",
        books.token
    );
    let openings = [
        ("a head", "GET /livez HTTP/1.1\r\nhost: x\r\nx-more: ".to_owned(), "y"),
        ("a body", format!("{head}content-length: 60000\r\n\r\n"), " "),
        ("chunks", format!("{head}transfer-encoding: chunked\r\n\r\n"), "1\r\n \r\n"),
    ];
    let mut dripping = Vec::new();
    for (what, opening, drop) in openings {
        for _ in 0..40 {
            let (address, opening) = (server.address, opening.clone());
            dripping.push(tokio::spawn(async move {
                let mut wire = Wire::open(address).await?;
                wire.say(opening.as_bytes()).await?;
                let begun = Instant::now();
                let mut pace = tokio::time::interval(Duration::from_millis(100));
                while begun.elapsed() < limit + Duration::from_millis(500)
                    && wire.try_say(drop.as_bytes()).await
                {
                    pace.tick().await;
                }
                let replies = wire.until_closed().await?;
                let after = begun.elapsed();
                ensure!(after < limit * 3, "{what} went on for {after:?}");
                // A reset may overtake the answer.
                ensure!(replies.len() <= 1, "{what}: {replies:?}");
                for reply in replies.iter().filter(|_| what != "a head") {
                    ensure!(reply.code() == "request.body-timeout" && reply.is_last(), "{what}: {reply:?}");
                }
                anyhow::Ok((what, replies.len()))
            }));
        }
    }
    let mut told = 0;
    for client in dripping {
        let (what, replies) = client.await??;
        told += if what == "a head" { 0 } else { replies };
    }
    ensure!(told > 0, "nobody was told why");
    let mut polite = Polite::open(server.address, &books.token).await?;
    polite.ask().await?;
    server.is_sound()
}
