//! What somebody sends with a form. There is one way to it, [`Filled`], and it lets nothing through that a page of another
//! site could have sent: the request must come from our origin, and the form must be one that we gave to this very browser
//! (OWASP ASVS 5.0, 3.5.1). So no handler can forget to look.
//!
//! Signing in makes the forms of other tabs worthless. Who was on their way to an application in one of them is not kept from
//! it: the form is not taken, and they go on from where it was, as who they are now.

use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use axum::response::{IntoResponse as _, Response};
use serde::de::DeserializeOwned;
use service_kit::body;
use service_kit::problem::{Problem, code};
use subtle::ConstantTimeEq as _;

use super::sign_in::{Onward, sign_in_first};
use super::visitor::Visitor;
use crate::app::App;

/// The field that shows that the form is ours.
pub(super) const FORM: &str = "form";
const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// A form of ours that somebody filled in.
#[derive(Debug)]
pub(super) struct Filled<T> {
    /// What they wrote.
    pub fields: T,
    /// Who.
    pub visitor: Visitor,
}

impl<T: DeserializeOwned> FromRequest<App> for Filled<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let told = |problem: Problem| problem.into_response();
        let (mut parts, rest) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, app).await.map_err(told)?;
        if !visitor.is_ours(parts.headers.get(ORIGIN)) {
            return Err(told(Problem::new(&code::FORM_INVALID, "")));
        }
        if !is_form(&parts.headers) {
            return Err(told(Problem::new(&code::UNSUPPORTED_MEDIA_TYPE, "")));
        }
        let text = body::read(Request::from_parts(parts, rest)).await.map_err(told)?;
        let written = written(&text).map_err(told)?;
        let (shown, fields): (Vec<_>, Vec<_>) = written.into_iter().partition(|(name, _)| name == FORM);
        let is_ours = match &*shown {
            [(_, shown)] => bool::from(shown.as_bytes().ct_eq(visitor.form().as_bytes())),
            _ => false,
        };
        if !is_ours {
            return Err(stale(&visitor, &fields));
        }
        Ok(Self { fields: read(&fields).map_err(told)?, visitor })
    }
}

/// What is answered to a form of our own page that is not one of this session.
fn stale(visitor: &Visitor, fields: &[(String, String)]) -> Response {
    let onward = Onward::among(fields).filter(|_| visitor.is_known() && visitor.who().is_some());
    match onward {
        Some(onward) => sign_in_first(visitor, &onward),
        None => Problem::new(&code::FORM_INVALID, "").into_response(),
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(CONTENT_TYPE).iter();
    let (Some(one), None) = (all.next(), all.next()) else { return false };
    let essence = one.to_str().ok().and_then(|it| it.split(';').next());
    essence.is_some_and(|it| it.trim().eq_ignore_ascii_case(MEDIA_TYPE))
}

/// The pairs of a form. No field of ours takes more than a line, so none holds a control character.
fn written(text: &[u8]) -> Result<Vec<(String, String)>, Problem> {
    let odd = |what: &str| Problem::new(&code::INVALID_FIELD, what);
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_bytes(text).map_err(|_| odd("the form cannot be read"))?;
    if pairs.iter().any(|(name, value)| name.contains(char::is_control) || value.contains(char::is_control)) {
        return Err(odd("a field holds a control character"));
    }
    Ok(pairs)
}

/// What was written, as what the form has. A field that is left empty counts as not there.
fn read<T: DeserializeOwned>(pairs: &[(String, String)]) -> Result<T, Problem> {
    let odd = |_| Problem::new(&code::INVALID_FIELD, "the form has other fields");
    let filled: Vec<_> = pairs.iter().filter(|(_, value)| !value.is_empty()).collect();
    let text = serde_urlencoded::to_string(filled).map_err(|_| Problem::new(&code::INVALID_FIELD, ""))?;
    serde_urlencoded::from_str(&text).map_err(odd)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Two {
        a: String,
        b: Option<String>,
    }

    #[test]
    fn a_form_has_its_own_fields_once_and_no_others() {
        let read_all = |text: &str| written(text.as_bytes()).and_then(|it| read::<Two>(&it)).ok();
        let two = |a: &str, b: Option<&str>| Two { a: a.to_owned(), b: b.map(str::to_owned) };
        assert_eq!(read_all("a=1+2%26%C3%A4&b=3"), Some(two("1 2&ä", Some("3"))));
        assert_eq!(read_all("a=1&b="), Some(two("1", None)));
        for odd in ["", "a=", "b=1", "a=1&a=2", "a=1&c=2", "a=1%00", "a=1%0A", "a%00=1"] {
            assert_eq!(read_all(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_form_says_that_it_is_one() {
        let said = |text: &'static str| {
            let value = axum::http::HeaderValue::from_static(text);
            is_form(&HeaderMap::from_iter([(CONTENT_TYPE, value)]))
        };
        assert!(said(MEDIA_TYPE) && said("Application/X-WWW-Form-urlencoded; charset=UTF-8"));
        assert!(!said("text/plain") && !said("multipart/form-data; boundary=x") && !said("application/json"));
    }
}
