//! Tokens: what they are good for, how they are renewed, asked about and given back, and what ends them.

use std::time::Duration;

use anyhow::Context as _;
use domain::identity::DeactivateUser;
use domain::organisation::{Granter, RemoveMember, TenantStatus};
use domain::words::Word;
use reqwest::StatusCode;
use serde_json::{Value, json};
use service_kit::bearer::Kind;
use service_kit::permissions::role_table;
use tests::members::Members;
use tests::oidc::browser;
use tests::person::{Organisation, SignedIn};
use tests::relying::{BACK, DEVICE, Relying, Tokens, form, shop};
use tests::stack::{Stack, answer};
use tests::tab::Tab;

use super::{ALL, INVALID_GRANT, Test, said_no, set_up};
use crate::identity::device;

#[tokio::test]
async fn a_session_of_a_service_goes_on_by_refresh_tokens_and_ends_when_one_comes_back() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let first = shop.sign_in(&ann, ALL).await?;
    let second = shop.refresh(&first.refresh).await?;
    assert_eq!(second.json["scope"], "email ledger.read-accounts openid profile");
    let second = Tokens::of(&second)?;
    let said = Tokens::said(&second.access)?;
    assert_eq!(
        (&said["email"], &said["roles"]),
        (&json!(ann.email), &Value::Null),
        "it was allowed the address alone"
    );
    // Less can be asked for, and more cannot; asking for more uses no token up.
    let wider = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*second.refresh),
        ("scope", "openid reports:read"),
    ];
    assert_eq!(said_no(&shop.token(&wider).await?), (400, "invalid_scope"));
    let narrow = [("grant_type", "refresh_token"), ("refresh_token", &*second.refresh), ("scope", "openid")];
    let third = shop.token(&narrow).await?;
    assert_eq!(third.json["scope"], "openid");
    let third = Tokens::of(&third)?;
    let said = Tokens::said(&third.access)?;
    assert_eq!(
        (&said["scope"], &said["email"], &said["roles"]),
        (&json!("openid"), &Value::Null, &Value::Null)
    );
    // The product itself takes none of them.
    assert_eq!(acme.refresh(&third.refresh).await?.code(), "identity.refresh-invalid");
    // One that was used comes back: the whole session is over.
    assert_eq!(said_no(&shop.refresh(&first.refresh).await?), INVALID_GRANT);
    assert_eq!(said_no(&shop.refresh(&third.refresh).await?), INVALID_GRANT);
    let facts = shop.ask("introspect", &[("token", &third.access)]).await?;
    assert_eq!(facts.json, json!({ "active": false }));
    Ok(())
}

/// Every secret that is given out, at every place where one is taken.
#[tokio::test]
async fn cve_2026_4282_a_secret_of_one_kind_opens_no_other() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let lent = shop.sign_in(&ann, ALL).await?;
    let own = acme.sign_in(&ann).await?;
    let device = shop.ask("device_authorization", &[("scope", "openid")]).await?;
    let device = device.json["device_code"].as_str().context("a code")?.to_owned();
    let request = Tab::at(&stack.command_url)?.get(&shop.authorize("openid", &[])?).await?;
    let request = request.header("location").split_once("request=").context("a request")?.1.to_owned();
    let code = shop.code(&ann, "openid").await?;
    let secret = shop.secret.clone().context("a secret")?;
    let all =
        [&lent.access, &lent.refresh, &lent.id, &own.access, &own.refresh, &device, &request, &code, &secret];
    // The same row and the same secret, under the name of every other kind.
    let renamed = |text: &str| {
        let rest = text.split_once('_').map(|it| it.1.to_owned());
        Kind::ALL.iter().filter_map(move |kind| rest.clone().map(|rest| format!("{}_{rest}", kind.prefix())))
    };
    let shown: Vec<String> = all.iter().flat_map(|it| renamed(it).chain([(*it).clone()])).collect();
    for text in &shown {
        if text != &code {
            assert_eq!(said_no(&shop.redeem(text).await?), INVALID_GRANT, "{text}");
        }
        if text != &lent.refresh {
            assert_eq!(said_no(&shop.refresh(text).await?), INVALID_GRANT, "{text}");
        }
        if text != &own.refresh {
            assert_eq!(acme.refresh(text).await?.status, StatusCode::UNAUTHORIZED, "{text}");
        }
        if text != &device {
            let polled = shop.token(&[("grant_type", DEVICE), ("device_code", text)]).await?;
            assert_eq!(said_no(&polled), INVALID_GRANT, "{text}");
        }
        if text != &secret {
            let fields = [
                ("grant_type", "client_credentials"),
                ("client_id", &*shop.client_id),
                ("client_secret", &**text),
            ];
            let url = format!("{}/oauth2/token", stack.command_url);
            let refused = answer(form(browser()?.post(url), &fields)).await?;
            assert_eq!(said_no(&refused), (401, "invalid_client"), "{text}");
        }
        if ![&lent.access, &own.access].contains(&text) {
            let taken =
                stack.request(reqwest::Method::GET, text, &format!("{}/oauth2/userinfo", stack.command_url));
            assert_eq!(answer(taken).await?.status, StatusCode::UNAUTHORIZED, "{text}");
        }
        if text != &request {
            let page = Tab::at(&stack.command_url)?.get(&format!("/sign-in?request={text}")).await?;
            assert_eq!(page.status, StatusCode::NOT_FOUND, "{text}");
        }
    }
    // None of that has used anything up.
    assert_eq!(shop.redeem(&code).await?.status, StatusCode::OK);
    assert_eq!(shop.refresh(&lent.refresh).await?.status, StatusCode::OK);
    assert_eq!(acme.refresh(&own.refresh).await?.status, StatusCode::OK);
    Ok(())
}

/// Whatever stands between what was allowed and the tokens: each way looks again.
#[tokio::test]
async fn cve_2026_9798_every_grant_looks_at_lock_user_and_organisation_again() -> Test {
    let stack = Stack::commands_only().await?;
    for (n, end) in ["deactivated", "removed", "signed-out-everywhere", "suspended", "service-suspended"]
        .iter()
        .enumerate()
    {
        let acme = Organisation::found(&stack, &format!("acme-{n}")).await?;
        let ann = acme.join("ann").await?;
        let shop = Relying::register(&acme, &shop()).await?;
        let lent = shop.sign_in(&ann, ALL).await?;
        let own = acme.sign_in(&ann).await?;
        let code = shop.code(&ann, ALL).await?;
        let device = device::approved(&shop, &ann).await?;
        let because = Word::of("a-test");
        match *end {
            "deactivated" => acme.done(DeactivateUser { user_id: ann.user, because }).await?,
            "removed" => {
                let table = role_table(acme.tenant).clone();
                acme.done(RemoveMember { user_id: ann.user, because, by: Granter::Platform, table }).await?;
            }
            "signed-out-everywhere" => {
                let all = domain::identity::EndSessions {
                    user_id: ann.user,
                    except: None,
                    because,
                    by: ann.user.actor(),
                };
                acme.done(all).await?;
            }
            "suspended" => {
                Members::of(&stack, acme.tenant)?.stand(TenantStatus::Suspended).await?;
            }
            _ => assert_eq!(shop.command("/suspend", &json!({})).await?.status, StatusCode::OK),
        }
        let of_client = ["suspended", "service-suspended"].contains(end);
        let expected = if of_client { (401, "invalid_client") } else { INVALID_GRANT };
        assert_eq!(said_no(&shop.redeem(&code).await?), expected, "{end}: code");
        assert_eq!(said_no(&shop.refresh(&lent.refresh).await?), expected, "{end}: refresh");
        let polled = shop.token(&[("grant_type", DEVICE), ("device_code", &device)]).await?;
        assert_eq!(said_no(&polled), expected, "{end}: device");
        let product = acme.refresh(&own.refresh).await?.status;
        let goes_on = *end == "service-suspended";
        assert_eq!(product == StatusCode::OK, goes_on, "{end}: what the product itself gave");
        let url = format!("{}/oauth2/userinfo", stack.command_url);
        tests::until(Duration::from_secs(1), async || {
            let told = answer(stack.request(reqwest::Method::GET, &lent.access, &url)).await?;
            Ok(told.status != StatusCode::OK)
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_token_can_be_asked_about_and_given_back() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let tokens = shop.sign_in(&ann, ALL).await?;
    let facts = shop.ask("introspect", &[("token", &tokens.access)]).await?;
    let user = json!(ann.user.to_string());
    let known = [&facts.json["active"], &facts.json["sub"], &facts.json["client_id"], &facts.json["scope"]];
    assert_eq!(
        known,
        [&json!(true), &user, &json!(shop.client_id), &json!("email ledger.read-accounts openid profile")]
    );
    assert_eq!(
        shop.ask("introspect", &[("token", &tokens.refresh)]).await?.json["token_type"],
        "refresh_token"
    );
    let nothing = json!({ "active": false });
    for token in ["nothing", "qr_x", &tokens.id, &tokens.access[1..]] {
        assert_eq!(shop.ask("introspect", &[("token", token)]).await?.json, nothing);
        let back = shop.ask("revoke", &[("token", token)]).await?;
        assert_eq!(back.status, StatusCode::OK, "what is not known is as good as given back");
    }
    let other = Organisation::found(&stack, "other").await?;
    let bob = other.join("bob").await?;
    let theirs = other.sign_in(&bob).await?;
    assert_eq!(shop.ask("introspect", &[("token", &theirs.access)]).await?.json, nothing);
    // Of the own organisation it may ask about every access token.
    let own: SignedIn = acme.sign_in(&ann).await?;
    assert_eq!(shop.ask("introspect", &[("token", &own.access)]).await?.json["active"], true);
    // One that is another's stays as it is, and is answered as one that nobody knows.
    let another = Relying::register(&acme, &json!({
        "name": "Another", "confidential": true, "redirect_uris": [BACK], "grants": ["authorization-code", "refresh-token"],
        "scopes": ["openid"],
    }))
    .await?;
    let anothers = another.sign_in(&ann, "openid").await?;
    for token in [&own.access, &anothers.access, &anothers.refresh] {
        assert_eq!(shop.ask("revoke", &[("token", token)]).await?.status, StatusCode::OK);
    }
    for (asking, token) in [(&shop, &own.access), (&shop, &anothers.access), (&another, &anothers.refresh)] {
        assert_eq!(asking.ask("introspect", &[("token", token)]).await?.json["active"], true);
    }
    for (n, back) in [&tokens.refresh, &shop.sign_in(&ann, ALL).await?.access].into_iter().enumerate() {
        assert_eq!(shop.ask("revoke", &[("token", back)]).await?.status, StatusCode::OK);
        assert_eq!(shop.ask("introspect", &[("token", back)]).await?.json, nothing, "{n}");
    }
    assert_eq!(
        shop.ask("introspect", &[("token", &tokens.access)]).await?.json,
        nothing,
        "all of the session"
    );
    // A service that can keep no secret has shown nothing, and asks about nothing.
    let phone = json!({ "name": "Phone", "confidential": false, "redirect_uris": ["com.example.app:/back"],
                        "grants": ["authorization-code"], "scopes": ["openid"] });
    let phone = Relying::register(&acme, &phone).await?;
    assert_eq!(said_no(&phone.ask("introspect", &[("token", &own.access)]).await?), (401, "invalid_client"));
    Ok(())
}
