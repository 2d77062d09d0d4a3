//! A request, made from the description of its operation so that it would be good, and then changed.

use fastrand::Rng;
use serde_json::{Value, json};
use uuid::Uuid;

/// What is there, to ask for.
pub(super) struct Known {
    pub(super) token: String,
    /// Somebody who may only read.
    pub(super) other: String,
    pub(super) accounts: Vec<String>,
    pub(super) transfers: Vec<String>,
    pub(super) export: String,
}

/// An operation of a document.
pub(super) struct Operation {
    method: String,
    path: String,
    query: Vec<(String, Value)>,
    headers: Vec<String>,
    body: Option<Value>,
}

/// A request, in parts.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: Vec<u8>,
    path: Vec<String>,
    query: Vec<(String, String)>,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Body>,
}

#[derive(Clone)]
enum Body {
    Json(Value),
    Bytes(Vec<u8>),
}

/// Every operation, those that answer with much less often.
pub(super) fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    let paths = document["paths"].as_object().into_iter().flatten();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let often = if path.ends_with("/journal") || path.contains("/exports") { 1 } else { 4 };
            for _ in 0..often {
                found.push(Operation::of(method, path, operation));
            }
        }
    }
    found
}

impl Operation {
    fn of(method: &str, path: &str, operation: &Value) -> Self {
        let (mut query, mut headers) = (Vec::new(), Vec::new());
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap_or_default().to_owned();
            match parameter["in"].as_str() {
                Some("query") => query.push((name, parameter.clone())),
                Some("header") => headers.push(name),
                _ => {}
            }
        }
        let content = &operation["requestBody"]["content"]["application/json"];
        let body = match (&content["example"], operation["requestBody"].is_object()) {
            (Value::Null, true) => Some(json!({ "format": "csv" })),
            (Value::Null, false) => None,
            (example, _) => Some(example.clone()),
        };
        Self { method: method.to_ascii_uppercase(), path: path.to_owned(), query, headers, body }
    }

    /// A request that would be taken, most times.
    pub(super) fn request(&self, rng: &mut Rng, known: &Known) -> Request {
        let path = self.path.split('/').skip(1).map(|it| segment(rng, known, &self.path, it)).collect();
        let mut query = Vec::new();
        for (name, parameter) in &self.query {
            if parameter["required"] == true || rng.u8(..4) == 0 {
                query.push((name.clone(), value(rng, known, parameter)));
            }
        }
        let mut headers = vec![("authorization".to_owned(), format!("Bearer {}", known.token).into_bytes())];
        for name in &self.headers {
            if name == "Idempotency-Key" {
                headers.push((name.clone(), Uuid::from_u128(rng.u128(..)).to_string().into_bytes()));
            }
        }
        let body = self.body.clone().map(|mut it| {
            with_known_ids(rng, known, &mut it);
            Body::Json(it)
        });
        if body.is_some() {
            headers.push(("content-type".to_owned(), b"application/json".to_vec()));
        }
        Request { method: self.method.clone().into_bytes(), path, query, headers, body }
    }
}

fn pick<'a, T>(rng: &mut Rng, all: &'a [T]) -> &'a T {
    &all[rng.usize(..all.len())]
}

fn segment(rng: &mut Rng, known: &Known, path: &str, segment: &str) -> String {
    let is_transfer = path.contains("transfer") || (path.contains("/streams/") && rng.bool());
    match segment {
        "{category}" if is_transfer => "ledger.transfer".to_owned(),
        "{category}" => "ledger.account".to_owned(),
        "{position}" => format!("1-{}", rng.u8(1..12)),
        "{export_id}" => known.export.clone(),
        it if it.starts_with('{') && is_transfer => pick(rng, &known.transfers).clone(),
        it if it.starts_with('{') => pick(rng, &known.accounts).clone(),
        it => it.to_owned(),
    }
}

fn value(rng: &mut Rng, known: &Known, parameter: &Value) -> String {
    let schema = &parameter["schema"];
    let name = parameter["name"].as_str().unwrap_or_default();
    if let Some(all) = schema["enum"].as_array() {
        return pick(rng, all).as_str().unwrap_or_default().to_owned();
    }
    match (name, schema["format"].as_str()) {
        ("from" | "as_of", _) => "2026-01-01T00:00:00Z".to_owned(),
        ("to", _) => "2026-02-01T00:00:00Z".to_owned(),
        ("after" | "before" | "at_position" | "position", _) => format!("1-{}", rng.u8(1..12)),
        ("limit" | "version" | "at_version" | "compare_to", _) => rng.u8(1..4).to_string(),
        ("stream", _) => format!("ledger.account/{}", pick(rng, &known.accounts)),
        (_, Some("uuid")) => pick(rng, &known.accounts).clone(),
        _ => parameter["example"].as_str().unwrap_or("x").to_owned(),
    }
}

/// Puts identifiers of what is there in the place of the examples'.
fn with_known_ids(rng: &mut Rng, known: &Known, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, it) in fields {
                match name.as_str() {
                    "account_id" => *it = json!(pick(rng, &known.accounts)),
                    "transfer_id" => *it = json!(pick(rng, &known.transfers)),
                    _ => with_known_ids(rng, known, it),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|it| with_known_ids(rng, known, it)),
        _ => {}
    }
}

const METHODS: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"];
const HEADERS: [&str; 17] = [
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "quipu-position",
    "last-event-id",
    "traceparent",
    "accept",
    "accept-encoding",
    "content-encoding",
    "user-agent",
    "x-forwarded-for",
    "origin",
    "range",
    "cookie",
    "x-http-method-override",
];
const TEXTS: [&str; 52] = [
    "",
    " ",
    "0",
    "-1",
    "1",
    "01",
    "1.5",
    "1e999",
    "NaN",
    "null",
    "true",
    "[]",
    "{}",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "999999999999999999999999999999",
    "%",
    "%zz",
    "%00",
    "%ff%fe",
    "\u{1}",
    "'",
    "\"",
    "\\",
    "';select pg_sleep(9);--",
    "$1",
    "../../../etc/passwd",
    "..%2f..",
    "{{7*7}}",
    "${jndi:x}",
    "\u{202e}",
    "\u{feff}",
    "😀",
    "ﬀ",
    "e\u{301}",
    "\u{10ffff}",
    "0-0",
    "1-0",
    "1-1",
    "99-1",
    "2147483648-1",
    "1--1",
    "2026-02-30T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "-271821-04-20T00:00:00Z",
    "infinity",
    "now",
    "2026-01-01",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
];
/// Fields that requests may have, and their like.
const FIELDS: [&str; 20] = [
    "id",
    "name",
    "currency",
    "normal_side",
    "min_balance",
    "max_balance",
    "metadata",
    "legs",
    "hold",
    "expires_in",
    "effective_at",
    "code",
    "amount",
    "side",
    "items",
    "atomic",
    "transfer",
    "void",
    "__proto__",
    "tenant_id",
];

/// A text that nobody expects here; rarely a position that has not come, since that is waited for.
fn text(rng: &mut Rng, known: &Known) -> String {
    match rng.u32(..1_000) {
        0 => "1-99999999999".to_owned(),
        1..=20 => "x".repeat(rng.usize(1..3_000)),
        21..=120 => pick(rng, &known.accounts).clone(),
        121..=200 => pick(rng, &known.transfers).clone(),
        201..=300 => (0..rng.usize(1..12)).map(|_| rng.char(..)).collect(),
        _ => (*pick(rng, &TEXTS)).to_owned(),
    }
}

fn json_value(rng: &mut Rng, known: &Known) -> Value {
    match rng.u8(..12) {
        0 => Value::Null,
        1 => json!(rng.bool()),
        2 => json!(rng.i64(..)),
        3 => json!(rng.u64(..)),
        4 => json!(pick(rng, &[1.5, -0.0, 1e300, -1e-320])),
        5 => json!([]),
        6 => json!({}),
        7 => json!({ "amount": text(rng, known), "currency": "EUR" }),
        8 => json!({ text(rng, known): text(rng, known) }),
        9 => (0..rng.usize(1..60)).fold(json!(1), |inner, _| json!([inner])),
        _ => json!(text(rng, known)),
    }
}

impl Request {
    /// Changes one thing.
    pub(super) fn mutate(&mut self, rng: &mut Rng, known: &Known) {
        match rng.u8(..20) {
            0..=2 => self.mutate_path(rng, known),
            3..=6 => self.mutate_query(rng, known),
            7..=9 => self.mutate_header(rng, known),
            10 => self.method = pick(rng, &METHODS).as_bytes().to_vec(),
            11..=16 => match &mut self.body {
                Some(Body::Json(body)) => mutate_json(rng, known, body),
                _ => self.mutate_query(rng, known),
            },
            _ => self.mutate_bytes(rng),
        }
    }

    fn mutate_path(&mut self, rng: &mut Rng, known: &Known) {
        let at = rng.usize(..self.path.len());
        match rng.u8(..5) {
            0 => self.path.truncate(at.max(1)),
            1 => self.path.insert(at, text(rng, known)),
            2 => self.path.push(text(rng, known)),
            _ => self.path[at] = text(rng, known),
        }
    }

    fn mutate_query(&mut self, rng: &mut Rng, known: &Known) {
        let value = text(rng, known);
        if self.query.is_empty() || rng.u8(..4) == 0 {
            let names = ["limit", "cursor", "from", "to", "as_of", "after", "type", "order", "x"];
            self.query.push(((*pick(rng, &names)).to_owned(), value));
            return;
        }
        let at = rng.usize(..self.query.len());
        match rng.u8(..4) {
            0 => drop(self.query.remove(at)),
            1 => self.query.push(self.query[at].clone()),
            _ => self.query[at].1 = value,
        }
    }

    fn mutate_header(&mut self, rng: &mut Rng, known: &Known) {
        let name = (*pick(rng, &HEADERS)).to_owned();
        let value = match (rng.u8(..6), name.as_str()) {
            (0, "authorization") => format!("Bearer {}", known.other).into_bytes(),
            (1, "authorization") => format!("Bearer {}x", known.token).into_bytes(),
            (0, "if-match") => b"\"1\"".to_vec(),
            (0, "if-none-match") => b"*".to_vec(),
            (0, _) => (0..rng.usize(..40)).map(|_| rng.u8(..)).collect(),
            _ => text(rng, known).into_bytes(),
        };
        // Where a header ends is the matter of another test.
        let value = value.into_iter().filter(|it| *it >= b' ' && *it != 0x7f).collect();
        match rng.u8(..4) {
            0 => self.headers.retain(|(it, _)| *it != name),
            1 => self.headers.push((name, value)),
            _ => {
                self.headers.retain(|(it, _)| *it != name);
                self.headers.push((name, value));
            }
        }
    }

    fn mutate_bytes(&mut self, rng: &mut Rng) {
        let Some(body) = &self.body else { return };
        let mut bytes = body.bytes();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..=bytes.len());
            match rng.u8(..5) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, rng.u8(..)),
                2 => {
                    let part = bytes[at..].to_vec();
                    bytes.extend(part);
                }
                3 if at < bytes.len() => drop(bytes.remove(at)),
                _ if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
                _ => {}
            }
        }
        self.body = Some(Body::Bytes(bytes));
    }

    /// As it is sent. Where it ends is always told rightly.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut target = String::new();
        for segment in &self.path {
            target.push('/');
            target.push_str(&encoded(segment));
        }
        for (n, (name, value)) in self.query.iter().enumerate() {
            target.push(if n == 0 { '?' } else { '&' });
            target.push_str(&format!("{name}={}", encoded(value)));
        }
        let mut bytes = self.method.clone();
        bytes.extend(format!(" {target} HTTP/1.1\r\nhost: x\r\n").into_bytes());
        for (name, value) in &self.headers {
            bytes.extend(name.as_bytes());
            bytes.extend(b": ");
            bytes.extend(value);
            bytes.extend(b"\r\n");
        }
        let body = self.body.as_ref().map(Body::bytes).unwrap_or_default();
        bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).into_bytes());
        bytes.extend(body);
        bytes
    }
}

impl Body {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Json(value) => value.to_string().into_bytes(),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// What stands in a target as it is, and the rest in hexadecimal. A percent sign stays, so that wrong ones come through.
fn encoded(text: &str) -> String {
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"-._~%:@!$'()*,;".contains(&it);
    text.bytes().map(|it| if plain(it) { char::from(it).to_string() } else { format!("%{it:02X}") }).collect()
}

fn mutate_json(rng: &mut Rng, known: &Known, value: &mut Value) {
    match value {
        Value::Object(fields) if !fields.is_empty() && rng.u8(..8) != 0 => {
            let names: Vec<String> = fields.keys().cloned().collect();
            let name = pick(rng, &names).clone();
            match rng.u8(..6) {
                0 => drop(fields.remove(&name)),
                1 => drop(fields.insert((*pick(rng, &FIELDS)).to_owned(), json_value(rng, known))),
                2 => drop(fields.insert(name, json_value(rng, known))),
                _ => mutate_json(rng, known, &mut fields[&name]),
            }
        }
        Value::Array(items) if !items.is_empty() && rng.u8(..8) != 0 => {
            let at = rng.usize(..items.len());
            match rng.u8(..6) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                2 => items.extend(vec![items[at].clone(); rng.usize(..120)]),
                _ => mutate_json(rng, known, &mut items[at]),
            }
        }
        Value::String(text) if rng.bool() && !text.is_empty() => {
            let mut chars: Vec<char> = text.chars().collect();
            let at = rng.usize(..chars.len());
            chars[at] = if rng.bool() { rng.char('0'..='9') } else { rng.char(..) };
            *text = chars.into_iter().collect();
        }
        it => *it = json_value(rng, known),
    }
}
