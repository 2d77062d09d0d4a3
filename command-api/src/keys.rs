//! The headers that make a command safe to repeat: `Idempotency-Key` and `If-Match`.

use axum::extract::FromRequestParts;
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use domain::StreamId;
use event_store::{IdempotencyKey, MasterKey};
use serde::Serialize;
use service_kit::access::{Admitted, Caller};
use service_kit::problem::{Problem, code};

use crate::app::App;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Characters of a key at most.
const KEY_CHARS_MAX: usize = 255;

/// A version of this API, part of every fingerprint: the same words may mean something else in another one.
const API_VERSION: &str = "v1";

/// A client's key. Commands that move money demand one.
#[derive(Debug, Clone)]
pub struct RequiredKey(String);

/// A client's key, if it gave one.
#[derive(Debug, Clone)]
pub struct OptionalKey(Option<String>);

/// The version that the client last saw, if it says so.
#[derive(Debug, Clone, Copy)]
pub struct IfMatch(pub Option<i64>);

fn read_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut all = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(first) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Problem::new(&code::KEY_MALFORMED, "send one Idempotency-Key, not several"));
    }
    let text =
        first.to_str().map_err(|_| Problem::new(&code::KEY_MALFORMED, "give ASCII characters alone"))?.trim();
    // The draft standard writes it as a structured string, in quotes; most clients do not.
    let bare = text.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(text);
    let printable = bare.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    if bare.is_empty() || bare.len() > KEY_CHARS_MAX || !printable {
        let detail = format!("give 1 to {KEY_CHARS_MAX} printable ASCII characters; it has {}", bare.len());
        return Err(Problem::new(&code::KEY_MALFORMED, detail));
    }
    Ok(Some(bare.to_owned()))
}

impl<S: Send + Sync> FromRequestParts<S> for RequiredKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        read_key(&parts.headers)?.map(Self).ok_or_else(|| Problem::new(&code::KEY_REQUIRED, ""))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OptionalKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        read_key(&parts.headers).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut all = parts.headers.get_all(IF_MATCH).iter();
        let Some(first) = all.next() else { return Ok(Self(None)) };
        let text = first.to_str().unwrap_or_default().trim();
        if text == "*" && all.next().is_none() {
            return Ok(Self(None));
        }
        let version = text.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(text);
        let digits = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
        match (digits, version.parse(), all.next()) {
            (true, Ok(version), None) => Ok(Self(Some(version))),
            _ => Err(Problem::new(&code::PRECONDITION_MALFORMED, "")),
        }
    }
}

impl IfMatch {
    /// The demand, made of the stream that the request is about.
    #[must_use]
    pub fn of(self, stream: StreamId) -> Option<(StreamId, i64)> {
        self.0.map(|version| (stream, version))
    }
}

/// What a client makes a request safe to repeat with.
pub trait ClientKey {
    /// The key, if it gave one.
    fn text(&self) -> Option<&str>;
}

impl ClientKey for RequiredKey {
    fn text(&self) -> Option<&str> {
        Some(&self.0)
    }
}

impl ClientKey for OptionalKey {
    fn text(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// A request, as its key remembers it: everything of it that decides what it does.
#[derive(Debug, Clone)]
pub struct Request<'a, T> {
    route: &'static str,
    path: Vec<String>,
    if_match: IfMatch,
    body: &'a T,
}

impl<'a, T: Serialize> Request<'a, T> {
    /// A request to a route, by method and template, with a body in the form that its types give it: spaces and the order of
    /// fields do not matter. Answers are remembered by the route too, so its text stays even if the template is renamed.
    #[must_use]
    pub const fn new(route: &'static str, body: &'a T) -> Self {
        Self { route, path: Vec::new(), if_match: IfMatch(None), body }
    }

    /// With the next parameter of its path.
    #[must_use]
    pub fn about(mut self, parameter: impl ToString) -> Self {
        self.path.push(parameter.to_string());
        self
    }

    /// With the demanded version.
    #[must_use]
    pub const fn if_match(mut self, if_match: IfMatch) -> Self {
        self.if_match = if_match;
        self
    }

    /// The key under which what becomes of it is remembered.
    fn key(&self, master: &MasterKey, caller: &Caller, key: &str) -> Result<IdempotencyKey, Problem> {
        let canonical = self.canonical().map_err(|error| Problem::fault(&error))?;
        Ok(IdempotencyKey::new(master, caller.actor.uuid(), self.route, key, &canonical))
    }

    fn canonical(&self) -> serde_json::Result<Vec<u8>> {
        let Self { path, if_match: IfMatch(if_match), body, .. } = self;
        serde_json::to_vec(&Canonical { api: API_VERSION, path, if_match: *if_match, body })
    }
}

/// How a request is written for its fingerprint. Remembered answers are found again by it, so it stays as it is.
#[derive(Serialize)]
struct Canonical<'a, T> {
    api: &'static str,
    path: &'a [String],
    if_match: Option<i64>,
    body: &'a T,
}

impl App {
    /// The key under which the answer to this request is remembered, if the client gave one.
    ///
    /// # Errors
    /// If the request cannot be written canonically, which is a defect.
    pub fn key<T: Serialize>(
        &self,
        by: &impl Admitted,
        key: &impl ClientKey,
        request: &Request<'_, T>,
    ) -> Result<Option<IdempotencyKey>, Problem> {
        key.text().map(|key| request.key(&self.master, by.caller(), key)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_as_it_was_when_its_answer_was_remembered() {
        let written = |it: serde_json::Result<Vec<u8>>| String::from_utf8(it.unwrap()).unwrap();
        let bare = Request::new("POST /v1/things", &());
        assert_eq!(written(bare.canonical()), r#"{"api":"v1","path":[],"if_match":null,"body":null}"#);
        let full = Request::new("PUT /v1/things/{id}/parts/{part}", &["a"]);
        let full = full.about(uuid::Uuid::nil()).about(7).if_match(IfMatch(Some(3)));
        let expected =
            r#"{"api":"v1","path":["00000000-0000-0000-0000-000000000000","7"],"if_match":3,"body":["a"]}"#;
        assert_eq!(written(full.canonical()), expected);
    }
}
