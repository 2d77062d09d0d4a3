//! A service that lets people of an organisation sign in, as a client of OAuth over HTTP.

use anyhow::Context as _;
use domain::organisation::RoleRef;
use reqwest::{Client, Method, StatusCode, Url};
use serde_json::{Value, json};

use crate::members::Members;
use crate::oidc::browser;
use crate::person::{Organisation, PASSWORD, Person};
use crate::stack::{Answer, PUBLIC_URL, answer};
use crate::tab::{Tab, hidden};

/// Where people are sent back to.
pub const BACK: &str = "https://shop.example/back";
/// What proves that the service began, and its SHA-256: the example of RFC 7636, appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// The challenge of [`VERIFIER`].
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// The grant of a device.
pub const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Steps from one page to the next at most.
const STEPS_MAX: usize = 8;

/// A service of an organisation.
pub struct Relying<'a> {
    /// Whose.
    pub of: &'a Organisation<'a>,
    /// The token of an owner, who has just signed in.
    pub owner: String,
    /// Its id.
    pub id: String,
    /// The same, as OAuth has it.
    pub client_id: String,
    /// Its secret, if it can keep one.
    pub secret: Option<String>,
    http: Client,
}

/// What a service is registered with that may do everything.
#[must_use]
pub fn shop() -> Value {
    json!({
        "name": "Shop", "confidential": true, "redirect_uris": [BACK],
        "grants": ["authorization-code", "client-credentials", "device-code", "refresh-token"],
        "scopes": ["openid", "profile", "email", "ledger.read-accounts", "reports:read"],
    })
}

impl<'a> Relying<'a> {
    /// Registers one, with a secret if it can keep one.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn register(of: &'a Organisation<'a>, body: &Value) -> anyhow::Result<Self> {
        let owner = Members::of(of.stack, of.tenant)?.join(&[RoleRef::OWNER]).await?.token;
        let made = of.post(&owner, "/v1/services", body).await?;
        anyhow::ensure!(made.status == StatusCode::CREATED, "{} {}", made.status, made.text);
        let text = |name: &str| made.json[name].as_str().map(ToOwned::to_owned).context(made.text.clone());
        let (id, client_id) = (text("id")?, text("client_id")?);
        let mut it = Self { of, owner, id, client_id, secret: None, http: browser()? };
        if body["confidential"] == true {
            it.secret = Some(it.new_secret().await?.1);
        }
        Ok(it)
    }

    /// One more secret of it, with its name.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn new_secret(&self) -> anyhow::Result<(String, String)> {
        let made = self.command("/secrets", &json!({})).await?;
        anyhow::ensure!(made.status == StatusCode::OK, "{} {}", made.status, made.text);
        let text = |name: &str| made.json[name].as_str().map(ToOwned::to_owned).context(made.text.clone());
        Ok((text("secret_id")?, text("secret")?))
    }

    /// What the owner does with it.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn command(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.of.post(&self.owner, &format!("/v1/services/{}{path}", self.id), body).await
    }

    /// The owner takes something away, of which this is the path.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        let url = format!("{}/v1/services/{}{path}", self.of.stack.command_url, self.id);
        answer(self.of.stack.request(Method::DELETE, &self.owner, &url)).await
    }

    /// Posts a form to an endpoint, and shows who it is by HTTP Basic, or by its name alone.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn ask(&self, endpoint: &str, fields: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let url = format!("{}/oauth2/{endpoint}", self.of.stack.command_url);
        self.ask_at(&url, fields).await
    }

    /// The same of one process.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn ask_at(&self, url: &str, fields: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let request = self.http.post(url);
        match &self.secret {
            Some(secret) => answer(form(request.basic_auth(&self.client_id, Some(secret)), fields)).await,
            None => answer(form(request, &[fields, &[("client_id", &self.client_id)]].concat())).await,
        }
    }

    /// Exchanges something for tokens.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn token(&self, fields: &[(&str, &str)]) -> anyhow::Result<Answer> {
        self.ask("token", fields).await
    }

    /// Exchanges a code.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn redeem(&self, code: &str) -> anyhow::Result<Answer> {
        let fields = [("code", code), ("redirect_uri", BACK), ("code_verifier", VERIFIER)];
        self.token(&[&fields[..], &[("grant_type", "authorization_code")]].concat()).await
    }

    /// Exchanges a refresh token.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn refresh(&self, token: &str) -> anyhow::Result<Answer> {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// Where it sends people to sign in, with parameters of which some are others, or none.
    ///
    /// # Errors
    /// If it is no address.
    pub fn authorize(&self, scope: &str, change: &[(&str, Option<&str>)]) -> anyhow::Result<String> {
        let mut pairs = vec![
            ("client_id", self.client_id.as_str()),
            ("redirect_uri", BACK),
            ("response_type", "code"),
            ("scope", scope),
            ("state", "a state"),
            ("nonce", "a nonce"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in change {
            pairs.retain(|(it, _)| it != name);
            pairs.extend(value.map(|it| (*name, it)));
        }
        let url = Url::parse_with_params("https://it/oauth2/authorize", pairs)?;
        Ok(format!("/oauth2/authorize?{}", url.query().unwrap_or_default()))
    }

    /// Somebody signs in and allows everything: the code.
    ///
    /// # Errors
    /// If they do not come to it.
    pub async fn code(&self, person: &Person, scope: &str) -> anyhow::Result<String> {
        let mut tab = Tab::at(&self.of.stack.command_url)?;
        let url = self.walk(&mut tab, person, &self.authorize(scope, &[])?).await?;
        parameter(&url, "code").with_context(|| url.to_string())
    }

    /// Somebody signs in to the service: its tokens.
    ///
    /// # Errors
    /// If they do not come to it.
    pub async fn sign_in(&self, person: &Person, scope: &str) -> anyhow::Result<Tokens> {
        Tokens::of(&self.redeem(&self.code(person, scope).await?).await?)
    }

    /// Goes through all pages as a person would who allows everything, until they are sent back to the service.
    ///
    /// # Errors
    /// If they are not.
    pub async fn walk(&self, tab: &mut Tab, person: &Person, begin: &str) -> anyhow::Result<Url> {
        let mut page = tab.get(begin).await?;
        for _ in 0..STEPS_MAX {
            if let Some(url) = left(&page)? {
                return Ok(url);
            }
            page = if page.status == StatusCode::SEE_OTHER {
                tab.follow(&page).await?
            } else if let Some(request) = hidden(&page.text, "request") {
                if page.text.contains("name=\"password\"") {
                    let fields = [("request", &*request), ("email", &person.email), ("password", PASSWORD)];
                    tab.send("/sign-in", &fields).await?
                } else {
                    tab.send("/consent", &[("request", &request), ("answer", "allow")]).await?
                }
            } else {
                anyhow::bail!("{} {}", page.status, page.text);
            };
        }
        anyhow::bail!("they are sent round and round")
    }
}

/// What a service got for a person.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Says who acts, and for whom.
    pub access: String,
    /// Gets the next two.
    pub refresh: String,
    /// Says who signed in.
    pub id: String,
}

impl Tokens {
    /// Of an answer; what is not in it is empty.
    ///
    /// # Errors
    /// If it is a refusal.
    pub fn of(answer: &Answer) -> anyhow::Result<Self> {
        anyhow::ensure!(answer.status == StatusCode::OK, "{} {}", answer.status, answer.text);
        let text = |name: &str| answer.json[name].as_str().unwrap_or_default().to_owned();
        Ok(Self { access: text("access_token"), refresh: text("refresh_token"), id: text("id_token") })
    }

    /// What a token says, without asking whether it is right.
    ///
    /// # Errors
    /// If it is none.
    pub fn said(token: &str) -> anyhow::Result<Value> {
        use base64::Engine as _;
        let payload = token.split('.').nth(1).context("a payload")?;
        Ok(serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload)?)?)
    }
}

/// Where a page sends the browser that is not ours.
///
/// # Errors
/// If it is no address.
pub fn left(page: &Answer) -> anyhow::Result<Option<Url>> {
    let refreshed = page.text.split_once("http-equiv=\"refresh\" content=\"0;url=").map(|it| it.1);
    let refreshed = refreshed
        .and_then(|it| it.split('"').next())
        .map(|it| it.replace("&#38;", "&").replace("&amp;", "&"));
    let to = match page.status {
        StatusCode::SEE_OTHER => Some(page.header("location").to_owned()),
        _ => refreshed,
    };
    let elsewhere = to.filter(|it| !it.starts_with('/') && !it.starts_with(PUBLIC_URL));
    Ok(elsewhere.map(|it| it.parse()).transpose()?)
}

/// A parameter of an address.
#[must_use]
pub fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(it, _)| it == name).map(|(_, value)| value.into_owned())
}

/// A form, as it is sent.
pub fn form(request: reqwest::RequestBuilder, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let body = Url::parse_with_params("form:", fields).ok();
    let body = body.and_then(|it| it.query().map(ToOwned::to_owned)).unwrap_or_default();
    request.header("content-type", "application/x-www-form-urlencoded").body(body)
}
