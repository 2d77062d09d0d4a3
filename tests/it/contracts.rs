//! Contracts of events: builds of different ages on one log, and a consumer that knows nothing but the documents.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_nats::HeaderMap;
use domain::Event;
use domain::ledger::PostTransfer;
use domain::metadata::Label;
use event_schemas::DecodeError;
use event_schemas::wire::{MARKER_SUBJECT, STREAM};
use event_store::{Executor, Recorded, SubmitError, Unit};
use projector::{Decode, Projector, ProjectorOptions, State};
use serde_json::{Value, json};
use service_kit::config::NatsConfig;
use sqlx::Executor as _;
use tests::database::{Database, cause, execute, tenant};
use tests::ledger::{accepted, account, set_up, submit, transfer};
use tests::nats::Nats;
use tests::stack::{Stack, quick};
use tests::{tools, until};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio_util::sync::CancellationToken;

use super::projections::agrees;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(30);

/// A type that no build knows yet but the one of tomorrow.
const OF_TOMORROW: &str = "ledger.transfer-split";

/// Reads events as the build of tomorrow does.
fn tomorrow(recorded: &Recorded) -> Result<Event, DecodeError> {
    let known =
        if recorded.event_type == OF_TOMORROW { "ledger.transfer-posted" } else { &recorded.event_type };
    event_schemas::decode(known, recorded.schema_version, &recorded.payload)
}

/// Makes this database take transfers with a certain code as the build of tomorrow writes them.
async fn let_tomorrow_write(database: &Database) -> Test {
    let mut conn = database.superuser().await?;
    let function = format!(
        "create function public.tomorrow() returns trigger language plpgsql as $$
         begin if new.payload ->> 'code' = 'of-tomorrow' then new.type := '{OF_TOMORROW}'; end if; return new; end $$"
    );
    execute(&mut conn, function).await?;
    conn.execute(
        "create trigger tomorrow before insert on store.events for each row execute function public.tomorrow()",
    )
    .await?;
    Ok(())
}

/// A transfer that only the build of tomorrow can read.
fn split(from: u128, to: u128) -> anyhow::Result<PostTransfer> {
    Ok(PostTransfer {
        code: Some(Label::parse("of-tomorrow")?),
        ..transfer(account(from), account(to), "0.01")?
    })
}

fn start(
    database: &Database,
    decode: Decode,
    nats: Option<async_nats::Client>,
    shutdown: &CancellationToken,
) -> anyhow::Result<Projector> {
    let options = ProjectorOptions::new(database.options("quipu_projector")?, shutdown.clone());
    Ok(Projector::start(ProjectorOptions { decode, nats, timing: quick(), connections_max: 12, ..options }))
}

async fn publisher(
    database: &Database,
    nats: &Nats,
    shutdown: &CancellationToken,
) -> anyhow::Result<Projector> {
    let client = service_kit::nats::connect(&NatsConfig::at(&nats.url()), "test").await?;
    start(database, Recorded::decode, Some(client), shutdown)
}

async fn post(executor: &Executor, transfers: Vec<PostTransfer>) -> Test {
    let units = transfers.into_iter().map(|it| Unit::new(tenant(1), cause(), it)).collect();
    for outcome in executor.submit_all(tenant(1), units).await {
        accepted(&outcome?)?;
    }
    Ok(())
}

async fn number(database: &Database, query: &'static str) -> anyhow::Result<i64> {
    let mut conn = database.superuser().await?;
    Ok(sqlx::query_scalar(query).fetch_one(&mut conn).await?)
}

const HEAD: &str = "select position from store.log_head";
/// The last position before which every read model can stand still.
const BEFORE_TOMORROW: &str =
    "select min(position) - 1 from store.events where type = 'ledger.transfer-split'";
/// How far the farthest of the models has come that concern themselves with transfers.
const FARTHEST: &str = "select max(position) from run.projections
    where model in ('accounts', 'account_entries', 'transfers', 'trial_balance')";
/// How far the slowest has come of them all; nowhere, as long as some have not begun.
const SLOWEST: &str = "select case when count(*) >= 6 then min(position) else -1 end from run.projections";
const LEASES_OF_ACCOUNTS: &str = "select lease_epoch from run.projections where model = 'accounts'";
const PARKED: &str = "select count(*) from run.parked";

async fn caught_up(database: &Database) -> Test {
    until(PATIENCE, || async { Ok(number(database, SLOWEST).await? == number(database, HEAD).await?) }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_build_waits_for_a_newer_one_and_gives_way_to_it() -> Test {
    let (database, nats) = (Database::fresh().await?, Nats::start().await?);
    let_tomorrow_write(&database).await?;
    let executor = database.executor()?;
    set_up(&executor, tenant(1), 4, "100.00").await?;
    let shutdown = CancellationToken::new();
    let older =
        [publisher(&database, &nats, &shutdown).await?, start(&database, Recorded::decode, None, &shutdown)?];
    caught_up(&database).await?;

    // Alone, the older build stands before the first event of tomorrow, whatever comes after it.
    let mut transfers = vec![split(1, 2)?];
    for _ in 0..50 {
        transfers.push(transfer(account(3), account(4), "0.01")?);
    }
    post(&executor, transfers).await?;
    until(PATIENCE, || async {
        let held =
            |it: &Projector| it.status().iter().any(|it| it.name == "accounts" && it.state == State::Held);
        Ok(older.iter().any(held))
    })
    .await?;
    let (leases, since) = (number(&database, LEASES_OF_ACCOUNTS).await?, Instant::now());
    until(PATIENCE, || async { Ok(number(&database, LEASES_OF_ACCOUNTS).await? >= leases + 8) }).await?;
    assert!(
        since.elapsed() >= quick().recheck * 5,
        "the lease went from hand to hand eight times within {:?}",
        since.elapsed()
    );
    assert_eq!(number(&database, FARTHEST).await?, number(&database, BEFORE_TOMORROW).await?);
    assert_eq!(number(&database, PARKED).await?, 0, "nothing is parked: it is no damage");

    // Its commands refuse what they cannot judge, and nothing else.
    let commands = database.executor()?;
    let refused = submit(&commands, tenant(1), transfer(account(1), account(3), "0.01")?).await;
    assert_eq!(refused.err(), Some(SubmitError::NewerEvent));
    accepted(&submit(&commands, tenant(1), transfer(account(3), account(4), "0.01")?).await?)?;

    // The newer build takes over, and goes on while all of them ask for the leases.
    let _newer = start(&database, tomorrow, None, &shutdown)?;
    caught_up(&database).await?;
    agrees(&database).await?;
    let mut conn = database.superuser().await?;
    for round in 0..10 {
        let transfers = (0..30).map(|n| match n % 10 {
            0 => split(1, 2),
            n => transfer(account(1 + n % 2), account(3 + n % 2), "0.01"),
        });
        post(&executor, transfers.collect::<anyhow::Result<_>>()?).await?;
        // Whoever leads is deposed, so that the older ones have their turn, before or within the page.
        conn.execute("update run.projections set lease_epoch = lease_epoch + 1, lease_owner = 'a stranger', lease_until = '-infinity'").await?;
        caught_up(&database).await.with_context(|| format!("round {round}"))?;
        agrees(&database).await.with_context(|| format!("round {round}"))?;
        assert_eq!(number(&database, PARKED).await?, 0, "round {round}");
    }

    // The older publisher passes on what it cannot read, to the letter.
    let head = number(&database, HEAD).await?;
    until(PATIENCE, || async {
        Ok(nats.messages().await?.last().is_some_and(|it| it.position == format!("1-{head}")))
    })
    .await?;
    let stored: Vec<(i64, String, String)> =
        sqlx::query_as("select position, type, payload::text from store.events order by position")
            .fetch_all(&mut conn)
            .await?;
    assert!(stored.iter().filter(|(_, kind, _)| kind == OF_TOMORROW).count() > 10);
    let sent: Vec<_> =
        nats.messages().await?.into_iter().map(|it| (it.position, it.event_type, it.payload)).collect();
    let expected: Vec<_> =
        stored.into_iter().map(|(at, kind, payload)| (format!("1-{at}"), kind, payload)).collect();
    assert_eq!(sent, expected);
    shutdown.cancel();
    Ok(())
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/consumer")
}

/// The example's Python with the packages that it pins; `None`, with a note, where they cannot be had.
async fn python() -> anyhow::Result<Option<PathBuf>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("consumer");
    tools::python(&folder, &example().join("requirements.txt")).await
}

/// The example, run by a test on a database of its own.
struct Example {
    python: PathBuf,
    server: String,
    folder: tempfile::TempDir,
}

impl Example {
    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(&self.python);
        let database = self.folder.path().join("events.db");
        command.arg(example().join("consume.py")).arg("--database").arg(database).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        Ok(command)
    }

    fn consume(&self, arguments: &[&str]) -> anyhow::Result<(Child, Lines<BufReader<ChildStdout>>)> {
        let mut command = self.command(&["--server", &self.server, "--ack-wait", "0.5"])?;
        let mut child = command.args(arguments).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        Ok((child, lines))
    }

    /// Runs it until it has taken so many events, and kills it there, before the last of them is acknowledged or after.
    async fn kill_after(&self, new: usize) -> Test {
        let (mut child, mut lines) = self.consume(&[])?;
        let mut taken = 0;
        while taken < new {
            let line =
                tokio::time::timeout(PATIENCE, lines.next_line()).await??.context("it ended by itself")?;
            taken += usize::from(line.starts_with("new "));
        }
        Ok(child.kill().await?)
    }

    /// Runs it until it stands at a position or gives up; its last line, and whether it gave up.
    async fn until(&self, arguments: &[&str]) -> anyhow::Result<(String, bool)> {
        let (mut child, mut lines) = self.consume(arguments)?;
        let mut last = String::new();
        while let Some(line) = tokio::time::timeout(PATIENCE, lines.next_line()).await?? {
            last = line;
        }
        Ok((last, !child.wait().await?.success()))
    }

    /// What it has taken: position, id, type and payload.
    async fn taken(&self) -> anyhow::Result<Vec<(String, String, String, String)>> {
        let output = self.command(&["--list"])?.output().await?;
        let text = |it: &Value, name: &str| it[name].as_str().unwrap_or_default().to_owned();
        String::from_utf8(output.stdout)?
            .lines()
            .map(|line| {
                let it: Value = serde_json::from_str(line)?;
                Ok((text(&it, "position"), text(&it, "id"), text(&it, "type"), text(&it, "payload")))
            })
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_by_the_documents_alone_sees_every_event_once() -> Test {
    let Some(python) = python().await? else { return Ok(()) };
    let (database, nats) = (Database::fresh().await?, Nats::start().await?);
    let example = Example { python, server: nats.url(), folder: tempfile::tempdir()? };
    let shutdown = CancellationToken::new();
    let projector = publisher(&database, &nats, &shutdown).await?;
    let executor = database.executor()?;
    set_up(&executor, tenant(1), 4, "100.00").await?;
    let some = |count: u128| {
        (0..count)
            .map(|n| transfer(account(1 + n % 4), account(1 + (n + 1) % 4), "0.01"))
            .collect::<anyhow::Result<_>>()
    };
    post(&executor, some(150)?).await?;
    let last_of_150 = number(&database, HEAD).await?;
    until(PATIENCE, || async {
        Ok(nats.messages().await.is_ok_and(|it| it.len() >= usize::try_from(last_of_150).unwrap_or_default()))
    })
    .await?;
    // Killed twice on the way, while more is written.
    example.kill_after(40).await?;
    post(&executor, some(50)?).await?;
    example.kill_after(60).await?;
    // JetStream forgets how far the consumer had come, so all that it has seen comes again.
    let context = async_nats::jetstream::new(nats.client().await?);
    context.get_stream(STREAM).await?.delete_consumer("example").await?;
    post(&executor, some(50)?).await?;
    let head = number(&database, HEAD).await?;
    let (last, gave_up) = example.until(&["--until", &format!("1-{head}")]).await?;
    let counts: Value = serde_json::from_str(last.strip_prefix("done ").context(last.clone())?)?;
    assert!(!gave_up && counts["repeated"].as_u64() >= Some(100), "{counts}");
    let mut conn = database.superuser().await?;
    let expected: Vec<(String, String, String, String)> = sqlx::query_as(
        "select '1-' || position, event_id::text, type, payload::text from store.events order by position",
    )
    .fetch_all(&mut conn)
    .await?;
    assert_eq!(example.taken().await?, expected, "nothing is missing, nothing is there twice");

    // A document that does not know a message: the consumer stands before it.
    let mut older: Value = serde_json::from_str(&std::fs::read_to_string(document())?)?;
    older["components"]["messages"].as_object_mut().context("messages")?.remove("ledger.transfer-posted.v1");
    let path = example.folder.path().join("older.json");
    std::fs::write(&path, older.to_string())?;
    post(&executor, some(1)?).await?;
    let path = path.to_str().context("a path")?;
    let (last, gave_up) = example.until(&["--document", path, "--until", &format!("1-{}", head + 1)]).await?;
    assert!(gave_up && last.contains("urn:quipu:event:ledger.transfer-posted:v1 is newer"), "{last}");
    assert_eq!(example.taken().await?.len(), expected.len());
    let (_, gave_up) = example.until(&["--until", &format!("1-{}", head + 1)]).await?;
    assert!(!gave_up, "with the document renewed it goes on");
    assert_eq!(example.taken().await?.len(), expected.len() + 1);

    // The log was restored: what lies beyond the marker did not happen.
    shutdown.cancel();
    projector.stopped().await;
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", "quipu-epoch-2-100-test");
    headers.insert("Quipu-Position", "2-100");
    let body = json!({ "epoch": 2, "position": 100 }).to_string();
    context.publish_with_headers(MARKER_SUBJECT, headers, body.into()).await?.await?;
    let (last, gave_up) = example.until(&["--until", "2-100"]).await?;
    assert!(!gave_up, "{last}");
    let kept: Vec<_> = example.taken().await?.into_iter().map(|it| it.0).collect();
    let expected: Vec<_> = (1..=100).map(|at| format!("1-{at}")).collect();
    assert_eq!(kept, expected);
    Ok(())
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/asyncapi.json")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_of_messages_is_served_as_it_is_published() -> Test {
    let stack = Stack::whole().await?;
    let served = stack.get("", "/asyncapi.json").await?;
    assert_eq!((served.status.as_u16(), served.header("Content-Type")), (200, "application/json"));
    assert_eq!(served.text, std::fs::read_to_string(document())?);
    Ok(())
}
