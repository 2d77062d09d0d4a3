//! Sending a person to a provider, and what is kept until they come back. Source: RFC 6749 section 4.1.1, RFC 7636,
//! OpenID Connect Core 1.0 section 3.1.2.1.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use domain::federation::ProviderSettings;
use domain::federation::provider::GITHUB;
use serde::{Deserialize, Serialize};
use service_kit::outgoing::Url;
use service_kit::random;

use super::ProviderError;

/// What is kept of a sign-in while the person is at the provider; for nobody's eyes but ours. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    nonce: String,
    verifier: String,
    redirect_uri: String,
    /// When they were asked to show anew who they are.
    since: Option<DateTime<Utc>>,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}

impl Pending {
    /// A fresh one, with 256 bits each for the nonce and for PKCE.
    pub(super) fn make(redirect_uri: &str, since: Option<DateTime<Utc>>) -> Result<Self, ProviderError> {
        Ok(Self {
            nonce: random::text()?,
            verifier: random::text()?,
            redirect_uri: redirect_uri.to_owned(),
            since,
        })
    }

    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }

    pub(super) fn verifier(&self) -> &str {
        &self.verifier
    }

    pub(super) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    pub(super) const fn since(&self) -> Option<DateTime<Utc>> {
        self.since
    }

    /// The challenge of the method S256. Source: RFC 7636 section 4.2.
    fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier.as_bytes()))
    }
}

/// The address that the browser is sent to. What the endpoint has in its own query stays, but nothing that we set may be in
/// it: of a parameter given twice, nobody knows which one counts.
pub(super) fn url(
    endpoint: &Url,
    settings: &ProviderSettings,
    state: &str,
    pending: &Pending,
    more: &[(&str, &str)],
) -> Result<Url, ProviderError> {
    let (scope, challenge) = (scope(settings), pending.challenge());
    let ours = [
        ("response_type", "code"),
        ("client_id", settings.client_id.as_str()),
        ("redirect_uri", pending.redirect_uri()),
        ("scope", scope.as_str()),
        ("state", state),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    let clashes = |name: &str| {
        ours.iter().chain(more).any(|(it, _)| *it == name)
            || ["request", "request_uri", "response_mode"].contains(&name)
    };
    if endpoint.query_pairs().any(|(name, _)| clashes(&name)) {
        return Err(ProviderError::Misconfigured("an endpoint of the provider sets what is ours to set"));
    }
    let mut url = endpoint.clone();
    url.query_pairs_mut().extend_pairs(ours.iter().chain(more));
    Ok(url)
}

/// What is asked for. Without `openid` there would be no ID token.
fn scope(settings: &ProviderSettings) -> String {
    let needed = (settings.kind != GITHUB).then_some("openid");
    let set = settings.scopes.iter().map(|it| it.as_str()).filter(|it| Some(*it) != needed);
    needed.into_iter().chain(set).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use domain::words::Scope;

    use super::super::tests::settings;
    use super::*;

    fn asked(endpoint: &str, more: &[(&str, &str)]) -> Result<HashMap<String, String>, ProviderError> {
        let pending = Pending {
            nonce: "n".into(),
            // The example of RFC 7636, appendix B.
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into(),
            redirect_uri: "https://quipu.example/back".into(),
            since: None,
        };
        let mut settings = settings("https://op.example");
        settings.scopes = vec![Scope::of("email"), Scope::of("openid"), Scope::of("profile")];
        let url = url(&Url::parse(endpoint).unwrap(), &settings, "the state", &pending, more)?;
        assert_eq!(
            url.query_pairs().count(),
            url.query_pairs().map(|(name, _)| name).collect::<std::collections::HashSet<_>>().len()
        );
        Ok(url.query_pairs().into_owned().collect())
    }

    #[test]
    fn a_request_has_state_nonce_and_a_challenge_of_s256() {
        let asked = asked("https://op.example/auth?p=policy", &[("nonce", "n")]).unwrap();
        for (name, value) in [
            ("p", "policy"),
            ("response_type", "code"),
            ("client_id", "quipu"),
            ("redirect_uri", "https://quipu.example/back"),
            ("scope", "openid email profile"),
            ("state", "the state"),
            ("nonce", "n"),
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
        ] {
            assert_eq!(asked[name], value);
        }
        assert_eq!(asked.len(), 9);
    }

    #[test]
    fn an_endpoint_sets_nothing_that_is_ours_to_set() {
        for name in ["client_id", "redirect_uri", "state", "nonce", "request", "request_uri", "response_mode"]
        {
            let told = asked(&format!("https://op.example/auth?{name}=evil"), &[("nonce", "n")]);
            assert!(matches!(told, Err(ProviderError::Misconfigured(_))), "{name}");
        }
    }

    #[test]
    fn nothing_of_two_sign_ins_is_the_same() {
        let (one, other) = (Pending::make("a", None).unwrap(), Pending::make("a", None).unwrap());
        assert!(one.nonce != other.nonce && one.verifier != other.verifier && one.nonce != one.verifier);
        assert_eq!(one.verifier.len(), 43);
        assert_eq!(format!("{one:?}"), "Pending");
    }
}
