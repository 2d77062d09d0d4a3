//! Registering, signing in and keeping a session, over HTTP and over several processes.

mod guessing;
mod sessions;

use std::collections::BTreeMap;
use std::time::Duration;

use domain::organisation::{ChangeStanding, Registration, TenantStatus};
use domain::words::Word;
use futures_util::future::{join_all, try_join_all};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::person::{Organisation, PASSWORD, SignedIn};
use tests::stack::{Answer, Stack};

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
