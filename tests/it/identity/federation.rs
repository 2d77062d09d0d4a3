//! Signing in with providers, over HTTP: with one that others made, and with one that a test makes say anything.

mod binding;
mod bounds;
mod checking;
mod freshness;
mod identities;

use std::path::Path;

use anyhow::Context as _;
use domain::organisation::RoleRef;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, StatusCode, Url};
use serde_json::{Value, json};
use tests::authenticator::ticket;
use tests::members::Members;
use tests::oidc::{GitHub, OidcProvider, browser};
use tests::person::{Organisation, SignedIn};
use tests::stack::{Answer, PUBLIC_URL, Stack, answer};
use uuid::Uuid;

type Test = anyhow::Result<()>;

/// Where people go at the end, and what proves that they began.
pub(super) const RETURN: &str = "https://app.example.com/signed-in";
pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(super) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// An organisation that lets people sign in with a provider.
pub(super) struct Shop<'a> {
    pub(super) acme: Organisation<'a>,
    pub(super) owner: String,
    provider: Uuid,
    browser: Client,
}

/// A sign-in that was begun.
pub(super) struct Begun {
    /// Where the browser was sent.
    pub(super) url: Url,
    /// What it keeps.
    pub(super) cookie: String,
}

impl Begun {
    fn state(&self) -> anyhow::Result<String> {
        parameter(&self.url, "state").context("a state")
    }
}

pub(super) fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(it, _)| it == name).map(|(_, value)| value.into_owned())
}

pub(super) fn settings(kind: &str, issuer: &str, client: (&str, &str)) -> Value {
    json!({
        "name": "corp", "title": "The company", "kind": kind, "issuer": issuer, "client_id": client.0,
        "client_secret": client.1, "trusted_domains": ["corp.example"], "return_uris": [RETURN],
    })
}

impl<'a> Shop<'a> {
    pub(super) async fn open(stack: &'a Stack, kind: &str, issuer: &str) -> anyhow::Result<Self> {
        let acme = Organisation::found(stack, "acme").await?;
        let owner = Members::of(stack, acme.tenant)?.join(&[RoleRef::OWNER]).await?.token;
        let made = acme.post(&owner, "/v1/providers", &settings(kind, issuer, ("quipu", "ours"))).await?;
        anyhow::ensure!(made.status == StatusCode::CREATED, "{} {}", made.status, made.text);
        let provider = made.json["id"].as_str().context("an id")?.parse()?;
        Ok(Self { acme, owner, provider, browser: browser()? })
    }

    pub(super) async fn set(&self, settings: &Value) -> anyhow::Result<Answer> {
        let url = format!("{}/v1/providers/{}", self.acme.stack.command_url, self.provider);
        answer(self.acme.stack.request(Method::PUT, &self.owner, &url).json(settings)).await
    }

    pub(super) fn callback(&self) -> String {
        format!("{PUBLIC_URL}/v1/auth/{}/callback", self.provider)
    }

    pub(super) async fn begin(&self) -> anyhow::Result<Begun> {
        self.begin_asking(&[]).await
    }

    /// The same with these parameters, too.
    pub(super) async fn begin_asking(&self, more: &[(&str, &str)]) -> anyhow::Result<Begun> {
        let address = format!("{}/v1/auth/corp", self.acme.stack.command_url);
        let query = [("tenant_slug", "acme"), ("redirect_uri", RETURN), ("code_challenge", CHALLENGE)];
        let query = query.iter().chain(more);
        let sent = self.browser.get(Url::parse_with_params(&address, query)?).send().await?;
        let header = |name| sent.headers().get(name).and_then(|it| it.to_str().ok()).map(ToOwned::to_owned);
        let (url, cookie) = (header(LOCATION), header(SET_COOKIE));
        anyhow::ensure!(sent.status() == StatusCode::SEE_OTHER, "{} {}", sent.status(), sent.text().await?);
        let cookie = cookie.context("a cookie")?;
        for attribute in ["__Host-", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        Ok(Begun { url: url.context("a location")?.parse()?, cookie })
    }

    /// Comes back with this query, from a browser that keeps this cookie.
    pub(super) async fn back(&self, query: &str, cookie: &str) -> anyhow::Result<Answer> {
        self.back_at(self.provider, query, cookie).await
    }

    async fn back_at(&self, provider: Uuid, query: &str, cookie: &str) -> anyhow::Result<Answer> {
        let url = format!("{}/v1/auth/{provider}/callback?{query}", self.acme.stack.command_url);
        answer(self.browser.get(url).header(COOKIE, cookie)).await
    }

    /// A whole sign-in of an account, up to the way back.
    pub(super) async fn come(&self, account: &str) -> anyhow::Result<Url> {
        self.come_asking(account, &[]).await
    }

    /// The same with these parameters, too.
    pub(super) async fn come_asking(&self, account: &str, more: &[(&str, &str)]) -> anyhow::Result<Url> {
        let begun = self.begin_asking(more).await?;
        let back = self.back(&format!("code={account}&state={}", begun.state()?), &begun.cookie).await?;
        anyhow::ensure!(back.status == StatusCode::SEE_OTHER, "{} {}", back.status, back.text);
        let url: Url = back.header("location").parse()?;
        anyhow::ensure!(url.as_str().starts_with(RETURN), "{url}");
        Ok(url)
    }

    pub(super) async fn hand_over(&self, code: &str, verifier: &str) -> anyhow::Result<Answer> {
        self.acme.post("", "/v1/auth/handover", &json!({ "code": code, "verifier": verifier })).await
    }

    /// A whole sign-in of an account.
    pub(super) async fn sign_in(&self, account: &str) -> anyhow::Result<SignedIn> {
        let url = self.come(account).await?;
        let code = parameter(&url, "code").with_context(|| url.to_string())?;
        SignedIn::of(&self.hand_over(&code, VERIFIER).await?)
    }

    /// What a sign-in of an account is refused with.
    async fn refused(&self, account: &str) -> anyhow::Result<String> {
        let url = self.come(account).await?;
        parameter(&url, "error").with_context(|| url.to_string())
    }
}

pub(super) fn subject(signed_in: &SignedIn) -> anyhow::Result<String> {
    Ok(signed_in.claims()?["sub"].as_str().context("a subject")?.to_owned())
}

/// The provider that others made: discovery, keys of three kinds, PKCE, `iss`, the address beside the token.
#[tokio::test]
async fn people_sign_in_with_a_provider_that_others_made() -> Test {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oidc-provider");
    let Some(op) = OidcProvider::start(&folder).await? else { return Ok(()) };
    let stack = Stack::commands_only().await?;
    let shop = Shop::open(&stack, "oidc", &op.issuer).await?;
    let ann = json!({ "email": "Ann@corp.example", "email_verified": true, "given_name": "Ann", "family_name": "Smith" });
    op.is_used_by("ann", &ann).await?;
    let mut people = Vec::new();
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        let (client, secret) = op.register(&shop.callback(), algorithm).await?;
        let set = shop.set(&settings("oidc", &op.issuer, (&client, &secret))).await?;
        assert_eq!(set.status, StatusCode::OK, "{}", set.text);
        let begun = shop.begin().await?;
        let there = op.walk(begun.url.as_str()).await?;
        assert!(there.as_str().starts_with(&shop.callback()), "{there}");
        assert_eq!(parameter(&there, "iss").as_deref(), Some(op.issuer.as_str()), "RFC 9207");
        let back = shop.back(there.query().unwrap_or_default(), &begun.cookie).await?;
        let url: Url = back.header("location").parse().with_context(|| back.text.clone())?;
        let code = parameter(&url, "code").with_context(|| format!("{algorithm} {url}"))?;
        let signed_in = SignedIn::of(&shop.hand_over(&code, VERIFIER).await?)?;
        let claims = signed_in.claims()?;
        assert_eq!((&claims["email"], &claims["amr"]), (&json!("Ann@corp.example"), &json!(["fed"])));
        assert!(shop.acme.is_taken(&signed_in.access).await?);
        people.push(subject(&signed_in)?);
    }
    people.dedup();
    assert_eq!(people.len(), 1, "the same person, whatever the token was signed with");

    // Its code works once, and ours is not exchanged again with it.
    let begun = shop.begin().await?;
    let there = op.walk(begun.url.as_str()).await?;
    let code = parameter(&there, "code").context("a code")?;
    shop.back(there.query().unwrap_or_default(), &begun.cookie).await?;
    let again = shop.begin().await?;
    let query = format!("code={code}&state={}&iss={}", again.state()?, op.issuer);
    let back = shop.back(&query, &again.cookie).await?;
    let url: Url = back.header("location").parse()?;
    assert_eq!(parameter(&url, "error").as_deref(), Some("federation.answer-invalid"));
    // Its answer under another name is nobody's.
    let begun = shop.begin().await?;
    let query = format!("code=c&state={}&iss=https%3A%2F%2Fevil.example", begun.state()?);
    let url: Url = shop.back(&query, &begun.cookie).await?.header("location").parse()?;
    assert_eq!(parameter(&url, "error").as_deref(), Some("federation.answer-invalid"));
    Ok(())
}

pub(super) async fn github(stack: &Stack) -> anyhow::Result<(GitHub, Shop<'_>)> {
    let github = GitHub::start().await?;
    let shop = Shop::open(stack, "github", &github.issuer).await?;
    Ok((github, shop))
}

#[tokio::test]
async fn somebody_new_is_registered_once_and_comes_back_as_themselves() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    github.has(1, "cat", "cat@corp.example", true);
    let first = shop.sign_in("cat").await?;
    assert_eq!(first.claims()?["roles"], json!(["user"]));
    // Another address there is still the same person.
    github.has(1, "cat", "tom@elsewhere.example", false);
    assert_eq!(subject(&shop.sign_in("cat").await?)?, subject(&first)?);
    // A name that was given up and taken by another account is another person.
    github.has(2, "cat", "cat@corp.example", false);
    assert_eq!(shop.refused("cat").await?, "federation.address-not-vouched");
    let choices = answer(stack.request(
        Method::GET,
        "",
        &format!("{}/v1/auth/providers?tenant_slug=acme", stack.command_url),
    ));
    assert_eq!(
        choices.await?.json["providers"],
        json!([{ "name": "corp", "title": "The company", "kind": "github" }])
    );
    Ok(())
}

#[tokio::test]
async fn whoever_has_a_second_factor_shows_it_after_the_provider_too() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    github.has(1, "cat", "cat@corp.example", true);
    let enrolled = shop.acme.enrol(&shop.sign_in("cat").await?.access).await?;
    let come = async || {
        let code = parameter(&shop.come("cat").await?, "code").context("a code")?;
        ticket(&shop.hand_over(&code, VERIFIER).await?)
    };
    let shown = come().await?;
    let wrong = shop.acme.second(&shown, "code", &enrolled.authenticator.wrong_code()?).await?;
    assert_eq!((wrong.status, wrong.code()), (StatusCode::UNAUTHORIZED, "identity.code-invalid"));
    let right = shop.acme.second(&shown, "code", &enrolled.authenticator.next_code()?).await?;
    assert_eq!(SignedIn::of(&right)?.claims()?["amr"], json!(["fed", "otp"]));
    // The link must still stand when the second half is shown.
    let late = come().await?;
    let url = format!("{}/v1/providers/{}", stack.command_url, shop.provider);
    let removed = answer(stack.request(Method::DELETE, &shop.owner, &url)).await?;
    assert!(removed.status.is_success(), "{}", removed.text);
    let refused = shop.acme.second(&late, "recovery_code", &enrolled.recovery_codes[0]).await?;
    assert!(refused.status.is_client_error(), "{} {}", refused.status, refused.text);
    Ok(())
}

#[tokio::test]
async fn a_provider_that_is_removed_lets_nobody_in_from_that_moment() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    github.has(1, "cat", "cat@corp.example", true);
    let code = parameter(&shop.come("cat").await?, "code").context("a code")?;
    let url = format!("{}/v1/providers/{}", stack.command_url, shop.provider);
    let removed = answer(stack.request(Method::DELETE, &shop.owner, &url)).await?;
    assert_eq!(removed.status, StatusCode::OK, "{}", removed.text);
    assert_eq!(shop.hand_over(&code, VERIFIER).await?.code(), "federation.handover-invalid");
    let sent = shop.begin().await.err().context("refused")?.to_string();
    assert!(sent.contains("404"), "{sent}");
    let again = shop.set(&settings("github", &github.issuer, ("quipu", "ours"))).await?;
    assert_eq!(again.code(), "federation.provider-not-found");
    Ok(())
}

#[tokio::test]
async fn setting_a_provider_up_is_the_owners_and_its_secret_comes_back_nowhere() -> Test {
    let stack = Stack::commands_only().await?;
    let (github, shop) = github(&stack).await?;
    let members = Members::of(&stack, shop.acme.tenant)?;
    let admin = members.join(&[RoleRef::ADMIN]).await?;
    let wanted = settings("github", &github.issuer, ("quipu", "the-secret-of-ours"));
    let refused = shop.acme.post(&admin.token, "/v1/providers", &wanted).await?;
    assert_eq!(refused.code(), "auth.permission-missing");
    assert_eq!(shop.acme.post(&shop.owner, "/v1/providers", &wanted).await?.code(), "federation.name-taken");
    let set = shop.set(&wanted).await?;
    assert!(set.status == StatusCode::OK && !set.text.contains("the-secret-of-ours"), "{}", set.text);
    // Without a secret the one before stays; the provider is asked with it.
    let mut renamed = wanted.clone();
    renamed.as_object_mut().context("an object")?.remove("client_secret");
    renamed["title"] = json!("Another title");
    assert_eq!(shop.set(&renamed).await?.status, StatusCode::OK);
    github.has(1, "cat", "cat@corp.example", true);
    shop.sign_in("cat").await?;
    for (field, value, code) in [
        ("issuer", json!("https://evil.example"), "federation.provider-fixed"),
        ("kind", json!("oidc"), "federation.provider-fixed"),
        ("kind", json!("facebook"), "federation.kind-unknown"),
        ("name", json!("login"), "federation.name-reserved"),
        ("issuer", json!("https://a@b"), "federation.issuer-malformed"),
        ("return_uris", json!(["javascript:alert(1)"]), "federation.return-uri-malformed"),
        ("client_secret", json!(""), "request.invalid-field"),
    ] {
        let mut changed = wanted.clone();
        changed[field] = value;
        let told = shop.set(&changed).await?;
        assert_eq!(told.code(), code, "{field} {}", told.text);
    }
    let url = format!("{}/v1/providers", stack.command_url);
    let list = answer(stack.request(Method::GET, &admin.token, &url)).await?;
    let item = &list.json["providers"][0];
    assert_eq!(
        (&item["title"], &item["has_secret"]),
        (&json!("Another title"), &json!(true)),
        "{}",
        list.text
    );
    assert_eq!(item["callback_uri"], json!(shop.callback()));
    assert!(!list.text.contains("the-secret-of-ours"));
    let mut tx = stack.database.superuser().await?;
    let kept: Vec<Vec<u8>> =
        sqlx::query_scalar("select sealed from vault.provider_secrets").fetch_all(&mut tx).await?;
    assert_eq!(kept.len(), 1, "one secret a provider, the newest");
    assert!(!kept[0].windows(18).any(|it| it == b"the-secret-of-ours"));
    let events: Vec<String> =
        sqlx::query_scalar("select payload::text || meta::text from store.events").fetch_all(&mut tx).await?;
    for hidden in ["the-secret-of-ours", "cat@corp.example", "\"cat\""] {
        assert!(!events.iter().any(|it| it.contains(hidden)), "{hidden}");
    }
    Ok(())
}
