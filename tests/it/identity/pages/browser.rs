//! The pages in a real browser: signing in, allowing an application something, connecting a device, and the links of letters;
//! with scripts and without, wide and narrow, in the light and in the dark. Pictures are in `target/screens`.

mod passkeys;
mod set_up;

use std::path::Path;

use anyhow::Context as _;
use domain::application::{RedirectUri, RegisterService};
use domain::ids::ServiceId;
use domain::metadata::Label;
use domain::organisation::RoleRef;
use domain::words::{Scope, Word};
use event_store::vault::Mail;
use reqwest::{Method, StatusCode, Url};
use serde_json::json;
use service_kit::bearer::ClientId;
use tests::browser::{Browser, Reader};
use tests::members::Members;
use tests::person::{Organisation, PASSWORD};
use tests::stack::{Answer, Stack, answer};
use uuid::Uuid;

use super::{ANOTHER, Test};

/// Where the application has people sent back to.
const RETURN: &str = "https://app.example.com/signed-in";
/// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A browser, and what it looks at.
struct Scene<'a> {
    acme: Organisation<'a>,
    site: String,
    browser: Browser,
}

impl<'a> Scene<'a> {
    /// `None`, with a note, where there is no browser.
    async fn set(stack: &'a Stack) -> anyhow::Result<Option<Self>> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let site = stack.command_api_for_browsers().await?;
        let screens = folder.parent().context("the target folder")?.join("screens");
        let Some(browser) = Browser::start(&folder.join("browser"), &screens, &site).await? else {
            return Ok(None);
        };
        Ok(Some(Self { acme: Organisation::found(stack, "acme").await?, site, browser }))
    }

    /// An application that cannot keep a secret: its name in requests.
    async fn application(&self, name: &str) -> anyhow::Result<String> {
        let service = ServiceId::new(Uuid::now_v7());
        let scopes = ["openid", "email", "ledger.read-accounts"].into_iter().map(Scope::parse);
        let register = RegisterService {
            service_id: service,
            name: Label::parse(name)?,
            confidential: false,
            redirect_uris: vec![RedirectUri::parse(RETURN)?],
            grants: vec![Word::of("authorization-code"), Word::of("device-code")],
            scopes: scopes.collect::<Result<_, _>>()?,
            limits: None,
        };
        self.acme.done(register).await?;
        Ok(ClientId { tenant: self.acme.tenant, service }.to_string())
    }

    async fn send(&self, path: &str, fields: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let body =
            Url::parse_with_params("https://x.example", fields)?.query().unwrap_or_default().to_owned();
        let request = self.acme.stack.request(Method::POST, "", &format!("{}{path}", self.site));
        answer(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
    }

    /// Signs somebody in, from the page for their address on.
    async fn sign_in(&mut self, email: &str, password: &str) -> Test {
        self.browser.fill("Email address", email).await?;
        self.browser.fill("Password", password).await?;
        self.browser.press("Sign in").await
    }

    /// Follows a link of a letter, whose page goes on by itself.
    async fn open(&mut self, path: &str, secret: &str) -> Test {
        self.browser.go(&format!("{path}#{secret}")).await?;
        self.browser.arrived(&format!("{}{path}/open", self.site)).await.map(|_| ())
    }

    async fn heading(&mut self) -> anyhow::Result<String> {
        Ok(self.browser.seen().await?.heading)
    }
}

fn authorize(client: &str, more: &[(&str, &str)]) -> anyhow::Result<String> {
    let fields = [
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", RETURN),
        ("scope", "openid email ledger.read-accounts"),
        ("state", "a state"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let url = Url::parse_with_params("https://x.example/oauth2/authorize", fields.iter().chain(more))?;
    Ok(format!("{}?{}", url.path(), url.query().unwrap_or_default()))
}

fn parameter(url: &str, name: &str) -> anyhow::Result<String> {
    let url = Url::parse(url)?;
    let found = url.query_pairs().find(|(it, _)| it == name).map(|(_, value)| value.into_owned());
    found.with_context(|| url.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_in_and_allows_an_application_something() -> Test {
    let stack = Stack::commands_only().await?;
    let Some(mut scene) = Scene::set(&stack).await? else { return Ok(()) };
    let ann = scene.acme.join("ann").await?;
    let client = scene.application("Till <b>No. 1</b>").await?;
    scene.browser.go("/sign-in").await?;
    scene.browser.check("sign-in-organisation").await?;
    scene.browser.fill("Organisation", "acme").await?;
    scene.browser.press("Continue").await?;
    scene.browser.check("sign-in").await?;
    scene.sign_in(&ann.email, "a wrong one").await?;
    let seen = scene.browser.seen().await?;
    assert!(seen.text.contains("do not belong together") && seen.title.starts_with("Error:"), "{seen:?}");
    assert_eq!(scene.browser.value("Email address").await?, ann.email);
    assert_eq!(scene.browser.value("Password").await?, "");
    scene.browser.check("sign-in-refused").await?;
    scene.sign_in(&ann.email, PASSWORD).await?;
    assert_eq!(scene.heading().await?, "You are signed in");
    scene.browser.check("signed-in").await?;

    // Somebody who is signed in is asked once; the application has no say in what they see.
    scene.browser.go(&authorize(&client, &[])?).await?;
    let seen = scene.browser.seen().await?;
    assert_eq!(seen.heading, "Allow access?");
    assert!(seen.text.contains("Till <b>No. 1</b>") && seen.text.contains("know who you are"), "{seen:?}");
    scene.browser.check("consent").await?;
    scene.browser.press("Do not allow").await?;
    let seen = scene.browser.arrived(RETURN).await?;
    assert_eq!(parameter(&seen.url, "error")?, "access_denied");
    scene.browser.go(&authorize(&client, &[])?).await?;
    scene.browser.press("Allow").await?;
    let seen = scene.browser.arrived(RETURN).await?;
    assert_eq!(parameter(&seen.url, "state")?, "a state");
    let code = parameter(&seen.url, "code")?;
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", &*client),
        ("code", &*code),
        ("redirect_uri", RETURN),
        ("code_verifier", VERIFIER),
    ];
    let tokens = scene.send("/oauth2/token", &fields).await?;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.text);
    assert!(tokens.json["id_token"].is_string() && tokens.json["access_token"].is_string());
    // The second time nothing is asked any more.
    scene.browser.go(&authorize(&client, &[])?).await?;
    scene.browser.arrived(RETURN).await?;

    // Whoever is not signed in sees what is wrong before they go back.
    scene.browser.fresh(Reader::default()).await?;
    scene.browser.go(&authorize(&client, &[("response_mode", "fragment")])?).await?;
    let seen = scene.browser.seen().await?;
    assert!(seen.heading == "That did not work" && seen.text.contains("app.example.com"), "{seen:?}");
    assert!(seen.text.contains("Till <b>No. 1</b>") && seen.text.contains("response_mode"), "{seen:?}");
    scene.browser.check("sent-back").await?;
    scene.browser.follow("Back").await?;
    let seen = scene.browser.arrived(RETURN).await?;
    assert_eq!(parameter(&seen.url, "error")?, "invalid_request");

    // Whoever is not signed in does that on the way, in the organisation of the application.
    scene.browser.go(&authorize(&client, &[("login_hint", &ann.email)])?).await?;
    let seen = scene.browser.seen().await?;
    assert!(seen.heading == "Sign in" && seen.text.contains("Till <b>No. 1</b>"), "{seen:?}");
    assert_eq!(scene.browser.value("Email address").await?, ann.email);
    scene.browser.check("sign-in-for-application").await?;
    scene.sign_in(&ann.email, PASSWORD).await?;
    let seen = scene.browser.arrived(RETURN).await?;
    assert!(!parameter(&seen.url, "code")?.is_empty());

    // Signing out asks first.
    scene.browser.go("/sign-out").await?;
    scene.browser.check("sign-out").await?;
    scene.browser.press("Sign out").await?;
    assert_eq!(scene.heading().await?, "You are signed out");
    scene.browser.check("signed-out").await?;
    scene.browser.go("/consent?request=qp_nothing").await?;
    assert_eq!(scene.heading().await?, "That did not work");
    scene.browser.check("error").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_connects_a_device() -> Test {
    let stack = Stack::commands_only().await?;
    let Some(mut scene) = Scene::set(&stack).await? else { return Ok(()) };
    let ann = scene.acme.join("ann").await?;
    let client = scene.application("Television").await?;
    let asked = [("client_id", &*client), ("scope", "openid ledger.read-accounts")];
    let given = scene.send("/oauth2/device_authorization", &asked).await?;
    assert_eq!(given.status, StatusCode::OK, "{}", given.text);
    let text = |name: &str| anyhow::Ok(given.json[name].as_str().context("a text")?.to_owned());
    let (device_code, user_code) = (text("device_code")?, text("user_code")?);
    let link = text("verification_uri_complete")?;
    let path = link.strip_prefix(&scene.site).context("a link to us")?.to_owned();
    scene.browser.go(&path).await?;
    scene.browser.fill("Organisation", "acme").await?;
    scene.browser.press("Continue").await?;
    scene.sign_in(&ann.email, PASSWORD).await?;
    assert_eq!(scene.heading().await?, "Connect a device");
    assert_eq!(scene.browser.value("Code").await?, user_code, "it is still known after the sign-in");
    scene.browser.fill("Code", "BBBB-BBBB").await?;
    scene.browser.press("Continue").await?;
    assert!(scene.browser.seen().await?.text.contains("No device waits with this code."));
    scene.browser.check("device").await?;
    scene.browser.fill("Code", &user_code.to_lowercase().replace('-', " ")).await?;
    scene.browser.press("Continue").await?;
    let seen = scene.browser.seen().await?;
    assert_eq!(seen.heading, "Is this your device?");
    for shown in ["Television", &*user_code, "127.0.0.1"] {
        assert!(seen.text.contains(shown), "{shown} {seen:?}");
    }
    scene.browser.check("device-ask").await?;
    scene.browser.press("Connect").await?;
    assert_eq!(scene.heading().await?, "The device is connected");
    scene.browser.check("device-connected").await?;
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    let poll = [("grant_type", grant), ("client_id", &*client), ("device_code", &*device_code)];
    let tokens = scene.send("/oauth2/token", &poll).await?;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.text);

    let given = scene.send("/oauth2/device_authorization", &asked).await?;
    let text = |name: &str| anyhow::Ok(given.json[name].as_str().context("a text")?.to_owned());
    let (device_code, user_code) = (text("device_code")?, text("user_code")?);
    scene.browser.go("/device").await?;
    scene.browser.fill("Code", &user_code).await?;
    scene.browser.press("Continue").await?;
    scene.browser.press("Do not connect").await?;
    assert_eq!(scene.heading().await?, "The device is not connected");
    let poll = [("grant_type", grant), ("client_id", &*client), ("device_code", &*device_code)];
    assert_eq!(scene.send("/oauth2/token", &poll).await?.json["error"], "access_denied");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_follows_the_links_of_letters() -> Test {
    let stack = Stack::commands_only().await?;
    let Some(mut scene) = Scene::set(&stack).await? else { return Ok(()) };
    let _reactors = stack.with_reactors()?;
    let ann = scene.acme.register("ann").await?;
    let link = scene.acme.link("verify-address", 1).await?;
    scene.browser.go(&format!("/verify#{link}")).await?;
    let seen = scene.browser.seen().await?;
    assert!(!seen.url.contains("qm_") && !seen.text.contains("Code of the link"), "{seen:?}");
    scene.browser.check("verify").await?;
    scene.browser.fill("Password", PASSWORD).await?;
    scene.browser.press("Confirm").await?;
    assert_eq!(scene.heading().await?, "Your address is confirmed");
    scene.browser.check("verified").await?;

    // The link knows the organisation, so nobody has to.
    scene.browser.follow("Sign in").await?;
    scene.browser.follow("Password forgotten?").await?;
    scene.browser.check("forgot").await?;
    scene.browser.fill("Email address", &ann.email).await?;
    scene.browser.press("Send the link").await?;
    assert_eq!(scene.heading().await?, "Look into your mailbox");
    scene.browser.check("sent").await?;
    let link = scene.acme.link("reset", 1).await?;
    scene.open("/reset", &link).await?;
    let seen = scene.browser.seen().await?;
    assert!(!seen.url.contains("qm_") && seen.text.contains("At least 15 characters"), "{seen:?}");
    scene.browser.check("reset").await?;
    scene.browser.fill("New password", "ann@example.com").await?;
    scene.browser.press("Save the password").await?;
    let seen = scene.browser.seen().await?;
    assert!(seen.text.contains("This password is too weak."), "{seen:?}");
    scene.browser.check("reset-weak").await?;
    scene.browser.fill("New password", ANOTHER).await?;
    scene.browser.press("Save the password").await?;
    assert_eq!(scene.heading().await?, "Your password was changed");
    scene.browser.check("reset-done").await?;

    // Without scripts, and in German: the code is put in by hand.
    scene.browser.fresh(Reader { language: "de-AT", scripts: false, ..Reader::default() }).await?;
    scene.browser.go("/forgot").await?;
    scene.browser.fill("Organisation", "acme").await?;
    scene.browser.fill("E-Mail-Adresse", &ann.email).await?;
    scene.browser.press("Link senden").await?;
    let link = scene.acme.link("reset", 2).await?;
    scene.browser.go("/reset").await?;
    assert!(scene.browser.seen().await?.text.contains("Code des Links"));
    scene.browser.fill("Code des Links", &link).await?;
    scene.browser.press("Weiter").await?;
    scene.browser.fill("Neues Passwort", PASSWORD).await?;
    scene.browser.press("Passwort speichern").await?;
    assert_eq!(scene.heading().await?, "Ihr Passwort wurde geändert");
    scene.acme.sign_in(&ann).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_accepts_an_invitation() -> Test {
    let stack = Stack::commands_only().await?;
    let Some(mut scene) = Scene::set(&stack).await? else { return Ok(()) };
    let owner = Members::of(&stack, scene.acme.tenant)?.join(&[RoleRef::OWNER]).await?.token;
    let mut links = Vec::new();
    for (count, name) in ["bob", "cyd"].into_iter().enumerate() {
        let body = json!({ "email": format!("{name}@example.com"), "roles": ["user"] });
        let made = scene.acme.post(&owner, "/v1/invitations", &body).await?;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        let letters = scene.acme.letters("invitation").await?;
        assert_eq!(letters.len(), count + 1);
        let newest = letters.into_iter().next_back().context("a letter")?;
        let Mail::Invitation { token, .. } = newest.mail else { anyhow::bail!("another letter") };
        links.push(token);
    }
    let (bob, cyd) = (&links[0], &links[1]);
    scene.open("/invitation", bob).await?;
    assert!(scene.browser.seen().await?.text.contains("You are invited to join acme."));
    scene.browser.check("invitation").await?;
    scene.browser.fill("Given name (if you like)", "Bob").await?;
    scene.browser.fill("New password", "bob@example.com").await?;
    scene.browser.press("Accept").await?;
    let seen = scene.browser.seen().await?;
    assert!(seen.text.contains("This password is too weak."), "{seen:?}");
    assert_eq!(scene.browser.value("Given name (if you like)").await?, "Bob");
    scene.browser.check("invitation-refused").await?;
    scene.browser.fill("New password", PASSWORD).await?;
    scene.browser.press("Accept").await?;
    assert_eq!(scene.heading().await?, "Welcome");
    scene.browser.check("invitation-accepted").await?;
    assert_eq!(scene.acme.log_in("bob@example.com", PASSWORD).await?.status, StatusCode::OK);
    scene.open("/invitation", cyd).await?;
    scene.browser.press("Decline").await?;
    assert_eq!(scene.heading().await?, "The invitation is declined");
    Ok(())
}
