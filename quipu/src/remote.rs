//! Asking the query API, as whoever holds a token: which API, which token, and what its refusals mean.
//!
//! A token is read from a file or from standard input, never from a flag: flags are seen by everybody on a machine.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::stack::context::Context;
use crate::stack::layout::Layout;

/// How often a request is sent again while the server says "later".
const ATTEMPTS_MAX: u32 = 10;
const PAUSE_MAX: Duration = Duration::from_secs(10);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// Which query API to ask, and as whom; by default the one that `up` runs here, as its owner.
#[derive(Debug, Clone, Args)]
pub struct RemoteArgs {
    /// Address of the query API, such as https://queries.example.com.
    #[arg(long, env = "QUIPU_QUERY_URL", value_name = "URL")]
    query_url: Option<Url>,
    /// File that holds an access token; `-` is standard input.
    #[arg(long, env = "QUIPU_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// A query API and the right to ask it.
#[derive(Debug, Clone)]
pub struct Remote {
    http: reqwest::Client,
    base: Url,
    token: HeaderValue,
}

/// An answer other than success.
#[derive(Debug, thiserror::Error)]
#[error("{status} {code}: {detail}")]
pub struct Refused {
    /// HTTP status.
    pub status: StatusCode,
    /// The stable code, or `-` if the answer was no problem document.
    pub code: String,
    /// What it says, and what to do next.
    pub detail: String,
    /// Where the answer was exact, if it said so.
    pub position: Option<String>,
}

impl RemoteArgs {
    /// Puts it together; what was not given is taken from the stack that runs here.
    ///
    /// # Errors
    /// If something is missing and no stack runs, or the token cannot be read.
    pub fn connect(&self, layout: &Layout) -> anyhow::Result<Remote> {
        let here = || {
            Context::read(layout)?
                .context("nothing runs here: start it with `quipu up`, or give --query-url and --token-file")
        };
        let base = match &self.query_url {
            Some(url) => url.clone(),
            None => here()?.query_url.parse()?,
        };
        let token = match &self.token_file {
            Some(path) => read_token(path)?,
            None if self.query_url.is_some() => {
                bail!("give --token-file too: a token is good at one place only")
            }
            None => here()?.owner_token,
        };
        Remote::new(base, &token)
    }
}

fn read_token(path: &PathBuf) -> anyhow::Result<String> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text.trim().to_owned());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(text.trim().to_owned())
}

impl Remote {
    /// A client of the API at `base`.
    ///
    /// # Errors
    /// If the token cannot stand in a header.
    pub fn new(base: Url, token: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).build()?;
        let mut token =
            HeaderValue::try_from(format!("Bearer {token}")).context("that is no access token")?;
        token.set_sensitive(true);
        Ok(Self { http, base, token })
    }

    /// The address of a path with parameters; those without a value are left out.
    ///
    /// # Errors
    /// If the path cannot stand in an address.
    pub fn url(&self, path: &str, parameters: &[(&str, Option<String>)]) -> anyhow::Result<Url> {
        let mut url = self.base.join(path)?;
        let given: Vec<_> =
            parameters.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))).collect();
        if !given.is_empty() {
            url.query_pairs_mut().extend_pairs(given);
        }
        Ok(url)
    }

    /// Asks until there is an answer, and reads it as `T`.
    ///
    /// # Errors
    /// [`Refused`], or if nobody answers.
    pub async fn get<T: DeserializeOwned>(&self, url: Url) -> anyhow::Result<T> {
        let response = self.send(Method::GET, url, None, HeaderMap::new(), Some(ANSWER_TIME_MAX)).await?;
        response.json().await.context("the answer is not what this version of quipu expects")
    }

    /// Sends a body and reads the answer as `T`.
    ///
    /// # Errors
    /// [`Refused`], or if nobody answers.
    pub async fn post<T: DeserializeOwned>(&self, url: Url, body: &impl Serialize) -> anyhow::Result<T> {
        let body = Some(serde_json::to_vec(body)?);
        let response = self.send(Method::POST, url, body, HeaderMap::new(), Some(ANSWER_TIME_MAX)).await?;
        response.json().await.context("the answer is not what this version of quipu expects")
    }

    /// Asks for something that is read while it is written; it has no limit of time.
    ///
    /// # Errors
    /// [`Refused`], or if nobody answers.
    pub async fn open(&self, url: Url, resume: Option<&str>) -> anyhow::Result<Response> {
        let mut headers = HeaderMap::new();
        if let Some(id) = resume {
            headers.insert(HeaderName::from_static("last-event-id"), HeaderValue::try_from(id)?);
        }
        self.send(Method::GET, url, None, headers, None).await
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
        headers: HeaderMap,
        within: Option<Duration>,
    ) -> anyhow::Result<Response> {
        for attempt in 1..=ATTEMPTS_MAX {
            let mut request = self.http.request(method.clone(), url.clone()).headers(headers.clone());
            request = request.header(reqwest::header::AUTHORIZATION, self.token.clone());
            if let Some(body) = &body {
                request =
                    request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body.clone());
            }
            if let Some(within) = within {
                request = request.timeout(within);
            }
            let response = request.send().await.with_context(|| format!("{} does not answer", self.base))?;
            if response.status().is_success() {
                return Ok(response);
            }
            match later(&response) {
                Some(pause) if attempt < ATTEMPTS_MAX => tokio::time::sleep(pause).await,
                _ => return Err(refused(response).await.into()),
            }
        }
        bail!("{} does not answer", self.base)
    }
}

/// How long the server asks to wait, if it does.
fn later(response: &Response) -> Option<Duration> {
    let passing =
        matches!(response.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    passing.then(|| Duration::from_secs(seconds).clamp(Duration::from_millis(100), PAUSE_MAX))
}

async fn refused(response: Response) -> Refused {
    let status = response.status();
    let header =
        |name| response.headers().get(name).and_then(|it: &HeaderValue| it.to_str().ok()).map(str::to_owned);
    let position = header("quipu-position");
    let problem: Value = response.json().await.unwrap_or_default();
    let text =
        |name: &str| problem.get(name).and_then(Value::as_str).filter(|it| !it.is_empty()).map(str::to_owned);
    let code = text("code").unwrap_or_else(|| "-".to_owned());
    let mut detail =
        text("detail").or_else(|| text("title")).unwrap_or_else(|| "no reason was given".to_owned());
    if status == StatusCode::UNAUTHORIZED {
        detail += "; `quipu up` issues new tokens for a stack on this machine";
    } else if code != "-" {
        detail += &format!(" (`quipu explain {code}` says what to do)");
    }
    Refused { status, code, detail, position }
}
