//! One direction of one connection.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::{Mode, Shared, Way};

/// Bytes that are under way in one direction at most.
const BUFFER_BYTES: usize = 16 * 1024;

/// The connection is to be reset on both sides.
#[derive(Debug)]
pub(super) struct Broken;

impl From<std::io::Error> for Broken {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

/// Passes bytes on until the sender has no more, in the way of the moment.
pub(super) async fn run(
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    way: Way,
    shared: &Shared,
) -> Result<(), Broken> {
    let mut mode = shared.mode.clone();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut progress = Progress { mode: *mode.borrow_and_update(), answered: 0 };
    loop {
        let count = from.read(&mut buffer).await?;
        let mut bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            released(&mut mode, way).await?;
            return Ok(to.shutdown().await?);
        }
        while !bytes.is_empty() {
            let now = released(&mut mode, way).await?;
            let sent = progress.step(now, bytes, to, way, shared).await?;
            bytes = bytes.get(sent..).unwrap_or_default();
        }
    }
}

/// Waits until bytes may go this way, and says in which mode.
async fn released(mode: &mut watch::Receiver<Mode>, way: Way) -> Result<Mode, Broken> {
    let mode = mode.wait_for(|it| !it.holds(way)).await.map_err(|_| Broken)?;
    Ok(*mode)
}

/// How far a connection has come under one mode.
struct Progress {
    mode: Mode,
    answered: usize,
}

impl Progress {
    /// Sends some of the bytes; returns how many.
    async fn step(
        &mut self,
        now: Mode,
        bytes: &[u8],
        to: &mut WriteHalf<'_>,
        way: Way,
        shared: &Shared,
    ) -> Result<usize, Broken> {
        if now != self.mode {
            *self = Self { mode: now, answered: 0 };
        }
        let sent = match (now, way) {
            (Mode::Delay(pause), _) => {
                tokio::time::sleep(pause).await;
                to.write_all(bytes).await?;
                bytes.len()
            }
            (Mode::Drip(pause), _) => {
                to.write_all(bytes.get(..1).unwrap_or_default()).await?;
                tokio::time::sleep(pause).await;
                1
            }
            (Mode::ResetAfter(limit), Way::Down) => {
                let allowed = limit.saturating_sub(self.answered).min(bytes.len());
                to.write_all(bytes.get(..allowed).unwrap_or_default()).await?;
                if self.answered + bytes.len() > limit {
                    to.flush().await?;
                    return Err(Broken);
                }
                allowed
            }
            (Mode::EatAnswer, Way::Down) => {
                shared.eaten.send_modify(|count| *count += 1);
                return Err(Broken);
            }
            _ => {
                to.write_all(bytes).await?;
                bytes.len()
            }
        };
        self.answered += sent;
        Ok(sent)
    }
}
