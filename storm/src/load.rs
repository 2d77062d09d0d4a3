//! The clients of the storm: what they share, and how a command of theirs is sent until its outcome is known.

pub mod command;
pub mod readers;
pub mod worker;

mod answer;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use domain::ids::TenantId;
use fastrand::Rng;
use tests::database::tenant;
use tokio::sync::Semaphore;
use uuid::Uuid;

use self::answer::Reply;
use self::command::Command;
use crate::journal::{Journal, Line, Outcome};
use crate::world::World;
use crate::world::parts::Process;

/// Tenants that write.
pub const TENANTS: usize = 3;
/// Accounts on which everybody works, over all tenants.
const HOT_ACCOUNTS: usize = 50;
/// How long a client waits for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How often a command is sent at once before it is put with those in doubt.
const TRIES: u32 = 4;
/// Commands in doubt at most; a worker that finds no room waits.
const DOUBTS_MAX: usize = 10_000;
/// Holds and fresh accounts that are remembered, each.
const REMEMBERED_MAX: usize = 200;

/// A tenant and what its clients know of its books.
pub struct Tenant {
    /// Which.
    pub id: TenantId,
    /// An owner's token.
    pub token: String,
    /// The account that may go to any depth, then the hot ones.
    pub accounts: Vec<Uuid>,
    fresh: Mutex<VecDeque<Uuid>>,
    holds: Mutex<VecDeque<Uuid>>,
}

/// What clients share.
pub struct Load {
    /// Where everything is written down.
    pub journal: Journal,
    /// The tenants, by number.
    pub tenants: Vec<Tenant>,
    /// Commands may be sent, one for each permit: the pace of the storm.
    pub pace: Semaphore,
    http: reqwest::Client,
    commands: [String; 2],
    query: String,
    doubts: Mutex<VecDeque<Command>>,
    acks: AtomicU64,
}

impl Load {
    /// Clients of a world, with their journal, for a run that lasts so long.
    ///
    /// # Errors
    /// If a token cannot be signed.
    pub fn new(world: &World, journal: Journal, lasts: Duration) -> anyhow::Result<Self> {
        let mut rng = Rng::with_seed(0x0acc_0000);
        let mut tenants = Vec::with_capacity(TENANTS);
        for number in 0..TENANTS {
            let hot = HOT_ACCOUNTS / TENANTS + usize::from(number < HOT_ACCOUNTS % TENANTS);
            let id = tenant(number as u128 + 1);
            tenants.push(Tenant {
                id,
                token: world.token(id, lasts)?,
                accounts: (0..=hot).map(|_| Uuid::from_u128(rng.u128(..))).collect(),
                fresh: Mutex::default(),
                holds: Mutex::default(),
            });
        }
        let [first, second] = Process::COMMANDS;
        Ok(Self {
            journal,
            tenants,
            pace: Semaphore::new(0),
            http: reqwest::Client::builder().timeout(ANSWER_WITHIN).build()?,
            commands: [world.url(first)?, world.url(second)?],
            query: world.url(Process::Query)?,
            doubts: Mutex::default(),
            acks: AtomicU64::new(0),
        })
    }

    /// A tenant by its number.
    ///
    /// # Errors
    /// If there is none.
    pub fn tenant(&self, number: usize) -> anyhow::Result<&Tenant> {
        self.tenants.get(number).context("a tenant")
    }

    /// How many things clients were told to have happened.
    pub fn acks(&self) -> u64 {
        self.acks.load(Ordering::Relaxed)
    }

    /// How many commands are in doubt.
    pub fn in_doubt(&self) -> usize {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Opens the accounts of every tenant and puts money on them.
    ///
    /// # Errors
    /// If something is refused or stays in doubt: nothing is broken yet.
    pub async fn set_up(&self) -> anyhow::Result<()> {
        for number in 0..self.tenants.len() {
            let tenant = self.tenant(number)?;
            let bank = *tenant.accounts.first().context("a bank")?;
            for account in &tenant.accounts {
                self.must(&Command::open(number, *account, *account == bank)).await?;
                if *account != bank {
                    self.must(&Command::transfer(number, bank, *account, 100_000)).await?;
                }
            }
        }
        Ok(())
    }

    async fn must(&self, command: &Command) -> anyhow::Result<()> {
        let outcome = self.settle(command, 0, &mut Rng::with_seed(0)).await?;
        anyhow::ensure!(outcome.as_ref().is_some_and(Outcome::is_success), "{command:?}: {outcome:?}");
        Ok(())
    }

    /// Sends a command until its outcome is known, a few times, to one command API after the other. `None` puts it
    /// with those in doubt.
    async fn settle(&self, command: &Command, worker: u32, rng: &mut Rng) -> anyhow::Result<Option<Outcome>> {
        let first = rng.u8(0..2);
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(rng.u64(20..200) << attempt)).await;
            }
            let api = (first + u8::from(attempt % 2 == 1)) % 2;
            if let Some(outcome) = self.send(command, worker, api).await? {
                return Ok(Some(outcome));
            }
        }
        Ok(None)
    }

    /// Sends a command once, with a line before and a line behind. `None` if the outcome is in doubt.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub async fn send(&self, command: &Command, worker: u32, api: u8) -> anyhow::Result<Option<Outcome>> {
        let call = self.journal.next_call();
        let tenant = self.tenant(command.tenant)?;
        let base = if api == 0 { &self.commands[0] } else { &self.commands[1] };
        let request = command.request(&self.http, base, &tenant.token);
        self.journal.write(&Line::Sent {
            call,
            at_us: self.journal.now_us(),
            worker,
            api,
            tenant: command.tenant,
            key: command.key,
            hash: command.hash,
            asks: command.asks.clone(),
        })?;
        let reply = answer::of(request, command.asks.len()).await;
        match reply {
            Reply::Unknown { status, why } => {
                let at_us = self.journal.now_us();
                self.journal.write(&Line::Unknown { call, at_us, status, why })?;
                Ok(None)
            }
            Reply::Final { status, position, replayed, told } => {
                let at_us = self.journal.heard(position);
                let outcome = Outcome { at_us, status, position, replayed, told };
                let Outcome { told, .. } = outcome.clone();
                self.journal.write(&Line::Answered { call, at_us, status, position, replayed, told })?;
                if !replayed {
                    let acks = outcome.told.iter().filter(|it| matches!(it.status, 200..=299)).count();
                    self.acks.fetch_add(acks as u64, Ordering::Relaxed);
                }
                Ok(Some(outcome))
            }
        }
    }

    /// Puts a command with those in doubt, when there is room.
    async fn doubt(&self, command: Command) {
        loop {
            {
                let mut doubts = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
                if doubts.len() < DOUBTS_MAX {
                    doubts.push_back(command);
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks for one command that is in doubt again. False if there is none.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub async fn ask_again(&self, rng: &mut Rng) -> anyhow::Result<bool> {
        let next = self.doubts.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(command) = next else { return Ok(false) };
        let outcome = self.send(&command, worker::DOUBTER, rng.u8(0..2)).await;
        // It goes back before an error goes on: nothing in doubt is forgotten.
        if !matches!(outcome, Ok(Some(_))) {
            self.doubts.lock().unwrap_or_else(PoisonError::into_inner).push_back(command);
        }
        outcome.map(|_| true)
    }

    /// How long it takes until this command API carries something out again.
    ///
    /// # Errors
    /// If it does not within the limit, or the journal cannot be written.
    pub async fn recovery(self: &Arc<Self>, api: u8, limit: Duration) -> anyhow::Result<Duration> {
        let begin = tokio::time::Instant::now();
        let tenant = self.tenant(0)?;
        let (bank, other) = match tenant.accounts.as_slice() {
            [bank, other, ..] => (*bank, *other),
            _ => anyhow::bail!("a tenant has accounts"),
        };
        let command = Command::transfer(0, bank, other, 1);
        while begin.elapsed() < limit {
            if self.send(&command, worker::PROBER, api).await?.is_some() {
                return Ok(begin.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.doubt(command).await;
        Ok(limit)
    }
}

impl Tenant {
    fn remember(queue: &Mutex<VecDeque<Uuid>>, id: Uuid) {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= REMEMBERED_MAX {
            queue.pop_front();
        }
        queue.push_back(id);
    }
}
