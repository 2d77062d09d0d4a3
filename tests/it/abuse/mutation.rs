//! Real requests of every operation of both interfaces, changed at random: what they ask for, what they say beside it, what
//! they carry, and the bytes of it. Whatever comes, it is answered, decently, and the books stay right.
//!
//! Seeded: a run is repeated by its seed, which is printed.

mod request;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use fastrand::Rng;
use serde_json::Value;
use tests::books::{self, Books, held, transfer};
use tests::database::tenant;
use tests::stack::Stack;

use super::process::Process;
use super::wire::{Reply, Wire};
use super::{Test, is_decent, note};
use request::{Known, Operation, Request, operations};

/// Connections to each server. Some requests wait for what never comes, two seconds each.
const CONNECTIONS: usize = 48;
const MEMORY_MAX: u64 = 256 << 20;

/// What a connection saw, by status.
type Seen = BTreeMap<u16, usize>;

struct Client {
    rng: Rng,
    address: std::net::SocketAddr,
    operations: Arc<Vec<Operation>>,
    known: Arc<Known>,
    seen: Seen,
}

impl Client {
    async fn run(mut self, count: usize) -> anyhow::Result<Seen> {
        let mut wire = Wire::open(self.address).await?;
        for _ in 0..count {
            let operation = &self.operations[self.rng.usize(..self.operations.len())];
            let mut request = operation.request(&mut self.rng, &self.known);
            for _ in 0..self.rng.usize(1..=3) {
                request.mutate(&mut self.rng, &self.known);
            }
            let bytes = request.bytes();
            let mut answered = Self::ask(&mut wire, &request, &bytes).await;
            if let Ok(None) = answered {
                // A server may end a connection that idles, or whose last body it did not want.
                wire = Wire::open(self.address).await?;
                answered = Self::ask(&mut wire, &request, &bytes).await;
            }
            let reply =
                answered.and_then(|it| it.context("no answer")).and_then(|it| self.look(&request, it));
            let reply = reply.with_context(|| format!("{:?}", String::from_utf8_lossy(&bytes)))?;
            if reply.is_last() {
                wire = Wire::open(self.address).await?;
            }
        }
        Ok(self.seen)
    }

    async fn ask(wire: &mut Wire, request: &Request, bytes: &[u8]) -> anyhow::Result<Option<Reply>> {
        wire.say(bytes).await?;
        wire.reply_to(request.method == b"HEAD").await
    }

    fn look(&mut self, request: &Request, reply: Reply) -> anyhow::Result<Reply> {
        *self.seen.entry(reply.status).or_default() += 1;
        // What the library could not read as a request it answers itself, without a word.
        let bare = reply.body.is_empty() && matches!(reply.status, 400 | 414 | 431);
        if !(bare && reply.is_last() || request.method == b"HEAD") {
            is_decent(&reply)?;
        }
        Ok(reply)
    }
}

/// Tenants with something in every corner.
async fn prepared(stack: &Stack) -> anyhow::Result<Known> {
    let books = Books::with_accounts(stack, tenant(1), 4).await?;
    let mut transfers = Vec::new();
    for n in 1..=4 {
        transfers.push(books.transfer(&transfer(0, n, "5.00")).await?);
        transfers.push(books.transfer(&held(n, 0, "1.00", 3_600)).await?);
    }
    let export = serde_json::json!({ "format": "csv" });
    let asked = reqwest::Client::new().post(format!("{}/v1/audit/exports", stack.query_url));
    let made = tests::stack::answer(asked.bearer_auth(&books.token).json(&export)).await?;
    let export = made.json["export_id"].as_str().with_context(|| made.text.clone())?.to_owned();
    let accounts = (0..=4).map(books::id).collect();
    Ok(Known { token: books.token, other: stack.member(tenant(1))?, accounts, transfers, export })
}

/// Fails unless debits equal credits in every currency.
async fn balances(books: &Books<'_>) -> Test {
    let answer = books.ask("/v1/ledger/trial-balance").await?;
    ensure!(answer.status.as_u16() == 200, "{}", answer.text);
    let totals = answer.json["totals"].as_array().context("totals")?;
    ensure!(!totals.is_empty(), "there is no money");
    for total in totals {
        ensure!(total["debits_posted"] == total["credits_posted"], "{total}");
        ensure!(total["debits_pending"] == total["credits_pending"], "{total}");
    }
    Ok(())
}

async fn mutated(count: usize, seed: u64) -> Test {
    let stack = Stack::whole().await?;
    let known = Arc::new(prepared(&stack).await?);
    // A tenant of whom nobody here holds a token.
    let others = Books::with_accounts(&stack, tenant(2), 2).await?;
    let bystander = others.read("/v1/ledger/trial-balance").await?.json;
    let mut commands = Process::command_api(&stack, &[]).await?;
    let mut queries = Process::query_api(&stack, &[]).await?;
    let idle = [commands.memory()?, queries.memory()?];
    let begun = Instant::now();
    let documents: [(_, Value); 2] = [
        (commands.address, serde_json::to_value(command_api::app::document())?),
        (queries.address, serde_json::to_value(query_api::document())?),
    ];
    let mut clients = Vec::new();
    for (address, document) in &documents {
        let operations = Arc::new(operations(document));
        for _ in 0..CONNECTIONS {
            let rng = Rng::with_seed(seed.wrapping_mul(1_000).wrapping_add(u64::try_from(clients.len())?));
            let (operations, known) = (Arc::clone(&operations), Arc::clone(&known));
            let client = Client { rng, address: *address, operations, known, seen: Seen::new() };
            clients.push(tokio::spawn(client.run(count / (2 * CONNECTIONS))));
        }
    }
    let mut seen = Seen::new();
    for client in clients {
        for (status, times) in client.await?.with_context(|| format!("seed {seed}"))? {
            *seen.entry(status).or_default() += times;
        }
    }
    let took = begun.elapsed();
    let grown = [commands.memory()?.saturating_sub(idle[0]), queries.memory()?.saturating_sub(idle[1])];
    note(format_args!(
        "{} mutated requests in {took:?}, seed {seed}: {seen:?}; memory {} and {} MiB above idle",
        seen.values().sum::<usize>(),
        grown[0] >> 20,
        grown[1] >> 20
    ))?;
    // Enough of them got far enough to mean something.
    for status in [200, 201, 400, 401, 403, 404, 405, 415, 422] {
        ensure!(seen.contains_key(&status), "no {status}");
    }
    ensure!(grown.iter().all(|it| *it < MEMORY_MAX), "{grown:?}");
    for server in [&mut commands, &mut queries] {
        server.is_sound()?;
        let figures = server.figures().await?;
        let fault = figures.lines().find(|it| it.contains("status=\"500\""));
        ensure!(fault.is_none(), "{fault:?}");
    }
    let books = Books::of(&stack, tenant(1))?;
    books.write("/v1/ledger/accounts", &serde_json::json!({ "name": "after", "currency": "EUR" })).await?;
    balances(&books).await?;
    ensure!(
        others.read("/v1/ledger/trial-balance").await?.json == bystander,
        "another tenant's books changed"
    );
    let mut conn = stack.database.superuser().await?;
    let dense: bool = sqlx::query_scalar(
        "select (select count(*) = max(position) from store.events) and (select max(position) from store.events) = (select position from store.log_head)",
    )
    .fetch_one(&mut conn)
    .await?;
    ensure!(dense, "the log has a hole");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_changed_at_random_are_answered_decently_and_spoil_nothing() -> Test {
    mutated(20_000, 1).await
}

/// `QUIPU_TEST_SEED` takes other requests; `QUIPU_TEST_REQUESTS` takes fewer of them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "sends a million requests"]
async fn a_million_requests_changed_at_random_are_answered_decently_and_spoil_nothing() -> Test {
    let told = |name: &str| std::env::var(name).ok().and_then(|it| it.parse().ok());
    let count = told("QUIPU_TEST_REQUESTS").unwrap_or(1_000_000_u64);
    mutated(usize::try_from(count)?, told("QUIPU_TEST_SEED").unwrap_or(4)).await
}
