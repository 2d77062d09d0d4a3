//! Staff of the platform who act in somebody's place elsewhere: whether they still may, at the moment of the commit.

use super::{Bearer, GateError};
use crate::decision::{Decision, Verdict, View};
use crate::error::Refusal;
use crate::ids::UserId;
use crate::organisation::{RoleTable, standing};
use crate::stream::StreamId;

/// That staff still hold the permission by which they act for others. It is judged in the platform's log and writes nothing.
pub struct StillActing {
    staff: Bearer,
    permission: &'static str,
    table: RoleTable,
}

impl StillActing {
    /// Of somebody with this name in the platform's log. `table` is what built-in roles mean there.
    #[must_use]
    pub const fn new(user: UserId, permission: &'static str, table: RoleTable) -> Self {
        Self { staff: Bearer::Staff { user }, permission, table }
    }
}

impl Decision for StillActing {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        self.staff.needs(view)
    }

    /// Whatever it is that they lost, they began a session on the strength of it: [`GateError::SessionEnded`].
    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let standee = self.staff.standee(view)?;
        if !standee.holds(self.permission, view, &self.table) {
            return Err(GateError::SessionEnded.into());
        }
        Ok(Verdict::already(standing::stream(view.tenant)))
    }
}
