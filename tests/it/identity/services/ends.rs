//! What ends a token that a service got to act for itself.

use super::*;

/// Whether introspection calls a token good.
async fn is_active(shop: &Relying<'_>, token: &str) -> anyhow::Result<bool> {
    Ok(shop.ask("introspect", &[("token", token)]).await?.json["active"] == true)
}

/// Until both interfaces say that a token is over.
async fn ends(stack: &Stack, token: &str) -> Test {
    let services = format!("{}/v1/services", stack.command_url);
    tests::until(Duration::from_secs(1), async || {
        let read = stack.get(token, ACCOUNT).await?;
        let told = answer(stack.request(Method::POST, token, &services).json(&json!({}))).await?;
        Ok(read.code() == "auth.session-ended" && told.code() == "auth.session-ended")
    })
    .await
}

#[tokio::test]
async fn a_token_ends_with_the_secret_that_it_was_got_for_and_those_of_the_other_go_on() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let mut shop = Relying::register(&acme, &shop()).await?;
    let old = Tokens::of(&shop.token(&[ITSELF]).await?)?.access;
    let (_, secret) = shop.new_secret().await?;
    shop.secret = Some(secret);
    let new = Tokens::of(&shop.token(&[ITSELF]).await?)?.access;
    for token in [&old, &new] {
        assert_eq!(stack.get(token, ACCOUNT).await?.status, StatusCode::NOT_FOUND);
    }
    let first = Tokens::said(&old)?["secret_id"].as_str().context("of a secret")?.to_owned();
    assert_eq!(shop.delete(&format!("/secrets/{first}")).await?.status, StatusCode::OK);
    ends(&stack, &old).await?;
    assert_eq!((is_active(&shop, &old).await?, is_active(&shop, &new).await?), (false, true));
    assert_eq!(stack.get(&new, ACCOUNT).await?.status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn a_token_is_good_no_longer_than_its_secret() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let mut shop = Relying::register(&acme, &shop()).await?;
    let soon = json!({ "expires_at": Utc::now() + TimeDelta::minutes(5) });
    let made = shop.command("/secrets", &soon).await?;
    shop.secret = made.json["secret"].as_str().map(ToOwned::to_owned);
    let token = shop.token(&[ITSELF]).await?;
    let left = token.json["expires_in"].as_i64().context("seconds")?;
    assert!((200..=300).contains(&left), "{}", token.text);
    Ok(())
}

#[tokio::test]
async fn a_token_ends_with_its_service_and_while_that_is_suspended() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let mut till = shop();
    till["name"] = json!("Till");
    let (till, shop) = (Relying::register(&acme, &till).await?, Relying::register(&acme, &shop()).await?);
    let token = Tokens::of(&till.token(&[ITSELF]).await?)?.access;
    assert_eq!(till.command("/suspend", &json!({})).await?.status, StatusCode::OK);
    ends(&stack, &token).await?;
    assert!(!is_active(&shop, &token).await?);
    assert_eq!(till.command("/resume", &json!({})).await?.status, StatusCode::OK);
    tests::until(Duration::from_secs(1), async || {
        Ok(stack.get(&token, ACCOUNT).await?.status == StatusCode::NOT_FOUND)
    })
    .await?;
    assert_eq!(till.delete("").await?.status, StatusCode::OK);
    ends(&stack, &token).await?;
    assert!(!is_active(&shop, &token).await?);
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_given_back_ends_alone_and_nobody_gives_back_anothers() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let mut till = shop();
    till["name"] = json!("Till");
    let (till, shop) = (Relying::register(&acme, &till).await?, Relying::register(&acme, &shop()).await?);
    let one = Tokens::of(&shop.token(&[ITSELF]).await?)?.access;
    let two = Tokens::of(&shop.token(&[ITSELF]).await?)?.access;
    assert_eq!(till.ask("revoke", &[("token", &one)]).await?.status, StatusCode::OK);
    assert!(is_active(&shop, &one).await?, "it is not the till's");
    // Ten at a time, all are told that it is so, and it is told once in the log.
    let back = [("token", one.as_str())];
    let given = try_join_all((0..10).map(|_| shop.ask("revoke", &back))).await?;
    assert!(given.iter().all(|it| it.status == StatusCode::OK));
    ends(&stack, &one).await?;
    assert_eq!((is_active(&shop, &one).await?, is_active(&shop, &two).await?), (false, true));
    assert_eq!(stack.get(&two, ACCOUNT).await?.status, StatusCode::NOT_FOUND);
    let mut conn = stack.database.superuser().await?;
    let told = "select count(*) from store.events where type = 'identity.access-token-revoked'";
    assert_eq!(sqlx::query_scalar::<_, i64>(told).fetch_one(&mut conn).await?, 1);
    Ok(())
}
