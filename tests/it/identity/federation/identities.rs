//! Who somebody from a provider is here: new, known by a link, or known by an address that both sides have verified.

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use domain::ids::SessionId;
use domain::organisation::Registration;
use domain::sign_in::StartSession;
use event_store::vault::{FactorChange, Letter, Mail};
use futures_util::future::try_join_all;
use reqwest::{Method, StatusCode, Url};
use serde_json::json;
use tests::members::Members;
use tests::person::{PASSWORD, SignedIn};
use tests::stack::{Stack, answer};
use uuid::Uuid;

use super::{CHALLENGE, RETURN, Shop, Test, VERIFIER, github, parameter, settings, subject};

/// Who was told of which changes of what they sign in with.
async fn changes(shop: &Shop<'_>) -> anyhow::Result<Vec<(String, FactorChange)>> {
    let letters = shop.acme.letters("factors-changed").await?.into_iter();
    let change = |it: Letter| match it.mail {
        Mail::FactorsChanged { change, .. } => Ok((it.to, change)),
        other => anyhow::bail!("{other:?}"),
    };
    letters.map(change).collect()
}

/// The same person comes for the first time in twenty browsers at once.
#[tokio::test]
async fn of_many_first_sign_ins_at_once_one_registers() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    github.has(1, "cat", "cat@corp.example", true);
    let all = try_join_all((0..20).map(|_| shop.sign_in("cat"))).await?;
    let mut people = all.iter().map(subject).collect::<Result<Vec<_>, _>>()?;
    people.dedup();
    assert_eq!(people.len(), 1, "{people:?}");
    assert_eq!(changes(&shop).await?, [], "there was nobody before to be told");
    Ok(())
}

#[tokio::test]
async fn better_auth_9578_an_unverified_local_account_is_never_merged() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    let squatter = json!({ "tenant_slug": "acme", "email": "cat@corp.example", "password": PASSWORD });
    assert_eq!(shop.acme.post("", "/v1/auth/register", &squatter).await?.status, StatusCode::CREATED);
    github.has(1, "cat", "CAT@corp.example", true);
    assert_eq!(shop.refused("cat").await?, "federation.link-needs-sign-in");
    Ok(())
}

/// A member has asked for an address, by mistake or not, and its owner comes with the provider before anybody confirms it.
#[tokio::test]
async fn an_address_that_was_only_asked_for_links_nobody() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    let bob = shop.acme.join("bob").await?;
    let session = shop.acme.sign_in(&bob).await?;
    let wants = json!({ "new_email": "rob@corp.example", "password": PASSWORD });
    let asked = shop.acme.post(&session.access, "/v1/auth/email/change", &wants).await?;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{}", asked.text);
    github.has(1, "rob", "rob@corp.example", true);
    assert_ne!(subject(&shop.sign_in("rob").await?)?, bob.user.to_string());
    Ok(())
}

#[tokio::test]
async fn noauth_an_address_links_only_where_both_have_verified_it_and_the_provider_is_trusted() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    let ann = shop.acme.join("ann").await?;
    // The address is hers, verified on both sides, of a domain that the provider is not trusted for.
    github.has(1, "ann", &ann.email, true);
    assert_eq!(shop.refused("ann").await?, "federation.address-not-vouched");
    let mut trusted = settings("github", &github.issuer, ("quipu", "ours"));
    trusted["trusted_domains"] = json!(["example.com"]);
    assert_eq!(shop.set(&trusted).await?.status, StatusCode::OK);
    github.has(1, "ann", &ann.email, false);
    assert_eq!(shop.refused("ann").await?, "federation.address-not-vouched");
    github.has(1, "ann", &ann.email, true);
    assert_eq!(subject(&shop.sign_in("ann").await?)?, ann.user.to_string());
    // It need not have been her who came, so she is told; and once, however often she comes by it.
    shop.sign_in("ann").await?;
    assert_eq!(changes(&shop).await?, [(ann.email.clone(), FactorChange::ProviderLinked)]);
    // Nobody learns whether an address is known: one that nobody has is answered alike.
    github.has(2, "eve", "nobody@example.com", false);
    assert_eq!(shop.refused("eve").await?, "federation.address-not-vouched");
    Ok(())
}

#[tokio::test]
async fn registration_by_a_provider_is_closed_where_registration_is() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    shop.acme.ask(|it| it.registration = Registration::Closed).await?;
    github.has(1, "cat", "cat@corp.example", true);
    assert_eq!(shop.refused("cat").await?, "identity.registration-closed");
    Ok(())
}

#[tokio::test]
async fn a_link_of_somebody_signed_in_works_until_it_is_given_up() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    let ann = shop.acme.join("ann").await?;
    let signed_in = shop.acme.sign_in(&ann).await?;
    github.has(1, "cat", "cat@elsewhere.example", false);
    let body = json!({ "provider": "corp", "redirect_uri": RETURN, "code_challenge": CHALLENGE });
    let link = async |token: &str| {
        let begun = shop.acme.post(token, "/v1/auth/links/external", &body).await?;
        assert_eq!(begun.status, StatusCode::OK, "{}", begun.text);
        let url: Url = begun.json["authorization_url"].as_str().context("a url")?.parse()?;
        let cookie = begun.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        let answer = format!("code=cat&state={}", parameter(&url, "state").context("a state")?);
        anyhow::Ok(shop.back(&answer, &cookie).await?.header("location").parse::<Url>()?)
    };
    let code = parameter(&link(&signed_in.access).await?, "code").context("a code")?;
    assert_eq!(subject(&SignedIn::of(&shop.hand_over(&code, VERIFIER).await?)?)?, ann.user.to_string());
    assert_eq!(subject(&shop.sign_in("cat").await?)?, ann.user.to_string());

    // The identity is hers now, and nobody else's.
    let bob = shop.acme.join("bob").await?;
    let bobs = shop.acme.sign_in(&bob).await?;
    assert_eq!(parameter(&link(&bobs.access).await?, "error").as_deref(), Some("federation.identity-taken"));

    let url = format!("{}/v1/auth/links/external", stack.command_url);
    let list = answer(stack.request(Method::GET, &signed_in.access, &url)).await?;
    let id = list.json["links"][0]["id"].as_str().with_context(|| list.text.clone())?;
    assert_eq!(list.json["links"][0]["provider"], "corp");
    let unlink =
        async |token: &str| answer(stack.request(Method::DELETE, token, &format!("{url}/{id}"))).await;
    assert_eq!(unlink(&bobs.access).await?.code(), "federation.link-not-found");
    // Whoever finds the session of somebody who went away takes no way in from them.
    let members = Members::of(&stack, shop.acme.tenant)?;
    let session_id = SessionId::new(Uuid::now_v7());
    let start = members.start(ann.user, session_id);
    let auth_time = Utc::now() - TimeDelta::minutes(11);
    members.done(StartSession { auth_time, ..start }).await?;
    let stale = unlink(&members.token(ann.user, session_id)?).await?;
    assert_eq!((stale.status, stale.code()), (StatusCode::FORBIDDEN, "auth.step-up-required"));
    assert_eq!(changes(&shop).await?, [(ann.email.clone(), FactorChange::ProviderLinked)]);
    // Somebody who came back a moment ago is not let in by a link that is gone.
    let code = parameter(&shop.come("cat").await?, "code").context("a code")?;
    for _ in 0..2 {
        assert_eq!(unlink(&signed_in.access).await?.status, StatusCode::OK);
    }
    let told = [FactorChange::ProviderLinked, FactorChange::ProviderUnlinked];
    assert_eq!(changes(&shop).await?, told.map(|it| (ann.email.clone(), it)), "given up once");
    let late = shop.hand_over(&code, VERIFIER).await?;
    assert_eq!((late.status, late.code()), (StatusCode::UNAUTHORIZED, "federation.not-linked"));
    assert_eq!(shop.refused("cat").await?, "federation.address-not-vouched");
    // It is free for somebody else.
    assert!(parameter(&link(&bobs.access).await?, "code").is_some());
    Ok(())
}

#[tokio::test]
async fn a_link_that_was_asked_for_dies_with_its_session() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    let ann = shop.acme.join("ann").await?;
    let signed_in = shop.acme.sign_in(&ann).await?;
    github.has(1, "cat", "cat@elsewhere.example", false);
    let body = json!({ "provider": "corp", "redirect_uri": RETURN, "code_challenge": CHALLENGE });
    let begun = shop.acme.post(&signed_in.access, "/v1/auth/links/external", &body).await?;
    let url: Url = begun.json["authorization_url"].as_str().context("a url")?.parse()?;
    let cookie = begun.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
    shop.acme.post("", "/v1/auth/logout", &json!({ "refresh_token": signed_in.refresh })).await?;
    let state = parameter(&url, "state").context("a state")?;
    let back: Url =
        shop.back(&format!("code=cat&state={state}"), &cookie).await?.header("location").parse()?;
    assert_eq!(parameter(&back, "error").as_deref(), Some("auth.session-ended"));
    Ok(())
}
