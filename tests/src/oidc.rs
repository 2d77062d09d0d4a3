//! Providers with which people sign in: one of OpenID Connect that others made, and one that looks like GitHub and says
//! whatever a test wants.

use std::collections::HashMap;
use std::io::Write as _;
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

const STARTS_WITHIN: Duration = Duration::from_secs(20);
/// Steps from the provider's first page to the way back.
const STEPS_MAX: usize = 10;
const TOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/oidc-provider");

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
        if !installed(folder).await? {
            return Ok(None);
        }
        let mut process = Command::new("node")
            .arg("provider.mjs")
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

    /// Makes a client known whose ID tokens are signed with this algorithm: its name and secret.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn register(&self, redirect_uri: &str, algorithm: &str) -> anyhow::Result<(String, String)> {
        let client = json!({
            "redirect_uris": [redirect_uri], "id_token_signed_response_alg": algorithm,
            "grant_types": ["authorization_code"], "response_types": ["code"],
        });
        let answer: Value =
            self.http.post(format!("{}/reg", self.issuer)).json(&client).send().await?.json().await?;
        let text = |name: &str| answer[name].as_str().map(ToOwned::to_owned).context(answer.to_string());
        Ok((text("client_id")?, text("client_secret")?))
    }

    /// Goes through all of its pages as a browser would, until it sends the browser back to somebody else.
    ///
    /// # Errors
    /// If it does not.
    pub async fn walk(&self, begin: &str) -> anyhow::Result<Url> {
        let mut cookies = HashMap::<String, String>::new();
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

/// Whether the packages that the lock file pins are in the folder, with the program.
async fn installed(folder: &Path) -> anyhow::Result<bool> {
    std::fs::create_dir_all(folder)?;
    for name in ["package.json", "provider.mjs"] {
        std::fs::copy(Path::new(TOOL).join(name), folder.join(name))?;
    }
    let (note, lock) = (folder.join("installed.json"), Path::new(TOOL).join("package-lock.json"));
    let wanted = std::fs::read_to_string(&lock)?;
    if std::fs::read_to_string(&note).is_ok_and(|it| it == wanted) {
        return Ok(true);
    }
    std::fs::copy(&lock, folder.join("package-lock.json"))?;
    let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
    let output = Command::new("npm").args(arguments).current_dir(folder).stdin(Stdio::null()).output().await;
    let failure = match output {
        Ok(output) if output.status.success() => {
            std::fs::write(note, wanted)?;
            return Ok(true);
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned(),
        Err(error) => error.to_string(),
    };
    writeln!(std::io::stderr(), "NOT RUN: packages of Node cannot be installed: {failure}")?;
    Ok(false)
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
}

type Accounts = Arc<Mutex<HashMap<String, Account>>>;

/// A server with the addresses of GitHub Enterprise. The code of an account is its name, and so is its token.
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
        let account = Account { id, login: login.to_owned(), email: email.to_owned(), is_verified };
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).insert(login.to_owned(), account);
    }
}

fn known(accounts: &Accounts, login: &str) -> Option<Account> {
    accounts.lock().unwrap_or_else(PoisonError::into_inner).get(login).cloned()
}

fn bearer(accounts: &Accounts, headers: &HeaderMap) -> Option<Account> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    known(accounts, text.strip_prefix("Bearer ")?)
}

async fn token(State(accounts): State<Accounts>, body: String) -> impl IntoResponse {
    let form = Url::parse(&format!("form:?{body}")).ok();
    let field = |name: &str| {
        let pairs = form.iter().flat_map(Url::query_pairs);
        pairs.filter(|(it, _)| it == name).map(|(_, value)| value.into_owned()).next().unwrap_or_default()
    };
    let code = field("code");
    let is_good = known(&accounts, &code).is_some() && !field("code_verifier").is_empty();
    // What it refuses it refuses with status 200.
    axum::Json(if is_good {
        json!({ "access_token": code, "token_type": "bearer", "scope": "read:user,user:email" })
    } else {
        json!({ "error": "bad_verification_code" })
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
