//! Pre-hijacking (Sudhodanan and Paverd, "Pre-hijacked accounts", 2022): somebody registers with the address of a colleague to
//! be, and waits with a password of their own until the organisation gives the address something.

use std::time::Duration;

use anyhow::Context as _;
use domain::organisation::{ChangeStanding, Registration, RoleRef, SetSeats, TenantStatus};
use domain::words::Word;
use event_store::vault::Mail;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::members::{Member, Members};
use tests::person::{Organisation, PASSWORD, Person, SignedIn};
use tests::stack::{Answer, Stack, answer};
use tests::until;
use uuid::Uuid;

type Test = anyhow::Result<()>;

const PATIENCE: Duration = Duration::from_secs(20);
const ANOTHER: &str = "violet-anchor-marble-tundra";
const WRONG: &str = "identity.invalid-credentials";
const OUT: &str = "identity.link-invalid";

async fn owner(acme: &Organisation<'_>) -> anyhow::Result<Member> {
    Members::of(acme.stack, acme.tenant)?.join(&[RoleRef::OWNER]).await
}

async fn invite(acme: &Organisation<'_>, by: &Member, email: &str) -> anyhow::Result<Answer> {
    let body = json!({ "email": email, "roles": ["manager"] });
    acme.post(&by.token, "/v1/invitations", &body).await
}

async fn make(acme: &Organisation<'_>, by: &Member, email: &str, key: &str) -> anyhow::Result<Answer> {
    let url = format!("{}/v1/users", acme.stack.command_url);
    let body = json!({ "email": email, "roles": ["manager"] });
    let request = acme.stack.request(Method::POST, &by.token, &url).header("Idempotency-Key", key);
    answer(request.json(&body)).await
}

async fn assign(acme: &Organisation<'_>, by: &Member, to: &Person, roles: Value) -> anyhow::Result<Answer> {
    let url = format!("{}/v1/members/{}/roles", acme.stack.command_url, to.user);
    answer(acme.stack.request(Method::PUT, &by.token, &url).json(&json!({ "roles": roles }))).await
}

async fn verify(acme: &Organisation<'_>, token: &str) -> anyhow::Result<Answer> {
    acme.post("", "/v1/auth/verify-email", &json!({ "token": token })).await
}

async fn accept(acme: &Organisation<'_>, token: &str) -> anyhow::Result<Answer> {
    let body = json!({ "token": token, "password": ANOTHER });
    acme.post("", "/v1/invitations/accept", &body).await
}

/// Ann is in with her own password and as what she was meant to be, and whoever came before her is not.
async fn ann_alone_is_in(acme: &Organisation<'_>, stranger: &Person) -> Test {
    assert_eq!(acme.log_in(&stranger.email, PASSWORD).await?.code(), WRONG);
    let ann = SignedIn::of(&acme.log_in(&stranger.email, ANOTHER).await?)?;
    assert_eq!(ann.claims()?["roles"], json!(["manager"]));
    assert_ne!(ann.claims()?["sub"], stranger.user.to_string(), "nothing of theirs is hers");
    Ok(())
}

#[tokio::test]
async fn prehijacking_an_invitation_displaces_who_registered_with_the_address() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = owner(&acme).await?;
    let stranger = acme.register("ann").await?;
    let theirs = acme.link("verify-address", 1).await?;
    let refused = assign(&acme, &owner, &stranger, json!(["manager"])).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (409, "organisation.address-unproven"));
    // The stranger's seat is the newcomer's.
    acme.done(SetSeats { seats: Some(2) }).await?;
    let sent = invite(&acme, &owner, &stranger.email).await?;
    assert_eq!(sent.status, StatusCode::CREATED, "{}", sent.text);
    assert_eq!(
        sent.header("location"),
        format!("/v1/invitations/{}", sent.json["id"].as_str().context("id")?)
    );
    // The owner of the mailbox takes the first letter for the one that they wait for: nothing comes of it.
    assert_eq!(verify(&acme, &theirs).await?.code(), OUT);
    assert_eq!(acme.log_in(&stranger.email, PASSWORD).await?.code(), WRONG);
    let joined = accept(&acme, &acme.link("invitation", 1).await?).await?;
    assert_eq!(joined.status, StatusCode::OK, "{}", joined.text);
    ann_alone_is_in(&acme, &stranger).await
}

#[tokio::test]
async fn prehijacking_an_account_that_is_made_displaces_who_registered_with_the_address() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = owner(&acme).await?;
    let stranger = acme.register("ann").await?;
    let theirs = acme.link("verify-address", 1).await?;
    let key = Uuid::now_v7().to_string();
    let made = make(&acme, &owner, &stranger.email, &key).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let again = make(&acme, &owner, &stranger.email, &key).await?;
    assert_eq!((again.status, &again.json["id"]), (made.status, &made.json["id"]), "the same answer");
    assert_ne!(made.json["id"], stranger.user.to_string());
    assert_eq!(verify(&acme, &theirs).await?.code(), OUT);
    let link = acme.link("account-made", 1).await?;
    let chosen = json!({ "token": link, "new_password": ANOTHER });
    let chosen = acme.post("", "/v1/auth/password/reset", &chosen).await?;
    assert_eq!(chosen.status, StatusCode::NO_CONTENT, "{}", chosen.text);
    ann_alone_is_in(&acme, &stranger).await
}

#[tokio::test]
async fn prehijacking_who_registers_after_the_invitation_keeps_nobody_out() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = owner(&acme).await?;
    assert_eq!(invite(&acme, &owner, "ann@example.com").await?.status, StatusCode::CREATED);
    let stranger = acme.register("ann").await?;
    let joined = accept(&acme, &acme.link("invitation", 1).await?).await?;
    assert_eq!(joined.status, StatusCode::OK, "{}", joined.text);
    ann_alone_is_in(&acme, &stranger).await
}

/// Under `private` nobody is there before the link is used, but the password of a stranger waits in the request.
#[tokio::test]
async fn prehijacking_an_address_that_was_only_asked_for_keeps_its_owner_out_of_nothing() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let _reactors = stack.with_reactors()?;
    let owner = owner(&acme).await?;
    let eve = acme.join("eve").await?;
    let session = acme.sign_in(&eve).await?;
    for email in ["ann@example.com", "bob@example.com"] {
        let wants = json!({ "new_email": email, "password": PASSWORD });
        let asked = acme.post(&session.access, "/v1/auth/email/change", &wants).await?;
        assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.text);
    }
    until(PATIENCE, async || Ok(acme.letters("verify-address").await?.len() == 2)).await?;
    assert_eq!(invite(&acme, &owner, "bob@example.com").await?.status, StatusCode::CREATED);
    let accepted = accept(&acme, &acme.link("invitation", 1).await?).await?;
    assert_eq!(accepted.status, StatusCode::OK, "{}", accepted.text);
    // And once it is somebody's, the link to it is good for nothing.
    let mut links = Vec::new();
    for letter in acme.letters("verify-address").await? {
        if let Mail::VerifyAddress { token, .. } = letter.mail {
            links.push(token);
        }
    }
    for token in links {
        let confirmed = acme.post("", "/v1/auth/email/confirm", &json!({ "token": token })).await?;
        assert_eq!((confirmed.status, confirmed.code()), (StatusCode::NOT_FOUND, "identity.link-invalid"));
    }
    Ok(())
}

#[tokio::test]
async fn prehijacking_nobody_completes_the_registration_of_somebody_else() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let _reactors = stack.with_reactors()?;
    for (round, registration) in [Registration::Explicit, Registration::Private].into_iter().enumerate() {
        acme.ask(|it| it.registration = registration).await?;
        let email = format!("ann{round}@example.com");
        let body = json!({ "tenant_slug": "acme", "email": email, "password": PASSWORD });
        acme.post("", "/v1/auth/register", &body).await?;
        let token = acme.link("verify-address", round + 1).await?;
        let confirm = async |password: &str| {
            let body = json!({ "token": token, "password": password });
            acme.post("", "/v1/auth/verify-email", &body).await
        };
        let wrong = confirm(ANOTHER).await?;
        assert_eq!((wrong.status.as_u16(), wrong.code()), (401, WRONG), "{registration:?}");
        assert_ne!(acme.log_in(&email, PASSWORD).await?.status, StatusCode::OK);
        let right = confirm(PASSWORD).await?;
        assert_eq!(right.status, StatusCode::NO_CONTENT, "{registration:?}: {}", right.text);
        SignedIn::of(&acme.log_in(&email, PASSWORD).await?)?;
    }
    Ok(())
}

/// Where people sign in before they have shown that their address is theirs, a stranger could leave something behind that lets
/// them in when its owner has taken the account over ("trojan identifier").
#[tokio::test]
async fn prehijacking_a_reset_leaves_nothing_of_who_registered_before() -> Test {
    let stack = Stack::commands_only().await?;
    let _reactors = stack.with_reactors()?;
    let (acme, globex) =
        (Organisation::found(&stack, "acme").await?, Organisation::found(&stack, "globex").await?);
    acme.ask(|it| it.sign_in_unverified = true).await?;
    let stranger = acme.register("ann").await?;
    let session = acme.sign_in(&stranger).await?;
    let elsewhere = globex.sign_in(&globex.join("eve").await?).await?;
    let to_here = json!({ "tenant_slug": "acme", "email": stranger.email });
    let code =
        globex.post(&elsewhere.access, "/v1/auth/links/identities", &to_here).await?.json["code"].take();
    let provider = json!({
        "provider": "none", "redirect_uri": "https://app.example.com/",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    });
    for (path, body) in [
        ("/v1/auth/totp", Value::Null),
        ("/v1/auth/passkeys/options", Value::Null),
        ("/v1/auth/links/external", provider),
        ("/v1/auth/links/identities", json!({ "tenant_slug": "globex", "email": "eve@example.com" })),
        ("/v1/auth/links/identities/confirm", json!({ "code": code })),
    ] {
        let refused = acme.post(&session.access, path, &body).await?;
        let told = (refused.status.as_u16(), refused.code());
        assert_eq!(told, (403, "identity.email-unverified"), "{path}: {}", refused.text);
    }
    // Ann finds that there is an account of hers, and takes it.
    acme.post("", "/v1/auth/password/forgot", &to_here).await?;
    let body = json!({ "token": acme.link("reset", 1).await?, "new_password": ANOTHER });
    let chosen = acme.post("", "/v1/auth/password/reset", &body).await?;
    assert_eq!(chosen.status, StatusCode::NO_CONTENT, "{}", chosen.text);
    assert_eq!(acme.refresh(&session.refresh).await?.status, StatusCode::UNAUTHORIZED);
    let mut conn = stack.database.superuser().await?;
    for table in ["totp", "passkeys", "identities", "person_links"] {
        let count = format!("select count(*) from vault.{table}");
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(&mut conn).await?;
        assert_eq!(left, 0, "{table}");
    }
    // What she sets up is hers.
    let ann = SignedIn::of(&acme.log_in(&stranger.email, ANOTHER).await?)?;
    acme.enrol(&ann.access).await?;
    Ok(())
}

/// Of a link that proves the address and an invitation at the same moment, one counts.
#[tokio::test(flavor = "multi_thread")]
async fn prehijacking_a_proof_and_an_invitation_at_once_do_not_both_count() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = owner(&acme).await?;
    for round in 0..8 {
        let stranger = acme.register(&format!("ann{round}")).await?;
        let theirs = acme.link("verify-address", round + 1).await?;
        let (proven, invited) = tokio::join!(verify(&acme, &theirs), invite(&acme, &owner, &stranger.email));
        let (proven, invited) = (proven?, invited?);
        let signs_in = acme.log_in(&stranger.email, PASSWORD).await?;
        match (proven.status, invited.status) {
            (StatusCode::NO_CONTENT, StatusCode::CONFLICT) => {
                assert_eq!(invited.code(), "organisation.already-member");
                assert_eq!(SignedIn::of(&signs_in)?.claims()?["roles"], json!(["user"]));
            }
            (StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST, StatusCode::CREATED) => {
                assert_eq!((proven.code(), signs_in.code()), (OUT, WRONG));
            }
            other => anyhow::bail!("{other:?} {} {}", proven.text, invited.text),
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_account_that_is_made_ends_the_invitation_of_its_address() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = owner(&acme).await?;
    acme.done(SetSeats { seats: Some(2) }).await?;
    assert_eq!(invite(&acme, &owner, "ann@example.com").await?.status, StatusCode::CREATED);
    let link = acme.link("invitation", 1).await?;
    let key = Uuid::now_v7().to_string();
    let made = make(&acme, &owner, "ann@example.com", &key).await?;
    assert_eq!(made.status, StatusCode::CREATED, "its seat is free: {}", made.text);
    assert_eq!(accept(&acme, &link).await?.code(), "organisation.invitation-invalid");
    let again = make(&acme, &owner, "ann@example.com", &key).await?;
    assert_eq!((again.status, &again.json["id"]), (made.status, &made.json["id"]), "the same answer");
    Ok(())
}

#[tokio::test]
async fn an_organisation_that_does_not_work_takes_nobody_and_is_told_as_none() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let register = async |slug: &str| {
        let body = json!({ "tenant_slug": slug, "email": "eve@example.com", "password": PASSWORD });
        acme.post("", "/v1/auth/register", &body).await
    };
    let nobody = register("no-such-shop").await?;
    assert_eq!(nobody.code(), "organisation.not-found");
    for registration in [Registration::Explicit, Registration::Private] {
        acme.ask(|it| it.registration = registration).await?;
        for to in [TenantStatus::Pending, TenantStatus::Suspended] {
            acme.done(ChangeStanding { to, because: Word::of("tested") }).await?;
            let told = register("acme").await?;
            assert_eq!((told.status, told.code()), (nobody.status, nobody.code()), "{to:?} {registration:?}");
            acme.done(ChangeStanding { to: TenantStatus::Active, because: Word::of("tested") }).await?;
        }
    }
    assert_eq!(register("acme").await?.status, StatusCode::ACCEPTED, "private");
    acme.ask(|_| {}).await?;
    assert_eq!(register(" Acme ").await?.status, StatusCode::CREATED, "as phones write it");
    acme.done(ChangeStanding { to: TenantStatus::Closed, because: Word::of("tested") }).await?;
    assert_eq!(register("acme").await?.code(), nobody.code());
    Ok(())
}

#[tokio::test]
async fn a_session_of_before_a_suspension_stays_ended() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let before = acme.sign_in(&ann).await?;
    assert!(acme.is_taken(&before.access).await?);
    for to in [TenantStatus::Suspended, TenantStatus::Active] {
        acme.done(ChangeStanding { to, because: Word::of("tested") }).await?;
    }
    assert!(!acme.is_taken(&before.access).await?, "whoever was out signs in anew");
    let after = acme.sign_in(&ann).await?;
    assert!(acme.is_taken(&after.access).await?);
    acme.done(SetSeats { seats: Some(7) }).await?;
    assert!(!acme.is_taken(&before.access).await?, "whatever else is said of it");
    assert!(acme.is_taken(&after.access).await?);
    Ok(())
}
