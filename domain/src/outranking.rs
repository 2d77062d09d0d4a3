//! What an administrator does to somebody's account: judged on what both hold, so that nobody disarms those above them.

use uuid::Uuid;

use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::ids::UserId;
use crate::organisation::{Granter, Membership, RoleTable};
use crate::stream::StreamId;

/// A command that takes something from a user's account, such as `DeactivateUser` or `RemoveAllFactors`.
pub struct Outranking {
    by: Granter,
    table: RoleTable,
    user_id: UserId,
    inner: Box<dyn Decision>,
}

impl Outranking {
    /// Runs `inner` on the account of `user_id` only on the word of one who holds all that they hold; on one's own always.
    #[must_use]
    pub fn new(by: Granter, table: RoleTable, user_id: UserId, inner: Box<dyn Decision>) -> Self {
        Self { by, table, user_id, inner }
    }
}

impl Decision for Outranking {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        let mut needs = self.inner.needs(view);
        needs.extend(self.by.needs(view));
        needs.extend(Membership::needs(view, self.user_id));
        needs
    }

    fn subjects(&self) -> Vec<Uuid> {
        self.inner.subjects()
    }

    fn overdue(&self, view: &View<'_>) -> Vec<Box<dyn Decision>> {
        self.inner.overdue(view)
    }

    /// Refused with [`crate::organisation::OrganisationError::Outranked`] before anything that the command refuses.
    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let roles = Membership::of(view, self.user_id).map(Membership::roles).unwrap_or_default();
        self.by.takes(self.user_id, roles, view, &self.table)?;
        self.inner.decide(view)
    }
}
