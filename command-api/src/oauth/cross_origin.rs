//! What scripts in browsers may read of our answers, whichever page they are of (Fetch Standard, "CORS protocol"; OWASP ASVS 5.0,
//! 3.4.2).
//!
//! | what | who may read it |
//! |---|---|
//! | the two documents and the keys | everybody: they are public |
//! | tokens, giving them back, who signed in | pages of the origins to which the service sends people back |
//!
//! Cookies are never let along: nothing of this looks at one. What an operator opens beside it (`QUIPU_CORS_ORIGINS`) is in
//! [`service_kit::layers`].

use axum::Router;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::options;
use service_kit::bearer::ClientId;

use super::Oauth;
use super::params::Params;

/// Everybody may read it.
pub const BY_EVERYBODY: (HeaderName, HeaderValue) =
    (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
/// What browsers ask about before they send it.
const PATHS: [&str; 6] = [
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
    "/.well-known/jwks.json",
    "/oauth2/token",
    "/oauth2/revoke",
    "/oauth2/userinfo",
];

/// Answers browsers that ask whether they may send something. They may: that tells nothing, and what comes back they keep from
/// a page that it is not for. Merge it into a router that is hardened already: where an operator opens all of the interface to
/// some origins, the others would be told no before they come here.
pub fn preflights() -> Router {
    PATHS.into_iter().fold(Router::new(), |router, path| router.route(path, options(preflight)))
}

async fn preflight(headers: HeaderMap) -> Response {
    let Some(origin) = origin_of(&headers) else { return StatusCode::NO_CONTENT.into_response() };
    let told = [
        (ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()),
        (ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST")),
        (ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type, traceparent")),
        (ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600")),
        (VARY, HeaderValue::from_static("Origin")),
    ];
    (StatusCode::NO_CONTENT, told).into_response()
}

/// The origin of the page that asks, if it is one's.
fn origin_of(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut all = headers.get_all(ORIGIN).iter();
    all.next().filter(|_| all.next().is_none())
}

impl Oauth {
    /// Lets an answer be read by scripts of the service that a form names, right or not: what it says is for whoever sent it.
    pub async fn read_by_named(&self, headers: &HeaderMap, form: &Params, answer: Response) -> Response {
        self.read_by_pages_of(super::client::named(headers, form), headers, answer).await
    }

    /// Lets an answer be read by scripts of the service whose access token is shown.
    pub async fn read_by_bearer(&self, headers: &HeaderMap, answer: Response) -> Response {
        let client = match super::inspect::bearer(headers).filter(|_| headers.contains_key(ORIGIN)) {
            Some(token) => {
                let shown = self.parts().verifier.verify_fresh(token).await.ok();
                shown.and_then(|it| ClientId::parse(it.claims.client_id.as_deref()?))
            }
            None => None,
        };
        self.read_by_pages_of(client, headers, answer).await
    }

    /// Lets an answer be read by scripts of a service's own pages: of the origins to which it sends people back.
    async fn read_by_pages_of(
        &self,
        client: Option<ClientId>,
        headers: &HeaderMap,
        mut answer: Response,
    ) -> Response {
        answer.headers_mut().append(VARY, HeaderValue::from_static("Origin"));
        let (Some(client), Some(origin)) = (client, origin_of(headers)) else { return answer };
        // Whatever keeps us from knowing, the answer is what matters: without the header only a script is kept from it.
        let service = self.parts().identity.service(client).await.ok().flatten();
        if origin.to_str().is_ok_and(|origin| service.is_some_and(|it| it.has_pages_at(origin))) {
            let told = HeaderValue::from_static("retry-after, www-authenticate");
            answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            answer.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, told);
        }
        answer
    }
}
