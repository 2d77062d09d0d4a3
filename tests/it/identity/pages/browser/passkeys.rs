//! Passkeys in a real browser, with an authenticator that the browser itself plays: set up, signed in with, and asked for in vain.

use domain::organisation::SecondFactor;
use reqwest::StatusCode;
use tests::browser::Reader;
use tests::person::PASSWORD;
use tests::stack::Stack;

use super::{RETURN, Scene, Test, VERIFIER, authorize, parameter};

#[tokio::test(flavor = "multi_thread")]
async fn somebody_sets_a_passkey_up_and_signs_in_with_it() -> Test {
    let stack = Stack::commands_only().await?;
    let Some(mut scene) = Scene::set(&stack).await? else { return Ok(()) };
    let ann = scene.acme.join("ann").await?;
    scene.browser.authenticator().await?;
    scene.browser.go("/sign-in?organization=acme").await?;
    // Nobody has added one, so there is nothing to sign in with: the browser says no, and the person may go on otherwise.
    scene.browser.press("Sign in with a passkey").await?;
    let seen = scene.browser.seen().await?;
    assert_eq!(seen.heading, "Use your passkey");
    scene.browser.says("That did not work, or was stopped.").await?;
    scene.browser.check("passkey-refused").await?;
    scene.browser.follow("Sign in in another way").await?;
    scene.sign_in(&ann.email, PASSWORD).await?;
    scene.browser.press("Set up a passkey").await?;
    scene.browser.reads("Your passkey is set up").await?;
    scene.browser.check("passkey-set-up").await?;
    assert_eq!(scene.acme.letters("factors-changed").await?.len(), 1, "the person is told of it");
    // Whoever wants another one shows that they have this one; and on the same device it would be the same.
    scene.browser.go("/sign-in").await?;
    scene.browser.press("Set up a passkey").await?;
    assert_eq!(scene.heading().await?, "Sign in");
    scene.browser.check("sign-in-again").await?;
    scene.browser.press("Sign in with a passkey").await?;
    scene.browser.reads("You are signed in").await?;
    scene.browser.press("Set up a passkey").await?;
    scene.browser.says("That did not work, or was stopped.").await?;
    scene.browser.follow("Not now").await?;
    scene.browser.press("Sign out").await?;

    let client = scene.application("Till").await?;
    scene.browser.go(&authorize(&client, &[])?).await?;
    scene.browser.press("Sign in with a passkey").await?;
    scene.browser.reads("Allow access?").await?;
    scene.browser.press("Allow").await?;
    let seen = scene.browser.arrived(RETURN).await?;
    assert!(!parameter(&seen.url, "code")?.is_empty());

    // Without scripts nothing of it is shown, and everything else works.
    scene.browser.fresh(Reader { scripts: false, ..Reader::default() }).await?;
    scene.browser.go("/sign-in?organization=acme").await?;
    let seen = scene.browser.seen().await?;
    assert!(!seen.text.contains("Sign in with a passkey") && seen.text.contains("Password"), "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_stands_for_the_code_after_a_password() -> Test {
    let stack = Stack::commands_only().await?;
    let Some(mut scene) = Scene::set(&stack).await? else { return Ok(()) };
    let ann = scene.acme.join("ann").await?;
    let session = scene.acme.sign_in(&ann).await?;
    let enrolled = scene.acme.enrol(&session.access).await?;
    scene.browser.authenticator().await?;
    scene.browser.go("/sign-in?organization=acme").await?;
    scene.sign_in(&ann.email, PASSWORD).await?;
    assert!(!scene.browser.seen().await?.text.contains("Sign in with a passkey"), "she has none yet");
    scene.acme.as_if_later().await?;
    scene.browser.fill("Code", &enrolled.authenticator.code()?).await?;
    scene.browser.press("Sign in").await?;
    scene.browser.press("Set up a passkey").await?;
    scene.browser.reads("Your passkey is set up").await?;
    scene.browser.go("/sign-out").await?;
    scene.browser.press("Sign out").await?;
    scene.browser.go("/sign-in?organization=acme").await?;
    scene.sign_in(&ann.email, PASSWORD).await?;
    assert_eq!(scene.heading().await?, "One more step");
    scene.browser.check("second-factor-or-passkey").await?;
    scene.browser.press("Sign in with a passkey").await?;
    scene.browser.reads("You are signed in").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_must_have_two_factors_can_have_a_passkey() -> Test {
    let stack = Stack::commands_only().await?;
    let Some(mut scene) = Scene::set(&stack).await? else { return Ok(()) };
    let ann = scene.acme.join("ann").await?;
    let client = scene.application("Till").await?;
    scene.acme.ask(|it| it.second_factor = SecondFactor::Required).await?;
    scene.browser.authenticator().await?;
    scene.browser.go(&authorize(&client, &[])?).await?;
    scene.sign_in(&ann.email, PASSWORD).await?;
    scene.browser.press("Set up a passkey").await?;
    // It is made, used once to show that it works, and the person goes on to where they were.
    scene.browser.reads("Allow access?").await?;
    scene.browser.press("Allow").await?;
    let seen = scene.browser.arrived(RETURN).await?;
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", &*client),
        ("code", &parameter(&seen.url, "code")?),
        ("redirect_uri", RETURN),
        ("code_verifier", VERIFIER),
    ];
    let tokens = scene.send("/oauth2/token", &fields).await?;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.text);
    Ok(())
}
