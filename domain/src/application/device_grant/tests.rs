//! A device is decided about once and fetches its tokens once.

use super::super::error::ApplicationError as E;
use super::super::sample::*;
use super::super::{RemoveService, SuspendService};
use super::*;
use crate::sample::ADA;
use crate::spec::{Given, given_nothing};
use crate::words::Word;

const ID: GrantId = GrantId::new(Uuid::from_u128(1));
const SESSION: SessionId = SessionId::new(Uuid::from_u128(2));

fn approve() -> ApproveDevice {
    ApproveDevice { grant_id: ID, service_id: TILL, user_id: ADA, scopes: scopes(&["openid"]) }
}

fn deny() -> DenyDevice {
    DenyDevice { grant_id: ID, service_id: TILL, user_id: ADA }
}

fn redeem(service_id: ServiceId) -> RedeemDevice {
    RedeemDevice { grant_id: ID, service_id, session_id: SESSION }
}

fn registered() -> Given {
    given_nothing().having(till())
}

#[test]
fn a_device_is_decided_about_once() {
    registered().having(approve()).when(approve()).then_refused_for(E::GrantDecided);
    registered().having(approve()).when(deny()).then_refused_for(E::GrantDecided);
    registered().having(deny()).when(approve()).then_refused_for(E::GrantDecided);
    given_nothing().when(approve()).then_refused_for(E::ServiceNotFound);
    let much = ApproveDevice { scopes: scopes(&["phone"]), ..approve() };
    registered().when(much).then_refused_for(E::ScopeNotRegistered { scope: Scope::of("phone") });
}

#[test]
fn a_device_code_works_once_and_its_replay_names_the_session() {
    registered().when(redeem(TILL)).then_refused_for(E::GrantNotFound);
    registered().having(deny()).when(redeem(TILL)).then_refused_for(E::GrantNotFound);
    let (_, world) = registered().having(approve()).when(redeem(TILL)).then_accepted();
    assert_eq!(world.state::<DeviceGrant>(ID.uuid()), DeviceGrant::Redeemed { session_id: SESSION });
    let again = RedeemDevice { session_id: SessionId::new(Uuid::from_u128(3)), ..redeem(TILL) };
    let replayed = registered().having(approve()).having(redeem(TILL)).when(again);
    replayed.then_refused_for(E::GrantRedeemed { session_id: SESSION });
}

#[test]
fn an_approval_is_for_the_service_that_asked_while_it_works() {
    let other = ServiceId::new(Uuid::from_u128(9));
    registered().having(approve()).when(redeem(other)).then_refused_for(E::GrantNotFound);
    let suspend = SuspendService { service_id: TILL, because: Word::of("abuse") };
    registered().having(approve()).having(suspend).when(redeem(TILL)).then_refused_for(E::ServiceSuspended);
    let removed = registered().having(approve()).having(RemoveService { service_id: TILL });
    removed.when(redeem(TILL)).then_refused_for(E::ServiceNotFound);
}
