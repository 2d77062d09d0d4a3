//! What an organisation has booked says how many programs it may have, and how often they may ask.

use domain::ids::TenantId;
use serde_json::Value;
use tests::stack::Answer;

use super::*;

async fn book(acme: &Organisation<'_>, tier: &str) -> anyhow::Result<Answer> {
    let stack = acme.stack;
    let url = format!("{}/v1/platform/organizations/{}/tier", stack.command_url, acme.tenant);
    let staff = stack.owner(TenantId::PLATFORM)?;
    answer(stack.request(Method::PATCH, &staff, &url).json(&json!({ "tier": tier }))).await
}

pub(super) async fn booked(acme: &Organisation<'_>, tier: &str) -> anyhow::Result<()> {
    let set = book(acme, tier).await?;
    anyhow::ensure!(set.status == StatusCode::OK, "{} {}", set.status, set.text);
    Ok(())
}

fn program() -> Value {
    json!({ "name": format!("Till {}", Uuid::now_v7()), "confidential": true, "grants": ["client_credentials"],
            "scopes": ["ledger.read-accounts"] })
}

fn key() -> Value {
    json!({ "name": "Nightly", "permissions": ["ledger.read-accounts"] })
}

#[tokio::test]
async fn of_ten_at_a_time_as_many_are_made_as_were_booked_and_those_that_are_more_stay() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = Members::of(&stack, acme.tenant)?.join(&[RoleRef::OWNER]).await?.token;
    booked(&acme, "tiny").await?;
    for (path, body) in [("/v1/services", program as fn() -> Value), ("/v1/api-keys", key)] {
        let made = try_join_all((0..10).map(|_| async {
            let body = body();
            acme.post(&owner, path, &body).await
        }))
        .await?;
        let (good, refused): (Vec<_>, Vec<_>) = made.iter().partition(|it| it.status == StatusCode::CREATED);
        assert_eq!(good.len(), 2, "{path}");
        assert!(refused.iter().all(|it| it.code() == "application.limit-reached"), "{path}");
    }
    let limits = |answer: &Answer| {
        [&answer.json["tier"], &answer.json["services"], &answer.json["api_keys"]].map(Clone::clone)
    };
    let two = json!({ "limit": 2, "used": 2 });
    let told = stack.get(&owner, "/v1/organization/limits").await?;
    assert_eq!(limits(&told), [json!("tiny"), two.clone(), two], "{}", told.text);
    assert_eq!(told.json["requests_per_minute"], json!({ "service": 3, "api_key": 2 }));
    // More makes room at once; less takes nothing away.
    booked(&acme, "standard").await?;
    assert_eq!(acme.post(&owner, "/v1/services", &program()).await?.status, StatusCode::CREATED);
    booked(&acme, "tiny").await?;
    let told = stack.get(&owner, "/v1/organization/limits").await?;
    assert_eq!(told.json["services"], json!({ "limit": 2, "used": 3 }), "{}", told.text);
    assert_eq!(acme.post(&owner, "/v1/services", &program()).await?.code(), "application.limit-reached");
    Ok(())
}

#[tokio::test]
async fn a_tier_that_is_not_there_is_refused_with_those_that_are() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let owner = Members::of(&stack, acme.tenant)?.join(&[RoleRef::OWNER]).await?.token;
    let unknown = book(&acme, "gold").await?;
    assert_eq!((unknown.status.as_u16(), unknown.code()), (422, "platform.tier-unknown"));
    assert!(unknown.text.contains("there are standard, tiny"), "{}", unknown.text);
    assert_eq!(unknown.json["errors"][0]["pointer"], "/tier");
    let told = stack.get(&owner, "/v1/organization/limits").await?;
    assert_eq!((&told.json["tier"], &told.json["services"]["limit"]), (&Value::Null, &json!(100)));
    assert_eq!(told.json["requests_per_minute"], Value::Null, "{}", told.text);
    Ok(())
}

#[tokio::test]
async fn a_service_and_a_key_ask_as_often_as_was_booked_and_are_told_when_to_come_back() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let (shop, till) = (shop(), program());
    let (shop, till) = (Relying::register(&acme, &shop).await?, Relying::register(&acme, &till).await?);
    let made = acme.post(&shop.owner, "/v1/api-keys", &key()).await?;
    let key = made.json["key"].as_str().context(made.text.clone())?.to_owned();
    let tokens = [&shop, &shop, &till].map(|it| it.token(&[ITSELF]));
    let [one, same, other] = try_join_all(tokens).await?.try_into().map_err(|_| anyhow::anyhow!("three"))?;
    let [one, same, other] =
        [Tokens::of(&one)?.access, Tokens::of(&same)?.access, Tokens::of(&other)?.access];
    booked(&acme, "tiny").await?;
    // What was booked is known within a second; until then nothing is counted.
    for token in [&one, &key] {
        tests::until(Duration::from_secs(1), async || {
            let asked = stack.get(token, ACCOUNT).await?;
            Ok(asked.header("ratelimit-policy").starts_with("\"tier\""))
        })
        .await?;
    }
    // Tokens of one service are counted together: one of three is used up.
    assert_eq!(stack.get(&same, ACCOUNT).await?.header("ratelimit"), "\"tier\";r=1;t=40");
    assert_eq!(stack.get(&one, ACCOUNT).await?.status, StatusCode::NOT_FOUND);
    assert_eq!(stack.get(&key, ACCOUNT).await?.status, StatusCode::NOT_FOUND);
    for token in [&same, &key] {
        let refused = stack.get(token, ACCOUNT).await?;
        assert_eq!((refused.status.as_u16(), refused.code()), (429, "rate.limited"), "{}", refused.text);
        assert_eq!(refused.json["details"]["policy"], "tier");
        assert!(refused.header("retry-after").parse::<u32>().is_ok_and(|it| (1..=30).contains(&it)));
    }
    assert_eq!(stack.get(&other, ACCOUNT).await?.status, StatusCode::NOT_FOUND, "each for itself");
    // People are not counted by it.
    for _ in 0..5 {
        assert_eq!(stack.get(&shop.owner, "/v1/organization").await?.header("ratelimit-policy"), "");
    }
    Ok(())
}
