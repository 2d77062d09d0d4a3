//! A good token, and every way in which one is not.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;

pub(in crate::federation) const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://op.example";

/// A key pair, as the provider has it and as it publishes it.
pub(in crate::federation) struct Pair {
    pub(in crate::federation) private: EncodingKey,
    pub(in crate::federation) public: DecodingKey,
    pub(in crate::federation) algorithm: Algorithm,
    pub(in crate::federation) jwk: Value,
}

pub(in crate::federation) fn ed25519(id: &str) -> Pair {
    let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
    let key = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": text(key.public_key().as_ref()) });
    pair(EncodingKey::from_ed_der(document.as_ref()), Algorithm::EdDSA, id, jwk)
}

fn p256(id: &str) -> Pair {
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).unwrap();
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) });
    pair(EncodingKey::from_ec_der(document.as_ref()), Algorithm::ES256, id, jwk)
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn pair(private: EncodingKey, algorithm: Algorithm, id: &str, mut jwk: Value) -> Pair {
    jwk["kid"] = json!(id);
    jwk["use"] = json!("sig");
    jwk["alg"] = json!(format!("{algorithm:?}"));
    let public = DecodingKey::from_jwk(&serde_json::from_value(jwk.clone()).unwrap()).unwrap();
    Pair { private, public, algorithm, jwk }
}

pub(in crate::federation) fn claims(issuer: &str, nonce: &str, now: i64) -> Value {
    json!({
        "iss": issuer, "sub": "248289761001", "aud": "quipu", "exp": now + 3600, "iat": now, "nonce": nonce,
        "email": "ann@example.com", "email_verified": true, "given_name": "Ann", "family_name": "Smith",
    })
}

pub(in crate::federation) fn signed(pair: &Pair, claims: &Value) -> String {
    let mut header = Header::new(pair.algorithm);
    header.kid = pair.jwk["kid"].as_str().map(ToOwned::to_owned);
    encode(&header, claims, &pair.private).unwrap()
}

fn judged(pair: &Pair, token: &str) -> Result<Claims, Invalid> {
    let head = Head::read(token)?;
    let claims = verify(token, &head, &pair.public)?;
    let issuer = IssuerRule::One(ISSUER.to_owned());
    check(&claims, &Expected { issuer: &issuer, client_id: "quipu", nonce: "n", now: NOW })?;
    Ok(claims)
}

fn good() -> Value {
    claims(ISSUER, "n", NOW)
}

fn with(field: &str, value: Value) -> Value {
    let mut claims = good();
    claims[field] = value;
    claims
}

fn without(field: &str) -> Value {
    let mut claims = good();
    claims.as_object_mut().unwrap().remove(field);
    claims
}

#[test]
fn names_are_taken_as_they_are_there_without_what_our_own_interface_refuses() {
    let pair = ed25519("a");
    let called = |given: Option<&str>, family: Option<&str>, whole: Option<&str>| {
        let mut claims = good();
        for (name, text) in [("given_name", given), ("family_name", family), ("name", whole)] {
            claims[name] = serde_json::json!(text);
        }
        let person = judged(&pair, &signed(&pair, &claims)).unwrap().person();
        (person.given_name.unwrap_or_default(), person.family_name.unwrap_or_default())
    };
    let names = |given: &str, family: &str| (given.to_owned(), family.to_owned());
    assert_eq!(called(Some("Uni\u{202e}code"), Some(" Smith\n"), Some("x")), names("Unicode", "Smith"));
    assert_eq!(called(None, Some("Smith"), Some("Ann Smith")), names("", "Smith"));
    assert_eq!(called(None, None, Some("Ann Smith")), names("Ann Smith", ""));
    assert_eq!(called(Some(" "), Some("\u{200f}"), Some("Ann")), names("Ann", ""));
    assert_eq!(called(None, None, None), names("", ""));
}

#[test]
fn a_good_token_says_who_somebody_is() {
    for pair in [ed25519("a"), p256("a")] {
        let person = judged(&pair, &signed(&pair, &good())).unwrap().person();
        assert_eq!(person.subject, "248289761001");
        assert_eq!(person.given_name.as_deref(), Some("Ann"));
        let address = person.address.unwrap();
        assert!(address.is_verified);
        assert_eq!(address.email.mailbox(), "ann@example.com");
    }
}

#[test]
fn cve_2026_56665_a_token_without_what_is_demanded_is_refused() {
    let pair = ed25519("a");
    for field in ["iss", "sub", "aud", "exp", "iat", "nonce"] {
        let told = judged(&pair, &signed(&pair, &without(field))).err();
        assert!(matches!(told, Some(Invalid::Malformed(_))), "without {field}: {told:?}");
        let told = judged(&pair, &signed(&pair, &with(field, Value::Null))).err();
        assert!(told.is_some(), "{field} is null");
    }
}

#[test]
fn a_token_is_of_this_provider_for_us_of_now_and_of_this_sign_in() {
    let pair = ed25519("a");
    for (claims, expected) in [
        (with("iss", json!("https://evil.example")), Invalid::Issuer),
        (with("iss", json!("https://op.example/")), Invalid::Issuer),
        (with("aud", json!("other")), Invalid::Audience),
        (with("aud", json!(["quipu", "other"])), Invalid::Audience),
        (with("aud", json!([])), Invalid::Audience),
        (with("azp", json!("other")), Invalid::Audience),
        (with("exp", json!(NOW - LEEWAY)), Invalid::Expired),
        (with("exp", json!(i64::MIN)), Invalid::Expired),
        (with("nbf", json!(NOW + LEEWAY + 1)), Invalid::NotNow),
        (with("iat", json!(NOW + LEEWAY + 1)), Invalid::NotNow),
        (with("iat", json!(NOW - AGE_MAX)), Invalid::NotNow),
        (with("nonce", json!("m")), Invalid::Nonce),
        (with("nonce", json!("")), Invalid::Nonce),
    ] {
        assert_eq!(judged(&pair, &signed(&pair, &claims)).err(), Some(expected), "{claims}");
    }
    let several = json!(["other", "quipu"]);
    let mut claims = with("aud", several);
    claims["azp"] = json!("quipu");
    for fine in [
        claims,
        with("azp", json!("quipu")),
        with("exp", json!(NOW - LEEWAY + 1)),
        with("exp", json!(i64::MAX)),
        with("nbf", json!(NOW + LEEWAY)),
        with("iat", json!(NOW - AGE_MAX + 1)),
    ] {
        assert!(judged(&pair, &signed(&pair, &fine)).is_ok(), "{fine}");
    }
}

#[test]
fn claims_of_another_form_are_refused() {
    let pair = ed25519("a");
    for claims in [
        with("exp", json!("1900000000")),
        with("exp", json!(1.9e9)),
        with("exp", json!(1e300)),
        with("iat", json!(true)),
        with("sub", json!(7)),
        with("sub", json!("")),
        with("sub", json!("ä")),
        with("sub", json!("a".repeat(256))),
        with("sub", json!("a\nb")),
        with("aud", json!({ "quipu": 1 })),
        with("aud", json!([["quipu"]])),
        with("aud", json!(7)),
    ] {
        let told = judged(&pair, &signed(&pair, &claims)).err();
        assert!(matches!(told, Some(Invalid::Malformed(_))), "{claims}: {told:?}");
    }
}

#[test]
fn a_token_that_nobody_or_somebody_else_signed_is_refused() {
    let (pair, other) = (ed25519("a"), ed25519("a"));
    let token = signed(&pair, &good());
    let (head, rest) = token.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = part(&json!({ "alg": "none" }));
    let changed = part(&with("sub", json!("1")));
    for (token, expected) in [
        (signed(&other, &good()), Invalid::Signature),
        (format!("{head}.{changed}.{signature}"), Invalid::Signature),
        (format!("{head}.{body}."), Invalid::Signature),
        (format!("{head}.{body}.AAAA"), Invalid::Signature),
        (format!("{none}.{body}."), Invalid::Algorithm),
        (format!("{none}.{body}.{signature}"), Invalid::Algorithm),
        (format!("{head}.{body}"), Invalid::Algorithm),
        (format!("{head}.{body}.{signature}.{signature}"), Invalid::Algorithm),
        (String::new(), Invalid::Algorithm),
        ("..".to_owned(), Invalid::Algorithm),
    ] {
        assert_eq!(judged(&pair, &token).err(), Some(expected), "{token}");
    }
}

#[test]
fn nothing_is_taken_that_was_signed_with_what_everybody_knows() {
    let pair = ed25519("a");
    let public = pair.jwk["x"].as_str().unwrap();
    let raw = URL_SAFE_NO_PAD.decode(public).unwrap();
    for secret in [raw.as_slice(), public.as_bytes(), pair.jwk.to_string().as_bytes(), b""] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let token = encode(&Header::new(algorithm), &good(), &EncodingKey::from_secret(secret)).unwrap();
            assert_eq!(judged(&pair, &token).err(), Some(Invalid::Algorithm));
        }
    }
    // A key that the token brings along is nobody's.
    let own = ed25519("a");
    let mut header = Header::new(Algorithm::EdDSA);
    header.jwk = Some(serde_json::from_value(own.jwk.clone()).unwrap());
    header.jku = Some("https://evil.example/keys".to_owned());
    let token = encode(&header, &good(), &own.private).unwrap();
    assert_eq!(judged(&pair, &token).err(), Some(Invalid::Signature));
}

#[test]
fn a_token_of_another_kind_is_not_an_id_token() {
    let pair = ed25519("a");
    for typ in ["at+jwt", "logout+jwt", "application/at+jwt", ""] {
        let header = Header { typ: Some(typ.to_owned()), ..Header::new(Algorithm::EdDSA) };
        let told = judged(&pair, &encode(&header, &good(), &pair.private).unwrap()).err();
        assert!(matches!(told, Some(Invalid::Malformed(_))), "{typ}");
    }
    for typ in [None, Some("jwt".to_owned())] {
        let header = Header { typ, ..Header::new(Algorithm::EdDSA) };
        assert!(judged(&pair, &encode(&header, &good(), &pair.private).unwrap()).is_ok());
    }
    let header = Header { crit: Some(vec!["b64".to_owned()]), ..Header::new(Algorithm::EdDSA) };
    assert!(judged(&pair, &encode(&header, &good(), &pair.private).unwrap()).is_err());
}

#[test]
fn an_address_is_verified_if_the_provider_says_so_and_not_if_it_says_anything_else() {
    let pair = ed25519("a");
    for (value, expected) in [
        (json!(true), true),
        (json!("true"), true),
        (json!(false), false),
        (json!("false"), false),
        (json!("yes"), false),
        (json!("TRUE"), false),
        (json!([true]), false),
        (json!({ "a": true }), false),
        (Value::Null, false),
        (json!(2), false),
    ] {
        let claims = judged(&pair, &signed(&pair, &with("email_verified", value.clone()))).unwrap();
        assert_eq!(claims.person().address.unwrap().is_verified, expected, "{value}");
    }
    let claims = judged(&pair, &signed(&pair, &without("email_verified"))).unwrap();
    assert!(!claims.person().address.unwrap().is_verified);
    let claims = judged(&pair, &signed(&pair, &with("email", json!("not an address")))).unwrap();
    assert_eq!(claims.person().address, None);
}
