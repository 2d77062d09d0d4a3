//! Keys that sign tokens come and go, and nobody is signed out by it; but one that is taken away is believed by nobody
//! within seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use domain::platform::KeyName;
use domain::words::Word;
use event_store::vault::{self, KeyState, StoredKey, Vault};
use event_store::{Executor, ExecutorOptions, MasterKey};
use futures_util::future::{join_all, try_join_all};
use projector::signing_keys::{KeysError, SigningKeys};
use projector::{Projector, ProjectorOptions, ReactorOptions};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use service_kit::config::KeyConfig;
use service_kit::token::reload::{Load, RELOAD_EVERY};
use service_kit::token::{KeySet, Keys, PublicKeys, Role, Signer, SigningKey, Verifier};
use sqlx::PgPool;
use tests::cli::Cli;
use tests::database::tenant;
use tests::sse::Reader;
use tests::stack::{Answer, Stack, answer, quick};
use tests::until;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

type Test = anyhow::Result<()>;

const SUSPECTED: Word = Word::of("suspected");
const PATIENCE: Duration = Duration::from_secs(20);
const ACCOUNTS: &str = "/v1/ledger/accounts";

fn master(stack: &Stack) -> anyhow::Result<Arc<MasterKey>> {
    Ok(Arc::new(MasterKey::new(&KeyConfig::at(stack.keys.path()).master_key()?)?))
}

/// The keys in the hands of one process that may change them.
fn ring(stack: &Stack) -> anyhow::Result<SigningKeys> {
    let master = master(stack)?;
    let options = ExecutorOptions::new(stack.database.options("quipu_platform")?, Arc::clone(&master));
    let vault = Vault::new(stack.database.pool("quipu_platform")?);
    Ok(SigningKeys::new(vault, Executor::start(options).0, master))
}

fn in_state(keys: &[StoredKey], state: KeyState) -> Vec<&StoredKey> {
    keys.iter().filter(|it| it.state == state).collect()
}

/// Signs as a service does that has no key of its own.
struct Service {
    signer: Arc<Signer>,
    keys: Arc<Keys>,
    _no_files: tempfile::TempDir,
}

impl Service {
    async fn of(stack: &Stack) -> anyhow::Result<Self> {
        let (no_files, config) = (tempfile::tempdir()?, stack.tokens.clone());
        let signer = Arc::new(Signer::of_service(&KeyConfig::at(no_files.path()), &config)?);
        let verifier = Arc::new(Verifier::load(&KeyConfig::at(stack.keys.path()), &config)?);
        let (pool, master) = (stack.database.pool("quipu_command")?, master(stack)?);
        let load: Load = Box::new(move || {
            let (pool, master) = (pool.clone(), Arc::clone(&master));
            Box::pin(async move { Ok(read(pool, &master).await?) })
        });
        let keys = Keys::new(verifier, Some(Arc::clone(&signer)), load);
        keys.reload().await.map_err(|error| anyhow::anyhow!(error))?;
        Ok(Self { signer, keys, _no_files: no_files })
    }

    async fn reload(&self) -> Test {
        self.keys.reload().await.map_err(|error| anyhow::anyhow!(error))
    }

    fn token(&self, stack: &Stack) -> anyhow::Result<String> {
        Ok(self.signer.mint(&stack.claims(tenant(1), Role::Owner))?)
    }
}

async fn read(pool: PgPool, master: &MasterKey) -> anyhow::Result<KeySet> {
    let private = Vault::new(pool.clone()).signing_key(master).await?;
    let signing = private.map(|it| SigningKey::from_pkcs8(it.expose_secret())).transpose()?;
    let halves = vault::public_halves(&pool).await?;
    Ok(KeySet { believed: PublicKeys::of(&halves.believed), removed: halves.removed, signing })
}

/// The `kid`s that a command API publishes.
async fn published(stack: &Stack) -> anyhow::Result<Vec<String>> {
    let url = format!("{}/.well-known/jwks.json", stack.command_url);
    let jwks = answer(stack.request(Method::GET, "", &url)).await?;
    let keys = jwks.json["keys"].as_array().context("keys")?;
    Ok(keys.iter().filter_map(|it| it["kid"].as_str()).map(str::to_owned).collect())
}

/// One request that writes nothing to every process that there is.
async fn asked(stack: &Stack, others: &[String], token: &str) -> anyhow::Result<Vec<Answer>> {
    let nothing =
        stack.command(token, "/v1/ledger/batches").header("Idempotency-Key", Uuid::now_v7().to_string());
    let mut all =
        vec![answer(nothing.json(&json!({ "items": [] }))).await?, stack.get(token, ACCOUNTS).await?];
    for url in others {
        all.push(answer(stack.request(Method::GET, token, &format!("{url}{ACCOUNTS}"))).await?);
    }
    Ok(all)
}

fn all_refuse(answers: &[Answer]) -> bool {
    answers.iter().all(|it| (it.status, it.code()) == (StatusCode::UNAUTHORIZED, "auth.token-invalid"))
}

fn none_refuses(answers: &[Answer]) -> bool {
    answers.iter().all(|it| it.status != StatusCode::UNAUTHORIZED)
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_breaks_no_session_and_a_removed_key_dies_at_once() -> Test {
    let stack = Stack::whole().await?;
    let others = [stack.another_query_api().await?];
    let ring = ring(&stack)?;
    assert!(ring.tend(Utc::now()).await?, "the first key is made");
    let service = Service::of(&stack).await?;
    let first = service.signer.kid().context("a key signs")?;
    let old = service.token(&stack)?;
    // Nobody has looked since the key came to be, and it is believed all the same.
    assert!(none_refuses(&asked(&stack, &others, &old).await?));

    // Rotated five times while tokens old and new are shown as fast as answers come.
    let (done, shown) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = async || -> Test {
        while !done.load(Ordering::SeqCst) {
            for token in [&old, &service.token(&stack)?] {
                let answers = asked(&stack, &others, token).await?;
                anyhow::ensure!(none_refuses(&answers), "{answers:?}");
                shown.fetch_add(answers.len(), Ordering::SeqCst);
            }
        }
        Ok(())
    };
    let rotate = async || -> Test {
        let mut names = std::collections::BTreeSet::from([first.clone()]);
        for _ in 0..5 {
            let before = shown.load(Ordering::SeqCst);
            names.insert(ring.rotate(true).await?);
            service.reload().await?;
            until(PATIENCE, async || Ok(shown.load(Ordering::SeqCst) > before + 20)).await?;
        }
        done.store(true, Ordering::SeqCst);
        anyhow::ensure!(names.len() == 6, "each key is another: {names:?}");
        Ok(())
    };
    let (loaded, more, rotated) = tokio::join!(load(), load(), rotate());
    rotated.and(loaded).and(more)?;
    let stored = ring.list().await?;
    assert_eq!(
        (in_state(&stored, KeyState::Active).len(), in_state(&stored, KeyState::Retired).len()),
        (1, 5)
    );

    // What signs now is taken away: another key signs, and its tokens die everywhere, also in streams that are open.
    let signs = service.signer.kid().context("a key signs")?;
    let token = service.token(&stack)?;
    let mut stream = Reader::open(stack.query(&token, "/v1/events/stream")).await?;
    let begun = Instant::now();
    let next = ring.remove(&KeyName::parse(&signs)?, SUSPECTED).await?.context("another key signs")?;
    until(PATIENCE, async || Ok(all_refuse(&asked(&stack, &others, &token).await?))).await?;
    let dead_after = begun.elapsed();
    let mut last_word = String::new();
    while let Some(event) = stream.next().await? {
        last_word = event.name;
    }
    assert_eq!(last_word, "revoked");
    std::io::Write::write_all(
        &mut std::io::stderr(),
        format!(
            "a removed key: dead everywhere after {dead_after:?}, its streams after {:?}\n",
            begun.elapsed()
        )
        .as_bytes(),
    )?;
    assert!(dead_after < RELOAD_EVERY + Duration::from_secs(3), "{dead_after:?}");
    assert!(
        none_refuses(&asked(&stack, &others, &old).await?),
        "what other keys signed is believed as before"
    );
    service.reload().await?;
    assert_eq!(service.signer.kid(), Some(next.clone()));
    assert!(none_refuses(&asked(&stack, &others, &service.token(&stack)?).await?));
    let published = published(&stack).await?;
    assert!(published.contains(&next) && published.contains(&first) && !published.contains(&signs));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_key_can_be_removed_too_and_its_file_does_not_bring_it_back() -> Test {
    let stack = Stack::whole().await?;
    let token = stack.owner(tenant(1))?;
    assert!(none_refuses(&asked(&stack, &[], &token).await?));
    let kid = stack.signer.kid().context("the operator's key")?;
    let ring = ring(&stack)?;
    assert_eq!(
        ring.remove(&KeyName::parse(&kid)?, SUSPECTED).await?,
        None,
        "it is none of those that sign by turns"
    );
    until(PATIENCE, async || Ok(all_refuse(&asked(&stack, &[], &token).await?))).await?;
    let others = [stack.another_query_api().await?];
    assert!(all_refuse(&asked(&stack, &others, &token).await?), "a process that starts with the same file");
    assert!(!published(&stack).await?.contains(&kid));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_key_is_published_before_it_signs() -> Test {
    let stack = Stack::commands_only().await?;
    let ring = ring(&stack)?;
    assert!(ring.tend(Utc::now()).await?);
    assert!(!ring.tend(Utc::now()).await?, "nothing is due for a month");
    let service = Service::of(&stack).await?;
    let first = service.signer.kid().context("a key signs")?;
    let next = ring.rotate(false).await?;
    until(PATIENCE, async || Ok(published(&stack).await?.contains(&next))).await?;
    service.reload().await?;
    assert_eq!(service.signer.kid(), Some(first));
    assert!(!ring.tend(Utc::now()).await?, "its time has not come");
    // Whoever's clock is ahead is told no by the rules.
    match ring.tend(Utc::now() + TimeDelta::minutes(11)).await {
        Err(KeysError::Refused(refusal)) => assert_eq!(refusal.code, "platform.signing-key-too-early"),
        other => anyhow::bail!("{other:?}"),
    }
    match ring.rotate(false).await {
        Err(KeysError::Refused(refusal)) => assert_eq!(refusal.code, "platform.signing-key-other-announced"),
        other => anyhow::bail!("{other:?}"),
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_processes_that_rotate_at_once_one_does() -> Test {
    let stack = Stack::commands_only().await?;
    let rings = (0..8).map(|_| ring(&stack)).collect::<anyhow::Result<Vec<_>>>()?;
    let now = Utc::now();
    let made = join_all(rings.iter().map(|it| it.tend(now))).await;
    // Who looked before the winner was done is refused; who looked later finds nothing to do.
    let refusals: Vec<&str> = made
        .iter()
        .filter_map(|it| match it {
            Err(KeysError::Refused(refusal)) => Some(refusal.code.as_ref()),
            _ => None,
        })
        .collect();
    let done = made.iter().filter(|it| matches!(it, Ok(true))).count();
    let idle = made.iter().filter(|it| matches!(it, Ok(false))).count();
    assert_eq!((done, done + idle + refusals.len()), (1, 8), "{made:?}");
    assert!(refusals.iter().all(|it| it.starts_with("platform.signing-key-other-")), "{refusals:?}");
    let stored = rings[0].list().await?;
    assert_eq!((stored.len(), in_state(&stored, KeyState::Active).len()), (1, 1));

    for round in 1..=3 {
        let announced = join_all(rings.iter().map(|it| it.rotate(false))).await;
        assert_eq!(announced.iter().filter(|it| it.is_ok()).count(), 1, "{announced:?}");
        let stored = rings[0].list().await?;
        let waiting = in_state(&stored, KeyState::Announced);
        assert_eq!(waiting.len(), 1);
        let kid = KeyName::parse(&waiting[0].kid)?;
        rings[round].remove(&kid, SUSPECTED).await?;
    }
    let swapped = join_all(rings.iter().map(|it| it.rotate(true))).await;
    assert!(swapped.iter().any(Result::is_ok), "{swapped:?}");
    let stored = rings[0].list().await?;
    assert_eq!(in_state(&stored, KeyState::Active).len(), 1, "{stored:?}");
    let alive = swapped.iter().filter(|it| it.is_ok()).count();
    assert_eq!(in_state(&stored, KeyState::Retired).len(), alive, "each that took over retired one");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_private_half_is_wrapped_and_destroyed_with_its_use() -> Test {
    let stack = Stack::commands_only().await?;
    let ring = ring(&stack)?;
    ring.tend(Utc::now()).await?;
    let mut conn = stack.database.superuser().await?;
    let wrapped: Vec<u8> =
        sqlx::query_scalar("select wrapped from vault.signing_keys").fetch_one(&mut conn).await?;
    let pool = stack.database.pool("quipu_command")?;
    let private = Vault::new(pool.clone()).signing_key(&*master(&stack)?).await?.context("a key signs")?;
    let seed = &private.expose_secret()[16..48];
    assert!(!wrapped.windows(seed.len()).any(|it| it == seed));
    let stranger = tests::database::master_key()?;
    assert!(Vault::new(pool).signing_key(&stranger).await.is_err(), "another master key opens nothing");
    // Nothing of it is in the log, in whatever spelling.
    let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    let events: Vec<String> =
        sqlx::query_scalar("select payload::text from store.events").fetch_all(&mut conn).await?;
    assert!(events.len() >= 2 && events.iter().all(|it| !it.contains(&hex)), "{events:?}");

    ring.rotate(true).await?;
    let kept: Vec<(String, bool)> =
        sqlx::query_as("select state, wrapped is not null from vault.signing_keys order by state")
            .fetch_all(&mut conn)
            .await?;
    assert_eq!(kept, [("active".to_owned(), true), ("retired".to_owned(), false)]);

    for role in ["quipu_query", "quipu_command", "quipu_projector"] {
        let (reads, writes): (bool, bool) = sqlx::query_as(
            "select has_table_privilege($1, 'vault.signing_keys', 'select') and has_schema_privilege($1, 'vault', 'usage'),
                    has_table_privilege($1, 'vault.signing_keys', 'insert, update, delete')",
        )
        .bind(role)
        .fetch_one(&mut conn)
        .await?;
        assert_eq!((reads, writes), (role == "quipu_command", false), "{role}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reactor_makes_the_first_key_and_sees_to_the_rest() -> Test {
    let stack = Stack::commands_only().await?;
    let shutdown = CancellationToken::new();
    let _stops = shutdown.clone().drop_guard();
    let reactor = ReactorOptions::new(stack.database.options("quipu_reactor")?, master(&stack)?);
    let options = ProjectorOptions::new(stack.database.options("quipu_projector")?, shutdown);
    let _projector = Projector::start(ProjectorOptions {
        followers: Vec::new(),
        reactor: Some(ReactorOptions { signing_keys: true, ..reactor }),
        timing: quick(),
        connections_max: 4,
        ..options
    });
    let ring = ring(&stack)?;
    until(PATIENCE, async || Ok(in_state(&ring.list().await?, KeyState::Active).len() == 1)).await?;
    let first = ring.list().await?.first().context("a key")?.kid.clone();
    // An operator takes it away, and the one that is left is never none.
    ring.remove(&KeyName::parse(&first)?, SUSPECTED).await?;
    until(PATIENCE, async || {
        let stored = ring.list().await?;
        Ok(in_state(&stored, KeyState::Active).iter().any(|it| it.kid != first))
    })
    .await?;
    let told: Vec<String> =
        sqlx::query_scalar("select type from store.events where type like '%-key-%' order by position")
            .fetch_all(&mut stack.database.superuser().await?)
            .await?;
    let expected = ["announced", "activated", "removed", "announced", "activated"];
    assert_eq!(told, expected.map(|it| format!("platform.signing-key-{it}")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_lists_rotates_and_removes() -> Test {
    let stack = Stack::commands_only().await?;
    let cli = Cli::owner(&stack, tenant(1))?;
    std::fs::write(cli.file("platform"), stack.database.url("quipu_platform")?)?;
    let (url, keys) = (cli.file("platform").display().to_string(), stack.keys.path().display().to_string());
    let run = async |arguments: &[&str]| {
        let settings = ["--database-url-file", url.as_str(), "--key-dir", keys.as_str()];
        cli.run(&[&["keys"], arguments, &settings].concat()).await
    };
    let listed = async || -> anyhow::Result<Vec<(String, String)>> {
        let ran = run(&["list", "--json"]).await?;
        let rows = ran.json_lines()?;
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        Ok(rows.iter().map(|row| (text(row, "kid"), text(row, "state"))).collect())
    };
    let operator = stack.signer.kid().context("the operator's key")?;
    assert_eq!(listed().await?, [(operator.clone(), "operator".to_owned())]);

    let rotated = run(&["rotate", "--now"]).await?;
    assert_eq!(rotated.code, 0, "{}", rotated.talk);
    let first = rotated.out.trim().to_owned();
    assert!(listed().await?.contains(&(first.clone(), "active".to_owned())));
    let announced = run(&["rotate"]).await?;
    assert_eq!(announced.code, 0, "{}", announced.talk);
    let again = run(&["rotate"]).await?;
    assert_eq!(again.code, 1);
    assert!(again.talk.contains("platform.signing-key-other-announced"), "{}", again.talk);

    for (kid, code) in [(operator.as_str(), 0), (first.as_str(), 0), ("unknown", 1), ("no/name", 2)] {
        // Behind `--`: a thumbprint may begin with a hyphen.
        let settings = ["--database-url-file", url.as_str(), "--key-dir", keys.as_str()];
        let removed = cli.run(&[&["keys", "remove"], &settings[..], &["--", kid]].concat()).await?;
        assert_eq!(removed.code, code, "{kid}: {}", removed.talk);
    }
    let after = listed().await?;
    assert!(
        after.contains(&(first, "removed".to_owned())) && after.contains(&(operator, "removed".to_owned()))
    );
    assert_eq!(after.iter().filter(|(_, state)| state == "active").count(), 1, "{after:?}");
    let table = run(&["list"]).await?;
    assert!(table.out.contains("signs until"), "{}", table.out);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_any_key_signs_as_soon_as_there_is_one() -> Test {
    let stack = Stack::commands_only().await?;
    let services = try_join_all((0..2).map(|_| Service::of(&stack))).await?;
    assert!(services.iter().all(|it| it.signer.kid().is_none() && it.token(&stack).is_err()));
    ring(&stack)?.tend(Utc::now()).await?;
    for service in &services {
        service.reload().await?;
        assert!(none_refuses(&asked_of_commands(&stack, &service.token(&stack)?).await?));
    }
    Ok(())
}

async fn asked_of_commands(stack: &Stack, token: &str) -> anyhow::Result<Vec<Answer>> {
    let nothing =
        stack.command(token, "/v1/ledger/batches").header("Idempotency-Key", Uuid::now_v7().to_string());
    Ok(vec![answer(nothing.json(&json!({ "items": [] }))).await?])
}
