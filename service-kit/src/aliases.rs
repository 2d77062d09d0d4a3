//! Other names of paths: those of the product's first descriptions, `/auth/…` and `/api/…`, stand for the same below `/v1`.
//!
//! A request is given its real path before anything looks at it, so routes, permissions, limits, idempotency keys, metrics and
//! traces know one name each. Addresses that we give out ourselves have the real path.

use std::borrow::Cow;

use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use hyper::Request;

/// What clients are told.
pub(crate) const TEXT: &str = "A path may also be asked for without its version: `/auth/…` and `/api/auth/…` are other names \
                               of `/v1/auth/…`, and `/api/…` and `/api/v1/…` of `/v1/…`. What stands here is the real one.";

/// Gives a request its real path.
pub(crate) fn resolve<B>(request: &mut Request<B>) {
    if let Some(real) = real_uri(request.uri()) {
        *request.uri_mut() = real;
    }
}

/// The address that another name stands for; nothing for a real one.
fn real_uri(uri: &Uri) -> Option<Uri> {
    let real = real_path(uri.path())?;
    let path_and_query = match uri.query() {
        Some(query) => format!("{real}?{query}"),
        None => real.into_owned(),
    };
    let mut parts = uri.clone().into_parts();
    // One that became too long to be an address is left as it is, and is nothing's.
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).ok()?);
    Uri::from_parts(parts).ok()
}

/// One name is taken off, and what remains is not looked at again: neither `/api/api/…` nor `/auth/../…` leads anywhere.
fn real_path(path: &str) -> Option<Cow<'_, str>> {
    if path.starts_with("/auth/") {
        return Some(Cow::Owned(format!("/v1{path}")));
    }
    let rest = path.strip_prefix("/api")?;
    if rest.starts_with("/v1/") {
        return Some(Cow::Borrowed(rest));
    }
    rest.starts_with('/').then(|| Cow::Owned(format!("/v1{rest}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(uri: &str) -> String {
        let mut request = Request::builder().uri(uri).body(()).unwrap();
        resolve(&mut request);
        request.uri().to_string()
    }

    #[test]
    fn what_a_path_stands_for_is_told_by_its_first_names_alone() {
        for (asked, expected) in [
            ("/auth/login", "/v1/auth/login"),
            (
                "/auth/github?tenant_slug=acme&state=%2Fauth%2F",
                "/v1/auth/github?tenant_slug=acme&state=%2Fauth%2F",
            ),
            ("/api/auth/me", "/v1/auth/me"),
            ("/api/ledger/accounts?limit=2", "/v1/ledger/accounts?limit=2"),
            ("/api/v1/ledger/accounts", "/v1/ledger/accounts"),
            ("http://quipu.example/api/users", "http://quipu.example/v1/users"),
            ("/api/", "/v1/"),
        ] {
            assert_eq!(real(asked), expected, "{asked}");
        }
    }

    #[test]
    fn what_only_looks_like_another_name_is_left_alone() {
        for asked in [
            "/v1/auth/login",
            "/",
            "/auth",
            "/api",
            "/apis/users",
            "/authors/1",
            "/API/users",
            "/Auth/login",
            "//auth/login",
            "//api/users",
            "/%61pi/users",
            "/api%2Fusers",
            "/oauth2/token",
            "/sign-in",
            "/openapi.json",
            "/v1/api/users",
        ] {
            assert_eq!(real(asked), asked);
        }
        // One name is taken off and no more, and nothing is read into what remains.
        for (asked, expected) in [
            ("/api/api/users", "/v1/api/users"),
            ("/api/v1/v1/users", "/v1/v1/users"),
            ("/api/v1/api/v1/users", "/v1/api/v1/users"),
            ("/api/v1", "/v1/v1"),
            ("/api//users", "/v1//users"),
            ("/auth/../users", "/v1/auth/../users"),
            ("/auth/%2e%2e/users", "/v1/auth/%2e%2e/users"),
            ("/api/../oauth2/token", "/v1/../oauth2/token"),
        ] {
            assert_eq!(real(asked), expected);
        }
    }

    #[test]
    fn an_address_that_would_be_too_long_is_left_alone() {
        let shorter = format!("/auth/{}", "a".repeat(60_000));
        assert_eq!(real(&shorter), format!("/v1{shorter}"));
        let longest = format!("/auth/{}", "a".repeat(65_534 - "/auth/".len()));
        assert_eq!(real(&longest), longest);
    }
}
