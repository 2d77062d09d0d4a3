//! Where an organisation asks everybody for a second factor, services may rely on it: nothing that they get comes of less.

use anyhow::Context as _;
use domain::organisation::SecondFactor;
use reqwest::StatusCode;
use tests::person::{Organisation, PASSWORD};
use tests::relying::{DEVICE, Relying, Tokens, left, parameter, shop};
use tests::stack::Stack;
use tests::tab::Tab;

use super::super::device::approved;

type Test = anyhow::Result<()>;

#[tokio::test]
async fn no_service_is_let_in_by_whoever_lacks_the_factor_that_all_must_have() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    // Everything that can be under way when the organisation begins to ask.
    let tokens = shop.sign_in(&ann, "openid email").await?;
    let (code, device) = (shop.code(&ann, "openid").await?, approved(&shop, &ann).await?);
    let mut tab = Tab::at(&stack.command_url)?;
    let url = shop.walk(&mut tab, &ann, &shop.authorize("openid", &[])?).await?;
    assert!(parameter(&url, "code").is_some(), "{url}");
    let active = async |token: &str| {
        anyhow::Ok(shop.ask("introspect", &[("token", token)]).await?.json["active"] == true)
    };
    assert!(active(&tokens.access).await? && active(&tokens.refresh).await?);
    acme.ask(|it| it.second_factor = SecondFactor::Required).await?;

    assert!(!active(&tokens.access).await? && !active(&tokens.refresh).await?);
    let userinfo = format!("{}/oauth2/userinfo", stack.command_url);
    let told = stack.request(reqwest::Method::GET, &tokens.access, &userinfo).send().await?;
    assert_eq!(told.status(), StatusCode::UNAUTHORIZED);
    for (what, answer) in [
        ("refresh", shop.refresh(&tokens.refresh).await?),
        ("code", shop.redeem(&code).await?),
        ("device", shop.token(&[("grant_type", DEVICE), ("device_code", &device)]).await?),
    ] {
        let told = (answer.status.as_u16(), answer.json["error"].as_str().unwrap_or_default());
        assert_eq!(told, (400, "invalid_grant"), "{what}: {}", answer.text);
    }
    // Somebody who is signed in is led to setting one up; nobody is asked where the service wants silence.
    let page = tab.get(&shop.authorize("openid", &[])?).await?;
    let page = tab.follow(&page).await?;
    assert!(page.header("location").starts_with("/second-factor/set-up?request="), "{}", page.text);
    let page = tab.follow(&page).await?;
    assert!(page.text.contains("asks everybody for a second factor"), "{}", page.text);
    let page = tab.get(&shop.authorize("openid", &[("prompt", Some("none"))])?).await?;
    let page = if left(&page)?.is_some() { page } else { tab.follow(&page).await? };
    let back = left(&page)?.context("sent back to the service")?;
    assert_eq!(parameter(&back, "error").as_deref(), Some("interaction_required"), "{back}");
    // Who signs in with it gets everything.
    let own = acme.sign_in(&ann).await?;
    let enrolled = acme.enrol(&own.access).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let page = tab.get(&shop.authorize("openid", &[])?).await?;
    let page = tab.follow(&page).await?;
    let request = tests::tab::hidden(&page.text, "request").context("a form")?;
    let fields = [("request", &*request), ("email", &ann.email), ("password", PASSWORD)];
    let page = tab.send("/sign-in", &fields).await?;
    let ticket = tests::tab::hidden(&page.text, "ticket").with_context(|| page.text.clone())?;
    let code = enrolled.recovery_codes.first().context("a code")?;
    let fields = [("request", &*request), ("ticket", &*ticket), ("code", code.as_str())];
    let page = tab.send("/sign-in/second-factor", &fields).await?;
    let back = left(&page)?.with_context(|| page.text.clone())?;
    let code = parameter(&back, "code").with_context(|| back.to_string())?;
    let tokens = Tokens::of(&shop.redeem(&code).await?)?;
    assert!(active(&tokens.access).await?);
    Ok(())
}
