//! Devices without a keyboard: asked for, decided about, polled, redeemed once.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::try_join_all;
use reqwest::StatusCode;
use serde_json::json;
use service_kit::config::RateConfig;
use service_kit::rate::Rate;
use tests::person::{Organisation, PASSWORD, Person};
use tests::relying::{DEVICE, Relying, Tokens, shop};
use tests::stack::{Answer, PUBLIC_URL, Stack};
use tests::tab::{Tab, hidden};
use uuid::Uuid;

type Test = anyhow::Result<()>;

const INVALID_GRANT: (u16, &str) = (400, "invalid_grant");

/// What a device was told when it asked.
struct Asked {
    device: String,
    user_code: String,
}

fn said(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.json["error"].as_str().unwrap_or_default())
}

async fn ask(shop: &Relying<'_>) -> anyhow::Result<Asked> {
    let told = shop.ask("device_authorization", &[("scope", "openid email")]).await?;
    anyhow::ensure!(told.status == StatusCode::OK, "{} {}", told.status, told.text);
    let text = |name: &str| told.json[name].as_str().map(ToOwned::to_owned).context("a code");
    Ok(Asked { device: text("device_code")?, user_code: text("user_code")? })
}

async fn poll(shop: &Relying<'_>, device: &str) -> anyhow::Result<Answer> {
    shop.token(&[("grant_type", DEVICE), ("device_code", device)]).await
}

/// The device has waited as long as it must.
async fn waited(shop: &Relying<'_>) -> Test {
    let mut conn = shop.of.stack.database.superuser().await?;
    let wait = "update vault.device_grants set polled_at = polled_at - make_interval(secs => interval_s)";
    sqlx::query(wait).execute(&mut conn).await?;
    Ok(())
}

async fn signed_in(shop: &Relying<'_>, person: &Person) -> anyhow::Result<Tab> {
    let mut tab = Tab::at(&shop.of.stack.command_url)?;
    signed_in_at(&mut tab, shop, person).await?;
    Ok(tab)
}

async fn signed_in_at(tab: &mut Tab, shop: &Relying<'_>, person: &Person) -> Test {
    let slug = &*shop.of.slug;
    tab.get(&format!("/sign-in?organization={slug}")).await?;
    let fields = [("organization", slug), ("email", &person.email), ("password", PASSWORD)];
    let done = tab.send("/sign-in", &fields).await?;
    anyhow::ensure!(done.status == StatusCode::SEE_OTHER, "{} {}", done.status, done.text);
    Ok(())
}

/// Types a code: the ticket with which it is decided, if the code is one.
async fn type_in(tab: &mut Tab, code: &str) -> anyhow::Result<(Answer, Option<String>)> {
    tab.get("/device").await?;
    let page = tab.send("/device", &[("user_code", code)]).await?;
    let ticket = hidden(&page.text, "ticket");
    Ok((page, ticket))
}

/// Somebody goes through the pages and lets the device in that shows a code.
pub(super) async fn allow(shop: &Relying<'_>, person: &Person, user_code: &str) -> Test {
    let mut tab = signed_in(shop, person).await?;
    let (page, ticket) = type_in(&mut tab, user_code).await?;
    let ticket = ticket.with_context(|| page.text.clone())?;
    let done = tab.send("/device/answer", &[("ticket", &ticket), ("answer", "allow")]).await?;
    anyhow::ensure!(done.status == StatusCode::OK, "{} {}", done.status, done.text);
    Ok(())
}

/// A device that somebody let in: what it polls with.
pub(super) async fn approved(shop: &Relying<'_>, person: &Person) -> anyhow::Result<String> {
    let asked = ask(shop).await?;
    allow(shop, person, &asked.user_code).await?;
    Ok(asked.device)
}

async fn set_up(stack: &Stack) -> anyhow::Result<(Organisation<'_>, Person)> {
    let acme = Organisation::found(stack, "acme").await?;
    let ann = acme.join("ann").await?;
    Ok((acme, ann))
}

#[tokio::test]
async fn from_where_a_device_asked_is_shown_to_whoever_decides_and_kept_in_plain_text_nowhere() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let asked = ask(&shop).await?;
    let mut conn = stack.database.superuser().await?;
    let kept = "select asked_from, it::text from vault.device_grants it";
    let (sealed, row): (Option<Vec<u8>>, String) = sqlx::query_as(kept).fetch_one(&mut conn).await?;
    assert!(sealed.is_some_and(|it| !it.windows(9).any(|it| it == b"127.0.0.1")));
    assert!(!row.contains("127.0.0.1"), "{row}");
    let mut tab = signed_in(&shop, &ann).await?;
    let (page, ticket) = type_in(&mut tab, &asked.user_code).await?;
    assert!(page.text.contains("127.0.0.1"), "{}", page.text);
    let ticket = ticket.context("a ticket")?;
    tab.send("/device/answer", &[("ticket", &ticket), ("answer", "allow")]).await?;
    let (sealed, _): (Option<Vec<u8>>, String) = sqlx::query_as(kept).fetch_one(&mut conn).await?;
    assert_eq!(sealed, None, "it was shown to whom it may concern");
    Ok(())
}

#[tokio::test]
async fn a_device_is_let_in_by_the_code_that_it_shows() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let told = shop.ask("device_authorization", &[("scope", "openid email")]).await?;
    let (uri, code) =
        (format!("{PUBLIC_URL}/device"), told.json["user_code"].as_str().context("a code")?.to_owned());
    assert_eq!(
        (&told.json["verification_uri"], &told.json["interval"], &told.json["expires_in"]),
        (&json!(uri), &json!(5), &json!(600))
    );
    assert_eq!(told.json["verification_uri_complete"], format!("{uri}?user_code={code}"));
    assert_eq!(code.len(), 9);
    assert!(code.bytes().enumerate().all(|(n, it)| if n == 4 {
        it == b'-'
    } else {
        b"BCDFGHJKLMNPQRSTVWXZ".contains(&it)
    }));
    let device = told.json["device_code"].as_str().context("a code")?.to_owned();
    assert_eq!(said(&poll(&shop, &device).await?), (400, "authorization_pending"));
    // As people type.
    let mut tab = signed_in(&shop, &ann).await?;
    let (page, ticket) = type_in(&mut tab, &code.to_lowercase().replace('-', " ")).await?;
    assert!(page.text.contains(&code) && page.text.contains("Shop"), "{}", page.text);
    let ticket = ticket.context("a ticket")?;
    let done = tab.send("/device/answer", &[("ticket", &ticket), ("answer", "allow")]).await?;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    waited(&shop).await?;
    let tokens = poll(&shop, &device).await?;
    assert_eq!(tokens.json["scope"], "email openid", "{}", tokens.text);
    let tokens = Tokens::of(&tokens)?;
    let id = Tokens::said(&tokens.id)?;
    assert_eq!((&id["sub"], &id["amr"]), (&json!(ann.user.to_string()), &json!(["pwd"])));
    assert_eq!(shop.refresh(&tokens.refresh).await?.status, StatusCode::OK);
    // Nobody decides twice.
    let again = tab.send("/device/answer", &[("ticket", &ticket), ("answer", "deny")]).await?;
    assert_eq!(again.status, StatusCode::NOT_FOUND, "{}", again.text);
    // A service that is not registered for it gets no codes, and nobody gets scopes that are not registered.
    let web = json!({ "name": "Web", "confidential": true, "grants": ["client-credentials"], "scopes": ["openid"] });
    let web = Relying::register(&acme, &web).await?;
    assert_eq!(said(&web.ask("device_authorization", &[]).await?), (400, "unauthorized_client"));
    assert_eq!(said(&shop.ask("device_authorization", &[("scope", "x")]).await?), (400, "invalid_scope"));
    Ok(())
}

#[tokio::test]
async fn rauthy_a_poll_too_early_slows_down_and_gets_nothing() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let device = approved(&shop, &ann).await?;
    let mut conn = stack.database.superuser().await?;
    sqlx::query("update vault.device_grants set polled_at = now()").execute(&mut conn).await?;
    // It was let in, and gets nothing all the same.
    assert_eq!(said(&poll(&shop, &device).await?), (400, "slow_down"));
    waited(&shop).await?;
    assert_eq!(poll(&shop, &device).await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn slow_down_adds_five_seconds_and_is_remembered() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, _) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let asked = ask(&shop).await?;
    let mut conn = stack.database.superuser().await?;
    assert_eq!(said(&poll(&shop, &asked.device).await?), (400, "authorization_pending"));
    for expected in [10_i16, 15, 20] {
        assert_eq!(said(&poll(&shop, &asked.device).await?), (400, "slow_down"));
        let every: i16 =
            sqlx::query_scalar("select interval_s from vault.device_grants").fetch_one(&mut conn).await?;
        assert_eq!(every, expected);
    }
    // What was enough in the beginning is not any more.
    let moved = "update vault.device_grants set polled_at = polled_at - interval '19 seconds'";
    sqlx::query(moved).execute(&mut conn).await?;
    assert_eq!(said(&poll(&shop, &asked.device).await?), (400, "slow_down"));
    waited(&shop).await?;
    assert_eq!(said(&poll(&shop, &asked.device).await?), (400, "authorization_pending"));
    Ok(())
}

#[tokio::test]
async fn rauthy_a_deleted_code_stays_deleted() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = signed_in(&shop, &ann).await?;
    // Whoever was refused is told so once, and is nobody from then on.
    let asked = ask(&shop).await?;
    let ticket = type_in(&mut tab, &asked.user_code).await?.1.context("a ticket")?;
    tab.send("/device/answer", &[("ticket", &ticket), ("answer", "deny")]).await?;
    assert_eq!(said(&poll(&shop, &asked.device).await?), (400, "access_denied"));
    for _ in 0..3 {
        waited(&shop).await?;
        assert_eq!(said(&poll(&shop, &asked.device).await?), INVALID_GRANT);
    }
    assert!(type_in(&mut tab, &asked.user_code).await?.1.is_none());
    let late = tab.send("/device/answer", &[("ticket", &ticket), ("answer", "allow")]).await?;
    assert_eq!(late.status, StatusCode::NOT_FOUND);
    // Whoever is too late finds nothing to decide, even with the page open.
    let asked = ask(&shop).await?;
    let ticket = type_in(&mut tab, &asked.user_code).await?.1.context("a ticket")?;
    let mut conn = stack.database.superuser().await?;
    sqlx::query("update vault.device_grants set expires_at = now()").execute(&mut conn).await?;
    let late = tab.send("/device/answer", &[("ticket", &ticket), ("answer", "allow")]).await?;
    assert_eq!(late.status, StatusCode::NOT_FOUND, "{}", late.text);
    assert_eq!(said(&poll(&shop, &asked.device).await?), (400, "expired_token"));
    assert!(type_in(&mut tab, &asked.user_code).await?.1.is_none());
    // It makes room when another one asks.
    ask(&shop).await?;
    assert_eq!(said(&poll(&shop, &asked.device).await?), INVALID_GRANT);
    Ok(())
}

#[tokio::test]
async fn a_device_code_works_once_and_its_replay_ends_the_tokens() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let device = approved(&shop, &ann).await?;
    let tokens = Tokens::of(&poll(&shop, &device).await?)?;
    let active = async |token: &str| {
        anyhow::Ok(shop.ask("introspect", &[("token", token)]).await?.json["active"] == true)
    };
    assert!(active(&tokens.access).await?);
    assert_eq!(said(&poll(&shop, &device).await?), INVALID_GRANT);
    assert!(!active(&tokens.access).await? && !active(&tokens.refresh).await?);
    assert_eq!(said(&shop.refresh(&tokens.refresh).await?), INVALID_GRANT);
    Ok(())
}

/// However many come at once with one code, of two processes, one at most is let in.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_poll_at_once_one_is_let_in_at_most() -> Test {
    let stack = Stack::commands_only().await?;
    let other = stack.another_command_api().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let urls = [format!("{}/oauth2/token", stack.command_url), format!("{other}/oauth2/token")];
    for _ in 0..5 {
        let device = approved(&shop, &ann).await?;
        let fields = [("grant_type", DEVICE), ("device_code", &*device)];
        let answers = try_join_all((0..10).map(|n| shop.ask_at(&urls[n % 2], &fields))).await?;
        assert!(answers.iter().filter(|it| it.status == StatusCode::OK).count() <= 1);
        let known = [INVALID_GRANT, (400, "slow_down")];
        assert!(answers.iter().all(|it| it.status == StatusCode::OK || known.contains(&said(it))));
    }
    let mut conn = stack.database.superuser().await?;
    let sessions: i64 = sqlx::query_scalar(
        "select count(*) from store.events where type = 'application.device-grant-redeemed'",
    )
    .fetch_one(&mut conn)
    .await?;
    assert!(sessions <= 5, "{sessions}");
    Ok(())
}

#[tokio::test]
async fn an_approval_is_for_the_code_that_was_typed() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let bob = acme.join("bob").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let (typed, other) = (ask(&shop).await?, ask(&shop).await?);
    let (mut tab, mut theirs) = (signed_in(&shop, &ann).await?, signed_in(&shop, &bob).await?);
    let ticket = type_in(&mut tab, &typed.user_code).await?.1.context("a ticket")?;
    let foreign = type_in(&mut theirs, &other.user_code).await?.1.context("a ticket")?;
    // Neither a ticket of somebody else, nor one for another device, nor one of another session of one's own.
    let (grant, proof) = ticket.split_once('.').context("a ticket")?;
    let (other_grant, other_proof) = foreign.split_once('.').context("a ticket")?;
    let mut again = signed_in(&shop, &ann).await?;
    type_in(&mut again, &other.user_code).await?;
    let made_up = [
        foreign.clone(),
        format!("{other_grant}.{proof}"),
        format!("{grant}.{other_proof}"),
        format!("{grant}."),
        grant.to_owned(),
        format!("{}.{proof}", Uuid::nil()),
        "x.y".to_owned(),
    ];
    for it in &made_up {
        let refused = tab.send("/device/answer", &[("ticket", it), ("answer", "allow")]).await?;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{it}: {}", refused.text);
    }
    let refused = again.send("/device/answer", &[("ticket", &ticket), ("answer", "allow")]).await?;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{}", refused.text);
    let done = tab.send("/device/answer", &[("ticket", &ticket), ("answer", "allow")]).await?;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    assert_eq!(said(&poll(&shop, &other.device).await?), (400, "authorization_pending"));
    let tokens = Tokens::of(&poll(&shop, &typed.device).await?)?;
    assert_eq!(Tokens::said(&tokens.id)?["sub"], ann.user.to_string());
    // A code of another organisation is none here.
    let evil = Organisation::found(&stack, "evil").await?;
    let eve = evil.join("eve").await?;
    let till = Relying::register(&evil, &tests::relying::shop()).await?;
    let mut stranger = signed_in(&till, &eve).await?;
    assert!(type_in(&mut stranger, &other.user_code).await?.1.is_none());
    Ok(())
}

#[tokio::test]
async fn five_wrong_user_codes_end_the_guessing() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let limited = RateConfig { rate_user_codes: Rate::new(5, 600), ..RateConfig::OFF };
    let base = stack.command_api_limited(limited).await?;
    let asked = ask(&shop).await?;
    let mut tab = Tab::at(&base)?;
    signed_in_at(&mut tab, &shop, &ann).await?;
    // Right ones are no guesses, and take nothing back of what was one.
    for n in 0..7 {
        if n == 3 {
            assert_eq!(type_in(&mut tab, "BBBB-BBBB").await?.0.status, StatusCode::NOT_FOUND);
        }
        assert!(type_in(&mut tab, &asked.user_code).await?.1.is_some(), "{n}");
    }
    for n in 1..5 {
        let (page, ticket) = type_in(&mut tab, "BBBB-BBBB").await?;
        assert!(ticket.is_none() && page.status == StatusCode::NOT_FOUND, "{n}: {}", page.status);
    }
    // Now even the right one is not looked at.
    let (page, ticket) = type_in(&mut tab, &asked.user_code).await?;
    assert_eq!((page.status, ticket), (StatusCode::TOO_MANY_REQUESTS, None), "{}", page.text);
    assert!(!page.header("retry-after").is_empty());
    Ok(())
}

/// A thousand devices that ask at once are taken in by few statements, and no two show one code.
#[tokio::test(flavor = "multi_thread")]
async fn devices_that_ask_at_once_are_all_taken_in_and_none_shows_anothers_code() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, _) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let all =
        tokio::time::timeout(Duration::from_secs(60), try_join_all((0..300).map(|_| ask(&shop)))).await??;
    let codes: std::collections::BTreeSet<_> = all.iter().map(|it| &it.user_code).collect();
    assert_eq!(codes.len(), 300);
    let mut conn = stack.database.superuser().await?;
    let (rows, batches): (i64, i64) =
        sqlx::query_as("select count(*), count(distinct asked_at) from vault.device_grants")
            .fetch_one(&mut conn)
            .await?;
    assert_eq!(rows, 300);
    assert!(batches < 300, "{batches} statements");
    Ok(())
}
