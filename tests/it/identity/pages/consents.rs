//! The applications that somebody lets in, on a page of ours: seen, and taken back.

use reqwest::StatusCode;
use tests::person::Organisation;
use tests::relying::{Relying, Tokens, parameter, shop};
use tests::stack::Stack;
use tests::tab::{Tab, hidden};

use super::{Test, assert_guarded, enter, heading};

#[tokio::test]
async fn a_person_sees_whom_they_let_in_and_takes_it_back() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let (ann, bob) = (acme.join("ann").await?, acme.join("bob").await?);
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let nobody = tab.get("/consents").await?;
    assert_eq!((nobody.status, nobody.header("location")), (StatusCode::SEE_OTHER, "/sign-in?"));
    let url = shop.walk(&mut tab, &ann, &shop.authorize("openid email ledger.read-accounts", &[])?).await?;
    let lent = Tokens::of(&shop.redeem(&parameter(&url, "code").unwrap_or_default()).await?)?;
    let is_active = async || {
        let told = shop.ask("introspect", &[("token", &lent.access)]).await?;
        anyhow::Ok(told.json["active"] == true)
    };
    assert!(is_active().await?);
    let page = tab.get("/consents").await?;
    assert_eq!(heading(&page.text), "Applications that you let in", "{}", page.text);
    assert_guarded(&page, "/consents");
    for said in ["<h2>Shop</h2>", "know who you are", "see your email address", &ann.email] {
        assert!(page.text.contains(said), "{said}: {}", page.text);
    }
    let service = hidden(&page.text, "service").unwrap_or_default();
    assert_eq!(service, shop.id);
    // It is Ann's alone: somebody else sees none of it, and takes nothing back by naming it.
    let mut other = enter(&acme, &bob).await?;
    let theirs = other.get("/consents").await?;
    assert!(
        theirs.text.contains("You let no application in.") && !theirs.text.contains("Shop"),
        "{}",
        theirs.text
    );
    // A page that has a form.
    other.get("/sign-out").await?;
    let refused = other.send("/consents", &[("service", &service)]).await?;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{}", refused.text);
    assert!(is_active().await?);
    // Nor does another site.
    let form = tab.form.clone();
    let fields = [("service", &*service), ("form", &*form)];
    let forged = tab.clone().forge("/consents", &fields, Some("https://evil.example")).await?;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    let done = tab.send("/consents", &[("service", &service)]).await?;
    assert_eq!((done.status, done.header("location")), (StatusCode::SEE_OTHER, "/consents"), "{}", done.text);
    assert!(tab.get("/consents").await?.text.contains("You let no application in."));
    tests::until(std::time::Duration::from_secs(5), async || Ok(!is_active().await?)).await?;
    // It asks before it comes in again.
    let asked = tab.get(&shop.authorize("openid", &[])?).await?;
    let page = tab.follow(&asked).await?;
    assert!(page.header("location").starts_with("/consent?request="), "{} {}", page.status, page.text);
    tab.language = "de";
    assert_eq!(heading(&tab.get("/consents").await?.text), "Anwendungen mit Zugriff");
    Ok(())
}
