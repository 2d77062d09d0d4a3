//! A passkey is taken as the standard says, and nothing that differs from it in anything.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const PARTY: Party<'static> = Party { origin: "https://id.example.com", id: "id.example.com" };
const CREDENTIAL: &[u8] = b"a name of sixteen";
const VERIFIED: u8 = USER_PRESENT | USER_VERIFIED;

enum Key {
    P256(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Key {
    fn all() -> [Self; 2] {
        let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        [Self::P256(p256), Self::Ed(Ed25519KeyPair::generate().unwrap())]
    }

    fn cose(&self) -> Value {
        let pair = |name: i8, value: Value| (Value::from(name), value);
        match self {
            Self::P256(key) => {
                let point = key.public_key().as_ref();
                Value::Map(vec![
                    pair(1, 2.into()),
                    pair(3, (-7).into()),
                    pair(-1, 1.into()),
                    pair(-2, Value::Bytes(point[1..33].to_vec())),
                    pair(-3, Value::Bytes(point[33..].to_vec())),
                ])
            }
            Self::Ed(key) => Value::Map(vec![
                pair(1, 1.into()),
                pair(3, (-8).into()),
                pair(-1, 6.into()),
                pair(-2, Value::Bytes(key.public_key().as_ref().to_vec())),
            ]),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(key) => key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
        }
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn said(party: &str, flags: u8, count: u32) -> Vec<u8> {
    let mut said = sha256(party.as_bytes()).0.to_vec();
    said.push(flags);
    said.extend(count.to_be_bytes());
    said
}

fn attested(flags: u8, credential: &[u8], key: &Value, more: &[u8]) -> Vec<u8> {
    let mut told = said(PARTY.id, flags, 0);
    told.extend([0; 16]);
    told.extend(u16::try_from(credential.len()).unwrap().to_be_bytes());
    told.extend(credential);
    told.extend(bytes(key));
    told.extend(more);
    told
}

fn object(told: Vec<u8>) -> Vec<u8> {
    let map = [("fmt", "none".into()), ("attStmt", Value::Map(vec![])), ("authData", Value::Bytes(told))];
    bytes(&Value::Map(map.into_iter().map(|(name, value)| (name.into(), value)).collect()))
}

#[test]
fn a_passkey_of_either_kind_is_read_and_its_signature_believed() {
    for key in Key::all() {
        let made = made(&object(attested(VERIFIED | HAS_CREDENTIAL, CREDENTIAL, &key.cose(), &[])), &PARTY);
        let made = made.unwrap();
        assert_eq!((&made.credential[..], made.sign_count), (CREDENTIAL, 0));
        let (told, client) = (said(PARTY.id, VERIFIED, 7), b"what the browser says".to_vec());
        let message = [&told[..], &sha256(&client).0].concat();
        let signature = key.sign(&message);
        let check = |told: &[u8], client: &[u8], signature: &[u8]| {
            signed(made.algorithm, &made.public_key, told, client, signature, &PARTY)
        };
        assert_eq!(check(&told, &client, &signature), Ok(7));
        for at in 0..told.len() {
            let mut changed = told.clone();
            changed[at] ^= 1 << 3;
            assert_eq!(check(&changed, &client, &signature), Err(NotGood), "byte {at}");
        }
        assert_eq!(check(&told, b"something else", &signature), Err(NotGood));
        assert_eq!(check(&told, &client, &signature[1..]), Err(NotGood));
        for other in Key::all() {
            assert_eq!(check(&told, &client, &other.sign(&message)), Err(NotGood));
        }
        // Signed all the same, and not good.
        for odd in [
            said("example.com", VERIFIED, 7),
            said(PARTY.id, USER_PRESENT, 7),
            said(PARTY.id, USER_VERIFIED, 7),
            said(PARTY.id, VERIFIED | HAS_CREDENTIAL, 7),
            [said(PARTY.id, VERIFIED, 7), vec![0]].concat(),
        ] {
            let signature = key.sign(&[&odd[..], &sha256(&client).0].concat());
            assert_eq!(check(&odd, &client, &signature), Err(NotGood), "{odd:?}");
        }
        let extended = [said(PARTY.id, VERIFIED | HAS_EXTENSIONS, 7), vec![0xA0]].concat();
        let signature = key.sign(&[&extended[..], &sha256(&client).0].concat());
        assert_eq!(check(&extended, &client, &signature), Ok(7));
    }
}

#[test]
fn a_passkey_that_differs_in_anything_is_none() {
    for key in Key::all() {
        let flags = VERIFIED | HAS_CREDENTIAL;
        let good = attested(flags, CREDENTIAL, &key.cose(), &[]);
        let with = |change: fn(&mut Vec<(Value, Value)>)| {
            let mut map = key.cose().into_map().unwrap();
            change(&mut map);
            attested(flags, CREDENTIAL, &Value::Map(map), &[])
        };
        for (what, told) in [
            ("not verified", attested(USER_PRESENT | HAS_CREDENTIAL, CREDENTIAL, &key.cose(), &[])),
            ("no passkey", attested(VERIFIED, CREDENTIAL, &key.cose(), &[])),
            ("no name", attested(flags, &[], &key.cose(), &[])),
            ("a long name", attested(flags, &[1; 1024], &key.cose(), &[])),
            ("more than it says", attested(flags, CREDENTIAL, &key.cose(), &[0])),
            ("RS256", with(|it| it[1].1 = (-257).into())),
            ("another curve", with(|it| it[2].1 = 8.into())),
            ("half a key", with(|it| it[3].1 = Value::Bytes(vec![1; 16]))),
            ("a text for a key", with(|it| it[3].1 = "key".into())),
            ("an algorithm twice", with(|it| it.push(it[1].clone()))),
            ("no map", attested(flags, CREDENTIAL, &Value::Null, &[])),
        ] {
            assert_eq!(made(&object(told), &PARTY), Err(NotGood), "{what}");
        }
        let whole = object(good);
        for end in 0..whole.len() {
            assert_eq!(made(&whole[..end], &PARTY), Err(NotGood), "cut at {end}");
        }
        assert_eq!(made(&[&whole[..], &[0]].concat(), &PARTY), Err(NotGood));
        let elsewhere = Party { id: "example.com", ..PARTY };
        assert_eq!(made(&whole, &elsewhere), Err(NotGood));
    }
    let not_on_the_curve = Value::Map(vec![
        (1.into(), 2.into()),
        (3.into(), (-7).into()),
        ((-1).into(), 1.into()),
        ((-2).into(), Value::Bytes(vec![1; 32])),
        ((-3).into(), Value::Bytes(vec![1; 32])),
    ]);
    let told = attested(VERIFIED | HAS_CREDENTIAL, CREDENTIAL, &not_on_the_curve, &[]);
    assert_eq!(made(&object(told), &PARTY), Err(NotGood));
}

#[test]
fn a_browser_was_asked_this_by_us_on_a_page_of_ours() {
    let said = |change: serde_json::Value| {
        let mut said = json!({
            "type": "webauthn.get", "challenge": "AQID", "origin": "https://id.example.com",
            "crossOrigin": false, "added_by_a_browser": true,
        });
        said.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        challenge_of(said.to_string().as_bytes(), Asked::Get, &PARTY)
    };
    assert_eq!(said(json!({})), Ok(sha256(&[1, 2, 3])));
    for change in [
        json!({ "type": "webauthn.create" }),
        json!({ "type": "" }),
        json!({ "challenge": "AQID=" }),
        json!({ "challenge": 1 }),
        json!({ "origin": "https://id.example.com:8443" }),
        json!({ "origin": "http://id.example.com" }),
        json!({ "origin": "https://id.example.com/" }),
        json!({ "origin": "https://evil.id.example.com" }),
        json!({ "crossOrigin": true }),
        json!({ "topOrigin": "https://evil.example" }),
    ] {
        assert_eq!(said(change.clone()), Err(NotGood), "{change}");
    }
    assert_eq!(challenge_of(b"", Asked::Get, &PARTY), Err(NotGood));
}

#[test]
fn what_lies_too_deep_is_refused_and_not_followed() {
    let mut deep = vec![0x81; 4096];
    deep.push(0);
    assert_eq!(made(&deep, &PARTY), Err(NotGood));
    // A list that says that it has four thousand million items, and has none.
    assert_eq!(made(&[0x9A, 0xFF, 0xFF, 0xFF, 0xFF], &PARTY), Err(NotGood));
    assert_eq!(made(&[0x5B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], &PARTY), Err(NotGood));
}

proptest! {
    #[test]
    fn any_bytes_at_all_are_refused_or_taken(bytes in any::<Vec<u8>>()) {
        let _ = made(&bytes, &PARTY);
        let _ = made(&object(bytes.clone()), &PARTY);
        let _ = challenge_of(&bytes, Asked::Create, &PARTY);
        let _ = signed(PasskeyAlgorithm::Es256, &bytes, &bytes, &bytes, &bytes, &PARTY);
    }
}
