//! Codes that an authenticator makes of a seed and the time (RFC 6238 over RFC 4226): SHA-1, six digits, thirty seconds,
//! which is what every authenticator can. Pure: nothing is read or kept here.
//!
//! SHA-1 is no weakness here: HMAC does not rest on collisions, and a code lives for a minute.

use std::fmt::Write as _;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use service_kit::bearer::base32;

/// Bytes of a seed: as many as the hash has (RFC 4226 section 4, R6).
pub(super) const SEED_BYTES: usize = 20;
/// Seconds for which an authenticator shows a code.
const STEP_SECONDS: u64 = 30;
/// How many digits a code has, and how many codes there are.
const DIGITS: usize = 6;
const CODES: u32 = 1_000_000;
/// How many steps a clock may be wrong, either way (RFC 6238 section 5.2).
const DRIFT_STEPS: u64 = 1;

/// A seed as people type it: base32, in large letters.
#[must_use]
pub(super) fn text(seed: &[u8]) -> String {
    base32(seed).to_ascii_uppercase()
}

/// How authenticators name who asks for codes: the organisation, and where it is. So somebody with accounts in two of them can
/// tell their codes apart. A colon would end the name (Key Uri Format of authenticators, "Label").
#[must_use]
pub(super) fn issuer(organisation: &str, host: &str) -> String {
    format!("{organisation} ({host})").replace(':', " ")
}

/// A seed as a picture holds it: the address that authenticators read. `issuer` is who asks for codes, `account` whose they
/// are.
#[must_use]
pub(super) fn uri(seed: &[u8], issuer: &str, account: &str) -> String {
    let (issuer, account) = (escaped(issuer), escaped(account));
    let secret = text(seed);
    format!(
        "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}"
    )
}

/// All but what is free everywhere in an address (RFC 3986 section 2.3).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The step whose code this is, if it is one of now. The newest is taken if several have it.
///
/// How long it takes says nothing of how much of the code is right: all candidates are made, and each is compared whole
/// (RUSTSEC-2022-0018).
#[must_use]
pub(super) fn step_of(seed: &[u8], shown: &str, now: DateTime<Utc>) -> Option<u64> {
    let shown = digits(shown)?;
    let step = u64::try_from(now.timestamp()).ok()? / STEP_SECONDS;
    let mut found = None;
    for candidate in step.saturating_sub(DRIFT_STEPS)..=step.saturating_add(DRIFT_STEPS) {
        let code = code_at(seed, candidate);
        let is_it = verify_slices_are_equal(&code.to_be_bytes(), &shown.to_be_bytes()).is_ok();
        found = if is_it { Some(candidate) } else { found };
    }
    found
}

/// Six digits. People are shown them in two groups and may type them so.
fn digits(text: &str) -> Option<u32> {
    let digits: String = text.chars().filter(|it| *it != ' ').collect();
    let well_formed = digits.len() == DIGITS && digits.bytes().all(|it| it.is_ascii_digit());
    well_formed.then(|| digits.parse().ok()).flatten()
}

/// The code of a step (RFC 4226 section 5.3).
fn code_at(seed: &[u8], step: u64) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, seed);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag.last().copied().unwrap_or_default() & 15);
    let word = tag.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
    (u32::from_be_bytes(word) & 0x7FFF_FFFF) % CODES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEED: &[u8; 20] = b"12345678901234567890";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B, SHA-1, to the last six of its eight digits.
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let step = u64::try_from(time).unwrap() / 30;
            assert_eq!(format!("{:06}", code_at(SEED, step)), code, "{time}");
            assert_eq!(step_of(SEED, code, at(time)), Some(step), "{time}");
        }
        // RFC 4226, appendix D.
        let counted = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583"];
        for (count, code) in (0..).zip(counted) {
            assert_eq!(format!("{:06}", code_at(SEED, count)), code, "{count}");
        }
    }

    #[test]
    fn a_clock_may_be_one_step_wrong_and_no_more() {
        let (now, step) = (at(1_111_111_111), 37_037_037);
        for (away, taken) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let code = format!("{:06}", code_at(SEED, step_plus(step, away)));
            assert_eq!(step_of(SEED, &code, now), taken.then_some(step_plus(step, away)), "{away}");
        }
        assert_eq!(step_of(SEED, &format!("{:06}", code_at(SEED, 0)), at(0)), Some(0));
        assert_eq!(step_of(SEED, "287082", at(-1)), None);
    }

    fn step_plus(step: u64, away: i64) -> u64 {
        step.checked_add_signed(away).unwrap()
    }

    #[test]
    fn a_code_is_six_digits() {
        let now = at(59);
        assert_eq!(step_of(SEED, "287 082", now), Some(1));
        for odd in ["", "28708", "2870822", "+87082", "28708a", "２８７０８２", "287082\n", "0x11AA"] {
            assert_eq!(step_of(SEED, odd, now), None, "{odd:?}");
        }
    }

    #[test]
    fn a_seed_is_shown_as_authenticators_read_it() {
        assert_eq!(text(SEED), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(
            uri(SEED, "id.example.com", "ann&bob@example.com"),
            "otpauth://totp/id.example.com:ann%26bob%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&\
             issuer=id.example.com&algorithm=SHA1&digits=6&period=30"
        );
    }

    #[test]
    fn an_issuer_names_the_organisation_and_cannot_end_early() {
        assert_eq!(issuer("Acme: Books", "id.example.com"), "Acme  Books (id.example.com)");
        let uri = uri(SEED, &issuer("Acme", "id.example.com"), "ann@example.com");
        assert!(uri.starts_with("otpauth://totp/Acme%20%28id.example.com%29:ann%40example.com?"), "{uri}");
        assert!(uri.contains("&issuer=Acme%20%28id.example.com%29&"), "{uri}");
    }

    proptest! {
        #[test]
        fn any_text_at_all_is_taken_or_refused(shown in "\\PC{0,12}", seconds in any::<i32>(), seed in any::<Vec<u8>>()) {
            let _ = step_of(&seed, &shown, at(seconds.into()));
        }
    }
}
