//! Other people's crates on the same server, round by round beside ours. They run without an HTTP edge, so ours is
//! measured both ways: as its users meet it, and in process as they are. `bench/peers/README.md` says what is in whose
//! favour.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use domain::ids::AccountId;
use domain::ledger::transfer;
use event_store::{Executor, Unit};
use fastrand::Rng;
use serde::Deserialize;
use sqlx::ConnectOptions as _;
use tokio::process::Command;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Setting;
use crate::figures::{Bound, Figure, Times, ratios};
use crate::ledger::{Spread, Transfers, id, open_accounts};
use crate::load::{self, Answers, Load};
use crate::product::{Product, TENANT};
use crate::references::ACCOUNTS;
use crate::report::note;
use crate::server::Server;

const NAME: &str = "peers";
/// A workspace of its own, whose crates want another sqlx; `./dev bench` builds it.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/target/release/peers");
/// Subcommands of the program.
const PEERS: [&str; 3] = ["cala-ledger", "postgres-es", "disintegrate-postgres"];
/// Requests, or tasks, under way at once on every side.
const CALLERS: usize = 64;

pub(super) async fn measure(setting: Setting) -> anyhow::Result<Vec<Figure>> {
    anyhow::ensure!(
        Path::new(PROGRAM).is_file(),
        "the peers are not built: use ./dev bench, or cargo build --release --locked \
         --manifest-path bench/peers/Cargo.toml --target-dir bench/peers/target"
    );
    let mut peers = Vec::new();
    for name in PEERS {
        peers.push(Peer::set_up(name, &setting.server).await?);
    }
    let (served, embedded) = (Product::fresh().await?, Product::fresh().await?);
    let api = served.command_api().await?;
    open_accounts(api.address, &served.token, ACCOUNTS).await?;
    let other = embedded.command_api().await?;
    open_accounts(other.address, &embedded.token, ACCOUNTS).await?;
    // Nobody else writes where it does.
    other.stop().await?;
    let executor = embedded.executor()?;
    let load = Load { connections: CALLERS, time: setting.slice, rate: None };
    let single = || Arc::new(Transfers::single(&served.token, Spread::Uniform(ACCOUNTS)));
    setting.server.settle().await?;
    // The first requests plan statements and load accounts. Peers do so in each of their runs, uncounted.
    load::run(api.address, load, single()).await?;
    in_process(&executor, setting.slice).await?;
    let (mut http, mut process) = (Side::default(), Side::default());
    for round in 1..=setting.rounds {
        http.take(load::run(api.address, load, single()).await?.all_accepted("over HTTP")?);
        process.take(in_process(&executor, setting.slice).await?);
        let mut said = String::new();
        for peer in &mut peers {
            peer.run(setting.slice).await?;
            said += &format!(", {} {:.0}", peer.name, peer.rates[round - 1]);
        }
        note(format_args!(
            "round {round}: over HTTP {:.0}, in process {:.0}{said} a second",
            http.rates[round - 1],
            process.rates[round - 1]
        ));
    }
    Ok(figures(http, process, peers))
}

fn figures(http: Side, process: Side, peers: Vec<Peer>) -> Vec<Figure> {
    let figure = |name: String, unit, rounds| Figure::new(NAME, name, unit, rounds);
    let mut figures = Vec::new();
    for peer in &peers {
        for (side, how) in [(&http, "over HTTP"), (&process, "in process")] {
            let ratios = ratios(&side.rates, &peer.rates);
            figures.push(figure(format!("{how} / {}", peer.name), "x", ratios).bound(Bound::AtLeast(1.0)));
        }
    }
    for (side, how) in [(http, "over HTTP"), (process, "in process")] {
        figures.push(figure(format!("transfers {how}"), "/s", side.rates));
        figures.push(figure(format!("transfers {how}, p99"), "ms", side.p99));
    }
    for peer in peers {
        figures.push(figure(peer.name.to_owned(), "/s", peer.rates));
        figures.push(figure(format!("{}, p99", peer.name), "ms", peer.p99));
        figures.push(figure(format!("{}, given up", peer.name), "%", peer.given_up));
    }
    figures
}

/// Ours, one way.
#[derive(Default)]
struct Side {
    rates: Vec<f64>,
    p99: Vec<f64>,
}

impl Side {
    fn take(&mut self, mut answers: Answers) {
        self.rates.push(answers.per_second);
        self.p99.push(answers.times.percentile_ms(0.99));
    }
}

/// Transfers through the executor of this process: all that a request is but HTTP, token and JSON.
async fn in_process(executor: &Executor, time: Duration) -> anyhow::Result<Answers> {
    let (run, begun) = (Uuid::now_v7(), Instant::now());
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(call(executor.clone(), run, caller, begun + time));
    }
    let mut answers = Answers::default();
    while let Some(times) = callers.join_next().await {
        let times = times??;
        answers.accepted += times.count();
        answers.times.append(times);
    }
    answers.per_second = answers.accepted as f64 / begun.elapsed().as_secs_f64();
    Ok(answers)
}

async fn call(executor: Executor, run: Uuid, caller: usize, end: Instant) -> anyhow::Result<Times> {
    let (spread, mut times) = (Spread::Uniform(ACCOUNTS), Times::default());
    let mut random = Rng::with_seed(run.as_u128() as u64 ^ caller as u64);
    for number in 0_u64.. {
        let begun = Instant::now();
        if begun >= end {
            break;
        }
        let (from, to) = spread.pair(&mut random);
        let account = |number| AccountId::new(id(number));
        let command = tests::ledger::transfer(account(from), account(to), "0.01")?;
        let key =
            tests::ledger::key(&format!("{}-{caller}-{number}", run.simple()), &format!("{from}-{to}"))?;
        let stream = transfer::stream(command.transfer_id);
        let unit = Unit::new(TENANT, tests::database::cause(), command).with_key(key).minting(stream);
        tests::ledger::accepted(&executor.submit(unit).await?)?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

/// What the program prints of a run.
#[derive(Debug, Deserialize)]
struct Run {
    done: u64,
    seconds: f64,
    failed: u64,
    p99_ms: f64,
}

/// One of [`PEERS`], in a database of its own.
struct Peer {
    name: &'static str,
    server: Server,
    rates: Vec<f64>,
    p99: Vec<f64>,
    /// Of a hundred operations, those that it gave up because of others at the same time.
    given_up: Vec<f64>,
}

impl Peer {
    async fn set_up(name: &'static str, server: &Server) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let server = server.database(&format!("bench_{}", name.replace('-', "_"))).await?;
        let peer = Self { name, server, rates: Vec::new(), p99: Vec::new(), given_up: Vec::new() };
        peer.ask(&["setup"]).await?;
        note(format_args!("{name} is set up, in {:.0} s", begun.elapsed().as_secs_f64()));
        Ok(peer)
    }

    async fn run(&mut self, time: Duration) -> anyhow::Result<()> {
        let said = self.ask(&["run", "--seconds", &time.as_secs().to_string()]).await?;
        let run: Run =
            serde_json::from_slice(&said).with_context(|| format!("{} said no figures", self.name))?;
        anyhow::ensure!(run.done > 0, "{} did nothing", self.name);
        self.rates.push(run.done as f64 / run.seconds);
        self.p99.push(run.p99_ms);
        self.given_up.push(100.0 * run.failed as f64 / (run.done + run.failed) as f64);
        Ok(())
    }

    /// Calls the program for this peer; what it prints.
    async fn ask(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        // What follows the question mark is for our own driver.
        let mut url = self.server.options.to_url_lossy();
        url.set_query(None);
        let output = Command::new(PROGRAM)
            .arg(self.name)
            .args(arguments)
            .env("DATABASE_URL", url.as_str())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("{PROGRAM} cannot be started"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "{} {arguments:?}: {said}", self.name);
        Ok(output.stdout)
    }
}
