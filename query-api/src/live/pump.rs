//! One live stream from its begin to its end: sends what its source finds, keeps it alive, and ends it when the reader
//! does not take it, when the token is not believed any more, when its bearer may not read any more, or when the process
//! stops.
//!
//! **Invariant:** nothing is sent to somebody of whom it is not known that they may read it now.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::Utc;
use event_schemas::envelope::LogPosition;
use futures_util::{Stream, stream};
use sabotage::Guard;
use service_kit::access::{self, Access as _, Admitted, Caller};
use service_kit::permissions::PermissionDoc;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tracing::Instrument;

use super::frame::{farewell, opening, place};
use super::{Live, Look, News, Seat, Source};
use crate::app::{App, Doors};
use crate::reading::{QUIPU_POSITION, position_header};
use crate::wait::Follower;

/// Bytes from which on a chunk is handed over; one frame may be larger.
const CHUNK_BYTES: usize = 16 * 1024;
/// Positions that may pass without an event before the place to resume at is told.
const SILENT_POSITIONS: i64 = 1_000;
const LOOK_AGAIN_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How often a reader is looked at of whom nothing is heard.
const LOOK_AT_READER_EVERY: Duration = Duration::from_millis(500);
/// A token that is believed for longer is looked at again by whoever comes back.
const LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The reader has gone.
    Gone,
    /// The reader took nothing for too long.
    Dropped,
    /// The token is not believed any more.
    Expired,
    /// Its bearer may not read any more: the session has ended, or the permission is gone.
    Revoked,
    /// The process stops.
    Goodbye,
    /// The log was restored: there is nothing to resume after.
    EpochChanged,
}

impl Ending {
    fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Dropped => "dropped",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Goodbye => "goodbye",
            Self::EpochChanged => "epoch-changed",
        }
    }
}

/// Begins a stream, and answers with it.
pub(crate) fn open(app: &App, by: &impl Admitted, seat: Seat, source: impl Source) -> Response {
    let caller = by.caller();
    let begin = source.begin();
    // The reader takes a chunk while the next one is made; there are never more.
    let (line, chunks) = mpsc::channel(1);
    let (last, farewell) = oneshot::channel();
    let reader = Reader { caller: caller.clone(), permission: by.permission(), doors: app.doors.clone() };
    let pump =
        Pump { app: app.clone(), reader: Arc::new(reader), line, told: begin, told_at: Instant::now() };
    let follower = app.watcher.follow();
    let life = life(caller.believed_until);
    tokio::spawn(pump.run(source, follower, life, last, seat).in_current_span());
    let mut response = Body::from_stream(body(chunks, farewell)).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::VARY, HeaderValue::from_static("authorization")),
        // Proxies of the nginx family would hold frames back.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
        (QUIPU_POSITION, position_header(begin)),
    ] {
        headers.insert(name, value);
    }
    response
}

/// How long a token that is believed until a second is still believed.
fn life(believed_until: i64) -> Duration {
    if !sabotage::stands(Guard::StreamExpiry) {
        return LIFE_MAX;
    }
    let left = believed_until.saturating_add(1).saturating_sub(Utc::now().timestamp());
    Duration::from_secs(u64::try_from(left).unwrap_or_default()).min(LIFE_MAX)
}

/// The chunks, and at their end the last word.
fn body(
    chunks: mpsc::Receiver<Bytes>,
    farewell: oneshot::Receiver<Bytes>,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::unfold(Some((chunks, farewell)), |state| async {
        let (mut chunks, farewell) = state?;
        match chunks.recv().await {
            Some(chunk) => Some((Ok(chunk), Some((chunks, farewell)))),
            None => farewell.await.ok().map(|last| (Ok(last), None)),
        }
    })
}

/// Who reads, and with which right.
struct Reader {
    caller: Caller,
    permission: Option<&'static PermissionDoc>,
    doors: Doors,
}

impl Reader {
    /// Whether they may go on. While that is not known, it is waited for: what is not sent now is sent then.
    async fn may_go_on(&self) -> bool {
        loop {
            if self.caller.kid.as_ref().is_some_and(|kid| !self.doors.verifier.believes(kid)) {
                return false;
            }
            match access::standing_of(self.doors.access.as_ref(), &self.caller.who, self.caller.acts).await {
                Ok(standing) => return self.caller.check_as(&standing, self.permission).is_ok(),
                Err(problem) if problem.status() == StatusCode::SERVICE_UNAVAILABLE => {
                    sleep(LOOK_AGAIN_AFTER_FAILURE).await;
                }
                Err(_) => return false,
            }
        }
    }

    /// Waits until they may not go on any more.
    async fn revoked(&self) {
        let mut seen = 0;
        while self.may_go_on().await {
            // Nothing moves in the log when a key is taken away, or when time passes.
            let moved = timeout(LOOK_AT_READER_EVERY, self.doors.access.moved(seen)).await;
            seen = moved.unwrap_or(seen);
        }
    }
}

struct Pump {
    app: App,
    reader: Arc<Reader>,
    line: mpsc::Sender<Bytes>,
    /// The last place to resume at that was handed over.
    told: LogPosition,
    /// When that was.
    told_at: Instant,
}

impl Pump {
    async fn run(
        mut self,
        source: impl Source,
        follower: Follower,
        life: Duration,
        last: oneshot::Sender<Bytes>,
        seat: Seat,
    ) {
        let expires = Instant::now() + life;
        let (shutdown, line) = (self.app.live.shutdown.clone(), self.line.clone());
        let reader = Arc::clone(&self.reader);
        let ending = tokio::select! {
            biased;
            () = shutdown.cancelled() => Ending::Goodbye,
            () = sleep_until(expires) => Ending::Expired,
            () = line.closed() => Ending::Gone,
            () = reader.revoked() => Ending::Revoked,
            ending = self.feed(source, follower) => ending,
        };
        tracing::debug!(ending = ending.name(), at = %self.told, "live stream ended");
        // The reader may be slow to take the last word; its seat is free at once.
        drop(seat);
        let _gone = last.send(farewell(ending.name(), self.told));
    }

    async fn feed(&mut self, mut source: impl Source, mut follower: Follower) -> Ending {
        let touches = source.touches();
        if let Err(ending) = self.send(opening(self.told), self.told).await {
            return ending;
        }
        loop {
            let news = match self.look(&mut source).await {
                Some(Look::News(news)) => news,
                Some(Look::EpochChanged) => return Ending::EpochChanged,
                None => {
                    sleep(LOOK_AGAIN_AFTER_FAILURE).await;
                    continue;
                }
            };
            if let Err(ending) = self.pass_on(&news).await {
                return ending;
            }
            let keep_alive = self.told_at + self.app.live.config.stream_keep_alive;
            if !news.more {
                // Time that has passed is no error: it is time to be heard of again.
                let _moved = timeout_at(keep_alive, follower.past(&touches, news.reached)).await;
            }
            if Instant::now() >= keep_alive
                && let Err(ending) = self.send(place(news.at), news.at).await
            {
                return ending;
            }
        }
    }

    async fn look(&self, source: &mut impl Source) -> Option<Look> {
        let live: &Live = &self.app.live;
        let _turn = live.looks.acquire().await.ok()?;
        // A problem has been logged where it was met; the reader stays, and so does its place.
        source.look().await.ok()
    }

    async fn pass_on(&mut self, news: &News) -> Result<(), Ending> {
        let mut text = String::new();
        for frame in &news.frames {
            frame.write(&mut text);
            if text.len() >= CHUNK_BYTES {
                self.send(Bytes::from(std::mem::take(&mut text)), frame.id).await?;
            }
        }
        if let (false, Some(frame)) = (text.is_empty(), news.frames.last()) {
            self.send(Bytes::from(text), frame.id).await?;
        }
        if news.at.position - self.told.position >= SILENT_POSITIONS {
            self.send(place(news.at), news.at).await?;
        }
        Ok(())
    }

    /// Hands a chunk over, after which `at` is the place to resume at.
    async fn send(&mut self, chunk: Bytes, at: LogPosition) -> Result<(), Ending> {
        if !self.reader.may_go_on().await {
            return Err(Ending::Revoked);
        }
        let stands = sabotage::stands(Guard::StreamStall);
        let limit = if stands { self.app.live.config.stream_stall_max } else { LIFE_MAX };
        match timeout(limit, self.line.send(chunk)).await {
            Ok(Ok(())) => {
                (self.told, self.told_at) = (at, Instant::now());
                Ok(())
            }
            Ok(Err(_)) => Err(Ending::Gone),
            Err(_) => Err(Ending::Dropped),
        }
    }
}
