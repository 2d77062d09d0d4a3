//! HTTP/1.1 as bytes, for clients that say what no library would let them say. Answers are read strictly: a byte that
//! belongs to none is found by whoever reads the next one.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::PATIENCE;

/// Bytes of an answer at most.
const BYTES_MAX: usize = 64 << 20;

/// One connection.
pub(super) struct Wire {
    stream: TcpStream,
    pending: Vec<u8>,
}

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    /// Its status.
    pub(super) status: u16,
    /// Its headers, with names in small letters.
    pub(super) headers: Vec<(String, String)>,
    /// Its body; of a live stream nothing.
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// A header, or nothing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(it, _)| it == name).map_or("", |(_, value)| value)
    }

    /// Its body as JSON, or nothing.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The code of a problem, or nothing.
    pub(super) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Its body as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the connection cannot be used after it: it is said so, or the body has no end.
    pub(super) fn is_last(&self) -> bool {
        self.header("connection").eq_ignore_ascii_case("close") || self.is_live()
    }

    fn is_live(&self) -> bool {
        self.header("content-type") == "text/event-stream"
    }
}

/// The address in a URL of the stack.
pub(super) fn address(url: &str) -> anyhow::Result<SocketAddr> {
    Ok(url.trim_start_matches("http://").parse()?)
}

impl Wire {
    pub(super) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, pending: Vec::new() })
    }

    /// A connection whose kernel keeps little of what was not read.
    pub(super) async fn narrow(address: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4_096)?;
        Ok(Self { stream: socket.connect(address).await?, pending: Vec::new() })
    }

    /// Sends bytes. The server may have closed, which is no error here: what it says tells more.
    pub(super) async fn say(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await {
            Ok(_sent_or_closed) => Ok(()),
            Err(_) => anyhow::bail!("the server takes nothing"),
        }
    }

    /// Sends as much as the server takes, and whether it took all.
    pub(super) async fn try_say(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// The next answer; nothing, if the connection was closed instead.
    pub(super) async fn reply(&mut self) -> anyhow::Result<Option<Reply>> {
        self.reply_to(false).await
    }

    /// The same; of a request that asks for no body.
    pub(super) async fn reply_to(&mut self, is_head: bool) -> anyhow::Result<Option<Reply>> {
        loop {
            let Some(end) = self.until(b"\r\n\r\n", 0).await? else { return Ok(None) };
            let head = String::from_utf8_lossy(&self.pending[..end]).into_owned();
            self.pending.drain(..end + 4);
            let mut reply = parse_head(&head)?;
            if reply.status < 200 {
                continue;
            }
            if !(is_head || reply.is_live() || matches!(reply.status, 204 | 304)) {
                reply.body = self.body(&reply).await?;
            }
            return Ok(Some(reply));
        }
    }

    /// All answers until the server closes.
    pub(super) async fn until_closed(&mut self) -> anyhow::Result<Vec<Reply>> {
        let mut replies = Vec::new();
        while let Some(reply) = self.reply().await? {
            replies.push(reply);
        }
        Ok(replies)
    }

    /// Whether the server has closed, without a word, within a time.
    pub(super) async fn is_closed_within(&mut self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.more()).await.is_ok_and(|more| more.is_ok_and(|it| !it))
    }

    /// Reads to the end of the connection and forgets what was read.
    pub(super) async fn drain(&mut self) -> anyhow::Result<()> {
        while self.more().await? {
            self.pending.clear();
        }
        Ok(())
    }

    async fn body(&mut self, reply: &Reply) -> anyhow::Result<Vec<u8>> {
        if reply.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
            return self.chunks().await;
        }
        let length = reply.header("content-length");
        if length.is_empty() {
            while self.more().await? {}
            return Ok(std::mem::take(&mut self.pending));
        }
        self.exactly(length.parse().context("a length")?).await
    }

    async fn chunks(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = self.until(b"\r\n", 0).await?.context("the answer broke off")?;
            let size = usize::from_str_radix(std::str::from_utf8(&self.pending[..end])?.trim(), 16)?;
            self.pending.drain(..end + 2);
            let chunk = self.exactly(size + 2).await?;
            anyhow::ensure!(chunk.ends_with(b"\r\n"), "a chunk without its end");
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    async fn exactly(&mut self, length: usize) -> anyhow::Result<Vec<u8>> {
        anyhow::ensure!(length < BYTES_MAX, "an answer of {length} bytes");
        while self.pending.len() < length {
            anyhow::ensure!(self.more().await?, "the answer broke off");
        }
        Ok(self.pending.drain(..length).collect())
    }

    /// Where a mark stands in what was received; nothing, if the connection ended before.
    async fn until(&mut self, mark: &[u8], from: usize) -> anyhow::Result<Option<usize>> {
        let mut seen = from;
        loop {
            if let Some(at) = self.pending[seen..].windows(mark.len()).position(|it| it == mark) {
                return Ok(Some(seen + at));
            }
            seen = self.pending.len().saturating_sub(mark.len() - 1);
            if !self.more().await? {
                anyhow::ensure!(self.pending.is_empty(), "half an answer: {:?}", self.pending);
                return Ok(None);
            }
        }
    }

    /// Receives; `false` at the end, be it a close or a reset.
    async fn more(&mut self) -> anyhow::Result<bool> {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.pending)).await;
        Ok(read.context("nothing came")?.is_ok_and(|it| it > 0))
    }
}

fn parse_head(head: &str) -> anyhow::Result<Reply> {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|it| it.strip_prefix("HTTP/1.")?.get(2..5));
    let status = status.and_then(|it| it.parse().ok()).with_context(|| format!("no answer: {head:?}"))?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    Ok(Reply { status, headers, body: Vec::new() })
}
