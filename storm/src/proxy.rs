//! A link: a port on the loopback interface that passes bytes on to a server, and breaks them as it is told.
//!
//! It knows nothing of what the bytes mean. What is broken when is the nemesis's affair.

mod pump;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Connections of one link at once; more are refused.
const CONNECTIONS_MAX: usize = 1_024;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client: answers.
    Down,
}

/// What a link does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It passes them on.
    Pass,
    /// New connections are reset; those that are open go on.
    Refuse,
    /// It passes them on after a while, each way.
    Delay(Duration),
    /// Sockets stay open, new ones too, and nothing goes through until the mode is another one.
    HalfOpen,
    /// The same in one direction.
    Stop(Way),
    /// One byte at a time, with this pause behind each.
    Drip(Duration),
    /// After so many bytes of answers a connection is reset on both sides, in the middle of an answer.
    ResetAfter(usize),
    /// The server has done what it was asked; its answer is thrown away and both sides are reset.
    EatAnswer,
}

impl Mode {
    /// Whether bytes that go this way wait.
    const fn holds(self, way: Way) -> bool {
        match self {
            Self::HalfOpen => true,
            Self::Stop(Way::Up) => matches!(way, Way::Up),
            Self::Stop(Way::Down) => matches!(way, Way::Down),
            Self::Pass
            | Self::Refuse
            | Self::Delay(_)
            | Self::Drip(_)
            | Self::ResetAfter(_)
            | Self::EatAnswer => false,
        }
    }
}

/// What the connections of a link share.
struct Shared {
    upstream: SocketAddr,
    mode: watch::Receiver<Mode>,
    cuts: watch::Receiver<u64>,
    eaten: watch::Sender<u64>,
    /// The ports from which the server sees the connections that are open.
    ports: Mutex<HashSet<u16>>,
}

/// One port that leads to one server. Dropped, it closes everything.
pub struct Link {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    cuts: watch::Sender<u64>,
    shared: Arc<Shared>,
    _stops: DropGuard,
}

impl Link {
    /// Opens a port that leads to `upstream`, which need not be there yet.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn open(upstream: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let (cuts, cuts_seen) = watch::channel(0);
        let shared = Arc::new(Shared {
            upstream,
            mode: modes,
            cuts: cuts_seen,
            eaten: watch::Sender::new(0),
            ports: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let accepting = accept(listener, Arc::clone(&shared), stop.clone());
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(accepting).await });
        Ok(Self { address, mode, cuts, shared, _stops: stop.drop_guard() })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it does from now on, to open connections too.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Resets every open connection on both sides. New ones are taken as before.
    pub fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }

    /// Whether the server sees a connection of this link come from this port.
    #[must_use]
    pub fn comes_from(&self, port: u16) -> bool {
        self.shared.ports.lock().unwrap_or_else(PoisonError::into_inner).contains(&port)
    }

    /// How many answers were eaten.
    #[must_use]
    pub fn eaten(&self) -> watch::Receiver<u64> {
        self.shared.eaten.subscribe()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Out of descriptors, for example: what is open goes on, and some of it will close.
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let mode = *shared.mode.borrow();
        match Arc::clone(&room).try_acquire_owned() {
            Ok(seat) if mode != Mode::Refuse => {
                let (shared, stop) = (Arc::clone(&shared), stop.clone());
                tokio::spawn(async move {
                    stop.run_until_cancelled(connection(client, &shared)).await;
                    drop(seat);
                });
            }
            _ => reset(&client),
        }
    }
}

/// Closes with RST, not FIN: what is under way is lost, as when a machine goes.
fn reset(socket: &TcpStream) {
    // A socket that is broken already needs no reset.
    let _ = socket.set_zero_linger();
}

async fn connection(mut client: TcpStream, shared: &Shared) {
    let mut cuts = shared.cuts.clone();
    cuts.mark_unchanged();
    let Ok(mut server) = TcpStream::connect(shared.upstream).await else {
        reset(&client);
        return;
    };
    let port = server.local_addr().map_or(0, |it| it.port());
    // Answers of a byte at a time must not wait for each other.
    let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
    shared.ports.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
    let ended = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let up = pump::run(&mut from_client, &mut to_server, Way::Up, shared);
        let down = pump::run(&mut from_server, &mut to_client, Way::Down, shared);
        tokio::select! {
            ended = async { tokio::try_join!(up, down) } => ended.map(drop),
            _ = cuts.changed() => Err(pump::Broken),
        }
    };
    if ended.is_err() {
        reset(&client);
        reset(&server);
    }
    shared.ports.lock().unwrap_or_else(PoisonError::into_inner).remove(&port);
}

#[cfg(test)]
mod tests;
