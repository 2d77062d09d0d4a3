//! The tokens that providers give for their people: kept sealed where that is wanted, kept fresh by one process at a time, and
//! shown to their person alone.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use domain::ids::{LinkId, ProviderId, TenantId, UserId};
use domain::organisation::RoleRef;
use event_store::vault::{TokenOwner, Vault};
use futures_util::future::try_join_all;
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};
use tests::database::{Database, master_key, tenant};
use tests::members::Members;
use tests::oidc::{GitHub, OidcProvider};
use tests::person::SignedIn;
use tests::stack::{Answer, Stack, answer};
use tests::until;
use uuid::Uuid;

use super::federation::{Shop, VERIFIER, github, parameter, settings};

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(30);
const MISSING: (u16, &str) = (404, "federation.provider-token-missing");

async fn read(stack: &Stack, token: &str) -> anyhow::Result<Answer> {
    let url = format!("{}/v1/provider-tokens/corp", stack.command_url);
    answer(stack.request(Method::GET, token, &url)).await
}

async fn token(stack: &Stack, by: &str) -> anyhow::Result<String> {
    let shown = read(stack, by).await?;
    anyhow::ensure!(shown.status == StatusCode::OK, "{} {}", shown.status, shown.text);
    assert_eq!(shown.header("cache-control"), "no-store");
    Ok(shown.json["access_token"].as_str().context("a token")?.to_owned())
}

fn told(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.code())
}

/// What is set of a provider whose tokens are kept.
fn keeping(kind: &str, issuer: &str, client: (&str, &str)) -> Value {
    let mut settings = settings(kind, issuer, client);
    settings["keeps_tokens"] = json!(true);
    settings
}

async fn keep(shop: &Shop<'_>, issuer: &str) -> Test {
    let set = shop.set(&keeping("github", issuer, ("quipu", "ours"))).await?;
    anyhow::ensure!(set.status == StatusCode::OK, "{}", set.text);
    Ok(())
}

/// Makes all tokens due, as if their time were almost over.
async fn make_due(stack: &Stack) -> Test {
    let mut conn = stack.database.superuser().await?;
    sqlx::query("update vault.provider_tokens set refresh_at = now()").execute(&mut conn).await?;
    Ok(())
}

async fn kept(stack: &Stack) -> anyhow::Result<i64> {
    let mut conn = stack.database.superuser().await?;
    Ok(sqlx::query_scalar("select count(*) from vault.provider_tokens").fetch_one(&mut conn).await?)
}

/// How many somebody has at this moment, or has yet to take.
async fn leased(stack: &Stack) -> anyhow::Result<i64> {
    let mut conn = stack.database.superuser().await?;
    let waiting = "select count(*) from vault.provider_tokens where refresh_at < now() + interval '1 hour'";
    Ok(sqlx::query_scalar(waiting).fetch_one(&mut conn).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_provider_that_others_made_are_kept_fresh() -> Test {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oidc-provider");
    let Some(op) = OidcProvider::start(&folder).await? else { return Ok(()) };
    let stack = Stack::commands_only().await?;
    let shop = Shop::open(&stack, "oidc", &op.issuer).await?;
    op.is_used_by("ann", &json!({ "email": "ann@corp.example", "email_verified": true })).await?;
    let (client, secret) = op.register(&shop.callback(), "RS256").await?;
    let set = shop.set(&keeping("oidc", &op.issuer, (&client, &secret))).await?;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    let begun = shop.begin().await?;
    let there = op.walk(begun.url.as_str()).await?;
    let back = shop.back(there.query().unwrap_or_default(), &begun.cookie).await?;
    let url: Url = back.header("location").parse().with_context(|| back.text.clone())?;
    let code = parameter(&url, "code").with_context(|| url.to_string())?;
    let ann = SignedIn::of(&shop.hand_over(&code, VERIFIER).await?)?;

    let first = token(&stack, &ann.access).await?;
    assert_eq!(op.subject_of(&first).await?.as_deref(), Some("ann"), "the provider takes it");
    make_due(&stack).await?;
    until(PATIENCE, || async { Ok(token(&stack, &ann.access).await? != first) }).await?;
    let second = token(&stack, &ann.access).await?;
    assert_eq!(op.subject_of(&second).await?.as_deref(), Some("ann"), "it takes the newer one");
    make_due(&stack).await?;
    until(PATIENCE, || async { Ok(token(&stack, &ann.access).await? != second) }).await?;

    let mut conn = stack.database.superuser().await?;
    let stored: Vec<String> = sqlx::query_scalar(
        "select encode(sealed, 'escape') from vault.provider_tokens
         union all select payload::text || meta::text from store.events",
    )
    .fetch_all(&mut conn)
    .await?;
    assert!(stored.len() > 1);
    for token in [&first, &second, &token(&stack, &ann.access).await?] {
        assert!(stored.iter().all(|it| !it.contains(token.as_str())), "a token lies open");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_for_its_person_alone_and_that_it_was_read_is_recorded() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    github.has(1, "cat", "cat@corp.example", true);
    let before = shop.sign_in("cat").await?;
    assert_eq!(told(&read(&stack, &before.access).await?), MISSING, "nobody asked for it to be kept");
    assert_eq!(kept(&stack).await?, 0);
    keep(&shop, &github.issuer).await?;
    let cat = shop.sign_in("cat").await?;
    let mut conn = stack.database.superuser().await?;
    let reads = "select count(*) from store.events where tenant_id = $1 and type = 'audit.data-read'
                 and payload ->> 'action' = 'federation.read-provider-token' and meta ->> 'actor' = $2";
    let user = cat.claims()?["sub"].as_str().context("a subject")?.to_owned();
    let recorded: i64 =
        sqlx::query_scalar(reads).bind(shop.acme.tenant.uuid()).bind(&user).fetch_one(&mut conn).await?;
    assert_eq!(token(&stack, &cat.access).await?, "cat~0");
    // The one before found nothing and is of the same minute, so it stands for both.
    assert_eq!(recorded, 1, "it was recorded when it was asked for");

    // Another person, an operator, a key, and staff in the person's place.
    github.has(2, "dog", "dog@corp.example", true);
    let dog = shop.sign_in("dog").await?;
    assert_eq!(token(&stack, &dog.access).await?, "dog~0");
    for stranger in [stack.owner(shop.acme.tenant)?, shop.owner.clone()] {
        assert_eq!(told(&read(&stack, &stranger).await?), MISSING);
    }
    let names = ["federation.read-provider-token"];
    let members = Members::of(&stack, shop.acme.tenant)?;
    let (_, key) = members.key(members.join(&[RoleRef::OWNER]).await?.user, &names).await?;
    assert_eq!(told(&read(&stack, &key).await?), (403, "auth.acts-for-another"));
    let staff = Members::of(&stack, TenantId::PLATFORM)?.join(&[RoleRef::OWNER]).await?;
    let path = format!("/v1/platform/users/{}/{user}/impersonate", shop.acme.tenant);
    let reason = json!({ "reason": "a test", "ticket": "1", "minutes": 5 });
    let acts = stack.post(&staff.token, &path, &reason).await?;
    let acting = acts.json["access_token"].as_str().with_context(|| acts.text.clone())?;
    assert_eq!(told(&read(&stack, acting).await?), (403, "auth.acts-for-another"));
    for odd in ["nobody", "Corp", "corp%00", "%F0%9F%90%B1", &"a".repeat(300)] {
        let url = format!("{}/v1/provider-tokens/{odd}", stack.command_url);
        let answer = answer(stack.request(Method::GET, &cat.access, &url)).await?;
        assert_eq!(told(&answer), MISSING, "{odd}");
    }

    // It goes with the link, and with the provider.
    let url = format!("{}/v1/auth/links/external", stack.command_url);
    let list = answer(stack.request(Method::GET, &cat.access, &url)).await?;
    let link = list.json["links"][0]["id"].as_str().with_context(|| list.text.clone())?;
    let gone = answer(stack.request(Method::DELETE, &cat.access, &format!("{url}/{link}"))).await?;
    assert_eq!(gone.status, StatusCode::OK, "{}", gone.text);
    assert_eq!(told(&read(&stack, &cat.access).await?), MISSING);
    assert_eq!(kept(&stack).await?, 1, "the dog's");
    let providers =
        answer(stack.request(Method::GET, &shop.owner, &format!("{}/v1/providers", stack.command_url)));
    let provider = providers.await?.json["providers"][0]["id"].as_str().context("an id")?.to_owned();
    let url = format!("{}/v1/providers/{provider}", stack.command_url);
    assert_eq!(answer(stack.request(Method::DELETE, &shop.owner, &url)).await?.status, StatusCode::OK);
    assert_eq!(kept(&stack).await?, 0);
    Ok(())
}

/// Thirty people's tokens are due at one moment, in three processes: each is exchanged once. A provider that takes a refresh
/// token once would tell of a second exchange, and nothing would be kept any more.
#[tokio::test(flavor = "multi_thread")]
async fn one_refresher_of_two_processes_refreshes() -> Test {
    const PEOPLE: u64 = 30;
    const ROUNDS: u32 = 3;
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    keep(&shop, &github.issuer).await?;
    stack.another_command_api().await?;
    stack.another_command_api().await?;
    let login = |n: u64| format!("cat{n}");
    let mut people = Vec::new();
    for n in 0..PEOPLE {
        github.has(n, &login(n), &format!("{}@corp.example", login(n)), true);
        people.push(shop.sign_in(&login(n)).await?);
    }
    for round in 1..=ROUNDS {
        make_due(&stack).await?;
        until(PATIENCE, || async {
            Ok((0..PEOPLE).all(|n| github.account(&login(n)).is_some_and(|it| it.refreshed >= round)))
        })
        .await?;
        until(PATIENCE, || async { Ok(leased(&stack).await? == 0) }).await?;
        for n in 0..PEOPLE {
            let account = github.account(&login(n)).context("an account")?;
            assert_eq!((account.refreshed, account.misused), (round, 0), "{}", account.login);
        }
    }
    for (n, person) in people.iter().enumerate() {
        let shown = token(&stack, &person.access).await?;
        assert_eq!(GitHub::told(&shown), Some((login(u64::try_from(n)?).as_str(), ROUNDS)));
    }
    Ok(())
}

/// The row of a link, as it stands once somebody is linked.
async fn linked(database: &Database, owner: &TokenOwner) -> Test {
    let mut conn = database.superuser().await?;
    let row = "insert into vault.identities (tenant_id, link_id, provider_id, user_id, identity, put_at)
               values ($1, $2, $3, $4, sha256($2::text::bytea), now())";
    let row = sqlx::query(row).bind(owner.tenant.uuid()).bind(owner.link.uuid());
    row.bind(owner.provider.uuid()).bind(owner.user.uuid()).execute(&mut conn).await?;
    Ok(())
}

/// The link is given up between the sign-in and the moment that its tokens would be kept.
#[tokio::test]
async fn tokens_that_come_after_their_link_is_gone_are_not_kept() -> Test {
    let database = Database::fresh().await?;
    let (master, vault) = (master_key()?, Vault::new(database.pool("quipu_command")?));
    let (link, provider) = (LinkId::new(Uuid::now_v7()), ProviderId::new(Uuid::now_v7()));
    let owner = TokenOwner { tenant: tenant(1), link, provider, user: UserId::new(Uuid::now_v7()) };
    let kept = async || vault.provider_tokens_of(tenant(1), provider, owner.user, &master).await;
    vault.put_provider_tokens(&owner, b"{}", Some(Utc::now()), &master).await?;
    assert_eq!(kept().await?, None);
    linked(&database, &owner).await?;
    vault.put_provider_tokens(&owner, b"{}", Some(Utc::now()), &master).await?;
    assert_eq!(kept().await?.as_deref(), Some(&b"{}"[..]));
    // An older build may have kept some for a link that was gone: they are forgotten once they are due.
    let mut conn = database.superuser().await?;
    sqlx::query("delete from vault.identities").execute(&mut conn).await?;
    let leased = vault.lease_provider_tokens(tenant(1), link, Duration::from_secs(60), &master).await?;
    assert!(leased.is_none());
    assert_eq!(kept().await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_would_take_due_tokens_one_has_them() -> Test {
    let database = Database::fresh().await?;
    let master = master_key()?;
    let vaults = [database.pool("quipu_command")?, database.pool("quipu_command")?].map(Vault::new);
    let lasts = Duration::from_secs(60);
    for _ in 0..10 {
        let (link, provider) = (LinkId::new(Uuid::now_v7()), ProviderId::new(Uuid::now_v7()));
        let owner = TokenOwner { tenant: tenant(1), link, provider, user: UserId::new(Uuid::now_v7()) };
        linked(&database, &owner).await?;
        vaults[0].put_provider_tokens(&owner, b"{}", Some(Utc::now()), &master).await?;
        let takers = (0..40).map(|n| vaults[n % 2].lease_provider_tokens(tenant(1), link, lasts, &master));
        let mut taken: Vec<_> = try_join_all(takers).await?.into_iter().flatten().collect();
        let (leased, others) = (taken.pop().context("nobody has them")?, taken.len());
        assert_eq!((others, leased.tries), (0, 1));
        // Whoever comes back when their time is over changes nothing: a sign-in has brought others meanwhile.
        vaults[1].put_provider_tokens(&owner, b"newer", None, &master).await?;
        assert!(!vaults[0].renew_provider_tokens(&leased, b"older", None, &master).await?);
        vaults[0].put_provider_tokens_off(&leased, None).await?;
        let kept = vaults[1].provider_tokens_of(tenant(1), provider, owner.user, &master).await?;
        assert_eq!(kept.as_deref(), Some(&b"newer"[..]));
        let elsewhere = vaults[1].provider_tokens_of(tenant(2), provider, owner.user, &master).await?;
        assert_eq!(elsewhere, None);
    }
    assert!(vaults[0].provider_tokens_due(10).await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_takes_no_more_is_forgotten() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    keep(&shop, &github.issuer).await?;
    github.has(1, "cat", "cat@corp.example", true);
    let cat = shop.sign_in("cat").await?;
    make_due(&stack).await?;
    until(PATIENCE, || async { Ok(token(&stack, &cat.access).await? == "cat~1") }).await?;
    // The account begins anew there: what we have is good no more.
    github.has(1, "cat", "cat@corp.example", true);
    make_due(&stack).await?;
    until(PATIENCE, || async { Ok(kept(&stack).await? == 0) }).await?;
    assert_eq!(told(&read(&stack, &cat.access).await?), MISSING);
    assert_eq!(github.account("cat").context("an account")?.misused, 1, "it is asked once");
    // The next sign-in brings others.
    let cat = shop.sign_in("cat").await?;
    assert_eq!(token(&stack, &cat.access).await?, "cat~0");
    Ok(())
}
