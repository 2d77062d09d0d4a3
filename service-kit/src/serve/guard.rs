//! A TCP stream that ends itself when its client is silent, dawdles over a head or takes nothing of an answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use sabotage::Guard;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::config::HttpConfig;

/// Bytes of the preface of HTTP/2.
const PREFACE_BYTES: usize = 24;

const SILENT: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;
const IDLE: u8 = 3;
/// HTTP/2: frames come at any time, and pings of the library tell the dead.
const UNTIMED: u8 = 4;

/// What a connection is at, shared by its stream and its service.
#[derive(Debug, Default)]
pub(super) struct Phase(AtomicU8);

impl Phase {
    /// A head is complete: the service has been called.
    pub(super) fn busy(&self) {
        self.enter(BUSY);
    }

    /// An answer has begun; a next head may follow it.
    pub(super) fn idle(&self) {
        self.enter(IDLE);
    }

    fn enter(&self, phase: u8) {
        if self.at() != UNTIMED {
            self.0.store(phase, Ordering::Relaxed);
        }
    }

    fn at(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(super) struct Guarded {
    stream: TcpStream,
    phase: Arc<Phase>,
    header_timeout: Duration,
    write_timeout: Duration,
    reading: Pin<Box<Sleep>>,
    writing: Option<Pin<Box<Sleep>>>,
    /// The first bytes, until they tell HTTP/2 from HTTP/1.
    seen: usize,
    may_be_http2: bool,
}

impl Guarded {
    pub(super) fn new(stream: TcpStream, phase: Arc<Phase>, config: &HttpConfig) -> Self {
        Self {
            stream,
            phase,
            header_timeout: config.header_timeout,
            write_timeout: config.write_timeout,
            reading: Box::pin(sleep(config.first_byte_timeout)),
            writing: None,
            seen: 0,
            may_be_http2: true,
        }
    }

    fn arrived(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if matches!(self.phase.at(), SILENT | IDLE) {
            self.phase.enter(HEAD);
            self.reading.as_mut().reset(Instant::now() + self.header_timeout);
        }
        if self.may_be_http2 && self.seen < PREFACE_BYTES {
            // No method of HTTP/1 begins like this.
            let rest = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".iter().skip(self.seen);
            self.may_be_http2 = rest.zip(bytes).all(|(expected, byte)| expected == byte);
            self.seen = self.seen.saturating_add(bytes.len());
            if self.may_be_http2 && self.seen >= PREFACE_BYTES {
                self.phase.enter(UNTIMED);
            }
        }
    }

    fn stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let limit = self.write_timeout;
        let timer = self.writing.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of its answer"))
    }

    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            self.writing = None;
            return result;
        }
        self.stalled(cx).map(Err)
    }
}

impl AsyncRead for Guarded {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                this.arrived(buf.filled().get(before..).unwrap_or_default());
                Poll::Ready(Ok(()))
            }
            Poll::Pending
                if matches!(this.phase.at(), SILENT | HEAD) && sabotage::stands(Guard::HeaderTimeout) =>
            {
                ready!(this.reading.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no whole head in time")))
            }
            other => other,
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.written(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
