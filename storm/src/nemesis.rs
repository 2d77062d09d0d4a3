//! Breaks things as the plan says, and puts each of them right again after its time.

pub mod plan;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use quipu::console;
use quipu::stack::processes::ProcessMark;
use serde::Serialize;
use tokio::sync::{Mutex as Turn, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::plan::{CALM, Fault, Plan, Step};
use crate::load::Load;
use crate::proxy::Mode;
use crate::world::World;
use crate::world::parts::{Peer, Process};
use crate::world::supervised::Frozen;

/// Faults at once.
const AT_ONCE: usize = 2;
/// A fault that kills nobody and is this late is left out: the dead come first.
const LATE: Duration = Duration::from_secs(3);
/// How long a process may be away before there is nothing to kill.
const ALIVE_WITHIN: Duration = Duration::from_secs(15);
/// How long an open transaction, or an answer to eat, is waited for.
const CAUGHT_WITHIN: Duration = Duration::from_secs(3);
/// How often a start of PostgreSQL is tried: right after a kill, something of the last life may not be gone.
const STARTS: u32 = 3;

/// What was done.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Deeds {
    /// How many faults there were, by what they count as.
    pub faults: BTreeMap<String, u32>,
    /// Processes of the product and servers that were killed.
    pub kills: u32,
    /// Faults that were left out because the machine was too slow for them.
    pub left_out: u32,
    /// How long each command API took to carry something out again after PostgreSQL answered, in milliseconds.
    pub recoveries_ms: Vec<u64>,
}

impl Deeds {
    /// How many faults there were.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.faults.values().sum()
    }

    fn add(&mut self, kind: String, kills: bool) {
        *self.faults.entry(kind).or_default() += 1;
        self.kills += u32::from(kills);
    }
}

/// Who breaks things.
pub struct Nemesis {
    world: Arc<World>,
    load: Arc<Load>,
    deeds: Mutex<Deeds>,
    postgres: Turn<()>,
}

impl Nemesis {
    /// For a world and those who work in it.
    #[must_use]
    pub fn new(world: Arc<World>, load: Arc<Load>) -> Arc<Self> {
        Arc::new(Self { world, load, deeds: Mutex::default(), postgres: Turn::new(()) })
    }

    /// Carries a plan out.
    ///
    /// # Errors
    /// If something cannot be put right again, which is no fault of the product but of the storm.
    pub async fn run(self: &Arc<Self>, plan: &Plan) -> anyhow::Result<Deeds> {
        for (number, round) in plan.rounds.iter().enumerate() {
            self.round(round).await.with_context(|| format!("round {}", number + 1))?;
            let deeds = self.deeds.lock().unwrap_or_else(PoisonError::into_inner);
            console::note(format_args!(
                "minute {} of {}: {} faults, {} kills, {} acknowledged, {} in doubt, API back after {} ms",
                number + 1,
                plan.rounds.len(),
                deeds.count(),
                deeds.kills,
                self.load.acks(),
                self.load.in_doubt(),
                deeds.recoveries_ms.iter().rev().take(2).max().copied().unwrap_or_default()
            ));
        }
        Ok(self.deeds.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn round(self: &Arc<Self>, round: &[Step]) -> anyhow::Result<()> {
        let begin = Instant::now();
        let Some((last, steps)) = round.split_last() else { return Ok(()) };
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        let mut under_way = JoinSet::new();
        for step in steps.iter().copied() {
            tokio::time::sleep_until(begin + step.at).await;
            let slot = Arc::clone(&slots).acquire_owned().await?;
            if !step.fault.kills() && begin.elapsed() > step.at + LATE {
                self.deeds.lock().unwrap_or_else(PoisonError::into_inner).left_out += 1;
                continue;
            }
            let this = Arc::clone(self);
            under_way.spawn(async move {
                let done = this.apply(step).await.with_context(|| step.fault.kind());
                drop(slot);
                done
            });
        }
        while let Some(done) = under_way.join_next().await {
            done??;
        }
        self.world.links().for_each(|link| link.set(Mode::Pass));
        // Alone, so that nothing else explains how long it takes: PostgreSQL answers from here on.
        self.apply(*last).await?;
        let healed = Instant::now();
        let (first, second) = tokio::join!(self.load.recovery(0, CALM), self.load.recovery(1, CALM));
        let recoveries = [first?, second?].map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX));
        self.deeds.lock().unwrap_or_else(PoisonError::into_inner).recoveries_ms.extend(recoveries);
        tokio::time::sleep_until(healed + CALM).await;
        Ok(())
    }

    async fn apply(&self, step: Step) -> anyhow::Result<()> {
        let kind = match step.fault {
            Fault::Kill(process) => {
                self.kill(process, step.lasts).await?;
                step.fault.kind()
            }
            Fault::Freeze(process) => {
                self.freeze(process, step.lasts).await?;
                step.fault.kind()
            }
            Fault::FreezeInTransaction(process) => {
                let caught = self.freeze_in_transaction(process, step.lasts).await?;
                if caught { step.fault.kind() } else { Fault::Freeze(process).kind() }
            }
            Fault::EatCommitAndFreeze(process) => {
                let link = self.world.link(process, Peer::Postgres)?;
                let mut eaten = link.eaten();
                eaten.mark_unchanged();
                link.set(Mode::EatAnswer);
                // Nothing was answered in this time: then it is a link that is cut, and a process that is frozen.
                let _ = tokio::time::timeout(CAUGHT_WITHIN, eaten.changed()).await;
                self.freeze(process, step.lasts).await?;
                link.set(Mode::Pass);
                step.fault.kind()
            }
            Fault::Isolate(process) => {
                let links: Vec<_> = process
                    .peers()
                    .iter()
                    .map(|it| self.world.link(process, *it))
                    .collect::<Result<_, _>>()?;
                links.iter().for_each(|it| it.set(Mode::HalfOpen));
                tokio::time::sleep(step.lasts).await;
                links.iter().for_each(|it| it.set(Mode::Pass));
                step.fault.kind()
            }
            Fault::Link(name, how, figure) => {
                let link = self.world.link(name.process, name.peer)?;
                match how.mode(figure) {
                    Some(mode) => {
                        link.set(mode);
                        tokio::time::sleep(step.lasts).await;
                        link.set(Mode::Pass);
                    }
                    None => link.cut(),
                }
                step.fault.kind()
            }
            Fault::StopPostgres | Fault::KillPostgres => {
                let _turn = self.postgres.lock().await;
                match step.fault {
                    Fault::StopPostgres => self.world.postgres.stop_at_once().await?,
                    _ => self.world.postgres.kill().await?,
                }
                tokio::time::sleep(step.lasts).await;
                self.postgres_back().await?;
                step.fault.kind()
            }
            Fault::KillNats | Fault::WipeNats | Fault::OlderNats => {
                self.break_nats(step).await?;
                step.fault.kind()
            }
            Fault::FreezeNats => {
                let nats = self.world.nats.lock().await;
                let frozen = nats.0.pid().and_then(ProcessMark::of).and_then(Frozen::of);
                tokio::time::sleep(step.lasts).await;
                drop(frozen);
                step.fault.kind()
            }
        };
        self.deeds.lock().unwrap_or_else(PoisonError::into_inner).add(kind, step.fault.kills());
        Ok(())
    }

    /// Kills a process as soon as it runs.
    async fn kill(&self, process: Process, down: Duration) -> anyhow::Result<()> {
        tests::until(ALIVE_WITHIN, || async { Ok(self.world.process(process)?.kill(down)) })
            .await
            .with_context(|| format!("{} does not run", process.name()))
    }

    async fn freeze(&self, process: Process, lasts: Duration) -> anyhow::Result<()> {
        let frozen = self.world.process(process)?.freeze();
        tokio::time::sleep(lasts).await;
        drop(frozen);
        Ok(())
    }

    /// Freezes a command API while one of its transactions is open. False if none was seen; it is frozen all the same.
    async fn freeze_in_transaction(&self, process: Process, lasts: Duration) -> anyhow::Result<bool> {
        let link = self.world.link(process, Peer::Postgres)?;
        let deadline = Instant::now() + CAUGHT_WITHIN;
        let mut caught = false;
        if let Ok(mut conn) = self.world.database.superuser().await {
            while !caught && Instant::now() < deadline {
                let open = sqlx::query_scalar::<_, i32>(
                    "select client_port from pg_stat_activity
                     where usename = 'quipu_command' and state like 'idle in transaction%' and client_port is not null",
                );
                let Ok(ports) = open.fetch_all(&mut conn).await else { break };
                caught = ports.into_iter().any(|it| u16::try_from(it).is_ok_and(|it| link.comes_from(it)));
            }
        }
        self.freeze(process, lasts).await?;
        Ok(caught)
    }

    async fn postgres_back(&self) -> anyhow::Result<()> {
        for _ in 1..STARTS {
            if self.world.postgres.back().await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.world.postgres.back().await
    }

    async fn break_nats(&self, step: Step) -> anyhow::Result<()> {
        let mut turn = self.world.nats.lock().await;
        let (nats, older) = &mut *turn;
        match step.fault {
            Fault::WipeNats => nats.wipe().await?,
            Fault::OlderNats => {
                nats.kill().await?;
                if let Some(copy) = older.take() {
                    nats.put_back(&copy)?;
                }
            }
            _ => {
                nats.kill().await?;
                if older.is_none() {
                    *older = Some(nats.copy()?);
                }
            }
        }
        tokio::time::sleep(step.lasts).await;
        nats.back().await
    }
}
