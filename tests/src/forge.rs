//! Tokens that nobody may believe: every forgery that is known to have worked somewhere, made with the true key where that
//! is the harder case.

use anyhow::Context as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use service_kit::token::{Claims, TOKEN_BYTES_MAX};
use uuid::Uuid;

use crate::stack::Stack;

/// A forged token, and what is wrong with it.
pub type Forged = (String, String);

/// Has the key that an operator signs with, and lies with it.
pub struct Forger {
    pair: Ed25519KeyPair,
    kid: String,
    /// The published keys, as they are served.
    jwks: String,
    good: Map<String, Value>,
}

impl Forger {
    /// Takes the key of a stack, and claims that are good.
    ///
    /// # Errors
    /// If there is no such key.
    pub fn new(stack: &Stack, good: &Claims) -> anyhow::Result<Self> {
        let pem = std::fs::read_to_string(stack.keys.path().join("signing.pem"))?;
        let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let pair = Ed25519KeyPair::from_pkcs8(&STANDARD.decode(der)?).ok().context("signing.pem")?;
        let jwks = std::fs::read_to_string(stack.keys.path().join("jwks.json"))?;
        let kid =
            serde_json::from_str::<Value>(&jwks)?["keys"][0]["kid"].as_str().context("a kid")?.to_owned();
        let Value::Object(good) = serde_json::to_value(good)? else { anyhow::bail!("claims are an object") };
        Ok(Self { pair, kid, jwks, good })
    }

    /// The token that all others are made from: it must be believed, or the others prove nothing.
    #[must_use]
    pub fn true_one(&self) -> String {
        self.sign(&Value::Object(self.header()), &Value::Object(self.good.clone()))
    }

    fn header(&self) -> Map<String, Value> {
        let pairs = [("alg", "EdDSA"), ("typ", "at+jwt"), ("kid", &self.kid)];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
    }

    /// Signs any header and payload with the true key.
    fn sign(&self, header: &Value, payload: &Value) -> String {
        let text = unsigned(header, payload);
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }

    fn signed_header(&self, name: &str, value: Option<Value>) -> String {
        self.sign(&changed(&self.header(), name, value), &Value::Object(self.good.clone()))
    }

    fn signed_claim(&self, name: &str, value: Option<Value>) -> String {
        self.sign(&Value::Object(self.header()), &changed(&self.good, name, value))
    }

    /// All of them: over two hundred, each fit to stand in a header of HTTP.
    ///
    /// # Errors
    /// If a key of a stranger cannot be made.
    pub fn all(&self) -> anyhow::Result<Vec<Forged>> {
        Ok([self.headers(), self.claims(), self.moments(), self.signatures()?, self.shapes()].concat())
    }

    fn headers(&self) -> Vec<Forged> {
        let mut forged = Vec::new();
        let mut add = |what: String, token: String| forged.push((what, token));
        for alg in [
            "none", "None", "NONE", "nOnE", "", " ", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512",
            "PS256", "PS512", "ES256", "ES384", "ES512", "ES256K", "eddsa", "EDDSA", "Ed25519", "Ed448",
            "EdDSA ", "dir", "A256GCM",
        ] {
            add(format!("alg {alg:?}"), self.signed_header("alg", Some(json!(alg))));
        }
        for typ in [
            "JWT",
            "jwt",
            "at+JWT",
            "AT+JWT",
            "application/at+jwt",
            "refresh+jwt",
            "reset+jwt",
            "id+jwt",
            "logout+jwt",
            "dpop+jwt",
            "secevent+jwt",
            "",
            "at+jwt ",
        ] {
            add(format!("typ {typ:?}"), self.signed_header("typ", Some(json!(typ))));
        }
        let file = "../../signing.pem";
        for kid in [
            "",
            file,
            "/dev/null",
            "file:///dev/null",
            "' OR 1=1 --",
            "other",
            "\0",
            "shared",
            "0",
            "null",
            "*",
            "https://evil.example/jwks.json",
            &self.kid.to_uppercase(),
            &format!("{} ", self.kid),
        ] {
            add(format!("kid {kid:?}"), self.signed_header("kid", Some(json!(kid))));
        }
        for name in ["alg", "typ", "kid"] {
            let given = self.header().get(name).cloned().unwrap_or_default();
            add(format!("no {name}"), self.signed_header(name, None));
            for value in [Value::Null, json!([given]), json!({ "is": given }), json!(1), json!(true)] {
                add(format!("{name} {value}"), self.signed_header(name, Some(value)));
            }
        }
        let jwk = serde_json::from_str::<Value>(&self.jwks).unwrap_or_default()["keys"][0].clone();
        for (name, value) in [
            ("jwk", jwk),
            ("jku", json!("https://evil.example/jwks.json")),
            ("x5u", json!("https://evil.example/x.pem")),
            ("x5c", json!(["MII"])),
            ("x5t", json!("AAAA")),
            ("crit", json!(["exp"])),
            ("crit", json!([])),
            ("b64", json!(false)),
            ("zip", json!("DEF")),
            ("enc", json!("A256GCM")),
            ("cty", json!("JWT")),
            ("epk", json!({})),
            ("p2c", json!(1_000_000_000_u64)),
            ("ALG", json!("none")),
        ] {
            add(format!("with {name}"), self.signed_header(name, Some(value)));
        }
        forged
    }

    fn claims(&self) -> Vec<Forged> {
        let mut forged = Vec::new();
        let mut add = |what: String, token: String| forged.push((what, token));
        for name in ["iss", "aud", "sub", "tenant_id", "jti", "iat", "exp"] {
            add(format!("no {name}"), self.signed_claim(name, None));
            let text = self.good.get(name).map(ToString::to_string).unwrap_or_default();
            for value in [Value::Null, json!({ "is": text }), json!(true), json!([text]), json!("")] {
                add(format!("{name} {value}"), self.signed_claim(name, Some(value)));
            }
        }
        for name in ["nbf", "sid", "roles", "email", "amr", "auth_time", "scope", "client_id", "act"] {
            for value in [Value::Null, json!({ "is": 1 }), json!(true)] {
                add(format!("{name} {value}"), self.signed_claim(name, Some(value)));
            }
        }
        let aud = self.good.get("aud").cloned().unwrap_or_default();
        let iss = self.good.get("iss").and_then(Value::as_str).unwrap_or_default();
        for (name, value) in [
            ("aud", json!("other-api")),
            ("aud", json!(["other-api"])),
            ("aud", json!([aud, "other-api"])),
            ("aud", json!([])),
            ("aud", json!(format!("{} ", aud.as_str().unwrap_or_default()))),
            ("iss", json!("https://evil.example")),
            ("iss", json!([iss])),
            ("iss", json!(format!("{iss}.evil.example"))),
            ("iss", json!(iss.to_uppercase())),
            ("sub", json!("admin")),
            ("sub", json!(0)),
            ("tenant_id", json!("*")),
            ("tenant_id", json!("00000000-0000-0000-0000-00000000000")),
            ("jti", json!("1")),
            ("roles", json!("owner")),
            ("roles", json!([1])),
            ("sid", json!("mine")),
            ("act", json!({ "sub": "admin" })),
        ] {
            add(format!("{name} {value}"), self.signed_claim(name, Some(value)));
        }
        forged
    }

    /// Tokens of another time.
    fn moments(&self) -> Vec<Forged> {
        let now = chrono::Utc::now().timestamp();
        let mut forged = Vec::new();
        for name in ["exp", "iat", "nbf"] {
            for value in
                [json!((now + 100).to_string()), json!(4_102_444_800.5), json!(u64::MAX), json!(1e300)]
            {
                forged.push((format!("{name} {value}"), self.signed_claim(name, Some(value))));
            }
        }
        let both = |iat: i64, exp: i64| {
            let Value::Object(claims) = changed(&self.good, "iat", Some(json!(iat))) else {
                return String::new();
            };
            self.sign(&Value::Object(self.header()), &changed(&claims, "exp", Some(json!(exp))))
        };
        for (what, iat, exp) in [
            ("expired six seconds ago", now - 100, now - 6),
            ("expired a minute ago", now - 100, now - 60),
            ("expired in 1970", 0, 1),
            ("expires before 1970", now, -1),
            ("signed in the future", now + 60, now + 120),
            ("ends when it begins", now, now),
            ("ends before it begins", now, now - 1),
        ] {
            forged.push((what.to_owned(), both(iat, exp)));
        }
        forged.push(("begins later".to_owned(), self.signed_claim("nbf", Some(json!(now + 60)))));
        forged
    }

    fn signatures(&self) -> anyhow::Result<Vec<Forged>> {
        let good = Value::Object(self.good.clone());
        let header = Value::Object(self.header());
        let text = unsigned(&header, &good);
        let real = self.true_one();
        let signature = real.rsplit_once('.').context("a signature")?.1;
        let raw = URL_SAFE_NO_PAD.decode(signature)?;
        let none = unsigned(&changed(&self.header(), "alg", Some(json!("none"))), &good);
        let public = self.pair.public_key().as_ref();
        let mac = |alg: &str, algorithm, secret: &[u8]| {
            let text = unsigned(&changed(&self.header(), "alg", Some(json!(alg))), &good);
            let tag = hmac::sign(&hmac::Key::new(algorithm, secret), text.as_bytes());
            format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
        };
        let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).ok().context("a key")?;
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).ok().context("a key")?;
        let stranger =
            Self { pair, kid: "stranger".to_owned(), jwks: self.jwks.clone(), good: self.good.clone() };
        let other_payload = changed(&self.good, "sub", Some(json!(Uuid::now_v7())));
        let pem =
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(public));
        let mut forged: Vec<Forged> = [
            ("none without signature", format!("{none}.")),
            ("none with a signature", format!("{none}.{signature}")),
            ("none in two parts", none),
            ("two parts", text.clone()),
            ("an empty signature", format!("{text}.")),
            ("a signature of another payload", format!("{}.{signature}", unsigned(&header, &other_payload))),
            ("a zero signature", format!("{text}.{}", URL_SAFE_NO_PAD.encode([0_u8; 64]))),
            ("a signature of ones", format!("{text}.{}", URL_SAFE_NO_PAD.encode([0xff_u8; 64]))),
            (
                "half a signature",
                format!("{text}.{}", URL_SAFE_NO_PAD.encode(raw.get(..32).unwrap_or_default())),
            ),
            ("two signatures", format!("{text}.{}", URL_SAFE_NO_PAD.encode([&raw[..], &raw[..]].concat()))),
            ("a padded signature", format!("{real}==")),
            ("a longer signature", format!("{real}AA")),
            ("four parts", format!("{real}.{signature}")),
            ("five parts", format!("{real}..")),
            ("HS256 with the public key", mac("HS256", hmac::HMAC_SHA256, public)),
            ("HS384 with the public key", mac("HS384", hmac::HMAC_SHA384, public)),
            ("HS512 with the public key", mac("HS512", hmac::HMAC_SHA512, public)),
            ("HS256 with the public key as PEM", mac("HS256", hmac::HMAC_SHA256, pem.as_bytes())),
            ("HS256 with the published keys", mac("HS256", hmac::HMAC_SHA256, self.jwks.as_bytes())),
            ("HS256 with nothing", mac("HS256", hmac::HMAC_SHA256, b"")),
            ("HS256 with the kid", mac("HS256", hmac::HMAC_SHA256, self.kid.as_bytes())),
            ("HS256 with `secret`", mac("HS256", hmac::HMAC_SHA256, b"secret")),
            ("a MAC under alg EdDSA", mac("EdDSA", hmac::HMAC_SHA256, public)),
            ("a stranger's key under our kid", stranger.sign(&header, &good)),
            ("a stranger's key and kid", stranger.true_one()),
        ]
        .map(|(what, token)| (what.to_owned(), token))
        .to_vec();
        for at in [0, 7, 31, 32, 40, 63] {
            let mut flipped = raw.clone();
            if let Some(byte) = flipped.get_mut(at) {
                *byte ^= 1;
            }
            forged.push((format!("bit of byte {at}"), format!("{text}.{}", URL_SAFE_NO_PAD.encode(flipped))));
        }
        for less in [1, 2, 3, 4, 8, 40, 85] {
            forged.push((format!("cut by {less}"), real[..real.len() - less].to_owned()));
        }
        Ok(forged)
    }

    /// What is not even a token of ours by its shape.
    fn shapes(&self) -> Vec<Forged> {
        let real = self.true_one();
        let header = Value::Object(self.header());
        let good = Value::Object(self.good.clone());
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = |text: String| {
            let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(text.as_bytes()));
            format!("{text}.{signature}")
        };
        let twice = format!(r#"{{"sub":"{}",{}"#, Uuid::nil(), good.to_string().trim_start_matches('{'));
        let alg_twice = format!(r#"{{"alg":"none",{}"#, header.to_string().trim_start_matches('{'));
        let standard =
            signed(format!("{}.{}", STANDARD.encode(header.to_string()), STANDARD.encode(good.to_string())));
        // Padding shows only where the length is no multiple of three.
        let space = if header.to_string().len().is_multiple_of(3) { " " } else { "" };
        let padded = signed(format!("{}.{}", URL_SAFE.encode(format!("{header}{space}")), text(&good)));
        let long = changed(&self.good, "more", Some(json!("x".repeat(TOKEN_BYTES_MAX))));
        let nested = signed(format!("{}.{}", text(&header), URL_SAFE_NO_PAD.encode(&real)));
        [
            ("a word", "token".to_owned()),
            ("dots", "..".to_owned()),
            ("three words", "a.b.c".to_owned()),
            ("nothing before the dots", format!("..{}", real.rsplit('.').next().unwrap_or_default())),
            ("a payload that is a list", self.sign(&header, &json!([good]))),
            ("a payload that is null", self.sign(&header, &Value::Null)),
            ("a payload that is empty", self.sign(&header, &json!({}))),
            ("a header that is a list", self.sign(&json!([header]), &good)),
            ("a header that is empty", self.sign(&json!({}), &good)),
            ("a token within a token", nested),
            ("a claim twice", signed(format!("{}.{}", text(&header), URL_SAFE_NO_PAD.encode(twice)))),
            ("alg twice", signed(format!("{}.{}", URL_SAFE_NO_PAD.encode(alg_twice), text(&good)))),
            ("base64 of another alphabet", standard),
            ("base64 with padding", padded),
            ("too long", self.sign(&header, &long)),
            ("JSON in place of base64", signed(format!("{header}.{good}"))),
            (
                "an encrypted token's five parts",
                "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAA.AAAA.AAAA".to_owned(),
            ),
            (
                "a refresh token",
                "qr_aaaaaaaaaaaaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaa"
                    .to_owned(),
            ),
        ]
        .map(|(what, token)| (what.to_owned(), token))
        .to_vec()
    }
}

fn unsigned(header: &Value, payload: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(payload.to_string()))
}

/// The same with another value, or without one.
fn changed(base: &Map<String, Value>, name: &str, value: Option<Value>) -> Value {
    let mut it = base.clone();
    match value {
        Some(value) => it.insert(name.to_owned(), value),
        None => it.remove(name),
    };
    Value::Object(it)
}
