//! How the platform gets its first owner, without anybody who could make them one.

use super::super::error::OrganisationError;
use super::super::grants::{RoleRef, RoleTable};
use super::super::roster::Roster;
use super::{AddMember, Granter};
use crate::decision::{Claim, Decision, Verdict, View};
use crate::error::Refusal;
use crate::ids::UserId;
use crate::stream::StreamId;

/// What the first owner takes and nobody ever gives up: so there is one first owner, whatever becomes of them.
pub const FIRST_OWNER_SCOPE: &str = "platform.owner-bootstrap";
/// The one value of that scope.
pub const FIRST_OWNER: &str = "1";

/// Makes somebody the first owner of the organisation in whose log it is: of the platform.
///
/// Refused with [`OrganisationError::OwnerExists`], if there is an owner or has been a first one; else as [`AddMember`].
#[derive(Debug, Clone)]
pub struct BecomeFirstOwner {
    /// Who.
    pub user_id: UserId,
    /// What built-in roles mean.
    pub table: RoleTable,
}

impl BecomeFirstOwner {
    fn joining(&self) -> AddMember {
        AddMember {
            user_id: self.user_id,
            roles: vec![RoleRef::OWNER],
            by: Granter::Platform,
            table: self.table.clone(),
        }
    }
}

impl Decision for BecomeFirstOwner {
    fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
        self.joining().needs(view)
    }

    fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
        let exists = || Refusal::from(OrganisationError::OwnerExists);
        if !Roster::of(view).owners.is_empty() {
            return Err(exists());
        }
        let take = Claim::Take {
            scope: FIRST_OWNER_SCOPE.to_owned(),
            value: FIRST_OWNER.to_owned(),
            taken: exists(),
        };
        Ok(self.joining().decide(view)?.with_claims([take]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sample::*;
    use super::super::{Membership, RemoveMember, TransferOwnership};
    use super::*;
    use crate::organisation::OrganisationError as E;
    use crate::spec::given_nothing;
    use crate::words::Word;

    fn become_first(user_id: UserId) -> BecomeFirstOwner {
        BecomeFirstOwner { user_id, table: table() }
    }

    #[test]
    fn the_first_owner_takes_what_nobody_gives_up() {
        let (_, world) = given_nothing().when(become_first(OLGA)).then_accepted();
        assert_eq!(world.state::<Membership>(OLGA.uuid()).roles(), [RoleRef::OWNER]);
        assert_eq!(world.claimed(FIRST_OWNER_SCOPE), [FIRST_OWNER]);
        // The one who was first is gone; whoever came after them is an owner, and not the first.
        let given = given_nothing()
            .having(become_first(OLGA))
            .having(add(ADAM, &[RoleRef::ADMIN], Granter::Member(OLGA)))
            .having(TransferOwnership { from: OLGA, to: ADAM })
            .having(RemoveMember {
                user_id: OLGA,
                because: Word::of("left"),
                by: Granter::Member(OLGA),
                table: table(),
            });
        given.when(become_first(UMA)).then_refused_for(E::OwnerExists);
    }

    #[test]
    fn there_is_no_first_owner_where_there_is_one() {
        given_nothing().having(owner()).when(become_first(ADAM)).then_refused_for(E::OwnerExists);
        given_nothing().having(become_first(OLGA)).when(become_first(OLGA)).then_refused_for(E::OwnerExists);
    }
}
