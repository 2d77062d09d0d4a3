//! What a browser keeps for us, as a request brings it. What is given to it to keep, and for how long, is said where that is done.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

/// What is kept under a name (RFC 6265 section 4.2.1). A name that comes twice is somebody's trick: it counts as not there.
pub(crate) fn kept(headers: &HeaderMap, name: &str) -> Option<String> {
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
    fn a_cookie_that_comes_twice_is_none() {
        let kept = |text: &'static str| {
            kept(&HeaderMap::from_iter([(COOKIE, HeaderValue::from_static(text))]), "quipu")
        };
        assert_eq!(kept("a=1; quipu=x=y; b=2").as_deref(), Some("x=y"));
        assert_eq!(kept("quipu-visit=1"), None);
        assert_eq!(kept("quipu=1; quipu=2"), None);
    }
}
