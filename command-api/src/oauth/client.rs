//! Services, and how they show who they are: by HTTP Basic or in the form (RFC 6749 section 2.3.1), or by name alone where
//! they can keep no secret.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::application::{LiveService, Secret};
use domain::ids::SecretId;
use service_kit::bearer::{ClientId, Kind};
use service_kit::oauth_error::{OauthCode, OauthError};
use service_kit::problem::Problem;

use super::params::{Params, decoded};
use super::{Oauth, shown};
use crate::identity::limits::{Counted, Policy};

/// A service that has shown who it is, or that has nothing to show it with.
#[derive(Debug)]
pub(super) struct Client {
    pub id: ClientId,
    pub service: LiveService,
    /// The secret that it has shown.
    pub secret: Option<Secret>,
}

impl Client {
    /// Refuses what the service is not granted.
    pub(super) fn granted(&self, grant: &str) -> Result<(), OauthError> {
        let not =
            || OauthError::new(OauthCode::UnauthorizedClient, "the client is not registered for this grant");
        self.service.is_granted(grant).then_some(()).ok_or_else(not)
    }

    /// Whether it goes on when an access token is over.
    pub(super) fn refreshes(&self) -> bool {
        self.service.refreshes()
    }

    /// The secret that it has shown. Refuses a service that has shown nothing.
    pub(super) fn confidential(&self) -> Result<Secret, OauthError> {
        self.secret.ok_or_else(|| OauthError::client(false))
    }
}

/// Whom a request names as its service, whether it is or not.
pub(super) fn named(headers: &HeaderMap, params: &Params) -> Option<ClientId> {
    ClientId::parse(&credentials(headers, params).ok()?.id)
}

/// What a request shows of its service.
struct Credentials {
    id: String,
    secret: Option<String>,
    by_header: bool,
}

impl Oauth {
    /// The service that asks. Unknown, suspended, of an organisation that may not work, and with a wrong secret: all are told
    /// the same.
    pub(super) async fn client(&self, headers: &HeaderMap, params: &Params) -> Result<Client, OauthError> {
        let shows = credentials(headers, params)?;
        let unknown = || OauthError::client(shows.by_header);
        let id = ClientId::parse(&shows.id).ok_or_else(unknown)?;
        let identity = &self.parts().identity;
        let failures = || Counted::id(Policy::TokenFailures, id.tenant, id.service.uuid());
        let service = identity.service(id).await?;
        let (right, secret) = match (&service, &shows.secret) {
            (Some(service), Some(secret)) if service.confidential => {
                let shown = self.proves(id, service, secret).await?;
                (shown.is_some(), shown)
            }
            (Some(service), None) => (!service.confidential, None),
            _ => (false, None),
        };
        match service.filter(|_| right) {
            Some(service) => Ok(Client { id, service, secret }),
            None => {
                // A right one always passes: the name of a client is public, and nobody is to shut it out by wrong ones.
                if shows.secret.is_some() {
                    identity.limits().look(failures()).await?;
                    identity.limits().failed(failures()).await?;
                }
                Err(unknown())
            }
        }
    }

    /// Which of the service's secrets that are good now this is, if it is one. It is found by its hash, so nothing is compared
    /// piece by piece.
    async fn proves(
        &self,
        id: ClientId,
        service: &LiveService,
        secret: &str,
    ) -> Result<Option<Secret>, OauthError> {
        let Some(shown) = shown(Kind::ClientSecret, secret).filter(|it| it.tenant == id.tenant) else {
            return Ok(None);
        };
        let owner = self.parts().vault.service_of_secret(&shown).await;
        let owner = owner.map_err(|error| OauthError::from(Problem::store_unavailable(&error)))?;
        Ok(service.secret(SecretId::new(shown.id)).copied().filter(|_| owner == Some(id.service)))
    }
}

/// What the request shows: in one way only.
fn credentials(headers: &HeaderMap, params: &Params) -> Result<Credentials, OauthError> {
    let malformed = |told: &'static str| OauthError::new(OauthCode::InvalidRequest, told);
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (in_form, id) = (params.get("client_secret"), params.get("client_id"));
    match (all.next(), all.next(), in_form) {
        (_, Some(_), _) => Err(malformed("there is more than one Authorization header")),
        (Some(_), None, Some(_)) => Err(malformed("the client shows itself in two ways")),
        (Some(header), None, None) => {
            let (named, secret) =
                basic(header.to_str().unwrap_or_default()).ok_or_else(|| OauthError::client(true))?;
            if id.is_some_and(|it| it != named) {
                return Err(malformed("client_id is another one than in the header"));
            }
            Ok(Credentials { id: named, secret: Some(secret), by_header: true })
        }
        (None, _, secret) => {
            let id = id.ok_or_else(|| OauthError::client(false))?.to_owned();
            Ok(Credentials { id, secret: secret.map(ToOwned::to_owned), by_header: false })
        }
    }
}

/// Name and secret of HTTP Basic, each encoded as in a form (RFC 6749 section 2.3.1).
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, text) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((decoded(id)?, decoded(secret)?))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|it| (header::AUTHORIZATION, HeaderValue::from_str(it).unwrap())).collect()
    }

    fn pair(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn a_client_shows_itself_in_one_way() {
        let it = credentials(&headers(&[&pair("a%2Bb:s%3Ax")]), &Params::of("client_id=a%2Bb")).unwrap();
        assert_eq!((it.id.as_str(), it.secret.as_deref(), it.by_header), ("a+b", Some("s:x"), true));
        let it = credentials(&headers(&[]), &Params::of("client_id=a&client_secret=s")).unwrap();
        assert_eq!((it.id.as_str(), it.secret.as_deref(), it.by_header), ("a", Some("s"), false));
        let it = credentials(&headers(&[]), &Params::of("client_id=a")).unwrap();
        assert_eq!((it.secret, it.by_header), (None, false));
        let code = |headers: &HeaderMap, form: &str| {
            credentials(headers, &Params::of(form)).err().map(|it| it.code())
        };
        let basic = pair("a:s");
        for (values, form, expected) in [
            (vec![basic.as_str()], "client_id=a&client_secret=s", OauthCode::InvalidRequest),
            (vec![basic.as_str()], "client_id=b", OauthCode::InvalidRequest),
            (vec![basic.as_str(), basic.as_str()], "", OauthCode::InvalidRequest),
            (vec!["Bearer x"], "", OauthCode::InvalidClient),
            (vec!["Basic !"], "", OauthCode::InvalidClient),
            (vec!["Basic"], "client_id=a", OauthCode::InvalidClient),
            (vec![], "", OauthCode::InvalidClient),
        ] {
            assert_eq!(code(&headers(&values), form), Some(expected), "{values:?} {form}");
        }
    }
}
