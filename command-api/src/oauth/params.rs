//! Parameters, as queries and forms carry them (WHATWG URL, "application/x-www-form-urlencoded"): each at most once, whole
//! UTF-8 without control characters, of bounded length. One without a value is as good as left out (RFC 6749 section 3.1).

use std::collections::BTreeMap;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use service_kit::body;
use service_kit::oauth_error::{OauthCode, OauthError};
use service_kit::problem::{Problem, code};

/// Parameters of one request at most.
const PARAMETERS_MAX: usize = 50;
/// Bytes of a value at most.
const VALUE_BYTES_MAX: usize = 4_000;

/// The parameters of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    values: BTreeMap<String, String>,
    /// The first one that is given twice, is too long or is no text.
    faulty: Option<String>,
}

impl Params {
    /// Reads them. What is wrong with one is told when it is asked for, or by [`Params::whole`].
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut it = Self::default();
        for (n, pair) in text.split('&').filter(|it| !it.is_empty()).enumerate() {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), false) = (decoded(name), n >= PARAMETERS_MAX) else {
                it.faulty.get_or_insert_default();
                break;
            };
            let Some(value) = decoded(value).filter(|it| it.len() <= VALUE_BYTES_MAX) else {
                it.values.remove(&name);
                it.faulty.get_or_insert(name);
                continue;
            };
            if value.is_empty() {
                continue;
            }
            if it.values.contains_key(&name) || it.faulty.as_ref() == Some(&name) {
                it.values.remove(&name);
                it.faulty.get_or_insert(name);
                continue;
            }
            it.values.insert(name, value);
        }
        it
    }

    /// A value, if there is one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A value that must be there.
    ///
    /// # Errors
    /// `invalid_request`.
    pub fn required(&self, name: &'static str) -> Result<&str, OauthError> {
        let missing =
            || OauthError::new(OauthCode::InvalidRequest, format!("{name} is missing or given twice"));
        self.get(name).ok_or_else(missing)
    }

    /// Refuses if anything was wrong.
    ///
    /// # Errors
    /// `invalid_request`.
    pub fn whole(&self) -> Result<(), OauthError> {
        let faulty = || OauthError::new(OauthCode::InvalidRequest, "a parameter is malformed or given twice");
        self.faulty.is_none().then_some(()).ok_or_else(faulty)
    }
}

/// The form of a request, whole.
///
/// # Errors
/// `invalid_request`, or what was wrong with the body.
pub async fn read_form(request: Request) -> Result<Params, OauthError> {
    let params = Params::of(&form_text(request).await?);
    params.whole()?;
    Ok(params)
}

/// The form of a request, as it was sent.
///
/// # Errors
/// If it is declared as something else, too large, or no text. The first is told as any other malformed request: clients of
/// OAuth know no other answer (RFC 6749 section 5.2).
pub async fn form_text(request: Request) -> Result<String, Problem> {
    if !is_form(request.headers()) {
        let told = "send Content-Type: application/x-www-form-urlencoded, unencoded";
        return Err(Problem::new(&code::OAUTH_REQUEST_INVALID, told));
    }
    let bytes = body::read(request).await?;
    let malformed = || Problem::new(&code::OAUTH_REQUEST_INVALID, "the form is not UTF-8");
    std::str::from_utf8(&bytes).map(ToOwned::to_owned).map_err(|_| malformed())
}

fn is_form(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(one), None) = (all.next(), all.next()) else { return false };
    let essence = one.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let is_plain = headers.get_all(header::CONTENT_ENCODING).iter().all(|it| it.as_bytes() == b"identity");
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") && is_plain
}

/// Percent-decoded text. Whatever could be read in two ways is none.
pub(super) fn decoded(text: &str) -> Option<String> {
    let digit = |byte: Option<u8>| byte.and_then(|it| char::from(it).to_digit(16));
    let mut rest = text.bytes();
    let mut bytes = Vec::with_capacity(text.len());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok().filter(|it| !it.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_parameter_is_there_once_or_not_at_all() {
        let params = Params::of("a=1&b=&c=%20x+y&d=%C3%BC");
        assert_eq!(params.whole(), Ok(()));
        assert_eq!((params.get("a"), params.get("b"), params.get("c")), (Some("1"), None, Some(" x y")));
        assert_eq!(params.get("d"), Some("ü"));
        for text in ["a=1&a=2", "a=1&a=1", "a=%00", "a=%", "a=%f", "a=%zz", "a=%ff", "a=%0a", "a=1&%61=2"] {
            let params = Params::of(text);
            assert!(params.whole().is_err() && params.get("a").is_none(), "{text}");
        }
        let three = Params::of("a=1&a=2&a=3");
        assert_eq!((three.get("a"), three.whole().is_err()), (None, true));
        assert!(Params::of(&format!("a={}", "x".repeat(4_001))).whole().is_err());
        let many: Vec<String> = (0..51).map(|n| format!("p{n}=1")).collect();
        assert!(Params::of(&many.join("&")).whole().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(text in "[a-c=&%0-9+\\PC]{0,80}") {
            let params = Params::of(&text);
            for value in params.values.values() {
                prop_assert!(!value.is_empty() && !value.chars().any(char::is_control));
            }
        }

        #[test]
        fn what_is_written_is_read(name in "[a-z]{1,8}", value in "[^\\p{Cc}]{1,60}") {
            let text = serde_urlencoded::to_string([(&name, &value)]).unwrap();
            let params = Params::of(&text);
            prop_assert_eq!(params.get(&name), Some(value.as_str()));
        }
    }
}
