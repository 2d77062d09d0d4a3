//! Exchanging a code for tokens. Source: RFC 6749 sections 2.3.1, 4.1.3, 4.1.4 and 5.2, RFC 7636 section 4.5.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use service_kit::outgoing::{Credential, Outgoing, Url};

use super::callback::oauth_error;
use super::{Invalid, Pending, ProviderError};

/// Characters of a token at most.
const TOKEN_CHARS_MAX: usize = 16 * 1024;

/// How we show the token endpoint who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientWay {
    /// In the header: `client_secret_basic`.
    Header,
    /// In the form: `client_secret_post`.
    Form,
    /// The provider takes a secret in neither way.
    Neither,
}

impl ClientWay {
    /// The first that the provider takes; the header, if it says nothing (OpenID Connect Discovery 1.0 section 3).
    pub(super) fn of(methods: Option<&[String]>) -> Self {
        let Some(methods) = methods else { return Self::Header };
        let takes = |name: &str| methods.iter().any(|it| it == name);
        if takes("client_secret_basic") {
            Self::Header
        } else if takes("client_secret_post") {
            Self::Form
        } else {
            Self::Neither
        }
    }
}

/// Who we are to the provider.
pub(super) struct Client<'a> {
    pub(super) id: &'a str,
    pub(super) secret: Option<&'a SecretString>,
    pub(super) way: ClientWay,
}

/// What a code is worth. `Debug` shows nothing of it.
pub(super) struct Tokens {
    pub(super) access_token: SecretString,
    pub(super) id_token: Option<String>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

/// Every field may be missing: an error can come with any status, with GitHub as 200.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    token_type: Option<String>,
    #[serde(default)]
    id_token: Option<String>,
}

/// Exchanges a code.
pub(super) async fn exchange(
    outgoing: &Outgoing,
    endpoint: &Url,
    client: &Client<'_>,
    pending: &Pending,
    code: &str,
) -> Result<Tokens, ProviderError> {
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", pending.redirect_uri()),
        ("code_verifier", pending.verifier()),
    ];
    let credential = match (client.secret, client.way) {
        (Some(secret), ClientWay::Header) => Credential::Basic { name: client.id, secret },
        (Some(secret), ClientWay::Form) => {
            form.extend([("client_id", client.id), ("client_secret", secret.expose_secret())]);
            Credential::None
        }
        (Some(_), ClientWay::Neither) => {
            return Err(ProviderError::Misconfigured("the provider takes no secret of a client"));
        }
        (None, _) => {
            form.push(("client_id", client.id));
            Credential::None
        }
    };
    let answer = outgoing.post(endpoint, &form, credential).await?;
    let status = answer.status;
    let said: Said = answer.json()?;
    if let Some(error) = said.error {
        return Err(oauth_error(&error));
    }
    if status != 200 {
        return Err(ProviderError::Status(status.as_u16()));
    }
    tokens(said)
}

fn tokens(said: Said) -> Result<Tokens, ProviderError> {
    let is_bearer = said.token_type.is_some_and(|it| it.eq_ignore_ascii_case("bearer"));
    let fits = |it: &String| {
        (1..=TOKEN_CHARS_MAX).contains(&it.len()) && it.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let access_token = said.access_token.filter(fits).filter(|_| is_bearer);
    let access_token = access_token.ok_or(Invalid::Malformed("there is no access token to be borne"))?;
    if said.id_token.as_ref().is_some_and(|it| !fits(it)) {
        return Err(Invalid::Malformed("the ID token is not one").into());
    }
    Ok(Tokens { access_token: SecretString::from(access_token), id_token: said.id_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_goes_where_the_provider_takes_it() {
        let of = |names: &[&str]| {
            ClientWay::of(Some(&names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()))
        };
        assert_eq!(ClientWay::of(None), ClientWay::Header);
        assert_eq!(of(&["client_secret_post", "client_secret_basic"]), ClientWay::Header);
        assert_eq!(of(&["client_secret_post", "private_key_jwt"]), ClientWay::Form);
        assert_eq!(of(&["private_key_jwt"]), ClientWay::Neither);
    }

    #[test]
    fn only_tokens_to_be_borne_are_taken() {
        let told = |text: serde_json::Value| tokens(serde_json::from_value(text).unwrap());
        let good = serde_json::json!({ "access_token": "a", "token_type": "BEARER", "id_token": "i" });
        assert_eq!(told(good).unwrap().id_token.as_deref(), Some("i"));
        for bad in [
            serde_json::json!({}),
            serde_json::json!({ "access_token": "a" }),
            serde_json::json!({ "access_token": "", "token_type": "bearer" }),
            serde_json::json!({ "access_token": "a", "token_type": "mac" }),
            serde_json::json!({ "access_token": "a\nb", "token_type": "bearer" }),
            serde_json::json!({ "access_token": "a".repeat(TOKEN_CHARS_MAX + 1), "token_type": "bearer" }),
            serde_json::json!({ "access_token": "a", "token_type": "bearer", "id_token": "" }),
        ] {
            assert!(matches!(told(bad.clone()), Err(ProviderError::Invalid(Invalid::Malformed(_)))), "{bad}");
        }
    }
}
