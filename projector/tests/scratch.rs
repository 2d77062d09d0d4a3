//! scratch
#![allow(clippy::allow_attributes, clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing, clippy::print_stderr, clippy::float_arithmetic, missing_docs)]
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::aggregate::Aggregate;
use domain::ids::*;
use domain::ledger::*;
use domain::metadata::{Label, Metadata};
use domain::money::*;
use domain::{Event, StreamId};
use event_store::*;
use event_store::unit::Cause;
use futures_util::StreamExt;
use projector::*;
use read_models::{Item, ProjectionError, ReadModel};
use sqlx::postgres::*;
use sqlx::{ConnectOptions, Connection, Executor as _, PgConnection, Row};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const DB: &str = "projector_scratch";
fn base() -> PgConnectOptions { PgConnectOptions::from_str("postgres://postgres:postgres@127.0.0.1:5499/postgres").unwrap() }
fn role(r: &str) -> PgConnectOptions { base().database(DB).options([("role", r)]) }

static POISON: AtomicBool = AtomicBool::new(true);
struct Toy;
impl ReadModel for Toy {
    const NAME: &'static str = "toy";
    const VERSION: i32 = 1;
    fn partition(_t: TenantId, s: &StreamId) -> Option<Uuid> { (s.category == Account::CATEGORY).then_some(s.id) }
    async fn apply(tx: &mut PgConnection, items: &[Item<'_>]) -> Result<(), ProjectionError> {
        for item in items {
            let Event::Ledger(e) = item.event()? else { continue };
            if POISON.load(Ordering::SeqCst) && matches!(e, LedgerEvent::AccountFrozen(_)) { panic!("toy panics") }
            sqlx::query("insert into toy values ($1, 1, $2) on conflict (account) do update set n = toy.n + 1, last = greatest(toy.last, $2)")
                .bind(item.partition).bind(item.recorded.position).execute(&mut *tx).await?;
        }
        Ok(())
    }
}

fn eur(s: &str) -> Money { Money::parse(s, Currency::parse("EUR").unwrap()).unwrap() }
fn acc(n: u128) -> AccountId { AccountId::new(Uuid::from_u128(0xacc00 + n)) }
fn transfer(a: u128, b: u128, hold: Option<u64>) -> PostTransfer {
    PostTransfer { transfer_id: TransferId::new(Uuid::now_v7()), legs: vec![
        LegRequest { account_id: acc(a), side: Side::Debit, amount: eur("1.00") },
        LegRequest { account_id: acc(b), side: Side::Credit, amount: eur("1.00") }],
        hold: hold.map(|s| HoldRequest { expires_in: Some(s) }), effective_at: None, code: None, metadata: Metadata::default() }
}
fn tenant() -> TenantId { TenantId::new(Uuid::from_u128(0x7e4a)) }
fn unit(d: impl domain::Decision + 'static) -> Unit { Unit::new(tenant(), Cause::system(Uuid::now_v7()), d) }

fn nats_server(wipe: bool) -> std::process::Child {
    if wipe { let _ = std::fs::remove_dir_all("/tmp/pnats"); }
    std::process::Command::new("/tmp/py/bin/nats-server").args(["-js", "-sd", "/tmp/pnats", "-p", "4399", "-a", "127.0.0.1"])
        .stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
}

async fn until(what: &str, limit: u64, mut f: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !f().await { assert!(began.elapsed() < Duration::from_secs(limit), "{what} not within {limit} s"); tokio::time::sleep(Duration::from_millis(20)).await; }
    eprintln!("{what}: {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scratch() {
    tracing_subscriber_init();
    service_kit::install_crypto();
    let mut admin = base().connect().await.unwrap();
    admin.execute("drop database if exists projector_scratch with (force)").await.unwrap();
    admin.execute("create database projector_scratch owner quipu_owner").await.unwrap();
    event_store::migrate("postgres://quipu_owner:owner@127.0.0.1:5499/projector_scratch").await.unwrap();
    let mut su = base().database(DB).connect().await.unwrap();
    sqlx::raw_sql("create table read.toy (account uuid primary key, n bigint, last bigint); grant all on read.toy to quipu_projector").execute(&mut su).await.unwrap();
    let master = Arc::new(MasterKey::new(&vec![7_u8; 32].into()).unwrap());
    let (executor, _) = Executor::start(ExecutorOptions::new(role("quipu_command"), Arc::clone(&master)));
    for n in 0..10 {
        executor.submit(unit(OpenAccount { account_id: acc(n), name: Label::parse("x").unwrap(), currency: Currency::parse("EUR").unwrap(), normal_side: Side::Credit, min_balance: Limit::unbounded(), max_balance: Limit::unbounded(), metadata: Metadata::default() })).await.unwrap();
    }
    let began = Instant::now();
    for _ in 0..10 {
        let units = (0..300_u128).map(|i| unit(transfer(i % 9, i % 9 + 1, None))).collect();
        for r in executor.submit_all(tenant(), units).await { r.unwrap().results[0].clone().unwrap(); }
    }
    eprintln!("3000 transfers: {:?}", began.elapsed());
    for i in 0..5 { executor.submit(unit(transfer(i, i + 1, Some(1)))).await.unwrap().results[0].clone().unwrap(); }

    let mut nats = nats_server(true);
    let client = service_kit::nats::connect(&service_kit::config::NatsConfig::at("nats://127.0.0.1:4399"), "t").await.unwrap();
    assert!(service_kit::nats::verify(&client, Duration::from_secs(5)).await.unwrap());
    let start = |name: &str, token: &CancellationToken| {
        let mut o = ProjectorOptions::new(role("quipu_projector"), token.clone());
        o.instance = name.to_owned();
        o.followers.push(read_model::<Toy>());
        o.reactor = Some(ReactorOptions { database: role("quipu_reactor"), master: Arc::clone(&master) });
        o.nats = Some(client.clone());
        Projector::start(o)
    };
    let one = CancellationToken::new();
    let first = start("one", &one);
    let mut su2 = base().database(DB).connect().await.unwrap();
    async fn head(su: &mut PgConnection) -> i64 { event_store::epoch::head(su).await.unwrap().position }
    until("caught up", 30, async || { let h = head(&mut su).await; let s = first.status(); s.len() == 9 && s.iter().all(|it| it.position == h) }).await;
    for s in first.status() { eprintln!("{s:?}"); }
    let js = async_nats::jetstream::new(client.clone());
    let messages = async || js.get_stream("quipu").await.map(|s| s.cached_info().state.messages as i64).unwrap_or(-1);
    until("published", 10, async || messages().await == head(&mut su).await).await;
    until("holds expired", 10, async || sqlx::query_scalar::<_, i64>("select count(*) from store.events where type = 'ledger.hold-expired'").fetch_one(&mut su2).await.unwrap() == 5).await;
    until("deadlines gone", 5, async || sqlx::query_scalar::<_, i64>("select count(*) from run.deadlines").fetch_one(&mut su2).await.unwrap() == 0).await;
    let e = sqlx::query("select meta::text from store.events where type = 'ledger.hold-expired' limit 1").fetch_one(&mut su2).await.unwrap();
    eprintln!("{}", e.get::<String, _>(0));

    // Latency.
    let mut sub = client.subscribe("quipu.*.*.*.*").await.unwrap();
    let mut hints = client.subscribe(projector::wake::CHECKPOINT_SUBJECT).await.unwrap();
    client.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    while let Ok(Some(_)) = tokio::time::timeout(Duration::from_millis(50), sub.next()).await {}
    let mut times = vec![];
    for i in 0..100 {
        executor.submit(unit(transfer(i % 9, 9, None))).await.unwrap();
        let t = Instant::now();
        client.publish("quipu.wake", "".into()).await.unwrap();
        let m = sub.next().await.unwrap();
        times.push(t.elapsed());
        if i == 0 { eprintln!("{} {:?}", m.subject, m.headers); }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    times.sort();
    eprintln!("publish p50 {:?} p95 {:?} max {:?}", times[50], times[95], times[99]);
    eprintln!("hint {:?}", hints.next().await.unwrap().payload);

    // Poison.
    executor.submit(unit(FreezeAccount { account_id: acc(3), side: Frozen::Debits })).await.unwrap().results[0].clone().unwrap();
    executor.submit_all(tenant(), (0..50).map(|_| unit(transfer(5, 3, None))).collect()).await;
    first.wake();
    until("parked and past it", 10, async || { let h = head(&mut su).await; first.status().iter().any(|s| s.name == "toy" && s.position == h && s.parked == 1) }).await;
    let r = sqlx::query("select reason, position, attempts from run.parked").fetch_all(&mut su2).await.unwrap();
    eprintln!("{} parked: {} at {}", r.len(), r[0].get::<String, _>(0), r[0].get::<i64, _>(1));
    tokio::time::sleep(Duration::from_secs(4)).await;
    let attempts: i32 = sqlx::query_scalar("select attempts from run.parked").fetch_one(&mut su2).await.unwrap();
    eprintln!("attempts {attempts}");
    POISON.store(false, Ordering::SeqCst);
    assert!(retry(first.pool(), "toy", tenant(), acc(3).uuid()).await.unwrap());
    until("freed", 5, async || first.status().iter().any(|s| s.name == "toy" && s.parked == 0)).await;
    let wrong: i64 = sqlx::query_scalar("select count(*) from (select stream_id, count(*) c, max(position) p from store.stream_events where category = 10 group by 1) s left join read.toy t on t.account = s.stream_id where t.n is distinct from s.c or t.last is distinct from s.p").fetch_one(&mut su2).await.unwrap();
    assert_eq!(wrong, 0);

    // Wipe.
    nats.kill().unwrap(); nats.wait().unwrap();
    executor.submit_all(tenant(), (0..50).map(|_| unit(transfer(5, 4, None))).collect()).await;
    first.wake();
    until("follows with NATS down", 5, async || { let h = head(&mut su).await; first.status().iter().all(|s| s.name == "publisher" || s.position == h) }).await;
    let mut nats = nats_server(true);
    until("refilled after a wipe", 20, async || messages().await == head(&mut su).await).await;
    // Purge, delete.
    js.get_stream("quipu").await.unwrap().purge().await.unwrap();
    executor.submit(unit(transfer(5, 4, None))).await.unwrap(); first.wake();
    until("refilled after a purge", 150, async || messages().await == head(&mut su).await).await;
    js.delete_stream("quipu").await.unwrap();
    executor.submit(unit(transfer(5, 4, None))).await.unwrap(); first.wake();
    until("refilled after a deletion", 30, async || messages().await == head(&mut su).await).await;
    // Foreign.
    client.publish("quipu.a.b.c.d", "x".into()).await.unwrap(); client.flush().await.unwrap();
    executor.submit(unit(transfer(5, 4, None))).await.unwrap(); first.wake();
    until("after a foreign message", 10, async || messages().await == head(&mut su).await + 1).await;
    // Epoch.
    let two = CancellationToken::new();
    one.cancel();
    let t = Instant::now(); first.stopped().await; eprintln!("stopped in {:?}", t.elapsed());
    let before = head(&mut su).await;
    let second = start("two", &two);
    until("second leads", 3, async || second.status().iter().filter(|s| s.state == State::Leading).count() >= 9).await;
    executor.submit(unit(transfer(5, 4, None))).await.unwrap(); second.wake();
    until("second follows", 5, async || messages().await == before + 2).await;
    two.cancel(); second.stopped().await;
    sqlx::raw_sql("update store.log_head set epoch = 2").execute(&mut su).await.unwrap();
    let three = CancellationToken::new();
    let third = start("three", &three);
    until("refuses and marks", 10, async || messages().await == before + 3 && third.status().iter().filter(|s| s.state == State::Stopped).count() == 8).await;
    for s in third.status() { eprintln!("{s:?}"); }
    let last = js.get_stream("quipu").await.unwrap().get_last_raw_message_by_subject("quipu.>").await.unwrap();
    eprintln!("{} {:?} {:?}", last.subject, last.headers, last.payload);
    three.cancel(); third.stopped().await;
    nats.kill().unwrap(); nats.wait().unwrap();
    su.close().await.unwrap(); su2.close().await.unwrap();
    admin.execute("drop database projector_scratch with (force)").await.unwrap();
}

fn tracing_subscriber_init() {
    use clap::Parser;
    #[derive(Parser)] struct C { #[command(flatten)] log: service_kit::config::LogConfig }
    let c = C::parse_from(["x", "--log", "info", "--log-format", "pretty"]);
    service_kit::telemetry::init(&c.log).unwrap();
}
