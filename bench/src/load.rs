//! Requests over keep-alive connections: as fast as the answers come, or at a set rate.
//!
//! The load shares the cores with what it measures, so its client is a socket, two buffers and a parser.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::figures::Times;

/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
const HEADERS_MAX: usize = 32;

/// What is asked: bytes of whole requests.
pub(crate) trait Requests: Send + Sync + 'static {
    /// Writes the next request of a connection into an empty buffer. `number` counts its requests.
    fn write(&self, connection: usize, number: u64, buffer: &mut Vec<u8>);
}

/// How hard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Connections, each with one request under way at most.
    pub(crate) connections: usize,
    /// For how long.
    pub(crate) time: Duration,
    /// Requests a second over all connections; as many as can be without.
    pub(crate) rate: Option<f64>,
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Requests that were answered with success.
    pub(crate) accepted: u64,
    /// The same, a second.
    pub(crate) per_second: f64,
    /// How long each took, from when it was due.
    pub(crate) times: Times,
    /// Answers without success, by status.
    pub(crate) refused: std::collections::BTreeMap<u16, u64>,
}

impl Answers {
    /// Fails if anything was refused.
    pub(crate) fn all_accepted(self, what: &str) -> anyhow::Result<Self> {
        anyhow::ensure!(self.refused.is_empty(), "{what}: not everything was accepted: {:?}", self.refused);
        Ok(self)
    }
}

/// Runs a load against an address, on a thread of its own.
pub(crate) async fn run(
    address: SocketAddr,
    load: Load,
    requests: Arc<dyn Requests>,
) -> anyhow::Result<Answers> {
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(all(address, load, requests))
    };
    tokio::task::spawn_blocking(work).await?
}

async fn all(address: SocketAddr, load: Load, requests: Arc<dyn Requests>) -> anyhow::Result<Answers> {
    let mut connections = tokio::task::JoinSet::new();
    let mut open = Vec::with_capacity(load.connections);
    for _ in 0..load.connections {
        open.push(Connection::open(address).await?);
    }
    let begun = Instant::now();
    let pace = load.rate.map(|rate| Duration::from_secs_f64(load.connections as f64 / rate));
    for (number, connection) in open.into_iter().enumerate() {
        // Connections begin one after the other, so that a paced load is even.
        let offset = pace.map(|pace| pace.mul_f64(number as f64 / load.connections as f64));
        let requests = Arc::clone(&requests);
        let schedule = Schedule { begun, offset: offset.unwrap_or_default(), pace, end: begun + load.time };
        connections.spawn(connection.drive(number, schedule, requests));
    }
    let mut answers = Answers::default();
    while let Some(done) = connections.join_next().await {
        let one = done??;
        answers.accepted += one.accepted;
        answers.times.append(one.times);
        for (status, count) in one.refused {
            *answers.refused.entry(status).or_default() += count;
        }
    }
    answers.per_second = answers.accepted as f64 / begun.elapsed().as_secs_f64();
    Ok(answers)
}

struct Schedule {
    begun: Instant,
    offset: Duration,
    pace: Option<Duration>,
    end: Instant,
}

impl Schedule {
    /// Waits until the request with this number is due. If that was while the one before was under way, the wait counts
    /// as part of its time: a client does not stop wanting because a server is slow.
    async fn due(&self, number: u64) -> Instant {
        let Some(pace) = self.pace else { return Instant::now() };
        let due = self.begun + self.offset + pace.mul_f64(number as f64);
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
            return Instant::now();
        }
        due
    }
}

#[derive(Default)]
struct One {
    accepted: u64,
    times: Times,
    refused: std::collections::BTreeMap<u16, u64>,
}

/// One connection of HTTP/1.1.
pub(crate) struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    incoming: Vec<u8>,
}

impl Connection {
    /// Opens one.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, out: Vec::with_capacity(2048), incoming: Vec::with_capacity(8192) })
    }

    async fn drive(
        mut self,
        connection: usize,
        schedule: Schedule,
        requests: Arc<dyn Requests>,
    ) -> anyhow::Result<One> {
        let mut one = One::default();
        for number in 0.. {
            let due = schedule.due(number).await;
            if due >= schedule.end {
                break;
            }
            self.out.clear();
            requests.write(connection, number, &mut self.out);
            let status = self.exchange().await?;
            one.times.push(due.elapsed());
            if (200..300).contains(&status) {
                one.accepted += 1;
            } else {
                *one.refused.entry(status).or_default() += 1;
            }
        }
        Ok(one)
    }

    /// Sends one request and reads its answer: status and body.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> anyhow::Result<(u16, Vec<u8>)> {
        self.out.clear();
        self.out.extend_from_slice(request);
        let status = self.exchange().await?;
        let body = self.incoming.clone();
        Ok((status, body))
    }

    /// Sends what stands in the outgoing buffer; leaves the body of the answer in the other.
    async fn exchange(&mut self) -> anyhow::Result<u16> {
        self.stream.write_all(&self.out).await?;
        self.incoming.clear();
        loop {
            if self.stream.read_buf(&mut self.incoming).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if let Some((status, head, body)) = parse(&self.incoming)?
                && self.incoming.len() >= head + body
            {
                self.incoming.drain(..head);
                return Ok(status);
            }
            anyhow::ensure!(self.incoming.len() < ANSWER_BYTES_MAX, "an answer has no end");
        }
    }
}

/// Status, bytes of the head and of the body, once the head is whole.
fn parse(bytes: &[u8]) -> anyhow::Result<Option<(u16, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes)? else { return Ok(None) };
    let length = response.headers.iter().find(|it| it.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|it| std::str::from_utf8(it.value).ok()).and_then(|it| it.parse().ok());
    Ok(Some((response.code.unwrap_or_default(), head, length.unwrap_or(0))))
}
