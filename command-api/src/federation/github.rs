//! GitHub: OAuth 2.0 without OpenID Connect, so it is asked who the person is. Of GitHub Enterprise the address of the
//! server is the issuer.
//!
//! Source: GitHub docs, "Authorizing OAuth apps", "Get the authenticated user", "List email addresses for the authenticated
//! user". An error of the token endpoint comes with status 200.

use domain::federation::ProviderSettings;
use secrecy::SecretString;
use serde::Deserialize;
use service_kit::outgoing::{Answer, Credential, Outgoing, Url};

use super::exchange::{Client, ClientWay, exchange};
use super::{Address, Arrived, Pending, Person, ProviderError, Shown, address, named, names};

const PUBLIC: &str = "https://github.com";
const PUBLIC_API: &str = "https://api.github.com";

#[derive(Deserialize)]
struct User {
    id: u64,
    login: String,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Mail {
    email: String,
    #[serde(default)]
    primary: bool,
    #[serde(default)]
    verified: bool,
}

/// Where people are sent.
pub(super) fn authorization_endpoint(settings: &ProviderSettings) -> Result<Url, ProviderError> {
    address_of(base(settings), "/login/oauth/authorize")
}

/// Where a code or a refresh token is exchanged. Tokens of OAuth apps do not expire, those of GitHub Apps may.
pub(super) fn token_endpoint(settings: &ProviderSettings) -> Result<Url, ProviderError> {
    address_of(base(settings), "/login/oauth/access_token")
}

/// Who the person is to whom the code was given.
pub(super) async fn person(
    outgoing: &Outgoing,
    settings: &ProviderSettings,
    secret: Option<&SecretString>,
    pending: &Pending,
    code: &str,
) -> Result<Arrived, ProviderError> {
    let client = Client { id: settings.client_id.as_str(), secret, way: ClientWay::Form };
    let tokens = exchange(outgoing, &token_endpoint(settings)?, &client, pending, code).await?;
    let ask = async |path: &str| {
        let url = address_of(&api(settings), path)?;
        Ok::<Answer, ProviderError>(outgoing.get(&url, Credential::Bearer(&tokens.access_token)).await?)
    };
    let answer = ask("/user").await?;
    if answer.status != 200 {
        return Err(ProviderError::Status(answer.status.as_u16()));
    }
    let user: User = answer.json()?;
    let answer = ask("/user/emails?per_page=100").await?;
    let address = match answer.status.as_u16() {
        200 => primary(&answer.json::<Vec<Mail>>()?),
        // The person took the scope away: then nothing is known of their address.
        403 | 404 => None,
        status => return Err(ProviderError::Status(status)),
    };
    let (given_name, family_name) = names(None, None, user.name.as_deref());
    let person = Person {
        // Names of accounts are given up and taken by others; the number stays.
        subject: user.id.to_string(),
        address,
        given_name,
        family_name,
        label: named(Some(&user.login)),
    };
    Ok(Arrived { person, shown: Shown::Untold, tokens })
}

/// The primary address, if it is verified. Others of the list may be of people who shared an account long ago.
fn primary(mails: &[Mail]) -> Option<Address> {
    let primary = mails.iter().find(|it| it.primary && it.verified)?;
    address(Some(&primary.email), true)
}

fn base(settings: &ProviderSettings) -> &str {
    settings.issuer.as_str().trim_end_matches('/')
}

fn api(settings: &ProviderSettings) -> String {
    match base(settings) {
        PUBLIC => PUBLIC_API.to_owned(),
        enterprise => format!("{enterprise}/api/v3"),
    }
}

fn address_of(base: &str, path: &str) -> Result<Url, ProviderError> {
    Url::parse(&format!("{base}{path}"))
        .map_err(|_| ProviderError::Misconfigured("its issuer is not an address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(email: &str, primary: bool, verified: bool) -> Mail {
        Mail { email: email.to_owned(), primary, verified }
    }

    #[test]
    fn github_takes_the_primary_verified_address() {
        let of = |mails: &[Mail]| primary(mails).map(|it| it.email.mailbox().to_owned());
        let (work, home) = (("ann@work.example"), ("ann@home.example"));
        assert_eq!(of(&[mail(home, false, true), mail(work, true, true)]).as_deref(), Some(work));
        assert_eq!(of(&[mail(home, false, true), mail(work, true, false)]), None);
        assert_eq!(of(&[mail(home, false, true)]), None);
        assert_eq!(of(&[mail("no address", true, true)]), None);
        assert_eq!(of(&[]), None);
    }
}
