//! What a browser keeps for us: as a request brings it, and as it is given to it. Where that is done it is said what for.
//!
//! Browsers take a name with `__Host-` from us alone, over TLS, and send it to us alone (RFC 6265bis section 4.1.3.2). Where
//! we are reached by plain HTTP, which only development allows, they would not take it: there the names are without it, and
//! the cookies without `Secure`.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use service_kit::config::PublicUrl;

/// The cookies of a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cookies {
    is_https: bool,
}

impl Cookies {
    /// Those of whoever is reached at an address; if none is known, over TLS.
    pub(crate) fn of(site: Option<&PublicUrl>) -> Self {
        Self { is_https: site.is_none_or(PublicUrl::is_https) }
    }

    /// What a browser kept under a name.
    pub(crate) fn kept(self, headers: &HeaderMap, name: &str) -> Option<String> {
        kept(headers, &self.named(name))
    }

    /// Has a browser keep a value, for so many seconds or until it is closed. It is sent to us alone and no script can read
    /// it. `Lax`: it comes along when somebody is sent here by an application or a provider, and with no form of theirs.
    pub(crate) fn given(self, name: &str, value: &str, seconds: Option<i64>) -> Option<HeaderValue> {
        let (name, secure) = (self.named(name), if self.is_https { "; Secure" } else { "" });
        let age = seconds.map(|it| format!("; Max-Age={it}")).unwrap_or_default();
        HeaderValue::try_from(format!("{name}={value}; Path=/{secure}; HttpOnly; SameSite=Lax{age}")).ok()
    }

    fn named(self, name: &str) -> String {
        if self.is_https { format!("__Host-{name}") } else { name.to_owned() }
    }
}

/// What is kept under a name (RFC 6265 section 4.2.1). A name that comes twice is somebody's trick: it counts as not there.
fn kept(headers: &HeaderMap, name: &str) -> Option<String> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(';'));
    let mut found = pairs.filter_map(|it| it.trim().split_once('=')).filter(|(it, _)| *it == name);
    let (_, value) = found.next()?;
    found.next().is_none().then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_over_tls_is_a_cookie_bound_to_it() -> Result<(), Box<dyn std::error::Error>> {
        let there = |site: &str| site.parse().map(|it| Cookies::of(Some(&it)));
        let given = |it: Cookies| it.given("quipu", "x", Some(60)).ok_or("a value");
        let https = "__Host-quipu=x; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60";
        assert_eq!(given(Cookies::of(None))?, https);
        assert_eq!(given(there("https://id.example.com")?)?, https);
        assert_eq!(
            given(there("http://localhost:8080")?)?,
            "quipu=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"
        );
        Ok(())
    }

    #[test]
    fn a_cookie_that_comes_twice_is_none() {
        let kept = |text: &'static str| {
            kept(&HeaderMap::from_iter([(COOKIE, HeaderValue::from_static(text))]), "quipu")
        };
        assert_eq!(kept("a=1; quipu=x=y; b=2").as_deref(), Some("x=y"));
        assert_eq!(kept("quipu-visit=1"), None);
        assert_eq!(kept("quipu=1; quipu=2"), None);
    }
}
