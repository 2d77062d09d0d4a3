//! What a provider publishes of itself. Source: OpenID Connect Discovery 1.0 section 4, RFC 8414.

use std::time::Duration;

use domain::federation::ProviderSettings;
use serde::Deserialize;
use service_kit::outgoing::{Credential, Outgoing, Url};
use uuid::Uuid;

use super::exchange::ClientWay;
use super::{Kind, ProviderError, kind};

/// How long it is believed.
pub(super) const AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// What a provider says of itself, checked.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) issuer: IssuerRule,
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) jwks_uri: Url,
    pub(super) userinfo_endpoint: Option<Url>,
    pub(super) client_way: ClientWay,
    /// Whether every callback names the issuer (RFC 9207 section 3).
    pub(super) is_issuer_told: bool,
}

/// Who may sign as the provider.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum IssuerRule {
    /// This one.
    One(String),
    /// Any directory of Microsoft's: the identifier of the directory stands between these.
    Directory { before: String, after: String },
}

impl IssuerRule {
    /// Whether a text is the name of such an issuer.
    pub(super) fn is(&self, text: &str) -> bool {
        match self {
            Self::One(issuer) => issuer == text,
            Self::Directory { .. } => self.directory(text).is_some(),
        }
    }

    /// Whether a token may have this issuer and directory: with Microsoft, each names the other.
    pub(super) fn fits(&self, issuer: &str, directory: Option<&str>) -> bool {
        match self {
            Self::One(one) => one == issuer,
            Self::Directory { .. } => {
                let named = directory.and_then(|it| Uuid::try_parse(it).ok());
                named.is_some() && self.directory(issuer) == named
            }
        }
    }

    fn directory(&self, issuer: &str) -> Option<Uuid> {
        let Self::Directory { before, after } = self else { return None };
        let named = issuer.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
        // Written as Microsoft writes it, so that there is one name for each.
        Uuid::try_parse(named).ok().filter(|it| it.to_string() == named)
    }
}

/// What Microsoft's shared endpoints write where the directory's identifier will stand.
const PLACEHOLDER: &str = "{tenantid}";

#[derive(Debug, Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    response_types_supported: Vec<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// Reads the document of a provider.
pub(super) async fn fetch(
    outgoing: &Outgoing,
    settings: &ProviderSettings,
) -> Result<Metadata, ProviderError> {
    let base = settings.issuer.as_str().trim_end_matches('/');
    let url = Url::parse(&format!("{base}/.well-known/openid-configuration"))
        .map_err(|_| ProviderError::Misconfigured("its issuer is not an address"))?;
    let answer = outgoing.get(&url, Credential::None).await?;
    if answer.status != 200 {
        return Err(ProviderError::Status(answer.status.as_u16()));
    }
    checked(answer.json()?, settings)
}

fn checked(document: Document, settings: &ProviderSettings) -> Result<Metadata, ProviderError> {
    let issuer = issuer(&document.issuer, settings)?;
    if !document.response_types_supported.iter().any(|it| it == "code") {
        return Err(ProviderError::Misconfigured("the provider has no code flow"));
    }
    let endpoint = |text: &str| endpoint(text, settings);
    Ok(Metadata {
        issuer,
        authorization_endpoint: endpoint(&document.authorization_endpoint)?,
        token_endpoint: endpoint(&document.token_endpoint)?,
        jwks_uri: endpoint(&document.jwks_uri)?,
        userinfo_endpoint: document.userinfo_endpoint.as_deref().map(endpoint).transpose()?,
        client_way: ClientWay::of(document.token_endpoint_auth_methods_supported.as_deref()),
        is_issuer_told: document.authorization_response_iss_parameter_supported,
    })
}

/// The document must be that of the issuer that was set, letter by letter (OWASP ASVS 5.0, 10.5.3).
fn issuer(says: &str, settings: &ProviderSettings) -> Result<IssuerRule, ProviderError> {
    let set = settings.issuer.as_str();
    if says == set {
        return Ok(IssuerRule::One(says.to_owned()));
    }
    if kind(settings)? == Kind::Microsoft
        && let Some((before, after)) = says.split_once(PLACEHOLDER)
        && ["common", "organizations"].iter().any(|all| format!("{before}{all}{after}") == set)
    {
        return Ok(IssuerRule::Directory { before: before.to_owned(), after: after.to_owned() });
    }
    Err(ProviderError::Misconfigured("the provider says that it is another issuer"))
}

/// An endpoint has a scheme as good as the issuer's. Where it leads is for the client that asks it to judge.
fn endpoint(text: &str, settings: &ProviderSettings) -> Result<Url, ProviderError> {
    let bad = ProviderError::Misconfigured("an endpoint of the provider is not an address");
    let url = Url::parse(text)
        .map_err(|_| ProviderError::Misconfigured("an endpoint of the provider is not an address"))?;
    let is_plain = settings.issuer.as_str().starts_with("http://");
    let is_good = url.scheme() == "https" || (is_plain && url.scheme() == "http");
    if is_good
        && url.has_host()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
    {
        Ok(url)
    } else {
        Err(bad)
    }
}

#[cfg(test)]
mod tests;
