//! Setting a second factor up in a real browser: on the way to an application, with what the page shows. That it needs no
//! script is shown over HTTP, in `pages/set_up.rs`.

use domain::organisation::SecondFactor;
use tests::authenticator::Authenticator;
use tests::browser::Reader;
use tests::person::PASSWORD;
use tests::stack::Stack;

use super::{RETURN, Scene, Test, authorize, parameter};

#[tokio::test(flavor = "multi_thread")]
async fn somebody_sets_a_second_factor_up_on_the_way_to_an_application() -> Test {
    let stack = Stack::commands_only().await?;
    let Some(mut scene) = Scene::set(&stack).await? else { return Ok(()) };
    let ann = scene.acme.join("ann").await?;
    scene.acme.ask(|it| it.second_factor = SecondFactor::Required).await?;
    let client = scene.application("Till").await?;
    scene.browser.fresh(Reader::default()).await?;
    scene.browser.go(&authorize(&client, &[])?).await?;
    scene.sign_in(&ann.email, PASSWORD).await?;
    assert_eq!(scene.heading().await?, "Set up a second factor");
    scene.browser.check("set-up").await?;
    scene.browser.press("Use an authenticator app").await?;
    let seen = scene.browser.seen().await?;
    assert_eq!(seen.heading, "Add your account to the app");
    scene.browser.check("set-up-totp").await?;
    // As somebody types it who cannot scan: what stands in groups of four large letters and digits.
    let is_seed = |line: &&str| line.split(' ').count() == 8 && line.split(' ').all(|it| it.len() == 4);
    let line = seen.text.lines().map(str::trim).find(is_seed).unwrap_or_default();
    let authenticator = Authenticator::of(&line.replace(' ', ""))?;
    scene.browser.fill("Code", &authenticator.wrong_code()?).await?;
    scene.browser.press("Set up").await?;
    let seen = scene.browser.seen().await?;
    assert!(seen.title.starts_with("Error:") && seen.text.contains("The code is not right"), "{seen:?}");
    assert!(seen.text.contains(line), "it is the same seed: {seen:?}");
    scene.browser.check("set-up-totp-refused").await?;
    scene.browser.fill("Code", &authenticator.code()?).await?;
    scene.browser.press("Set up").await?;
    assert_eq!(scene.heading().await?, "Keep your recovery codes");
    scene.browser.check("recovery-codes").await?;
    scene.browser.follow("I have kept them: continue").await?;
    assert_eq!(scene.heading().await?, "Allow access?");
    scene.browser.press("Allow").await?;
    let seen = scene.browser.arrived(RETURN).await?;
    assert!(!parameter(&seen.url, "code")?.is_empty());
    scene.browser.go("/second-factor/set-up").await?;
    assert_eq!(scene.heading().await?, "Your second factor is set up");
    scene.browser.check("set-up-done").await?;
    Ok(())
}
