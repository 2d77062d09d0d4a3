//! People sign in to services: what they are asked, the code, its tokens, and what ends them.

mod asking;
mod claims;
mod clients;
mod codes;
mod consents;
mod peers;
mod tokens;

use anyhow::Context as _;
use domain::organisation::RoleRef;
use reqwest::StatusCode;
use serde_json::json;
use tests::person::{Organisation, Person};
use tests::relying::{BACK, Relying, Tokens, parameter, shop};
use tests::stack::{Answer, PUBLIC_URL, Stack, answer};
use tests::tab::Tab;

type Test = anyhow::Result<()>;

/// What somebody who may read accounts is told is not there, and others that they may not know.
const ACCOUNT: &str = "/v1/ledger/accounts/00000000-0000-0000-0000-000000000000";
/// The same of transfers.
const TRANSFER: &str = "/v1/ledger/transfers/00000000-0000-0000-0000-000000000000";

/// All that the shop may ask of a person.
const ALL: &str = "openid profile email ledger.read-accounts";

/// What an endpoint of OAuth says no with.
fn said_no(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.json["error"].as_str().unwrap_or_default())
}

const INVALID_GRANT: (u16, &str) = (400, "invalid_grant");

async fn set_up(stack: &Stack) -> anyhow::Result<(Organisation<'_>, Person)> {
    let acme = Organisation::found(stack, "acme").await?;
    let ann = acme.join("ann").await?;
    // She may read the books, so that a service which acts for her may.
    acme.give(&ann, &[RoleRef::MANAGER]).await?;
    Ok((acme, ann))
}

#[tokio::test]
async fn somebody_signs_in_to_a_service_which_learns_what_they_allowed() -> Test {
    let stack = Stack::whole().await?;
    let (acme, ann) = set_up(&stack).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let url = shop.walk(&mut tab, &ann, &shop.authorize(ALL, &[])?).await?;
    assert!(url.as_str().starts_with(BACK));
    assert_eq!(
        (parameter(&url, "state").as_deref(), parameter(&url, "iss").as_deref()),
        (Some("a state"), Some(PUBLIC_URL))
    );
    let redeemed = shop.redeem(&parameter(&url, "code").context("a code")?).await?;
    assert_eq!(redeemed.header("cache-control"), "no-store");
    let tokens = Tokens::of(&redeemed)?;
    let id = Tokens::said(&tokens.id)?;
    let user = ann.user.to_string();
    for (name, value) in [
        ("iss", json!(PUBLIC_URL)),
        ("aud", json!(shop.client_id)),
        ("sub", json!(user)),
        ("nonce", json!("a nonce")),
        ("amr", json!(["pwd"])),
    ] {
        assert_eq!(id[name], value, "{name}");
    }
    assert!(id["auth_time"].is_i64() && id["email"].is_null() && id["exp"].as_i64() > id["iat"].as_i64());
    let told = stack.request(
        reqwest::Method::GET,
        &tokens.access,
        &format!("{}/oauth2/userinfo", stack.command_url),
    );
    let told = answer(told).await?;
    let expected = json!({ "sub": user, "locale": "en", "email": ann.email, "email_verified": true,
                           "updated_at": told.json["updated_at"] });
    assert_eq!(told.json, expected, "{}", told.text);

    // It acts for them within what they allowed and what they may, and has no hand in their account.
    assert_eq!(stack.get(&tokens.access, ACCOUNT).await?.status, StatusCode::NOT_FOUND);
    assert_eq!(stack.get(&tokens.access, TRANSFER).await?.code(), "auth.permission-missing");
    assert_eq!(stack.get(&tokens.access, "/v1/auth/sessions").await?.code(), "auth.permission-missing");
    let step_up = acme
        .post(&tokens.access, "/v1/auth/step-up", &json!({ "password": tests::person::PASSWORD }))
        .await?;
    assert_eq!(step_up.code(), "auth.acts-for-another", "{}", step_up.text);
    // An ID token opens nothing, and an access token of the product is none of a service.
    assert_eq!(stack.get(&tokens.id, ACCOUNT).await?.code(), "auth.token-invalid");
    let own = acme.sign_in(&ann).await?.access;
    let told = stack.request(reqwest::Method::GET, &own, &format!("{}/oauth2/userinfo", stack.command_url));
    assert_eq!(answer(told).await?.code(), "oauth.scope-missing");

    // Whoever allowed it once is not asked again; whoever asks for more, is.
    let again = tab.get(&shop.authorize("openid email", &[("prompt", Some("none"))])?).await?;
    let location = again.header("location");
    assert!(location.starts_with("/sign-in?request=qp_"), "{location}");
    let silent =
        shop.walk(&mut tab, &ann, &shop.authorize("openid email", &[("prompt", Some("none"))])?).await?;
    assert!(parameter(&silent, "code").is_some(), "{silent}");
    let more = shop
        .walk(&mut tab, &ann, &shop.authorize("openid reports:read", &[("prompt", Some("none"))])?)
        .await?;
    assert_eq!(parameter(&more, "error").as_deref(), Some("consent_required"));
    let mut nobody = Tab::at(&stack.command_url)?;
    let none = shop.walk(&mut nobody, &ann, &shop.authorize("openid", &[("prompt", Some("none"))])?).await?;
    assert_eq!(parameter(&none, "error").as_deref(), Some("login_required"));
    Ok(())
}
