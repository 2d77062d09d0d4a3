//! One storm from its first process to its verdict.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use domain::ids::TenantId;
use quipu::console;
use tests::until;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::chronicle;
use crate::consumer::{self, Received};
use crate::history;
use crate::journal::{Book, Journal};
use crate::load::Load;
use crate::load::readers::{self, READERS, Seen};
use crate::load::worker::{self, WORKERS};
use crate::nemesis::Nemesis;
use crate::nemesis::plan::Plan;
use crate::people::People;
use crate::reconcile::identity::Rows;
use crate::reconcile::image::Image;
use crate::reconcile::system::{self, Memory};
use crate::reconcile::{Check, doors, fan_out, identity, journal, reads, refusals, replay};
use crate::verdict::{Report, Rest};
use crate::world::World;
use crate::world::parts::Process;
use crate::world::supervised::Supervised;

/// How long everything works before anything breaks.
const WARM_UP: Duration = Duration::from_secs(4);
/// How long things may take to come to rest once all is healed: that they do is a promise too.
const CALM_WITHIN: Duration = Duration::from_secs(60);
/// How long a command API may take to come back after PostgreSQL answers.
const RECOVERY_MAX: Duration = Duration::from_secs(5);
/// Who asks again what is in doubt.
const DOUBTERS: u64 = 4;
/// The journal's name in the folder of a run.
const JOURNAL: &str = "journal.jsonl";

/// Runs a storm in a folder, which holds journal and logs in the end.
///
/// # Errors
/// If the storm itself fails: something cannot be started, or not be put right again.
pub async fn storm(seed: u64, minutes: u32, folder: &Path) -> anyhow::Result<Report> {
    console::note(format_args!("storm: seed {seed}, {minutes} minutes, {}", folder.display()));
    let plan = Plan::draw(seed, minutes);
    let world = Arc::new(World::start(folder).await?);
    let journal_path = folder.join(JOURNAL);
    let lasts = Duration::from_secs(u64::from(minutes) * 60 + 3_600);
    let load = Arc::new(Load::new(&world, Journal::create(&journal_path)?, lasts)?);
    load.set_up().await?;
    let people = Arc::new(People::arrive(&world, folder, lasts).await?);

    let crew = Crew::start(&world, &load, seed);
    let leaving = CancellationToken::new();
    let stormy = Duration::from_secs(u64::from(minutes) * 60);
    let lives = people.work(seed, stormy, &leaving);
    tokio::time::sleep(WARM_UP).await;
    let early = memory(&world);
    let deeds = Nemesis::new(Arc::clone(&world), Arc::clone(&load)).run(&plan).await?;

    // Nobody begins anything any more; what is in doubt is asked for until it is known.
    let Crew { seen, received, pacing, writers, asking, askers, following, followers } = crew;
    pacing.cancel();
    leaving.cancel();
    joined(writers).await?;
    joined(lives).await?;
    let mut checks = vec![settled(&load).await];
    asking.cancel();
    joined(askers).await?;

    world.ready().await?;
    checks.push(calm(&world, "calm after the storm").await?);
    let mut conn = world.database.superuser().await?;
    let rows = Rows::read(&mut conn, people.tenant).await?;
    checks.push(identity::rows_are_what_people_were_told(&people.book(), &rows));
    checks.extend(doors::all(&people, &mut conn, folder).await?);
    drop(conn);
    checks.push(system::no_transaction_is_left(&mut world.database.superuser().await?).await?);
    checks.push(system::memory_is_back(&compared(&world, &early)));
    let starts = Process::ALL.iter().filter_map(|it| world.process(*it).ok()).map(Supervised::starts).sum();
    let mut world = Arc::into_inner(world).context("somebody still holds the world")?;
    // The last words of the command APIs are events too: after them the log stands still.
    for process in Process::COMMANDS {
        world.stop(process).await?;
    }
    checks.push(calm(&world, "calm at the end").await?);
    let image = Image::read(&mut world.database.superuser().await?).await?;
    let tenants: Vec<TenantId> = load.tenants.iter().map(|it| it.id).collect();
    checks.push(followed(&received, &seen, &image, &tenants).await);
    following.cancel();
    joined(followers).await?;

    let book = Book::read(&journal_path)?;
    checks.extend(compare(&book, &image, &seen, &tenants, people.tenant));
    let promises = people.book().clone();
    checks.extend([
        identity::answers_to_people(&promises),
        identity::people_are_in_the_log(&promises, &image, people.tenant),
        identity::the_log_is_what_people_asked(&promises, &image, people.tenant),
    ]);
    let received = received.lock().unwrap_or_else(PoisonError::into_inner).clone();
    checks.push(fan_out::the_consumer_has_the_log(&received, &image));
    let contents = consumer::contents(world.nats_port).await?;
    checks.push(fan_out::the_stream_is_the_log(&contents, &image));
    checks.push(system::read_models_are_replay(world.database.options("quipu_projector")?).await?);
    for process in [Process::Query, Process::Projector0, Process::Projector1] {
        world.stop(process).await?;
    }
    checks.push(system::logs_are_clean(&Process::ALL.map(|it| world.log(it)))?);
    let operations = chronicle::history(&book, &image, &tenants);
    let found = history::check(&operations);
    checks.push(serializable(&found));
    let rest = Rest {
        checks,
        operations: found.operations as u64,
        conflicts: found.conflicts as u64,
        duplicates_dropped: received.duplicates,
        starts,
        recovery_max: RECOVERY_MAX,
        people: promises.told.into_iter().map(|(act, count)| (act.to_owned(), count)).collect(),
        people_lost: promises.lost.values().sum(),
    };
    Ok(Report::of(seed, minutes, &book, deeds, rest))
}

/// Everybody who works while the storm goes on.
struct Crew {
    seen: Arc<Seen>,
    received: Arc<Mutex<Received>>,
    pacing: CancellationToken,
    writers: JoinSet<anyhow::Result<()>>,
    asking: CancellationToken,
    askers: JoinSet<anyhow::Result<()>>,
    following: CancellationToken,
    followers: JoinSet<anyhow::Result<()>>,
}

impl Crew {
    fn start(world: &World, load: &Arc<Load>, seed: u64) -> Self {
        let (seen, received) = (Arc::new(Seen::default()), Arc::new(Mutex::new(Received::default())));
        let (pacing, asking, following) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let (mut writers, mut askers, mut followers) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        let (pacer, stop) = (Arc::clone(load), pacing.clone());
        writers.spawn(async move {
            worker::pace(pacer, stop).await;
            Ok(())
        });
        for number in 0..WORKERS {
            writers.spawn(worker::work(Arc::clone(load), number, seed));
        }
        for number in 0..READERS {
            writers.spawn(readers::read(Arc::clone(load), Arc::clone(&seen), number, seed, pacing.clone()));
        }
        for number in 0..DOUBTERS {
            askers.spawn(worker::doubter(Arc::clone(load), seed ^ number, asking.clone()));
        }
        followers.spawn(readers::follow(Arc::clone(load), Arc::clone(&seen), following.clone()));
        let (port, all, stop) = (world.nats_port, Arc::clone(&received), following.clone());
        followers.spawn(async move {
            consumer::consume(port, all, stop).await;
            Ok(())
        });
        Self { seen, received, pacing, writers, asking, askers, following, followers }
    }
}

async fn joined(mut tasks: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// Waits until nothing is in doubt.
async fn settled(load: &Load) -> Check {
    let mut check = Check::new("doubts settled in time");
    let settled = until(CALM_WITHIN, || async { Ok(load.in_doubt() == 0) }).await;
    check.look(settled.is_ok(), || format!("{} commands are still in doubt", load.in_doubt()));
    check
}

/// Waits until every follower of the log and the publisher stand at its end, and no hold is left that would expire.
async fn calm(world: &World, name: &'static str) -> anyhow::Result<Check> {
    let mut conn = world.database.superuser().await?;
    let mut check = Check::new(name);
    let deadline = tokio::time::Instant::now() + CALM_WITHIN;
    loop {
        let behind = sqlx::query_as::<_, (String, i64)>(
            "select p.model, h.position - p.position from store.log_head h
             join (select model, epoch, position from run.projections
                   union all select 'publisher', epoch, position from run.publisher) p on true
             where p.epoch <> h.epoch or p.position < h.position
             union all select 'deadlines', count(*) from run.deadlines having count(*) > 0",
        )
        .fetch_all(&mut conn)
        .await?;
        let late = tokio::time::Instant::now() > deadline;
        if behind.is_empty() || late {
            check.look(behind.is_empty(), || format!("still behind: {behind:?}"));
            return Ok(check);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the consumer and the live stream have as much as the log.
async fn followed(received: &Mutex<Received>, seen: &Seen, image: &Image, tenants: &[TenantId]) -> Check {
    let mut check = Check::new("consumers caught up in time");
    let of_first = image.entries.iter().filter(|it| Some(&it.tenant) == tenants.first()).count();
    let counts = || {
        let received = received.lock().unwrap_or_else(PoisonError::into_inner).events.len();
        (received, seen.live.lock().unwrap_or_else(PoisonError::into_inner).len())
    };
    let all = (image.entries.len(), of_first);
    let there = until(CALM_WITHIN, || async {
        let (received, live) = counts();
        Ok(received >= all.0 && live >= all.1)
    });
    check.look(there.await.is_ok(), || format!("{:?} of {all:?} events came", counts()));
    check
}

fn memory(world: &World) -> Vec<(Process, u64)> {
    let of = |it: Process| Some((it, world.process(it).ok()?.memory_kib()?));
    Process::ALL.into_iter().filter_map(of).collect()
}

fn compared(world: &World, early: &[(Process, u64)]) -> Vec<Memory> {
    let late = memory(world);
    let late_of = |process: Process| late.iter().find(|it| it.0 == process).map(|it| it.1);
    early
        .iter()
        .filter_map(|(process, early_kib)| {
            Some(Memory { process: process.name(), early_kib: *early_kib, late_kib: late_of(*process)? })
        })
        .collect()
}

/// Everything that needs only journal and log.
fn compare(book: &Book, image: &Image, seen: &Seen, tenants: &[TenantId], people: TenantId) -> Vec<Check> {
    let (adds_up, standings) = replay::the_log_adds_up(image);
    let mut checks = vec![
        journal::nothing_is_in_doubt(book),
        journal::answers_were_expected(book),
        journal::promised_is_in_the_log(book, image, tenants),
        journal::the_log_is_in_the_journal(book, image, tenants, people),
        journal::a_key_has_one_answer(book),
        replay::the_log_is_whole(image),
        adds_up,
        replay::the_domain_agrees(image, &standings),
        refusals::money_was_lacking(book, &standings, tenants),
        reads::balances_are_true_and_new(book, &standings, tenants),
        reads::answers_were_consistent(seen),
    ];
    let live = seen.live.lock().unwrap_or_else(PoisonError::into_inner);
    checks.extend(tenants.first().map(|it| reads::the_live_stream_is_the_log(&live, image, *it)));
    checks
}

fn serializable(found: &history::Report) -> Check {
    let mut check = Check::new("history is strictly serializable");
    check.looked_at = found.operations as u64;
    found.anomalies.iter().for_each(|it| check.fault(it.to_string()));
    check
}
