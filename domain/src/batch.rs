//! What is refused of commands that are sent together, whatever each of them is.

use crate::error::{CodeDoc, ErrorKind};

/// The code of a batch of no items or of too many.
pub const SIZE: &str = "batch.size";

/// The code of commands that were fine themselves but belong to a unit in which another was refused.
pub const NOT_APPLIED: &str = "batch.not-applied";

/// The reference of these refusals.
pub const CODES: &[CodeDoc] = &[
    CodeDoc::new(
        ErrorKind::Invalid,
        SIZE,
        "a batch has no items or too many",
        "send 1 to 1,000 items in one request",
    ),
    CodeDoc::new(
        ErrorKind::Conflict,
        NOT_APPLIED,
        "nothing was done, since another item of the same atomic batch was refused",
        "look at the item that `item` in `details` names, mend it, and send the batch under a fresh key",
    ),
];
