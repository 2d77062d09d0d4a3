//! What a browser brings back from a provider. Anybody can make such a request: nothing here is believed before its state
//! was found to be ours, of this browser and unused. Source: RFC 6749 sections 4.1.2 and 4.1.2.1, RFC 9207.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use super::{Invalid, ProviderError};

/// Characters of a value at most. Codes of some providers are signed texts of more than a thousand.
const VALUE_CHARS_MAX: usize = 4_096;

/// The parameters of a callback that mean something. `Debug` shows none.
#[derive(Clone)]
pub struct Callback {
    /// What we gave the browser to bring along.
    pub state: SecretString,
    outcome: Outcome,
    issuer: Option<String>,
}

/// How it went there.
#[derive(Clone)]
pub enum Outcome {
    /// The provider gives a code.
    Code(SecretString),
    /// It gives an error of OAuth.
    Error(String),
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}

impl Callback {
    /// Reads the query of a callback. Parameters that are not known are passed over, as RFC 6749 demands.
    ///
    /// # Errors
    /// [`Invalid::Malformed`] if one is given twice, is too long, or if there is neither code nor error, or both.
    pub fn parse(query: &str) -> Result<Self, Invalid> {
        let pairs: Vec<(String, String)> =
            serde_urlencoded::from_str(query).map_err(|_| Invalid::Malformed("the callback has no query"))?;
        let one = |name: &str| {
            let mut values = pairs.iter().filter(|(it, _)| it == name).map(|(_, value)| value);
            let value = values.next();
            let is_good = values.next().is_none() && value.is_none_or(|it| it.len() <= VALUE_CHARS_MAX);
            if is_good {
                Ok(value.cloned())
            } else {
                Err(Invalid::Malformed("a parameter of the callback is unclear"))
            }
        };
        let state = one("state")?.ok_or(Invalid::Malformed("the callback has no state"))?;
        let outcome = match (one("code")?, one("error")?) {
            (Some(code), None) if !code.is_empty() => Outcome::Code(SecretString::from(code)),
            (None, Some(error)) => Outcome::Error(error),
            _ => return Err(Invalid::Malformed("the callback has neither a code nor an error, or both")),
        };
        Ok(Self { state: SecretString::from(state), outcome, issuer: one("iss")? })
    }

    /// The code, if the provider gave one and is the one that was asked. An error of another provider is as little
    /// believed as its code (RFC 9207 section 2.4).
    pub(super) fn code(
        &self,
        is_issuer: impl Fn(&str) -> bool,
        is_issuer_told: bool,
    ) -> Result<&str, ProviderError> {
        match &self.issuer {
            Some(issuer) if !is_issuer(issuer) => return Err(Invalid::Issuer.into()),
            None if is_issuer_told => return Err(Invalid::Issuer.into()),
            _ => {}
        }
        match &self.outcome {
            Outcome::Code(code) => Ok(code.expose_secret()),
            Outcome::Error(error) => Err(oauth_error(error)),
        }
    }
}

/// The errors of OAuth that are known; the text of a provider goes no further. Source: RFC 6749 sections 4.1.2.1 and 5.2,
/// OpenID Connect Core 1.0 section 3.1.2.6, GitHub's "Troubleshooting OAuth app access token request errors".
pub(super) fn oauth_error(text: &str) -> ProviderError {
    const KNOWN: &[&str] = &[
        "account_selection_required",
        "bad_refresh_token",
        "bad_verification_code",
        "consent_required",
        "incorrect_client_credentials",
        "interaction_required",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "login_required",
        "redirect_uri_mismatch",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_response_type",
        "unverified_user_email",
    ];
    match text {
        "access_denied" => ProviderError::Denied,
        _ => ProviderError::Refused(
            KNOWN.iter().find(|it| **it == text).copied().unwrap_or("an error that is not known"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(query: &str, is_told: bool) -> Result<String, ProviderError> {
        let callback = Callback::parse(query)?;
        callback.code(|it| it == "https://op.example", is_told).map(ToOwned::to_owned)
    }

    #[test]
    fn a_code_comes_with_its_state() {
        let callback = Callback::parse("code=c%2F1&state=s&scope=openid&session_state=x").unwrap();
        assert_eq!(callback.state.expose_secret(), "s");
        assert_eq!(callback.code(|_| true, false).unwrap(), "c/1");
        assert_eq!(format!("{callback:?}"), "Callback");
    }

    #[test]
    fn what_is_unclear_is_refused() {
        let long = format!("code={}&state=s", "a".repeat(VALUE_CHARS_MAX + 1));
        for query in [
            "",
            "code=c",
            "state=s",
            "code=&state=s",
            "code=c&code=d&state=s",
            "code=c&state=s&state=t",
            "code=c&error=e&state=s",
            "code=c&state=s&iss=a&iss=b",
            "error=e&error=f&state=s",
            &long,
        ] {
            assert!(matches!(Callback::parse(query), Err(Invalid::Malformed(_))), "{query}");
        }
    }

    #[test]
    fn a_callback_with_another_issuer_is_refused() {
        let ours = "code=c&state=s&iss=https%3A%2F%2Fop.example";
        assert_eq!(code(ours, true).unwrap(), "c");
        assert_eq!(code(ours, false).unwrap(), "c");
        assert_eq!(code("code=c&state=s", false).unwrap(), "c");
        for (query, is_told) in [
            ("code=c&state=s&iss=https%3A%2F%2Fevil.example", false),
            ("code=c&state=s&iss=https%3A%2F%2Fop.example%2F", false),
            ("code=c&state=s&iss=", false),
            ("error=access_denied&state=s&iss=https%3A%2F%2Fevil.example", false),
            ("code=c&state=s", true),
            ("error=access_denied&state=s", true),
        ] {
            let told = code(query, is_told);
            assert!(matches!(told, Err(ProviderError::Invalid(Invalid::Issuer))), "{query}: {told:?}");
        }
    }

    #[test]
    fn errors_are_told_by_their_names_and_never_in_the_providers_words() {
        assert!(matches!(code("error=access_denied&state=s", false), Err(ProviderError::Denied)));
        let told = code("error=login_required&error_description=x&state=s", false);
        assert!(matches!(told, Err(ProviderError::Refused("login_required"))));
        let told = code("error=%3Cscript%3E&state=s", false).unwrap_err();
        assert_eq!(told.to_string(), "the provider says an error that is not known");
    }
}
