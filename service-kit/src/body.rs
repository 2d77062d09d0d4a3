//! What comes in: JSON bodies, query strings and path parameters, each refused with a problem that says where.

mod known;
mod plain;
mod query;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use axum::RequestExt;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::ErrorKind;
use http_body_util::{BodyExt, LengthLimitError};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_path_to_error::{Path as Place, Segment};

pub use known::{KnownParameters, refuse_unknown};
pub use query::Query;

use crate::problem::{CodeDoc, FieldProblem, Problem, code};

/// Marks an error made by [`Strict`]; the code follows it.
const STRICT: &str = "strict:";

/// What is said of a value where an object with one field or a word is taken.
const ONE_OF_SEVERAL: &str =
    "one of several is taken here, under its name: /openapi.json says which, and how they are written";

/// Kinds of the codes that domain types report while they are parsed, as `[some.code] text`. Given to a router with
/// `Extension`; a code that no table holds is [`ErrorKind::Invalid`].
#[derive(Debug, Clone, Copy)]
pub struct ParseCodes(pub &'static [&'static [(&'static str, ErrorKind)]]);

/// How long a body may take; [`crate::layers::harden`] puts it into every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyTimeout(pub(crate) Duration);

/// Characters of a text in a body at most, where nothing narrower is said of it.
pub(crate) const TEXT_CHARS_MAX: usize = 8_000;

const BODY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// A JSON body, in and out. In: the media type must say so, without an encoding, within the route's limit and time; fields given twice,
/// NUL characters and texts of more than [`TEXT_CHARS_MAX`] are refused at any depth. Unknown fields are refused where `T` denies them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(&code::UNSUPPORTED_MEDIA_TYPE, ""));
        }
        if is_encoded(request.headers()) {
            return Err(Problem::new(&code::UNSUPPORTED_MEDIA_TYPE, "Content-Encoding is not taken"));
        }
        let codes = request.extensions().get::<ParseCodes>().copied().unwrap_or(ParseCodes(&[]));
        parse(&read(request).await?, codes).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
            Err(error) => Problem::fault(&error).into_response(),
        }
    }
}

/// Reads a whole body within the route's limit and time.
pub async fn read(request: Request) -> Result<Bytes, Problem> {
    let limit = request.extensions().get::<BodyTimeout>().map_or(BODY_TIMEOUT_DEFAULT, |it| it.0);
    let body = request.with_limited_body().into_body();
    match tokio::time::timeout(limit, body.collect()).await {
        Err(_) => Err(closing(Problem::new(&code::BODY_TIMEOUT, ""))),
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if is_too_long(&error) => Err(closing(Problem::new(&code::BODY_TOO_LARGE, ""))),
        Ok(Err(_)) => Err(closing(Problem::new(&code::MALFORMED_JSON, "the body ended early"))),
    }
}

/// Parses a JSON text as [`Json`] does. It must be an object: the reader would take a list for one too, field by field.
pub fn parse<T: DeserializeOwned>(text: &[u8], codes: ParseCodes) -> Result<T, Problem> {
    if text.trim_ascii_start().first().is_some_and(|it| *it != b'{')
        && parse_any::<Strict>(text, codes).is_ok()
    {
        let doc = &code::INVALID_FIELD;
        let (pointer, detail) = (String::new(), "the body is not an object".to_owned());
        let field = FieldProblem { pointer, code: doc.code.to_owned(), detail: detail.clone() };
        return Err(Problem::new(doc, detail).at(field));
    }
    parse_any(text, codes)
}

/// The same for a text that may be a list or a bare value: an answer of somebody else.
pub(crate) fn parse_any<T: DeserializeOwned>(text: &[u8], codes: ParseCodes) -> Result<T, Problem> {
    let text = std::str::from_utf8(text).map_err(|_| Problem::new(&code::MALFORMED_JSON, "not UTF-8"))?;
    located(text, |input| serde_path_to_error::deserialize::<_, Strict>(input))
        .map_err(|it| malformed(&it).unwrap_or_else(|| refused(&it, text, codes)))?;
    located(text, |input| serde_path_to_error::deserialize::<_, T>(input))
        .map_err(|it| refused(&it, text, codes))
}

/// Parameters of the path. One that cannot be what it should be names nothing: 404, like an unknown identifier.
#[derive(Debug, Clone, Copy, Default)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(it)) => Ok(Self(it)),
            Err(refused) if refused.status() == StatusCode::INTERNAL_SERVER_ERROR => {
                Err(Problem::fault(&refused))
            }
            Err(_) => Err(Problem::new(&code::NOT_FOUND, "")),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(one), None) = (all.next(), all.next()) else { return false };
    let Ok(text) = one.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case("application/json")
        && parts
            .all(|it| it.is_empty() || !it.to_ascii_lowercase().starts_with("charset") || is_utf8_charset(it))
}

/// Bodies are taken as they are: what says that it is packed would not be what it seems.
fn is_encoded(headers: &HeaderMap) -> bool {
    let encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    encodings.into_iter().any(|it| !it.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn is_utf8_charset(parameter: &str) -> bool {
    let value = parameter.split_once('=').map_or("", |(_, value)| value.trim().trim_matches('"'));
    value.eq_ignore_ascii_case("utf-8")
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(it) = cause {
        if it.is::<LengthLimitError>() {
            return true;
        }
        cause = it.source();
    }
    false
}

/// What remains of the body is not read, so the connection cannot be used again.
fn closing(problem: Problem) -> Problem {
    problem.header(header::CONNECTION, header::HeaderValue::from_static("close"))
}

type Located = serde_path_to_error::Error<serde_json::Error>;

fn located<'de, T: Deserialize<'de>>(
    text: &'de str,
    parse: impl FnOnce(&mut serde_json::Deserializer<serde_json::de::StrRead<'de>>) -> Result<T, Located>,
) -> Result<T, Located> {
    let mut input = serde_json::Deserializer::from_str(text);
    let value = parse(&mut input)?;
    match input.end() {
        Ok(()) => Ok(value),
        // The place is the root: the fault lies behind the value.
        Err(error) => serde_path_to_error::deserialize(Failing(error)),
    }
}

/// Gives an error the shape of a located one, whose constructor is not public.
struct Failing(serde_json::Error);

impl<'de> Deserializer<'de> for Failing {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(self.0)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A text that is no JSON. Only the first reading can say so: the second one speaks of syntax too, where a value of
/// another sort stands in the place of one of several.
fn malformed(error: &Located) -> Option<Problem> {
    let inner = error.inner();
    let is_malformed = inner.is_syntax() || inner.is_eof() || inner.is_io();
    let message = || format!("{} at line {}", without_place(&inner.to_string()), inner.line());
    is_malformed.then(|| Problem::new(&code::MALFORMED_JSON, message()))
}

/// A text that is JSON, but not what was asked for.
fn refused(error: &Located, text: &str, codes: ParseCodes) -> Problem {
    let message = without_place(&error.inner().to_string());
    let pointer = Pointer::of(error.path(), text);
    if let Some((code, kind, detail)) = carried(&message, codes) {
        return Problem::field(code, kind, pointer.text, detail);
    }
    let (doc, pointer, detail) = told(error, message, pointer);
    Problem::new(doc, detail.clone()).at(FieldProblem { pointer, code: doc.code.to_owned(), detail })
}

/// What a reader of ours or of serde complains of, and where.
fn told(error: &Located, message: String, pointer: Pointer<'_>) -> (&'static CodeDoc, String, String) {
    let named = |prefix| message.strip_prefix(prefix).and_then(|it: &str| it.split('`').next());
    if let Some(name) = named("missing field `") {
        return (&code::MISSING_FIELD, pointer.child(name), message);
    }
    if let Some(name) = named("unknown field `") {
        let is_there = matches!(error.path().iter().next_back(), Some(Segment::Map { key }) if key == name);
        let pointer = if is_there { pointer.text } else { pointer.child(name) };
        return (&code::UNKNOWN_FIELD, pointer, message);
    }
    if let Some(name) = named("unknown variant `") {
        return (&code::INVALID_FIELD, pointer.step(name), message);
    }
    let (doc, detail) = match message.strip_prefix(STRICT) {
        Some("nul") => (&code::NUL_CHARACTER, "the character NUL is not taken".to_owned()),
        Some("long") => (&code::INVALID_FIELD, format!("a text has at most {TEXT_CHARS_MAX} characters")),
        Some(_) => (&code::DUPLICATE_FIELD, "the field is given twice".to_owned()),
        None if error.inner().is_syntax() => (&code::INVALID_FIELD, ONE_OF_SEVERAL.to_owned()),
        None => (&code::INVALID_FIELD, plain::in_plain_words(&message).into_owned()),
    };
    (doc, pointer.text, detail)
}

/// serde_json ends its messages with a place in the text, which says nothing beside a pointer.
fn without_place(message: &str) -> String {
    message.rfind(" at line ").and_then(|end| message.get(..end)).unwrap_or(message).to_owned()
}

/// A code that a domain type put before its message.
fn carried(message: &str, codes: ParseCodes) -> Option<(String, ErrorKind, String)> {
    let (code, detail) = message.strip_prefix('[')?.split_once("] ")?;
    let named = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-' || it == '.';
    if !code.contains('.') || !code.chars().all(named) {
        return None;
    }
    let known = codes.0.iter().flat_map(|table| table.iter()).find(|(it, _)| *it == code);
    Some((code.to_owned(), known.map_or(ErrorKind::Invalid, |(_, kind)| *kind), detail.to_owned()))
}

/// A place in a body, as a pointer of RFC 6901.
struct Pointer<'a> {
    text: String,
    body: &'a str,
}

impl<'a> Pointer<'a> {
    fn of(place: &Place, body: &'a str) -> Self {
        let mut it = Self { text: String::new(), body };
        for segment in place {
            it.text = match segment {
                Segment::Seq { index } => format!("{}/{index}", it.text),
                Segment::Map { key } => it.child(key),
                Segment::Enum { variant } => it.step(variant),
                Segment::Unknown => continue,
            };
        }
        it
    }

    /// The field `name` of what stands here, whether it is there or not.
    fn child(&self, name: &str) -> String {
        format!("{}/{}", self.text, escaped(name))
    }

    /// The same, if it is there. One of several is written as an object with its name for a field, or as the name alone:
    /// serde does not say which, so the body is asked.
    fn step(&self, name: &str) -> String {
        let child = self.child(name);
        let is_there = serde_json::from_str::<Value>(self.body).is_ok_and(|it| it.pointer(&child).is_some());
        if is_there { child } else { self.text.clone() }
    }
}

fn escaped(key: &str) -> Cow<'_, str> {
    if key.contains(['~', '/']) {
        Cow::Owned(key.replace('~', "~0").replace('/', "~1"))
    } else {
        Cow::Borrowed(key)
    }
}

/// Any JSON value whose objects give no field twice, and whose texts hold no NUL and are not too long. It keeps nothing.
struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(|()| Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        // Bytes are counted faster, and are no fewer.
        let is_long = text.len() > TEXT_CHARS_MAX && text.chars().count() > TEXT_CHARS_MAX;
        if text.contains('\0') {
            Err(E::custom(format!("{STRICT}nul")))
        } else if is_long {
            Err(E::custom(format!("{STRICT}long")))
        } else {
            Ok(())
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<Strict>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut seen = Seen::default();
        while let Some(Key(key)) = fields.next_key::<Key<'de>>()? {
            let nul = key.contains('\0');
            let fault = if nul { Some("nul") } else { (!seen.insert(key)).then_some("twice") };
            fields.next_value_seed(OrFault(fault))?;
        }
        Ok(())
    }
}

/// Fails in the place of a field's value, so that the pointer names the field.
struct OrFault(Option<&'static str>);

impl<'de> DeserializeSeed<'de> for OrFault {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            Some(fault) => Err(serde::de::Error::custom(format!("{STRICT}{fault}"))),
            None => Strict::deserialize(deserializer).map(|_| ()),
        }
    }
}

/// A name, borrowed from the text unless it has escapes in it.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor).map(Self)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Names of one object: a list while they are few, as nearly always, then a set.
#[derive(Default)]
struct Seen<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Seen<'de> {
    const FEW_MAX: usize = 24;

    fn insert(&mut self, key: Cow<'de, str>) -> bool {
        if self.few.contains(&key) || self.many.contains(&key) {
            return false;
        }
        if self.few.len() < Self::FEW_MAX {
            self.few.push(key);
        } else {
            self.many.insert(key);
        }
        true
    }
}

#[cfg(test)]
mod tests;
