//! As of when a session counts that begins with a provider's word, and where that word is too old.
//!
//! | the provider says | the session counts as of |
//! |---|---|
//! | when the person showed it who they are | then |
//! | nothing, though it would have to | [`UNKNOWN`]: it is never fresh |
//! | nothing, and need not | the way back, for a person who has nothing else to show here; [`UNKNOWN`] for everybody else |
//!
//! Whoever has nothing but a provider that never says when could otherwise not even set up what would be fresh. For them the
//! provider may have asked nobody; a password, a passkey or an authenticator of theirs ends that.

use chrono::{DateTime, Utc};
use domain::identity::session::UNKNOWN;
use domain::ids::{TenantId, UserId};
use serde::{Deserialize, Serialize};
use service_kit::problem::{Problem, code};

use super::arrival::Newcomer;
use crate::federation::Shown;
use crate::identity::{Identity, unavailable};

/// What of a sign-in with a provider must be fresh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Freshness {
    /// Nothing: whoever is signed in there comes back without a question.
    #[default]
    Any,
    /// The provider is asked to have them show anew who they are, and refused if it says that it did not. One that never says
    /// when counts as always.
    Asked,
    /// Likewise, and it must say so, unless a second factor is shown after it.
    Demanded,
}

impl Identity {
    /// Refuses the word of a provider that says nothing where it must say that somebody just showed it who they are. What it
    /// said was judged before. Nothing has changed by then.
    pub(super) async fn is_fresh_enough(&self, it: &Newcomer<'_>) -> Result<(), Problem> {
        if it.freshness != Freshness::Demanded || matches!(it.shown, Shown::At(_)) {
            return Ok(());
        }
        let linked = self.parts().vault.federated(it.tenant, it.provider, it.identity).await;
        if let Some(linked) = linked.map_err(unavailable)?
            && self.factors(it.tenant, linked.user).await?.password_needs_code()
        {
            return Ok(());
        }
        Err(Problem::new(&code::PROVIDER_NOT_FRESH, ""))
    }

    /// As of when a session counts in which a provider vouches for somebody.
    pub(super) async fn counts_as_of(
        &self,
        tenant: TenantId,
        user: UserId,
        shown: Shown,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, Problem> {
        match shown {
            Shown::At(at) => Ok(at),
            Shown::Withheld => Ok(UNKNOWN),
            Shown::Untold if self.has_nothing_else(tenant, user).await? => Ok(now),
            Shown::Untold => Ok(UNKNOWN),
        }
    }

    /// Whether a person can show nothing here by themselves.
    async fn has_nothing_else(&self, tenant: TenantId, user: UserId) -> Result<bool, Problem> {
        let person = self.person_in_log(tenant, user).await?;
        let has_password = person.registered().is_some_and(|it| it.credential_version > 0);
        Ok(!has_password && !self.factors(tenant, user).await?.is_some())
    }
}
