//! What people allowed services: listed, taken back by themselves or by an administrator, and asked for once more. With what
//! was allowed goes all that a service has of a person, at once and in every process.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::{join, try_join_all};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::person::{Organisation, Person};
use tests::relying::{BACK, DEVICE, Relying, Tokens, VERIFIER, parameter, shop};
use tests::stack::{Answer, Stack, answer};
use tests::tab::Tab;
use uuid::Uuid;

use super::{ACCOUNT, ALL, INVALID_GRANT, Test, said_no, set_up};
use crate::identity::device;

/// Within what every process knows.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);
const OWN: &str = "/v1/auth/consents";

/// Takes back what somebody allowed.
async fn take_back(stack: &Stack, token: &str, path: &str) -> anyhow::Result<Answer> {
    answer(stack.request(Method::DELETE, token, &format!("{}{path}", stack.command_url))).await
}

/// What is listed, no earlier than what was just answered.
async fn listed(stack: &Stack, token: &str, path: &str, after: &Answer) -> anyhow::Result<Vec<Value>> {
    let list = stack.get_at(token, path, after.header("quipu-position")).await?;
    anyhow::ensure!(list.status == StatusCode::OK, "{} {}", list.status, list.text);
    list.json["items"].as_array().cloned().context("a list")
}

/// What a service is told that asks nobody anything.
async fn silently(shop: &Relying<'_>, tab: &mut Tab, who: &Person) -> anyhow::Result<String> {
    let url = shop.walk(tab, who, &shop.authorize("openid", &[("prompt", Some("none"))])?).await?;
    let said = ["code", "error"].into_iter().find_map(|it| Some((it, parameter(&url, it)?)));
    let (name, value) = said.with_context(|| url.to_string())?;
    Ok(if name == "code" { name.to_owned() } else { value })
}

async fn is_active(shop: &Relying<'_>, token: &str) -> anyhow::Result<bool> {
    Ok(shop.ask("introspect", &[("token", token)]).await?.json["active"] == true)
}

/// One who may read and end the sessions of others.
async fn administrator(acme: &Organisation<'_>) -> anyhow::Result<String> {
    let members = tests::members::Members::of(acme.stack, acme.tenant)?;
    Ok(members.join(&[domain::organisation::RoleRef::ADMIN]).await?.token)
}

#[tokio::test]
async fn a_person_sees_what_they_allowed_and_takes_it_back() -> Test {
    let stack = Stack::whole().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let url = shop.walk(&mut tab, &ann, &shop.authorize(ALL, &[])?).await?;
    let lent = Tokens::of(&shop.redeem(&parameter(&url, "code").context("a code")?).await?)?;
    let other = shop.sign_in(&ann, "openid").await?;
    assert_eq!(silently(&shop, &mut tab, &ann).await?, "code");
    let own = acme.sign_in(&ann).await?;
    let position = tests::members::Members::of(&stack, acme.tenant)?.position().await?;
    let list = stack.get_at(&own.access, OWN, &position).await?;
    let known = &list.json["items"][0];
    for (name, value) in [
        ("service_id", json!(shop.id)),
        ("service_name", json!("Shop")),
        ("service_status", json!("active")),
        ("status", json!("granted")),
        ("scopes", json!(["email", "ledger.read-accounts", "openid", "profile"])),
    ] {
        assert_eq!(known[name], value, "{name}: {}", list.text);
    }
    assert!(known["granted_at"].is_string() && list.json["items"].as_array().is_some_and(|it| it.len() == 1));
    assert_eq!(stack.get(&lent.access, ACCOUNT).await?.status, StatusCode::NOT_FOUND);

    // A service has no hand in what it is allowed, and what never was allowed is not there.
    let path = format!("{OWN}/{}", shop.id);
    assert_eq!(take_back(&stack, &lent.access, &path).await?.code(), "auth.acts-for-another");
    let never = take_back(&stack, &own.access, &format!("{OWN}/{}", Uuid::now_v7())).await?;
    assert_eq!((never.status.as_u16(), never.code()), (404, "application.consent-not-found"));

    let done = take_back(&stack, &own.access, &path).await?;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    for tokens in [&lent, &other] {
        assert_eq!(said_no(&shop.refresh(&tokens.refresh).await?), INVALID_GRANT);
        assert!(!is_active(&shop, &tokens.access).await? && !is_active(&shop, &tokens.refresh).await?);
        tests::until(KNOWN_WITHIN, async || {
            Ok(stack.get(&tokens.access, ACCOUNT).await?.code() == "auth.session-ended")
        })
        .await?;
    }
    assert!(listed(&stack, &own.access, OWN, &done).await?.is_empty());
    let sessions = listed(&stack, &own.access, "/v1/auth/sessions", &done).await?;
    let ended = |it: &Value| (it["service_id"] == json!(shop.id), it["status"] == "ended");
    assert!(sessions.iter().map(ended).all(|(lent, ended)| lent == ended), "{sessions:?}");
    let feed = listed(&stack, &own.access, "/v1/auth/security-feed", &done).await?;
    assert!(feed.iter().any(|it| it.to_string().contains("application.consent-revoked")), "{feed:?}");
    // Once more is no error and changes nothing; and the person themselves stays signed in.
    assert_eq!(take_back(&stack, &own.access, &path).await?.status, StatusCode::OK);

    assert_eq!(silently(&shop, &mut tab, &ann).await?, "consent_required");
    let again = shop.sign_in(&ann, "openid").await?;
    assert!(is_active(&shop, &again.access).await?);
    assert!(!is_active(&shop, &lent.access).await?, "what ended does not come back");
    assert_eq!(said_no(&shop.refresh(&lent.refresh).await?), INVALID_GRANT);
    let wider =
        shop.walk(&mut tab, &ann, &shop.authorize("openid email", &[("prompt", Some("none"))])?).await?;
    assert_eq!(parameter(&wider, "error").as_deref(), Some("consent_required"), "what was before is gone");
    Ok(())
}

#[tokio::test]
async fn an_administrator_sees_and_takes_back_what_others_allowed() -> Test {
    let stack = Stack::whole().await?;
    let (acme, ann) = set_up(&stack).await?;
    let bob = acme.join("bob").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let (of_ann, of_bob) = (shop.sign_in(&ann, ALL).await?, shop.sign_in(&bob, ALL).await?);
    let admin = administrator(&acme).await?;
    let list = format!("/v1/users/{}/consents", ann.user);
    let path = format!("{list}/{}", shop.id);
    let member = acme.sign_in(&bob).await?.access;
    assert_eq!(take_back(&stack, &member, &path).await?.code(), "auth.permission-missing");
    assert_eq!(stack.get(&member, &list).await?.code(), "auth.permission-missing");
    let owner = Tokens::said(&shop.owner)?["sub"].as_str().context("an owner")?.to_owned();
    let above = take_back(&stack, &admin, &format!("/v1/users/{owner}/consents/{}", shop.id)).await?;
    assert_eq!((above.status.as_u16(), above.code()), (403, "organisation.outranked"), "{}", above.text);
    let nobody = format!("/v1/users/{}/consents/{}", Uuid::now_v7(), shop.id);
    assert_eq!(take_back(&stack, &admin, &nobody).await?.code(), "application.consent-not-found");
    let position = tests::members::Members::of(&stack, acme.tenant)?.position().await?;
    let known = stack.get_at(&admin, &list, &position).await?;
    assert_eq!(known.json["items"][0]["user_id"], json!(ann.user.to_string()), "{}", known.text);
    let done = take_back(&stack, &admin, &path).await?;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    assert!(listed(&stack, &admin, &list, &done).await?.is_empty());
    assert!(!is_active(&shop, &of_ann.access).await?);
    assert!(is_active(&shop, &of_bob.access).await?, "what others allowed stands");
    // Of another organisation there is nothing to see and nothing to take.
    let evil = Organisation::found(&stack, "evil").await?;
    let theirs = administrator(&evil).await?;
    let path = format!("/v1/users/{}/consents/{}", bob.user, shop.id);
    assert_eq!(take_back(&stack, &theirs, &path).await?.status, StatusCode::NOT_FOUND);
    assert!(is_active(&shop, &of_bob.access).await?);
    Ok(())
}

#[tokio::test]
async fn whoever_ends_a_session_of_a_service_is_asked_before_its_next_one() -> Test {
    let stack = Stack::whole().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let url = shop.walk(&mut tab, &ann, &shop.authorize("openid", &[])?).await?;
    let lent = Tokens::of(&shop.redeem(&parameter(&url, "code").context("a code")?).await?)?;
    let other = shop.sign_in(&ann, "openid").await?;
    let under_way = parameter(
        &shop.walk(&mut tab, &ann, &shop.authorize("openid", &[("prompt", Some("none"))])?).await?,
        "code",
    );
    let own = acme.sign_in(&ann).await?;
    let session = Tokens::said(&lent.access)?["sid"].as_str().context("a session")?.to_owned();
    let done = take_back(&stack, &own.access, &format!("/v1/auth/sessions/{session}")).await?;
    assert_eq!(done.status, StatusCode::NO_CONTENT, "{}", done.text);
    assert!(!is_active(&shop, &lent.access).await?);
    assert!(is_active(&shop, &other.access).await?, "one session was ended, and no other");
    // Not even a code that was on its way begins another one.
    assert_eq!(said_no(&shop.redeem(&under_way.context("a code")?).await?), INVALID_GRANT);
    assert_eq!(silently(&shop, &mut tab, &ann).await?, "consent_required");
    let list = listed(&stack, &own.access, OWN, &done).await?;
    assert_eq!((list.len(), &list[0]["status"]), (1, &json!("questioned")));
    // The person says yes once more, and from then on nobody is asked.
    let url = shop.walk(&mut tab, &ann, &shop.authorize("openid", &[])?).await?;
    assert!(parameter(&url, "code").is_some(), "{url}");
    assert_eq!(silently(&shop, &mut tab, &ann).await?, "code");
    assert!(is_active(&shop, &other.access).await?);
    // What the service gives back by itself is its own affair.
    assert_eq!(shop.ask("revoke", &[("token", &other.refresh)]).await?.status, StatusCode::OK);
    assert_eq!(silently(&shop, &mut tab, &ann).await?, "code");
    Ok(())
}

#[tokio::test]
async fn a_device_that_was_let_in_goes_with_what_was_allowed() -> Test {
    let stack = Stack::whole().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let own = acme.sign_in(&ann).await?;
    let path = format!("{OWN}/{}", shop.id);
    let poll = async |code: &str| shop.token(&[("grant_type", DEVICE), ("device_code", code)]).await;
    let tokens = Tokens::of(&poll(&device::approved(&shop, &ann).await?).await?)?;
    let waits = device::approved(&shop, &ann).await?;
    let position = tests::members::Members::of(&stack, acme.tenant)?.position().await?;
    let list = stack.get_at(&own.access, OWN, &position).await?;
    assert_eq!(list.json["items"][0]["scopes"], json!(["email", "openid"]), "{}", list.text);
    assert_eq!(take_back(&stack, &own.access, &path).await?.status, StatusCode::OK);
    assert!(!is_active(&shop, &tokens.access).await?);
    assert_eq!(said_no(&poll(&waits).await?), INVALID_GRANT, "it was let in and has not come yet");
    Ok(())
}

/// Whatever comes first: once it is taken back, nothing that a service got is good, and nothing comes after.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_outlives_what_is_taken_back_while_codes_and_tokens_are_exchanged() -> Test {
    let stack = Stack::commands_only().await?;
    let other = stack.another_command_api().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let own = acme.sign_in(&ann).await?;
    let path = format!("{OWN}/{}", shop.id);
    let urls = [format!("{}/oauth2/token", stack.command_url), format!("{other}/oauth2/token")];
    for _ in 0..8 {
        let before = shop.sign_in(&ann, "openid").await?;
        let codes = [shop.code(&ann, "openid").await?, shop.code(&ann, "openid").await?];
        let late = shop.code(&ann, "openid").await?;
        let exchange = async |(code, url): (&String, &String)| {
            let fields = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", BACK)];
            shop.ask_at(url, &[&fields[..], &[("code_verifier", VERIFIER)]].concat()).await
        };
        let by_code = codes.iter().zip(&urls).map(&exchange);
        let exchanged = join(try_join_all(by_code), shop.refresh(&before.refresh));
        let (taken, (codes, refreshed)) = join(take_back(&stack, &own.access, &path), exchanged).await;
        assert_eq!(taken?.status, StatusCode::OK);
        assert!(!is_active(&shop, &before.access).await?);
        assert_eq!(said_no(&exchange((&late, &urls[0])).await?), INVALID_GRANT, "it was allowed once");
        for got in codes?.iter().chain([&refreshed?]) {
            if got.status != StatusCode::OK {
                assert_eq!(said_no(got), INVALID_GRANT);
                continue;
            }
            let tokens = Tokens::of(got)?;
            assert!(!is_active(&shop, &tokens.access).await?, "{}", got.text);
            assert_eq!(said_no(&shop.refresh(&tokens.refresh).await?), INVALID_GRANT);
        }
    }
    Ok(())
}
