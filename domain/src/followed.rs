//! What follows from a command, such as that the sessions of somebody end who was deactivated: only if the command itself has
//! something to do, so that a repetition changes nothing.

use uuid::Uuid;

use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::stream::StreamId;

/// A command and what follows from it.
pub struct Followed {
    command: Box<dyn Decision>,
    by: Box<dyn Decision>,
}

impl Followed {
    /// Runs `command`, and `by` if it changes something. Both are judged on what was there before.
    #[must_use]
    pub fn new(command: impl Decision + 'static, by: impl Decision + 'static) -> Self {
        Self { command: Box::new(command), by: Box::new(by) }
    }
}

impl Decision for Followed {
    fn name(&self) -> &'static str {
        self.command.name()
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        [self.command.needs(view), self.by.needs(view)].concat()
    }

    fn subjects(&self) -> Vec<Uuid> {
        [self.command.subjects(), self.by.subjects()].concat()
    }

    fn overdue(&self, view: &View<'_>) -> Vec<Box<dyn Decision>> {
        self.command.overdue(view).into_iter().chain(self.by.overdue(view)).collect()
    }

    /// Refused with what refuses the command, then with what refuses that which follows. The answer is about the command.
    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let mut verdict = self.command.decide(view)?;
        if verdict.events.is_empty() {
            return Ok(verdict);
        }
        let followed = self.by.decide(view)?;
        verdict.events.extend(followed.events);
        verdict.claims.extend(followed.claims);
        let deadline = verdict.valid_until.into_iter().chain(followed.valid_until).min();
        Ok(verdict.valid_until(deadline))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::sample::*;
    use crate::identity::{DeactivateUser, EndSessions, IdentityError};
    use crate::spec::{Given, given_nothing};
    use crate::words::Word;

    fn ada() -> Given {
        given_nothing().having(verified(ADA, 1))
    }

    fn deactivate() -> Followed {
        let end =
            EndSessions { user_id: ADA, except: None, because: Word::of("deactivated"), by: BOB.actor() };
        Followed::new(DeactivateUser { user_id: ADA, because: Word::of("left") }, end)
    }

    #[test]
    fn what_follows_happens_with_the_command_and_not_again() {
        let (verdict, _) = ada().when(deactivate()).then_accepted();
        let names: Vec<&str> = verdict.events.iter().map(crate::Event::name).collect();
        assert_eq!(names, ["identity.user-deactivated", "identity.sessions-ended"]);
        ada().having(deactivate()).when(deactivate()).then_already();
    }

    #[test]
    fn a_refusal_of_what_follows_refuses_all() {
        let end = EndSessions { user_id: BOB, except: None, because: Word::of("left"), by: BOB.actor() };
        let command = DeactivateUser { user_id: ADA, because: Word::of("left") };
        let judged = ada().when(Followed::new(command, end));
        assert_eq!(judged.events(), []);
        judged.then_refused_for(IdentityError::UserNotFound { user_id: BOB });
    }
}
