//! Services: registered, changed, suspended, removed; their secrets; and how they sign in themselves.

mod changes;
mod ends;
mod limits;
mod tiers;

use std::time::Duration;

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use domain::organisation::{RoleRef, TenantStatus};
use futures_util::future::try_join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tests::members::Members;
use tests::oidc::browser;
use tests::person::Organisation;
use tests::relying::{BACK, Relying, Tokens, form, shop};
use tests::stack::{Stack, answer};
use uuid::Uuid;

type Test = anyhow::Result<()>;

/// What somebody who may read accounts is told is not there, and others that they may not know.
const ACCOUNT: &str = "/v1/ledger/accounts/00000000-0000-0000-0000-000000000000";
/// The same of transfers.
const TRANSFER: &str = "/v1/ledger/transfers/00000000-0000-0000-0000-000000000000";

const ITSELF: (&str, &str) = ("grant_type", "client_credentials");

#[tokio::test]
async fn nobody_becomes_a_service_that_may_more_than_they() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let members = Members::of(&stack, acme.tenant)?;
    let keeper = members.define("Keeper", &["application.manage-services"]).await?;
    let reader = members.define("Reader", &["ledger.read-accounts"]).await?;
    let weak = members.join(std::slice::from_ref(&keeper)).await?;
    let strong = members.join(&[keeper, reader]).await?;
    let at = |path: &str| format!("{}/v1/services/{}{path}", stack.command_url, shop.id);
    let elsewhere = json!({ "redirect_uris": ["https://elsewhere.example/back"] });
    assert_eq!(shop.command("/suspend", &json!({})).await?.status, StatusCode::OK);
    for (method, path, body) in [
        (Method::POST, "/resume", json!({})),
        (Method::POST, "/secrets", json!({})),
        (Method::PATCH, "", elsewhere),
    ] {
        let ask =
            async |token: &str| answer(stack.request(method.clone(), token, &at(path)).json(&body)).await;
        let refused = ask(&weak.token).await?;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (403, "organisation.grants-too-much"),
            "{path}"
        );
        let done = ask(&strong.token).await?;
        assert_eq!(done.status, StatusCode::OK, "{path} {}", done.text);
    }
    // Whoever may not be it may stop it.
    let stopped = answer(stack.request(Method::POST, &weak.token, &at("/suspend"))).await?;
    assert_eq!(stopped.status, StatusCode::OK, "{}", stopped.text);
    Ok(())
}

#[tokio::test]
async fn a_service_signs_in_by_itself_and_may_what_it_is_registered_for() -> Test {
    let stack = Stack::whole().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let all = shop.token(&[ITSELF]).await?;
    assert_eq!((all.status, all.header("cache-control")), (StatusCode::OK, "no-store"), "{}", all.text);
    assert_eq!(all.json["scope"], "ledger.read-accounts reports:read", "nothing of a person");
    assert!(all.json["refresh_token"].is_null() && all.json["id_token"].is_null());
    let access = Tokens::of(&all)?.access;
    let said = Tokens::said(&access)?;
    assert_eq!((&said["sub"], &said["client_id"]), (&json!(shop.id), &json!(shop.client_id)));
    assert_eq!(stack.get(&access, ACCOUNT).await?.status, StatusCode::NOT_FOUND);
    // Nothing that was not named, and nothing of an account, which it does not have.
    let others = stack.get(&access, TRANSFER).await?;
    assert_eq!((others.status.as_u16(), others.code()), (403, "auth.permission-missing"));
    let own = format!("{}/v1/auth/sessions", stack.command_url);
    let own = answer(stack.request(Method::DELETE, &access, &own)).await?;
    assert_eq!((own.status.as_u16(), own.code()), (403, "auth.acts-for-another"), "{}", own.text);
    let narrow = shop.token(&[ITSELF, ("scope", "reports:read")]).await?;
    let narrow = Tokens::of(&narrow)?.access;
    assert_eq!(stack.get(&narrow, ACCOUNT).await?.code(), "auth.permission-missing");
    for (scope, error) in [
        ("openid", "invalid_scope"),
        ("ledger.post-transfer", "invalid_scope"),
        ("reports:read openid", "invalid_scope"),
        ("reports:read  x", "invalid_scope"),
        ("a\u{7f}b", "invalid_request"),
    ] {
        let refused = shop.token(&[ITSELF, ("scope", scope)]).await?;
        assert_eq!((refused.status.as_u16(), &refused.json["error"]), (400, &json!(error)), "{scope}");
    }
    // In the form it shows itself as well.
    let url = format!("{}/oauth2/token", stack.command_url);
    let secret = shop.secret.as_deref().context("a secret")?;
    let posted = [ITSELF, ("client_id", &*shop.client_id), ("client_secret", secret)];
    assert_eq!(answer(form(browser()?.post(&url), &posted)).await?.status, StatusCode::OK);

    // What ends the service ends its token everywhere; what lets it go on lets the token go on.
    assert_eq!(shop.command("/suspend", &json!({})).await?.status, StatusCode::OK);
    let refused = shop.token(&[ITSELF]).await?;
    assert_eq!((refused.status.as_u16(), &refused.json["error"]), (401, &json!("invalid_client")));
    tests::until(Duration::from_secs(1), async || {
        Ok(stack.get(&access, ACCOUNT).await?.code() == "auth.session-ended")
    })
    .await?;
    assert_eq!(shop.command("/resume", &json!({})).await?.status, StatusCode::OK);
    assert_eq!(shop.token(&[ITSELF]).await?.status, StatusCode::OK);
    Members::of(&stack, acme.tenant)?.stand(TenantStatus::Suspended).await?;
    assert_eq!(shop.token(&[ITSELF]).await?.json["error"], "invalid_client");
    Ok(())
}

#[tokio::test]
async fn a_secret_is_shown_once_and_two_are_good_at_once() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let mut shop = Relying::register(&acme, &shop()).await?;
    let (path, key) = (format!("/v1/services/{}/secrets", shop.id), Uuid::now_v7().to_string());
    let ask = || stack.command(&shop.owner, &path).header("Idempotency-Key", &key).json(&json!({}));
    let made = answer(ask()).await?;
    assert_eq!((made.status, made.header("cache-control")), (StatusCode::OK, "no-store"), "{}", made.text);
    let second = made.json["secret"].as_str().context("a secret")?.to_owned();
    let again = answer(ask()).await?;
    assert_eq!((again.status, again.header("idempotent-replayed")), (StatusCode::OK, "true"));
    assert!(again.json["secret"].is_null() && !again.text.contains("qs_"), "{}", again.text);
    let third = shop.command("/secrets", &json!({})).await?;
    assert_eq!((third.status.as_u16(), third.code()), (422, "application.limit-reached"));
    // Both are good, until one is taken away.
    let first = shop.secret.replace(second.clone()).context("a secret")?;
    assert_eq!(shop.token(&[ITSELF]).await?.status, StatusCode::OK);
    let id = made.json["secret_id"].as_str().context("an id")?.to_owned();
    assert_eq!(shop.delete(&format!("/secrets/{id}")).await?.status, StatusCode::OK);
    assert_eq!(shop.token(&[ITSELF]).await?.json["error"], "invalid_client");
    shop.secret = Some(first);
    assert_eq!(shop.token(&[ITSELF]).await?.status, StatusCode::OK);
    assert_eq!(shop.delete(&format!("/secrets/{id}")).await?.code(), "application.secret-not-found");
    // One that has expired.
    let past = shop.command("/secrets", &json!({ "expires_at": "2020-01-01T00:00:00Z" })).await?;
    assert_eq!((past.status.as_u16(), past.code()), (400, "request.invalid-field"));
    let (id, _) = shop.new_secret().await?;
    let mut conn = stack.database.superuser().await?;
    let expire = "update vault.client_secrets set expires_at = now() where secret_id = $1";
    sqlx::query(expire).bind(id.parse::<Uuid>()?).execute(&mut conn).await?;
    // Nothing that was given out is kept anywhere.
    let kept: Vec<String> =
        sqlx::query_scalar("select it::text from vault.client_secrets it").fetch_all(&mut conn).await?;
    let events: Vec<String> =
        sqlx::query_scalar("select it::text from store.events it").fetch_all(&mut conn).await?;
    let secret = second.rsplit('_').next().context("its end")?;
    assert!(!kept.is_empty() && kept.iter().chain(&events).all(|it| !it.contains(secret)));
    // With the service they all go.
    assert_eq!(shop.delete("").await?.status, StatusCode::OK);
    assert_eq!(shop.token(&[ITSELF]).await?.json["error"], "invalid_client");
    let left: i64 =
        sqlx::query_scalar("select count(*) from vault.client_secrets").fetch_one(&mut conn).await?;
    assert_eq!(left, 0);
    Ok(())
}

#[tokio::test]
async fn a_secret_that_has_expired_makes_room_for_the_next() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let soon = json!({ "expires_at": Utc::now() + TimeDelta::seconds(6) });
    assert_eq!(shop.command("/secrets", &soon).await?.status, StatusCode::OK);
    let full = shop.command("/secrets", &json!({})).await?;
    assert_eq!(full.code(), "application.limit-reached");
    tests::until(Duration::from_secs(30), async || {
        Ok(shop.command("/secrets", &json!({})).await?.status == StatusCode::OK)
    })
    .await?;
    let full = shop.command("/secrets", &json!({})).await?;
    assert_eq!(full.code(), "application.limit-reached", "there is room for one");
    let mut conn = stack.database.superuser().await?;
    let kept: i64 =
        sqlx::query_scalar("select count(*) from vault.client_secrets").fetch_one(&mut conn).await?;
    assert_eq!(kept, 2, "of the one that expired nothing is kept");
    Ok(())
}

#[tokio::test]
async fn the_second_place_for_a_secret_is_given_once_to_ten_at_a_time() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let nothing = json!({});
    let made = try_join_all((0..10).map(|_| shop.command("/secrets", &nothing))).await?;
    let good: Vec<_> = made.iter().filter(|it| it.status == StatusCode::OK).collect();
    assert_eq!(good.len(), 1);
    assert!(made.iter().all(|it| it.status == StatusCode::OK || it.code() == "application.limit-reached"));
    let mut conn = stack.database.superuser().await?;
    let kept: i64 =
        sqlx::query_scalar("select count(*) from vault.client_secrets").fetch_one(&mut conn).await?;
    assert_eq!(kept, 2, "what was refused left nothing behind");
    Ok(())
}

#[tokio::test]
async fn a_service_is_lent_what_its_maker_holds_and_administers_nobody() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let members = Members::of(&stack, acme.tenant)?;
    let owner = members.join(&[RoleRef::OWNER]).await?.token;
    let clerk = members.define("Clerk", &["application.manage-services", "ledger.read-accounts"]).await?;
    let clerk = members.join(&[clerk]).await?.token;
    let with = |name: &str, value: serde_json::Value| {
        let mut body = shop();
        body[name] = value;
        body["name"] = json!(format!("{name} {}", Uuid::now_v7()));
        body
    };
    let mut told = Vec::new();
    for (token, body) in [
        (&clerk, with("scopes", json!(["openid", "ledger.read-accounts"]))),
        (&clerk, with("scopes", json!(["ledger.post-transfer"]))),
        (&owner, with("scopes", json!(["ledger.post-transfer", "x:y"]))),
        (&owner, with("scopes", json!(["organisation.assign-roles"]))),
        (&owner, with("scopes", json!(["application.manage-services"]))),
        (&owner, with("scopes", json!(["platform.read-organisations"]))),
        (&owner, with("scopes", json!(["unheard"]))),
        (&owner, with("grants", json!(["password"]))),
        (&owner, with("grants", json!([]))),
        (&owner, with("redirect_uris", json!([]))),
        (&owner, with("redirect_uris", json!(["http://shop.example/back"]))),
        (&owner, with("redirect_uris", json!(["https://shop.example/back#x"]))),
        (&owner, with("redirect_uris", json!(["javascript:alert(1)"]))),
        (&owner, with("confidential", json!(false))),
        (&owner, with("limits", json!({ "per_second": 1, "burst": 1 }))),
    ] {
        let made = acme.post(token, "/v1/services", &body).await?;
        told.push((made.status.as_u16(), made.code().to_owned()));
    }
    let expected = [
        (201, ""),
        (403, "organisation.grants-too-much"),
        (201, ""),
        (400, "request.invalid-field"),
        (400, "request.invalid-field"),
        (400, "request.invalid-field"),
        (400, "request.invalid-field"),
        (400, "request.invalid-field"),
        (422, "application.grant-missing"),
        (422, "application.redirect-uri-missing"),
        (400, "application.redirect-uri-malformed"),
        (400, "application.redirect-uri-malformed"),
        (400, "application.redirect-uri-malformed"),
        (422, "application.public-service"),
        (400, "request.unknown-field"),
    ];
    assert_eq!(told, expected.map(|(status, code)| (status, code.to_owned())));
    Ok(())
}

#[tokio::test]
async fn what_a_service_is_called_and_where_it_sends_people_can_change() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let other = json!({ "name": "Till", "confidential": true, "grants": ["client-credentials"] });
    Relying::register(&acme, &other).await?;
    let url = format!("{}/v1/services/{}", stack.command_url, shop.id);
    let change = async |body| answer(stack.request(Method::PATCH, &shop.owner, &url).json(&body)).await;
    let both = change(json!({ "name": "Store", "redirect_uris": [BACK, "https://shop.example/b"] })).await?;
    assert_eq!((both.status.as_u16(), &both.json["version"]), (200, &json!(4)), "{}", both.text);
    assert_eq!(change(json!({ "name": "Store" })).await?.json["version"], 4, "it is so already");
    for (body, status, code) in [
        (json!({}), 400, "request.invalid-field"),
        (json!({ "name": "till" }), 409, "application.service-name-taken"),
        (json!({ "redirect_uris": [] }), 422, "application.redirect-uri-missing"),
        (json!({ "confidential": false }), 400, "request.unknown-field"),
    ] {
        let refused = change(body.clone()).await?;
        assert_eq!((refused.status.as_u16(), refused.code()), (status, code), "{body}");
    }
    Ok(())
}
