//! What clients asked for and what they were told, in a file outside all faults: JSON lines, each written before a
//! request is sent or after its answer has come. Everything that is reconciled in the end is read from it.

mod book;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use book::{Book, Case, Outcome};

/// Something that a command asks for; each makes one event of a known type on a known stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Open an account.
    Open {
        /// Its identifier.
        account: Uuid,
    },
    /// Move money.
    Transfer(Move),
    /// Set money aside.
    Hold(Move),
    /// Post a hold, whole.
    Capture {
        /// The held transfer.
        transfer: Uuid,
    },
    /// Void a hold.
    Void {
        /// The held transfer.
        transfer: Uuid,
    },
}

/// Cents from one account to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Move {
    /// The identifier of the transfer.
    pub transfer: Uuid,
    /// Which account is debited.
    pub from: Uuid,
    /// Which account is credited.
    pub to: Uuid,
    /// How much.
    pub cents: u32,
}

impl Ask {
    /// The type of the event that it makes.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::Open { .. } => "ledger.account-opened",
            Self::Transfer(_) => "ledger.transfer-posted",
            Self::Hold(_) => "ledger.transfer-held",
            Self::Capture { .. } => "ledger.hold-posted",
            Self::Void { .. } => "ledger.hold-voided",
        }
    }

    /// The identifier of the stream that its event is on.
    #[must_use]
    pub const fn subject(&self) -> Uuid {
        match self {
            Self::Open { account } => *account,
            Self::Transfer(it) | Self::Hold(it) => it.transfer,
            Self::Capture { transfer } | Self::Void { transfer } => *transfer,
        }
    }
}

/// What became of one of the things that a command asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The HTTP status, of a batch that of the item.
    pub status: u16,
    /// The identifier in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// The version in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// The code of the refusal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
}

/// A balance as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceRead {
    /// Who read.
    pub worker: u32,
    /// Whose account: the number of the tenant.
    pub tenant: usize,
    /// Which account.
    pub account: Uuid,
    /// When it was asked for.
    pub called_us: u64,
    /// When it was there.
    pub returned_us: u64,
    /// The newest position that anybody had been told when it was asked for.
    pub wanted: i64,
    /// The position that the answer says it is exact for.
    pub served: i64,
    /// The version of the account that it shows.
    pub version: i64,
    /// Debits and credits posted, debits and credits pending, in cents.
    pub figures: [i64; 4],
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// About to be sent.
    Sent {
        /// Numbers the request.
        call: u64,
        /// When.
        at_us: u64,
        /// Who asks.
        worker: u32,
        /// Which command API is asked.
        api: u8,
        /// The number of the tenant.
        tenant: usize,
        /// The idempotency key.
        key: Uuid,
        /// Stands for the path and the body.
        hash: u64,
        /// What is asked for, in the order of the items.
        asks: Vec<Ask>,
    },
    /// An answer that is final.
    Answered {
        /// Which request.
        call: u64,
        /// When.
        at_us: u64,
        /// The HTTP status.
        status: u16,
        /// The position in the answer.
        position: Option<i64>,
        /// Whether the answer says that it was given before.
        replayed: bool,
        /// One for each thing asked for; one alone if the request was refused as a whole.
        told: Vec<Told>,
    },
    /// No answer, or one that says nothing about the outcome: it is in doubt.
    Unknown {
        /// Which request.
        call: u64,
        /// When.
        at_us: u64,
        /// The HTTP status, if there was one.
        status: Option<u16>,
        /// What happened.
        why: String,
    },
    /// A balance that was read.
    Read(BalanceRead),
}

/// The file, being written.
pub struct Journal {
    file: Mutex<File>,
    began: Instant,
    calls: AtomicU64,
    newest: AtomicI64,
}

impl Journal {
    /// Begins one.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        Ok(Self {
            file: Mutex::new(File::create_new(path)?),
            began: Instant::now(),
            calls: AtomicU64::new(0),
            newest: AtomicI64::new(0),
        })
    }

    /// Numbers a request.
    pub fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// The time of the journal, in microseconds since it was begun. It never goes back.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// When an answer with this position was heard. Readers want the position first and the time is taken then: the other
    /// way round a reader that calls in between would be said to have missed what it never asked for.
    #[must_use]
    pub fn heard(&self, position: Option<i64>) -> u64 {
        self.newest.fetch_max(position.unwrap_or(0), Ordering::AcqRel);
        self.now_us()
    }

    /// When a read is called, and the position that it has to want: no older than any that was heard of before.
    #[must_use]
    pub fn asking(&self) -> (u64, i64) {
        let called_us = self.now_us();
        (called_us, self.newest.load(Ordering::Acquire))
    }

    /// Writes a line; it is with the operating system when this returns.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, line: &Line) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        Ok(self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&text)?)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_read_wants_every_answer_that_was_heard_before_it_was_called() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = Journal::create(&folder.path().join("journal")).expect("a journal");
        let positions = AtomicI64::new(0);
        let hear = || {
            let once = |_| {
                let position = positions.fetch_add(1, Ordering::Relaxed);
                (journal.heard(Some(position)), position)
            };
            (0..200_000).map(once).collect::<Vec<_>>()
        };
        let (mut heard, asked) = thread::scope(|scope| {
            let hearers = [(); 3].map(|()| scope.spawn(hear));
            let reader = scope.spawn(|| (0..200_000).map(|_| journal.asking()).collect::<Vec<_>>());
            let heard: Vec<_> = hearers.into_iter().flat_map(|it| it.join().expect("no panic")).collect();
            (heard, reader.join().expect("no panic"))
        });
        heard.sort_unstable();
        let (mut before, mut newest) = (heard.into_iter().peekable(), 0);
        for (called_us, wanted) in asked {
            while let Some((_, position)) = before.next_if(|it| it.0 < called_us) {
                newest = newest.max(position);
            }
            assert!(wanted >= newest, "{newest} was heard before {called_us}, and {wanted} is wanted");
        }
    }
}
