//! A process with logs and traces of its own: this test program, started once more for one test that does the work.

use std::process::Stdio;

use anyhow::Context as _;
use projector::{Projector, ProjectorOptions};
use reqwest::StatusCode;
use serde_json::{Value, json};
use service_kit::config::{HttpConfig, LogConfig, LogFormat, NatsConfig, TelemetryConfig};
use service_kit::telemetry;
use sqlx::Executor as _;
use tests::database::tenant;
use tests::nats::Nats;
use tests::stack::{Stack, answer, http_config, quick};
use tokio_util::sync::CancellationToken;

use super::{PATIENCE, Test, reaches};

const SCENARIO: &str = "QUIPU_TEST_SCENARIO";
const RESULT: &str = "RESULT ";

/// What a process left behind.
pub(super) struct Told {
    /// What it found out.
    pub(super) result: Value,
    /// Its log.
    pub(super) stderr: String,
}

/// Runs a scenario in a process of its own.
pub(super) async fn run(scenario: &str, variables: &[(&str, String)]) -> anyhow::Result<Told> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command.args(["--exact", "operations::process::body", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(SCENARIO, scenario).envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE * 3, command.output()).await??;
    let (stdout, stderr) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    anyhow::ensure!(output.status.success(), "{stdout}\n{stderr}");
    let result = stdout.lines().find_map(|line| line.split_once(RESULT)).context("a result")?.1;
    Ok(Told { result: serde_json::from_str(result)?, stderr })
}

#[test]
#[ignore = "the body of a process that other tests start"]
fn body() -> Test {
    let Ok(scenario) = std::env::var(SCENARIO) else { return Ok(()) };
    let log = LogConfig { filter: "debug".to_owned(), format: LogFormat::Json };
    let otlp_endpoint = std::env::var("QUIPU_TEST_OTLP").ok();
    let telemetry =
        telemetry::init("a-test", &log, &TelemetryConfig { otlp_endpoint, ..TelemetryConfig::default() })?;
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(async {
        match scenario.as_str() {
            "trace" => trace(&std::env::var("QUIPU_TEST_TRACE")?).await,
            "busy" => busy().await,
            other => anyhow::bail!("there is no scenario {other}"),
        }
    })?;
    drop(telemetry);
    use std::io::Write as _;
    Ok(writeln!(std::io::stdout(), "\n{RESULT}{result}")?)
}

/// A request in the caller's trace, followed to its message.
async fn trace(trace: &str) -> anyhow::Result<Value> {
    let (stack, nats) = (Stack::commands_only().await?, Nats::start().await?);
    let (owner, shutdown) = (stack.owner(tenant(1))?, CancellationToken::new());
    let client = service_kit::nats::connect(&NatsConfig::at(&nats.url()), "test").await?;
    let options = ProjectorOptions::new(stack.database.options("quipu_projector")?, shutdown.clone());
    let options = ProjectorOptions { nats: Some(client), timing: quick(), connections_max: 12, ..options };
    let metrics = options.metrics.clone();
    let projector = Projector::start(options);
    let accounts = [open(&stack, &owner, "one", None).await?, open(&stack, &owner, "two", Some("0")).await?];
    let request = stack
        .command(&owner, "/v1/ledger/transfers")
        .header("Idempotency-Key", "traced")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let posted = answer(request.json(&transfer_of(&accounts[0], &accounts[1], "1.00"))).await?;
    anyhow::ensure!(posted.status == StatusCode::CREATED, "{}", posted.text);

    reaches(&metrics, "quipu_publisher_published_total", |it| it >= 3.0).await?;
    reaches(&metrics, "quipu_projection_lag_events{model=\"accounts\"}", |it| it == 0.0).await?;
    let context = async_nats::jetstream::new(nats.client().await?);
    let mut stream = context.get_stream("quipu").await?;
    let last = stream.info().await?.state.last_sequence;
    let message = stream.get_raw_message(last).await?;
    let mut conn = stack.database.superuser().await?;
    let meta: String =
        sqlx::query_scalar("select meta::text from store.events order by position desc limit 1")
            .fetch_one(&mut conn)
            .await?;
    let meta: Value = serde_json::from_str(&meta)?;
    shutdown.cancel();
    projector.stopped().await;
    Ok(json!({
        "message_traceparent": message.headers.get("traceparent").map(ToString::to_string),
        "stored_trace": meta["trace"],
        "stored_span": meta["span"],
    }))
}

/// Successes, refusals and faults, with everything in them that no log may hold.
async fn busy() -> anyhow::Result<Value> {
    let stack = Stack::whole().await?;
    let owner = stack.owner(tenant(1))?;
    let (address, agent, mail) = ("203.0.113.77", "agent-of-ada", "ada@example.org");
    let (name, key, garbage) = ("savings of ada lovelace", "key-of-ada", "eyJ-a-token-of-nobody");
    let http = HttpConfig { trusted_proxies: vec!["127.0.0.0/8".parse()?], ..http_config() };
    let (url, _) = stack.command_api_with(http).await?;
    let send = |path: &str, token: &str, n: usize, body: Value| {
        let request = reqwest::Client::new().post(format!("{url}{path}")).bearer_auth(token);
        let request = request.header("X-Forwarded-For", address).header("User-Agent", agent);
        answer(request.header("Idempotency-Key", format!("{key}-{n}")).json(&body))
    };
    let accounts = [open(&stack, &owner, name, None).await?, open(&stack, &owner, name, Some("0")).await?];
    for n in 0..20 {
        let body = transfer_of(&accounts[0], &accounts[1], "1.00");
        anyhow::ensure!(send("/v1/ledger/transfers", &owner, n, body).await?.status == StatusCode::CREATED);
    }
    // Refused by a rule, by the readers of queries and of bodies, and at the door.
    let unknown = send(&format!("/v1/ledger/transfers?{mail}={mail}"), &owner, 20, json!({})).await?;
    anyhow::ensure!(unknown.code() == "request.unknown-parameter", "{}", unknown.text);
    let refused = send("/v1/ledger/transfers", &owner, 20, transfer_of(&accounts[1], &accounts[0], "900.00"));
    anyhow::ensure!(refused.await?.code() == "ledger.insufficient-funds");
    for (n, body) in
        [json!({ "name": mail }), json!({ mail: name }), json!([mail, name])].into_iter().enumerate()
    {
        let refused = send("/v1/ledger/accounts", &owner, 21 + n, body).await?;
        anyhow::ensure!(refused.status == StatusCode::BAD_REQUEST, "{}", refused.text);
    }
    let refused = send("/v1/ledger/transfers", garbage, 24, json!({})).await?;
    anyhow::ensure!(refused.status == StatusCode::UNAUTHORIZED);

    // A table that is gone is a fault of ours; a connection that is cut, one that passes.
    let mut conn = stack.database.superuser().await?;
    conn.execute("alter table read.accounts rename to elsewhere").await?;
    let faulty = stack.get(&owner, "/v1/ledger/accounts").await?;
    anyhow::ensure!(faulty.status == StatusCode::INTERNAL_SERVER_ERROR, "{}", faulty.text);
    conn.execute("alter table read.elsewhere rename to accounts").await?;
    conn.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and usename = 'quipu_command'",
    )
    .await?;
    let after =
        send("/v1/ledger/transfers", &owner, 25, transfer_of(&accounts[0], &accounts[1], "1.00")).await?;
    anyhow::ensure!(after.status == StatusCode::CREATED, "{}", after.text);
    Ok(json!({ "secrets": [address, agent, mail, name, key, garbage, owner, "900.00", "debit"] }))
}

async fn open(stack: &Stack, owner: &str, name: &str, min_balance: Option<&str>) -> anyhow::Result<String> {
    let body = json!({ "name": name, "currency": "EUR", "min_balance": min_balance });
    let opened = stack.post(owner, "/v1/ledger/accounts", &body).await?;
    anyhow::ensure!(opened.status == StatusCode::CREATED, "{}", opened.text);
    Ok(opened.json["id"].as_str().context("an id")?.to_owned())
}

fn transfer_of(from: &str, to: &str, amount: &str) -> Value {
    let leg = |account: &str, side: &str| json!({ "account_id": account, "side": side, "amount": { "amount": amount, "currency": "EUR" } });
    json!({ "legs": [leg(from, "debit"), leg(to, "credit")] })
}
