//! Providers with which people sign in: one of OpenID Connect that others made, and one that looks like GitHub and says
//! whatever a test wants.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::stack::listener;
use crate::tools;

const STARTS_WITHIN: Duration = Duration::from_secs(20);
/// Steps from the provider's first page to the way back.
const STEPS_MAX: usize = 10;
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/oidc-provider/provider.mjs");

/// A browser that does not run away: it goes where it is sent only if it is told to.
///
/// # Errors
/// If there is none.
pub fn browser() -> anyhow::Result<Client> {
    service_kit::install_crypto();
    Ok(Client::builder().redirect(Policy::none()).no_proxy().build()?)
}

/// npm's oidc-provider.
pub struct OidcProvider {
    /// Who it says that it is.
    pub issuer: String,
    http: Client,
    _process: Child,
}

impl OidcProvider {
    /// Starts one; `None`, with a note, where Node or its packages cannot be had. They are kept in `folder`.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(folder: &Path) -> anyhow::Result<Option<Self>> {
        let Some(program) = tools::node(folder, Path::new(PROGRAM)).await? else { return Ok(None) };
        let mut process = Command::new("node")
            .arg(program)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(process.stdout.take().context("its output")?).lines();
        let issuer = tokio::time::timeout(STARTS_WITHIN, lines.next_line()).await??.context("its address")?;
        Ok(Some(Self { issuer, http: browser()?, _process: process }))
    }

    /// Says who signs in from now on, and what is told of them.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn is_used_by(&self, sub: &str, claims: &Value) -> anyhow::Result<()> {
        let url = Url::parse_with_params(
            &format!("{}/test/person", self.issuer),
            [("sub", sub), ("claims", &claims.to_string())],
        )?;
        self.http.get(url).send().await?.error_for_status()?;
        Ok(())
    }

    /// Says how many seconds ago whoever signs in from now on showed it who they are.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn was_shown(&self, seconds_ago: i64) -> anyhow::Result<()> {
        let url = format!("{}/test/shown?ago={seconds_ago}", self.issuer);
        self.http.get(url).send().await?.error_for_status()?;
        Ok(())
    }

    /// Makes a client known whose ID tokens are signed with this algorithm: its name and secret.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn register(&self, redirect_uri: &str, algorithm: &str) -> anyhow::Result<(String, String)> {
        let client = json!({
            "redirect_uris": [redirect_uri], "id_token_signed_response_alg": algorithm,
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        });
        let answer: Value =
            self.http.post(format!("{}/reg", self.issuer)).json(&client).send().await?.json().await?;
        let text = |name: &str| answer[name].as_str().map(ToOwned::to_owned).context(answer.to_string());
        Ok((text("client_id")?, text("client_secret")?))
    }

    /// Who it says that an access token of its is of; `None` if it takes the token no more.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn subject_of(&self, access_token: &str) -> anyhow::Result<Option<String>> {
        let answer = self.http.get(format!("{}/me", self.issuer)).bearer_auth(access_token).send().await?;
        if !answer.status().is_success() {
            return Ok(None);
        }
        let claims: Value = answer.json().await?;
        Ok(claims["sub"].as_str().map(ToOwned::to_owned))
    }

    /// Goes through all of its pages as a browser would that was never there, until it sends the browser back to somebody else.
    ///
    /// # Errors
    /// If it does not.
    pub async fn walk(&self, begin: &str) -> anyhow::Result<Url> {
        self.walk_in(&mut HashMap::new(), begin).await
    }

    /// The same in a browser that keeps these cookies, by name.
    ///
    /// # Errors
    /// As [`OidcProvider::walk`].
    pub async fn walk_in(&self, cookies: &mut HashMap<String, String>, begin: &str) -> anyhow::Result<Url> {
        let mut next = Url::parse(begin)?;
        for _ in 0..STEPS_MAX {
            let kept: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let answer = self.http.get(next.clone()).header(COOKIE, kept.join("; ")).send().await?;
            for cookie in answer.headers().get_all(SET_COOKIE) {
                let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
                let (name, value) = pair.split_once('=').context("a cookie")?;
                cookies.insert(name.to_owned(), value.to_owned());
            }
            let Some(location) = answer.headers().get(LOCATION) else {
                anyhow::bail!("{} {}", answer.status(), answer.text().await?);
            };
            next = next.join(location.to_str()?)?;
            if !next.as_str().starts_with(&self.issuer) {
                return Ok(next);
            }
        }
        anyhow::bail!("it sends the browser round and round")
    }
}

/// An account at [`GitHub`].
#[derive(Debug, Clone)]
pub struct Account {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub login: String,
    /// Its address.
    pub email: String,
    /// Whether that is verified.
    pub is_verified: bool,
    /// How often its tokens were exchanged for newer ones.
    pub refreshed: u32,
    /// How often somebody showed a refresh token that was good no more.
    pub misused: u32,
}

type Accounts = Arc<Mutex<HashMap<String, Account>>>;

/// A server with the addresses of GitHub Enterprise. The code of an account is its name, and so is what its tokens begin with.
/// A refresh token is good once.
pub struct GitHub {
    /// Its address.
    pub issuer: String,
    accounts: Accounts,
}

impl GitHub {
    /// Starts one.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn start() -> anyhow::Result<Self> {
        let (listener, address) = listener().await?;
        let accounts = Accounts::default();
        let router = Router::new()
            .route("/login/oauth/access_token", post(token))
            .route("/api/v3/user", get(user))
            .route("/api/v3/user/emails", get(mails))
            .with_state(Arc::clone(&accounts));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { issuer: format!("http://{address}"), accounts })
    }

    /// Makes an account, or changes it.
    pub fn has(&self, id: u64, login: &str, email: &str, is_verified: bool) {
        let (login, email) = (login.to_owned(), email.to_owned());
        let account = Account { id, login: login.clone(), email, is_verified, refreshed: 0, misused: 0 };
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).insert(login, account);
    }

    /// An account as it is by now.
    #[must_use]
    pub fn account(&self, login: &str) -> Option<Account> {
        known(&self.accounts, login)
    }

    /// Whose token it is, and after how many exchanges it was given.
    #[must_use]
    pub fn told(token: &str) -> Option<(&str, u32)> {
        let (login, exchanges) = token.split_once('~')?;
        Some((login, exchanges.parse().ok()?))
    }
}

fn known(accounts: &Accounts, login: &str) -> Option<Account> {
    accounts.lock().unwrap_or_else(PoisonError::into_inner).get(login).cloned()
}

fn bearer(accounts: &Accounts, headers: &HeaderMap) -> Option<Account> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (login, _) = GitHub::told(text.strip_prefix("Bearer ")?)?;
    known(accounts, login)
}

async fn token(State(accounts): State<Accounts>, body: String) -> impl IntoResponse {
    let form = Url::parse(&format!("form:?{body}")).ok();
    let field = |name: &str| {
        let pairs = form.iter().flat_map(Url::query_pairs);
        pairs.filter(|(it, _)| it == name).map(|(_, value)| value.into_owned()).next().unwrap_or_default()
    };
    let tokens = |login: &str, exchanges: u32| {
        json!({
            "access_token": format!("{login}~{exchanges}"), "refresh_token": format!("{login}~{exchanges}"),
            "token_type": "bearer", "expires_in": 28_800, "scope": "read:user,user:email",
        })
    };
    if field("grant_type") == "refresh_token" {
        let (shown, mut accounts) =
            (field("refresh_token"), accounts.lock().unwrap_or_else(PoisonError::into_inner));
        let held =
            GitHub::told(&shown).and_then(|(login, exchanges)| Some((accounts.get_mut(login)?, exchanges)));
        return axum::Json(match held {
            Some((account, exchanges)) if account.refreshed == exchanges => {
                account.refreshed += 1;
                tokens(&account.login, account.refreshed)
            }
            Some((account, _)) => {
                account.misused += 1;
                json!({ "error": "bad_refresh_token" })
            }
            None => json!({ "error": "bad_refresh_token" }),
        });
    }
    let code = field("code");
    let account = known(&accounts, &code).filter(|_| !field("code_verifier").is_empty());
    // What it refuses it refuses with status 200.
    axum::Json(match account {
        Some(account) => tokens(&account.login, account.refreshed),
        None => json!({ "error": "bad_verification_code" }),
    })
}

async fn user(State(accounts): State<Accounts>, headers: HeaderMap) -> impl IntoResponse {
    axum::Json(
        bearer(&accounts, &headers)
            .map_or_else(|| json!({}), |it| json!({ "id": it.id, "login": it.login, "email": null })),
    )
}

async fn mails(State(accounts): State<Accounts>, headers: HeaderMap) -> impl IntoResponse {
    axum::Json(bearer(&accounts, &headers).map_or_else(
        || json!([]),
        |it| json!([{ "email": it.email, "primary": true, "verified": it.is_verified }]),
    ))
}
