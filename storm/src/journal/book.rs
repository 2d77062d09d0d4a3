//! The journal, read back: by key, what was asked under it and every answer that was given.

use std::collections::{BTreeMap, HashMap};
use std::io::BufRead as _;
use std::path::Path;

use anyhow::Context as _;
use uuid::Uuid;

use super::{Ask, BalanceRead, Line, Told};

/// An answer that is final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// When it was there.
    pub at_us: u64,
    /// The HTTP status.
    pub status: u16,
    /// The position in it.
    pub position: Option<i64>,
    /// Whether it says that it was given before.
    pub replayed: bool,
    /// One for each thing asked for; one alone if the request was refused as a whole.
    pub told: Vec<Told>,
}

impl Outcome {
    /// Whether the request was carried out; of a batch, whether it was judged.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// Whether the same key must give the same answer for ever. What makes no sense or is not found is judged anew.
    #[must_use]
    pub const fn is_remembered(&self) -> bool {
        self.is_success() || matches!(self.status, 409 | 422)
    }
}

/// All that was asked with one body under one key.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// The number of the tenant.
    pub tenant: usize,
    /// The idempotency key.
    pub key: Uuid,
    /// Who asked first.
    pub worker: u32,
    /// When it was sent first.
    pub first_sent_us: u64,
    /// What is asked for.
    pub asks: Vec<Ask>,
    /// The final answers, in the order in which they came.
    pub outcomes: Vec<Outcome>,
    /// How often there was none.
    pub unknown: u32,
    /// How often it was sent.
    pub sent: u32,
    /// Which command APIs were asked, and when each request was under way.
    pub spans: Vec<(u8, u64, u64)>,
}

impl Case {
    /// The answer that counts.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcomes.iter().find(|it| it.is_remembered()).or_else(|| self.outcomes.last())
    }

    /// Each thing that was asked for, with what became of it by the answer that counts.
    pub fn results(&self) -> impl Iterator<Item = (&Ask, &Told)> {
        let told = self.outcome().map(|it| it.told.as_slice()).unwrap_or_default();
        self.asks.iter().enumerate().filter_map(move |(at, ask)| Some((ask, told.get(at).or(told.first())?)))
    }

    /// The things that a client was told to have happened.
    pub fn promised(&self) -> impl Iterator<Item = (&Ask, &Told)> {
        self.results().filter(|(_, told)| matches!(told.status, 200..=299))
    }
}

/// What a request was sent for: tenant, key and hash of the body.
type CaseKey = (usize, Uuid, u64);
/// A request without an answer yet: for what, to which command API, and when it was sent.
type UnderWay = (CaseKey, u8, u64);

/// A whole journal.
#[derive(Debug, Clone, Default)]
pub struct Book {
    /// By tenant, key and body.
    pub cases: BTreeMap<CaseKey, Case>,
    /// The balances that were read.
    pub reads: Vec<BalanceRead>,
    /// How many requests had no final answer.
    pub unknown: u64,
    /// How many answers had a status that no client should ever see, with one of them.
    pub unexpected: Vec<String>,
}

impl Book {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or a line is none.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = std::io::BufReader::new(std::fs::File::open(path)?);
        let lines = file.lines().map(|line| {
            let line = line?;
            serde_json::from_str(&line).with_context(|| line.clone())
        });
        Self::of(lines)
    }

    /// Takes lines in.
    ///
    /// # Errors
    /// If a line is none, or belongs to a request that was never sent.
    pub fn of(lines: impl IntoIterator<Item = anyhow::Result<Line>>) -> anyhow::Result<Self> {
        let mut book = Self::default();
        let mut under_way = HashMap::new();
        for line in lines {
            match line? {
                Line::Sent { call, at_us, worker, api, tenant, key, hash, asks } => {
                    let case = book.cases.entry((tenant, key, hash)).or_insert_with(|| Case {
                        tenant,
                        key,
                        worker,
                        first_sent_us: at_us,
                        asks,
                        ..Case::default()
                    });
                    case.sent += 1;
                    under_way.insert(call, ((tenant, key, hash), api, at_us));
                }
                Line::Answered { call, at_us, status, position, replayed, told } => {
                    let case = book.ended(&mut under_way, call, at_us)?;
                    case.outcomes.push(Outcome { at_us, status, position, replayed, told });
                    if !matches!(status, 200 | 201 | 404 | 409 | 422) {
                        book.unexpected.push(format!("call {call}: {status}"));
                    }
                }
                Line::Unknown { call, at_us, status, why } => {
                    book.ended(&mut under_way, call, at_us)?.unknown += 1;
                    book.unknown += 1;
                    if status.is_some_and(|it| it != 503) {
                        book.unexpected.push(format!("call {call}: {why}"));
                    }
                }
                Line::Read(read) => book.reads.push(read),
            }
        }
        Ok(book)
    }

    fn ended(
        &mut self,
        under_way: &mut HashMap<u64, UnderWay>,
        call: u64,
        at_us: u64,
    ) -> anyhow::Result<&mut Case> {
        let (key, api, sent_us) =
            under_way.remove(&call).with_context(|| format!("call {call} was never sent"))?;
        let case = self.cases.get_mut(&key).context("a case")?;
        case.spans.push((api, sent_us, at_us));
        Ok(case)
    }
}
