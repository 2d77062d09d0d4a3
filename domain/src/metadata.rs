//! Small bounded texts that callers attach to things: names and key-value pairs.
//!
//! A name is there to be read, so what cannot be seen is no part of one. The exceptions are joiners and selectors between
//! visible characters, which Persian, Indic scripts and emoji are written with.
//!
//! Free text about persons does not belong here; it is private or forbidden.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::error::{CodeDoc, DomainError, ErrorKind, coded};

/// The longest [`Label`], in characters.
pub const LABEL_CHARS_MAX: usize = 200;
/// The most pairs of a [`Metadata`].
pub const ENTRIES_MAX: usize = 20;
/// The longest key of a [`Metadata`], in characters.
pub const KEY_CHARS_MAX: usize = 40;
/// The longest value of a [`Metadata`], in characters.
pub const VALUE_CHARS_MAX: usize = 500;

/// The codes that can stand in brackets at the head of a serde error, and their kinds.
pub const PARSE_CODES: &[(&str, ErrorKind)] = &[
    ("text.empty", ErrorKind::Invalid),
    ("text.too-long", ErrorKind::Invalid),
    ("text.not-allowed", ErrorKind::Invalid),
    ("metadata.too-many", ErrorKind::Invalid),
    ("metadata.key-malformed", ErrorKind::Invalid),
];

/// The reference of this module's refusals.
pub const CODES: &[CodeDoc] = &[
    CodeDoc::new(
        ErrorKind::Invalid,
        "text.empty",
        "a text is empty",
        "give it at least one visible character",
    ),
    CodeDoc::new(
        ErrorKind::Invalid,
        "text.too-long",
        "a text is longer than its place takes",
        "shorten it: names take 200 characters, values of metadata 500",
    ),
    CodeDoc::new(
        ErrorKind::Invalid,
        "text.not-allowed",
        "a text holds a control character, one that turns the direction of writing, or in a name one that is not seen",
        "leave the character out; line breaks are not taken either",
    ),
    CodeDoc::new(
        ErrorKind::Invalid,
        "metadata.too-many",
        "there are too many metadata entries",
        "send at most 20",
    ),
    CodeDoc::new(
        ErrorKind::Invalid,
        "metadata.key-malformed",
        "a metadata key cannot be used",
        "use 1 to 40 of a-z, 0-9, dot, dash and underscore",
    ),
];

/// Checked in this order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing, or nothing that can be seen.
    #[error("text is empty")]
    Empty,
    /// More characters than the place takes.
    #[error("text has {chars} characters; at most {max} are allowed")]
    TooLong {
        /// How many there are.
        chars: usize,
        /// How many there may be.
        max: usize,
    },
    /// A character that is not for print, that turns the direction of others, or that is not seen.
    #[error("text has a control, direction or invisible character at {at}")]
    NotAllowed {
        /// Which character, counted from 0.
        at: usize,
    },
    /// More pairs than are taken.
    #[error("metadata has {entries} entries; at most {ENTRIES_MAX} are allowed")]
    TooMany {
        /// How many there are.
        entries: usize,
    },
    /// A key beyond `[a-z0-9_.-]{1,40}`.
    #[error("a metadata key has 1 to {KEY_CHARS_MAX} of a-z, 0-9, dot, dash and underscore")]
    KeyMalformed,
}

impl DomainError for TextError {
    fn code(&self) -> &'static str {
        match self {
            Self::Empty => "text.empty",
            Self::TooLong { .. } => "text.too-long",
            Self::NotAllowed { .. } => "text.not-allowed",
            Self::TooMany { .. } => "metadata.too-many",
            Self::KeyMalformed => "metadata.key-malformed",
        }
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// A name: 1 to 200 printable characters, of which one at least is seen, without space around them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Label(String);

impl Label {
    /// Cuts the space and the joiners around `text` and takes the rest.
    ///
    /// # Errors
    /// [`TextError::Empty`], [`TextError::TooLong`] or [`TextError::NotAllowed`].
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let text = text.trim_matches(|it: char| it.is_whitespace() || is_joiner(it));
        printable(text, LABEL_CHARS_MAX, |it| is_forbidden(it) || is_unseen(it))?;
        if !text.chars().any(is_visible) {
            return Err(TextError::Empty);
        }
        Ok(Self(text.to_owned()))
    }

    /// What is left of a text that somebody else keeps, without the characters that are not taken; nothing if that is no name.
    #[must_use]
    pub fn salvage(text: &str) -> Option<Self> {
        let kept: String = text.chars().filter(|it| !is_forbidden(*it) && !is_unseen(*it)).collect();
        Self::parse(&kept).ok()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Label {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| de::Error::custom(coded(&error)))
    }
}

impl JsonSchema for Label {
    fn schema_name() -> Cow<'static, str> {
        "Label".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::Label").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": LABEL_CHARS_MAX })
    }
}

/// Pairs that mean something to the caller and nothing to us.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// Takes the pairs if all of them are within bounds.
    ///
    /// # Errors
    /// [`TextError::TooMany`], then by key [`TextError::KeyMalformed`] and what a value can be refused for.
    pub fn parse(entries: BTreeMap<String, String>) -> Result<Self, TextError> {
        if entries.len() > ENTRIES_MAX {
            return Err(TextError::TooMany { entries: entries.len() });
        }
        for (key, value) in &entries {
            let allowed = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.' | b'-')
            };
            if key.is_empty() || key.len() > KEY_CHARS_MAX || !key.bytes().all(allowed) {
                return Err(TextError::KeyMalformed);
            }
            printable(value, VALUE_CHARS_MAX, is_forbidden)?;
        }
        Ok(Self(entries))
    }

    /// The pairs.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Whether there are none; for serde's `skip_serializing_if`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = BTreeMap::deserialize(deserializer)?;
        Self::parse(entries).map_err(|error| de::Error::custom(coded(&error)))
    }
}

impl JsonSchema for Metadata {
    fn schema_name() -> Cow<'static, str> {
        "Metadata".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::Metadata").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "maxProperties": ENTRIES_MAX,
            "propertyNames": { "pattern": "^[a-z0-9_.-]{1,40}$" },
            "additionalProperties": { "type": "string", "minLength": 1, "maxLength": VALUE_CHARS_MAX },
        })
    }
}

fn printable(text: &str, chars_max: usize, is_refused: impl Fn(char) -> bool) -> Result<(), TextError> {
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    let chars = text.chars().count();
    if chars > chars_max {
        return Err(TextError::TooLong { chars, max: chars_max });
    }
    match text.chars().position(is_refused) {
        Some(at) => Err(TextError::NotAllowed { at }),
        None => Ok(()),
    }
}

/// Where a text holds a character that is in no [`Label`], counted from 0: what is searched for with it was never named so.
#[must_use]
pub fn not_in_labels(text: &str) -> Option<usize> {
    text.chars().position(|it| is_forbidden(it) || is_unseen(it))
}

/// Control characters, line and paragraph separators, and everything that turns the direction of text.
fn is_forbidden(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What leaves no trace on paper and joins nothing: soft hyphens, fillers, spaces without width, marks of byte order and of
/// annotations. Source: Unicode, `Default_Ignorable_Code_Point` and `Cf`, without what [`is_joiner`] and
/// [`is_selector`] name.
fn is_unseen(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}')
}

/// The joiner and the non-joiner of zero width.
const fn is_joiner(char: char) -> bool {
    matches!(char, '\u{200c}' | '\u{200d}')
}

/// What chooses a form of the character before it, and the letters of flags: nothing by themselves.
const fn is_selector(char: char) -> bool {
    matches!(char, '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}')
}

fn is_visible(char: char) -> bool {
    const BRAILLE_BLANK: char = '\u{2800}';
    !char.is_whitespace() && !is_joiner(char) && !is_selector(char) && char != BRAILLE_BLANK
}

#[cfg(test)]
mod tests;
