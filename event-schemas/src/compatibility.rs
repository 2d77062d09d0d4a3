//! Whether a schema may take the place of the one that was released under the same version.
//!
//! It may, if both ways of reading stay possible:
//!
//! - today's build reads every payload that was stored under the released schema ([`Reader::Today`]);
//! - builds and consumers of the released schema read every payload that is written under the new one
//!   ([`Reader::Older`]). They take fields that they do not know, so an optional field may be added to an open object.
//!   They do not take a value that they do not know: an older build would hold the event for damaged and park it, where
//!   a new version makes it wait. So even a new value of an enumeration is a new version, lifted by the identity.
//!
//! The comparison is structural, over what schemars writes of JSON Schema 2020-12. A keyword that it cannot weigh is a
//! break when it changes: the gate errs on the side of a new version.

mod compare;
mod shape;

use std::fmt;

use serde_json::Value;

use compare::Comparison;

/// Who could not read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// Today's build: stored payloads do not fit, or lose what they say.
    Today,
    /// Builds and consumers of the released schema.
    Older,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A field is gone.
    FieldRemoved,
    /// A field must be there that stored payloads lack, be it new or optional until now.
    FieldRequired,
    /// A field that was always there may be missing.
    FieldOptional,
    /// A field was added to an object that takes no unknown ones.
    FieldInClosedObject,
    /// An object takes no unknown fields any more.
    ObjectClosed,
    /// A value has another type.
    Retyped,
    /// A value is held to more than before.
    Narrowed,
    /// A value is held to less than before.
    Widened,
    /// An enumeration or a union lost a variant.
    VariantRemoved,
    /// An enumeration or a union gained a variant.
    VariantAdded,
    /// A field that is left out means something else.
    DefaultChanged,
    /// A keyword changed whose effect this comparison cannot weigh.
    Unknown,
}

/// A difference that must not happen within a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// Where: a JSON pointer into the released schema, or into the new one for what was added.
    pub pointer: String,
    /// The place in the payload, such as `legs[].side`; empty for the payload itself.
    pub path: String,
    /// What changed.
    pub change: Change,
    /// Who could not read on.
    pub reader: Reader,
    /// What is wrong and what to do.
    pub sentence: String,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// Everything that keeps `new` from taking the place of the released schema `old`, in the order of the payload.
#[must_use]
pub fn breaks(old: &Value, new: &Value) -> Vec<Break> {
    Comparison::new(old, new).run()
}
