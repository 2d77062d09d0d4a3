//! What is about oneself: open to the person in person, and to whoever acts for them only as far as a permission says.
//!
//! A key or a token that was let have for the ledger must not tell its holder who its owner is, so the profile, sessions,
//! factors and security feed of a person are not part of every key. The permission is the one that opens the same of
//! everybody: whoever holds that could read it there too.

use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::shown::authenticate;
use super::{Allowed, Caller, Permission, admit};
use crate::problem::Problem;

/// A caller who asks about themselves: a person in person or an operator, who need no permission; or a program, a service or
/// staff of the platform in somebody's place, who need `P`, and every use of it is recorded if `P` is sensitive.
#[derive(Debug, Clone)]
pub struct Own<P> {
    caller: Caller,
    permission: PhantomData<fn() -> P>,
}

impl<P> Own<P> {
    /// The caller.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }
}

impl<S: Send + Sync, P: Permission> FromRequestParts<S> for Own<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let caller = authenticate(parts).await?;
        let caller = if caller.check_in_person().is_ok() {
            caller.check(None)?;
            caller
        } else {
            admit::<P>(parts, caller).await.map(Allowed::into_caller)?
        };
        Ok(Self { caller, permission: PhantomData })
    }
}
