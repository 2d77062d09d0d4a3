//! Recovery codes: what a person writes down, to come in once without their authenticator. Pure: nothing is read or kept here.
//!
//! A code has 125 bits of chance, so a fast hash of it is enough, and one look-up finds it (OWASP ASVS 5.0, 6.5.2 asks for a
//! slow one below 112 bits).

use std::fmt::{self, Write as _};

use aws_lc_rs::digest::{Context, SHA256};
use event_store::vault::Digest;
use service_kit::bearer::base32;
use service_kit::random::{self, NoRandomness};

/// How many a person gets.
pub(super) const COUNT: u16 = 10;
/// Letters of a code, of five bits each, and of the groups in which it is shown.
const LETTERS: usize = 25;
const GROUP: usize = 5;
/// Bytes of chance for so many letters; of the last one three bits are left over.
const CHANCE_BYTES: usize = 16;

/// A code. What it prints with `Debug` is its name alone.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct RecoveryCode(String);

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode")
    }
}

impl RecoveryCode {
    /// A new one.
    ///
    /// # Errors
    /// If the machine gives no random bytes.
    pub(super) fn make() -> Result<Self, NoRandomness> {
        Ok(Self(base32(&random::bytes::<CHANCE_BYTES>()?).chars().take(LETTERS).collect()))
    }

    /// Reads what somebody typed: large or small letters, with or without what parts the groups.
    #[must_use]
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts = |it: &char| !matches!(it, '-' | ' ');
        let letters: String = text.chars().filter(parts).map(|it| it.to_ascii_lowercase()).collect();
        let known = |it: u8| it.is_ascii_lowercase() || (b'2'..=b'7').contains(&it);
        (letters.len() == LETTERS && letters.bytes().all(known)).then_some(Self(letters))
    }

    /// As it is shown, once.
    #[must_use]
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(LETTERS + LETTERS / GROUP);
        for (place, letter) in self.0.chars().enumerate() {
            if place > 0 && place % GROUP == 0 {
                text.push('-');
            }
            // Writing to a String cannot fail.
            let _ = text.write_char(letter);
        }
        text
    }

    /// What is kept of it. No other secret of ours has the same hash (CVE-2026-4282).
    #[must_use]
    pub(super) fn hash(&self) -> Digest {
        let mut context = Context::new(&SHA256);
        context.update(b"quipu recovery-code v1\0");
        context.update(self.0.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Digest(hash)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_code_is_read_as_it_was_shown_and_as_people_type_it() {
        let code = RecoveryCode::make().unwrap();
        let text = code.text();
        assert_eq!((text.len(), text.split('-').count()), (29, 5));
        for typed in [text.clone(), text.to_uppercase(), text.replace('-', ""), text.replace('-', " ")] {
            assert_eq!(RecoveryCode::parse(&typed).unwrap().hash(), code.hash(), "{typed}");
        }
        assert!(!format!("{code:?}").contains(&text[..5]));
    }

    #[test]
    fn what_is_no_code_is_none() {
        let text = RecoveryCode::make().unwrap().text();
        for odd in ["", "a", &text[1..], &format!("{text}a"), &text.replacen(char::is_alphanumeric, "1", 1)] {
            assert_eq!(RecoveryCode::parse(odd), None, "{odd}");
        }
        assert_eq!(RecoveryCode::parse(&"ä".repeat(25)), None);
    }

    #[test]
    fn every_letter_of_a_code_is_of_chance() {
        let codes: Vec<_> = (0..1000).map(|_| RecoveryCode::make().unwrap().0).collect();
        assert_eq!(codes.iter().collect::<HashSet<_>>().len(), codes.len());
        for place in 0..LETTERS {
            let letters: HashSet<_> = codes.iter().map(|it| it.as_bytes()[place]).collect();
            // That one is missing anywhere has a chance of one in seventy thousand million.
            assert_eq!(letters.len(), 32, "{place}");
        }
    }

    proptest! {
        #[test]
        fn any_text_at_all_is_a_code_or_none(text in "\\PC{0,60}") {
            if let Some(code) = RecoveryCode::parse(&text) {
                prop_assert_eq!(RecoveryCode::parse(&code.text()), Some(code));
            }
        }
    }
}
