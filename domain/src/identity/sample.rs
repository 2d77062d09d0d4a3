//! People for tests.

use super::{PersonNames, RegisterUser};
use crate::ids::UserId;
pub(crate) use crate::sample::*;
use crate::words::{Language, Word};

pub(crate) fn register(user_id: UserId, email: u8) -> RegisterUser {
    RegisterUser {
        user_id,
        email: of(user_id, "somebody@example.com"),
        email_hash: hash(email),
        names: PersonNames { given: Some(of(user_id, "Some")), family: None },
        language: Language::of("en"),
        via: Word::of("form"),
        verified: false,
    }
}

/// As [`register`], with an address that is verified.
pub(crate) fn verified(user_id: UserId, email: u8) -> RegisterUser {
    RegisterUser { verified: true, ..register(user_id, email) }
}
