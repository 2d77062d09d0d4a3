//! Where else people are reached: telephone numbers and postal addresses, as they may be written.
//!
//! Both are personal: they are stored sealed for their person, and `Debug` does not show them. Whether they are right is not
//! looked at. Addresses of mail are in [`crate::email`].

use std::fmt;

use domain::metadata::{Label, TextError};
use domain::{DomainError as _, ErrorKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::problem::code;

/// Digits of a number at most (ITU-T E.164 section 6.2.1).
const PHONE_DIGITS_MAX: usize = 15;
/// Digits of the shortest numbers that whole countries have.
const PHONE_DIGITS_MIN: usize = 4;
/// Characters of a number as it is written, at most.
const PHONE_CHARS_MAX: usize = 32;
/// What may part its digits (ITU-T E.123).
const PHONE_SEPARATORS: &str = " -()./";
/// Characters of a postal address at most.
pub const POSTAL_CHARS_MAX: usize = 500;
/// Lines of a postal address at most.
const POSTAL_LINES_MAX: usize = 10;

/// The code that stands in brackets at the head of a serde error, and its kind.
pub const PARSE_CODES: &[(&str, ErrorKind)] = &[(code::PHONE_MALFORMED.code, ErrorKind::Invalid)];

/// A telephone number, in the form in which its owner writes it.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone(String);

/// A text is not a telephone number. Does not quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a telephone number")]
pub struct PhoneError;

impl Phone {
    /// Reads a number: a plus or none, then 4 to 15 digits with spaces and the usual signs between them.
    ///
    /// # Errors
    /// [`PhoneError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, PhoneError> {
        let text = text.trim();
        let national = text.strip_prefix('+').unwrap_or(text);
        let digits = national.chars().filter(char::is_ascii_digit).count();
        let of_phones = |it: char| it.is_ascii_digit() || PHONE_SEPARATORS.contains(it);
        let is_one = text.len() <= PHONE_CHARS_MAX
            && (PHONE_DIGITS_MIN..=PHONE_DIGITS_MAX).contains(&digits)
            && national.chars().all(of_phones);
        if is_one { Ok(Self(text.to_owned())) } else { Err(PhoneError) }
    }

    /// The number.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phone")
    }
}

impl<'de> Deserialize<'de> for Phone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .map_err(|error| de::Error::custom(format!("[{}] {error}", code::PHONE_MALFORMED.code)))
    }
}

impl Serialize for Phone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Where somebody lives, as it is written on an envelope: some lines.
#[derive(Clone, PartialEq, Eq)]
pub struct PostalAddress(String);

impl PostalAddress {
    /// Reads an address: 1 to 10 lines that can be printed, none of them empty. Space around a line is dropped.
    ///
    /// # Errors
    /// [`TextError::TooLong`], [`TextError::Empty`], [`TextError::NotAllowed`].
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let (text, chars) = (text.trim(), text.chars().count());
        if chars > POSTAL_CHARS_MAX {
            return Err(TextError::TooLong { chars, max: POSTAL_CHARS_MAX });
        }
        let lines: Vec<Label> = text.split('\n').map(Label::parse).collect::<Result<_, _>>()?;
        if lines.len() > POSTAL_LINES_MAX {
            return Err(TextError::TooLong { chars, max: POSTAL_CHARS_MAX });
        }
        Ok(Self(lines.iter().map(Label::as_str).collect::<Vec<_>>().join("\n")))
    }

    /// Its lines, with a line feed between them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PostalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostalAddress")
    }
}

impl<'de> Deserialize<'de> for PostalAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| de::Error::custom(format!("[{}] {error}", error.code())))
    }
}

impl Serialize for PostalAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_as_people_write_them() {
        for text in ["+43 1 58858-0", "+1 (212) 555-0123", "0664/123 45 67", " 1234 ", "+493012345678901"] {
            assert_eq!(Phone::parse(text).unwrap().as_str(), text.trim(), "{text:?}");
        }
        for text in
            ["", "+", "123", "+4930123456789012", "call me", "+43\u{0}1234", "12+34", "１２３４５", "1234\n5"]
        {
            assert_eq!(Phone::parse(text), Err(PhoneError), "{text:?}");
        }
        let long = format!("1234{}", " ".repeat(40) + "5");
        assert_eq!(Phone::parse(&long), Err(PhoneError));
        assert_eq!(format!("{:?}", Phone::parse("12345").unwrap()), "Phone");
    }

    #[test]
    fn an_address_is_some_lines() {
        let parsed = PostalAddress::parse(" 1 Main Street \n A-1010 Wien\n").unwrap();
        assert_eq!(parsed.as_str(), "1 Main Street\nA-1010 Wien");
        assert_eq!(format!("{parsed:?}"), "PostalAddress");
        for (text, code) in [
            ("", "text.empty"),
            ("a\n\nb", "text.empty"),
            ("a\u{0}b", "text.not-allowed"),
            ("a\r\nb\u{202e}", "text.not-allowed"),
            (&"x".repeat(501), "text.too-long"),
            (&["a"; 11].join("\n"), "text.too-long"),
        ] {
            assert_eq!(PostalAddress::parse(text).unwrap_err().code(), code, "{text:?}");
        }
    }
}
