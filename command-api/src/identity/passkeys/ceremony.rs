//! What a browser and an authenticator say of a passkey, checked (Web Authentication Level 2, sections 7.1 and 7.2). Pure:
//! nothing is read or kept here.
//!
//! Everything is the sender's choice, so everything is bounded: a message by the body it came in, its depth by
//! [`DEPTH_MAX`], and nothing that is not used is believed. Attestation is not asked for and not looked at: whoever adds a
//! passkey has just shown who they are, and what authenticator they use is their own affair.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ciborium::Value;
use event_store::vault::{Digest, PasskeyAlgorithm};
use serde::Deserialize;

/// Levels of CBOR in one another.
const DEPTH_MAX: usize = 8;
/// Bytes of the authenticator's name for a passkey (section 4, "credential ID").
const CREDENTIAL_BYTES_MAX: usize = 1023;
/// Bytes before the credential in what an authenticator says: the hash of the party, the flags, the counter (section 6.1).
const HEAD_BYTES: usize = 37;

/// Somebody was there.
const USER_PRESENT: u8 = 1;
/// It was shown that it is the owner, by a finger or a number.
const USER_VERIFIED: u8 = 1 << 2;
/// A new passkey is told of.
const HAS_CREDENTIAL: u8 = 1 << 6;
/// More follows, which is not looked at.
const HAS_EXTENSIONS: u8 = 1 << 7;

/// It is not what it should be. Says nothing more on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the passkey is not good")]
pub struct NotGood;

/// What is asked of a browser. Numbers are nothing but names here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To make a passkey.
    Create,
    /// To sign with one.
    Get,
}

impl Asked {
    const fn word(self) -> &'static str {
        match self {
            Self::Create => "webauthn.create",
            Self::Get => "webauthn.get",
        }
    }
}

/// We, as browsers know us: from configuration alone, never from a request.
#[derive(Debug, Clone, Copy)]
pub struct Party<'a> {
    /// Scheme, host and port of our pages.
    pub origin: &'a str,
    /// The host.
    pub id: &'a str,
}

/// A passkey that an authenticator has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The authenticator's name for it.
    pub credential: Vec<u8>,
    /// What it signs with.
    pub algorithm: PasskeyAlgorithm,
    /// Its public half, as the vault keeps it.
    pub public_key: Vec<u8>,
    /// How often it says that it signed.
    pub sign_count: u32,
}

/// What a browser says that it was asked (section 5.8.1). Browsers add members, so unknown ones are passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    #[serde(default)]
    top_origin: Option<String>,
}

/// The hash of what was signed, if the browser was asked this, by us and on a page of ours.
///
/// # Errors
/// [`NotGood`].
pub fn challenge_of(client_data: &[u8], asked: Asked, party: &Party<'_>) -> Result<Digest, NotGood> {
    let said: ClientData = serde_json::from_slice(client_data).map_err(|_| NotGood)?;
    // A page of others must not put ours into a frame and ask in our name.
    let is_ours = said.origin == party.origin && !said.cross_origin && said.top_origin.is_none();
    if said.kind != asked.word() || !is_ours {
        return Err(NotGood);
    }
    let challenge = URL_SAFE_NO_PAD.decode(said.challenge).map_err(|_| NotGood)?;
    Ok(sha256(&challenge))
}

/// The passkey in an attestation object (section 6.5).
///
/// # Errors
/// [`NotGood`], also if it signs with something else than we ask for.
pub fn made(attestation: &[u8], party: &Party<'_>) -> Result<Made, NotGood> {
    let (object, rest) = cbor(attestation)?;
    let said = member(&object, &Value::from("authData")).and_then(Value::as_bytes).ok_or(NotGood)?;
    let (head, after) = head(said, party)?;
    if !rest.is_empty() || head.flags & HAS_CREDENTIAL == 0 {
        return Err(NotGood);
    }
    // The model of the authenticator comes first; it is nobody's business.
    let (_model, after) = after.split_at_checked(16).ok_or(NotGood)?;
    let (length, after) = after.split_first_chunk().ok_or(NotGood)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (credential, after) = after.split_at_checked(length).ok_or(NotGood)?;
    let (key, after) = cbor(after)?;
    if head.flags & HAS_EXTENSIONS == 0 && !after.is_empty() {
        return Err(NotGood);
    }
    let (algorithm, public_key) = public_key(&key)?;
    let credential = credential.to_vec();
    if credential.is_empty() || credential.len() > CREDENTIAL_BYTES_MAX {
        return Err(NotGood);
    }
    Ok(Made { credential, algorithm, public_key, sign_count: head.sign_count })
}

/// Whether a passkey signed this, with its owner verified (section 7.2). Says how often it has signed.
///
/// # Errors
/// [`NotGood`].
pub fn signed(
    algorithm: PasskeyAlgorithm,
    public_key: &[u8],
    authenticator_data: &[u8],
    client_data: &[u8],
    signature: &[u8],
    party: &Party<'_>,
) -> Result<u32, NotGood> {
    let (head, after) = head(authenticator_data, party)?;
    if head.flags & HAS_CREDENTIAL != 0 || (head.flags & HAS_EXTENSIONS == 0 && !after.is_empty()) {
        return Err(NotGood);
    }
    let mut message = authenticator_data.to_vec();
    message.extend(sha256(client_data).0);
    let key = parsed(algorithm, public_key)?;
    key.verify_sig(&message, signature).map_err(|_| NotGood)?;
    Ok(head.sign_count)
}

/// What every authenticator says first.
struct Head {
    flags: u8,
    sign_count: u32,
}

/// Of what an authenticator says, the head and the rest. It is about us, somebody was there, and it was shown that it is the
/// owner: we ask for that each time, since nothing else is asked for.
fn head<'a>(said: &'a [u8], party: &Party<'_>) -> Result<(Head, &'a [u8]), NotGood> {
    let (head, rest) = said.split_first_chunk::<HEAD_BYTES>().ok_or(NotGood)?;
    let (about, head) = head.split_first_chunk::<32>().ok_or(NotGood)?;
    let ([flags], count) = head.split_first_chunk::<1>().ok_or(NotGood)?;
    let count: [u8; 4] = count.try_into().map_err(|_| NotGood)?;
    verify_slices_are_equal(about, &sha256(party.id.as_bytes()).0).map_err(|_| NotGood)?;
    if flags & USER_PRESENT == 0 || flags & USER_VERIFIED == 0 {
        return Err(NotGood);
    }
    Ok((Head { flags: *flags, sign_count: u32::from_be_bytes(count) }, rest))
}

/// A key as COSE has it (RFC 9052 section 7, RFC 9053 section 7), of one of the two kinds that we ask for.
fn public_key(key: &Value) -> Result<(PasskeyAlgorithm, Vec<u8>), NotGood> {
    let number = |name: i8| member(key, &Value::from(name)).and_then(Value::as_integer).map(i128::from);
    let bytes = |name: i8| {
        let found = member(key, &Value::from(name)).and_then(Value::as_bytes);
        found.filter(|it| it.len() == 32).ok_or(NotGood)
    };
    let (kind, algorithm, curve) = (number(1), number(3), number(-1));
    let (algorithm, public_key) = match (kind, algorithm, curve) {
        (Some(2), Some(-7), Some(1)) => {
            (PasskeyAlgorithm::Es256, [&[4_u8][..], bytes(-2)?, bytes(-3)?].concat())
        }
        (Some(1), Some(-8), Some(6)) => (PasskeyAlgorithm::EdDsa, bytes(-2)?.clone()),
        _ => return Err(NotGood),
    };
    // A point that is not on the curve is found now and not at a sign-in.
    parsed(algorithm, &public_key)?;
    Ok((algorithm, public_key))
}

fn parsed(algorithm: PasskeyAlgorithm, public_key: &[u8]) -> Result<ParsedPublicKey, NotGood> {
    let key = match algorithm {
        PasskeyAlgorithm::Es256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public_key),
        PasskeyAlgorithm::EdDsa => ParsedPublicKey::new(&ED25519, public_key),
    };
    key.map_err(|_| NotGood)
}

/// The first item of CBOR, and what follows it.
fn cbor(bytes: &[u8]) -> Result<(Value, &[u8]), NotGood> {
    let mut rest = bytes;
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, DEPTH_MAX).map_err(|_| NotGood)?;
    Ok((value, rest))
}

/// A member of a map, if the map has one of that name and not two.
fn member<'a>(map: &'a Value, name: &Value) -> Option<&'a Value> {
    let mut found = map.as_map()?.iter().filter(|(it, _)| it == name).map(|(_, value)| value);
    let one = found.next()?;
    found.next().is_none().then_some(one)
}

pub(super) fn sha256(bytes: &[u8]) -> Digest {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    Digest(hash)
}

#[cfg(test)]
mod tests;
