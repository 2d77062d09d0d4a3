//! How often a service may ask is what its organisation says of it, within what that has booked.

use std::time::Instant;

use serde_json::Value;
use tests::stack::Answer;

use super::tiers::booked;
use super::*;

async fn limit(shop: &Relying<'_>, body: &Value) -> anyhow::Result<Answer> {
    let url = format!("{}/v1/services/{}/limits", shop.of.stack.command_url, shop.id);
    answer(shop.of.stack.request(Method::PUT, &shop.owner, &url).json(body)).await
}

/// What a query shows of the limits of a service, as of an answer.
async fn shown(shop: &Relying<'_>, as_of: &Answer) -> anyhow::Result<Value> {
    let path = format!("/v1/services/{}", shop.id);
    let position = as_of.header("Quipu-Position");
    Ok(shop.of.stack.get_at(&shop.owner, &path, position).await?.json["limits"].clone())
}

/// Until whoever shows a token is told of this policy, or of none; within a second of what was said.
async fn told(stack: &Stack, token: &str, policy: &str) -> Test {
    tests::until(Duration::from_secs(1), async || {
        let asked = stack.get(token, ACCOUNT).await?;
        let named = asked.header("ratelimit-policy").trim_start_matches('"');
        Ok(if policy.is_empty() { named.is_empty() } else { named.starts_with(policy) })
    })
    .await
}

#[tokio::test]
async fn a_service_asks_as_often_as_was_said_by_whatever_it_shows() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    acme.give(&ann, &[RoleRef::MANAGER]).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let own = Tokens::of(&shop.token(&[ITSELF]).await?)?.access;
    let lent = shop.sign_in(&ann, "openid ledger.read-accounts").await?.access;
    let key = json!({ "name": "Nightly", "permissions": ["ledger.read-accounts"], "service_id": shop.id });
    let made = acme.post(&shop.owner, "/v1/api-keys", &key).await?;
    let key = made.json["key"].as_str().context(made.text.clone())?.to_owned();
    let tokens = [&own, &lent, &key];

    let limits = json!({ "per_second": 1, "burst": 20 });
    let said = limit(&shop, &limits).await?;
    assert_eq!(said.status, StatusCode::OK, "{}", said.text);
    assert_eq!(shown(&shop, &said).await?, limits);
    for token in tokens {
        told(&stack, token, "service").await?;
    }
    let begun = Instant::now();
    let asked = try_join_all((0..60).map(|n: usize| stack.get(tokens[n % 3], ACCOUNT))).await?;
    let back = usize::try_from(begun.elapsed().as_secs())? + 1;
    let (refused, taken): (Vec<_>, Vec<_>) =
        asked.iter().partition(|it| it.status == StatusCode::TOO_MANY_REQUESTS);
    assert!(taken.len() <= 20 + back && !taken.is_empty(), "{} in {back} s", taken.len());
    for it in refused {
        assert_eq!((it.code(), &it.json["details"]["policy"]), ("rate.limited", &json!("service")));
        assert_eq!((it.header("ratelimit-policy"), it.header("retry-after")), ("\"service\";q=20;w=20", "1"));
    }
    // It is the service that is limited, and nobody else.
    assert_eq!(stack.get(&shop.owner, "/v1/organization").await?.header("ratelimit-policy"), "");

    let gone = shop.delete("/limits").await?;
    assert_eq!(gone.status, StatusCode::OK, "{}", gone.text);
    assert_eq!(shown(&shop, &gone).await?, Value::Null);
    for token in [&own, &lent] {
        told(&stack, token, "").await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_said_of_a_service_gives_it_no_more_than_was_booked() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let own = Tokens::of(&shop.token(&[ITSELF]).await?)?.access;
    let most = json!({ "per_second": 10_000, "burst": 10_000 });
    assert_eq!(limit(&shop, &most).await?.status, StatusCode::OK);
    booked(&acme, "tiny").await?;
    told(&stack, &own, "tier").await?;
    let asked = try_join_all((0..5).map(|_| stack.get(&own, ACCOUNT))).await?;
    let refused = asked.iter().filter(|it| it.status == StatusCode::TOO_MANY_REQUESTS);
    let policies: Vec<_> = refused.map(|it| it.json["details"]["policy"].clone()).collect();
    assert!(policies.len() >= 2 && policies.iter().all(|it| *it == "tier"), "three a minute: {policies:?}");
    Ok(())
}

#[tokio::test]
async fn a_limit_is_said_in_figures_that_mean_something_of_a_service_that_is_there() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    for (per_second, burst, pointer) in
        [(0, 1, "/per_second"), (1, 0, "/burst"), (10_001, 1, "/per_second"), (1, 10_001, "/burst")]
    {
        let refused = limit(&shop, &json!({ "per_second": per_second, "burst": burst })).await?;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "request.invalid-field"));
        assert_eq!(refused.json["errors"][0]["pointer"], pointer);
    }
    let body = json!({ "per_second": 1, "burst": 1 });
    let first = limit(&shop, &body).await?;
    let again = limit(&shop, &body).await?;
    assert_eq!(first.json["version"], again.json["version"], "it is so already");
    assert_eq!(shop.delete("").await?.status, StatusCode::OK);
    for refused in [limit(&shop, &body).await?, shop.delete("/limits").await?] {
        assert_eq!((refused.status.as_u16(), refused.code()), (404, "application.service-not-found"));
    }
    Ok(())
}
