//! The headers that make a command safe to repeat: `Idempotency-Key` and `If-Match`.

use axum::extract::FromRequestParts;
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use event_store::{IdempotencyKey, MasterKey};
use serde::Serialize;
use service_kit::access::Caller;
use service_kit::problem::{Problem, code};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Characters of a key at most.
const KEY_CHARS_MAX: usize = 255;

/// A client's key. Commands that move money demand one.
#[derive(Debug, Clone)]
pub struct RequiredKey(String);

/// A client's key, if it gave one.
#[derive(Debug, Clone)]
pub struct OptionalKey(Option<String>);

/// The version that the client last saw, if it says so.
#[derive(Debug, Clone, Copy)]
pub struct IfMatch(pub Option<i64>);

/// A version of this API, part of every fingerprint: the same words may mean something else in another one.
const API_VERSION: &str = "v1";

fn read_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut all = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(first) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Problem::new(&code::KEY_MALFORMED, "there is more than one Idempotency-Key"));
    }
    let text = first.to_str().map_err(|_| Problem::new(&code::KEY_MALFORMED, "it is not ASCII"))?.trim();
    // The draft standard writes it as a structured string, in quotes; most clients do not.
    let bare = text.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(text);
    let printable = bare.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    if bare.is_empty() || bare.len() > KEY_CHARS_MAX || !printable {
        return Err(Problem::new(&code::KEY_MALFORMED, format!("it has {} characters", bare.len())));
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

/// What a key stands for: everything of the request that decides what it does.
#[derive(Serialize)]
struct Canonical<'a, T> {
    api: &'static str,
    path: &'a [&'a str],
    if_match: Option<i64>,
    body: &'a T,
}

/// A request, as its key remembers it.
#[derive(Debug, Clone, Copy)]
pub struct Fingerprinted<'a, T> {
    /// Method and template of the route.
    pub route: &'static str,
    /// The parameters of its path.
    pub path: &'a [&'a str],
    /// The demanded version.
    pub if_match: IfMatch,
    /// The body, in the form that its types give it: spaces and the order of fields do not matter.
    pub body: &'a T,
}

impl<T: Serialize> Fingerprinted<'_, T> {
    fn key(&self, master: &MasterKey, caller: &Caller, key: &str) -> Result<IdempotencyKey, Problem> {
        let canonical =
            Canonical { api: API_VERSION, path: self.path, if_match: self.if_match.0, body: self.body };
        let canonical = serde_json::to_vec(&canonical).map_err(|error| Problem::fault(&error))?;
        Ok(IdempotencyKey::new(master, caller.actor.uuid(), self.route, key, &canonical))
    }
}

impl RequiredKey {
    /// The key of this request.
    ///
    /// # Errors
    /// If the request cannot be written canonically, which is a defect.
    pub fn stands_for<T: Serialize>(
        &self,
        master: &MasterKey,
        caller: &Caller,
        request: &Fingerprinted<'_, T>,
    ) -> Result<Option<IdempotencyKey>, Problem> {
        request.key(master, caller, &self.0).map(Some)
    }
}

impl OptionalKey {
    /// The key of this request, if it has one.
    ///
    /// # Errors
    /// If the request cannot be written canonically, which is a defect.
    pub fn stands_for<T: Serialize>(
        &self,
        master: &MasterKey,
        caller: &Caller,
        request: &Fingerprinted<'_, T>,
    ) -> Result<Option<IdempotencyKey>, Problem> {
        self.0.as_deref().map(|key| request.key(master, caller, key)).transpose()
    }
}
