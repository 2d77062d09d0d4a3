//! What stands behind the link of a letter, as its page says it: who invites, to what, and how long a password must be there.

use domain::identity::{EmailHash, ErasePerson, VerifyEmail};
use domain::ids::UserId;
use domain::organisation::RoleRef;
use domain::words::Word;
use event_store::keyring::IndexOf;
use reqwest::StatusCode;
use serde_json::json;
use tests::person::{Organisation, PASSWORD, Person, SignedIn};
use tests::stack::Stack;
use tests::tab::{Tab, hidden};
use uuid::Uuid;

use super::{ANOTHER, Test, assert_guarded, events, heading};

/// An administrator with a name that is written to hurt a page.
async fn inviter(acme: &Organisation<'_>) -> anyhow::Result<Person> {
    let body = json!({
        "tenant_slug": acme.slug, "email": "ada@example.com", "password": PASSWORD,
        "given_name": "Ada <b>", "family_name": "Byron",
    });
    let made = acme.post("", "/v1/auth/register", &body).await?;
    anyhow::ensure!(made.status == StatusCode::CREATED, "{} {}", made.status, made.text);
    let user: UserId = made.json["id"].as_str().unwrap_or_default().parse()?;
    acme.done(VerifyEmail { user_id: user, email_version: 1, via: Word::of("link") }).await?;
    let ada = Person { user, email: "ada@example.com".to_owned() };
    acme.give(&ada, &[RoleRef::ADMIN]).await?;
    Ok(ada)
}

#[tokio::test]
async fn an_invitation_says_who_invites_to_what_while_that_is_known() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    acme.ask(|it| it.password.length_min = 23).await?;
    let ada = inviter(&acme).await?;
    let session = SignedIn::of(&acme.log_in(&ada.email, PASSWORD).await?)?;
    let body = json!({ "email": "bob@example.com", "roles": ["user"] });
    let made = acme.post(&session.access, "/v1/invitations", &body).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let link = acme.link("invitation", 1).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let page = tab.get("/invitation").await?;
    assert!(!page.text.contains("Ada") && !page.text.contains("acme"), "nothing is known yet: {}", page.text);
    // As it is pasted from a letter.
    let before = events(&stack).await?;
    for _ in 0..2 {
        let page = tab.send("/invitation/open", &[("token", &format!(" {link} "))]).await?;
        assert_eq!((page.status, heading(&page.text)), (StatusCode::OK, "You are invited"), "{}", page.text);
        assert_guarded(&page, "/invitation/open");
        let said = "<strong>Ada &#60;b&#62; Byron</strong> invites you to join <strong>acme</strong>.";
        assert!(page.text.contains(said) && page.text.contains("At least 23 characters"), "{}", page.text);
    }
    assert_eq!(events(&stack).await?, before, "looking changes nothing");
    tab.language = "de";
    let page = tab.send("/invitation/open", &[("token", &link)]).await?;
    assert!(page.text.contains("</strong> lädt Sie ein zu <strong>acme</strong>."), "{}", page.text);
    assert!(page.text.contains("Mindestens 23 Zeichen"), "{}", page.text);
    tab.language = "en";
    // What is refused is said on the same page, with what it said before.
    let fields = [("token", &*link), ("answer", "accept"), ("password", "x")];
    let weak = tab.send("/invitation", &fields).await?;
    assert_eq!(weak.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", weak.text);
    assert!(weak.text.contains("invites you to join") && hidden(&weak.text, "token").is_some());

    // Whoever was erased is nobody any more, and their invitation stands.
    let hash = acme.master()?.index(acme.tenant, IndexOf::Email, ada.email.as_bytes());
    let receipt = Uuid::now_v7();
    let email = (1, EmailHash::new(hash.0));
    acme.done(ErasePerson { user_id: ada.user, receipt, email, email_pending: None }).await?;
    let page = tab.send("/invitation/open", &[("token", &link)]).await?;
    assert!(page.text.contains("You are invited to join <strong>acme</strong>."), "{}", page.text);
    assert!(!page.text.contains("Byron"), "{}", page.text);
    let fields = [("token", &*link), ("answer", "decline")];
    let declined = tab.send("/invitation", &fields).await?;
    assert_eq!((declined.status, heading(&declined.text)), (StatusCode::OK, "The invitation is declined"));
    // Behind a link that is used nothing stands, nor behind one of another sort.
    for odd in [&*link, "qm_nothing"] {
        let gone = tab.send("/invitation/open", &[("token", odd)]).await?;
        assert_eq!(gone.status, StatusCode::NOT_FOUND, "{}", gone.text);
        assert!(
            gone.text.contains("The invitation is not good") && !gone.text.contains("acme"),
            "{}",
            gone.text
        );
        let gone = tab.send("/reset/open", &[("token", odd)]).await?;
        assert_eq!(gone.status, StatusCode::NOT_FOUND, "{}", gone.text);
    }
    Ok(())
}

#[tokio::test]
async fn whoever_chooses_another_password_reads_how_long_it_must_be() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    acme.ask(|it| it.password.length_min = 20).await?;
    let ann = acme.join("ann").await?;
    let _reactors = stack.with_reactors()?;
    let mut tab = Tab::at(&stack.command_url)?;
    tab.get("/forgot").await?;
    tab.send("/forgot", &[("organization", "acme"), ("email", &ann.email)]).await?;
    let link = acme.link("reset", 1).await?;
    let page = tab.get("/reset").await?;
    assert!(!page.text.contains("characters"), "nothing is known yet: {}", page.text);
    let page = tab.send("/reset/open", &[("token", &link)]).await?;
    assert!(page.text.contains("At least 20 characters;"), "{}", page.text);
    assert_eq!(hidden(&page.text, "token").as_deref(), Some(&*link));
    let weak = tab.send("/reset", &[("token", &link), ("new_password", "short")]).await?;
    assert!(weak.text.contains("At least 20 characters;"), "{}", weak.text);
    let done = tab.send("/reset", &[("token", &link), ("new_password", ANOTHER)]).await?;
    assert_eq!((done.status, heading(&done.text)), (StatusCode::OK, "Your password was changed"));
    let gone = tab.send("/reset", &[("token", &link), ("new_password", ANOTHER)]).await?;
    assert_eq!((gone.status, heading(&gone.text)), (StatusCode::NOT_FOUND, "Choose a new password"));
    assert!(gone.text.contains("The link is not good") && !gone.text.contains("name=\"new_password\""));
    assert!(gone.text.contains("href=\"/forgot\">Password forgotten?</a>"), "{}", gone.text);
    Ok(())
}
