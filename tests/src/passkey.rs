//! A passkey in software, with the browser around it: it says what a test wants (Web Authentication Level 2, section 6).

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

/// Somebody was there, and it was shown that it is the owner.
const PRESENT_AND_VERIFIED: u8 = 0x05;
/// A new passkey is told of.
const HAS_CREDENTIAL: u8 = 0x40;

/// A passkey, and how it answers.
pub struct Passkey {
    key: EcdsaKeyPair,
    id: Vec<u8>,
    /// How often it says that it signed; none for one that does not count.
    pub count: Option<u32>,
    /// The page that it is used on.
    pub origin: String,
    /// The host that it answers for.
    pub rp_id: String,
    /// What it says of its owner.
    pub flags: u8,
}

impl Passkey {
    /// A new one, used on the pages of `origin`.
    ///
    /// # Errors
    /// If there is no key.
    pub fn at(origin: &str) -> anyhow::Result<Self> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
        let rp_id = origin.trim_start_matches("https://").to_owned();
        let id = Uuid::now_v7().as_bytes().to_vec();
        Ok(Self { key, id, count: Some(0), origin: origin.to_owned(), rp_id, flags: PRESENT_AND_VERIFIED })
    }

    /// Makes itself known: the body of `POST /v1/auth/passkeys`.
    ///
    /// # Errors
    /// If nothing is asked.
    pub fn make(&self, options: &Value) -> anyhow::Result<Value> {
        let mut told = self.head(self.flags | HAS_CREDENTIAL);
        told.extend([0; 16]);
        told.extend(u16::try_from(self.id.len())?.to_be_bytes());
        told.extend(&self.id);
        // {1: 2, 3: -7, -1: 1, -2: x, -3: y}
        let point = self.key.public_key().as_ref();
        told.extend([0xA5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
        told.extend(&point[1..33]);
        told.extend([0x22, 0x58, 0x20]);
        told.extend(&point[33..]);
        // {"fmt": "none", "attStmt": {}, "authData": told}
        let mut object = b"\xA3\x63fmt\x64none\x67attStmt\xA0\x68authData\x59".to_vec();
        object.extend(u16::try_from(told.len())?.to_be_bytes());
        object.extend(told);
        let client = self.client_data("webauthn.create", options)?;
        Ok(json!({ "client_data": encoded(&client), "attestation": encoded(&object) }))
    }

    /// Signs: the body of `POST /v1/auth/passkey-sign-in`.
    ///
    /// # Errors
    /// If nothing is asked.
    pub fn sign(&mut self, tenant_slug: &str, options: &Value) -> anyhow::Result<Value> {
        self.count = self.count.map(|it| it + 1);
        let told = self.head(self.flags);
        let client = self.client_data("webauthn.get", options)?;
        let message = [&told[..], digest(&SHA256, &client).as_ref()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &message)?;
        Ok(json!({
            "tenant_slug": tenant_slug, "id": encoded(&self.id), "client_data": encoded(&client),
            "authenticator_data": encoded(&told), "signature": encoded(signature.as_ref()),
        }))
    }

    fn head(&self, flags: u8) -> Vec<u8> {
        let mut head = digest(&SHA256, self.rp_id.as_bytes()).as_ref().to_vec();
        head.push(flags);
        head.extend(self.count.unwrap_or_default().to_be_bytes());
        head
    }

    fn client_data(&self, kind: &str, options: &Value) -> anyhow::Result<Vec<u8>> {
        let challenge = options["challenge"].as_str().context("a challenge")?;
        let said =
            json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false });
        Ok(serde_json::to_vec(&said)?)
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
