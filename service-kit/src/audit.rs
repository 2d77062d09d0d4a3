//! What the edges tell the audit trail: refusals, and reads of sensitive data.
//!
//! The first of identical attempts is written before it is answered; those that follow within a window are counted and
//! written as one. A refusal is answered even if it cannot be written, a sensitive read is not. How a process writes is
//! its own: see [`Writer`]. What was never answered, because the caller hung up first, may be missing.

mod attempt;
mod words;

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::MatchedPath;
use axum::http::request::Parts;
use chrono::Utc;
use domain::audit::AuditEvent;
use domain::ids::TenantId;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use sabotage::Guard;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::access::Caller;
use crate::problem::{Problem, ProblemBody, code};
pub use crate::tally::Limits;
use crate::tally::{Alike as _, Count, Tally};
pub use attempt::{Attempt, What};
pub use words::Words;

/// How long an attempt may wait for its record.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often windows that are over are looked for, at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Counts that are written at once.
const WRITES_AT_ONCE: usize = 64;
/// How long a process that stops may take to write what it counted.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// In whose name something is written.
#[derive(Debug, Clone)]
pub struct Author {
    /// Whose trail.
    pub tenant: TenantId,
    /// Who asked; nobody, if it was several.
    pub caller: Option<Caller>,
}

/// A position of the log, as answers name it.
pub type Position = String;

/// Why nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    /// The database is a copy that takes no writes.
    #[error("the database is a standby")]
    Standby,
    /// The log did not take it, or not in time.
    #[error("the log cannot be written: {0}")]
    Unavailable(String),
}

/// A write that is under way.
pub type Writing<'a> = Pin<Box<dyn Future<Output = Result<Position, NotWritten>> + Send + 'a>>;

/// How a process appends to the trail.
pub trait Writer: Send + Sync + 'static {
    /// Appends one event, durably, and says where it stands.
    fn write<'a>(&'a self, author: &'a Author, event: AuditEvent) -> Writing<'a>;
}

/// What kind of attempt is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Something that would have changed something.
    Command,
    /// Something that would have shown sensitive data.
    Read,
}

/// Refusals of one answer with the same code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Their code.
    pub code: Cow<'static, str>,
    /// The HTTP status of it.
    pub status: u16,
    /// How many; more than one in the answer to a batch.
    pub count: u64,
}

/// Goes with an answer that refuses something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals(pub Vec<Refused>);

impl Refusals {
    /// Adds one.
    pub fn add(&mut self, code: Cow<'static, str>, status: u16) {
        match self.0.iter_mut().find(|it| it.code == code) {
            Some(known) => known.count += 1,
            None => self.0.push(Refused { code, status, count: 1 }),
        }
    }
}

/// Whether a status says that the caller was told no: not that nobody knows who it is, that it came too often, or that
/// the fault is ours.
#[must_use]
pub const fn is_refusal(status: u16) -> bool {
    matches!(status, 400 | 403 | 404 | 409 | 412 | 422)
}

/// The marker of a window: set once the first attempt of it is written.
type First = Arc<OnceCell<Position>>;

/// Records attempts for a process.
pub struct Recorder {
    writer: Box<dyn Writer>,
    words: Words,
    tally: Mutex<Tally<Attempt, Caller, First>>,
    /// Held while counts are written, so that a process that ends waits for them.
    writing: tokio::sync::Mutex<()>,
    failing: AtomicBool,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

impl Recorder {
    /// Begins to record. Windows that are over are written by a task, which ends with the token: [`Recorder::finish`]
    /// writes what is left then.
    #[must_use]
    pub fn start(
        writer: impl Writer,
        words: Words,
        limits: Limits,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let look_every = limits.window.to_std().unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
        let tally = Mutex::new(Tally::new(limits));
        let (writing, failing) = (tokio::sync::Mutex::default(), AtomicBool::new(false));
        let recorder = Arc::new(Self { writer: Box::new(writer), words, tally, writing, failing });
        let watched = Arc::downgrade(&recorder);
        tokio::spawn(async move {
            // Counts that are being written are not given up: they are in no window any more.
            while shutdown.run_until_cancelled(tokio::time::sleep(look_every)).await.is_some() {
                let Some(recorder) = watched.upgrade() else { return };
                let _writing = recorder.writing.lock().await;
                let over = recorder.tally().over(Utc::now());
                recorder.write_counts(over).await;
            }
        });
        recorder
    }

    /// Writes everything that was counted, when nothing is counted any more.
    pub async fn finish(&self) {
        let finished = tokio::time::timeout(FINISH_TIMEOUT, async {
            let _writing = self.writing.lock().await;
            let left = self.tally().all();
            self.write_counts(left).await;
            self.tally().counted()
        });
        match finished.await {
            Ok(0) => {}
            Ok(lost) => {
                tracing::error!(audit_failures = 1, lost, "counts of the audit trail were not written")
            }
            Err(_) => {
                tracing::error!(audit_failures = 1, "counts of the audit trail were not written in time")
            }
        }
    }

    /// Records that something was refused, and says where, if it is the first of its window. What cannot be written is
    /// logged, and counted until it can.
    pub async fn refused(&self, asked: &Asking<'_>, kind: Kind, refusals: &[Refused]) -> Option<Position> {
        let (exact, coarse) = self.words.resources(asked.template, asked.path);
        let written = join_all(refusals.iter().filter(|it| is_refusal(it.status)).map(|refused| {
            let what = What::Refused { kind, code: refused.code.clone(), status: refused.status };
            let attempt = |resource: &str| Attempt::new(asked.caller, asked.action, resource, what.clone());
            let (exact, coarse) = (attempt(&exact), attempt(&coarse));
            async move { self.note(asked.caller, exact, coarse, refused.count).await }
        }))
        .await;
        let firsts = written.into_iter().filter_map(|it| match it {
            Noted::First(position) => Some(position),
            Noted::Counted | Noted::TooMany | Noted::Failed(_) => None,
        });
        // Positions of one epoch: the longer text is the larger number.
        firsts.max_by(|one, other| (one.len(), one).cmp(&(other.len(), other)))
    }

    /// Records that sensitive data is read.
    ///
    /// # Errors
    /// If that cannot be written: then it must not be read.
    pub async fn read(&self, asked: &Asking<'_>, query: Option<&str>) -> Result<(), Problem> {
        if !sabotage::stands(Guard::AuditBeforeAnswer) {
            return Ok(());
        }
        let (exact, coarse) = self.words.resources(asked.template, asked.path);
        let filters = query.map(|it| self.words.filters(it)).unwrap_or_default();
        let exact = Attempt::new(asked.caller, asked.action, &exact, What::Read { filters });
        let coarse =
            Attempt::new(asked.caller, asked.action, &coarse, What::Read { filters: Default::default() });
        match self.note(asked.caller, exact, coarse, 1).await {
            Noted::First(_) | Noted::Counted => Ok(()),
            Noted::TooMany => Err(Problem::new(&code::AUDIT_TOO_MANY_READS, "")),
            Noted::Failed(NotWritten::Standby) => Err(Problem::new(&code::AUDIT_ON_STANDBY, "")),
            Noted::Failed(NotWritten::Unavailable(_)) => Err(Problem::new(&code::AUDIT_NOT_RECORDED, "")),
        }
    }

    /// Writes one event at once.
    ///
    /// # Errors
    /// If it cannot be written in time.
    pub async fn write(&self, author: &Author, event: AuditEvent) -> Result<Position, NotWritten> {
        let written = tokio::time::timeout(WRITE_TIMEOUT, self.writer.write(author, event)).await;
        let written = written.unwrap_or_else(|_| Err(NotWritten::Unavailable("not in time".to_owned())));
        let failing = matches!(written, Err(NotWritten::Unavailable(_)));
        match (self.failing.swap(failing, Ordering::Relaxed), &written) {
            (false, Err(error)) if failing => {
                tracing::error!(audit_failures = 1, %error, "the audit trail cannot be written");
            }
            (true, Ok(_)) => tracing::info!("the audit trail is written again"),
            _ => {}
        }
        written
    }

    async fn note(&self, caller: &Caller, exact: Attempt, coarse: Attempt, count: u64) -> Noted {
        let now = Utc::now();
        let Some((attempt, first)) = self.tally().place(exact, coarse, now) else {
            self.tally().count_rest(caller.tenant, count, now);
            return Noted::TooMany;
        };
        let author = Author { tenant: caller.tenant, caller: Some(caller.clone()) };
        let mut is_first = false;
        // Whoever comes while the first is being written waits for it, and takes its place if it fails.
        let written = first
            .get_or_try_init(|| {
                is_first = true;
                self.write(&author, attempt.event(count, now, now))
            })
            .await;
        match written {
            Ok(position) if is_first => Noted::First(position.clone()),
            Ok(_) => {
                self.tally().count(attempt, first.clone(), caller, count, now);
                Noted::Counted
            }
            Err(error) => {
                // A refusal is answered all the same, so it is counted; a read is not given, so there was none.
                if attempt.is_refused() {
                    self.tally().count(attempt, first.clone(), caller, count, now);
                }
                Noted::Failed(error)
            }
        }
    }

    async fn write_counts(&self, counts: Vec<Count<Attempt, Caller, First>>) {
        stream::iter(counts)
            .for_each_concurrent(WRITES_AT_ONCE, |count| async move {
                let author = Author { tenant: count.key().tenant(), caller: count.author().cloned() };
                if self.write(&author, told(&count)).await.is_err() {
                    self.tally().put_back(count);
                }
            })
            .await;
    }

    fn tally(&self) -> MutexGuard<'_, Tally<Attempt, Caller, First>> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is recorded of attempts that were counted.
fn told<A, M>(count: &Count<Attempt, A, M>) -> AuditEvent {
    count.key().event(count.count(), count.first_at(), count.last_at())
}

/// Who asks for what.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Who.
    pub caller: &'a Caller,
    /// The permission that the operation asks for.
    pub action: &'static str,
    /// The route's template, `/v1/things/{id}`.
    pub template: &'a str,
    /// The path that was sent.
    pub path: &'a str,
}

enum Noted {
    First(Position),
    Counted,
    TooMany,
    Failed(NotWritten),
}

#[derive(Debug, thiserror::Error)]
#[error("this router records no sensitive reads: put a Recorder into its requests")]
struct NoRecorder;

/// Records a sensitive read, or that it is refused, before anything of it is done.
pub(crate) async fn sensitive(
    parts: &Parts,
    caller: &Caller,
    action: &'static str,
    refused: Option<&Problem>,
) -> Result<(), Problem> {
    let recorder = parts.extensions.get::<Arc<Recorder>>().ok_or_else(|| Problem::fault(&NoRecorder))?;
    let template = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let asked = Asking { caller, action, template, path: parts.uri.path() };
    let Some(refused) = refused else { return recorder.read(&asked, parts.uri.query()).await };
    let ProblemBody { code, status, .. } = refused.body();
    let refused = Refused { code: code.clone(), status: *status, count: 1 };
    recorder.refused(&asked, Kind::Read, &[refused]).await;
    Ok(())
}

#[cfg(test)]
mod tests;
