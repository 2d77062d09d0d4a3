//! Invitations: who comes in by one, who does not, and where its link is to be found: nowhere but in its letter.

mod links;
mod races;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use domain::identity::{EmailHash, VerifyEmail};
use domain::ids::InvitationId;
use domain::organisation::invitation::{Invite, ResendInvitation};
use domain::organisation::{Granter, RoleRef, SetSeats};
use domain::private::Private;
use domain::words::Word;
use event_store::Unit;
use event_store::keyring::IndexOf;
use event_store::vault::{Digest, Letter, Mail, MailTokenKind, NewMailToken, VaultChange};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use service_kit::bearer::{Bearer, Kind};
use service_kit::permissions::role_table;
use tests::database::cause;
use tests::ledger::accepted;
use tests::members::{Member, Members};
use tests::person::{Organisation, PASSWORD, SignedIn};
use tests::stack::{Answer, Stack, answer};
use uuid::Uuid;

type Test = anyhow::Result<()>;

const ANOTHER: &str = "violet-anchor-marble-tundra";
const INVALID: (StatusCode, &str) = (StatusCode::NOT_FOUND, "organisation.invitation-invalid");
const FOR_ANOTHER: (StatusCode, &str) = (StatusCode::FORBIDDEN, "organisation.invitation-for-another");
const DONE: (StatusCode, &str) = (StatusCode::OK, "");

fn said(answer: &Answer) -> (StatusCode, &str) {
    (answer.status, answer.code())
}

/// How often each answer came.
fn counted(answers: &[Answer]) -> BTreeMap<(u16, &str), usize> {
    let mut counts = BTreeMap::new();
    for it in answers {
        *counts.entry((it.status.as_u16(), it.code())).or_insert(0) += 1;
    }
    counts
}

/// Somebody with a role.
async fn member(acme: &Organisation<'_>, role: RoleRef) -> anyhow::Result<Member> {
    Members::of(acme.stack, acme.tenant)?.join(&[role]).await
}

async fn invite(acme: &Organisation<'_>, by: &str, email: &str, roles: Value) -> anyhow::Result<Answer> {
    acme.post(by, "/v1/invitations", &json!({ "email": email, "roles": roles })).await
}

/// Invites somebody, which works, and says the id of the invitation.
async fn invited(acme: &Organisation<'_>, by: &str, email: &str, roles: Value) -> anyhow::Result<String> {
    let sent = invite(acme, by, email, roles).await?;
    anyhow::ensure!(sent.status == StatusCode::CREATED, "{} {}", sent.status, sent.text);
    Ok(sent.json["id"].as_str().context("an id")?.to_owned())
}

async fn act(acme: &Organisation<'_>, by: &str, invitation: &str, what: &str) -> anyhow::Result<Answer> {
    let url = format!("{}/v1/invitations/{invitation}/{what}", acme.stack.command_url);
    answer(acme.stack.request(Method::POST, by, &url)).await
}

async fn accept(acme: &Organisation<'_>, token: &str, password: &str) -> anyhow::Result<Answer> {
    acme.post("", "/v1/invitations/accept", &json!({ "token": token, "password": password })).await
}

async fn accept_as(acme: &Organisation<'_>, session: &str, token: &str) -> anyhow::Result<Answer> {
    acme.post(session, "/v1/invitations/accept", &json!({ "token": token })).await
}

async fn decline(acme: &Organisation<'_>, token: &str) -> anyhow::Result<Answer> {
    acme.post("", "/v1/invitations/decline", &json!({ "token": token })).await
}

/// The links of all letters to an address, the oldest first.
async fn links(acme: &Organisation<'_>, to: &str) -> anyhow::Result<Vec<String>> {
    let token = |letter: Letter| match letter.mail {
        Mail::Invitation { token, .. } if letter.to == to => Some(token),
        _ => None,
    };
    Ok(acme.letters("invitation").await?.into_iter().filter_map(token).collect())
}

/// The link of the newest letter to an address.
async fn link(acme: &Organisation<'_>, to: &str) -> anyhow::Result<String> {
    links(acme, to).await?.pop().with_context(|| format!("no letter to {to}"))
}

#[tokio::test]
async fn an_invitation_brings_somebody_in_with_the_roles_that_it_names() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = member(&acme, RoleRef::OWNER).await?;
    invited(&acme, &owner.token, "Ann@example.com", json!(["manager", "user"])).await?;
    let letters = acme.letters("invitation").await?;
    let [Letter { to, mail: Mail::Invitation { organisation, inviter: None, token, .. }, .. }] =
        letters.as_slice()
    else {
        anyhow::bail!("{letters:?}")
    };
    assert_eq!((to.as_str(), organisation.as_str()), ("Ann@example.com", "acme"));
    let weak = accept(&acme, token, "ann@example.com").await?;
    assert_eq!(said(&weak), (StatusCode::UNPROCESSABLE_ENTITY, "identity.password-weak"));
    assert_eq!(weak.json["errors"][0]["pointer"], "/password");
    let body = json!({
        "token": token, "password": PASSWORD, "given_name": "Ann", "family_name": "Smith", "language": "de"
    });
    let joined = acme.post("", "/v1/invitations/accept", &body).await?;
    assert_eq!(said(&joined), DONE, "{}", joined.text);
    // The link has proven the address.
    let ann = SignedIn::of(&acme.log_in("ann@example.com", PASSWORD).await?)?;
    assert_eq!(ann.claims()?["roles"], json!(["manager", "user"]));
    assert_eq!(ann.claims()?["sub"], joined.json["id"]);
    assert_eq!(said(&accept(&acme, token, PASSWORD).await?), INVALID, "once");
    assert_eq!(said(&decline(&acme, token).await?), INVALID);
    let again = invite(&acme, &ann.access, "ann@example.com", json!(["user"])).await?;
    assert_eq!(said(&again), (StatusCode::CONFLICT, "organisation.already-member"));
    // Whoever invites is named, as far as they may be.
    invited(&acme, &ann.access, "bob@example.com", json!(["user"])).await?;
    let named = acme.letters("invitation").await?.pop().context("a letter")?;
    assert!(matches!(&named.mail, Mail::Invitation { inviter: Some(it), .. } if it == "Ann Smith"));
    Ok(())
}

/// Auth0 "invitation disappears", BloopAI/vibe-kanban#3430: the link in the hands of somebody who is signed in as somebody else.
#[tokio::test]
async fn vibe_kanban_3430_a_wrong_account_neither_redeems_nor_consumes() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let globex = Organisation::found(&stack, "globex").await?;
    let owner = member(&acme, RoleRef::OWNER).await?;
    let (here, there) = (acme.join("bob").await?, globex.join("eve").await?);
    globex.ask(|it| it.sign_in_unverified = true).await?;
    let unproven = globex.register("ann").await?;
    invited(&acme, &owner.token, "ann@example.com", json!(["user"])).await?;
    let token = link(&acme, "ann@example.com").await?;
    let sessions = [
        acme.sign_in(&here).await?.access,
        globex.sign_in(&there).await?.access,
        globex.sign_in(&unproven).await?.access,
    ];
    for session in &sessions {
        assert_eq!(said(&accept_as(&acme, session, &token).await?), FOR_ANOTHER);
    }
    let operator = accept_as(&acme, &stack.owner(acme.tenant)?, &token).await?;
    assert_eq!(operator.status, StatusCode::UNAUTHORIZED, "an operator has no address: {}", operator.text);
    let nobody = accept_as(&acme, "", &token).await?;
    assert_eq!(said(&nobody), (StatusCode::UNAUTHORIZED, "auth.token-missing"));
    let forged = accept_as(&acme, &format!("{}x", sessions[0]), &token).await?;
    assert_eq!(said(&forged), (StatusCode::UNAUTHORIZED, "auth.token-invalid"));
    // The invitation is as it was: once the address is proven, its owner comes in.
    globex.done(VerifyEmail { user_id: unproven.user, email_version: 1, via: Word::of("link") }).await?;
    let joined = accept_as(&acme, &sessions[2], &token).await?;
    assert_eq!(said(&joined), DONE, "{}", joined.text);
    assert_ne!(joined.json["id"], unproven.user.to_string(), "a person belongs to one organisation");
    assert_eq!(said(&accept_as(&acme, &sessions[2], &token).await?), INVALID, "once");
    // Here they have no password until they choose one.
    let _reactors = stack.with_reactors()?;
    let forgot = json!({ "tenant_slug": acme.slug, "email": "ann@example.com" });
    acme.post("", "/v1/auth/password/forgot", &forgot).await?;
    let body = json!({ "token": acme.link("reset", 1).await?, "new_password": ANOTHER });
    let chosen = acme.post("", "/v1/auth/password/reset", &body).await?;
    assert_eq!(chosen.status, StatusCode::NO_CONTENT, "{}", chosen.text);
    SignedIn::of(&acme.log_in("ann@example.com", ANOTHER).await?)?;
    Ok(())
}

#[tokio::test]
async fn an_invitation_that_came_to_an_end_frees_what_it_held() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = member(&acme, RoleRef::OWNER).await?;
    acme.done(SetSeats { seats: Some(2) }).await?;
    let first = invited(&acme, &owner.token, "ann@example.com", json!(["user"])).await?;
    let token = link(&acme, "ann@example.com").await?;
    assert_eq!(act(&acme, &owner.token, &first, "revoke").await?.status, StatusCode::OK);
    assert_eq!(said(&accept(&acme, &token, PASSWORD).await?), INVALID);
    assert_eq!(act(&acme, &owner.token, &first, "revoke").await?.status, StatusCode::OK, "it is so already");
    let over = act(&acme, &owner.token, &first, "resend").await?;
    assert_eq!(said(&over), (StatusCode::CONFLICT, "organisation.invitation-over"));
    let second = invited(&acme, &owner.token, "ann@example.com", json!(["user"])).await?;
    let declined = decline(&acme, &link(&acme, "ann@example.com").await?).await?;
    assert_eq!(said(&declined), (StatusCode::NO_CONTENT, ""));
    let over = act(&acme, &owner.token, &second, "revoke").await?;
    assert_eq!(said(&over), (StatusCode::CONFLICT, "organisation.invitation-over"));
    invited(&acme, &owner.token, "ann@example.com", json!(["user"])).await?;
    for what in ["resend", "revoke"] {
        let nothing = act(&acme, &owner.token, &Uuid::now_v7().to_string(), what).await?;
        assert_eq!(said(&nothing), INVALID, "{what}");
    }
    Ok(())
}

#[tokio::test]
async fn an_invitation_grants_no_more_than_its_sender_still_may() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let (owner, admin) = (member(&acme, RoleRef::OWNER).await?, member(&acme, RoleRef::ADMIN).await?);
    let much = invite(&acme, &admin.token, "ann@example.com", json!(["owner"])).await?;
    assert_eq!(said(&much), (StatusCode::FORBIDDEN, "organisation.grants-too-much"));
    assert_eq!(acme.letters("invitation").await?.len(), 0);
    invited(&acme, &admin.token, "ann@example.com", json!(["admin"])).await?;
    let token = link(&acme, "ann@example.com").await?;
    let becomes = async |role: &str| {
        let url = format!("{}/v1/members/{}/roles", stack.command_url, admin.user);
        let request = stack.request(Method::PUT, &owner.token, &url).json(&json!({ "roles": [role] }));
        anyhow::ensure!(answer(request).await?.status == StatusCode::OK);
        anyhow::Ok(())
    };
    becomes("user").await?;
    let refused = accept(&acme, &token, PASSWORD).await?;
    assert_eq!(said(&refused), (StatusCode::FORBIDDEN, "organisation.grants-too-much"));
    assert_eq!(acme.log_in("ann@example.com", PASSWORD).await?.code(), "identity.invalid-credentials");
    becomes("admin").await?;
    assert_eq!(said(&accept(&acme, &token, PASSWORD).await?), DONE);
    Ok(())
}

#[tokio::test]
async fn nobody_joins_on_the_word_of_somebody_who_is_out() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let (owner, other) = (member(&acme, RoleRef::OWNER).await?, member(&acme, RoleRef::OWNER).await?);
    invited(&acme, &other.token, "mallory@example.com", json!(["owner"])).await?;
    let token = link(&acme, "mallory@example.com").await?;
    let decide = async |what: &str| {
        stack.post(&owner.token, &format!("/v1/users/{}/{what}", other.user), &Value::Null).await
    };
    assert_eq!(decide("deactivate").await?.status, StatusCode::OK);
    let refused = accept(&acme, &token, PASSWORD).await?;
    assert_eq!(
        said(&refused),
        (StatusCode::NOT_FOUND, "organisation.invitation-invalid"),
        "{}",
        refused.text
    );
    assert_eq!(acme.log_in("mallory@example.com", PASSWORD).await?.code(), "identity.invalid-credentials");
    assert_eq!(decide("reactivate").await?.status, StatusCode::OK);
    assert_eq!(said(&accept(&acme, &token, PASSWORD).await?), DONE);
    Ok(())
}

#[tokio::test]
async fn a_former_member_comes_back_with_the_password_of_then() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = member(&acme, RoleRef::OWNER).await?;
    let ann = acme.join("ann").await?;
    let url = format!("{}/v1/members/{}", stack.command_url, ann.user);
    assert_eq!(answer(stack.request(Method::DELETE, &owner.token, &url)).await?.status, StatusCode::OK);
    assert_eq!(acme.log_in(&ann.email, PASSWORD).await?.code(), "identity.invalid-credentials");
    invited(&acme, &owner.token, &ann.email, json!(["manager"])).await?;
    let token = link(&acme, &ann.email).await?;
    let wrong = accept(&acme, &token, ANOTHER).await?;
    assert_eq!(said(&wrong), (StatusCode::UNAUTHORIZED, "identity.invalid-credentials"));
    let back = accept(&acme, &token, PASSWORD).await?;
    assert_eq!(said(&back), DONE, "{}", back.text);
    assert_eq!(back.json["id"], ann.user.to_string());
    assert_eq!(acme.sign_in(&ann).await?.claims()?["roles"], json!(["manager"]));
    Ok(())
}

#[tokio::test]
async fn an_invitation_that_nobody_answers_ends_by_itself() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = member(&acme, RoleRef::OWNER).await?;
    acme.done(SetSeats { seats: Some(2) }).await?;
    let id = InvitationId::new(Uuid::now_v7());
    let email = "ann@example.com";
    let address = acme.master()?.index(acme.tenant, IndexOf::Email, email.as_bytes());
    let secret = Bearer::make(Kind::Mail, acme.tenant, Uuid::now_v7())?;
    let expires_at = Utc::now() + TimeDelta::milliseconds(1_500);
    let command = Invite {
        invitation_id: id,
        email: Private::new(id.uuid(), email),
        email_hash: EmailHash::new(address.0),
        holder: None,
        roles: vec![RoleRef::USER],
        expires_at,
        by: Granter::Platform,
        table: role_table(acme.tenant).clone(),
    };
    let token = NewMailToken {
        tenant: acme.tenant,
        token: secret.id,
        kind: MailTokenKind::Invitation,
        hash: Digest(secret.hash()),
        about: id.uuid(),
        user: None,
        address_hash: Some(address),
        version: 1,
        expires_at,
    };
    let unit = Unit::new(acme.tenant, cause(), command).with_vault([VaultChange::PutMailToken(token)]);
    accepted(&acme.executor.submit(unit).await?)?;
    // Two processes look for what is over.
    let _reactors = [stack.with_reactors()?, stack.with_reactors()?];
    tests::until(Duration::from_secs(20), async || {
        let answer = invite(&acme, &owner.token, email, json!(["user"])).await?;
        Ok(answer.status == StatusCode::CREATED)
    })
    .await?;
    let expired = accept(&acme, secret.text().expose_secret(), PASSWORD).await?;
    assert_eq!(said(&expired), INVALID);
    let mut conn = stack.database.superuser().await?;
    let sql =
        "select count(*) from store.events where tenant_id = $1 and type = 'organisation.invitation-expired'";
    let ends: i64 = sqlx::query_scalar(sql).bind(acme.tenant.uuid()).fetch_one(&mut conn).await?;
    assert_eq!(ends, 1, "it ended once");
    // An expired one can be sent again only as a new one.
    let again = ResendInvitation { invitation_id: id, expires_at: Utc::now() + TimeDelta::days(1) };
    assert!(acme.done(again).await.is_err());
    Ok(())
}
