//! What a service learns of a person: what they allowed, as it stands by now, and what the discovery document promises.

use reqwest::Method;
use serde_json::Value;

use super::*;

#[tokio::test]
async fn a_service_learns_names_and_number_where_it_was_allowed_to_and_only_there() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let mut wanted = shop();
    wanted["scopes"] = json!(["openid", "profile", "email", "phone"]);
    let shop = Relying::register(&acme, &wanted).await?;
    let own = acme.sign_in(&ann).await?.access;
    let profile = json!({ "name": { "given_name": "Ann", "family_name": "Smith" }, "phone": "+4930123456" });
    let me = format!("{}/v1/auth/me", stack.command_url);
    let changed = answer(stack.request(Method::PATCH, &own, &me).json(&profile)).await?;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    let info = format!("{}/oauth2/userinfo", stack.command_url);
    let learnt = async |scope: &str| {
        let access = shop.sign_in(&ann, scope).await?.access;
        let told = answer(stack.request(Method::GET, &access, &info)).await?;
        anyhow::ensure!(told.status == StatusCode::OK, "{}", told.text);
        Ok(told.json)
    };
    let sub = ann.user.to_string();
    assert_eq!(learnt("openid").await?, json!({ "sub": sub }));
    let number = json!({ "sub": sub, "phone_number": "+4930123456", "phone_number_verified": false });
    assert_eq!(learnt("openid phone").await?, number);
    let told: Value = learnt("openid profile").await?;
    let names = json!({ "sub": sub, "name": "Ann Smith", "given_name": "Ann", "family_name": "Smith", "locale": "en",
                        "updated_at": told["updated_at"] });
    assert_eq!(told, names);
    let age = chrono::Utc::now().timestamp() - told["updated_at"].as_i64().context("a time")?;
    assert!((0..600).contains(&age), "{told}");
    // A number that is taken away is not remembered.
    let none = answer(stack.request(Method::PATCH, &own, &me).json(&json!({ "phone": null }))).await?;
    assert_eq!(none.status, StatusCode::OK, "{}", none.text);
    assert_eq!(learnt("openid phone").await?, json!({ "sub": sub }));
    Ok(())
}

#[tokio::test]
async fn what_is_promised_to_be_told_is_told() -> Test {
    let stack = Stack::commands_only().await?;
    let found = answer(stack.request(
        Method::GET,
        "",
        &format!("{}/.well-known/openid-configuration", stack.command_url),
    ))
    .await?;
    let listed = |name: &str| -> Vec<String> {
        let all = found.json[name].as_array().into_iter().flatten();
        all.filter_map(|it| it.as_str().map(ToOwned::to_owned)).collect()
    };
    assert_eq!(
        listed("scopes_supported"),
        ["openid", "profile", "email", "phone", "offline_access", "organization"]
    );
    let claims = listed("claims_supported");
    for name in
        ["name", "given_name", "family_name", "locale", "updated_at", "phone_number", "phone_number_verified"]
    {
        assert!(claims.iter().any(|it| it == name), "{name}");
    }
    // Each once; and every scope that is listed can be registered.
    assert!(claims.iter().all(|it| claims.iter().filter(|other| *other == it).count() == 1), "{claims:?}");
    let acme = Organisation::found(&stack, "acme").await?;
    let mut all = shop();
    all["scopes"] = json!(listed("scopes_supported"));
    Relying::register(&acme, &all).await?;
    Ok(())
}
