//! Another address for an account: asked for, confirmed, given up; and what it must not be good for.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use domain::identity::{EmailHash, RequestEmailChange};
use domain::private::Private;
use event_store::Unit;
use event_store::keyring::IndexOf;
use event_store::vault::{
    AddressStage, Digest, Letter, Mail, MailTokenKind, NewMailToken, Purpose, VaultChange,
};
use futures_util::future::try_join_all;
use reqwest::StatusCode;
use secrecy::ExposeSecret as _;
use serde_json::json;
use service_kit::bearer::{Bearer, Kind};
use tests::database::cause;
use tests::ledger::accepted;
use tests::person::{Organisation, PASSWORD, Person, SignedIn};
use tests::stack::{Answer, Stack};
use tests::until;
use uuid::Uuid;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(20);
const ANOTHER: &str = "violet-anchor-marble-tundra";
const DONE: (StatusCode, &str) = (StatusCode::NO_CONTENT, "");
const ASKED: (StatusCode, &str) = (StatusCode::ACCEPTED, "");
const INVALID: (StatusCode, &str) = (StatusCode::NOT_FOUND, "identity.link-invalid");

fn said(answer: &Answer) -> (StatusCode, &str) {
    (answer.status, answer.code())
}

async fn ask(acme: &Organisation<'_>, session: &SignedIn, email: &str) -> anyhow::Result<Answer> {
    let body = json!({ "new_email": email, "password": PASSWORD });
    acme.post(&session.access, "/v1/auth/email/change", &body).await
}

async fn confirm(acme: &Organisation<'_>, token: &str) -> anyhow::Result<Answer> {
    acme.post("", "/v1/auth/email/confirm", &json!({ "token": token })).await
}

/// The links that make an address somebody's, the oldest first.
async fn links(acme: &Organisation<'_>) -> anyhow::Result<Vec<String>> {
    let token = |letter: Letter| match letter.mail {
        Mail::VerifyAddress { purpose: Purpose::Change, token, .. } => Some(token),
        _ => None,
    };
    Ok(acme.letters("verify-address").await?.into_iter().filter_map(token).collect())
}

/// The newest of them, once there are so many.
async fn link(acme: &Organisation<'_>, letters: usize) -> anyhow::Result<String> {
    until(PATIENCE, async || Ok(links(acme).await?.len() == letters)).await?;
    links(acme).await?.pop().context("a link")
}

/// Waits until every request was looked at.
async fn all_answered(acme: &Organisation<'_>) -> Test {
    until(PATIENCE, async || {
        let mut conn = acme.stack.database.superuser().await?;
        let sql = "select count(*) from vault.requests where taken_at is null";
        let waiting: i64 = sqlx::query_scalar(sql).fetch_one(&mut conn).await?;
        Ok(waiting == 0)
    })
    .await
}

/// Which addresses were told how far a change has come, in the order in which the letters were written.
async fn told(acme: &Organisation<'_>, wanted: AddressStage) -> anyhow::Result<Vec<String>> {
    let letters = acme.letters("address-changed").await?.into_iter();
    let is_wanted = |it: &Letter| matches!(it.mail, Mail::AddressChanged { stage, .. } if stage == wanted);
    Ok(letters.filter(is_wanted).map(|it| it.to).collect())
}

#[tokio::test]
async fn another_address_holds_once_its_owner_confirms_it() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let _reactors = stack.with_reactors()?;
    let ann = acme.join("ann").await?;
    let session = acme.sign_in(&ann).await?;
    let wrong = json!({ "new_email": "ann@smith.example", "password": ANOTHER });
    let wrong = acme.post(&session.access, "/v1/auth/email/change", &wrong).await?;
    assert_eq!(said(&wrong), (StatusCode::UNAUTHORIZED, "identity.invalid-credentials"));
    // A link to the old address, for later.
    let forgot = json!({ "tenant_slug": acme.slug, "email": ann.email });
    acme.post("", "/v1/auth/password/forgot", &forgot).await?;
    let reset = acme.link("reset", 1).await?;

    assert_eq!(said(&ask(&acme, &session, "Ann@Smith.example").await?), ASKED);
    let token = link(&acme, 1).await?;
    assert_eq!(told(&acme, AddressStage::Asked).await?, [ann.email.as_str()]);
    acme.sign_in(&ann).await?;
    let early = acme.log_in("ann@smith.example", PASSWORD).await?;
    assert_eq!(early.code(), "identity.invalid-credentials", "it is not theirs yet");
    // Nor is it anybody's who registers with it without its mailbox: they make room for whoever shows that it is theirs.
    let stranger = json!({ "tenant_slug": acme.slug, "email": "ann@smith.example", "password": ANOTHER });
    assert_eq!(acme.post("", "/v1/auth/register", &stranger).await?.status, StatusCode::CREATED);

    let used = try_join_all((0..8).map(|_| confirm(&acme, &token))).await?;
    let mut counts = BTreeMap::new();
    used.iter().for_each(|it| *counts.entry(said(it)).or_insert(0) += 1);
    assert_eq!(counts, BTreeMap::from([(DONE, 1), (INVALID, 7)]));
    let mut all = told(&acme, AddressStage::Done).await?;
    all.sort();
    assert_eq!(all, ["Ann@smith.example", ann.email.as_str()]);
    let moved = SignedIn::of(&acme.log_in("ann@smith.example", PASSWORD).await?)?;
    assert_eq!(moved.claims()?["sub"], json!(ann.user));
    let displaced = acme.log_in("ann@smith.example", ANOTHER).await?;
    assert_eq!(displaced.code(), "identity.invalid-credentials");
    assert_eq!(acme.log_in(&ann.email, PASSWORD).await?.code(), "identity.invalid-credentials");
    // Whoever still has the old mailbox has nothing by it.
    let body = json!({ "token": reset, "new_password": ANOTHER });
    assert_eq!(said(&acme.post("", "/v1/auth/password/reset", &body).await?), INVALID);
    acme.register("ann").await.context("the old address is free")?;
    Ok(())
}

#[tokio::test]
async fn who_asks_for_an_address_learns_nothing_of_who_has_it() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let _reactors = stack.with_reactors()?;
    let (ann, bob) = (acme.join("ann").await?, acme.join("bob").await?);
    let session = acme.sign_in(&ann).await?;
    let mut answers = Vec::new();
    for email in [bob.email.as_str(), "nobody@example.com", ann.email.as_str()] {
        let answer = ask(&acme, &session, email).await?;
        answers.push((answer.status, answer.text));
        all_answered(&acme).await?;
    }
    assert!(answers.iter().all(|it| *it == answers[0]), "{answers:?}");
    // Whoever has the address is told that somebody tried, and gets no link.
    let already: Vec<String> =
        acme.letters("registered-already").await?.into_iter().map(|it| it.to).collect();
    assert_eq!(already, [bob.email.as_str()]);
    let verifications = acme.letters("verify-address").await?.into_iter();
    let of_change = |it: &Letter| matches!(it.mail, Mail::VerifyAddress { purpose: Purpose::Change, .. });
    let to: Vec<String> = verifications.filter(of_change).map(|it| it.to).collect();
    assert_eq!(to, ["nobody@example.com"]);
    Ok(())
}

#[tokio::test]
async fn of_many_who_want_an_address_at_once_one_gets_it() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let mut sessions = Vec::new();
    for name in ["ann", "bob", "eve", "joe"] {
        sessions.push(acme.sign_in(&acme.join(name).await?).await?);
    }
    let asked = try_join_all(sessions.iter().map(|it| ask(&acme, it, "wanted@example.com"))).await?;
    assert!(asked.iter().all(|it| said(it) == ASKED));
    let _reactors = [stack.with_reactors()?, stack.with_reactors()?, stack.with_reactors()?];
    all_answered(&acme).await?;
    assert_eq!(links(&acme).await?.len(), 1);
    assert_eq!(told(&acme, AddressStage::Asked).await?.len(), 1);
    let mut conn = stack.database.superuser().await?;
    let sql =
        "select count(*) from store.events where tenant_id = $1 and type = 'identity.email-change-requested'";
    let requests: i64 = sqlx::query_scalar(sql).bind(acme.tenant.uuid()).fetch_one(&mut conn).await?;
    assert_eq!(requests, 1);
    assert_eq!(said(&confirm(&acme, &link(&acme, 1).await?).await?), DONE);
    SignedIn::of(&acme.log_in("wanted@example.com", PASSWORD).await?)?;
    Ok(())
}

#[tokio::test]
async fn a_later_request_takes_the_place_of_an_earlier_one() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let _reactors = stack.with_reactors()?;
    let ann = acme.join("ann").await?;
    let session = acme.sign_in(&ann).await?;
    for (n, email) in [(1, "first@example.com"), (2, "second@example.com"), (3, "second@example.com")] {
        assert_eq!(said(&ask(&acme, &session, email).await?), ASKED);
        link(&acme, n).await?;
    }
    let tokens = links(&acme).await?;
    for old in &tokens[..2] {
        assert_eq!(said(&confirm(&acme, old).await?), INVALID, "the newest alone is good");
    }
    acme.register("first").await.context("what was given up is free")?;
    assert_eq!(said(&confirm(&acme, &tokens[2]).await?), DONE);
    SignedIn::of(&acme.log_in("second@example.com", PASSWORD).await?)?;
    Ok(())
}

/// Somebody who knows the password asks for an address of theirs; then the owner chooses another password, which must put them
/// out for good.
#[tokio::test]
async fn a_new_password_ends_a_change_of_address_that_was_asked_for_before() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let thief = acme.sign_in(&ann).await?;
    {
        let _reactors = stack.with_reactors()?;
        assert_eq!(said(&ask(&acme, &thief, "thief@example.com").await?), ASKED);
        link(&acme, 1).await?;
    }
    // A second request waits while nobody looks at requests.
    assert_eq!(said(&ask(&acme, &thief, "thief2@example.com").await?), ASKED);
    let owner = acme.sign_in(&ann).await?;
    let change = json!({ "current": PASSWORD, "new": ANOTHER });
    assert_eq!(said(&acme.post(&owner.access, "/v1/auth/password/change", &change).await?), DONE);
    let _reactors = stack.with_reactors()?;
    all_answered(&acme).await?;
    let tokens = links(&acme).await?;
    assert_eq!(tokens.len(), 1, "the one that waited was made with a password that is none any more");
    assert_eq!(said(&confirm(&acme, &tokens[0]).await?), INVALID);
    SignedIn::of(&acme.log_in(&ann.email, ANOTHER).await?)?;
    Ok(())
}

#[tokio::test]
async fn an_address_that_nobody_confirms_is_given_up() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let email = "bob@example.com";
    let address = acme.master()?.index(acme.tenant, IndexOf::Email, email.as_bytes());
    let secret = Bearer::make(Kind::Mail, acme.tenant, Uuid::now_v7())?;
    let expires_at = Utc::now() + TimeDelta::milliseconds(1_500);
    let wants = |person: &Person, expires_at| RequestEmailChange {
        user_id: person.user,
        email: Private::new(person.user.uuid(), email),
        email_hash: EmailHash::new(address.0),
        expires_at,
        replaces: None,
    };
    let token = NewMailToken {
        tenant: acme.tenant,
        token: secret.id,
        kind: MailTokenKind::ChangeAddress,
        hash: Digest(secret.hash()),
        about: ann.user.uuid(),
        user: Some(ann.user.uuid()),
        address_hash: Some(address),
        version: 2,
        expires_at,
    };
    let unit = Unit::new(acme.tenant, cause(), wants(&ann, expires_at))
        .with_vault([VaultChange::PutMailToken(token)]);
    accepted(&acme.executor.submit(unit).await?)?;
    let joe = acme.join("joe").await?;
    let by_joe = async || {
        let command = wants(&joe, Utc::now() + TimeDelta::hours(1));
        acme.executor.submit(Unit::new(acme.tenant, cause(), command)).await
    };
    let code = by_joe().await?.results.into_iter().find_map(Result::err).map(|it| it.code);
    assert_eq!(code.as_deref(), Some("identity.email-taken"), "another member waits for it");
    let _reactors = [stack.with_reactors()?, stack.with_reactors()?];
    until(PATIENCE, async || Ok(by_joe().await?.results.iter().all(Result::is_ok))).await?;
    assert_eq!(said(&confirm(&acme, secret.text().expose_secret()).await?), INVALID);
    acme.sign_in(&ann).await?;
    let mut conn = stack.database.superuser().await?;
    let sql =
        "select count(*) from store.events where tenant_id = $1 and type = 'identity.email-change-expired'";
    let ends: i64 = sqlx::query_scalar(sql).bind(acme.tenant.uuid()).fetch_one(&mut conn).await?;
    assert_eq!(ends, 1, "it was given up once");
    Ok(())
}
