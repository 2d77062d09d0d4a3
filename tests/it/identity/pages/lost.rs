//! Who comes to where nothing is to be seen, by a link that others have changed, or reads another language.

use reqwest::{Method, StatusCode};
use tests::person::Organisation;
use tests::relying::{Relying, shop};
use tests::stack::{Stack, answer};
use tests::tab::{Tab, hidden};

use super::{Test, enter, heading};

#[tokio::test]
async fn whoever_comes_to_where_nothing_is_reads_so_and_is_led_on() -> Test {
    let stack = Stack::commands_only().await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let home = tab.get("/").await?;
    assert_eq!((home.status, home.header("location")), (StatusCode::SEE_OTHER, "/sign-in"));
    for (path, status) in [
        ("/nowhere", StatusCode::NOT_FOUND),
        ("/sign-in/", StatusCode::NOT_FOUND),
        ("/sign-in/second-factor", StatusCode::METHOD_NOT_ALLOWED),
        ("/device/answer", StatusCode::METHOD_NOT_ALLOWED),
        ("/oauth2/token", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        for (language, title) in [("en", "That did not work"), ("de", "Das hat nicht geklappt")] {
            tab.language = language;
            let page = tab.get(path).await?;
            assert_eq!((page.status, heading(&page.text)), (status, title), "{path} {}", page.text);
            assert!(page.text.contains("href=\"/sign-in\""), "{path} {}", page.text);
            assert!(page.header("content-type").starts_with("text/html"), "{path}");
            assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
            assert_eq!(page.header("allow").is_empty(), status == StatusCode::NOT_FOUND, "{path}");
        }
        // A program is told as it always is.
        let told = answer(stack.request(Method::GET, "", &format!("{}{path}", stack.command_url))).await?;
        assert_eq!(
            (told.status, told.header("content-type")),
            (status, "application/problem+json"),
            "{path}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_others_add_to_a_link_is_passed_over() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let page = tab.get("/sign-in?organization=acme&utm_source=x&fbclid=y").await?;
    assert_eq!(hidden(&page.text, "organization").as_deref(), Some("acme"), "{}", page.text);
    let asked = tab.get(&format!("{}&utm_source=x", shop.authorize("openid", &[])?)).await?;
    let page = tab.get(&format!("{}&utm_source=x", asked.header("location"))).await?;
    assert!(hidden(&page.text, "request").is_some(), "{}", page.text);
    let mut tab = enter(&acme, &ann).await?;
    for path in ["/device?user_code=BCDF-GHJK&x=1", "/forgot?x=1", "/sign-in?x=1"] {
        assert_eq!(tab.get(path).await?.status, StatusCode::OK, "{path}");
    }
    // What is ours counts once.
    assert_eq!(tab.get("/sign-in?device=a&device=b").await?.status, StatusCode::BAD_REQUEST);
    Ok(())
}

/// The name of an organisation in a link is anybody's text, and the page stands under our address.
#[tokio::test]
async fn what_cannot_be_an_organisation_is_not_said_on_a_page() -> Test {
    let stack = Stack::commands_only().await?;
    let mut tab = Tab::at(&stack.command_url)?;
    for text in ["Your+account+is+blocked", "%3Cb%3Eblocked%3C%2Fb%3E", "blocked-", &"blocked".repeat(700)] {
        let page = tab.get(&format!("/sign-in?organization={text}")).await?;
        assert!(page.status.is_success() && !page.text.contains("blocked"), "{text}: {}", page.text);
    }
    Ok(())
}

#[tokio::test]
async fn what_an_application_could_do_is_said_in_whole_sentences_of_one_language() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = enter(&acme, &ann).await?;
    let scope = "openid offline_access ledger.read-accounts reports:read";
    for (language, said) in [
        (
            "en",
            [
                "know who you are",
                "act for you while you are away, until you end it",
                "read accounts, their balances and their entries",
                "use the permission “reports:read” of another program",
            ],
        ),
        (
            "de",
            [
                "wissen, wer Sie sind",
                "für Sie handeln, während Sie weg sind, bis Sie es beenden",
                "Konten, ihre Stände und ihre Buchungen lesen",
                "die Berechtigung „reports:read“ eines anderen Programms nutzen",
            ],
        ),
    ] {
        tab.language = language;
        let asked = tab.get(&shop.authorize(scope, &[])?).await?;
        let page = tab.follow(&asked).await?;
        let page = tab.follow(&page).await?;
        for said in said {
            assert!(page.text.contains(&format!("<li>{said}</li>")), "{said}\n{}", page.text);
        }
    }
    Ok(())
}
