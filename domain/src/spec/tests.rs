//! A world of several tenants keeps them apart, and an organisation is founded over two of them.

use super::*;
use crate::gate::{Bearer, Gate, Gated};
use crate::identity::User;
use crate::identity::sample::*;
use crate::ids::SessionId;
use crate::metadata::Label;
use crate::organisation::sample::{add, table};
use crate::organisation::{
    ApproveTenant, ChangeStanding, Granter, RequestTenant, RoleRef, SetSeats, Slug, TenantStatus, membership,
};
use crate::sign_in::StartSession;
use crate::words::Word;

const ZERO: TenantId = TenantId::PLATFORM;
const SESSION: SessionId = SessionId::new(Uuid::from_u128(5));

fn standing(to: TenantStatus) -> ChangeStanding {
    ChangeStanding { to, because: Word::of("tested") }
}

fn request() -> RequestTenant {
    RequestTenant {
        tenant_id: TENANT,
        slug: Slug::parse("acme").unwrap(),
        name: Label::parse("Acme").unwrap(),
        founder: ADA,
    }
}

fn sign_in() -> StartSession {
    StartSession {
        session_id: SESSION,
        user_id: ADA,
        seen: None,
        verified_by_method: false,
        method: Word::of("password"),
        amr: vec![Word::of("pwd")],
        auth_time: at(1),
        expires_at: at(1_000),
        service_id: None,
        device: None,
        impersonation_id: None,
    }
}

#[test]
fn an_organisation_is_founded_in_two_logs_and_works_once_it_is_approved() {
    let mut world = World::new(TENANT);
    world.submit_in(ZERO, &request(), at(0)).unwrap();
    let own: [&dyn Decision; 4] = [
        &standing(TenantStatus::Pending),
        &verified(ADA, 1),
        &add(ADA, &[RoleRef::OWNER], Granter::Platform),
        &sign_in(),
    ];
    for command in own {
        world.submit(command, at(0)).unwrap();
    }
    let gate = || Gate::new(Bearer::Session { session: SESSION, user: ADA }, table()).asking("a.b");
    let work = || Gated::new(gate(), Box::new(SetSeats { seats: Some(9) }));
    assert_eq!(world.submit(&work(), at(1)).unwrap_err().code, "organisation.not-active");
    let approve = ApproveTenant { tenant_id: TENANT, by: BOB.actor(), is: vec![] };
    world.submit_in(ZERO, &approve, at(2)).unwrap();
    world.submit(&standing(TenantStatus::Active), at(2)).unwrap();
    assert!(world.submit(&work(), at(3)).is_ok());
    assert_eq!(world.claimed_in(ZERO, crate::organisation::tenant::SLUG_SCOPE), ["acme"]);
    assert_eq!(world.claimed(crate::organisation::tenant::SLUG_SCOPE), Vec::<String>::new());
    assert_eq!((world.log_of(ZERO).count(), world.log().len()), (2, 8));
}

#[test]
fn what_happens_in_one_tenant_is_not_seen_in_another() {
    let mut world = World::new(TENANT);
    world.submit(&verified(ADA, 1), at(0)).unwrap();
    assert!(world.submit_in(ZERO, &verified(ADA, 1), at(0)).is_ok(), "neither the user nor the address");
    assert_eq!(world.state_in::<User>(TenantId::new(Uuid::from_u128(9)), ADA.uuid()), User::Absent);
    assert_eq!(world.version(membership::stream(ADA)), 0);
}

#[test]
fn a_refusal_for_a_value_that_is_held_leaves_claims_as_they_were() {
    let mut world = World::new(TENANT);
    world.submit(&verified(ADA, 1), at(0)).unwrap();
    assert_eq!(world.submit(&verified(BOB, 1), at(0)).unwrap_err().code, "identity.email-taken");
    assert_eq!(world.claimed(crate::identity::EMAIL_SCOPE).len(), 1);
    assert_eq!(world.log().len(), 1);
}
