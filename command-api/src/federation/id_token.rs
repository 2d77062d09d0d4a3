//! ID tokens: what is demanded of one, by name. The library checks nothing but the signature here, since what it leaves
//! out by default (an end, an audience) has let strangers in elsewhere (CVE-2026-56665). Source: OpenID Connect Core 1.0
//! sections 2 and 3.1.3.7, RFC 8725.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq as _;

use super::discovery::IssuerRule;
use super::{Invalid, Person, SUBJECT_CHARS_MAX, address, names};

/// How far a provider's clock may be from ours, in seconds.
const LEEWAY: i64 = 60;
/// How long ago a token may have been made when it is shown: it was made for this very exchange. In seconds.
const AGE_MAX: i64 = 10 * 60;

/// Signatures that need no secret of ours. Neither `none` nor one of the HS family is among them.
const TAKEN: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What the head of a token says; not believed, but to choose a key.
pub(super) struct Head {
    pub(super) algorithm: Algorithm,
    pub(super) key: Option<String>,
}

impl Head {
    /// Reads the head of a token.
    pub(super) fn read(token: &str) -> Result<Self, Invalid> {
        let head = jsonwebtoken::decode_header(token).map_err(|_| Invalid::Algorithm)?;
        if !TAKEN.contains(&head.alg) {
            return Err(Invalid::Algorithm);
        }
        // An extension that must be understood is not.
        if head.crit.is_some() {
            return Err(Invalid::Malformed("the head of the ID token demands what is not known"));
        }
        // An access token or a logout token is another thing, though the same key signs it (RFC 8725 section 3.11).
        if head.typ.is_some_and(|it| !it.eq_ignore_ascii_case("jwt")) {
            return Err(Invalid::Malformed("the token is not an ID token"));
        }
        Ok(Self { algorithm: head.alg, key: head.kid })
    }
}

/// A yes or no. Some providers write it as a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Truth(pub(super) bool);

impl<'de> Deserialize<'de> for Truth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self(value == serde_json::Value::Bool(true) || value == "true" || value == 1))
    }
}

/// One audience or several.
#[derive(Debug)]
struct Audience(Vec<String>);

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let all = if value.is_array() { value } else { serde_json::Value::Array(vec![value]) };
        serde_json::from_value(all).map(Self).map_err(serde::de::Error::custom)
    }
}

/// What we read of a token. What is demanded is not optional.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    iat: i64,
    nonce: String,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    pub(super) auth_time: Option<i64>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    email_verified: Option<Truth>,
    #[serde(default)]
    given_name: Option<String>,
    #[serde(default)]
    family_name: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    pub(super) preferred_username: Option<String>,
    #[serde(default)]
    pub(super) tid: Option<String>,
    #[serde(default)]
    pub(super) oid: Option<String>,
    #[serde(default)]
    pub(super) xms_edov: Option<Truth>,
}

impl Claims {
    /// Who it is about.
    pub(super) fn person(&self) -> Person {
        let (given_name, family_name) =
            names(self.given_name.as_deref(), self.family_name.as_deref(), self.name.as_deref());
        Person {
            subject: self.sub.clone(),
            address: address(self.email.as_deref(), self.email_verified.is_some_and(|it| it.0)),
            given_name,
            family_name,
            label: None,
        }
    }
}

/// The claims of a token that this key signed.
pub(super) fn verify(token: &str, head: &Head, key: &DecodingKey) -> Result<Claims, Invalid> {
    let mut signature_alone = Validation::new(head.algorithm);
    signature_alone.required_spec_claims.clear();
    signature_alone.validate_exp = false;
    signature_alone.validate_nbf = false;
    signature_alone.validate_aud = false;
    match jsonwebtoken::decode::<Claims>(token, key, &signature_alone) {
        Ok(token) => Ok(token.claims),
        Err(error) if matches!(error.kind(), jsonwebtoken::errors::ErrorKind::Json(_)) => {
            Err(Invalid::Malformed("a claim of the ID token is missing or has another form"))
        }
        Err(_) => Err(Invalid::Signature),
    }
}

/// What the claims are compared with.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a IssuerRule,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    /// Seconds since 1970.
    pub(super) now: i64,
}

/// Checks the claims, in this order: issuer, audience, times, nonce, subject.
pub(super) fn check(claims: &Claims, expected: &Expected<'_>) -> Result<(), Invalid> {
    if !expected.issuer.fits(&claims.iss, claims.tid.as_deref()) {
        return Err(Invalid::Issuer);
    }
    let is_ours = |it: &String| it == expected.client_id;
    let is_for_us = match claims.aud.0.as_slice() {
        [one] => is_ours(one) && claims.azp.as_ref().is_none_or(is_ours),
        // For several, it must say that it was given to us.
        several => several.iter().any(is_ours) && claims.azp.as_ref().is_some_and(is_ours),
    };
    if !is_for_us {
        return Err(Invalid::Audience);
    }
    let (now, soon) = (expected.now, expected.now.saturating_add(LEEWAY));
    if claims.exp.saturating_add(LEEWAY) <= now {
        return Err(Invalid::Expired);
    }
    if claims.nbf.is_some_and(|it| it > soon)
        || claims.iat > soon
        || claims.iat.saturating_add(AGE_MAX) <= now
    {
        return Err(Invalid::NotNow);
    }
    if !bool::from(claims.nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(Invalid::Nonce);
    }
    let is_subject = (1..=SUBJECT_CHARS_MAX).contains(&claims.sub.len())
        && claims.sub.bytes().all(|it| (b' '..=b'~').contains(&it));
    if is_subject { Ok(()) } else { Err(Invalid::Malformed("the subject is not one")) }
}

#[cfg(test)]
pub(in crate::federation) mod tests;
