//! People register once under an address of their own, change it, and come and go.

use uuid::Uuid;

use super::super::sample::*;
use super::*;
use crate::event::Event;
use crate::identity::access_token::AccessTokenError;
use crate::ids::{ActorId, SessionId};
use crate::spec::{Given, World, given_nothing};

const SESSION: SessionId = SessionId::new(Uuid::from_u128(5));

fn ada() -> Given {
    given_nothing().having(register(ADA, 1))
}

fn erased() -> Given {
    ada().having(erase())
}

fn inactive() -> Given {
    ada().having(deactivate())
}

fn erase() -> ErasePerson {
    ErasePerson { user_id: ADA, receipt: Uuid::from_u128(7), email: (1, hash(1)), email_pending: None }
}

fn deactivate() -> DeactivateUser {
    DeactivateUser { user_id: ADA, because: Word::of("left") }
}

fn verify(email_version: u32) -> VerifyEmail {
    VerifyEmail { user_id: ADA, email_version, via: Word::of("link") }
}

fn ask(email: u8, replaces: Option<(u32, EmailHash)>) -> RequestEmailChange {
    RequestEmailChange {
        user_id: ADA,
        email: of(ADA, "ada@example.org"),
        email_hash: hash(email),
        expires_at: at(100),
        replaces,
    }
}

fn confirm(email_version: u32) -> ConfirmEmailChange {
    ConfirmEmailChange { user_id: ADA, email_version, email_hash: hash(2), gives_up: (1, hash(1)) }
}

fn expire() -> ExpireEmailChange {
    ExpireEmailChange { user_id: ADA, email_version: 2, email_hash: hash(2) }
}

fn password(seen: u32, withdraw: Withdraw) -> SetPassword {
    SetPassword { user_id: ADA, because: Word::of("change"), seen, withdraw, by: ADA.actor() }
}

fn end(except: Option<SessionId>) -> EndSessions {
    EndSessions { user_id: ADA, except, because: Word::of("asked"), by: ADA.actor() }
}

fn facts(world: &World) -> Registered {
    world.state::<User>(ADA.uuid()).registered().cloned().unwrap()
}

fn names(judged: &[Event]) -> Vec<&'static str> {
    let name = |event: &Event| match event {
        Event::Identity(event) => event.name(),
        _ => "of another context",
    };
    judged.iter().map(name).collect()
}

/// Every command on a person who is there already, but for erasing.
fn commands() -> Vec<Box<dyn Decision>> {
    vec![
        Box::new(verify(1)),
        Box::new(ask(2, None)),
        Box::new(confirm(1)),
        Box::new(password(0, Withdraw::Nothing)),
        Box::new(UpdateProfile {
            user_id: ADA,
            given_name: None,
            family_name: None,
            phone: None,
            address: None,
            language: None,
        }),
        Box::new(end(None)),
        Box::new(deactivate()),
        Box::new(ReactivateUser { user_id: ADA }),
        Box::new(expire()),
    ]
}

#[test]
fn nobody_is_nobody() {
    for command in commands() {
        let refused = given_nothing().world().submit(&*command, at(0)).unwrap_err();
        assert_eq!(refused.code, "identity.user-not-found", "{}", command.name());
    }
    given_nothing().when(erase()).then_refused_for(IdentityError::UserNotFound { user_id: ADA });
}

#[test]
fn nothing_happens_to_the_erased() {
    for command in commands() {
        let refused = erased().world().submit(&*command, at(0)).unwrap_err();
        assert_eq!(refused.code, "identity.person-erased", "{}", command.name());
    }
    erased().when(register(ADA, 3)).then_refused_for(IdentityError::UserExists);
    erased().when(erase()).then_already();
}

#[test]
fn the_inactive_do_nothing_of_their_own() {
    for (place, command) in commands().iter().enumerate() {
        let judged = inactive().world().submit(&**command, at(0));
        let own = place < 5;
        assert_eq!(judged.is_err_and(|it| it.code == "identity.user-inactive"), own, "{}", command.name());
    }
}

#[test]
fn a_person_registers_once() {
    let (verdict, world) = given_nothing().when(register(ADA, 1)).then_accepted();
    assert_eq!(verdict.primary, stream(ADA));
    assert_eq!(world.claimed(EMAIL_SCOPE), ["01".repeat(32)]);
    let facts = facts(&world);
    assert_eq!((facts.email_version, facts.email_verified, facts.credential_version), (1, false, 0));
    ada().when(register(ADA, 2)).then_refused_for(IdentityError::UserExists);
}

#[test]
fn an_address_belongs_to_one_person() {
    ada().when(register(BOB, 1)).then_refused_for(IdentityError::EmailTaken);
    let asked = || ada().having(ask(2, None));
    asked().having(register(BOB, 2)).when(confirm(2)).then_refused_for(IdentityError::EmailTaken);
    let of_bob = RequestEmailChange { user_id: BOB, ..ask(2, None) };
    asked().having(register(BOB, 3)).when(of_bob).then_refused_for(IdentityError::EmailTaken);
}

#[test]
fn what_is_private_is_in_the_event_and_not_in_the_state() {
    let (mut verdict, world) = given_nothing().when(register(ADA, 1)).then_accepted();
    let paths: Vec<_> = verdict.events[0].privates().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["payload.email", "payload.given_name"]);
    let state = serde_json::to_string(&world.state::<User>(ADA.uuid())).unwrap();
    assert!(!state.contains("example") && !state.contains("private"), "{state}");
    assert!(serde_json::to_string(&verdict.events[0]).is_err(), "it is never written in the clear");
    assert_eq!(format!("{:?}", hash(1)), "EmailHash(..)");
}

#[test]
fn claims_of_two_parts_never_collide() {
    let [one, other] = [[0x11; 32], [0x01; 32]].map(|it| EmailHash::new(it).claim_value());
    assert_eq!((one.len(), other.len()), (64, 64), "each value has one length, so nothing can be moved over");
    assert_ne!(one, other);
}

#[test]
fn an_address_is_verified_once() {
    let (_, world) = ada().when(verify(1)).then_accepted();
    assert!(facts(&world).email_verified);
    ada().having(verify(1)).when(verify(1)).then_already();
}

#[test]
fn a_link_for_another_address_is_not_good() {
    ada().when(verify(2)).then_refused_for(IdentityError::LinkInvalid);
    ada()
        .having(ask(2, None))
        .having(confirm(2))
        .when(verify(1))
        .then_refused_for(IdentityError::LinkInvalid);
}

#[test]
fn another_address_is_wanted_until_it_is_confirmed() {
    let (_, world) = ada().when(ask(2, None)).then_accepted();
    assert_eq!(world.claimed(EMAIL_SCOPE), ["01".repeat(32)], "the new one is nobody's yet");
    assert_eq!(world.claimed(EMAIL_WANTED_SCOPE), ["02".repeat(32)]);
    assert_eq!(facts(&world).email_version, 1, "the old one stays");
    let (_, world) = ada().having(ask(2, None)).at(at(99)).when(confirm(2)).then_accepted();
    assert_eq!(world.claimed(EMAIL_SCOPE), ["02".repeat(32)]);
    assert_eq!(world.claimed(EMAIL_WANTED_SCOPE), Vec::<String>::new());
    let facts = facts(&world);
    assert_eq!((facts.email_version, facts.email_verified, facts.email_pending), (2, true, None));
}

#[test]
fn a_request_that_would_be_over_is_refused() {
    ada().at(at(100)).when(ask(2, None)).then_refused_for(AccessTokenError::ExpiryInPast);
}

#[test]
fn a_second_request_names_the_one_whose_place_it_takes() {
    let asked = || ada().having(ask(2, None));
    asked().when(ask(3, None)).then_refused_for(IdentityError::EmailChangePending);
    asked().when(ask(3, Some((9, hash(2))))).then_refused_for(IdentityError::EmailChangePending);
    ada().when(ask(3, Some((2, hash(2))))).then_refused_for(IdentityError::EmailChangePending);
    let (_, world) = asked().when(ask(3, Some((2, hash(2))))).then_accepted();
    assert_eq!(world.claimed(EMAIL_WANTED_SCOPE), ["03".repeat(32)]);
    assert_eq!(facts(&world).email_pending.map(|it| it.version), Some(3));
}

#[test]
fn only_the_newest_request_is_confirmed_and_only_in_time() {
    let asked = || ada().having(ask(2, None));
    ada().when(confirm(2)).then_refused_for(IdentityError::LinkInvalid);
    asked().when(confirm(1)).then_refused_for(IdentityError::LinkInvalid);
    asked().at(at(100)).when(confirm(2)).then_refused_for(IdentityError::LinkInvalid);
    let other = ConfirmEmailChange { gives_up: (2, hash(1)), ..confirm(2) };
    asked().when(other).then_refused_for(IdentityError::EmailChanged);
}

#[test]
fn a_request_that_is_over_is_given_up() {
    let asked = || ada().having(ask(2, None));
    asked().at(at(99)).when(expire()).then_already();
    let (_, world) = asked().at(at(100)).when(expire()).then_accepted();
    assert_eq!(world.claimed(EMAIL_WANTED_SCOPE), Vec::<String>::new());
    assert_eq!(facts(&world).email_pending, None);
    asked().at(at(100)).having(expire()).when(expire()).then_already();
}

#[test]
fn passwords_are_counted_and_rest_on_the_one_before() {
    let (_, world) = ada().when(password(0, Withdraw::Nothing)).then_accepted();
    assert_eq!(facts(&world).credential_version, 1);
    let changed = || ada().having(password(0, Withdraw::Nothing));
    changed().when(password(0, Withdraw::Nothing)).then_refused_for(IdentityError::CredentialChanged);
    changed().when(password(2, Withdraw::Nothing)).then_refused_for(IdentityError::CredentialChanged);
}

#[test]
fn a_new_password_ends_sessions_if_it_should() {
    let (verdict, world) = ada().when(password(0, Withdraw::Others(SESSION))).then_accepted();
    assert_eq!(names(&verdict.events), ["identity.password-changed", "identity.sessions-ended"]);
    let facts = facts(&world);
    assert!(facts.counts(SESSION, 0) && !facts.counts(SessionId::new(Uuid::nil()), 0));
    let (verdict, _) = ada().when(password(0, Withdraw::All)).then_accepted();
    assert!(
        matches!(&verdict.events[1], Event::Identity(IdentityEvent::SessionsEnded(it)) if it.except.is_none())
    );
}

#[test]
fn ending_all_sessions_ends_those_that_were_kept_before() {
    let (_, world) = ada().having(end(Some(SESSION))).when(end(None)).then_accepted();
    let facts = facts(&world);
    assert!(!facts.counts(SESSION, 0) && !facts.counts(SESSION, 1) && facts.counts(SESSION, 2));
}

#[test]
fn deactivating_and_reactivating_are_each_done_once() {
    inactive().when(deactivate()).then_already();
    let reactivate = || ReactivateUser { user_id: ADA };
    ada().when(reactivate()).then_already();
    let (_, world) = inactive().when(reactivate()).then_accepted();
    assert!(matches!(world.state::<User>(ADA.uuid()), User::Active(_)));
}

#[test]
fn a_profile_tells_each_change_by_its_name() {
    let whole = || UpdateProfile {
        user_id: ADA,
        given_name: None,
        family_name: Some(Patch::Set(of(ADA, "Lovelace"))),
        phone: Some(Patch::Set(of(ADA, "+44 20"))),
        address: Some(Patch::Set(of(ADA, "London"))),
        language: Some(Language::of("de")),
    };
    let (mut verdict, world) = ada().when(whole()).then_accepted();
    let expected =
        ["user-family-name-changed", "user-phone-changed", "user-address-changed", "user-language-changed"];
    assert_eq!(names(&verdict.events), expected.map(|it| format!("identity.{it}")));
    assert_eq!(verdict.events.iter_mut().map(|it| it.privates().len()).collect::<Vec<_>>(), [1, 1, 1, 0]);
    let facts = facts(&world);
    assert!(facts.has_phone && facts.has_address && facts.language == Language::of("de"));
    let clear = || UpdateProfile {
        family_name: None,
        phone: Some(Patch::Clear),
        address: Some(Patch::Clear),
        ..whole()
    };
    let (verdict, _) = ada().having(whole()).when(clear()).then_accepted();
    assert_eq!(names(&verdict.events), ["identity.user-phone-changed", "identity.user-address-changed"]);
    let nothing = UpdateProfile { language: Some(Language::of("en")), ..clear() };
    ada().when(nothing).then_already();
}

#[test]
fn of_a_name_only_what_changes_is_told_and_the_other_half_stays() {
    let rename = |given_name, family_name| UpdateProfile {
        user_id: ADA,
        given_name,
        family_name,
        phone: None,
        address: None,
        language: None,
    };
    let set = |text| Some(Patch::Set(of(ADA, text)));
    let both = || ada().having(rename(set("Ada"), set("Lovelace")));
    let known = |world: &World| (facts(world).has_given_name, facts(world).has_family_name);
    for (given, family, told, after) in [
        (set("Augusta"), None, "user-given-name-changed", (true, true)),
        (None, set("Byron"), "user-family-name-changed", (true, true)),
        (Some(Patch::Clear), None, "user-given-name-changed", (false, true)),
        (None, Some(Patch::Clear), "user-family-name-changed", (true, false)),
        (set("Augusta"), Some(Patch::Clear), "user-renamed", (true, false)),
        (Some(Patch::Clear), Some(Patch::Clear), "user-renamed", (false, false)),
    ] {
        let (verdict, world) = both().when(rename(given, family)).then_accepted();
        assert_eq!(names(&verdict.events), [format!("identity.{told}")]);
        assert_eq!(known(&world), after, "{told}");
    }
    both().when(rename(None, None)).then_already();
    let bare = both().having(rename(Some(Patch::Clear), Some(Patch::Clear)));
    bare.when(rename(Some(Patch::Clear), Some(Patch::Clear))).then_already();
}

#[test]
fn cve_2026_27946_nobody_sets_verified_through_an_update() {
    let update = UpdateProfile {
        user_id: ADA,
        given_name: None,
        family_name: None,
        phone: None,
        address: None,
        language: Some(Language::of("de")),
    };
    let (_, world) = ada().when(update).then_accepted();
    assert!(!facts(&world).email_verified);
}

#[test]
fn an_erasure_frees_every_address_and_rests_on_those_that_were_looked_at() {
    let (_, world) = ada().when(erase()).then_accepted();
    assert_eq!(world.claimed(EMAIL_SCOPE), Vec::<String>::new());
    assert_eq!(world.state::<User>(ADA.uuid()), User::Erased);
    let asked = || ada().having(ask(2, None));
    asked().when(erase()).then_refused_for(IdentityError::EmailChanged);
    let other = ErasePerson { email: (2, hash(1)), ..erase() };
    ada().when(other).then_refused_for(IdentityError::EmailChanged);
    let both = ErasePerson { email_pending: Some((2, hash(2))), ..erase() };
    let (_, world) = asked().when(both).then_accepted();
    for scope in [EMAIL_SCOPE, EMAIL_WANTED_SCOPE] {
        assert_eq!(world.claimed(scope), Vec::<String>::new());
    }
    assert_eq!(world.log().len(), 3, "history stays");
}

#[test]
fn whoever_acts_is_in_the_events_that_end_sessions() {
    let by = ActorId::new(Uuid::from_u128(99));
    let (verdict, _) = ada().when(EndSessions { by, ..end(None) }).then_accepted();
    assert!(matches!(&verdict.events[0], Event::Identity(IdentityEvent::SessionsEnded(it)) if it.by == by));
}

fn half(n: u128) -> Half {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&n.to_be_bytes());
    Half { link: Uuid::from_u128(n), elsewhere: ElsewhereHash::new(bytes) }
}

fn link(n: u128) -> LinkIdentities {
    LinkIdentities { user_id: ADA, half: half(n) }
}

fn unlink(halves: &[u128]) -> UnlinkIdentities {
    UnlinkIdentities { user_id: ADA, halves: halves.iter().map(|n| half(*n)).collect() }
}

#[test]
fn a_user_has_one_half_for_each_organisation_and_gives_it_up() {
    let (verdict, world) = ada().when(link(1)).then_accepted();
    assert_eq!(facts(&world).links, [Uuid::from_u128(1)]);
    assert_eq!(world.claimed(LINKED_SCOPE).len(), 1);
    let Event::Identity(IdentityEvent::IdentitiesLinked(told)) = &verdict.events[0] else {
        unreachable!("it says so")
    };
    assert!(told.users.is_empty(), "an organisation is not told of another one");
    ada().having(link(1)).when(link(1)).then_already();
    let again = Half { link: Uuid::from_u128(2), ..half(1) };
    let again = LinkIdentities { user_id: ADA, half: again };
    ada().having(link(1)).when(again.clone()).then_refused_for(IdentityError::LinkedToAnother);
    inactive().when(link(1)).then_refused_for(IdentityError::UserInactive);

    ada().when(unlink(&[1])).then_already();
    let (_, world) = ada().having(link(1)).having(link(2)).when(unlink(&[1])).then_accepted();
    assert_eq!(facts(&world).links, [Uuid::from_u128(2)]);
    assert_eq!(world.claimed(LINKED_SCOPE).len(), 1);
    ada().having(link(1)).having(unlink(&[1])).when(again).then_succeeds();
    let (_, world) = ada().having(link(1)).having(link(2)).when(unlink(&[1, 2])).then_accepted();
    assert!(facts(&world).links.is_empty() && world.claimed(LINKED_SCOPE).is_empty());
    // Somebody who may not act can still be left.
    let inactive = ada().having(link(1)).having(DeactivateUser { user_id: ADA, because: Word::of("left") });
    inactive.when(unlink(&[1])).then_succeeds();
}

#[test]
fn a_person_has_so_many_users_and_no_more() {
    let links = USERS_MAX as u128 - 1;
    let given = (1..=links).fold(ada(), |given, n| given.having(link(n)));
    given.when(link(links + 1)).then_refused_for(IdentityError::TooManyLinks { max: USERS_MAX });
}
