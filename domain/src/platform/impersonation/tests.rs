//! Staff act for others for a time, never for their own.

use super::*;
use crate::sample::*;
use crate::spec::{Given, World, given_nothing};

const ID: ImpersonationId = ImpersonationId::new(Uuid::from_u128(1));

fn start(until: i64) -> StartImpersonation {
    StartImpersonation {
        impersonation_id: ID,
        staff: BOB.actor(),
        user_id: ADA,
        reason: of(ADA, "You asked us to look."),
        ticket: Label::parse("T-1").unwrap(),
        until: at(until),
    }
}

fn end() -> EndImpersonation {
    EndImpersonation { impersonation_id: ID, because: Word::of("done"), by: BOB.actor() }
}

fn begun() -> Given {
    given_nothing().having(start(3_600))
}

#[test]
fn it_lasts_an_hour_at_most() {
    given_nothing().when(start(0)).then_refused_for(ImpersonationError::Span);
    given_nothing().when(start(3_601)).then_refused_for(ImpersonationError::Span);
    let (mut verdict, world) = given_nothing().when(start(3_600)).then_accepted();
    assert_eq!(verdict.events[0].privates()[0].0, "payload.reason");
    assert!(matches!(world.state::<Impersonation>(ID.uuid()), Impersonation::Active { user_id: ADA, .. }));
}

#[test]
fn nobody_acts_for_staff() {
    let refused = World::new(TenantId::PLATFORM).submit(&start(60), at(0)).unwrap_err();
    assert_eq!(refused, ImpersonationError::OfStaff.into());
}

#[test]
fn it_begins_once_and_ends_once() {
    begun().when(start(60)).then_refused_for(ImpersonationError::Exists);
    given_nothing().when(end()).then_refused_for(ImpersonationError::NotFound);
    let (_, world) = begun().when(end()).then_accepted();
    assert_eq!(world.state::<Impersonation>(ID.uuid()), Impersonation::Ended);
    begun().having(end()).when(end()).then_already();
    begun().having(end()).when(start(60)).then_refused_for(ImpersonationError::Exists);
}
