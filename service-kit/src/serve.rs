//! The accept loop. `axum::serve` has no limit on connections and no time limit on heads, so a few thousand silent
//! clients hold it; here every phase of a connection has its own limit, and none of them needs a timer per request.
//!
//! Phases: silent (first byte), head (from its first byte to the call of the service), busy, idle. [`guard::Guarded`]
//! times the first two and stalled writes; hyper times idling.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::access::PeerAddress;
use crate::aliases;
use crate::config::HttpConfig;

mod guard;

use guard::{Guarded, Phase};

/// Pause after an accept that failed for want of something, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Bytes of a head at most; also the size of a connection's read buffer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
const STREAMS_MAX: u32 = 100;
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_ANSWER_MAX: Duration = Duration::from_secs(10);

/// A listener with what it serves.
#[derive(Debug)]
pub struct Server {
    /// Where connections come from.
    pub listener: TcpListener,
    /// What answers them: usually the result of [`crate::layers::harden`].
    pub router: Router,
    /// Limits; `listen` is not used.
    pub config: HttpConfig,
    /// Ends the server.
    pub shutdown: CancellationToken,
}

/// Binds the address of the configuration.
pub async fn bind(config: &HttpConfig) -> io::Result<TcpListener> {
    TcpListener::bind(config.listen)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {}: {error}", config.listen)))
}

impl Server {
    /// Serves until the token is cancelled, then takes no more connections, lets requests finish within the drain
    /// timeout, and cuts what remains.
    pub async fn run(self) -> io::Result<()> {
        let Self { listener, router, config, shutdown } = self;
        let address = listener.local_addr()?;
        tracing::info!(listen = %address, "serving");
        let room = Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS)));
        let connections = Arc::new(Connections { http: builder(&config), router, config, shutdown });
        let mut open = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = connections.shutdown.cancelled() => break,
                Some(_ended) = open.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match Arc::clone(&room).try_acquire_owned() {
                    Ok(permit) => {
                        let connections = Arc::clone(&connections);
                        open.spawn(async move {
                            connections.serve(stream, peer).await;
                            drop(permit);
                        });
                    }
                    // Dropping it closes it: cheaper for both than a queue that never moves.
                    Err(_) => tracing::debug!(%peer, "connection refused: too many are open"),
                },
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        drain(open, connections.config.drain_timeout).await;
        Ok(())
    }
}

async fn drain(mut open: JoinSet<()>, limit: Duration) {
    let all = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(limit, all).await.is_err() {
        tracing::warn!(connections = open.len(), "cut: they did not end in time");
        open.shutdown().await;
    }
}

struct Connections {
    http: Builder<TokioExecutor>,
    router: Router,
    config: HttpConfig,
    shutdown: CancellationToken,
}

impl Connections {
    async fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        // Without it small answers wait for acknowledgements; if it fails they only come later.
        let _slower = stream.set_nodelay(true);
        let phase = Arc::new(Phase::default());
        let io = TokioIo::new(Guarded::new(stream, Arc::clone(&phase), &self.config));
        let service = service_fn(|mut request: Request<Incoming>| {
            phase.busy();
            request.extensions_mut().insert(PeerAddress(peer));
            // Not a layer of the router: what it routes by must be the real path.
            aliases::resolve(&mut request);
            let answer = self.router.clone().call(request);
            let phase = Arc::clone(&phase);
            async move {
                let response: Result<Response, Infallible> = answer.await;
                phase.idle();
                response
            }
        });
        let mut connection = pin!(self.http.serve_connection(io, service));
        let mut aged = pin!(tokio::time::sleep(self.config.connection_age_max));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = aged.as_mut() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = self.shutdown.cancelled() => connection.await,
                }
            }
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection ended early");
        }
    }
}

fn builder(config: &HttpConfig) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        // hyper counts it from the end of the last answer, so it is the idle time; `Guarded` times the head itself.
        .header_read_timeout(config.keep_alive_idle)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(true);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER_MAX);
    http
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
