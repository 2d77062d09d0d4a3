//! On the way to an application: in two windows, in the language that it asks for, and when it asks wrongly.

use reqwest::{StatusCode, Url};
use tests::person::{Organisation, PASSWORD};
use tests::relying::{BACK, Relying, Tokens, left, parameter, shop};
use tests::stack::{PUBLIC_URL, Stack};
use tests::tab::{Tab, hidden};

use super::{Test, heading};

#[tokio::test]
async fn whoever_signs_in_in_another_tab_still_comes_to_the_application() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    // Two tabs of one browser share what it keeps, and each has a form of its own.
    let page = tab.get(&shop.authorize("openid", &[])?).await?;
    let page = if page.status == StatusCode::SEE_OTHER { tab.follow(&page).await? } else { page };
    let (request, early) = (hidden(&page.text, "request").unwrap_or_default(), tab.form.clone());
    let other = shop.walk(&mut tab, &ann, &shop.authorize("openid", &[])?).await?;
    assert!(parameter(&other, "code").is_some(), "{other}");
    let fields = [("request", &*request), ("email", &ann.email), ("password", PASSWORD), ("form", &early)];
    let late = tab.forge("/sign-in", &fields, Some(PUBLIC_URL)).await?;
    assert_eq!(late.status, StatusCode::SEE_OTHER, "{}", late.text);
    let there = tab.follow(&late).await?;
    let url = left(&there)?.unwrap_or_else(|| panic!("{} {}", there.status, there.text));
    assert!(parameter(&url, "code").is_some(), "{url}");
    Ok(())
}

#[tokio::test]
async fn pages_are_in_the_language_that_the_application_asks_for() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    for (locales, title) in
        [("de", "Anmelden"), ("fr de-AT en", "Anmelden"), ("en de", "Sign in"), ("fr", "Sign in")]
    {
        let mut tab = Tab::at(&stack.command_url)?;
        let begin = shop.authorize("openid", &[("ui_locales", Some(locales))])?;
        let page = tab.get(&begin).await?;
        let page = if page.status == StatusCode::SEE_OTHER { tab.follow(&page).await? } else { page };
        assert_eq!(heading(&page.text), title, "{locales}: {}", page.text);
    }
    Ok(())
}

#[tokio::test]
async fn a_person_is_shown_what_an_application_does_wrong() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    for (changed, said) in [
        (("redirect_uri", Some("https://shop.example/elsewhere")), "redirect_uri"),
        (("client_id", Some("qa_nobody")), "client_id"),
    ] {
        let mut tab = Tab::at(&stack.command_url)?;
        let page = tab.get(&shop.authorize("openid", &[changed])?).await?;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}", page.text);
        assert!(page.text.contains("For whoever makes the application:"), "{}", page.text);
        assert!(page.text.contains(said), "{}", page.text);
    }
    Ok(())
}

/// The link with this name on a page.
fn linked(page: &str, name: &str) -> Option<String> {
    let (before, _) = page.split_once(&format!("\">{name}</a>"))?;
    let (_, url) = before.rsplit_once("href=\"")?;
    Some(url.replace("&#38;", "&"))
}

/// Whoever registers a service chooses where our answer leads (RFC 9700 section 4.11.2).
#[tokio::test]
async fn no_mere_link_to_us_leads_to_where_whoever_made_it_wants() -> Test {
    let stack = Stack::commands_only().await?;
    let (acme, globex) =
        (Organisation::found(&stack, "acme").await?, Organisation::found(&stack, "globex").await?);
    let (ann, bob) = (acme.join("ann").await?, globex.join("bob").await?);
    let shop = Relying::register(&acme, &shop()).await?;
    for (changed, error) in [
        (("response_type", Some("token")), "unsupported_response_type"),
        (("scope", Some("openid nobody:knows")), "invalid_scope"),
        (("request_uri", Some("https://shop.example/r")), "request_not_supported"),
        (("code_challenge", None), "invalid_request"),
        (("prompt", Some("none login")), "invalid_request"),
    ] {
        let wrong = shop.authorize("openid", &[changed])?;
        let mut tab = Tab::at(&stack.command_url)?;
        let page = tab.get(&wrong).await?;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{error}: {}", page.text);
        assert!(left(&page)?.is_none() && page.header("refresh").is_empty(), "{error}: {}", page.text);
        for said in ["<strong>Shop</strong>", error, "<strong>shop.example</strong>"] {
            assert!(page.text.contains(said), "{said}: {}", page.text);
        }
        let link = linked(&page.text, "Back").unwrap_or_default();
        let back = Url::parse(&link)?;
        assert!(link.starts_with(BACK), "{link}");
        assert_eq!(parameter(&back, "error").as_deref(), Some(error), "{back}");
        assert_eq!(parameter(&back, "state").as_deref(), Some("a state"), "{back}");
        assert_eq!(parameter(&back, "iss").as_deref(), Some(PUBLIC_URL), "{back}");

        // Somebody of another organisation does not know the service either.
        tab.get("/sign-in?organization=globex").await?;
        let fields = [("organization", "globex"), ("email", &*bob.email), ("password", PASSWORD)];
        let signed_in = tab.send("/sign-in", &fields).await?;
        assert_eq!(signed_in.status, StatusCode::SEE_OTHER, "{}", signed_in.text);
        assert_eq!(tab.get(&wrong).await?.status, StatusCode::BAD_REQUEST, "{error}");

        let mut tab = Tab::at(&stack.command_url)?;
        shop.walk(&mut tab, &ann, &shop.authorize("openid", &[])?).await?;
        let gone = left(&tab.get(&wrong).await?)?.unwrap_or_else(|| panic!("{error}: ann stays"));
        assert_eq!(gone, back);
    }
    Ok(())
}

#[tokio::test]
async fn a_service_that_has_nobody_asked_is_told_at_once_what_it_does_wrong() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let silent = ("prompt", Some("none"));
    let gone = tab.get(&shop.authorize("openid nobody:knows", &[silent])?).await?;
    assert_eq!(gone.status, StatusCode::SEE_OTHER, "{}", gone.text);
    let gone = left(&gone)?.unwrap_or_else(|| panic!("they stay"));
    assert_eq!(parameter(&gone, "error").as_deref(), Some("invalid_scope"), "{gone}");
    Ok(())
}

#[tokio::test]
async fn somebody_else_goes_on_to_where_they_were() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let (ann, bob) = (acme.join("ann").await?, acme.join("bob").await?);
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let url = shop.walk(&mut tab, &ann, &shop.authorize("openid", &[])?).await?;
    assert!(parameter(&url, "code").is_some(), "{url}");
    // An application asks, and a device: on both pages there is a way to be somebody else, and to come back.
    let asked = tab.get(&shop.authorize("openid", &[("prompt", Some("consent"))])?).await?;
    let page = tab.follow(&asked).await?;
    let consent = page.header("location").to_owned();
    assert!(consent.starts_with("/consent?request="), "{} {}", page.status, page.text);
    for (path, back) in [
        ("/device?user_code=BCDF-GHJK", "/sign-in?device=BCDF-GHJK"),
        (consent.as_str(), "/sign-in?request="),
    ] {
        let page = tab.get(path).await?;
        let link = page.text.split("href=\"").find(|it| it.starts_with("/sign-out?")).unwrap_or_default();
        let link = link.split('"').next().unwrap_or_default().to_owned();
        assert!(page.text.contains("Use another account") && !link.is_empty(), "{path} {}", page.text);
        let mut other = tab.clone();
        let page = other.get(&link).await?;
        assert!(page.text.contains(&ann.email), "{}", page.text);
        let asked = hidden(&page.text, "asked").unwrap_or_default();
        let out = other.send("/sign-out", &[("asked", &asked)]).await?;
        assert!(out.header("location").starts_with(back), "{} {}", out.status, out.header("location"));
        // Ann's session is over in this browser, whichever of its windows she looks at.
        tab = other;
        if path == consent {
            let url = shop.walk(&mut tab, &bob, out.header("location")).await?;
            let tokens = Tokens::of(&shop.redeem(&parameter(&url, "code").unwrap_or_default()).await?)?;
            assert_eq!(Tokens::said(&tokens.id)?["sub"], bob.user.to_string());
        } else {
            let back = out.header("location").replace("/sign-in?", "/sign-in?organization=acme&");
            tab.get(&back).await?;
            let fields = [
                ("organization", "acme"),
                ("device", "BCDF-GHJK"),
                ("email", &ann.email),
                ("password", PASSWORD),
            ];
            let again = tab.send("/sign-in", &fields).await?;
            assert_eq!(again.header("location"), "/device?user_code=BCDF-GHJK", "{}", again.text);
        }
    }
    Ok(())
}
