//! Two questions over a bare socket: an HTTP status, and who a NATS server says that it is.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The status with which a server on 127.0.0.1 answers `GET path`.
pub(crate) async fn http_status(port: u16, path: &str) -> anyhow::Result<u16> {
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut status_line = String::new();
        BufReader::new(stream).take(ANSWER_BYTES_MAX).read_line(&mut status_line).await?;
        let status = status_line.split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok());
        status.context("the answer is not HTTP")
    };
    timeout(ANSWER_TIMEOUT, ask).await.context("no answer in time")?
}

/// What a NATS server says of itself to everybody who connects.
#[derive(Debug, Deserialize)]
pub(crate) struct NatsGreeting {
    pub(crate) server_name: String,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) jetstream: bool,
}

/// Connects, and reads the greeting.
pub(crate) async fn nats_greeting(address: &str) -> anyhow::Result<NatsGreeting> {
    let ask = async {
        let stream = TcpStream::connect(address).await?;
        let mut line = String::new();
        BufReader::new(stream).take(ANSWER_BYTES_MAX).read_line(&mut line).await?;
        let json = line.strip_prefix("INFO ").context("what answers is not NATS")?;
        serde_json::from_str(json).context("the greeting of NATS is not understood")
    };
    timeout(ANSWER_TIMEOUT, ask).await.context("no answer in time")?
}
