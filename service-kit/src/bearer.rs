//! The texts that let their bearer do something: refresh tokens, links in mails, keys of programs. Each is
//! `<kind>_<tenant>_<id>_<secret>`, so whoever looks it up knows whose row to look at before any secret is compared, and a
//! scanner finds one that leaked. Tenant and id are neither secret nor believed: the row must say the same.
//!
//! The server keeps [`Bearer::hash`] and never the text. Access tokens are another thing: see [`crate::token`].

mod client_id;

use std::fmt::{self, Write as _};

use aws_lc_rs::digest::{Context, SHA256};
use domain::ids::TenantId;
use sabotage::Guard;
use secrecy::SecretString;
use uuid::Uuid;

use crate::random::{self, NoRandomness};

pub use client_id::ClientId;

/// Bits that nobody can guess.
const SECRET_BYTES: usize = 32;
/// RFC 4648 section 6, in small letters; nothing is padded.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Letters of the checksum of a kind that has one.
const CHECKSUM_LETTERS: usize = 6;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $prefix:literal $word:literal;)*) => {
        /// What a bearer text is for. A text of one kind is never good for another: the kind is part of what is hashed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The first letters of its texts.
            #[must_use]
            pub const fn prefix(self) -> &'static str {
                match self { $(Self::$name => $prefix),* }
            }

            const fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

kinds! {
    /// Gets new access tokens for a session.
    Refresh "qr" "refresh";
    /// A program's own key. It ends with a checksum, so that scanners can tell one from chance.
    ApiKey "qk" "api-key";
    /// What a service proves itself with.
    ClientSecret "qs" "client-secret";
    /// A link in a mail.
    Mail "qm" "mail";
    /// What a service asked somebody to allow, while they sign in.
    AuthorizationRequest "qp" "authorization-request";
    /// A code of the authorization endpoint.
    AuthorizationCode "qc" "authorization-code";
    /// What a device polls with.
    DeviceCode "qd" "device-code";
    /// Hands the tokens of a sign-in at another provider over.
    Handover "qh" "handover";
    /// Comes back with somebody from another provider.
    ProviderState "qo" "provider-state";
    /// Says that the first factor was right.
    SecondFactor "qf" "second-factor";
    /// A signed-in browser.
    Browser "qb" "browser";
    /// Shows in one organisation that somebody is in another one, too.
    LinkCode "ql" "link-code";
}

/// A text is not a bearer text of the kind that was asked for. Says nothing more on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token of this kind")]
pub struct NotABearer;

/// A bearer text, taken apart. `Debug` shows all but the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer {
    /// What it is for.
    pub kind: Kind,
    /// Whose it says it is.
    pub tenant: TenantId,
    /// Which one it says it is.
    pub id: Uuid,
    secret: [u8; SECRET_BYTES],
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer")
            .field("kind", &self.kind)
            .field("tenant", &self.tenant)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Bearer {
    /// A new one with a fresh secret.
    ///
    /// # Errors
    /// If the machine gives no random bytes.
    pub fn make(kind: Kind, tenant: TenantId, id: Uuid) -> Result<Self, NoRandomness> {
        Ok(Self { kind, tenant, id, secret: random::bytes()? })
    }

    /// Reads a text of one kind. There is one text for each value: no other length, letter, case or spare bit is taken.
    ///
    /// # Errors
    /// [`NotABearer`], whatever is wrong.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, NotABearer> {
        let rest = text.strip_prefix(kind.prefix()).and_then(|it| it.strip_prefix('_')).ok_or(NotABearer)?;
        let rest = if kind == Kind::ApiKey { checked(text, rest).ok_or(NotABearer)? } else { rest };
        let mut parts = rest.split('_');
        let mut part = || parts.next().ok_or(NotABearer);
        let (tenant, id, secret) = (part()?, part()?, part()?);
        if part().is_ok() {
            return Err(NotABearer);
        }
        Ok(Self {
            kind,
            tenant: TenantId::new(Uuid::from_bytes(decode(tenant)?)),
            id: Uuid::from_bytes(decode(id)?),
            secret: decode(secret)?,
        })
    }

    /// The text, for the one to whom it is given.
    #[must_use]
    pub fn text(&self) -> SecretString {
        let mut text = String::with_capacity(128);
        text.push_str(self.kind.prefix());
        for part in [&self.tenant.uuid().as_bytes()[..], &self.id.as_bytes()[..], &self.secret[..]] {
            text.push('_');
            encode(part, &mut text);
        }
        if self.kind == Kind::ApiKey {
            let checksum = checksum(&text);
            text.push_str(&checksum);
        }
        SecretString::from(text)
    }

    /// What is kept of it: SHA-256 over its kind and its secret. With this much chance in the secret nothing slower is
    /// needed (OWASP ASVS 5.0, 6.5.2).
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(b"quipu ");
        if sabotage::stands(Guard::KindOfSecret) {
            context.update(self.kind.word().as_bytes());
        }
        context.update(b" v1\0");
        context.update(&self.secret);
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }
}

/// `rest` without the checksum over all that stands before it in `text`, if that is right.
fn checked<'a>(text: &str, rest: &'a str) -> Option<&'a str> {
    let before = text.get(..text.len().checked_sub(CHECKSUM_LETTERS)?)?;
    let given = text.get(before.len()..)?;
    (checksum(before) == given).then(|| rest.strip_suffix(given)).flatten()
}

/// The lower 30 bits of CRC-32 (ISO-HDLC), in letters.
fn checksum(text: &str) -> String {
    let crc = !text.bytes().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1)))
    });
    let mut letters = String::with_capacity(CHECKSUM_LETTERS);
    for n in (0..CHECKSUM_LETTERS).rev() {
        letters.push(letter(crc >> (5 * n)));
    }
    letters
}

/// The letter of the lowest five bits.
fn letter(bits: u32) -> char {
    let index = usize::try_from(bits & 31).unwrap_or_default();
    char::from(ALPHABET.get(index).copied().unwrap_or_default())
}

/// Bytes in the letters of RFC 4648 section 6, small and not padded.
#[must_use]
pub fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity((bytes.len() * 8).div_ceil(5));
    encode(bytes, &mut text);
    text
}

fn encode(bytes: &[u8], into: &mut String) {
    let (mut held, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            into.push(letter(held >> bits));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        into.push(letter(held << (5 - bits)));
    }
}

/// Every letter is looked at, and none decides how long it takes.
fn decode<const N: usize>(text: &str) -> Result<[u8; N], NotABearer> {
    if text.len() != (N * 8).div_ceil(5) {
        return Err(NotABearer);
    }
    let mut bytes = [0; N];
    let mut free = bytes.iter_mut();
    let (mut held, mut bits, mut bad) = (0_u32, 0_u32, 0_u32);
    for letter in text.bytes() {
        let (value, known) = value(letter);
        bad |= u32::from(!known);
        held = (held << 5) | value;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            if let Some(byte) = free.next() {
                *byte = u8::try_from((held >> bits) & 255).unwrap_or_default();
            }
        }
        held &= (1 << bits) - 1;
    }
    // Bits that no byte takes must be zero, or two texts would mean the same.
    if bad | held == 0 { Ok(bytes) } else { Err(NotABearer) }
}

fn value(letter: u8) -> (u32, bool) {
    let small = u32::from(letter.wrapping_sub(b'a'));
    let digit = u32::from(letter.wrapping_sub(b'2'));
    let (is_small, is_digit) = (small < 26, digit < 6);
    ((u32::from(is_small) * (small & 31)) | (u32::from(is_digit) * ((digit + 26) & 31)), is_small | is_digit)
}

/// The text of a secret must not reach a log by accident; this is what may.
impl fmt::Display for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.prefix())?;
        f.write_char('_')?;
        self.id.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    fn bearer() -> impl Strategy<Value = Bearer> {
        (prop::sample::select(Kind::ALL), any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 32]>()).prop_map(
            |(kind, tenant, id, secret)| Bearer {
                kind,
                tenant: TenantId::new(Uuid::from_bytes(tenant)),
                id: Uuid::from_bytes(id),
                secret,
            },
        )
    }

    proptest! {
        #[test]
        fn a_text_comes_back_as_what_it_was_made_of(it in bearer()) {
            let text = it.text();
            let text = text.expose_secret();
            prop_assert!(text.len() <= 128);
            prop_assert_eq!(Bearer::parse(it.kind, text), Ok(it.clone()));
            for kind in Kind::ALL.iter().filter(|kind| **kind != it.kind) {
                prop_assert_eq!(Bearer::parse(*kind, text), Err(NotABearer));
            }
        }

        #[test]
        fn no_other_text_means_the_same(it in bearer(), at in any::<prop::sample::Index>(), other in any::<char>()) {
            let text = it.text().expose_secret().to_owned();
            let mut letters: Vec<char> = text.chars().collect();
            let place = at.index(letters.len());
            letters[place] = other;
            let changed: String = letters.into_iter().collect();
            if changed != text {
                prop_assert_ne!(Bearer::parse(it.kind, &changed), Ok(it));
            }
        }

        #[test]
        fn ghsa_6mq3_a_cut_or_lengthened_text_is_none(it in bearer(), more in "[a-z2-7_]{1,3}") {
            let text = it.text().expose_secret().to_owned();
            for end in 0..text.len() {
                prop_assert_eq!(Bearer::parse(it.kind, &text[..end]), Err(NotABearer));
            }
            prop_assert_eq!(Bearer::parse(it.kind, &format!("{text}{more}")), Err(NotABearer));
        }

        #[test]
        fn any_text_at_all_is_taken_or_refused(text in "\\PC{0,160}", kind in prop::sample::select(Kind::ALL)) {
            if let Ok(it) = Bearer::parse(kind, &text) {
                prop_assert!(it.text().expose_secret() == text);
            }
        }
    }

    fn sample(kind: Kind) -> Bearer {
        Bearer { kind, tenant: TenantId::PLATFORM, id: Uuid::from_u128(u128::MAX), secret: [0xA5; 32] }
    }

    #[test]
    fn letters_are_those_of_rfc_4648() {
        let mut text = String::new();
        encode(b"foobar", &mut text);
        assert_eq!(text, "mzxw6ytboi");
        assert_eq!(decode::<6>("mzxw6ytboi"), Ok(*b"foobar"));
        assert_eq!(checksum("123456789"), {
            // The check value of CRC-32/ISO-HDLC is cbf43926.
            let mut letters = String::new();
            (0..6).rev().for_each(|n| letters.push(letter(0xCBF4_3926_u32 >> (5 * n))));
            letters
        });
    }

    #[test]
    fn large_letters_and_spare_bits_are_refused() {
        let text = sample(Kind::Refresh).text().expose_secret().to_owned();
        assert_eq!(Bearer::parse(Kind::Refresh, &text.to_uppercase()), Err(NotABearer));
        // 16 bytes leave two bits of the last letter free.
        let spare = text.replacen("aaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaab", 1);
        assert_ne!(spare, text);
        assert_eq!(Bearer::parse(Kind::Refresh, &spare), Err(NotABearer));
    }

    #[test]
    fn cve_2026_4282_a_secret_of_one_kind_has_another_hash_in_every_other() {
        let hashes: std::collections::HashSet<_> =
            Kind::ALL.iter().map(|kind| sample(*kind).hash()).collect();
        assert_eq!(hashes.len(), Kind::ALL.len());
        let prefixes: std::collections::HashSet<_> = Kind::ALL.iter().map(|kind| kind.prefix()).collect();
        assert_eq!(prefixes.len(), Kind::ALL.len());
    }

    #[test]
    fn what_may_be_logged_does_not_hold_the_secret() {
        let it = sample(Kind::ApiKey);
        let text = it.text().expose_secret().to_owned();
        let secret = text.rsplit('_').next().unwrap();
        for shown in [format!("{it}"), format!("{it:?}"), format!("{:?}", it.text())] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
