//! Staff act for others while they are staff who may.

use super::*;
use crate::gate::StillActing;
use crate::ids::UserId;

/// Staff who may post may act for others here.
fn staff() -> Given {
    let roles = vec![RoleRef::MANAGER];
    ada().having(AssignRoles { user_id: ADA, roles, by: Granter::Platform, table: table() })
}

fn acting(user: UserId) -> StillActing {
    StillActing::new(user, POST, table())
}

#[test]
fn staff_who_hold_the_permission_may_go_on_and_it_writes_nothing() {
    let (verdict, _) = staff().when(acting(ADA)).then_accepted();
    assert_eq!((verdict.events.len(), verdict.valid_until), (0, None));
}

/// Such as an operator: whoever has a token of theirs is nobody whom the platform could dismiss.
#[test]
fn nobody_acts_of_whom_the_platform_knows_nothing() {
    staff().when(acting(UserId::new(Uuid::from_u128(0x0b)))).then_refused_for(GateError::SessionEnded);
}

#[test]
fn whatever_they_lost_the_session_is_over() {
    let because = Word::of("dismissed");
    let dismissed = DeactivateUser { user_id: ADA, because: because.clone() };
    let gone = RemoveMember { user_id: ADA, because, by: Granter::Platform, table: table() };
    let moved =
        AssignRoles { user_id: ADA, roles: vec![RoleRef::USER], by: Granter::Platform, table: table() };
    for given in [staff().having(dismissed), staff().having(gone), staff().having(moved)] {
        given.when(acting(ADA)).then_refused_for(GateError::SessionEnded);
    }
}
