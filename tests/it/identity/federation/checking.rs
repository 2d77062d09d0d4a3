//! Whoever sets a provider up learns at once whether it can be asked, and what keeps it from that. The provider is Quipu itself.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tests::members::Members;
use tests::stack::{PUBLIC_URL, Stack, answer};

use super::{RoleRef, Shop, Test, settings};

#[tokio::test]
async fn whoever_sets_a_provider_up_is_told_what_keeps_it_from_being_asked() -> Test {
    let stack = Stack::commands_only().await?;
    let provider = stack.command_api_for_browsers().await?;
    let shop = Shop::open(&stack, "oidc", &provider).await?;
    let check = async |token: &str, id: &str| {
        let url = format!("{}/v1/providers/{id}/check", stack.command_url);
        answer(stack.request(Method::POST, token, &url)).await
    };
    let good = check(&shop.owner, &shop.provider.to_string()).await?;
    assert_eq!((good.status, good.json), (StatusCode::OK, json!({ "reachable": true })), "{}", good.text);
    // Another issuer, nothing there, a network that is not allowed, nobody listening.
    for (n, (issuer, reason)) in [
        (stack.command_url.clone(), "misconfigured"),
        (format!("{provider}/nowhere"), "answer-not-understood"),
        ("https://192.168.17.1".to_owned(), "address-not-allowed"),
        ("http://127.0.0.1:1".to_owned(), "unreachable"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut wanted = settings("oidc", &issuer, ("quipu", "ours"));
        wanted["name"] = json!(format!("corp-{n}"));
        let made = shop.acme.post(&shop.owner, "/v1/providers", &wanted).await?;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        let id = made.json["id"].as_str().unwrap_or_default();
        // What the other side must be told is known at once, whatever `client_id` it gives for it then.
        assert_eq!(made.json["callback_uri"], format!("{PUBLIC_URL}/v1/auth/{id}/callback"));
        let told = check(&shop.owner, id).await?;
        let said = (told.status, &told.json["reachable"], &told.json["reason"]);
        assert_eq!(said, (StatusCode::OK, &json!(false), &json!(reason)), "{issuer} {}", told.text);
        assert!(told.json["detail"].as_str().is_some_and(|it| !it.is_empty() && !it.contains(&issuer)));
        // It is left alone for a moment then, however often somebody asks.
        let again = check(&shop.owner, id).await?.json["reason"].clone();
        assert!([json!("busy"), json!(reason)].contains(&again), "{again}");
    }
    let admin = Members::of(&stack, shop.acme.tenant)?.join(&[RoleRef::ADMIN]).await?;
    let refused = check(&admin.token, &shop.provider.to_string()).await?;
    assert_eq!(refused.code(), "auth.permission-missing");
    let unknown = check(&shop.owner, "0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e").await?;
    assert_eq!(unknown.code(), "federation.provider-not-found");
    Ok(())
}

#[tokio::test]
async fn a_provider_says_where_it_sends_people_before_it_has_said_who_we_are_and_is_offered_afterwards()
-> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = super::github(&stack).await?;
    let mut wanted = settings("github", &github.issuer, ("quipu", "ours"));
    wanted["trusted_domains"] = json!([]);
    let complete = wanted.clone();
    for name in ["client_id", "client_secret"] {
        wanted.as_object_mut().and_then(|it| it.remove(name));
    }
    let choices = format!("{}/v1/auth/providers?tenant_slug=acme", stack.command_url);
    let offered = async || answer(reqwest::Client::new().get(&choices)).await;
    // As it is after a registration that named neither, and as it would be set up by one.
    wanted["name"] = json!("soon");
    let made = shop.acme.post(&shop.owner, "/v1/providers", &wanted).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let id = made.json["id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(made.json["callback_uri"], format!("{PUBLIC_URL}/v1/auth/{id}/callback"));
    let all = answer(stack.request(Method::GET, &shop.owner, &format!("{}/v1/providers", stack.command_url)))
        .await?;
    let soon = all.json["providers"].as_array().and_then(|it| it.iter().find(|it| it["name"] == "soon"));
    assert!(soon.is_some_and(|it| it["client_id"].is_null() && it["has_secret"] == false), "{}", all.text);
    let names = |it: &tests::stack::Answer| it.text.contains("\"soon\"");
    assert!(!names(&offered().await?), "nobody can sign in with it");
    assert!(shop.begin().await.is_ok());
    wanted["name"] = json!("corp");
    assert_eq!(shop.set(&wanted).await?.status, StatusCode::OK);
    let refused = shop.begin().await.err().map(|it| it.to_string()).unwrap_or_default();
    assert!(refused.contains("404"), "{refused}");
    assert_eq!(shop.set(&complete).await?.status, StatusCode::OK);
    assert!(shop.begin().await.is_ok());
    let url = format!("{}/v1/providers/{id}", stack.command_url);
    let named = json!({ "name": "soon", "client_id": "Iv1.0123456789abcdef", "client_secret": "theirs" });
    let mut named_in_full = wanted.clone();
    for (name, value) in named.as_object().into_iter().flatten() {
        named_in_full[name] = value.clone();
    }
    let set = answer(stack.request(Method::PUT, &shop.owner, &url).json(&named_in_full)).await?;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    assert!(names(&offered().await?));
    Ok(())
}
