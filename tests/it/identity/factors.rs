//! Second factors, over HTTP and over several processes: shown, enrolled, guessed, lost.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use domain::identity::DeactivateUser;
use domain::ids::SessionId;
use domain::organisation::{ChangeStanding, RoleRef, SecondFactor, TenantStatus};
use domain::words::Word;
use futures_util::future::{join, try_join_all};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::authenticator::{Enrolled, ticket};
use tests::members::Members;
use tests::person::{Organisation, PASSWORD, Person, SignedIn};
use tests::stack::{Answer, Stack, answer};
use uuid::Uuid;

mod off;
mod passkeys;
mod peers;
mod relied_on;

type Test = anyhow::Result<()>;

const WRONG: &str = "not-the-password-of-anybody";

fn told(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.code())
}

/// Somebody with a second factor, and the session in which they enrolled it.
struct Careful<'a> {
    acme: Organisation<'a>,
    ann: Person,
    session: SignedIn,
    enrolled: Enrolled,
}

impl<'a> Careful<'a> {
    async fn of(stack: &'a Stack) -> anyhow::Result<Self> {
        let acme = Organisation::found(stack, "acme").await?;
        let ann = acme.join("ann").await?;
        let session = acme.sign_in(&ann).await?;
        let enrolled = acme.enrol(&session.access).await?;
        Ok(Self { acme, ann, session, enrolled })
    }

    async fn ticket(&self) -> anyhow::Result<String> {
        ticket(&self.acme.log_in(&self.ann.email, PASSWORD).await?)
    }

    async fn delete(&self, token: &str, path: &str) -> anyhow::Result<Answer> {
        let stack = self.acme.stack;
        answer(stack.request(Method::DELETE, token, &format!("{}{path}", stack.command_url))).await
    }
}

#[tokio::test]
async fn whoever_enrolled_an_authenticator_signs_in_with_a_code_of_it() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let first = acme.sign_in(&ann).await?;
    let none = acme.post(&first.access, "/v1/auth/totp/confirm", &json!({ "code": "000000" })).await?;
    assert_eq!(told(&none), (404, "identity.factor-not-found"), "no seed was shown");
    let offered = acme.post(&first.access, "/v1/auth/totp", &Value::Null).await?;
    let uri = offered.json["uri"].as_str().unwrap_or_default();
    assert!(uri.starts_with("otpauth://totp/") && uri.contains(":ann%40example.com?secret="), "{uri}");
    acme.sign_in(&ann).await?;
    let enrolled = acme.enrol(&first.access).await?;
    assert_ne!(offered.json["secret"], json!(enrolled.secret), "a seed that is shown anew is another");
    let again = acme.post(&first.access, "/v1/auth/totp", &Value::Null).await?;
    assert_eq!(told(&again), (409, "identity.factor-exists"));
    assert_eq!(acme.letters("factors-changed").await?.len(), 1);

    // The session has shown two factors, and no other has.
    let next = SignedIn::of(&acme.refresh(&first.refresh).await?)?;
    assert_eq!(next.claims()?["amr"], json!(["pwd", "otp"]));
    let asked = acme.log_in(&ann.email, PASSWORD).await?;
    assert_eq!(asked.json["details"]["factors"], "totp recovery-code");
    assert_eq!(asked.header("cache-control"), "no-store");
    let shown = ticket(&asked)?;
    assert!(shown.starts_with("qf_"));
    let wrong = acme.second(&shown, "code", &enrolled.authenticator.wrong_code()?).await?;
    assert_eq!(told(&wrong), (401, "identity.code-invalid"));
    let used = acme.second(&shown, "code", &enrolled.used).await?;
    assert_eq!(told(&used), (401, "identity.code-invalid"), "it was used to enrol");
    let right = acme.second(&shown, "code", &enrolled.authenticator.next_code()?).await?;
    let second = SignedIn::of(&right)?;
    assert_eq!(second.claims()?["amr"], json!(["pwd", "otp"]));
    assert!(second.device.starts_with("__Host-quipu-device="), "the device is known from now on");
    assert!(acme.is_taken(&second.access).await?);
    // Success clears the counter: as many wrong guesses as before are looked at.
    for _ in 0..4 {
        assert_eq!(told(&acme.log_in(&ann.email, WRONG).await?), (401, "identity.invalid-credentials"));
    }
    acme.sign_in_with(&ann.email, &enrolled).await?;
    Ok(())
}

#[tokio::test]
async fn what_makes_codes_and_the_codes_are_in_no_byte_we_keep() -> Test {
    let stack = Stack::commands_only().await?;
    let it = Careful::of(&stack).await?;
    let shown = it.ticket().await?;
    let mut secrets =
        vec![it.enrolled.secret.clone(), shown.rsplit('_').next().unwrap_or_default().to_owned()];
    secrets.extend(it.enrolled.recovery_codes.iter().flat_map(|code| [code.clone(), code.replace('-', "")]));
    let mut conn = stack.database.superuser().await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p') and n.nspname in ('store', 'keys', 'vault', 'run', 'read')",
    )
    .fetch_all(&mut conn)
    .await?;
    for table in tables {
        let rows: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select t::text from {table} t")))
                .fetch_all(&mut conn)
                .await?;
        let rows = rows.join("\n").to_lowercase();
        for secret in &secrets {
            assert!(!rows.contains(&secret.to_lowercase()), "{table} holds {secret}");
        }
    }
    let told: Vec<String> = sqlx::query_scalar(
        "select payload::text from store.events where tenant_id = $1 and category = 23 order by position",
    )
    .bind(it.acme.tenant.uuid())
    .fetch_all(&mut conn)
    .await?;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|event| !event.contains("My phone")) && told[0].contains("$private"));
    Ok(())
}

#[tokio::test]
async fn whoever_changes_a_factor_has_just_shown_who_they_are() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let members = Members::of(&stack, acme.tenant)?;
    let session = SessionId::new(Uuid::now_v7());
    let mut start = members.start(ann.user, session);
    start.auth_time = Utc::now() - TimeDelta::minutes(11);
    members.done(start).await?;
    let stale = members.token(ann.user, session)?;
    for path in ["/v1/auth/totp", "/v1/auth/recovery-codes"] {
        let answer = acme.post(&stale, path, &Value::Null).await?;
        assert_eq!(told(&answer), (403, "auth.step-up-required"), "{path}");
        assert_eq!(answer.json["details"]["within_s"], "600");
    }
    let fresh = acme.post(&stale, "/v1/auth/step-up", &json!({ "password": PASSWORD })).await?;
    assert_eq!(fresh.status, StatusCode::OK, "{}", fresh.text);
    acme.enrol(&stale).await?;
    for body in [json!({}), json!({ "password": PASSWORD, "code": "000000" })] {
        assert_eq!(
            told(&acme.post(&stale, "/v1/auth/step-up", &body).await?),
            (400, "request.invalid-field")
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_password_alone_takes_no_factor_away() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let (older, session) = (acme.sign_in(&ann).await?, acme.sign_in(&ann).await?);
    let enrolled = acme.enrol(&session.access).await?;
    let it = Careful { acme, ann, session, enrolled };
    // A session from before, and its password shown again.
    let again = it.acme.post(&older.access, "/v1/auth/step-up", &json!({ "password": PASSWORD })).await?;
    assert_eq!(told(&again), (403, "identity.second-factor-required"));
    // Nor of one that showed a code once: what was shown long ago is not shown again.
    let again =
        it.acme.post(&it.session.access, "/v1/auth/step-up", &json!({ "password": PASSWORD })).await?;
    assert_eq!(told(&again), (403, "identity.second-factor-required"));
    let lacking = (403, "auth.second-factor-missing");
    assert_eq!(told(&it.delete(&older.access, "/v1/auth/totp").await?), lacking);
    let renewed = it.acme.post(&older.access, "/v1/auth/recovery-codes", &Value::Null).await?;
    assert_eq!(told(&renewed), lacking);
    // With a code it may, and the codes of before are good no more.
    let code = json!({ "code": it.enrolled.authenticator.next_code()? });
    let shown = it.acme.post(&older.access, "/v1/auth/step-up", &code).await?;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
    let repeated = it.acme.post(&older.access, "/v1/auth/step-up", &code).await?;
    assert_eq!(told(&repeated), (401, "identity.code-invalid"), "a code works once");
    let renewed = it.acme.post(&older.access, "/v1/auth/recovery-codes", &Value::Null).await?;
    assert_eq!(renewed.status, StatusCode::OK, "{}", renewed.text);
    let old = it.acme.second(&it.ticket().await?, "recovery_code", &it.enrolled.recovery_codes[0]).await?;
    assert_eq!(told(&old), (401, "identity.code-invalid"));
    let new = renewed.json["recovery_codes"][0].as_str().unwrap_or_default();
    let by_recovery = it.acme.second(&it.ticket().await?, "recovery_code", new).await?;
    SignedIn::of(&by_recovery)?;
    assert_eq!(it.delete(&older.access, "/v1/auth/totp").await?.status, StatusCode::NO_CONTENT);
    assert_eq!(told(&it.delete(&older.access, "/v1/auth/totp").await?), (404, "identity.factor-not-found"));
    it.acme.sign_in(&it.ann).await?;
    Ok(())
}

#[tokio::test]
async fn cve_2024_32868_codes_count_towards_the_same_lock() -> Test {
    let stack = Stack::commands_only().await?;
    let it = Careful::of(&stack).await?;
    let shown = it.ticket().await?;
    let wrong = it.enrolled.authenticator.wrong_code()?;
    for _ in 0..2 {
        it.acme.log_in(&it.ann.email, WRONG).await?;
        assert_eq!(told(&it.acme.second(&shown, "code", &wrong).await?), (401, "identity.code-invalid"));
    }
    let recovery = it.acme.second(&shown, "recovery_code", "aaaaa-aaaaa-aaaaa-aaaaa-aaaaa").await?;
    assert_eq!(told(&recovery), (401, "identity.code-invalid"));
    let locked = (429, "identity.locked");
    let right = it.enrolled.authenticator.next_code()?;
    assert_eq!(told(&it.acme.second(&shown, "code", &right).await?), locked);
    assert_eq!(told(&it.acme.second(&shown, "recovery_code", &it.enrolled.recovery_codes[0]).await?), locked);
    assert_eq!(told(&it.acme.log_in(&it.ann.email, PASSWORD).await?), locked);
    let proof = json!({ "code": right });
    assert_eq!(told(&it.acme.post(&it.session.access, "/v1/auth/step-up", &proof).await?), locked);
    assert_eq!(it.acme.letters("locked").await?.len(), 1, "the person is told");
    Ok(())
}

#[tokio::test]
async fn a_right_password_does_not_clear_the_count_of_codes() -> Test {
    let stack = Stack::commands_only().await?;
    let it = Careful::of(&stack).await?;
    let wrong = it.enrolled.authenticator.wrong_code()?;
    // Nor is it counted itself: a guess that was right is none.
    for _ in 0..8 {
        it.ticket().await?;
    }
    for _ in 0..4 {
        let answer = it.acme.second(&it.ticket().await?, "code", &wrong).await?;
        assert_eq!(told(&answer), (401, "identity.code-invalid"));
    }
    assert_eq!(
        told(&it.acme.second(&it.ticket().await?, "code", &wrong).await?),
        (401, "identity.code-invalid")
    );
    assert_eq!(told(&it.acme.log_in(&it.ann.email, PASSWORD).await?), (429, "identity.locked"));
    Ok(())
}

/// Shows one thing with as many tickets as somebody may have, to two processes at once. Says how many got in.
async fn everywhere_at_once(it: &Careful<'_>, field: &str, shown: &str) -> anyhow::Result<usize> {
    let stack = it.acme.stack;
    // Nine of them are wrong.
    it.acme.ask(|it| it.lockout.failures = 10).await?;
    let processes = [stack.command_url.clone(), stack.another_command_api().await?];
    let mut tickets = Vec::new();
    for _ in 0..10 {
        tickets.push(it.ticket().await?);
    }
    let tries = tickets.iter().enumerate().map(|(n, ticket)| {
        let (acme, base) = (&it.acme, &processes[n % 2]);
        async move { acme.second_at(base, ticket, field, shown).await }
    });
    let answers = try_join_all(tries).await?;
    for other in answers.iter().filter(|it| it.status != StatusCode::OK) {
        assert_eq!(told(other), (401, "identity.code-invalid"), "{}", other.text);
    }
    Ok(answers.iter().filter(|it| it.status == StatusCode::OK).count())
}

#[tokio::test]
async fn a_code_works_once_even_in_two_processes() -> Test {
    let stack = Stack::commands_only().await?;
    let it = Careful::of(&stack).await?;
    let code = it.enrolled.authenticator.next_code()?;
    assert_eq!(everywhere_at_once(&it, "code", &code).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_recovery_code_works_once_even_in_two_processes() -> Test {
    let stack = Stack::commands_only().await?;
    let it = Careful::of(&stack).await?;
    let code = &it.enrolled.recovery_codes[3];
    assert_eq!(everywhere_at_once(&it, "recovery_code", code).await?, 1);
    it.acme.sign_in_with(&it.ann.email, &it.enrolled).await?;
    let again = it.acme.second(&it.ticket().await?, "recovery_code", code).await?;
    assert_eq!(told(&again), (401, "identity.code-invalid"));
    let url = format!("{}/v1/auth/factors", stack.command_url);
    let left = answer(stack.request(Method::GET, &it.session.access, &url)).await?;
    assert_eq!(left.json["recovery_codes_left"], 9, "{}", left.text);
    assert_eq!(it.acme.letters("factors-changed").await?.len(), 2, "enrolled, and used");
    Ok(())
}

#[tokio::test]
async fn a_ticket_is_good_for_one_session() -> Test {
    let stack = Stack::commands_only().await?;
    let it = Careful::of(&stack).await?;
    let (shown, code) = (it.ticket().await?, it.enrolled.authenticator.next_code()?);
    let both = join(
        it.acme.second(&shown, "code", &code),
        it.acme.second(&shown, "recovery_code", &it.enrolled.recovery_codes[0]),
    )
    .await;
    let (by_code, by_recovery) = (both.0?, both.1?);
    let mut answers = [told(&by_code), told(&by_recovery)];
    answers.sort_unstable();
    assert_eq!(answers, [(200, ""), (401, "identity.code-invalid")]);
    let recovery = |n: usize| it.enrolled.recovery_codes[n].as_str();
    // No other text is a ticket.
    let live = it.ticket().await?;
    let cut = &live[..live.len() - 1];
    for odd in ["", "qf_", cut, &it.session.refresh, &live.replacen("qf", "qr", 1)] {
        let answer = it.acme.second(odd, "recovery_code", recovery(1)).await?;
        assert_eq!(told(&answer), (401, "identity.code-invalid"), "{odd}");
    }
    SignedIn::of(&it.acme.second(&live, "recovery_code", recovery(1)).await?)?;
    // Its time goes by.
    let late = it.ticket().await?;
    let mut conn = stack.database.superuser().await?;
    sqlx::query("update vault.second_factor_tickets set expires_at = now()").execute(&mut conn).await?;
    assert_eq!(
        told(&it.acme.second(&late, "recovery_code", recovery(2)).await?),
        (401, "identity.code-invalid")
    );
    Ok(())
}

#[tokio::test]
async fn the_first_half_must_still_hold_when_the_second_is_shown() -> Test {
    let stack = Stack::commands_only().await?;
    let it = Careful::of(&stack).await?;
    let invalid = (401, "identity.code-invalid");
    let recovery = |n: usize| it.enrolled.recovery_codes[n].as_str();
    let before = it.ticket().await?;
    let other = "violet-anchor-marble-tundra";
    let body = json!({ "current": PASSWORD, "new": other, "end_others": false });
    let changed = it.acme.post(&it.session.access, "/v1/auth/password/change", &body).await?;
    assert_eq!(changed.status, StatusCode::NO_CONTENT, "{}", changed.text);
    assert_eq!(
        told(&it.acme.second(&before, "recovery_code", recovery(0)).await?),
        invalid,
        "another password"
    );
    let of_now = async || ticket(&it.acme.log_in(&it.ann.email, other).await?);
    let suspended = of_now().await?;
    let stand = |to| ChangeStanding { to, because: Word::of("a-test") };
    it.acme.done(stand(TenantStatus::Suspended)).await?;
    let answer = it.acme.second(&suspended, "recovery_code", recovery(1)).await?;
    assert_eq!(told(&answer), (403, "organisation.not-active"));
    it.acme.done(stand(TenantStatus::Active)).await?;
    let gone = of_now().await?;
    it.acme.done(DeactivateUser { user_id: it.ann.user, because: Word::of("left") }).await?;
    assert_eq!(
        told(&it.acme.second(&gone, "recovery_code", recovery(2)).await?),
        invalid,
        "no user any more"
    );
    Ok(())
}

#[tokio::test]
async fn an_administrator_helps_whoever_lost_their_factors() -> Test {
    let stack = Stack::commands_only().await?;
    let it = Careful::of(&stack).await?;
    let members = Members::of(&stack, it.acme.tenant)?;
    let admin = members.join(&[RoleRef::ADMIN]).await?;
    let user = members.join(&[RoleRef::USER]).await?;
    let path = format!("/v1/users/{}/factors", it.ann.user);
    assert_eq!(told(&it.delete(&user.token, &path).await?), (403, "auth.permission-missing"));
    let session = SessionId::new(Uuid::now_v7());
    let mut start = members.start(admin.user, session);
    start.auth_time = Utc::now() - TimeDelta::minutes(11);
    members.done(start).await?;
    let stale = members.token(admin.user, session)?;
    assert_eq!(told(&it.delete(&stale, &path).await?), (403, "auth.step-up-required"));
    let waiting = it.ticket().await?;
    let removed = it.delete(&admin.token, &path).await?;
    assert_eq!(removed.status, StatusCode::OK, "{}", removed.text);
    assert_eq!(told(&it.acme.refresh(&it.session.refresh).await?), (401, "identity.refresh-invalid"));
    tests::until(Duration::from_secs(1), async || Ok(!it.acme.is_taken(&it.session.access).await?)).await?;
    let late = it.acme.second(&waiting, "recovery_code", &it.enrolled.recovery_codes[0]).await?;
    assert_eq!(told(&late), (401, "identity.code-invalid"));
    assert_eq!(it.acme.letters("factors-changed").await?.len(), 2, "enrolled, and removed");
    // Who has none is neither signed out nor written to.
    let again = it.acme.sign_in(&it.ann).await?;
    assert_eq!(told(&it.delete(&admin.token, &path).await?), (404, "identity.factor-not-found"));
    assert!(it.acme.is_taken(&again.access).await?);
    assert_eq!(it.acme.letters("factors-changed").await?.len(), 2);
    let nobody = format!("/v1/users/{}/factors", Uuid::nil());
    assert_eq!(told(&it.delete(&admin.token, &nobody).await?), (404, "identity.user-not-found"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_everybody_needs_a_second_factor_nobody_works_without() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let members = Members::of(&stack, acme.tenant)?;
    let owner = members.join(&[RoleRef::OWNER]).await?;
    acme.ask(|it| it.second_factor = SecondFactor::Required).await?;
    let account = json!({ "name": "Cash", "currency": "EUR", "normal_side": "debit" });
    let opens = async || {
        let request = stack.command(&owner.token, "/v1/ledger/accounts");
        answer(request.header("Idempotency-Key", Uuid::now_v7().to_string()).json(&account)).await
    };
    let lacking = (403, "auth.second-factor-missing");
    assert_eq!(told(&opens().await?), lacking);
    tests::until(Duration::from_secs(1), async || {
        Ok(told(&stack.get(&owner.token, "/v1/ledger/accounts").await?) == lacking)
    })
    .await?;
    // What is of one's own account works, so that one can be enrolled; and then all does.
    acme.enrol(&owner.token).await?;
    tests::until(Duration::from_secs(1), async || Ok(opens().await?.status == StatusCode::CREATED)).await?;
    tests::until(Duration::from_secs(1), async || {
        Ok(stack.get(&owner.token, "/v1/ledger/accounts").await?.status == StatusCode::OK)
    })
    .await?;
    Ok(())
}
