//! Passkeys on the pages: signing in with one, and going on with one after a password. The browser is in software here, so that it
//! can lie; a real one is in `browser/`.

use anyhow::Context as _;
use domain::organisation::SecondFactor;
use domain::words::Word;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::authenticator::ticket;
use tests::passkey::Passkey;
use tests::person::{Organisation, PASSWORD, Person};
use tests::relying::{Relying, Tokens, left, parameter, shop};
use tests::stack::{Answer, PUBLIC_URL, Stack, answer};
use tests::tab::{Tab, hidden};

use super::super::federation;
use super::{BROWSER, Test, assert_guarded, enter, entered, heading, is_in};

const BUTTON: &str = "Sign in with a passkey";
const NOT_GOOD: &str = "This passkey is not known here";

/// What the page has the browser do.
pub(super) fn options(page: &Answer) -> anyhow::Result<Value> {
    let behind = page.text.split_once("data-options=\"").context("what is asked")?.1;
    let text = behind.split('"').next().unwrap_or_default();
    Ok(serde_json::from_str(&text.replace("&#34;", "\"").replace("&quot;", "\""))?)
}

/// Gives somebody a passkey, over the interface.
async fn keyed(acme: &Organisation<'_>, person: &Person) -> anyhow::Result<Passkey> {
    keyed_in(acme, &acme.sign_in(person).await?.access).await
}

/// The same in a session of theirs.
async fn keyed_in(acme: &Organisation<'_>, access: &str) -> anyhow::Result<Passkey> {
    let passkey = Passkey::at(PUBLIC_URL)?;
    let asked = acme.post(access, "/v1/auth/passkeys/options", &Value::Null).await?;
    let added = acme.post(access, "/v1/auth/passkeys", &passkey.make(&asked.json)?).await?;
    anyhow::ensure!(added.status == StatusCode::CREATED, "{} {}", added.status, added.text);
    Ok(passkey)
}

/// What the script of the page would fill in.
fn signed(passkey: &mut Passkey, page: &Answer) -> anyhow::Result<[(&'static str, String); 4]> {
    let signed = passkey.sign("", &options(page)?)?;
    let text = |name: &str| signed[name].as_str().unwrap_or_default().to_owned();
    Ok([
        ("credential", text("id")),
        ("client_data", text("client_data")),
        ("authenticator_data", text("authenticator_data")),
        ("signature", text("signature")),
    ])
}

/// Begins, and sends what was signed, with these fields beside.
async fn shown(tab: &mut Tab, passkey: &mut Passkey, beside: &[(&str, &str)]) -> anyhow::Result<Answer> {
    let page = tab.send("/sign-in/passkey", beside).await?;
    anyhow::ensure!(heading(&page.text) == "Use your passkey", "{} {}", page.status, page.text);
    let signed = signed(passkey, &page)?;
    let mut fields = beside.to_vec();
    fields.extend(signed.iter().map(|(name, value)| (*name, value.as_str())));
    tab.send("/sign-in/passkey/answer", &fields).await
}

fn assert_refused(answer: &Answer, tab: &Tab, title: &str) {
    assert_eq!((answer.status, heading(&answer.text)), (StatusCode::UNAUTHORIZED, title), "{}", answer.text);
    assert!(answer.text.contains(NOT_GOOD) && tab.cookie(BROWSER).is_none(), "{}", answer.text);
}

#[tokio::test]
async fn a_passkey_leads_to_the_application_and_shows_two_factors() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let mut passkey = keyed(&acme, &ann).await?;
    let shop = Relying::register(&acme, &shop()).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let asked = tab.get(&shop.authorize("openid", &[])?).await?;
    let page = tab.follow(&asked).await?;
    assert!(page.text.contains(BUTTON), "{}", page.text);
    // It waits for the script, which knows whether the browser has any.
    assert!(page.text.contains("action=\"/sign-in/passkey\" data-passkey hidden"), "{}", page.text);
    assert!(page.text.contains("<script src=\"/pages/passkey.js\" defer>"), "{}", page.text);
    let request = hidden(&page.text, "request").context("a request")?;
    let asked = tab.clone().send("/sign-in/passkey", &[("request", &request)]).await?;
    assert_guarded(&asked, "/sign-in/passkey");
    assert!(!asked.header("content-security-policy").contains("connect-src"), "it fetches nothing");
    let what = options(&asked)?;
    assert_eq!((&what["rpId"], &what["userVerification"]), (&json!("quipu.example"), &json!("required")));
    let mut page = shown(&mut tab, &mut passkey, &[("request", &request)]).await?;
    page = tab.follow(&page).await?;
    assert_eq!(heading(&page.text), "Allow access?", "{}", page.text);
    let back = tab.send("/consent", &[("request", &request), ("answer", "allow")]).await?;
    let url = left(&back)?.context("back at the application")?;
    let tokens = Tokens::of(&shop.redeem(&parameter(&url, "code").unwrap_or_default()).await?)?;
    let said = Tokens::said(&tokens.id)?;
    assert_eq!((&said["sub"], &said["amr"]), (&json!(ann.user), &json!(["pop", "mfa"])));
    Ok(())
}

#[tokio::test]
async fn what_was_signed_for_a_page_is_good_once() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let mut passkey = keyed(&acme, &acme.join("ann").await?).await?;
    // One that does not count: so it is the challenge alone that tells a second time.
    passkey.count = None;
    let mut tab = Tab::at(&stack.command_url)?;
    tab.get("/sign-in?organization=acme").await?;
    let page = tab.send("/sign-in/passkey", &[("organization", "acme")]).await?;
    let signed = signed(&mut passkey, &page)?;
    let mut fields = vec![("organization", "acme")];
    fields.extend(signed.iter().map(|(name, value)| (*name, value.as_str())));
    let mut other = tab.clone();
    let done = tab.send("/sign-in/passkey/answer", &fields).await?;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert!(is_in(&mut tab).await?);
    let again = other.send("/sign-in/passkey/answer", &fields).await?;
    assert_refused(&again, &other, "Sign in");
    assert!(!is_in(&mut other).await?);
    Ok(())
}

#[tokio::test]
async fn a_page_takes_no_passkey_of_elsewhere() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let mut passkey = keyed(&acme, &acme.join("ann").await?).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    tab.get("/sign-in?organization=acme").await?;
    let here = [("organization", "acme")];
    for origin in ["https://quipu.example.evil.example", "http://quipu.example", "https://quipu.example:8443"]
    {
        origin.clone_into(&mut passkey.origin);
        let refused = shown(&mut tab, &mut passkey, &here).await?;
        assert_refused(&refused, &tab, "Sign in");
    }
    PUBLIC_URL.clone_into(&mut passkey.origin);
    // Nobody showed that it is the owner.
    passkey.flags = 0x01;
    assert_refused(&shown(&mut tab, &mut passkey, &here).await?, &tab, "Sign in");
    passkey.flags = 0x05;
    // Of another organisation it is nothing, and what another one asked for is nothing here.
    Organisation::found(&stack, "other").await?;
    let refused = shown(&mut tab, &mut passkey, &[("organization", "other")]).await?;
    assert_refused(&refused, &tab, "Sign in");
    let page = tab.send("/sign-in/passkey", &[("organization", "other")]).await?;
    let signed = signed(&mut passkey, &page)?;
    let mut fields = here.to_vec();
    fields.extend(signed.iter().map(|(name, value)| (*name, value.as_str())));
    assert_refused(&tab.send("/sign-in/passkey/answer", &fields).await?, &tab, "Sign in");
    // One that nobody added, and one whose script did nothing.
    let refused = shown(&mut tab, &mut Passkey::at(PUBLIC_URL)?, &here).await?;
    assert_refused(&refused, &tab, "Sign in");
    let empty = tab.send("/sign-in/passkey/answer", &here).await?;
    assert_eq!(empty.status, StatusCode::BAD_REQUEST, "{}", empty.text);
    // Which organisations there are nobody learns by it.
    let refused = shown(&mut tab, &mut passkey, &[("organization", "none")]).await?;
    assert_refused(&refused, &tab, "Sign in");
    tab.get("/sign-in?organization=acme").await?;
    let done = shown(&mut tab, &mut passkey, &here).await?;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert!(is_in(&mut tab).await?);
    Ok(())
}

#[tokio::test]
async fn after_a_password_the_passkey_must_be_of_the_same_person() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let (ann, bob) = (acme.join("ann").await?, acme.join("bob").await?);
    let session = acme.sign_in(&ann).await?;
    acme.enrol(&session.access).await?;
    let (mut anns, mut bobs) = (keyed_in(&acme, &session.access).await?, keyed(&acme, &bob).await?);
    let cyd = acme.join("cyd").await?;
    acme.enrol(&acme.sign_in(&cyd).await?.access).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let page = entered(&mut tab, "acme", &cyd.email, PASSWORD).await?;
    assert!(heading(&page.text) == "One more step" && !page.text.contains(BUTTON), "she has none");
    let cyds = hidden(&page.text, "ticket").context("a ticket")?;
    let page = entered(&mut tab, "acme", &ann.email, PASSWORD).await?;
    assert!(heading(&page.text) == "One more step" && page.text.contains(BUTTON), "{}", page.text);
    assert_guarded(&page, "/sign-in");
    let told = acme.log_in(&ann.email, PASSWORD).await?;
    assert_eq!(told.json["details"]["factors"], "totp recovery-code passkey", "as programs are told");
    let ticket = hidden(&page.text, "ticket").context("a ticket")?;
    let halves = [("organization", "acme"), ("ticket", &*ticket)];
    assert_refused(&shown(&mut tab, &mut bobs, &halves).await?, &tab, "One more step");
    for other in [&*cyds, "qf_nobodys"] {
        let refused = shown(&mut tab, &mut anns, &[("organization", "acme"), ("ticket", other)]).await?;
        assert_refused(&refused, &tab, "One more step");
        assert!(!refused.text.contains(BUTTON), "a ticket tells of nobody else: {}", refused.text);
    }
    let done = shown(&mut tab, &mut anns, &halves).await?;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert!(is_in(&mut tab).await?);
    Ok(())
}

/// What the script of the page would fill in for a passkey that is made.
fn made(passkey: &Passkey, page: &Answer) -> anyhow::Result<[(&'static str, String); 2]> {
    let made = passkey.make(&options(page)?)?;
    let text = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
    Ok([("client_data", text("client_data")), ("attestation", text("attestation"))])
}

async fn answered(tab: &mut Tab, made: &[(&str, String)], beside: &[(&str, &str)]) -> anyhow::Result<Answer> {
    let mut fields = beside.to_vec();
    fields.extend(made.iter().map(|(name, value)| (*name, value.as_str())));
    tab.send("/passkey/set-up/answer", &fields).await
}

#[tokio::test]
async fn somebody_sets_a_passkey_up_and_nobody_sets_one_up_for_them() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let (ann, bob) = (acme.join("ann").await?, acme.join("bob").await?);
    let (mut tab, mut other) = (enter(&acme, &ann).await?, enter(&acme, &bob).await?);
    assert!(tab.get("/sign-in").await?.text.contains("Set up a passkey"));
    other.get("/sign-in").await?;
    let page = tab.send("/passkey/set-up", &[]).await?;
    assert_eq!(heading(&page.text), "Set up a passkey", "{}", page.text);
    assert_guarded(&page, "/passkey/set-up");
    let what = options(&page)?;
    assert_eq!((&what["rp"]["id"], &what["user"]["name"]), (&json!("quipu.example"), &json!(ann.email)));
    let mut passkey = Passkey::at(PUBLIC_URL)?;
    let given = made(&passkey, &page)?;
    // What Ann was asked to make is of no use to Bob; and then it is used up for nobody.
    let refused = answered(&mut other, &given, &[]).await?;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{}", refused.text);
    assert!(refused.text.contains(NOT_GOOD), "{}", refused.text);
    let mut elsewhere = Passkey::at(PUBLIC_URL)?;
    "https://evil.example".clone_into(&mut elsewhere.origin);
    let refused = answered(&mut tab, &made(&elsewhere, &page)?, &[]).await?;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{}", refused.text);
    assert!(refused.text.contains("href=\"/sign-in\""), "and there is a way on: {}", refused.text);
    let done = answered(&mut tab, &given, &[]).await?;
    assert_eq!(
        (done.status, heading(&done.text)),
        (StatusCode::OK, "Your passkey is set up"),
        "{}",
        done.text
    );
    // This session has shown a password alone, which now is not all that she has: she shows the passkey first.
    for page in [tab.send("/passkey/set-up", &[]).await?, answered(&mut tab, &given, &[]).await?] {
        assert_eq!((page.status, heading(&page.text)), (StatusCode::FORBIDDEN, "Sign in"), "{}", page.text);
        assert!(page.text.contains("this sign-in has shown none") && page.text.contains(&ann.email));
    }
    assert_eq!(acme.letters("factors-changed").await?.len(), 1, "the person is told of it");
    let mut fresh = Tab::at(&stack.command_url)?;
    fresh.get("/sign-in?organization=acme").await?;
    let into = shown(&mut fresh, &mut passkey, &[("organization", "acme")]).await?;
    assert_eq!(into.status, StatusCode::SEE_OTHER, "{}", into.text);
    assert!(fresh.get("/sign-in").await?.text.contains(&ann.email));
    let again = answered(&mut fresh, &given, &[]).await?;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED, "it was asked for once: {}", again.text);
    Ok(())
}

#[tokio::test]
async fn whoever_needs_two_factors_sets_a_passkey_up_and_shows_them_with_it() -> Test {
    let stack = Stack::commands_only().await?;
    let acme = Organisation::found(&stack, "acme").await?;
    let ann = acme.join("ann").await?;
    let shop = Relying::register(&acme, &shop()).await?;
    acme.ask(|it| it.second_factor = SecondFactor::Required).await?;
    let mut tab = Tab::at(&stack.command_url)?;
    let asked = tab.get(&shop.authorize("openid", &[])?).await?;
    let page = tab.follow(&asked).await?;
    let request = hidden(&page.text, "request").context("a request")?;
    let onward = [("request", &*request)];
    let password = [onward[0], ("email", &ann.email), ("password", PASSWORD)];
    let page = tab.send("/sign-in", &password).await?;
    let page = tab.follow(&page).await?;
    assert!(page.text.contains("Set up a passkey"), "{} {}", page.status, page.text);
    let mut passkey = Passkey::at(PUBLIC_URL)?;
    let page = tab.send("/passkey/set-up", &onward).await?;
    let made = made(&passkey, &page)?;
    let page = answered(&mut tab, &made, &onward).await?;
    assert_eq!(heading(&page.text), "Your passkey is set up", "{}", page.text);
    // To have made one shows nothing yet: the way on leads over using it, and whoever comes by a password is told so.
    let past = tab.clone().send("/consent", &[onward[0], ("answer", "allow")]).await?;
    assert_eq!(past.header("location"), format!("/sign-in?request={request}"), "{}", past.text);
    let again = tab.clone().follow(&past).await?;
    assert_eq!((again.status, heading(&again.text)), (StatusCode::FORBIDDEN, "Sign in"));
    assert!(
        again.text.contains("this sign-in has shown none") && again.text.contains(BUTTON),
        "{}",
        again.text
    );
    let signed = signed(&mut passkey, &page)?;
    let mut fields = onward.to_vec();
    fields.extend(signed.iter().map(|(name, value)| (*name, value.as_str())));
    let page = tab.send("/sign-in/passkey/answer", &fields).await?;
    let page = tab.follow(&page).await?;
    assert_eq!(heading(&page.text), "Allow access?", "{}", page.text);
    let back = tab.send("/consent", &[onward[0], ("answer", "allow")]).await?;
    let url = left(&back)?.context("back at the application")?;
    let tokens = Tokens::of(&shop.redeem(&parameter(&url, "code").unwrap_or_default()).await?)?;
    assert_eq!(Tokens::said(&tokens.id)?["amr"], json!(["pop", "mfa"]));
    // Where nobody may have one, none is offered and none is taken.
    acme.ask(|it| it.second_factor = SecondFactor::Off).await?;
    assert!(!tab.get("/sign-in").await?.text.contains("Set up a passkey"));
    let off = tab.send("/passkey/set-up", &[]).await?;
    assert_eq!((off.status, heading(&off.text)), (StatusCode::CONFLICT, "That did not work"), "{}", off.text);
    Ok(())
}

/// A passkey would let them in by itself; but they came on the word of a provider.
#[tokio::test]
async fn whoever_goes_on_with_a_passkey_after_a_provider_is_let_in_while_its_word_counts() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, provided) = federation::github(&stack).await?;
    let acme = &provided.acme;
    github.has(1, "cat", "cat@corp.example", true);
    let session = provided.sign_in("cat").await?;
    acme.enrol(&session.access).await?;
    let mut passkey = keyed_in(acme, &session.access).await?;
    let halfway = async || {
        let code = parameter(&provided.come("cat").await?, "code").context("a code")?;
        ticket(&provided.hand_over(&code, federation::VERIFIER).await?)
    };
    // Whether a window is let in with what is sent.
    let mut lets_in = async |beside: &[(&str, &str)]| {
        let mut tab = Tab::at(&stack.command_url)?;
        tab.get("/sign-in?organization=acme").await?;
        let done = shown(&mut tab, &mut passkey, beside).await?;
        anyhow::Ok((done.status, is_in(&mut tab).await?))
    };
    let here = ("organization", "acme");
    let first = halfway().await?;
    assert_eq!(lets_in(&[here, ("ticket", &first)]).await?, (StatusCode::SEE_OTHER, true));

    // The policy names other providers by now.
    let late = halfway().await?;
    acme.ask(|it| it.providers = Some(vec![Word::of("google")])).await?;
    assert_eq!(lets_in(&[here, ("ticket", &late)]).await?, (StatusCode::NOT_FOUND, false));
    assert_eq!(lets_in(&[here]).await?, (StatusCode::SEE_OTHER, true), "who did not come by it goes on");
    acme.ask(|_| ()).await?;
    // The link is given up by now.
    let late = halfway().await?;
    let links = format!("{}/v1/auth/links/external", stack.command_url);
    let listed = answer(stack.request(Method::GET, &session.access, &links)).await?;
    let link = listed.json["links"][0]["id"].as_str().with_context(|| listed.text.clone())?;
    let url = format!("{links}/{link}");
    let given_up = answer(stack.request(Method::DELETE, &session.access, &url)).await?;
    assert_eq!(given_up.status, StatusCode::OK, "{}", given_up.text);
    assert_eq!(lets_in(&[here, ("ticket", &late)]).await?, (StatusCode::UNAUTHORIZED, false));
    Ok(())
}
