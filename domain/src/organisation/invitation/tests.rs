//! Invitations are sent to an address once at a time, and come to an end in one way.

use super::*;
use crate::decision::Decision;
use crate::email::EmailHash;
use crate::ids::RoleId;
use crate::organisation::sample::*;
use crate::organisation::{Granter, OrganisationError as E, SetSeats};
use crate::sample::{at, hash};
use crate::spec::{Given, TENANT, World, given_nothing};

pub(crate) const ID: InvitationId = InvitationId::new(Uuid::from_u128(0x17));
const DAY_S: i64 = 86_400;

fn shop() -> Given {
    given_nothing().having(clerk()).having(owner()).having(admin()).having(user())
}

fn invite(email: u8) -> Invite {
    Invite {
        invitation_id: ID,
        email: Private::new(ID.uuid(), "new@example.com"),
        email_hash: hash(email),
        holder: None,
        roles: vec![own(CLERK), RoleRef::USER],
        expires_at: at(7 * DAY_S),
        by: Granter::Member(ADAM),
        table: table(),
    }
}

fn other(email: u8) -> Invite {
    let id = InvitationId::new(Uuid::from_u128(0x18));
    Invite { invitation_id: id, email: Private::new(id.uuid(), "new@example.com"), ..invite(email) }
}

fn invited() -> Given {
    shop().having(invite(1))
}

fn resend(days: i64) -> ResendInvitation {
    ResendInvitation { invitation_id: ID, expires_at: at(days * DAY_S) }
}

fn decline(sendings: u32) -> DeclineInvitation {
    DeclineInvitation { invitation_id: ID, sendings, email_hash: hash(1) }
}

fn revoke() -> RevokeInvitation {
    RevokeInvitation { invitation_id: ID, email_hash: hash(1) }
}

fn expire() -> ExpireInvitation {
    ExpireInvitation { invitation_id: ID, email_hash: hash(1) }
}

fn roster(world: &World) -> Roster {
    world.state(TENANT.uuid())
}

#[test]
fn an_invitation_takes_a_seat_its_roles_and_its_address() {
    let (mut verdict, world) = shop().when(invite(1)).then_accepted();
    let roster = roster(&world);
    assert_eq!((roster.members, roster.invited, roster.holders(CLERK)), (3, 1, 1));
    assert_eq!(world.claimed(INVITATION_SCOPE), [hash(1).claim_value()]);
    assert_eq!(verdict.events[0].privates()[0].1.subject(), ID.uuid(), "of the invitation, not of a user");
    let Invitation::Pending(pending) = world.state(ID.uuid()) else { unreachable!("it is open") };
    assert_eq!((pending.inviter, pending.sendings), (Some(ADAM), 1));
}

#[test]
fn refusals_come_in_their_order() {
    let nothing = || Invite { expires_at: at(0), roles: vec![], by: Granter::Member(UMA), ..invite(1) };
    shop().when(nothing()).then_refused_for(E::InvitationSpan { days_max: 30 });
    let span = |seconds| Invite { expires_at: at(seconds), ..invite(1) };
    shop().when(span(30 * DAY_S + 1)).then_refused_for(E::InvitationSpan { days_max: 30 });
    shop().when(span(30 * DAY_S)).then_succeeds();
    shop().when(Invite { roles: vec![], ..invite(1) }).then_refused_for(E::RoleCount { count: 0 });
    let ghost = own(RoleId::new(Uuid::nil()));
    let unknown = Invite { roles: vec![ghost.clone()], by: Granter::Member(UMA), ..invite(1) };
    shop().when(unknown).then_refused_for(E::RoleUnknown { role: ghost.to_string() });
    let much = Invite { roles: vec![RoleRef::OWNER], ..invite(1) };
    invited().when(much).then_refused_for(E::GrantsTooMuch { permission: "*".to_owned() });
    let full = || invited().having(SetSeats { seats: Some(4) });
    full().when(Invite { holder: Some(UMA), ..invite(1) }).then_refused_for(E::InvitationExists);
    full().when(Invite { holder: Some(UMA), ..other(1) }).then_refused_for(E::AlreadyMember);
    full().when(other(1)).then_refused_for(E::SeatsUsedUp { seats: 4 });
    invited().when(other(1)).then_refused_for(E::AlreadyInvited);
    invited().when(other(2)).then_succeeds();
}

#[test]
fn an_invitation_is_sent_again_with_another_link() {
    shop().when(resend(3)).then_refused_for(E::InvitationInvalid);
    invited().when(resend(31)).then_refused_for(E::InvitationSpan { days_max: 30 });
    invited().having(revoke()).when(resend(3)).then_refused_for(E::InvitationOver);
    let (_, world) = invited().at(at(8 * DAY_S)).when(resend(9)).then_accepted();
    let Invitation::Pending(pending) = world.state(ID.uuid()) else { unreachable!("it is open again") };
    assert_eq!((pending.sendings, pending.expires_at), (2, at(9 * DAY_S)));
    invited().having(resend(9)).when(decline(1)).then_refused_for(E::InvitationInvalid);
    invited().having(resend(9)).when(decline(2)).then_succeeds();
}

#[test]
fn an_end_frees_what_was_taken() {
    let ends: [(&str, Box<dyn Decision>, i64); 3] = [
        ("declined", Box::new(decline(1)), 0),
        ("revoked", Box::new(revoke()), 0),
        ("expired", Box::new(expire()), 7 * DAY_S),
    ];
    for (how, end, second) in ends {
        let mut world = invited().world();
        world.submit(&*end, at(second)).unwrap();
        let roster = roster(&world);
        assert_eq!((roster.members, roster.invited, roster.holders(CLERK)), (3, 0, 0), "{how}");
        assert_eq!(world.claimed(INVITATION_SCOPE), Vec::<String>::new(), "{how}");
        let shown = serde_json::to_value(world.state::<Invitation>(ID.uuid())).unwrap();
        assert_eq!(shown["status"], how);
        let twice = world.submit(&*end, at(second)).map(|it| it.events.len()).map_err(|it| it.code);
        let expected = if how == "declined" { Err("organisation.invitation-invalid".into()) } else { Ok(0) };
        assert_eq!(twice, expected, "{how}");
        assert!(world.submit(&other(1), at(1)).is_ok(), "{how}: the address can be invited again");
    }
}

#[test]
fn an_end_is_refused_where_there_is_nothing_to_end() {
    shop().when(decline(1)).then_refused_for(E::InvitationInvalid);
    shop().when(revoke()).then_refused_for(E::InvitationInvalid);
    shop().when(expire()).then_refused_for(E::InvitationInvalid);
    invited().at(at(7 * DAY_S)).when(decline(1)).then_refused_for(E::InvitationInvalid);
    invited().having(decline(1)).when(revoke()).then_refused_for(E::InvitationOver);
    invited().at(at(7 * DAY_S - 1)).when(expire()).then_already();
    invited().having(revoke()).at(at(7 * DAY_S)).when(expire()).then_already();
}

#[test]
fn a_role_that_an_invitation_names_stays() {
    invited().when(delete(CLERK, Granter::Platform)).then_refused_for(E::RoleInUse { holders: 1 });
    invited().having(revoke()).when(delete(CLERK, Granter::Platform)).then_succeeds();
}

#[test]
fn the_address_is_not_in_the_state() {
    let world = invited().world();
    let state = serde_json::to_string(&world.state::<Invitation>(ID.uuid())).unwrap();
    assert!(!state.contains("example"), "{state}");
    assert_eq!(format!("{:?}", EmailHash::new([1; 32])), "EmailHash(..)");
}
