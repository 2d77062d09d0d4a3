//! Every code with which the domain says no, for reference pages.
//!
//! Each context keeps its own table beside its refusals; this is the list of the tables.

use crate::error::CodeDoc;
use crate::{
    application, batch, federation, gate, identity, ledger, metadata, money, organisation, platform, words,
};

/// One table a context, or a part of one.
pub const TABLES: &[&[CodeDoc]] = &[
    money::CODES,
    metadata::CODES,
    words::CODES,
    gate::CODES,
    organisation::CODES,
    organisation::error::CODES,
    identity::CODES,
    identity::error::CODES,
    application::CODES,
    federation::CODES,
    platform::CODES,
    platform::impersonation::CODES,
    ledger::error::CODES,
    batch::CODES,
];

/// Every row of every table.
pub fn all() -> impl Iterator<Item = &'static CodeDoc> {
    TABLES.iter().copied().flatten()
}

/// The row of a code.
#[must_use]
pub fn find(code: &str) -> Option<&'static CodeDoc> {
    all().find(|it| it.code == code)
}

#[cfg(test)]
mod tests;
