//! What an operator sees: traces, metrics with their dashboard and alerts, and logs that tell nothing about anybody.
//!
//! Traces and logs belong to a whole process, so the tests of them start one: this test program again, at [`process`].

mod collector;
mod process;
mod queries;

use std::time::Duration;

use projector::{Projector, ProjectorOptions, ReactorOptions};
use query_api::{LiveConfig, QueryApi};
use serde_json::{Value, json};
use service_kit::config::NatsConfig;
use service_kit::metrics::Metrics;
use sqlx::Executor as _;
use tests::database::{Database, cause, master_key, tenant};
use tests::ledger::{accepted, account, set_up, transfer};
use tests::nats::Nats;
use tests::stack::{Stack, quick};
use tests::until;
use tokio_util::sync::CancellationToken;

use collector::Collector;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(60);

/// The value of a series, given with its labels as it is written.
fn value(metrics: &Metrics, series: &str) -> anyhow::Result<Option<f64>> {
    let text = metrics.text()?;
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    Ok(line.map(str::parse).transpose()?)
}

async fn reaches(metrics: &Metrics, series: &str, is_so: impl Fn(f64) -> bool) -> Test {
    let reached = until(PATIENCE, || async { Ok(value(metrics, series)?.is_some_and(&is_so)) }).await;
    reached.map_err(|error| anyhow::anyhow!("{series} is {:?}: {error}", value(metrics, series)))
}

async fn post(database: &Database, count: usize) -> Test {
    let executor = database.executor()?;
    for _ in 0..count {
        let unit = event_store::Unit::new(tenant(1), cause(), transfer(account(1), account(2), "0.01")?);
        accepted(&executor.submit(unit).await?)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_followed_from_http_to_nats() -> Test {
    let collector = Collector::start().await?;
    let (trace, caller) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let variables = [("QUIPU_TEST_OTLP", collector.url()), ("QUIPU_TEST_TRACE", trace.to_owned())];
    let told = process::run("trace", &variables).await?;
    let spans = collector.spans();
    let named = |name: &str| spans.iter().filter(|it| it.name == name).collect::<Vec<_>>();

    let requests = named("POST /v1/ledger/transfers");
    let request = requests.iter().find(|it| it.trace == trace).expect("the request's span");
    assert_eq!((request.parent.as_str(), request.is_server), (caller, true));
    assert_eq!(request.attributes.get("http.response.status_code").map(String::as_str), Some("201"));

    let is_linked = |span: &collector::Span| span.links.contains(&(trace.to_owned(), request.id.clone()));
    let batches = named("batch");
    let batch = batches.iter().find(|it| is_linked(it)).expect("a batch that links to the request");
    for step in ["decide", "append"] {
        assert!(named(step).iter().any(|it| it.trace == batch.trace && it.parent == batch.id), "{step}");
    }
    let models: Vec<_> = named("project").into_iter().filter(|it| is_linked(it)).collect();
    assert!(
        models.iter().any(|it| it.attributes.get("model").is_some_and(|it| it == "accounts")),
        "{models:?}"
    );
    assert!(named("publish").iter().any(|it| is_linked(it)));

    let parent = format!("00-{trace}-{}-01", request.id);
    assert_eq!(told.result["message_traceparent"], parent.as_str());
    assert_eq!(told.result["stored_trace"], trace);
    assert_eq!(told.result["stored_span"], request.id.as_str());
    assert!(spans.iter().all(|it| it.links.len() <= event_store::trace::LINKS_MAX));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_only_a_caller_s_span_is_stored() -> Test {
    let stack = Stack::commands_only().await?;
    let owner = stack.owner(tenant(1))?;
    let mut conn = stack.database.superuser().await?;
    for (flags, expected) in [("01", Some("00f067aa0ba902b7")), ("00", None)] {
        let request = stack
            .command(&owner, "/v1/ledger/accounts")
            .header("Idempotency-Key", flags)
            .header("traceparent", format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}"));
        let body = json!({ "name": "an account", "currency": "EUR" });
        let opened = tests::stack::answer(request.json(&body)).await?;
        assert_eq!(opened.status.as_u16(), 201, "{}", opened.text);
        let meta: String =
            sqlx::query_scalar("select meta::text from store.events order by position desc limit 1")
                .fetch_one(&mut conn)
                .await?;
        let meta: Value = serde_json::from_str(&meta)?;
        assert_eq!(meta["trace"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(meta["span"].as_str(), expected);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_a_busy_process_tell_nothing_about_anybody() -> Test {
    let told = process::run("busy", &[]).await?;
    let lines: Vec<Value> = told
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).map_err(|error| anyhow::anyhow!("{error}: {line}")))
        .collect::<anyhow::Result<_>>()?;
    let says = |field: &str, text: &str| lines.iter().any(|it| it[field].as_str() == Some(text));
    // It was busy: requests were logged, and so were a fault and a lost connection.
    assert!(says("path", "/v1/ledger/transfers") && says("code", "ledger.insufficient-funds"));
    assert!(says("message", "fault") && says("message", "the connection that writes was lost"));
    assert!(lines.len() > 100, "{}", lines.len());
    let secrets = told.result["secrets"].as_array().expect("secrets");
    assert!(secrets.len() >= 7);
    for secret in secrets.iter().filter_map(Value::as_str) {
        let line = told.stderr.lines().find(|it| it.contains(secret));
        assert_eq!(line, None, "{secret} was logged");
    }
    Ok(())
}

/// Everything that the three servers tell after some work.
async fn told_by_all() -> anyhow::Result<String> {
    let (stack, nats) = (Stack::commands_only().await?, Nats::start().await?);
    let (owner, shutdown) = (stack.owner(tenant(1))?, CancellationToken::new());
    let client = service_kit::nats::connect(&NatsConfig::at(&nats.url()), "test").await?;
    let options = ProjectorOptions::new(stack.database.options("quipu_projector")?, shutdown.clone());
    let reactor = ReactorOptions::new(stack.database.options("quipu_reactor")?, master_key()?);
    let projector_metrics = options.metrics.clone();
    let _projector = Projector::start(ProjectorOptions {
        nats: Some(client),
        reactor: Some(reactor),
        timing: quick(),
        connections_max: 12,
        ..options
    });
    let queries = QueryApi::connect(stack.query_config(LiveConfig::default())?, shutdown.clone()).await?;
    let metrics = [stack.command_metrics.clone(), queries.metrics(), projector_metrics.clone()];
    stack.post(&owner, "/v1/ledger/accounts", &json!({ "name": "an account", "currency": "EUR" })).await?;
    reaches(&projector_metrics, "quipu_publisher_published_total", |it| it >= 1.0).await?;
    reaches(&projector_metrics, "quipu_projection_lag_events{model=\"accounts\"}", |it| it == 0.0).await?;
    shutdown.cancel();
    Ok(metrics.iter().map(Metrics::text).collect::<Result<Vec<_>, _>>()?.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_dashboard_and_of_the_alerts_exists() -> Test {
    let told = told_by_all().await?;
    let series: Vec<&str> = told
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let asked = queries::of_the_dashboard()?.into_iter().chain(queries::of_the_alerts()?);
    let mut count = 0;
    for (place, query) in asked {
        let names = queries::metrics(&query);
        assert!(!names.is_empty(), "{place}: {query} asks for nothing");
        for name in names.iter().filter(|it| *it != "up") {
            assert!(series.contains(&name.as_str()), "{place}: {query} asks for {name}, which nobody tells");
        }
        count += names.len();
    }
    assert!(count > 40, "{count}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_is_bounded_whatever_clients_send() -> Test {
    let stack = Stack::commands_only().await?;
    let (owner, metrics) = (stack.owner(tenant(1))?, &stack.command_metrics);
    let told = || {
        anyhow::Ok(
            metrics.text()?.lines().filter(|it| it.contains("quipu_http_request_seconds_count")).count(),
        )
    };
    stack.post(&owner, "/v1/nothing-here", &json!({})).await?;
    stack.post(&owner, &format!("/v1/ledger/transfers/{}/void", uuid::Uuid::now_v7()), &json!({})).await?;
    let before = told()?;
    for n in 0..50 {
        stack.post(&owner, &format!("/v1/nothing-here-{n}"), &json!({})).await?;
        stack
            .post(&owner, &format!("/v1/ledger/transfers/{}/void", uuid::Uuid::now_v7()), &json!({}))
            .await?;
    }
    assert_eq!(told()?, before);
    let text = metrics.text()?;
    assert!(!text.contains(&tenant(1).to_string()), "no tenant in a label");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lag_is_told_of_models_that_hang_or_never_began() -> Test {
    let database = Database::fresh().await?;
    set_up(&database.executor()?, tenant(1), 2, "10.00").await?;
    let mut conn = database.superuser().await?;
    // Another version answers queries, and nobody has begun it: there is no checkpoint of it.
    conn.execute("insert into run.active_models values ('tenants', 99)").await?;
    let shutdown = CancellationToken::new();
    let options = ProjectorOptions::new(database.options("quipu_projector")?, shutdown.clone());
    let metrics = options.metrics.clone();
    let _projector = Projector::start(ProjectorOptions { timing: quick(), connections_max: 12, ..options });
    reaches(&metrics, "quipu_projection_lag_events{model=\"accounts\"}", |it| it == 0.0).await?;
    let head = value(&metrics, "quipu_log_head_position")?.expect("a head");
    reaches(&metrics, "quipu_projection_lag_events{model=\"tenants\"}", |it| it == head).await?;

    // A follower that hangs in its transaction says nothing itself, and its lag grows all the same.
    let mut tx = sqlx::Connection::begin(&mut conn).await?;
    tx.execute("lock table read.accounts in access exclusive mode").await?;
    post(&database, 5).await?;
    reaches(&metrics, "quipu_projection_lag_events{model=\"accounts\"}", |it| it >= 5.0).await?;
    reaches(&metrics, "quipu_projection_lag_seconds{model=\"accounts\"}", |it| it > 0.5).await?;
    tx.rollback().await?;
    reaches(&metrics, "quipu_projection_lag_events{model=\"accounts\"}", |it| it == 0.0).await?;
    reaches(&metrics, "quipu_projection_lag_seconds{model=\"accounts\"}", |it| it == 0.0).await?;
    shutdown.cancel();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_rings_even_where_all_followers_have_passed() -> Test {
    let database = Database::fresh().await?;
    set_up(&database.executor()?, tenant(1), 2, "10.00").await?;
    post(&database, 5).await?;
    let shutdown = CancellationToken::new();
    let options = ProjectorOptions::new(database.options("quipu_projector")?, shutdown.clone());
    let before = options.metrics.clone();
    let projector = Projector::start(ProjectorOptions { timing: quick(), connections_max: 12, ..options });
    let head = 7.0;
    reaches(&before, "quipu_log_swept_position", |it| it >= head).await?;
    reaches(&before, "quipu_projection_lag_events{model=\"accounts\"}", |it| it == 0.0).await?;
    assert_eq!(value(&before, "quipu_log_hole")?, Some(0.0));
    shutdown.cancel();
    projector.stopped().await;

    // Nobody but a superuser can do this, and no follower would read there again.
    let mut conn = database.superuser().await?;
    conn.execute("set session_replication_role = replica").await?;
    conn.execute("delete from store.events where position = 3").await?;
    let shutdown = CancellationToken::new();
    let options = ProjectorOptions::new(database.options("quipu_projector")?, shutdown.clone());
    let after = options.metrics.clone();
    let _projector = Projector::start(ProjectorOptions { timing: quick(), connections_max: 12, ..options });
    reaches(&after, "quipu_log_hole", |it| it == 1.0).await?;
    shutdown.cancel();
    Ok(())
}
