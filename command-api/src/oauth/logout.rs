//! Signing out from a service (OpenID Connect RP-Initiated Logout 1.0). The person is asked; what ends is the session of their
//! browser. Nobody is sent to an address that is not one of the service's, letter by letter.

use domain::ids::UserId;
use service_kit::bearer::ClientId;
use service_kit::problem::{Problem, code};

use super::Oauth;
use super::ask::STATE_BYTES_MAX;
use super::authorize::with;
use super::params::Params;

/// Who wants somebody to be signed out, and where they go then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// The service, by its name for people, if one asks.
    pub client: Option<String>,
    /// Whom it means, if it shows an ID token of theirs.
    pub user: Option<UserId>,
    /// Where they go, if the service named one of its addresses.
    pub back: Option<String>,
}

fn refused(told: &'static str) -> Problem {
    Problem::new(&code::OAUTH_REQUEST_INVALID, told)
}

impl Oauth {
    /// Reads what a service asks that wants somebody to be signed out.
    ///
    /// # Errors
    /// `oauth.request-invalid`: the ID token is none of ours, or the address is none of the service's. Then nobody is sent
    /// anywhere.
    pub async fn leaving(&self, query: &str) -> Result<Leaving, Problem> {
        let params = Params::of(query);
        params.whole().map_err(|_| refused("a parameter is malformed or given twice"))?;
        let hint = params.get("id_token_hint").map(|it| {
            let issuer = self.issuer()?;
            let hint = self.parts().verifier.verify_id_token(it, &issuer);
            hint.ok_or_else(|| refused("id_token_hint is no ID token of ours"))
        });
        let hint = hint.transpose()?;
        let audience = hint.as_ref().map(|it| it.aud.as_str());
        let named = params.get("client_id");
        if let (Some(audience), Some(named)) = (audience, named)
            && audience != named
        {
            return Err(refused("id_token_hint is for another client_id"));
        }
        let client = match audience.or(named) {
            Some(text) => {
                let id = ClientId::parse(text).ok_or_else(|| refused("client_id names no service"))?;
                let service = self.parts().identity.service(id).await?;
                Some(service.ok_or_else(|| refused("client_id names no service that may work"))?)
            }
            None => None,
        };
        let back = match (params.get("post_logout_redirect_uri"), &client) {
            (None, _) => None,
            (Some(uri), Some(service)) if service.sends_to(uri) => {
                let state = params.get("state").filter(|it| it.len() <= STATE_BYTES_MAX);
                Some(state.map_or_else(|| uri.to_owned(), |it| with(uri, &[("state", it)])))
            }
            (Some(_), Some(_)) => {
                return Err(refused(
                    "post_logout_redirect_uri is not one of the service's, letter by letter",
                ));
            }
            (Some(_), None) => {
                return Err(refused(
                    "post_logout_redirect_uri needs id_token_hint or client_id, to say whose it is",
                ));
            }
        };
        let user = hint.map(|it| UserId::new(it.sub));
        Ok(Leaving { client: client.map(|it| it.name.to_string()), user, back })
    }
}
