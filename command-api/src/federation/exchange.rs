//! Exchanging a code for tokens, and tokens for newer ones. Source: RFC 6749 sections 2.3.1, 4.1.3, 4.1.4, 5.2 and 6,
//! RFC 7636 section 4.5.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use service_kit::outgoing::{Credential, Outgoing, Url};

use super::callback::oauth_error;
use super::{Invalid, Pending, ProviderError};

/// Characters of a token at most.
const TOKEN_CHARS_MAX: usize = 16 * 1024;
/// Characters of what tokens are good for at most.
const SCOPE_CHARS_MAX: usize = 2_000;

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
pub struct Tokens {
    /// What the provider takes from us, or from the person.
    pub access_token: SecretString,
    /// Gets the next ones, if there are any.
    pub refresh_token: Option<SecretString>,
    /// Seconds for which the access token is good, if the provider says so.
    pub expires_in: Option<u32>,
    /// What it is good for, if the provider says so.
    pub scope: Option<String>,
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
    // What a sign-in does not need must not be what it fails for: these are looked at with care.
    #[serde(default)]
    refresh_token: Value,
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    scope: Value,
}

/// Exchanges a code.
pub(super) async fn exchange(
    outgoing: &Outgoing,
    endpoint: &Url,
    client: &Client<'_>,
    pending: &Pending,
    code: &str,
) -> Result<Tokens, ProviderError> {
    let form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", pending.redirect_uri()),
        ("code_verifier", pending.verifier()),
    ];
    granted(outgoing, endpoint, client, form).await
}

/// Exchanges a refresh token. If there is no other one in the answer, it stays good.
pub(super) async fn refresh(
    outgoing: &Outgoing,
    endpoint: &Url,
    client: &Client<'_>,
    token: &SecretString,
) -> Result<Tokens, ProviderError> {
    let form = vec![("grant_type", "refresh_token"), ("refresh_token", token.expose_secret())];
    granted(outgoing, endpoint, client, form).await
}

/// Asks the token endpoint for what a form asks for, as the client that we are.
async fn granted(
    outgoing: &Outgoing,
    endpoint: &Url,
    client: &Client<'_>,
    mut form: Vec<(&str, &str)>,
) -> Result<Tokens, ProviderError> {
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
    let text = |it: Value| it.as_str().map(ToOwned::to_owned);
    let expires_in = said.expires_in.as_u64().or_else(|| said.expires_in.as_str()?.parse().ok());
    Ok(Tokens {
        access_token: SecretString::from(access_token),
        refresh_token: text(said.refresh_token).filter(fits).map(SecretString::from),
        expires_in: expires_in.and_then(|it| u32::try_from(it).ok()),
        scope: text(said.scope).filter(|it| it.len() <= SCOPE_CHARS_MAX && !it.contains(char::is_control)),
        id_token: said.id_token,
    })
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
    fn what_a_sign_in_does_not_need_does_not_break_it() {
        let told = |more: serde_json::Value| {
            let mut text = serde_json::json!({ "access_token": "a", "token_type": "bearer" });
            text.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            tokens(serde_json::from_value(text).unwrap()).unwrap()
        };
        let all = told(serde_json::json!({ "refresh_token": "r", "expires_in": "3600", "scope": "a b" }));
        assert_eq!((all.expires_in, all.scope.as_deref()), (Some(3_600), Some("a b")));
        assert_eq!(all.refresh_token.unwrap().expose_secret(), "r");
        for odd in [
            serde_json::json!({ "refresh_token": 7, "expires_in": -1, "scope": ["a"] }),
            serde_json::json!({ "refresh_token": "a b", "expires_in": 1e30, "scope": "a\nb" }),
            serde_json::json!({ "refresh_token": null, "expires_in": u64::MAX, "scope": "a".repeat(SCOPE_CHARS_MAX + 1) }),
        ] {
            let it = told(odd);
            assert!(it.refresh_token.is_none() && it.expires_in.is_none() && it.scope.is_none());
        }
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
