//! Registering, signing in and keeping a session, over HTTP and over several processes.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::identity::DeactivateUser;
use domain::organisation::{ChangeStanding, Registration, TenantStatus};
use domain::words::Word;
use event_store::vault::{Digest, ShownToken, Vault};
use futures_util::future::{join_all, try_join_all};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use service_kit::bearer::{Bearer, Kind};
use tests::person::{Organisation, PASSWORD, SignedIn};
use tests::stack::{Answer, Stack, answer};
use uuid::Uuid;

type Test = anyhow::Result<()>;

const WRONG: &str = "not-the-password-of-anybody";

/// What a refusal says, but for what names the request.
fn said(answer: &Answer) -> (StatusCode, Value) {
    let mut body = answer.json.clone();
    if let Some(body) = body.as_object_mut() {
        body.remove("trace_id");
    }
    (answer.status, body)
}

fn counted(answers: &[Answer]) -> BTreeMap<(u16, String), usize> {
    let mut counts = BTreeMap::new();
    for it in answers {
        *counts.entry((it.status.as_u16(), it.code().to_owned())).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn a_person_registers_signs_in_goes_on_and_signs_out() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let person = acme.register("ann").await?;
    let early = acme.log_in(&person.email, PASSWORD).await?;
    assert_eq!((early.status, early.code()), (StatusCode::FORBIDDEN, "identity.email-unverified"));

    let verify =
        domain::identity::VerifyEmail { user_id: person.user, email_version: 1, via: Word::of("link") };
    acme.done(verify).await?;
    let first = acme.log_in(&person.email, PASSWORD).await?;
    assert_eq!(first.header("cache-control"), "no-store");
    assert!(!first.header("quipu-position").is_empty());
    assert_eq!(first.json["token_type"], "Bearer");
    assert!((3590..=3600).contains(&first.json["expires_in"].as_i64().unwrap_or_default()), "{}", first.text);
    let tokens = SignedIn::of(&first)?;
    let claims = tokens.claims()?;
    assert_eq!(claims["sub"], json!(person.user));
    assert_eq!(claims["tenant_id"], json!(acme.tenant));
    assert_eq!((&claims["email"], &claims["roles"]), (&json!(person.email), &json!(["user"])));
    assert_eq!(claims["amr"], json!(["pwd"]));
    assert!(acme.is_taken(&tokens.access).await?);

    let second = SignedIn::of(&acme.refresh(&tokens.refresh).await?)?;
    assert_ne!(second.refresh, tokens.refresh);
    assert_eq!(second.session()?, tokens.session()?, "the session is the same");

    let weak = acme.post(&second.access, "/v1/auth/step-up", &json!({ "password": WRONG })).await?;
    assert_eq!((weak.status, weak.code()), (StatusCode::UNAUTHORIZED, "identity.invalid-credentials"));
    let strong = acme.post(&second.access, "/v1/auth/step-up", &json!({ "password": PASSWORD })).await?;
    assert_eq!(strong.status, StatusCode::OK, "{}", strong.text);
    assert!(strong.json["refresh_token"].is_null());

    let out = acme.post("", "/v1/auth/logout", &json!({ "refresh_token": second.refresh })).await?;
    assert_eq!((out.status, out.text.as_str()), (StatusCode::NO_CONTENT, ""));
    let over = acme.refresh(&second.refresh).await?;
    assert_eq!((over.status, over.code()), (StatusCode::UNAUTHORIZED, "identity.refresh-invalid"));
    tests::until(Duration::from_secs(1), async || Ok(!acme.is_taken(&second.access).await?)).await?;
    let again = acme.post("", "/v1/auth/logout", &json!({ "refresh_token": second.refresh })).await?;
    assert_eq!(again.status, StatusCode::NO_CONTENT, "whoever signs out twice is out");
    Ok(())
}

#[tokio::test]
async fn registering_says_what_is_wrong() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    acme.register("ann").await?;
    let ask = async |slug: &str, email: &str, password: &str| {
        let body = json!({ "tenant_slug": slug, "email": email, "password": password });
        acme.post("", "/v1/auth/register", &body).await
    };
    for (slug, email, password, status, code) in [
        ("nowhere", "bob@example.com", PASSWORD, 404, "organisation.not-found"),
        ("platform", "bob@example.com", PASSWORD, 403, "identity.registration-closed"),
        ("acme", "bob", PASSWORD, 400, "identity.email-malformed"),
        ("acme", "bob@example.com", "bob", 422, "identity.password-weak"),
        // CVE-2021-3754: addresses that fold alike are one claim.
        ("acme", "ANN@Example.com", PASSWORD, 409, "identity.email-taken"),
        ("acme", "ａｎｎ@example.com", PASSWORD, 409, "identity.email-taken"),
    ] {
        let answer = ask(slug, email, password).await?;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{email} {}", answer.text);
    }
    let weak = ask("acme", "bob@example.com", "bob").await?;
    let codes: Vec<_> = weak.json["errors"].as_array().into_iter().flatten().map(|it| &it["code"]).collect();
    assert!(codes.contains(&&json!("password.too-short")) && codes.len() > 1, "{codes:?}");
    assert_eq!(weak.json["errors"][0]["pointer"], "/password");
    acme.ask(|it| it.registration = Registration::Closed).await?;
    assert_eq!(ask("acme", "bob@example.com", PASSWORD).await?.code(), "identity.registration-closed");
    // Where nobody may learn who is there, a known and an unknown address read the same.
    acme.ask(|it| it.registration = Registration::Private).await?;
    let (known, unknown) =
        (ask("acme", "ann@example.com", PASSWORD).await?, ask("acme", "eve@example.com", PASSWORD).await?);
    assert_eq!((known.status, &known.text), (StatusCode::ACCEPTED, &unknown.text));
    assert_eq!(known.status, unknown.status);
    Ok(())
}

#[tokio::test]
async fn cve_2021_3754_of_twenty_who_register_one_address_one_gets_it() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let asked = (0..20).map(|n| {
        let email = if n % 2 == 0 { "ann@example.com" } else { "ANN@EXAMPLE.COM" };
        let body = json!({ "tenant_slug": acme.slug, "email": email, "password": PASSWORD });
        let acme = &acme;
        async move { acme.post("", "/v1/auth/register", &body).await }
    });
    let counts = counted(&try_join_all(asked).await?);
    assert_eq!(
        counts,
        BTreeMap::from([((201, String::new()), 1), ((409, "identity.email-taken".to_owned()), 19)])
    );
    Ok(())
}

#[tokio::test]
async fn who_is_not_there_and_who_may_not_come_are_told_what_a_wrong_password_is_told() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let nowhere = Organisation { slug: "nowhere".to_owned(), ..Organisation::found(&stack, "other").await? };
    let ann = acme.join("ann").await?;
    let gone = acme.join("gone").await?;
    acme.done(DeactivateUser { user_id: gone.user, because: Word::of("left") }).await?;
    let wrong = said(&acme.log_in(&ann.email, WRONG).await?);
    assert_eq!(wrong.0, StatusCode::UNAUTHORIZED);
    assert_eq!(wrong.1["code"], "identity.invalid-credentials");
    for (who, answer) in [
        ("nobody", acme.log_in("nobody@example.com", PASSWORD).await?),
        ("deactivated", acme.log_in(&gone.email, PASSWORD).await?),
        ("deactivated, wrong", acme.log_in(&gone.email, WRONG).await?),
        ("no organisation", nowhere.log_in(&ann.email, PASSWORD).await?),
    ] {
        assert_eq!(said(&answer), wrong, "{who}");
    }
    // And so is the lock.
    let mut locked = Vec::new();
    for (organisation, email) in
        [(&acme, &*ann.email), (&acme, "nobody@example.com"), (&nowhere, &*ann.email)]
    {
        for _ in 0..4 {
            organisation.log_in(email, WRONG).await?;
        }
        locked.push(said(&organisation.log_in(email, PASSWORD).await?));
    }
    assert_eq!(locked[0].0, StatusCode::TOO_MANY_REQUESTS);
    assert!(locked.iter().all(|it| *it == locked[0]), "{locked:?}");
    Ok(())
}

#[tokio::test]
async fn an_organisation_that_may_not_work_lets_nobody_in() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    acme.done(ChangeStanding { to: TenantStatus::Suspended, because: Word::of("a-test") }).await?;
    let answer = acme.log_in(&ann.email, PASSWORD).await?;
    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "organisation.not-active"));
    assert_eq!(
        acme.log_in(&ann.email, WRONG).await?.code(),
        "identity.invalid-credentials",
        "not before the password"
    );
    Ok(())
}

#[tokio::test]
async fn cve_2023_47111_of_a_hundred_parallel_guesses_five_are_looked_at() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let processes = [stack.command_url.clone(), stack.another_command_api().await?];
    let guesses = (0..100).map(|n: usize| acme.log_in_at(&processes[n % 2], &ann.email, WRONG, ""));
    let counts = counted(&try_join_all(guesses).await?);
    let expected =
        [((401, "identity.invalid-credentials".to_owned()), 5), ((429, "identity.locked".to_owned()), 95)];
    assert_eq!(counts, BTreeMap::from(expected));
    let right = acme.log_in(&ann.email, PASSWORD).await?;
    assert_eq!(right.code(), "identity.locked", "the right password is not looked at either");
    let wait: u64 = right.header("retry-after").parse()?;
    assert!((1700..=1801).contains(&wait), "{wait}");
    Ok(())
}

#[tokio::test]
async fn zitadel_8546_success_clears_the_counter() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(acme.log_in(&ann.email, WRONG).await?.status, StatusCode::UNAUTHORIZED);
        }
        acme.sign_in(&ann).await?;
    }
    // A right password that is refused for another reason is no success.
    let bob = acme.register("bob").await?;
    for _ in 0..5 {
        assert_eq!(acme.log_in(&bob.email, PASSWORD).await?.code(), "identity.email-unverified");
    }
    assert_eq!(acme.log_in(&bob.email, PASSWORD).await?.code(), "identity.locked");
    Ok(())
}

#[tokio::test]
async fn a_known_device_is_not_locked_out_by_strangers() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let (ann, bob) = (acme.join("ann").await?, acme.join("bob").await?);
    let cookie = acme.sign_in(&ann).await?.device;
    let others = acme.sign_in(&bob).await?.device;
    assert!(cookie.starts_with("__Host-quipu-device="), "{cookie}");
    for _ in 0..6 {
        acme.log_in(&ann.email, WRONG).await?;
    }
    let from = async |cookie: &str, password: &str| {
        acme.log_in_at(&stack.command_url, &ann.email, password, cookie).await
    };
    assert_eq!(from("", PASSWORD).await?.code(), "identity.locked");
    assert_eq!(from(&others, PASSWORD).await?.code(), "identity.locked", "the device of somebody else");
    assert_eq!(from(&format!("other=1; {cookie}"), PASSWORD).await?.status, StatusCode::OK);
    assert_eq!(from("", PASSWORD).await?.code(), "identity.locked", "the strangers are still locked");
    // The device has a counter of its own, which locks as well.
    for _ in 0..5 {
        assert_eq!(from(&cookie, WRONG).await?.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(from(&cookie, PASSWORD).await?.code(), "identity.locked");
    Ok(())
}

#[tokio::test]
async fn cve_2026_1035_of_a_hundred_concurrent_refreshes_one_succeeds() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let tokens = acme.sign_in(&acme.join("ann").await?).await?;
    let processes = [stack.command_url.clone(), stack.another_command_api().await?];
    let presented = (0..100).map(|n: usize| acme.refresh_at(&processes[n % 2], &tokens.refresh));
    let answers = try_join_all(presented).await?;
    // hydra#3604: the losers get one defined answer.
    let expected = [((200, String::new()), 1), ((401, "identity.refresh-reused".to_owned()), 99)];
    assert_eq!(counted(&answers), BTreeMap::from(expected));
    let winner = answers.iter().find(|it| it.status == StatusCode::OK);
    let winner = SignedIn::of(winner.expect("one of them"))?;
    assert_eq!(acme.refresh(&winner.refresh).await?.code(), "identity.refresh-invalid");
    Ok(())
}

#[tokio::test]
async fn a_reuse_within_the_same_second_ends_the_session() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let (first, other) = (acme.sign_in(&ann).await?, acme.sign_in(&ann).await?);
    let second = SignedIn::of(&acme.refresh(&first.refresh).await?)?;
    let reused = acme.refresh(&first.refresh).await?;
    assert_eq!((reused.status, reused.code()), (StatusCode::UNAUTHORIZED, "identity.refresh-reused"));
    // The revocation stands, though the request was refused; and it ends the access tokens too.
    assert_eq!(acme.refresh(&second.refresh).await?.code(), "identity.refresh-invalid");
    tests::until(Duration::from_secs(1), async || {
        Ok(!acme.is_taken(&first.access).await? && !acme.is_taken(&second.access).await?)
    })
    .await?;
    assert!(acme.is_taken(&other.access).await?, "another session of the same person goes on");
    assert!(SignedIn::of(&acme.refresh(&other.refresh).await?).is_ok());
    let mut conn = stack.database.superuser().await?;
    let mails: i64 = sqlx::query_scalar("select count(*) from vault.outbox where kind = 'refresh-reused'")
        .fetch_one(&mut conn)
        .await?;
    assert_eq!(mails, 1, "and the person is told, once");
    Ok(())
}

#[tokio::test]
async fn a_crash_after_the_revocation_still_ends_the_session() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let tokens = acme.sign_in(&acme.join("ann").await?).await?;
    // What a process does before it dies: it exchanges the token, then sees it again, and says nothing of it.
    let vault = Vault::new(stack.database.pool("quipu_command")?);
    let bearer = Bearer::parse(Kind::Refresh, &tokens.refresh)?;
    let shown =
        ShownToken { tenant: bearer.tenant, token: bearer.id, hash: Digest(bearer.hash()), service: None };
    for _ in 0..2 {
        vault.rotate_refresh(&shown, Uuid::now_v7(), Digest([9; 32]), Duration::ZERO).await?;
    }
    assert!(acme.is_taken(&tokens.access).await?, "the log does not know yet");
    let _reactors = stack.with_reactors()?;
    tests::until(Duration::from_secs(10), async || Ok(!acme.is_taken(&tokens.access).await?)).await?;
    let reactor = Vault::new(stack.database.pool("quipu_reactor")?);
    tests::until(Duration::from_secs(10), async || Ok(reactor.untold_sessions(10).await?.is_empty())).await?;
    Ok(())
}

#[tokio::test]
async fn sessions_are_ended_one_by_one_and_all_but_one() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let (ann, bob) = (acme.join("ann").await?, acme.join("bob").await?);
    let sessions = [acme.sign_in(&ann).await?, acme.sign_in(&ann).await?, acme.sign_in(&ann).await?];
    let bobs = acme.sign_in(&bob).await?;
    let delete = async |token: &str, path: String| {
        answer(stack.request(Method::DELETE, token, &format!("{}/v1/auth/sessions{path}", stack.command_url)))
            .await
    };
    let theirs = delete(&bobs.access, format!("/{}", sessions[0].session()?)).await?;
    assert_eq!(
        (theirs.status, theirs.code()),
        (StatusCode::NOT_FOUND, "identity.session-not-found"),
        "not one's own"
    );
    let one = delete(&sessions[0].access, format!("/{}", sessions[1].session()?)).await?;
    assert_eq!(one.status, StatusCode::NO_CONTENT);
    assert_eq!(acme.refresh(&sessions[1].refresh).await?.code(), "identity.refresh-invalid");
    let others = delete(&sessions[0].access, "?keep=current".to_owned()).await?;
    assert_eq!((others.status, &others.json["ended"]), (StatusCode::OK, &json!(1)));
    assert_eq!(acme.refresh(&sessions[2].refresh).await?.code(), "identity.refresh-invalid");
    tests::until(Duration::from_secs(1), async || Ok(!acme.is_taken(&sessions[2].access).await?)).await?;
    let kept = SignedIn::of(&acme.refresh(&sessions[0].refresh).await?)?;
    assert_eq!(delete(&kept.access, "?keep=everything".to_owned()).await?.status, StatusCode::BAD_REQUEST);
    let all = delete(&kept.access, String::new()).await?;
    assert_eq!(all.json["ended"], 1, "{}", all.text);
    assert_eq!(acme.refresh(&kept.refresh).await?.code(), "identity.refresh-invalid");
    assert!(acme.is_taken(&bobs.access).await?);
    Ok(())
}

#[tokio::test]
async fn the_oldest_session_ends_when_somebody_has_too_many() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    acme.ask(|it| it.sessions.live_max = 2).await?;
    let ann = acme.join("ann").await?;
    let first = acme.sign_in(&ann).await?;
    let second = acme.sign_in(&ann).await?;
    assert!(acme.is_taken(&first.access).await?);
    let third = acme.sign_in(&ann).await?;
    assert_eq!(acme.refresh(&first.refresh).await?.code(), "identity.refresh-invalid");
    for stays in [&second, &third] {
        assert!(SignedIn::of(&acme.refresh(&stays.refresh).await?).is_ok());
    }
    Ok(())
}

#[tokio::test]
async fn more_sign_ins_than_can_be_looked_at_are_told_to_come_back() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    // A thousand would only take longer: the queue holds 64.
    let asked = (0..300).map(|n| {
        let acme = &acme;
        async move { acme.log_in(&format!("nobody{n}@example.com"), WRONG).await }
    });
    let answers: Vec<Answer> = join_all(asked).await.into_iter().collect::<anyhow::Result<_>>()?;
    let counts = counted(&answers);
    let (wrong, full) =
        ((401, "identity.invalid-credentials".to_owned()), (503, "overload.hashing".to_owned()));
    assert_eq!(counts.keys().collect::<Vec<_>>(), [&wrong, &full], "{counts:?}");
    assert!(counts[&wrong] >= 64, "{counts:?}");
    assert!(answers.iter().filter(|it| it.status == 503).all(|it| !it.header("retry-after").is_empty()));
    acme.sign_in(&ann).await?;
    Ok(())
}

#[tokio::test]
async fn failed_sign_ins_and_the_lock_are_recorded_alike_for_everybody() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    for email in [&*ann.email, "nobody@example.com"] {
        for _ in 0..6 {
            acme.log_in(email, WRONG).await?;
        }
    }
    let mut conn = stack.database.superuser().await?;
    let told: Vec<(String, String)> = sqlx::query_as(
        "select type, payload::text from store.events where tenant_id = $1 and type like 'identity.sign-in-%' order by position",
    )
    .bind(acme.tenant.uuid())
    .fetch_all(&mut conn)
    .await?;
    let types: Vec<_> = told.iter().map(|(it, _)| it.trim_start_matches("identity.sign-in-")).collect();
    // The first of a kind at once, the rest is counted; the lock; and what came while it was locked.
    assert_eq!(types, ["failed", "locked", "failed", "failed", "locked", "failed"]);
    assert!(told[1].1.contains(&ann.user.to_string()) && !told[4].1.contains("user_id"));
    assert!(told.iter().all(|(_, it)| !it.contains("example.com") && it.contains("$private")));
    assert_eq!(acme.letters("locked").await?.len(), 1, "who is there is told");
    // An administrator lets them try again.
    let owner = stack.owner(acme.tenant)?;
    let unlock = async |user: &str| acme.post(&owner, &format!("/v1/users/{user}/unlock"), &json!({})).await;
    assert_eq!(unlock(&Uuid::nil().to_string()).await?.status, StatusCode::NOT_FOUND);
    assert_eq!(acme.log_in(&ann.email, PASSWORD).await?.code(), "identity.locked");
    assert_eq!(unlock(&ann.user.to_string()).await?.status, StatusCode::NO_CONTENT);
    acme.sign_in(&ann).await?;
    Ok(())
}

#[tokio::test]
async fn the_vault_holds_no_bearer_text() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let tokens = acme.sign_in(&ann).await?;
    let next = SignedIn::of(&acme.refresh(&tokens.refresh).await?)?;
    let secret = |text: &str| text.rsplit('_').next().unwrap_or_default().to_owned();
    let secrets =
        [secret(&tokens.refresh), secret(&next.refresh), PASSWORD.to_owned(), ann.email.clone(), next.access];
    let mut conn = stack.database.superuser().await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p') and n.nspname in ('store', 'keys', 'vault', 'run', 'read')",
    )
    .fetch_all(&mut conn)
    .await?;
    assert!(tables.len() > 15);
    for table in tables {
        let rows: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select t::text from {table} t")))
                .fetch_all(&mut conn)
                .await?;
        for secret in &secrets {
            assert!(!rows.iter().any(|row| row.contains(secret)), "{table} holds {secret}");
        }
    }
    Ok(())
}
