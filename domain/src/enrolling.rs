//! Adding a second factor where the organisation lets people have any: judged on its policy and on the user together.

use uuid::Uuid;

use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::identity::IdentityError;
use crate::organisation::{Policy, SecondFactor, policy};
use crate::stream::StreamId;

/// A command that gives somebody one more factor, such as `EnrolTotp` or `AddPasskey`.
pub struct Enrolling(Box<dyn Decision>);

impl Enrolling {
    /// Runs `command` unless the organisation's policy is that nobody enrols a factor. What is enrolled already stays good.
    #[must_use]
    pub fn new(command: impl Decision + 'static) -> Self {
        Self(Box::new(command))
    }
}

impl Decision for Enrolling {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut needs = self.0.needs(view);
        needs.push(policy::stream(view.tenant));
        needs
    }

    fn subjects(&self) -> Vec<Uuid> {
        self.0.subjects()
    }

    fn overdue(&self, view: &View<'_>) -> Vec<Box<dyn Decision>> {
        self.0.overdue(view)
    }

    /// Refused with [`IdentityError::FactorsOff`], after everything that the command itself refuses.
    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let verdict = self.0.decide(view)?;
        let off = Policy::of(view).is_some_and(|it| it.second_factor == SecondFactor::Off);
        if off { Err(IdentityError::FactorsOff.into()) } else { Ok(verdict) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::sample::*;
    use crate::identity::{AddPasskey, EnrolTotp};
    use crate::ids::FactorId;
    use crate::organisation::SetPolicy;
    use crate::spec::given_nothing;

    #[test]
    fn nobody_enrols_what_the_organisation_has_not() {
        let factor_id = FactorId::new(Uuid::from_u128(0x7071));
        let totp = || Enrolling::new(EnrolTotp { user_id: ADA, factor_id, label: None });
        let passkey = || Enrolling::new(AddPasskey { user_id: ADA, factor_id, label: None, vouched: false });
        let ada = || given_nothing().having(verified(ADA, 1));
        let off = || SetPolicy { policy: Policy { second_factor: SecondFactor::Off, ..Policy::default() } };
        ada().having(off()).when(totp()).then_refused_for(IdentityError::FactorsOff);
        ada().having(off()).when(passkey()).then_refused_for(IdentityError::FactorsOff);
        ada().when(totp()).then_succeeds();
        ada().when(passkey()).then_succeeds();
        given_nothing().having(off()).when(totp()).then_refused("identity.user-not-found");
    }
}
