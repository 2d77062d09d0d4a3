//! An organisation stands in one way, and after its end in no other.

use super::*;
use crate::error::DomainError;
use crate::organisation::OrganisationError as E;
use crate::spec::{TENANT, World, given_nothing};

fn change(to: TenantStatus) -> ChangeStanding {
    ChangeStanding { to, because: Word::of("tested") }
}

fn status(world: &World) -> TenantStatus {
    world.state::<Standing>(TENANT.uuid()).status
}

#[test]
fn an_organisation_of_which_nothing_is_said_is_active() {
    assert_eq!(status(&given_nothing().world()), TenantStatus::Active);
    let (verdict, _) = given_nothing().when(change(TenantStatus::Active)).then_accepted();
    assert_eq!(verdict.events.len(), 1, "now it is said");
}

#[test]
fn every_change_from_every_standing() {
    use TenantStatus::{Active, Closed, Pending, Rejected, Suspended};
    let all = [Pending, Active, Suspended, Rejected, Closed];
    for from in all {
        for to in all {
            let judged = given_nothing().having(change(from)).when(change(to));
            if from == to {
                judged.then_already();
            } else if matches!(from, Rejected | Closed) {
                judged.then_refused_for(E::WrongState { status: from.word() });
            } else {
                assert_eq!(status(&judged.then_accepted().1), to);
            }
        }
    }
}

#[test]
fn what_must_happen_in_an_organisation_that_works_does_not_happen_in_another() {
    use TenantStatus::{Active, Closed, Pending, Rejected, Suspended};
    for status in [Active, Pending, Suspended, Rejected, Closed] {
        let given = || given_nothing().having(change(status));
        for or_pending in [false, true] {
            let judged = given().when(WhileActive { or_pending });
            if status == Active || (or_pending && status == Pending) {
                judged.then_already();
            } else {
                judged.then_refused_for(E::NotActive { status: status.word() });
            }
        }
    }
}

#[test]
fn a_standing_of_a_newer_build_is_not_active() {
    let event = StandingChanged {
        tenant_id: TENANT,
        status: Word::of("on-probation"),
        because: Word::of("tested"),
        seats: None,
        allowance: None,
        sessions_from: None,
        at: DateTime::UNIX_EPOCH,
    };
    let world = given_nothing().having_event(OrganisationEvent::StandingChanged(event)).world();
    assert_eq!(status(&world), TenantStatus::Unknown);
}

#[test]
fn what_an_organisation_may_have_is_set_beside_the_rest_and_stays() {
    let booked = |services| Allowance {
        tier: Word::of("small"),
        services,
        api_keys: 2,
        service_per_minute: 60,
        api_key_per_minute: 30,
    };
    let set = |services| SetAllowance { allowance: booked(services) };
    let given = || given_nothing().having(SetSeats { seats: Some(7) }).having(set(3));
    given().when(set(3)).then_already();
    let (_, world) = given().when(change(TenantStatus::Suspended)).then_accepted();
    let standing = world.state::<Standing>(TENANT.uuid());
    assert_eq!((standing.seats, standing.allowance), (Some(7), Some(booked(3))));
    given().when(set(4)).then_succeeds();
    let closed = E::WrongState { status: TenantStatus::Closed.word() };
    given().having(change(TenantStatus::Closed)).when(set(4)).then_refused_for(closed);
}

#[test]
fn seats_and_status_do_not_disturb_each_other() {
    let given = || given_nothing().having(SetSeats { seats: Some(7) });
    given().when(SetSeats { seats: Some(7) }).then_already();
    let (_, world) = given().when(change(TenantStatus::Suspended)).then_accepted();
    assert_eq!(world.state::<Standing>(TENANT.uuid()).seats, Some(7));
    let (_, world) =
        given().having(change(TenantStatus::Suspended)).when(SetSeats { seats: None }).then_accepted();
    assert_eq!(
        (status(&world), world.state::<Standing>(TENANT.uuid()).seats),
        (TenantStatus::Suspended, None)
    );
    let closed = given().having(change(TenantStatus::Closed));
    assert_eq!(
        closed.when(SetSeats { seats: None }).then_refused("organisation.wrong-state").kind,
        E::WrongState { status: Word::of("closed") }.kind()
    );
}
