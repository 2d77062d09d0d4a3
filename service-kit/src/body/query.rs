//! Query strings. What is refused names its parameter, and says what is taken instead.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::plain::in_plain_words;
use super::{ParseCodes, carried};
use crate::problem::{Problem, code};

/// A query string. `T` should deny unknown fields; one that it does not know is refused then.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let text = parts.uri.query().unwrap_or_default();
        if text.contains("%00") || text.contains('\0') {
            return Err(Problem::new(&code::NUL_CHARACTER, "in the query"));
        }
        if !is_utf8(text) {
            return Err(Problem::new(&code::INVALID_PARAMETER, "the query is not UTF-8"));
        }
        let codes = parts.extensions.get::<ParseCodes>().copied().unwrap_or(ParseCodes(&[]));
        let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
        serde_path_to_error::deserialize(pairs).map(Self).map_err(|error| {
            let name = error.path().to_string();
            refused(Some(name.as_str()).filter(|it| *it != "."), &error.inner().to_string(), codes)
        })
    }
}

/// A refusal of one parameter, or of the query as a whole.
fn refused(name: Option<&str>, message: &str, codes: ParseCodes) -> Problem {
    let problem = match carried(message, codes) {
        Some((code, kind, detail)) => Problem::field(code, kind, String::new(), detail),
        None if message.starts_with("unknown field") => Problem::new(&code::UNKNOWN_PARAMETER, message),
        None => {
            let told = in_plain_words(message);
            let detail = name.map_or_else(|| told.to_string(), |name| format!("{name}: {told}"));
            Problem::new(&code::INVALID_PARAMETER, detail)
        }
    };
    match name {
        Some(name) => problem.with("parameter", name),
        None => problem,
    }
}

/// Whether percent-encoded text decodes to UTF-8. The decoder itself would put replacement characters in, and a query
/// would then ask for something that nobody wrote.
fn is_utf8(encoded: &str) -> bool {
    let digit = |byte: Option<u8>| byte.and_then(|it| char::from(it).to_digit(16));
    let mut rest = encoded.bytes();
    let mut decoded = Vec::with_capacity(encoded.len());
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
        } else if let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) {
            decoded.extend(u8::try_from(high * 16 + low));
        }
    }
    std::str::from_utf8(&decoded).is_ok()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use chrono::{DateTime, Utc};
    use serde::Deserialize;
    use uuid::Uuid;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether they can be read matters")]
    struct Asked {
        limit: Option<u16>,
        as_of: Option<DateTime<Utc>>,
        live: Option<bool>,
        user: Option<Uuid>,
    }

    async fn ask(query: &str) -> Result<Query<Asked>, Problem> {
        let request = Request::builder().uri(format!("/x?{query}")).body(()).unwrap();
        Query::from_request_parts(&mut request.into_parts().0, &()).await
    }

    #[tokio::test]
    async fn what_is_refused_is_named_and_what_is_taken_is_said() {
        for (query, name, said) in [
            ("limit=abc", "limit", "whole number"),
            ("limit=", "limit", "whole number"),
            ("limit=99999999", "limit", "whole number"),
            ("live=yes", "live", "true or false"),
            ("as_of=2026-11-22", "as_of", "a moment"),
            ("as_of=2026-11-22T10:00:00+01:00", "as_of", "2026-11-22T10:00:00Z"),
            ("as_of=x", "as_of", "a moment"),
            ("limit=1&user=7", "user", "an identifier"),
        ] {
            let problem = ask(query).await.unwrap_err();
            let body = problem.body();
            assert_eq!(body.code, "request.invalid-parameter", "{query}");
            assert_eq!(body.details.get("parameter").map(String::as_str), Some(name), "{query}");
            assert!(body.detail.starts_with(name) && body.detail.contains(said), "{query}: {}", body.detail);
        }
        let unknown = ask("limits=3").await.unwrap_err();
        assert_eq!(unknown.body().code, "request.unknown-parameter");
        assert!(unknown.body().detail.contains("limits"), "{}", unknown.body().detail);
        assert!(ask("limit=3&as_of=2026-11-22T10:00:00%2B01:00&live=true").await.is_ok());
    }

    #[test]
    fn a_query_must_decode_to_utf8() {
        assert!(is_utf8("name=caf%C3%A9&x=1%"));
        assert!(!is_utf8("name=%FF%FE"));
        assert!(!is_utf8("name=%C3"));
    }
}
