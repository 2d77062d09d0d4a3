//! Addresses of mail: which are taken, where mail to one goes, and which two are one.
//!
//! What is stored is [`EmailAddress::mailbox`], private to its person. What is looked up is a keyed hash of
//! [`EmailAddress::normal`]. Whether an address works is told by a mail to it and by nothing else.

use std::fmt;

use domain::ErrorKind;
use serde::{Deserialize, Deserializer, de};
use unicode_normalization::UnicodeNormalization;

use crate::problem::code;

/// Bytes of an address at most (RFC 5321 section 4.5.3.1.3, with its erratum 1690).
pub const EMAIL_BYTES_MAX: usize = 254;
/// Bytes before the `@` at most (RFC 5321 section 4.5.3.1.1).
const LOCAL_BYTES_MAX: usize = 64;
/// What may stand before the `@` beside letters and digits (RFC 5322 section 3.2.3).
const ATEXT: &str = "!#$%&'*+-/=?^_`{|}~";

/// An address. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress {
    mailbox: String,
    normal: String,
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress")
    }
}

/// The code that stands in brackets at the head of a serde error, and its kind.
pub const PARSE_CODES: &[(&str, ErrorKind)] = &[(code::EMAIL_MALFORMED.code, ErrorKind::Invalid)];

/// A text is not an address that mail can be sent to. Does not quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address of mail")]
pub struct EmailError;

impl EmailAddress {
    /// Reads an address: a local part without quotes and comments, and a domain of at least two labels. Space around it is
    /// dropped.
    ///
    /// # Errors
    /// [`EmailError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let text = text.trim();
        // Whatever the domain becomes, what is far too long need not be looked at.
        if text.len() > 2 * EMAIL_BYTES_MAX {
            return Err(EmailError);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(EmailError)?;
        let domain = ascii_domain(domain).ok_or(EmailError)?;
        let folded = fold(local);
        if !is_local(local) || !is_local(&folded) {
            return Err(EmailError);
        }
        let (mailbox, normal) = (format!("{local}@{domain}"), format!("{folded}@{domain}"));
        if mailbox.len() > EMAIL_BYTES_MAX || normal.len() > EMAIL_BYTES_MAX {
            return Err(EmailError);
        }
        Ok(Self { mailbox, normal })
    }

    /// Where mail goes: the local part as it was written, since only its own server knows what it means, and the domain in
    /// ASCII. One line without space or control characters, so it can stand in a header.
    #[must_use]
    pub fn mailbox(&self) -> &str {
        &self.mailbox
    }

    /// The form in which two addresses are compared. No `+` and no dot is dropped: those are different mailboxes with most.
    #[must_use]
    pub fn normal(&self) -> &str {
        &self.normal
    }

    /// The address, its local part, and what both are made of: what a password must not be made of.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        let local = self.normal.split('@').next();
        let parts = self.normal.split(['@', '.', '+', '-', '_']).filter(|it| !it.is_empty());
        std::iter::once(self.normal.as_str()).chain(local).chain(parts)
    }
}

impl<'de> Deserialize<'de> for EmailAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .map_err(|error| de::Error::custom(format!("[{}] {error}", code::EMAIL_MALFORMED.code)))
    }
}

/// Compatible characters are one, and so are large and small letters. Each letter goes through its large form, which is
/// what brings `ß` to `ss` and both small sigmas together; but `ı` stays, since to most of the world it is no `i`.
fn fold(local: &str) -> String {
    let small = |it: char| match it {
        'ı' => vec![it],
        other => other.to_uppercase().flat_map(char::to_lowercase).collect(),
    };
    let folded: String = local.nfkc().flat_map(small).collect();
    folded.nfkc().collect()
}

/// Dots part what is not empty; other signs are those of RFC 5322 and letters of the world (RFC 6531).
fn is_local(local: &str) -> bool {
    !local.is_empty()
        && local.len() <= LOCAL_BYTES_MAX
        && local.split('.').all(|part| !part.is_empty() && part.chars().all(is_of_local))
}

fn is_of_local(it: char) -> bool {
    if it.is_ascii() {
        it.is_ascii_alphanumeric() || ATEXT.contains(it)
    } else {
        it.is_alphanumeric() || unicode_normalization::char::is_combining_mark(it)
    }
}

fn ascii_domain(domain: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii_strict(domain).ok()?;
    let last = ascii.rsplit_once('.')?.1;
    // An address of a network is no domain, and no top-level domain is a number.
    (!last.bytes().all(|it| it.is_ascii_digit())).then_some(ascii)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(text: &str) -> String {
        EmailAddress::parse(text).unwrap().normal().to_owned()
    }

    #[test]
    fn cve_2021_3754_addresses_that_fold_alike_are_one() {
        for (one, other) in [
            ("Ann@Example.com", "ann@example.com"),
            ("  ann@example.com ", "ann@example.com"),
            ("ann@EXAMPLE.com", "ann@example.com"),
            // Fullwidth letters, the Kelvin sign, a ligature.
            ("ａｎｎ@example.com", "ann@example.com"),
            ("\u{212A}im@example.com", "kim@example.com"),
            ("ﬁnn@example.com", "finn@example.com"),
            ("STRASSE@example.com", "straße@example.com"),
            ("ΣΟΦΟΣ@example.com", "σοφος@example.com"),
            ("σοφος@example.com", "σοφοσ@example.com"),
            // The same letter, composed and decomposed.
            ("re\u{301}ne@example.com", "réne@example.com"),
            ("ann@bücher.example", "ann@xn--bcher-kva.example"),
            ("ann@BÜCHER.example", "ann@bücher.example"),
            ("ann@example。com", "ann@example.com"),
        ] {
            assert_eq!(normal(one), normal(other), "{one} {other}");
        }
    }

    #[test]
    fn addresses_of_different_mailboxes_stay_two() {
        for (one, other) in [
            ("ann+shop@example.com", "ann@example.com"),
            ("a.nn@example.com", "ann@example.com"),
            ("ırma@example.com", "irma@example.com"),
            ("ann@example.com", "ann@example.org"),
            ("аnn@example.com", "ann@example.com"), // Cyrillic.
        ] {
            assert_ne!(normal(one), normal(other), "{one} {other}");
        }
    }

    #[test]
    fn mail_goes_where_its_owner_wrote() {
        let it = EmailAddress::parse(" Ann.Smith+x@Bücher.Example ").unwrap();
        assert_eq!(it.mailbox(), "Ann.Smith+x@xn--bcher-kva.example");
        let words: Vec<_> = it.words().collect();
        assert_eq!(words[..2], ["ann.smith+x@xn--bcher-kva.example", "ann.smith+x"]);
        assert_eq!(words[2..], ["ann", "smith", "x", "xn", "bcher", "kva", "example"]);
        assert_eq!(format!("{it:?}"), "EmailAddress");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(65));
        let longer = format!("a@{}.example", vec!["b".repeat(60); 5].join("."));
        for text in [
            "",
            "@",
            "ann",
            "ann@",
            "@example.com",
            "ann@localhost",
            "ann@example..com",
            "ann@-example.com",
            "ann@exa mple.com",
            ".ann@example.com",
            "ann.@example.com",
            "a..nn@example.com",
            "ann smith@example.com",
            "\"ann\"@example.com",
            "ann@[127.0.0.1]",
            "ann@127.0.0.1",
            "ann@example.com\r\nBcc: all@example.com",
            "ann\n@example.com",
            "ann@example.com>",
            "<ann@example.com>",
            "ann(x)@example.com",
            "ann,bob@example.com",
            "ann@bob@example.com",
            "ann\u{202E}@example.com",
            "ann\u{0}@example.com",
            "ann\u{200B}@example.com",
            &long,
            &longer,
        ] {
            assert_eq!(EmailAddress::parse(text), Err(EmailError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn normal_is_normal_and_fits_into_a_header(text in "\\PC{1,12}@(example\\.com|bücher\\.example)") {
            if let Ok(it) = EmailAddress::parse(&text) {
                prop_assert_eq!(normal(it.normal()), it.normal());
                prop_assert_eq!(normal(it.mailbox()), it.normal());
                prop_assert!(it.mailbox().chars().all(|c| !c.is_whitespace() && !c.is_control() && !"<>,;:\"\\()[]".contains(c)));
            }
        }

        #[test]
        fn nothing_breaks_it(text in any::<String>()) {
            drop(EmailAddress::parse(&text));
        }
    }
}
