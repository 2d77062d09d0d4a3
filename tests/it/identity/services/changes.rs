//! A registration changes: by whom, into what, and what becomes of what was given before.

use domain::organisation::RoleRef;
use tests::person::Person;
use tests::relying::parameter;
use tests::tab::Tab;

use super::*;

const ALL: &str = "openid email ledger.read-accounts offline_access";

async fn set_up(stack: &Stack) -> anyhow::Result<(Organisation<'_>, Person)> {
    let acme = Organisation::found(stack, "acme").await?;
    let ann = acme.join("ann").await?;
    acme.give(&ann, &[RoleRef::MANAGER]).await?;
    Ok((acme, ann))
}

async fn change(shop: &Relying<'_>, body: serde_json::Value) -> anyhow::Result<()> {
    let changed = patch(shop, &shop.owner, &body).await?;
    anyhow::ensure!(changed.status == StatusCode::OK, "{body} {}", changed.text);
    Ok(())
}

async fn patch(
    shop: &Relying<'_>,
    token: &str,
    body: &serde_json::Value,
) -> anyhow::Result<tests::stack::Answer> {
    let url = format!("{}/v1/services/{}", shop.of.stack.command_url, shop.id);
    answer(shop.of.stack.request(Method::PATCH, token, &url).json(body)).await
}

/// Until a query says this to whoever shows a token.
async fn told(stack: &Stack, token: &str, code: &str) -> Test {
    tests::until(Duration::from_secs(1), async || Ok(stack.get(token, ACCOUNT).await?.code() == code)).await
}

fn error(answer: &tests::stack::Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.json["error"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_registration_becomes_what_a_registration_can_be_and_nothing_else() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let phone = json!({ "name": "Phone", "confidential": false, "grants": ["device-code"] });
    let phone = Relying::register(&acme, &phone).await?;
    for (service, body, status, code) in [
        (&shop, json!({ "grants": [] }), 422, "application.grant-missing"),
        (&shop, json!({ "grants": ["password"] }), 400, "request.invalid-field"),
        (&shop, json!({ "redirect_uris": [] }), 422, "application.redirect-uri-missing"),
        (&phone, json!({ "grants": ["authorization_code"] }), 422, "application.redirect-uri-missing"),
        (&phone, json!({ "grants": ["client_credentials"] }), 422, "application.public-service"),
        (&shop, json!({ "scopes": ["organisation.assign-roles"] }), 400, "request.invalid-field"),
        (&shop, json!({ "scopes": ["unheard"] }), 400, "request.invalid-field"),
        (&shop, json!({ "confidential": false }), 400, "request.unknown-field"),
    ] {
        let refused = patch(service, &service.owner, &body).await?;
        assert_eq!((refused.status.as_u16(), refused.code()), (status, code), "{body}");
    }
    // What depends on each other changes at once, in either direction.
    change(&phone, json!({ "grants": ["authorization_code"], "redirect_uris": ["com.example.app:/back"] }))
        .await?;
    change(&phone, json!({ "grants": ["urn:ietf:params:oauth:grant-type:device_code"], "redirect_uris": [] }))
        .await
}

/// Lists are replaced whole, so whoever changes one says of which version.
#[tokio::test]
async fn a_registration_that_somebody_else_has_changed_is_not_overwritten() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let url = format!("{}/v1/services/{}", stack.command_url, shop.id);
    let rename = async |name: &str, version: &str| {
        let request = stack.request(Method::PATCH, &shop.owner, &url).header("If-Match", version);
        answer(request.json(&json!({ "name": name }))).await
    };
    let first = patch(&shop, &shop.owner, &json!({ "name": "One" })).await?;
    let seen = first.header("etag").to_owned();
    let second = rename("Two", &seen).await?;
    assert_eq!(second.status, StatusCode::OK, "{}", second.text);
    let late = rename("Three", &seen).await?;
    assert_eq!((late.status.as_u16(), late.code()), (412, "precondition.version-mismatch"));
    // What asks for no version is not carried out on the condition that there is one.
    let suspend = stack.command(&shop.owner, &format!("/v1/services/{}/suspend", shop.id));
    let refused = answer(suspend.header("If-Match", second.header("etag")).json(&json!({}))).await?;
    assert_eq!((refused.status.as_u16(), refused.code()), (400, "precondition.unsupported"));
    Ok(())
}

#[tokio::test]
async fn nobody_lends_a_service_what_they_lack_but_they_may_take_it_away() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let members = Members::of(&stack, acme.tenant)?;
    let keeper = members.define("Keeper", &["application.manage-services"]).await?;
    let weak = members.join(&[keeper]).await?;
    let too_much =
        |it: tests::stack::Answer| (it.status.as_u16(), it.code() == "organisation.grants-too-much");
    for body in [
        json!({ "scopes": ["openid", "ledger.read-accounts"] }),
        json!({ "scopes": ["ledger.post-transfer"] }),
        json!({ "grants": ["client_credentials"] }),
        json!({ "scopes": [], "grants": ["client_credentials"] }),
        json!({ "scopes": [], "redirect_uris": ["https://elsewhere.example/back"] }),
    ] {
        assert_eq!(too_much(patch(&shop, &weak.token, &body).await?), (403, true), "{body}");
    }
    let less = json!({ "name": "Store", "scopes": ["openid", "reports:read"] });
    assert_eq!(patch(&shop, &weak.token, &less).await?.status, StatusCode::OK);
    assert_eq!(shop.token(&[ITSELF]).await?.json["scope"], "reports:read");
    let back = json!({ "scopes": ["openid", "ledger.read-accounts"] });
    assert_eq!(
        too_much(patch(&shop, &weak.token, &back).await?),
        (403, true),
        "it is not theirs to give back"
    );
    // Of what it may do by now, they lack nothing.
    let grants = json!({ "grants": ["client_credentials"] });
    assert_eq!(patch(&shop, &weak.token, &grants).await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_scope_that_is_taken_from_a_service_is_taken_from_its_tokens_codes_and_devices() -> Test {
    let stack = Stack::whole().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let tokens = shop.sign_in(&ann, ALL).await?;
    let itself = Tokens::of(&shop.token(&[ITSELF]).await?)?.access;
    let code = shop.code(&ann, ALL).await?;
    assert_eq!(stack.get(&tokens.access, ACCOUNT).await?.status, StatusCode::NOT_FOUND);
    assert_eq!(stack.get(&itself, ACCOUNT).await?.status, StatusCode::NOT_FOUND);

    change(&shop, json!({ "scopes": ["openid", "reports:read"] })).await?;
    for token in [&tokens.access, &itself] {
        told(&stack, token, "auth.permission-missing").await?;
    }
    let facts = shop.ask("introspect", &[("token", &tokens.access)]).await?;
    assert_eq!(
        (&facts.json["active"], &facts.json["scope"]),
        (&json!(true), &json!("offline_access openid"))
    );
    let info = format!("{}/oauth2/userinfo", stack.command_url);
    let info = answer(stack.request(Method::GET, &tokens.access, &info)).await?;
    assert_eq!(info.json, json!({ "sub": ann.user.to_string() }), "the address was taken, too");
    // What is got from now on is for what is left.
    let redeemed = shop.redeem(&code).await?;
    assert_eq!(redeemed.json["scope"], "offline_access openid", "{}", redeemed.text);
    let wider =
        [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh), ("scope", "openid email")];
    assert_eq!(error(&shop.token(&wider).await?), (400, "invalid_scope"));
    let renewed = shop.refresh(&tokens.refresh).await?;
    assert_eq!(renewed.json["scope"], "offline_access openid", "{}", renewed.text);
    let silent = [("prompt", Some("none"))];
    let asked = Tab::at(&stack.command_url)?.get(&shop.authorize("openid email", &silent)?).await?;
    let sent = tests::relying::left(&asked)?.and_then(|it| parameter(&it, "error"));
    assert_eq!(sent.as_deref(), Some("invalid_scope"), "{}", asked.text);
    // Nothing that was allowed is registered any more.
    let device = shop.ask("device_authorization", &[("scope", "openid")]).await?;
    let device_code = device.json["device_code"].as_str().context("a code")?.to_owned();
    crate::identity::device::allow(&shop, &ann, device.json["user_code"].as_str().context("a code")?).await?;
    change(&shop, json!({ "scopes": ["reports:read"], "grants": ["client_credentials", "device-code"] }))
        .await?;
    let polled = shop.token(&[("grant_type", tests::relying::DEVICE), ("device_code", &device_code)]).await?;
    assert_eq!(error(&polled), (400, "invalid_grant"), "{}", polled.text);
    Ok(())
}

#[tokio::test]
async fn a_grant_that_is_taken_from_a_service_ends_what_it_came_by_in_that_way() -> Test {
    let stack = Stack::whole().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let tokens = shop.sign_in(&ann, ALL).await?;
    let itself = Tokens::of(&shop.token(&[ITSELF]).await?)?.access;
    let code = shop.code(&ann, ALL).await?;
    change(&shop, json!({ "grants": ["client_credentials", "refresh_token"] })).await?;
    told(&stack, &tokens.access, "auth.session-ended").await?;
    assert_eq!(error(&shop.redeem(&code).await?), (400, "unauthorized_client"));
    assert_eq!(error(&shop.refresh(&tokens.refresh).await?), (400, "invalid_grant"));
    let facts = shop.ask("introspect", &[("token", &tokens.access)]).await?;
    assert_eq!(facts.json, json!({ "active": false }));
    assert_eq!(
        stack.get(&itself, ACCOUNT).await?.status,
        StatusCode::NOT_FOUND,
        "it comes by that otherwise"
    );
    let changed = patch(&shop, &shop.owner, &json!({ "grants": ["authorization_code"] })).await?;
    let path = format!("/v1/services/{}", shop.id);
    let shown = stack.get_at(&shop.owner, &path, changed.header("quipu-position")).await?;
    assert_eq!(shown.json["grants"], json!(["authorization_code"]), "{}", shown.text);
    told(&stack, &itself, "auth.session-ended").await?;
    assert_eq!(error(&shop.token(&[ITSELF]).await?), (400, "unauthorized_client"));
    // Whoever goes on by refresh tokens no more goes on until the access token is over.
    let anew = shop.sign_in(&ann, "openid ledger.read-accounts").await?;
    assert!(anew.refresh.is_empty());
    assert_eq!(stack.get(&anew.access, ACCOUNT).await?.status, StatusCode::NOT_FOUND);
    Ok(())
}
