//! What a client does all day: mostly transfers between few accounts, from which conflicts come by themselves.

use std::sync::Arc;
use std::sync::PoisonError;
use std::time::Duration;

use fastrand::Rng;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::command::Command;
use super::{Load, Tenant};
use crate::journal::{Ask, Outcome};

/// How many clients write.
pub const WORKERS: u32 = 32;
/// The number of whoever asks again what is in doubt.
pub const DOUBTER: u32 = 1_000;
/// The number of whoever looks whether a command API works again.
pub const PROBER: u32 = 1_001;
/// A second client that sends the same has this much more than the first.
const TWIN: u32 = 100;
/// Commands a second that may be begun: enough for collisions, and a log that can be looked through in a minute.
const COMMANDS_PER_SECOND: usize = 360;
/// Permits come in bursts, so that commands meet.
const BURSTS_PER_SECOND: usize = 10;

/// Lets commands begin at their pace until told to stop.
pub async fn pace(load: Arc<Load>, stop: CancellationToken) {
    let burst = COMMANDS_PER_SECOND / BURSTS_PER_SECOND;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / 10);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        // What nobody took is not saved up.
        load.pace.add_permits(burst.saturating_sub(load.pace.available_permits()));
    }
    load.pace.close();
}

/// Asks again what is in doubt until told to stop.
///
/// # Errors
/// If the journal cannot be written.
pub async fn doubter(load: Arc<Load>, seed: u64, stop: CancellationToken) -> anyhow::Result<()> {
    let mut rng = Rng::with_seed(seed);
    while !stop.is_cancelled() {
        load.ask_again(&mut rng).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Works until the pace is closed.
///
/// # Errors
/// If the journal cannot be written.
pub async fn work(load: Arc<Load>, number: u32, seed: u64) -> anyhow::Result<()> {
    let mut rng = Rng::with_seed(seed ^ (u64::from(number) << 32));
    let tenant_number = number as usize % load.tenants.len();
    loop {
        let Ok(permit) = load.pace.acquire().await else { return Ok(()) };
        permit.forget();
        let tenant = load.tenant(tenant_number)?;
        match rng.u8(0..100) {
            0..68 => load.run(tenant.transfer(tenant_number, &mut rng), number, &mut rng).await?,
            68..76 => {
                let (from, to) = tenant.pair(&mut rng);
                let seconds = rng.bool().then(|| rng.u32(1..4));
                let command = Command::hold(tenant_number, from, to, rng.u32(1..1_500), seconds);
                load.run(command, number, &mut rng).await?;
            }
            76..83 => {
                let command = match tenant.take_hold() {
                    Some(hold) if rng.u8(0..3) > 0 => Command::capture(tenant_number, hold),
                    Some(hold) => Command::void(tenant_number, hold),
                    None => tenant.transfer(tenant_number, &mut rng),
                };
                load.run(command, number, &mut rng).await?;
            }
            83..88 => {
                let command = Command::open(tenant_number, Uuid::now_v7(), false);
                load.run(command, number, &mut rng).await?;
            }
            88..92 => {
                let count = rng.usize(2..6);
                let pairs: Vec<(Uuid, Uuid)> = (0..count).map(|_| tenant.pair(&mut rng)).collect();
                let atomic = rng.bool();
                let command = Command::batch(tenant_number, &mut rng, &pairs, atomic);
                load.run(command, number, &mut rng).await?;
            }
            92..97 => {
                let command = tenant.transfer(tenant_number, &mut rng);
                load.both(command.clone(), command, number).await?;
            }
            _ => {
                let command = tenant.transfer(tenant_number, &mut rng);
                let (from, to) = tenant.pair(&mut rng);
                let impostor = command.impostor(from, to);
                load.both(command, impostor, number).await?;
            }
        }
    }
}

impl Load {
    async fn run(&self, command: Command, worker: u32, rng: &mut Rng) -> anyhow::Result<()> {
        match self.settle(&command, worker, rng).await? {
            Some(outcome) => self.learn(&command, &outcome),
            None => self.doubt(command).await,
        }
        Ok(())
    }

    /// Two clients send something under one key at the same moment, each to another command API.
    async fn both(&self, one: Command, other: Command, worker: u32) -> anyhow::Result<()> {
        let (first, second) = tokio::join!(self.send(&one, worker, 0), self.send(&other, worker + TWIN, 1));
        for (command, outcome) in [(one, first?), (other, second?)] {
            if outcome.is_none() {
                self.doubt(command).await;
            }
        }
        Ok(())
    }

    fn learn(&self, command: &Command, outcome: &Outcome) {
        let Some(tenant) = self.tenants.get(command.tenant) else { return };
        for (ask, told) in command.asks.iter().zip(&outcome.told) {
            match ask {
                Ask::Open { account } if matches!(told.status, 200..=299) => {
                    Tenant::remember(&tenant.fresh, *account);
                }
                Ask::Hold(it) if matches!(told.status, 200..=299) => {
                    Tenant::remember(&tenant.holds, it.transfer);
                }
                _ => {}
            }
        }
    }
}

impl Tenant {
    fn transfer(&self, number: usize, rng: &mut Rng) -> Command {
        let (from, to) = self.pair(rng);
        Command::transfer(number, from, to, rng.u32(1..2_000))
    }

    /// Two accounts: hot ones mostly, a fresh one at times, the bank at times.
    fn pair(&self, rng: &mut Rng) -> (Uuid, Uuid) {
        let from = self.account(rng);
        loop {
            let to = self.account(rng);
            if to != from {
                return (from, to);
            }
        }
    }

    fn account(&self, rng: &mut Rng) -> Uuid {
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        let of_fresh = if fresh.is_empty() { None } else { fresh.get(rng.usize(0..fresh.len())) };
        match (rng.u8(0..10), of_fresh) {
            (0, Some(fresh)) => *fresh,
            _ => rng.choice(&self.accounts).copied().unwrap_or_default(),
        }
    }

    fn take_hold(&self) -> Option<Uuid> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}
