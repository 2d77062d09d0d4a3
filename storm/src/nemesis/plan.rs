//! What is broken when, all of it drawn from the seed before anything runs: the same seed gives the same plan.
//!
//! A round is a minute: faults for fifty seconds, the last of them a stop of PostgreSQL by itself, then everything heals.

use std::time::Duration;

use fastrand::Rng;
use serde::Serialize;

use crate::proxy::{Mode, Way};
use crate::world::parts::{LinkName, Process};

/// How long a round breaks things.
pub const STORMY: Duration = Duration::from_secs(50);
/// How long everything works after that.
pub const CALM: Duration = Duration::from_secs(10);
/// Broken links in a round.
const LINK_FAULTS: usize = 36;
/// Longer than a lease of a projector lasts, so that another one takes over.
const PAST_THE_LEASE: Duration = Duration::from_secs(11);

/// What is done to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Break {
    /// New connections are reset.
    Refuse,
    /// Open connections are reset.
    Cut,
    /// Everything takes 50 to 400 ms longer, each way.
    Delay,
    /// Sockets stay, nothing goes through.
    HalfOpen,
    /// Nothing goes from the client to the server.
    StopUp,
    /// Nothing goes from the server to the client.
    StopDown,
    /// A byte each 50 ms.
    Drip,
    /// Reset after some bytes of an answer.
    ResetInAnswer,
    /// Reset in place of an answer.
    EatAnswer,
}

impl Break {
    /// Every way to break a link.
    pub const ALL: [Self; 9] = [
        Self::Refuse,
        Self::Cut,
        Self::Delay,
        Self::HalfOpen,
        Self::StopUp,
        Self::StopDown,
        Self::Drip,
        Self::ResetInAnswer,
        Self::EatAnswer,
    ];

    /// What the link is told; nothing for a cut, which is a moment.
    #[must_use]
    pub fn mode(self, figure: u32) -> Option<Mode> {
        match self {
            Self::Cut => None,
            Self::Refuse => Some(Mode::Refuse),
            Self::Delay => Some(Mode::Delay(Duration::from_millis(u64::from(50 + figure % 350)))),
            Self::HalfOpen => Some(Mode::HalfOpen),
            Self::StopUp => Some(Mode::Stop(Way::Up)),
            Self::StopDown => Some(Mode::Stop(Way::Down)),
            Self::Drip => Some(Mode::Drip(Duration::from_millis(50))),
            Self::ResetInAnswer => Some(Mode::ResetAfter((figure % 600) as usize)),
            Self::EatAnswer => Some(Mode::EatAnswer),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Cut => "cut",
            Self::Delay => "delay",
            Self::HalfOpen => "half-open",
            Self::StopUp => "one-way up",
            Self::StopDown => "one-way down",
            Self::Drip => "drip",
            Self::ResetInAnswer => "reset in answer",
            Self::EatAnswer => "eat answer",
        }
    }
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Fault {
    /// SIGKILL; it starts again after the step's time.
    Kill(Process),
    /// SIGSTOP, and SIGCONT after the step's time.
    Freeze(Process),
    /// A command API is frozen while its transaction is open, between append and commit.
    FreezeInTransaction(Process),
    /// The next answer of PostgreSQL to a command API, that of its commit under load, is thrown away; then it is
    /// frozen.
    EatCommitAndFreeze(Process),
    /// A process is cut off from everything at once.
    Isolate(Process),
    /// A link is broken; the figure tells delays and lengths.
    Link(LinkName, Break, u32),
    /// Immediate shutdown of PostgreSQL.
    StopPostgres,
    /// SIGKILL of every process of PostgreSQL.
    KillPostgres,
    /// SIGKILL of NATS, which keeps what it wrote; a copy is taken if there is none.
    KillNats,
    /// The same, and its storage is gone.
    WipeNats,
    /// The same, and an older copy is in the place of its storage.
    OlderNats,
    /// SIGSTOP of NATS.
    FreezeNats,
}

impl Fault {
    /// What it counts as.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Self::Kill(process) => format!("kill {}", process.program()),
            Self::Freeze(process) => format!("freeze {}", process.program()),
            Self::FreezeInTransaction(_) => "freeze command-api in transaction".to_owned(),
            Self::EatCommitAndFreeze(_) => "eat commit and freeze command-api".to_owned(),
            Self::Isolate(process) => format!("isolate {}", process.program()),
            Self::Link(link, how, _) => format!("{} {link}", how.name()),
            Self::StopPostgres => "stop postgres at once".to_owned(),
            Self::KillPostgres => "kill postgres".to_owned(),
            Self::KillNats => "kill nats".to_owned(),
            Self::WipeNats => "wipe nats".to_owned(),
            Self::OlderNats => "older copy of nats".to_owned(),
            Self::FreezeNats => "freeze nats".to_owned(),
        }
    }

    /// Whether a process dies of it.
    #[must_use]
    pub const fn kills(&self) -> bool {
        matches!(
            self,
            Self::Kill(_)
                | Self::StopPostgres
                | Self::KillPostgres
                | Self::KillNats
                | Self::WipeNats
                | Self::OlderNats
        )
    }
}

/// A fault and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Step {
    /// How long after the beginning of the round.
    pub at: Duration,
    /// What.
    pub fault: Fault,
    /// How long it stays so.
    pub lasts: Duration,
}

/// Every round of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// One a minute.
    pub rounds: Vec<Vec<Step>>,
}

impl Plan {
    /// Draws a plan.
    #[must_use]
    pub fn draw(seed: u64, minutes: u32) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut breaks = Vec::new();
        Self { rounds: (0..minutes).map(|number| round(&mut rng, number, &mut breaks)).collect() }
    }
}

/// `breaks` are the ways to break links that have not had their turn.
fn round(rng: &mut Rng, number: u32, breaks: &mut Vec<(LinkName, Break)>) -> Vec<Step> {
    let mut faults = deadly(number);
    faults.extend(freezes(rng));
    for _ in 0..LINK_FAULTS {
        if breaks.is_empty() {
            let every = |link: LinkName| Break::ALL.into_iter().map(move |how| (link, how));
            breaks.extend(LinkName::all().into_iter().flat_map(every));
            rng.shuffle(breaks);
        }
        if let Some((link, how)) = breaks.pop() {
            faults.push(Fault::Link(link, how, rng.u32(..)));
        }
    }
    rng.shuffle(&mut faults);
    first_of_nats_keeps_a_copy(&mut faults);
    the_longest_begins_early(&mut faults);
    faults.push(Fault::StopPostgres);
    steps(rng, faults)
}

/// What dies in a round: ten of the product's, two of PostgreSQL beside the last step, three of NATS.
fn deadly(number: u32) -> Vec<Fault> {
    let mut faults = Vec::new();
    for turn in 0..5 {
        let pairs = [Process::COMMANDS, Process::PROJECTORS];
        faults.extend(pairs.into_iter().filter_map(|pair| pair.get(turn % 2).copied()).map(Fault::Kill));
    }
    faults.push(Fault::Kill(Process::Query));
    faults.extend([
        Fault::KillPostgres,
        if number.is_multiple_of(2) { Fault::KillPostgres } else { Fault::StopPostgres },
    ]);
    faults.extend([Fault::KillNats, Fault::WipeNats, Fault::OlderNats]);
    faults
}

fn freezes(rng: &mut Rng) -> Vec<Fault> {
    let mut faults = Process::ALL.map(Fault::Freeze).to_vec();
    let mut one = || if rng.bool() { Process::Command0 } else { Process::Command1 };
    faults.push(Fault::FreezeInTransaction(one()));
    faults.push(Fault::FreezeInTransaction(one()));
    faults.push(Fault::EatCommitAndFreeze(one()));
    faults.push(Fault::EatCommitAndFreeze(one()));
    faults.push(Fault::Isolate(one()));
    faults.push(Fault::FreezeNats);
    faults
}

/// There is no older copy to put back before one was taken.
fn first_of_nats_keeps_a_copy(faults: &mut [Fault]) {
    let first =
        faults.iter().position(|it| matches!(it, Fault::KillNats | Fault::WipeNats | Fault::OlderNats));
    let kill = faults.iter().position(|it| *it == Fault::KillNats);
    if let (Some(first), Some(kill)) = (first, kill) {
        faults.swap(first, kill);
    }
}

/// A projector that is frozen past its lease must wake within the round.
fn the_longest_begins_early(faults: &mut [Fault]) {
    let half = faults.len() / 2;
    if let Some(at) = faults.iter().skip(half).position(|it| *it == Fault::Freeze(Process::Projector0)) {
        // Its place goes to a fault that may be anywhere, so that what was ordered before stays in order.
        if let Some(other) = faults.iter().take(half).position(|it| matches!(it, Fault::Link(..))) {
            faults.swap(half + at, other);
        }
    }
}

/// Spreads faults over the stormy part of a round, with uneven pauses.
fn steps(rng: &mut Rng, faults: Vec<Fault>) -> Vec<Step> {
    let pauses: Vec<u32> = faults.iter().map(|_| rng.u32(300..=1_100)).collect();
    let whole: u32 = pauses.iter().sum::<u32>().max(1);
    // The last one, a stop of PostgreSQL, has to be over when the round is.
    let room = u32::try_from((STORMY - Duration::from_secs(3)).as_millis()).unwrap_or(u32::MAX);
    let mut passed = 0_u64;
    faults
        .into_iter()
        .zip(pauses)
        .map(|(fault, pause)| {
            passed += u64::from(pause);
            let at = Duration::from_millis(passed * u64::from(room) / u64::from(whole));
            Step { at, fault, lasts: lasts(rng, fault) }
        })
        .collect()
}

fn lasts(rng: &mut Rng, fault: Fault) -> Duration {
    let millis = match fault {
        // At once, every other time.
        Fault::Kill(_) if rng.bool() => 0,
        Fault::Kill(_) => rng.u64(100..1_500),
        Fault::Freeze(Process::Projector0) => return PAST_THE_LEASE,
        Fault::Freeze(_) | Fault::FreezeNats | Fault::Isolate(_) => rng.u64(300..3_000),
        Fault::FreezeInTransaction(_) | Fault::EatCommitAndFreeze(_) => rng.u64(300..2_500),
        Fault::Link(_, Break::Cut, _) => 0,
        Fault::Link(..) => rng.u64(200..1_200),
        Fault::StopPostgres | Fault::KillPostgres | Fault::KillNats | Fault::WipeNats | Fault::OlderNats => {
            rng.u64(0..700)
        }
    };
    Duration::from_millis(millis)
}

#[cfg(test)]
mod tests;
