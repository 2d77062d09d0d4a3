//! The journal of erasures: a file outside of the database cluster that says who was erased. Any backup of the database
//! brings the keys of everybody back who was erased since; the journal is how that is noticed and mended.
//!
//! | what | where |
//! |---|---|
//! | lines, their chain, reading and appending | here |
//! | whether a database has forgotten what the journal says, for the start of every process | [`standing`] |
//!
//! One JSON object a line. It names nobody: tenant, identifiers and a receipt, no name and no address. Each line carries the
//! SHA-256 of the line before it and an HMAC under a key of the master key, so nobody without that key can add, change,
//! move or drop a line in the middle. Lines that are cut off at the end are noticed by the database, which keeps the
//! receipt of every erasure.
//!
//! A line is on the disk before anything of the erasure happens. What a rule then forbids is taken back by another line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use domain::ids::{TenantId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::keyring::MasterKey;
use crate::vault::Digest;

pub mod standing;

/// Bytes of a journal at most: more than a million erasures.
const BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Identifiers in one erasure at most: the person, and the invitations that were sent to their addresses.
pub const SUBJECTS_MAX: usize = 1_000;

/// How long another process may hold the journal.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// What comes before the authentication of a line, which is its last member.
const MAC_MEMBER: &str = r#","mac":""#;
const HEX_BYTES: usize = 64;

/// The hash that the first line follows.
const BEGINNING: Digest = Digest([0; 32]);

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It is not there. Nobody may start without it, since it may name somebody whom a backup has brought back.
    #[error(
        "QUIPU_ERASURE_JOURNAL: there is no journal of erasures at {}; bring it back from its copy, or make the first one with `quipu erase --new-journal`",
        .0.display()
    )]
    Missing(PathBuf),
    /// There is one already.
    #[error("there is a journal of erasures at {} already", .0.display())]
    Exists(PathBuf),
    /// It cannot be read or written.
    #[error("the journal of erasures at {} cannot be used: {cause}", .path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// Another process has it, for longer than an erasure takes to note.
    #[error("another process holds the journal of erasures")]
    Busy,
    /// A line is not what was written there.
    #[error("line {line} of the journal of erasures is damaged: {why}; bring it back from its copy")]
    Damaged {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The erasure would name more than [`SUBJECTS_MAX`] subjects.
    #[error("an erasure names {SUBJECTS_MAX} subjects at most")]
    TooManySubjects,
    /// A line cannot be written as JSON: a defect.
    #[error("a line of the journal cannot be written")]
    Form(#[from] serde_json::Error),
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Step {
    /// It is to be done, and from here on it is for ever.
    Begun,
    /// A rule forbade it, and nothing of it was done.
    Withdrawn,
}

/// A line, but for its authentication.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    n: u64,
    at: DateTime<Utc>,
    step: Step,
    receipt: Uuid,
    tenant: TenantId,
    person: Option<UserId>,
    subjects: Vec<Uuid>,
    because: Option<String>,
    prev: String,
}

/// Somebody who is erased, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Its name, for ever.
    pub receipt: Uuid,
    /// When it was noted first.
    pub at: DateTime<Utc>,
    /// In whose log.
    pub tenant: TenantId,
    /// The person; none if somebody was erased who was only ever invited.
    pub person: Option<UserId>,
    /// Whose keys go: the person and the invitations that were sent to them.
    pub subjects: BTreeSet<Uuid>,
    /// The last line about it.
    pub line: u64,
    /// The hash of that line.
    pub line_hash: Digest,
}

impl Erasure {
    /// Whether a subject is the person, and not an invitation.
    #[must_use]
    pub fn is_person(&self, subject: Uuid) -> bool {
        self.person.is_some_and(|it| it.uuid() == subject)
    }
}

/// What a journal says, checked from its first line to its last.
#[derive(Debug, Default)]
pub struct Journal {
    erasures: BTreeMap<Uuid, Erasure>,
    lines: u64,
    last: Option<Digest>,
    /// Bytes of whole lines. What follows them was never finished, and so was never acted on.
    whole: u64,
}

/// Whom to erase.
#[derive(Debug, Clone)]
pub struct NewErasure {
    /// In whose log.
    pub tenant: TenantId,
    /// The person, if there is one.
    pub person: Option<UserId>,
    /// Whose keys go.
    pub subjects: BTreeSet<Uuid>,
}

impl Journal {
    /// Makes an empty journal, which nobody but its owner may read.
    ///
    /// # Errors
    /// [`JournalError::Exists`], [`JournalError::File`].
    pub fn create(path: &Path) -> Result<(), JournalError> {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = made.map_err(|cause| match cause.kind() {
            std::io::ErrorKind::AlreadyExists => JournalError::Exists(path.to_owned()),
            _ => unusable(path)(cause),
        })?;
        file.sync_all().and_then(|()| sync_folder(path)).map_err(unusable(path))
    }

    /// Reads the whole journal.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn read(path: &Path, master: &MasterKey) -> Result<Self, JournalError> {
        let mut file = OpenOptions::new().read(true).open(path).map_err(absent(path))?;
        Self::of(path, &mut file, master)
    }

    /// The erasures that stand, in the order of their receipts.
    pub fn erasures(&self) -> impl Iterator<Item = &Erasure> {
        self.erasures.values()
    }

    /// The erasure of a person or of what was said about an invitation, if there is one.
    #[must_use]
    pub fn of_subject(&self, tenant: TenantId, subject: Uuid) -> Option<&Erasure> {
        self.erasures().find(|it| it.tenant == tenant && it.subjects.contains(&subject))
    }

    /// Notes an erasure, and returns when the note is on the disk. One that was noted before goes on under its receipt,
    /// with what it names now added to what it named then; so whoever was interrupted simply begins again.
    ///
    /// # Errors
    /// [`JournalError`]; then nothing may be done.
    pub fn note(path: &Path, master: &MasterKey, new: &NewErasure) -> Result<Erasure, JournalError> {
        let (mut file, journal) = Self::locked(path, master)?;
        let known = new.subjects.iter().find_map(|it| journal.of_subject(new.tenant, *it));
        if let Some(known) = known.filter(|it| it.subjects.is_superset(&new.subjects)) {
            return Ok(known.clone());
        }
        let subjects: BTreeSet<Uuid> =
            known.into_iter().flat_map(|it| &it.subjects).chain(&new.subjects).copied().collect();
        if subjects.len() > SUBJECTS_MAX {
            return Err(JournalError::TooManySubjects);
        }
        let receipt = known.map_or_else(Uuid::now_v7, |it| it.receipt);
        let line = Line {
            n: journal.lines + 1,
            at: now(),
            step: Step::Begun,
            receipt,
            tenant: new.tenant,
            person: new.person.or_else(|| known.and_then(|it| it.person)),
            subjects: subjects.into_iter().collect(),
            because: None,
            prev: journal.last.unwrap_or(BEGINNING).to_string(),
        };
        let journal = journal.append(path, &mut file, master, line)?;
        journal.erasures.get(&receipt).cloned().ok_or(JournalError::Damaged { line: 0, why: "it was lost" })
    }

    /// Takes an erasure back of which nothing was done, since a rule forbids it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn withdraw(
        path: &Path,
        master: &MasterKey,
        erasure: &Erasure,
        because: &str,
    ) -> Result<(), JournalError> {
        let (mut file, journal) = Self::locked(path, master)?;
        let line = Line {
            n: journal.lines + 1,
            at: now(),
            step: Step::Withdrawn,
            receipt: erasure.receipt,
            tenant: erasure.tenant,
            person: erasure.person,
            subjects: Vec::new(),
            because: Some(because.to_owned()),
            prev: journal.last.unwrap_or(BEGINNING).to_string(),
        };
        journal.append(path, &mut file, master, line).map(drop)
    }

    /// The journal, while nobody else may write to it. The lock ends with the file.
    fn locked(path: &Path, master: &MasterKey) -> Result<(File, Self), JournalError> {
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(absent(path))?;
        let asked = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if asked.elapsed() < LOCK_WAIT => {
                    std::thread::sleep(LOCK_RETRY);
                }
                Err(TryLockError::WouldBlock) => return Err(JournalError::Busy),
                Err(TryLockError::Error(cause)) => return Err(unusable(path)(cause)),
            }
        }
        let journal = Self::of(path, &mut file, master)?;
        Ok((file, journal))
    }

    fn append(
        mut self,
        path: &Path,
        file: &mut File,
        master: &MasterKey,
        line: Line,
    ) -> Result<Self, JournalError> {
        let body = serde_json::to_string(&line)?;
        let mac = master.journal_mac(body.as_bytes());
        // The authentication takes the place of the brace that closes the object.
        let text = format!("{}{MAC_MEMBER}{mac}\"}}\n", body.trim_end_matches('}'));
        let mut write = || -> std::io::Result<()> {
            file.set_len(self.whole)?;
            file.seek(SeekFrom::Start(self.whole))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(unusable(path))?;
        self.take(text.trim_end(), master)?;
        Ok(self)
    }

    fn of(path: &Path, file: &mut File, master: &MasterKey) -> Result<Self, JournalError> {
        let mut bytes = Vec::new();
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unusable(path))?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(unusable(path)(std::io::Error::other("it is larger than a journal can be")));
        }
        let whole = bytes.iter().rposition(|it| *it == b'\n').map_or(0, |at| at + 1);
        bytes.truncate(whole);
        let text = String::from_utf8(bytes).map_err(|_| damaged(1, "it is not text"))?;
        let mut journal = Self::default();
        for line in text.split_terminator('\n') {
            journal.take(line, master)?;
        }
        Ok(journal)
    }

    /// Takes in one more line, if it is the one that belongs here.
    fn take(&mut self, text: &str, master: &MasterKey) -> Result<(), JournalError> {
        let at = usize::try_from(self.lines).unwrap_or(usize::MAX).saturating_add(1);
        let damaged = |why| damaged(at, why);
        let (body, mac) =
            text.rsplit_once(MAC_MEMBER).ok_or_else(|| damaged("it is not a line of a journal"))?;
        let body = format!("{body}}}");
        let mac = mac.strip_suffix("\"}").filter(|it| it.len() == HEX_BYTES);
        // What is compared is public, so the time that this takes tells nothing.
        if mac != Some(master.journal_mac(body.as_bytes()).to_string().as_str()) {
            return Err(damaged("it was not written under this master key, or was changed"));
        }
        let line: Line = serde_json::from_str(&body).map_err(|_| damaged("it is of a newer build"))?;
        if line.n != self.lines + 1 || line.prev != self.last.unwrap_or(BEGINNING).to_string() {
            return Err(damaged("it does not follow the line before it"));
        }
        let hash = hash_of(text);
        self.lines += 1;
        self.last = Some(hash);
        self.whole += text.len() as u64 + 1;
        match line.step {
            Step::Withdrawn => drop(self.erasures.remove(&line.receipt)),
            Step::Begun => {
                let erasure = self.erasures.entry(line.receipt).or_insert_with(|| Erasure {
                    receipt: line.receipt,
                    at: line.at,
                    tenant: line.tenant,
                    person: line.person,
                    subjects: BTreeSet::new(),
                    line: line.n,
                    line_hash: hash,
                });
                erasure.subjects.extend(line.subjects);
                (erasure.person, erasure.line, erasure.line_hash) = (line.person, line.n, hash);
            }
        }
        Ok(())
    }
}

fn hash_of(line: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, line.as_bytes()).as_ref());
    Digest(bytes)
}

/// PostgreSQL keeps microseconds, and a certificate compares.
fn now() -> DateTime<Utc> {
    let now = Utc::now();
    DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
}

fn damaged(line: usize, why: &'static str) -> JournalError {
    JournalError::Damaged { line, why }
}

fn unusable(path: &Path) -> impl Fn(std::io::Error) -> JournalError {
    let path = path.to_owned();
    move |cause| JournalError::File { path: path.clone(), cause }
}

fn absent(path: &Path) -> impl Fn(std::io::Error) -> JournalError {
    let path = path.to_owned();
    move |cause| match cause.kind() {
        std::io::ErrorKind::NotFound => JournalError::Missing(path.clone()),
        _ => JournalError::File { path: path.clone(), cause },
    }
}

/// A new file is there after a power failure only once its folder was written.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
