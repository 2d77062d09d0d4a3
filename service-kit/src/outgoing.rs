//! Requests of ours to servers that somebody else names: a provider's discovery document, its keys, its token endpoint.
//!
//! Whoever sets up a provider chooses the address, so this client cannot be led into our own network: a name is resolved
//! once, addresses that are not of the public internet are dropped (`outgoing/networks.rs`), and the connection goes to
//! what is left. Redirects are not followed. Time, size and number are bounded, and nothing but JSON is taken. Nothing that
//! was sent or answered reaches a log from here.
//!
//! | what | limit |
//! |---|---|
//! | a request, from the name to the last byte | 5 s |
//! | an answer | 256 KiB |
//! | at once, of a process | 64 |
//! | at once, of a process and for one tenant | 16 |

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use clap::Args;
use domain::ids::TenantId;
use ipnet::IpNet;
pub use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use sabotage::Guard;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use crate::body::{self, ParseCodes};
use places::Places;

mod networks;
mod places;

/// From the look-up of the name to the last byte of the answer.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer at most.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Requests of one process at once; one more is refused.
const AT_ONCE_MAX: usize = 64;
/// The same for one tenant, so that a provider of theirs that answers slowly leaves places to everybody else's.
const AT_ONCE_OF_ONE_MAX: usize = 16;
/// GitHub refuses requests without one.
const USER_AGENT: &str = concat!("quipu/", env!("CARGO_PKG_VERSION"));

/// Where our own requests may go.
#[derive(Debug, Clone, Default, Args)]
pub struct OutgoingConfig {
    /// Networks (CIDR) beside the public internet to which we may send requests that a tenant's settings ask for, such as
    /// those of a sign-in provider in the own network. There, http is taken too. None by default.
    #[arg(long = "outgoing-allow", env = "QUIPU_OUTGOING_ALLOW", value_delimiter = ',')]
    pub outgoing_allow: Vec<IpNet>,
}

/// Why there is no answer. No text says what was sent or where to.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    /// It is no address that is asked over TLS, or over plain HTTP in an allowed network.
    #[error("the address is not one that may be asked")]
    Address,
    /// The name leads nowhere but into a network that is not allowed.
    #[error("the address is in a network that may not be asked")]
    Network,
    /// As many requests are under way as may be, of the process or for the tenant.
    #[error("too many requests are under way")]
    Busy,
    /// No connection, or it broke.
    #[error("the server cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// Too slow.
    #[error("the server took too long")]
    TooSlow,
    /// More than [`ANSWER_BYTES_MAX`].
    #[error("the answer is too large")]
    TooLarge,
    /// It sends us somewhere else.
    #[error("the server sends us elsewhere")]
    Redirected,
    /// The answer is not what was asked for.
    #[error("the answer, with status {status}, is not the JSON that was asked for")]
    NotJson {
        /// Its HTTP status.
        status: StatusCode,
    },
}

/// An answer, read to its end.
#[derive(Clone)]
pub struct Answer {
    /// Its HTTP status: 2xx, 4xx or 5xx.
    pub status: StatusCode,
    body: Vec<u8>,
}

impl Answer {
    /// Reads the body. Fields given twice and NUL characters are refused at any depth, since two readers might
    /// understand them differently.
    ///
    /// # Errors
    /// [`OutgoingError::NotJson`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, OutgoingError> {
        body::parse_any(&self.body, ParseCodes(&[]))
            .map_err(|_| OutgoingError::NotJson { status: self.status })
    }
}

/// How we say who we are.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'a> {
    /// Not at all.
    None,
    /// A token in the header. Source: RFC 6750 section 2.1.
    Bearer(&'a SecretString),
    /// Name and secret in the header, each form-encoded first. Source: RFC 6749 section 2.3.1.
    Basic {
        /// The name.
        name: &'a str,
        /// The secret.
        secret: &'a SecretString,
    },
}

/// The client. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Over TLS, to the public internet and allowed networks.
    over_tls: Client,
    /// Over plain HTTP, to allowed networks alone.
    plain: Client,
    allowed: Arc<[IpNet]>,
    places: Arc<Places>,
    whose: Option<TenantId>,
}

impl Outgoing {
    /// A client that may also go where `config` says.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(config: &OutgoingConfig) -> Result<Self, OutgoingError> {
        let allowed: Arc<[IpNet]> = config.outgoing_allow.clone().into();
        let client = |is_public_taken| {
            Client::builder()
                .user_agent(USER_AGENT)
                .redirect(Policy::none())
                // A proxy would look names up itself, and so would pass the guard by.
                .no_proxy()
                .referer(false)
                .connect_timeout(TIMEOUT)
                .timeout(TIMEOUT)
                // Each request looks its name up anew: nothing is remembered that has moved since.
                .pool_max_idle_per_host(0)
                .dns_resolver(Arc::new(Guarded { allowed: Arc::clone(&allowed), is_public_taken }))
                .build()
                .map_err(|error| OutgoingError::Unreachable(error.without_url()))
        };
        Ok(Self {
            over_tls: client(true)?,
            plain: client(false)?,
            allowed,
            places: Arc::new(Places::new(AT_ONCE_MAX, AT_ONCE_OF_ONE_MAX)),
            whose: None,
        })
    }

    /// The same client, whose requests are that tenant's and take from their share alone.
    #[must_use]
    pub fn of(&self, tenant: TenantId) -> Self {
        Self { whose: Some(tenant), ..self.clone() }
    }

    /// Asks for a document.
    ///
    /// # Errors
    /// [`OutgoingError`].
    pub async fn get(&self, url: &Url, credential: Credential<'_>) -> Result<Answer, OutgoingError> {
        let request = self.client(url)?.get(url.clone());
        self.send(request, credential).await
    }

    /// Posts a form.
    ///
    /// # Errors
    /// [`OutgoingError`].
    pub async fn post(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        credential: Credential<'_>,
    ) -> Result<Answer, OutgoingError> {
        let text = serde_urlencoded::to_string(form).map_err(|_| OutgoingError::Address)?;
        let request = self
            .client(url)?
            .post(url.clone())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(text);
        self.send(request, credential).await
    }

    /// The client for the scheme. A name is judged when it is looked up, a bare address here: no look-up is made for one.
    fn client(&self, url: &Url) -> Result<&Client, OutgoingError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OutgoingError::Address);
        }
        let (client, is_public_taken) = match url.scheme() {
            "https" => (&self.over_tls, true),
            "http" => (&self.plain, false),
            _ => return Err(OutgoingError::Address),
        };
        let host = url.host_str().ok_or(OutgoingError::Address)?;
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            Ok(address) if !is_taken(address, &self.allowed, is_public_taken) => Err(OutgoingError::Network),
            _ => Ok(client),
        }
    }

    async fn send(
        &self,
        request: RequestBuilder,
        credential: Credential<'_>,
    ) -> Result<Answer, OutgoingError> {
        let _place = self.places.take(self.whose).ok_or(OutgoingError::Busy)?;
        let request = request.header(header::ACCEPT, HeaderValue::from_static("application/json"));
        let request = match credential {
            Credential::None => request,
            Credential::Bearer(token) => request.bearer_auth(token.expose_secret()),
            Credential::Basic { name, secret } => {
                request.basic_auth(form_encoded(name), Some(form_encoded(secret.expose_secret())))
            }
        };
        // The client counts from the request on, and this from the very beginning; the look-up cannot add to it.
        let answer = async { read(request.send().await.map_err(told)?).await };
        tokio::time::timeout(TIMEOUT, answer).await.map_err(|_| OutgoingError::TooSlow)?
    }
}

async fn read(mut response: Response) -> Result<Answer, OutgoingError> {
    let status = response.status();
    if status.is_redirection() {
        return Err(OutgoingError::Redirected);
    }
    let announced = response.content_length().unwrap_or_default();
    if usize::try_from(announced).is_ok_and(|it| it > ANSWER_BYTES_MAX) {
        return Err(OutgoingError::TooLarge);
    }
    if !is_json(response.headers().get(header::CONTENT_TYPE)) {
        return Err(OutgoingError::NotJson { status });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(told)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(OutgoingError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body })
}

fn is_json(media_type: Option<&HeaderValue>) -> bool {
    let text = media_type.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn form_encoded(text: &str) -> String {
    // Encoded as the value of a pair without a name, and freed of the sign that parts them.
    let pair = serde_urlencoded::to_string([("", text)]).unwrap_or_default();
    pair.trim_start_matches('=').to_owned()
}

fn told(error: reqwest::Error) -> OutgoingError {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(it) = cause {
        if it.is::<Denied>() {
            return OutgoingError::Network;
        }
        cause = it.source();
    }
    if error.is_timeout() { OutgoingError::TooSlow } else { OutgoingError::Unreachable(error.without_url()) }
}

/// None of the addresses of a name is one that may be asked.
#[derive(Debug, thiserror::Error)]
#[error("the name leads into a network that may not be asked")]
struct Denied;

/// Looks a name up and lets through what may be asked.
struct Guarded {
    allowed: Arc<[IpNet]>,
    is_public_taken: bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (allowed, is_public_taken) = (Arc::clone(&self.allowed), self.is_public_taken);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let (mut taken, mut any) = (Vec::<SocketAddr>::new(), false);
            for address in found {
                any = true;
                if is_taken(address.ip(), &allowed, is_public_taken) {
                    taken.push(address);
                }
            }
            match (taken.is_empty(), any) {
                (false, _) => Ok(Box::new(taken.into_iter()) as Addrs),
                (true, true) => Err(Denied.into()),
                (true, false) => Err(io::Error::from(io::ErrorKind::NotFound).into()),
            }
        })
    }
}

fn is_taken(address: IpAddr, allowed: &[IpNet], is_public_taken: bool) -> bool {
    (is_public_taken && networks::is_public(address))
        || !sabotage::stands(Guard::OutgoingDeny)
        || allowed.iter().any(|it| it.contains(&address.to_canonical()))
}

#[cfg(test)]
mod tests;
