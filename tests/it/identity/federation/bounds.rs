//! What a policy says of providers: with which kinds people sign in, and for which addresses they may vouch.

use anyhow::Context as _;
use domain::words::{DomainName, Word};
use futures_util::future::{join, try_join_all};
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};
use tests::authenticator::ticket;
use tests::stack::{Stack, answer};

use super::{CHALLENGE, RETURN, Shop, Test, VERIFIER, github, parameter, settings, subject};

const OTHERS: &[&str] = &["google", "oidc"];

/// Sets the policy so that it names these kinds of providers.
async fn naming(shop: &Shop<'_>, kinds: &[&'static str]) -> Test {
    let kinds = kinds.iter().copied().map(Word::of).collect();
    shop.acme.ask(|it| it.providers = Some(kinds)).await
}

/// With whom somebody is told that they can sign in.
async fn offered(shop: &Shop<'_>) -> anyhow::Result<Value> {
    let url = format!("{}/v1/auth/providers?tenant_slug=acme", shop.acme.stack.command_url);
    Ok(answer(shop.acme.stack.request(Method::GET, "", &url)).await?.json["providers"].clone())
}

#[tokio::test]
async fn nobody_is_sent_to_a_provider_of_a_kind_that_the_policy_does_not_name() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    github.has(1, "cat", "cat@corp.example", true);
    let first = shop.sign_in("cat").await?;
    naming(&shop, OTHERS).await?;
    assert_eq!(offered(&shop).await?, json!([]));
    // As one that nobody has set up.
    for provider in ["corp", "nobody"] {
        let address = format!("{}/v1/auth/{provider}", stack.command_url);
        let query = [("tenant_slug", "acme"), ("redirect_uri", RETURN), ("code_challenge", CHALLENGE)];
        let url = Url::parse_with_params(&address, query)?;
        let begun = answer(stack.request(Method::GET, "", url.as_str())).await?;
        assert_eq!((begun.status, begun.code()), (StatusCode::NOT_FOUND, "request.not-found"), "{provider}");
        let body = json!({ "provider": provider, "redirect_uri": RETURN, "code_challenge": CHALLENGE });
        let member = shop.acme.join(&format!("for-{provider}")).await?;
        let by = shop.acme.sign_in(&member).await?;
        let linking = shop.acme.post(&by.access, "/v1/auth/links/external", &body).await?;
        let told = (linking.status, linking.code());
        assert_eq!(told, (StatusCode::NOT_FOUND, "request.not-found"), "{provider}");
    }
    assert!(shop.acme.is_taken(&first.access).await?, "a session that stands goes on");
    // Named beside others, or not forbidden by naming any.
    for kinds in [&["google", "github"][..], &[]] {
        naming(&shop, kinds).await?;
        assert_eq!(offered(&shop).await?.as_array().map(Vec::len), Some(1), "{kinds:?}");
        assert_eq!(subject(&shop.sign_in("cat").await?)?, subject(&first)?);
    }
    Ok(())
}

/// The policy changes while people are on their way: each step from then on is refused.
#[tokio::test]
async fn whoever_is_on_the_way_when_the_policy_changes_is_not_let_in() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    github.has(1, "cat", "cat@corp.example", true);
    github.has(2, "dot", "dot@corp.example", true);
    shop.sign_in("cat").await?;
    let enrolled = shop.acme.enrol(&shop.sign_in("dot").await?.access).await?;
    let there = shop.begin().await?;
    let back = parameter(&shop.come("cat").await?, "code").context("a code")?;
    let halfway = parameter(&shop.come("dot").await?, "code").context("a code")?;
    let halfway = ticket(&shop.hand_over(&halfway, VERIFIER).await?)?;
    naming(&shop, OTHERS).await?;

    let answered = shop.back(&format!("code=cat&state={}", there.state()?), &there.cookie).await?;
    let url: Url = answered.header("location").parse()?;
    assert_eq!(parameter(&url, "error").as_deref(), Some("request.not-found"));
    assert_eq!(shop.hand_over(&back, VERIFIER).await?.code(), "federation.handover-invalid");
    // Here the commit of the session alone asks.
    let late = shop.acme.second(&halfway, "recovery_code", &enrolled.recovery_codes[0]).await?;
    assert_eq!((late.status, late.code()), (StatusCode::NOT_FOUND, "federation.provider-not-found"));
    Ok(())
}

/// The policy changes while people show their codes to two processes.
#[tokio::test(flavor = "multi_thread")]
async fn no_session_begins_behind_a_policy_that_shuts_its_provider_out() -> Test {
    let stack = Stack::commands_only().await?;
    let processes = [stack.command_url.clone(), stack.another_command_api().await?];
    let (github, shop) = github(&stack).await?;
    let accounts: Vec<String> = (0..12).map(|n| format!("cat{n}")).collect();
    for (id, account) in (1..).zip(&accounts) {
        github.has(id, account, &format!("{account}@corp.example"), true);
    }
    for _ in 0..8 {
        naming(&shop, &[]).await?;
        let mut shown = Vec::new();
        for (account, base) in accounts.iter().zip(processes.iter().cycle()) {
            let code = parameter(&shop.come(account).await?, "code").context("a code")?;
            let request = stack.request(Method::POST, "", &format!("{base}/v1/auth/handover"));
            shown.push(answer(request.json(&json!({ "code": code, "verifier": VERIFIER }))));
        }
        let (answers, changed) = join(try_join_all(shown), naming(&shop, OTHERS)).await;
        changed?;
        for it in answers?.iter().filter(|it| it.status != StatusCode::OK) {
            let refusals = ["federation.handover-invalid", "federation.provider-not-found"];
            assert!(refusals.contains(&it.code()), "{} {}", it.status, it.text);
        }
        assert_eq!(begun_behind_the_policy(&shop).await?, 0);
    }
    Ok(())
}

/// How many sessions of the organisation began after its policy last changed.
async fn begun_behind_the_policy(shop: &Shop<'_>) -> anyhow::Result<i64> {
    let mut conn = shop.acme.stack.database.superuser().await?;
    let count = sqlx::query_scalar(
        "select count(*) from store.events
         where tenant_id = $1 and type = 'identity.session-started' and position >
               (select max(position) from store.events where tenant_id = $1 and type = 'organisation.policy-changed')",
    );
    Ok(count.bind(shop.acme.tenant.uuid()).fetch_one(&mut conn).await?)
}

#[tokio::test]
async fn no_provider_vouches_for_addresses_beyond_the_domains_of_the_organisation() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    let mut trusted = settings("github", &github.issuer, ("quipu", "ours"));
    trusted["trusts_every_domain"] = json!(true);
    assert_eq!(shop.set(&trusted).await?.status, StatusCode::OK);
    shop.acme.ask(|it| it.domains = vec![DomainName::of("corp.example")]).await?;
    // Neither does somebody new come in, nor is anybody taken for a member whose address they have.
    let ann = shop.acme.join("ann").await?;
    github.has(1, "ann", &ann.email, true);
    github.has(2, "eve", "eve@sub.corp.example", true);
    for account in ["ann", "eve"] {
        assert_eq!(shop.refused(account).await?, "federation.address-not-vouched", "{account}");
    }
    github.has(3, "cat", "cat@corp.example", true);
    let cat = shop.sign_in("cat").await?;
    // Whoever is linked comes by the link, whatever their address is by now.
    github.has(3, "cat", "cat@elsewhere.example", true);
    assert_eq!(subject(&shop.sign_in("cat").await?)?, subject(&cat)?);
    // What the provider is trusted for is asked, too: the policy's list gives it nothing.
    trusted["trusts_every_domain"] = json!(false);
    trusted["trusted_domains"] = json!([]);
    assert_eq!(shop.set(&trusted).await?.status, StatusCode::OK);
    github.has(4, "dot", "dot@corp.example", true);
    assert_eq!(shop.refused("dot").await?, "federation.address-not-vouched");
    // Without a list it is what each provider is trusted for.
    trusted["trusts_every_domain"] = json!(true);
    assert_eq!(shop.set(&trusted).await?.status, StatusCode::OK);
    shop.acme.ask(|_| {}).await?;
    assert_eq!(subject(&shop.sign_in("ann").await?)?, ann.user.to_string());
    Ok(())
}
