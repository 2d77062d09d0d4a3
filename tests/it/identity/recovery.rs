//! Links in letters: proving an address, completing a registration, choosing another password.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::organisation::Registration;
use futures_util::future::try_join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::person::{Organisation, PASSWORD, Person, SignedIn};
use tests::stack::{Answer, Stack};

type Test = anyhow::Result<()>;

const ANOTHER: &str = "violet-anchor-marble-tundra";

fn said(answer: &Answer) -> (StatusCode, &str) {
    (answer.status, answer.code())
}

const DONE: (StatusCode, &str) = (StatusCode::NO_CONTENT, "");
const INVALID: (StatusCode, &str) = (StatusCode::NOT_FOUND, "identity.link-invalid");

async fn verify(acme: &Organisation<'_>, token: &str) -> anyhow::Result<Answer> {
    acme.post("", "/v1/auth/verify-email", &json!({ "token": token })).await
}

async fn reset(acme: &Organisation<'_>, token: &str, password: &str) -> anyhow::Result<Answer> {
    acme.post("", "/v1/auth/password/reset", &json!({ "token": token, "new_password": password })).await
}

async fn forgot(acme: &Organisation<'_>, email: &str) -> anyhow::Result<Answer> {
    acme.post("", "/v1/auth/password/forgot", &json!({ "tenant_slug": acme.slug, "email": email })).await
}

#[tokio::test]
async fn an_address_is_proven_by_the_newest_link_once() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let _reactors = stack.with_reactors()?;
    let ann = acme.register("ann").await?;
    let first = acme.link("verify-address", 1).await?;
    let again = json!({ "tenant_slug": acme.slug, "email": ann.email });
    assert_eq!(acme.post("", "/v1/auth/verify-email/resend", &again).await?.status, StatusCode::ACCEPTED);
    let second = acme.link("verify-address", 2).await?;
    assert_eq!(said(&verify(&acme, &first).await?), INVALID, "the newest alone is good");
    assert_eq!(said(&reset(&acme, &second, ANOTHER).await?), INVALID, "a link is for one thing");
    for broken in ["", "qm_", &second[..second.len() - 1], &format!("{second}a"), &second.to_uppercase()] {
        assert_eq!(said(&verify(&acme, broken).await?), INVALID, "{broken}");
    }
    assert_eq!(said(&verify(&acme, &second).await?), DONE);
    assert_eq!(said(&verify(&acme, &second).await?), INVALID, "once");
    acme.sign_in(&ann).await?;
    Ok(())
}

#[tokio::test]
async fn where_nobody_learns_who_is_there_an_account_begins_with_its_link() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let _reactors = stack.with_reactors()?;
    acme.ask(|it| it.registration = Registration::Private).await?;
    let body = json!({ "tenant_slug": acme.slug, "email": "ann@example.com", "password": PASSWORD });
    let asked = acme.post("", "/v1/auth/register", &body).await?;
    assert_eq!(said(&asked), (StatusCode::ACCEPTED, ""));
    let link = acme.link("verify-address", 1).await?;
    assert_eq!(
        acme.log_in("ann@example.com", PASSWORD).await?.code(),
        "identity.invalid-credentials",
        "not there yet"
    );
    let used = try_join_all((0..8).map(|_| verify(&acme, &link))).await?;
    let mut counts = BTreeMap::new();
    used.iter().for_each(|it| *counts.entry(said(it)).or_insert(0) += 1);
    assert_eq!(counts, BTreeMap::from([(DONE, 1), (INVALID, 7)]));
    SignedIn::of(&acme.log_in("ann@example.com", PASSWORD).await?)?;
    // Whoever has the address is told, and nobody else is.
    let again = acme.post("", "/v1/auth/register", &body).await?;
    assert_eq!((again.status, &again.text), (asked.status, &asked.text));
    tests::until(Duration::from_secs(10), async || Ok(acme.letters("registered-already").await?.len() == 1))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_reset_by_mail_ends_everything_and_signs_nobody_in() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let _reactors = stack.with_reactors()?;
    // Whoever registered with the address of somebody else loses the account to its owner.
    let ann = acme.register("ann").await?;
    assert_eq!(forgot(&acme, "ANN@example.com").await?.status, StatusCode::ACCEPTED);
    let link = acme.link("reset", 1).await?;
    assert_eq!(
        said(&reset(&acme, &link, "short").await?),
        (StatusCode::UNPROCESSABLE_ENTITY, "identity.password-weak")
    );
    for _ in 0..6 {
        acme.log_in(&ann.email, "a wrong one").await?;
    }
    let done = reset(&acme, &link, ANOTHER).await?;
    assert_eq!(said(&done), DONE);
    assert!(done.text.is_empty() && done.header("set-cookie").is_empty());
    assert_eq!(acme.log_in(&ann.email, PASSWORD).await?.code(), "identity.invalid-credentials");
    let tokens = SignedIn::of(&acme.log_in(&ann.email, ANOTHER).await?)?;
    assert_eq!(said(&reset(&acme, &link, PASSWORD).await?), INVALID, "once");
    assert_eq!(acme.letters("password-changed").await?.len(), 1);
    // And the next one ends the session.
    forgot(&acme, &ann.email).await?;
    assert_eq!(said(&reset(&acme, &acme.link("reset", 2).await?, PASSWORD).await?), DONE);
    assert_eq!(acme.refresh(&tokens.refresh).await?.code(), "identity.refresh-invalid");
    tests::until(Duration::from_secs(1), async || Ok(!acme.is_taken(&tokens.access).await?)).await?;
    Ok(())
}

#[tokio::test]
async fn a_link_to_choose_a_password_ends_with_the_password_that_it_was_made_for() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let _reactors = stack.with_reactors()?;
    let ann = acme.join("ann").await?;
    forgot(&acme, &ann.email).await?;
    let link = acme.link("reset", 1).await?;
    let used = try_join_all((0..8).map(|_| reset(&acme, &link, ANOTHER))).await?;
    assert_eq!(used.iter().filter(|it| said(it) == DONE).count(), 1);
    assert!(used.iter().all(|it| [DONE, INVALID].contains(&said(it))));
    forgot(&acme, &ann.email).await?;
    let link = acme.link("reset", 2).await?;
    let session = SignedIn::of(&acme.log_in(&ann.email, ANOTHER).await?)?;
    let change = json!({ "current": ANOTHER, "new": PASSWORD });
    assert_eq!(said(&acme.post(&session.access, "/v1/auth/password/change", &change).await?), DONE);
    assert_eq!(said(&reset(&acme, &link, ANOTHER).await?), INVALID);
    Ok(())
}

#[tokio::test]
async fn a_change_of_the_password_asks_for_the_present_one_and_ends_the_other_sessions() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let (here, there) = (acme.sign_in(&ann).await?, acme.sign_in(&ann).await?);
    let change = async |body: Value| acme.post(&here.access, "/v1/auth/password/change", &body).await;
    let wrong = change(json!({ "current": "a wrong one", "new": ANOTHER })).await?;
    assert_eq!(said(&wrong), (StatusCode::UNAUTHORIZED, "identity.invalid-credentials"));
    let weak = change(json!({ "current": PASSWORD, "new": "ann@example.com" })).await?;
    assert_eq!(said(&weak), (StatusCode::UNPROCESSABLE_ENTITY, "identity.password-weak"));
    assert_eq!(said(&change(json!({ "current": PASSWORD, "new": ANOTHER })).await?), DONE);
    assert_eq!(acme.refresh(&there.refresh).await?.code(), "identity.refresh-invalid");
    let here = SignedIn::of(&acme.refresh(&here.refresh).await?)?;
    assert!(acme.is_taken(&here.access).await?);
    assert_eq!(acme.log_in(&ann.email, PASSWORD).await?.code(), "identity.invalid-credentials");
    SignedIn::of(&acme.log_in(&ann.email, ANOTHER).await?)?;
    Ok(())
}

#[tokio::test]
async fn kratos_4458_no_step_tells_that_an_account_exists() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let nowhere = Organisation { slug: "nowhere".to_owned(), ..Organisation::found(&stack, "other").await? };
    let Person { email, .. } = acme.join("ann").await?;
    for path in ["/v1/auth/password/forgot", "/v1/auth/verify-email/resend"] {
        let mut told = Vec::new();
        for (organisation, email) in [(&acme, &*email), (&acme, "nobody@example.com"), (&nowhere, &*email)] {
            let body = json!({ "tenant_slug": organisation.slug, "email": email });
            let answer = acme.post("", path, &body).await?;
            told.push((
                answer.status,
                answer.text,
                answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>(),
            ));
        }
        assert_eq!(told[0].0, StatusCode::ACCEPTED);
        assert!(told.iter().all(|it| *it == told[0]), "{told:?}");
    }
    Ok(())
}
