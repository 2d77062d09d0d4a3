//! A session that begins with a provider is as fresh as the provider says: coming back from one shows only that the browser is
//! known there.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context as _;
use chrono::Utc;
use reqwest::{StatusCode, Url};
use serde_json::{Value, json};
use tests::authenticator::ticket;
use tests::oidc::OidcProvider;
use tests::person::{PASSWORD, SignedIn};
use tests::relying::{Relying, Tokens};
use tests::stack::{PUBLIC_URL, Stack};
use tests::tab::Tab;

use super::{CHALLENGE, RETURN, Shop, Test, VERIFIER, github, parameter, settings, subject};

const HOUR: i64 = 3_600;
/// Seconds that may pass between the provider's word and ours, and that its clock may be off.
const MOMENT: i64 = 60;
const ANEW: [(&str, &str); 1] = [("prompt", "login")];

/// An organisation with a provider that others made, for Ann.
async fn with_provider(stack: &Stack) -> anyhow::Result<Option<(OidcProvider, Shop<'_>)>> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oidc-provider");
    let Some(op) = OidcProvider::start(&folder).await? else { return Ok(None) };
    let shop = Shop::open(stack, "oidc", &op.issuer).await?;
    let (client, secret) = op.register(&shop.callback(), "RS256").await?;
    let set = shop.set(&settings("oidc", &op.issuer, (&client, &secret))).await?;
    anyhow::ensure!(set.status == StatusCode::OK, "{}", set.text);
    op.is_used_by("ann", &json!({ "email": "ann@corp.example", "email_verified": true })).await?;
    Ok(Some((op, shop)))
}

/// A browser that is sent to the provider with these parameters of ours, and there with what `changed` leaves of them.
async fn come(
    op: &OidcProvider,
    shop: &Shop<'_>,
    cookies: &mut HashMap<String, String>,
    asking: &[(&str, &str)],
    changed: impl FnOnce(Url) -> Url,
) -> anyhow::Result<Url> {
    let begun = shop.begin_asking(asking).await?;
    let there = op.walk_in(cookies, changed(begun.url.clone()).as_str()).await?;
    let back = shop.back(there.query().unwrap_or_default(), &begun.cookie).await?;
    back.header("location").parse().with_context(|| back.text.clone())
}

/// What whoever sits at the browser makes of an address that asks for a fresh proof.
fn stripped(mut url: Url) -> Url {
    let kept: Vec<_> = url.query_pairs().into_owned().collect();
    let kept = kept.iter().filter(|(name, _)| name != "prompt" && name != "max_age");
    url.query_pairs_mut().clear().extend_pairs(kept);
    url
}

async fn signed_in(shop: &Shop<'_>, back: &Url) -> anyhow::Result<SignedIn> {
    let code = parameter(back, "code").with_context(|| back.to_string())?;
    SignedIn::of(&shop.hand_over(&code, VERIFIER).await?)
}

/// How many seconds ago somebody showed who they are, as our own token says.
fn age(signed_in: &SignedIn) -> anyhow::Result<i64> {
    let shown = signed_in.claims()?["auth_time"].as_i64().context("a time")?;
    Ok(Utc::now().timestamp() - shown)
}

/// What is answered to whoever sets up an authenticator, which needs a fresh proof.
async fn sets_up(shop: &Shop<'_>, token: &str) -> anyhow::Result<(StatusCode, String)> {
    let told = shop.acme.post(token, "/v1/auth/totp", &Value::Null).await?;
    Ok((told.status, told.json["code"].as_str().unwrap_or_default().to_owned()))
}

async fn events(stack: &Stack) -> anyhow::Result<i64> {
    let mut tx = stack.database.superuser().await?;
    Ok(sqlx::query_scalar("select count(*) from store.events").fetch_one(&mut tx).await?)
}

#[tokio::test]
async fn a_provider_that_asks_nobody_again_gives_no_fresh_session() -> Test {
    let stack = Stack::commands_only().await?;
    let Some((op, shop)) = with_provider(&stack).await? else { return Ok(()) };
    let mut browser = HashMap::new();
    op.was_shown(HOUR).await?;
    come(&op, &shop, &mut browser, &[], |it| it).await?;
    // Whoever is signed in there is not asked: else it would be somebody else by now, who just showed it.
    op.was_shown(0).await?;
    op.is_used_by("eve", &json!({ "email": "eve@corp.example", "email_verified": true })).await?;
    let begun = shop.begin().await?;
    assert_eq!(parameter(&begun.url, "prompt"), None, "single sign-on goes on");
    let silent = signed_in(&shop, &come(&op, &shop, &mut browser, &[], |it| it).await?).await?;
    assert_eq!(silent.claims()?["email"], "ann@corp.example");
    assert!((HOUR - MOMENT..HOUR + MOMENT).contains(&age(&silent)?), "{}", silent.claims()?);
    let refused = sets_up(&shop, &silent.access).await?;
    assert_eq!(refused, (StatusCode::FORBIDDEN, "auth.step-up-required".to_owned()));

    op.is_used_by("ann", &json!({ "email": "ann@corp.example", "email_verified": true })).await?;
    let begun = shop.begin_asking(&ANEW).await?;
    let asked = (parameter(&begun.url, "prompt"), parameter(&begun.url, "max_age"));
    assert_eq!(asked, (Some("login".to_owned()), Some("0".to_owned())));
    let fresh = signed_in(&shop, &come(&op, &shop, &mut browser, &ANEW, |it| it).await?).await?;
    assert!((0..MOMENT).contains(&age(&fresh)?), "{}", fresh.claims()?);
    assert_eq!(subject(&fresh)?, subject(&silent)?);
    assert!(sets_up(&shop, &fresh.access).await?.0.is_success());
    Ok(())
}

#[tokio::test]
async fn where_a_fresh_proof_is_wanted_an_old_one_is_refused_and_nothing_has_changed() -> Test {
    let stack = Stack::commands_only().await?;
    let Some((op, shop)) = with_provider(&stack).await? else { return Ok(()) };
    let before = events(&stack).await?;
    op.was_shown(HOUR).await?;
    let back = come(&op, &shop, &mut HashMap::new(), &ANEW, |it| it).await?;
    assert_eq!(parameter(&back, "error").as_deref(), Some("federation.not-fresh"));
    assert_eq!(events(&stack).await?, before, "nobody was registered");
    Ok(())
}

/// What is asked goes through the browser. Whoever sits there takes it away, so that the provider asks nobody and says no time.
#[tokio::test]
async fn a_prompt_that_the_browser_took_away_proves_nothing() -> Test {
    let stack = Stack::commands_only().await?;
    let Some((op, shop)) = with_provider(&stack).await? else { return Ok(()) };
    let before = events(&stack).await?;
    let back = come(&op, &shop, &mut HashMap::new(), &ANEW, stripped).await?;
    assert_eq!(parameter(&back, "error").as_deref(), Some("federation.not-fresh"));
    assert_eq!(events(&stack).await?, before);
    // A sign-in of every day works, but nobody knows since when.
    let ann = signed_in(&shop, &come(&op, &shop, &mut HashMap::new(), &[], stripped).await?).await?;
    assert_eq!(ann.claims()?["auth_time"], Value::Null);
    assert_eq!(sets_up(&shop, &ann.access).await?.1, "auth.step-up-required");
    Ok(())
}

#[tokio::test]
async fn a_proof_of_the_future_is_not_believed() -> Test {
    let stack = Stack::commands_only().await?;
    let Some((op, shop)) = with_provider(&stack).await? else { return Ok(()) };
    op.was_shown(-HOUR).await?;
    for asking in [&[][..], &ANEW[..]] {
        let back = come(&op, &shop, &mut HashMap::new(), asking, |it| it).await?;
        assert_eq!(parameter(&back, "error").as_deref(), Some("federation.answer-invalid"), "{asking:?}");
    }
    Ok(())
}

/// GitHub never says when. Whoever has nothing else could set nothing up if that did not count.
#[tokio::test]
async fn a_provider_that_never_says_when_is_as_good_as_what_else_its_people_have() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    github.has(1, "cat", "cat@corp.example", true);
    let refused = shop.come_asking("cat", &ANEW).await?;
    assert_eq!(parameter(&refused, "error").as_deref(), Some("federation.not-fresh"));
    let cat = shop.sign_in("cat").await?;
    assert!((0..MOMENT).contains(&age(&cat)?), "{}", cat.claims()?);
    let refused = shop.come_asking("cat", &ANEW).await?;
    assert_eq!(parameter(&refused, "error").as_deref(), Some("federation.not-fresh"), "now known");
    // From when they have an authenticator, that is what is fresh.
    let enrolled = shop.acme.enrol(&cat.access).await?;
    let code = parameter(&shop.come_asking("cat", &ANEW).await?, "code").context("a code")?;
    let shown = ticket(&shop.hand_over(&code, VERIFIER).await?)?;
    let right = shop.acme.second(&shown, "code", &enrolled.authenticator.next_code()?).await?;
    assert!((0..MOMENT).contains(&age(&SignedIn::of(&right)?)?), "{}", right.text);
    Ok(())
}

#[tokio::test]
async fn whoever_has_a_password_shows_it_where_their_provider_does_not_say_when() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    let ann = shop.acme.join("ann").await?;
    let known = shop.acme.sign_in(&ann).await?;
    github.has(1, "ann", "ann@elsewhere.example", false);
    let body = json!({ "provider": "corp", "redirect_uri": RETURN, "code_challenge": CHALLENGE });
    let begun = shop.acme.post(&known.access, "/v1/auth/links/external", &body).await?;
    let url: Url = begun.json["authorization_url"].as_str().context("a url")?.parse()?;
    assert_eq!(parameter(&url, "prompt").as_deref(), Some("select_account"), "nobody links by mistake");
    let cookie = begun.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
    let state = parameter(&url, "state").context("a state")?;
    let linked: Url =
        shop.back(&format!("code=ann&state={state}"), &cookie).await?.header("location").parse()?;
    assert!(parameter(&linked, "code").is_some(), "{linked}");

    let vouched = shop.sign_in("ann").await?;
    assert_eq!(vouched.claims()?["auth_time"], Value::Null);
    assert_eq!(sets_up(&shop, &vouched.access).await?.1, "auth.step-up-required");
    let shown = shop.acme.post(&vouched.access, "/v1/auth/step-up", &json!({ "password": PASSWORD })).await?;
    assert!(shown.status.is_success(), "{}", shown.text);
    assert!(sets_up(&shop, &vouched.access).await?.0.is_success());
    Ok(())
}

/// From the page, to the provider and back: the page to which the provider sends the browser in the end.
async fn by_provider(op: &OidcProvider, tab: &mut Tab, request: &str) -> anyhow::Result<String> {
    let sent = tab.get(&format!("/sign-in/with?provider=corp&request={request}")).await?;
    let there: Url = sent.header("location").parse().with_context(|| sent.text.clone())?;
    let callback = op.walk(there.as_str()).await?;
    let back = tab.get(callback.as_str().strip_prefix(PUBLIC_URL).context("to us")?).await?;
    Ok(back.header("location").strip_prefix(PUBLIC_URL).context("to our page")?.to_owned())
}

#[tokio::test]
async fn a_service_is_told_the_truth_of_a_sign_in_with_a_provider() -> Test {
    let stack = Stack::commands_only().await?;
    let Some((op, shop)) = with_provider(&stack).await? else { return Ok(()) };
    let service = Relying::register(&shop.acme, &tests::relying::shop()).await?;
    // Of whom no page asks the password.
    let nobody = shop.acme.join("nobody").await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let asked = async |tab: &mut Tab, change: &[(&str, Option<&str>)]| {
        let page = tab.get(&service.authorize("openid", change)?).await?;
        let request = page.header("location").split_once("request=").context("a request")?.1.to_owned();
        anyhow::Ok(request)
    };
    op.was_shown(HOUR).await?;
    let request = asked(&mut tab, &[("prompt", Some("login"))]).await?;
    let page = by_provider(&op, &mut tab, &request).await?;
    let refused = tab.get(&page).await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    assert!(refused.text.contains("does not say that you have just signed in there"), "{}", refused.text);
    assert!(tab.cookie("__Host-quipu").is_none(), "nobody is signed in");

    let shown = async |tab: &mut Tab, page: &str| {
        let back = service.walk(tab, &nobody, page).await?;
        let code = parameter(&back, "code").with_context(|| back.to_string())?;
        let tokens = Tokens::of(&service.redeem(&code).await?)?;
        let at = Tokens::said(&tokens.id)?["auth_time"].as_i64().context("a time")?;
        anyhow::Ok(Utc::now().timestamp() - at)
    };
    let request = asked(&mut tab, &[]).await?;
    let page = by_provider(&op, &mut tab, &request).await?;
    let ago = shown(&mut tab, &page).await?;
    assert!((HOUR - MOMENT..HOUR + MOMENT).contains(&ago), "{ago}");
    // Whoever may choose an account has chosen, however old the proof is.
    let request = asked(&mut tab, &[("prompt", Some("select_account"))]).await?;
    op.was_shown(MOMENT / 2).await?;
    let page = by_provider(&op, &mut tab, &request).await?;
    shown(&mut tab, &page).await?;
    op.was_shown(0).await?;
    for change in [("prompt", Some("login")), ("max_age", Some("10"))] {
        let request = asked(&mut tab, &[change]).await?;
        let page = by_provider(&op, &mut tab, &request).await?;
        let ago = shown(&mut tab, &page).await?;
        assert!((0..MOMENT).contains(&ago), "{change:?} {ago}");
    }
    Ok(())
}
