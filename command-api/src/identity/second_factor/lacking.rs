//! What somebody who is signed in still owes of the second factor that their organisation asks everybody for, so that whoever
//! shows them the way knows which.

use domain::ids::{TenantId, UserId};
use domain::organisation::SecondFactor;
use service_kit::problem::Problem;

use super::super::Identity;
use super::super::sessions::InSession;

/// What is missing before others rely on a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lacks {
    /// They have no factor: they set one up.
    Factor,
    /// They have one and did not show it, or the session is over: they sign in again.
    Proof,
}

/// What an organisation asks, and what a person has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FactorAsked {
    /// Whether everybody needs a second factor.
    pub required: bool,
    /// Whether the person has an authenticator or a passkey.
    pub enrolled: bool,
}

impl Identity {
    /// What a session lacks; nothing, if all was shown that the organisation asks of those who sign in.
    ///
    /// # Errors
    /// If it cannot be known.
    pub async fn lacks(&self, who: InSession) -> Result<Option<Lacks>, Problem> {
        let stands = self.standing(who.tenant, who.session, who.user).await?;
        match stands.as_ref() {
            None => Ok(Some(Lacks::Proof)),
            Some(stands) if !stands.lacks_factor => Ok(None),
            Some(_) if self.factors(who.tenant, who.user).await?.is_some() => Ok(Some(Lacks::Proof)),
            Some(_) => Ok(Some(Lacks::Factor)),
        }
    }

    /// Whether a person needs a second factor, and has one.
    ///
    /// # Errors
    /// If it cannot be known.
    pub async fn factor_asked(&self, tenant: TenantId, user: UserId) -> Result<FactorAsked, Problem> {
        let required = self.policy(tenant).await?.second_factor == SecondFactor::Required;
        Ok(FactorAsked { required, enrolled: self.factors(tenant, user).await?.is_some() })
    }
}
