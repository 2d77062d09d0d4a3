//! Each comparison on faults that were planted.

use domain::ids::{InvitationId, RoleId, SessionId};
use domain::organisation::{InvitationAccepted, MemberAdded, Roster};
use serde_json::json;

use super::*;
use crate::people::promises::{Key, Part, Session};
use crate::reconcile::sample::{TENANT, of_people};

const USER: UserId = UserId::new(Uuid::from_u128(0xa));
const SESSION: SessionId = SessionId::new(Uuid::from_u128(0xb));
const INVITATION: InvitationId = InvitationId::new(Uuid::from_u128(0xc));

/// Somebody came by invitation and signed in.
fn image() -> Image {
    let at = chrono::DateTime::UNIX_EPOCH;
    let (tenant_id, user_id, roster) = (TENANT, USER, Roster::default());
    let accepted =
        InvitationAccepted { tenant_id, invitation_id: INVITATION, user_id, roster: roster.clone(), at };
    let added = MemberAdded {
        tenant_id,
        user_id,
        roles: vec![RoleRef::USER],
        invitation_id: Some(INVITATION),
        roster,
        at,
    };
    of_people([
        Event::Organisation(OrganisationEvent::InvitationAccepted(accepted)),
        Event::Organisation(OrganisationEvent::MemberAdded(added)),
    ])
}

fn book() -> Promises {
    let person = Person::new(USER, "a@example.com".to_owned(), Part::Invited, "word".to_owned(), &["user"]);
    let mut book = Promises { people: vec![person], ..Promises::default() };
    book.told("acceptance");
    book.fact("organisation.invitation-accepted", INVITATION.uuid());
    book.fact("organisation.member-added", USER.uuid());
    book
}

#[test]
fn what_was_told_and_is_there_is_right() {
    assert!(people_are_in_the_log(&book(), &image(), TENANT).holds());
    assert!(the_log_is_what_people_asked(&book(), &image(), TENANT).holds());
    assert!(answers_to_people(&book()).holds());
}

#[test]
fn what_was_told_and_is_not_there_is_lost() {
    let mut lost = book();
    lost.fact("identity.session-started", SESSION.uuid());
    assert_eq!(people_are_in_the_log(&lost, &image(), TENANT).faults, 1);
    let mut twice = book();
    twice.fact("organisation.member-added", USER.uuid());
    assert_eq!(people_are_in_the_log(&twice, &image(), TENANT).faults, 1, "told twice, there once");
}

#[test]
fn what_is_there_and_nobody_was_told_of_needs_an_answer_that_was_lost() {
    let mut deaf = book();
    deaf.facts.clear();
    assert_eq!(the_log_is_what_people_asked(&deaf, &image(), TENANT).faults, 1);
    deaf.lost("acceptance");
    assert!(the_log_is_what_people_asked(&deaf, &image(), TENANT).holds());
}

#[test]
fn an_invitation_that_brings_two_in_is_found() {
    let mut image = image();
    let mut again = image.entries[0].clone();
    again.position = 3;
    image.entries.push(again);
    let check = the_log_is_what_people_asked(&book(), &image, TENANT);
    assert_eq!((check.faults, check.told[0].as_str()), (1, &*format!("2 came by invitation {INVITATION}")));
}

#[test]
fn roles_are_those_last_told_or_in_doubt() {
    let other = RoleId::new(Uuid::from_u128(9)).to_string();
    let mut book = book();
    book.people[0].roles = vec![vec![other.clone()]];
    assert_eq!(people_are_in_the_log(&book, &image(), TENANT).faults, 1);
    book.people[0].roles.push(vec!["user".to_owned()]);
    assert!(people_are_in_the_log(&book, &image(), TENANT).holds());
    let rows = |roles: Value| Rows {
        people: vec![Row { user: USER.uuid(), status: "active".to_owned(), roles }],
        ..Rows::default()
    };
    assert!(rows_are_what_people_were_told(&book, &rows(json!([other]))).holds());
    assert_eq!(rows_are_what_people_were_told(&book, &rows(json!(["owner"]))).faults, 1);
    book.people[0].is_erased = true;
    assert_eq!(rows_are_what_people_were_told(&book, &rows(json!(["user"]))).faults, 1, "not as erased");
}

#[test]
fn keys_and_sessions_are_as_told() {
    let key = |state| Key { id: Uuid::from_u128(5), text: None, state };
    let session = |state| Session {
        person: 0,
        id: SESSION.uuid(),
        access: String::new(),
        refresh: String::new(),
        spent: Vec::new(),
        state,
    };
    let faults = |key_state, session_state, status: &str, ended: bool| {
        let book = Promises {
            keys: vec![key(key_state)],
            sessions: vec![session(session_state)],
            ..Promises::default()
        };
        let rows = Rows {
            people: Vec::new(),
            keys: [(Uuid::from_u128(5), status.to_owned())].into(),
            sessions: [(SESSION.uuid(), ended)].into(),
        };
        rows_are_what_people_were_told(&book, &rows).faults
    };
    assert_eq!(faults(State::Live, State::Live, "live", false), 0);
    assert_eq!(faults(State::Ended, State::Ended, "revoked", true), 0);
    assert_eq!(faults(State::Doubtful, State::Doubtful, "revoked", true), 0);
    assert_eq!(faults(State::Live, State::Live, "revoked", true), 2);
    assert_eq!(faults(State::Ended, State::Doubtful, "live", false), 1);
    let nothing = rows_are_what_people_were_told(&book(), &Rows::default());
    assert_eq!(nothing.faults, 1, "nobody is lost from the rows");
}

#[test]
fn a_code_that_was_good_twice_is_found() {
    let book = Promises { codes: vec![1, 0, 2], ..book() };
    assert_eq!(answers_to_people(&book).faults, 1);
}
