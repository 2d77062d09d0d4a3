//! Small texts of a fixed form: open words, permissions, scopes, languages.
//!
//! A list that will grow, such as ways to sign in, is written as a word and not as an enumeration: an older build reads
//! a word that it does not know, but would take a new member of an enumeration for damage.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::error::{CodeDoc, DomainError, ErrorKind, coded};

/// The codes that can stand in brackets at the head of a serde error, and their kinds.
pub const PARSE_CODES: &[(&str, ErrorKind)] = &[
    ("text.word-malformed", ErrorKind::Invalid),
    ("text.permission-malformed", ErrorKind::Invalid),
    ("text.scope-malformed", ErrorKind::Invalid),
    ("text.language-malformed", ErrorKind::Invalid),
    ("text.domain-malformed", ErrorKind::Invalid),
];

/// The reference of this module's refusals.
pub const CODES: &[CodeDoc] = &[
    CodeDoc::new(
        ErrorKind::Invalid,
        "text.word-malformed",
        "a word cannot be used",
        "use 1 to 40 of a-z, 0-9 and dash, a letter first",
    ),
    CodeDoc::new(
        ErrorKind::Invalid,
        "text.permission-malformed",
        "a text is not the name of a permission",
        "use `context.verb-noun` as the list of permissions has it",
    ),
    CodeDoc::new(
        ErrorKind::Invalid,
        "text.scope-malformed",
        "a scope cannot be used",
        "use 1 to 100 printable ASCII characters without space, quotation mark and backslash",
    ),
    CodeDoc::new(
        ErrorKind::Invalid,
        "text.language-malformed",
        "a text is not a language tag",
        "use a tag such as `en` or `de-AT`",
    ),
    CodeDoc::new(
        ErrorKind::Invalid,
        "text.domain-malformed",
        "a text is not the name of a domain",
        "use its ASCII form in lower case, such as `example.com`",
    ),
];

/// A text that has not the form of its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// Not a [`Word`].
    #[error("a word has 1 to 40 of a-z, 0-9 and dash, a letter first")]
    Word,
    /// Not a [`Permission`].
    #[error("a permission has the form context.verb-noun")]
    Permission,
    /// Not a [`Scope`].
    #[error("a scope has 1 to 100 printable ASCII characters without space, quotation mark and backslash")]
    Scope,
    /// Not a [`Language`].
    #[error("a language tag has the form en or de-AT")]
    Language,
    /// Not a [`DomainName`].
    #[error("a domain name has labels of a-z, 0-9 and dash, joined by dots")]
    DomainName,
}

impl DomainError for WordError {
    fn code(&self) -> &'static str {
        match self {
            Self::Word => "text.word-malformed",
            Self::Permission => "text.permission-malformed",
            Self::Scope => "text.scope-malformed",
            Self::Language => "text.language-malformed",
            Self::DomainName => "text.domain-malformed",
        }
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// What the forms have in common: a checked text, written as it is. Each form is given twice, as a check and as the
/// pattern that schemas show.
macro_rules! formed_text {
    ($(#[$doc:meta])* $name:ident $error:expr, $check:ident, $pattern:literal, $chars_max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Cow<'static, str>);

        impl $name {
            /// A text of this form that stands in the source.
            ///
            /// # Panics
            /// If it has another form; in a `const` it does not compile then.
            #[must_use]
            pub const fn of(text: &'static str) -> Self {
                assert!($check(text.as_bytes()), "the text has not this form");
                Self(Cow::Borrowed(text))
            }

            /// Takes the text as it is.
            ///
            /// # Errors
            /// [`WordError`], if it has another form.
            pub fn parse(text: &str) -> Result<Self, WordError> {
                if $check(text.as_bytes()) { Ok(Self(Cow::Owned(text.to_owned()))) } else { Err($error) }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(|error| de::Error::custom(coded(&error)))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn schema_id() -> Cow<'static, str> {
                concat!(module_path!(), "::", stringify!($name)).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "maxLength": $chars_max })
            }
        }
    };
}

formed_text!(
    /// A word of an open list, such as a way to sign in or a reason.
    Word WordError::Word, is_word, "^[a-z][a-z0-9-]*$", 40
);
formed_text!(
    /// The name of something that one may do: `context.verb-noun`.
    Permission WordError::Permission, is_permission, "^[a-z][a-z-]*\\.[a-z][a-z-]*$", 80
);
formed_text!(
    /// A scope of OAuth. Source: RFC 6749 section 3.3.
    Scope WordError::Scope, is_scope, "^[!#-\\[\\]-~]+$", 100
);
formed_text!(
    /// A language as a tag of RFC 5646: its primary part, then others after dashes.
    Language WordError::Language, is_language, "^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", 35
);
formed_text!(
    /// The name of a domain in its ASCII form, in lower case. Source: RFC 1123 section 2.1.
    DomainName WordError::DomainName, is_domain,
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$", 253
);

const fn is_word(text: &[u8]) -> bool {
    let Some((b'a'..=b'z', mut rest)) = text.split_first() else { return false };
    while let Some((byte, more)) = rest.split_first() {
        if !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        rest = more;
    }
    text.len() <= 40
}

const fn is_permission(text: &[u8]) -> bool {
    let mut rest = text;
    let (mut dots, mut begins) = (0, true);
    while let Some((byte, more)) = rest.split_first() {
        match byte {
            b'a'..=b'z' => begins = false,
            b'-' if !begins => {}
            b'.' if !begins => {
                dots += 1;
                begins = true;
            }
            _ => return false,
        }
        rest = more;
    }
    dots == 1 && !begins && text.len() <= 80
}

const fn is_scope(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some((byte, more)) = rest.split_first() {
        if !matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~') {
            return false;
        }
        rest = more;
    }
    !text.is_empty() && text.len() <= 100
}

const fn is_language(text: &[u8]) -> bool {
    let mut rest = text;
    let (mut length, mut parts) = (0, 0);
    while let Some((byte, more)) = rest.split_first() {
        match byte {
            b'a'..=b'z' => length += 1,
            b'A'..=b'Z' | b'0'..=b'9' if parts > 0 => length += 1,
            b'-' => {
                if !is_language_part(parts, length) {
                    return false;
                }
                (length, parts) = (0, parts + 1);
            }
            _ => return false,
        }
        rest = more;
    }
    is_language_part(parts, length) && text.len() <= 35
}

const fn is_language_part(part: usize, length: usize) -> bool {
    length >= 2 && length <= if part == 0 { 3 } else { 8 }
}

const fn is_domain(text: &[u8]) -> bool {
    let mut rest = text;
    let (mut length, mut labels, mut dash) = (0, 1, false);
    while let Some((byte, more)) = rest.split_first() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => (length, dash) = (length + 1, false),
            b'-' if length > 0 => (length, dash) = (length + 1, true),
            b'.' if length > 0 && !dash => (length, labels) = (0, labels + 1),
            _ => return false,
        }
        if length > 63 {
            return false;
        }
        rest = more;
    }
    length > 0 && !dash && labels > 1 && text.len() <= 253
}

#[cfg(test)]
mod tests;
