//! Factors come and go with their user, and codes are counted down.

use super::super::sample::*;
use super::*;
use crate::decision::Decision;
use crate::identity::{DeactivateUser, IdentityError as E};
use crate::spec::{Given, given_nothing};

const APP: FactorId = FactorId::new(Uuid::from_u128(1));
const KEY: FactorId = FactorId::new(Uuid::from_u128(2));

fn ada() -> Given {
    given_nothing().having(verified(ADA, 1))
}

fn enrol() -> EnrolTotp {
    EnrolTotp { user_id: ADA, factor_id: APP, label: Some(of(ADA, "My phone")) }
}

fn add(factor_id: FactorId) -> AddPasskey {
    AddPasskey { user_id: ADA, factor_id, label: None, vouched: false }
}

fn remove(factor_id: FactorId) -> RemoveFactor {
    RemoveFactor { user_id: ADA, factor_id, because: Word::of("asked") }
}

fn issue(count: u16) -> IssueRecoveryCodes {
    IssueRecoveryCodes { user_id: ADA, count }
}

const USE: UseRecoveryCode = UseRecoveryCode { user_id: ADA };

fn all() -> Given {
    ada().having(enrol()).having(add(KEY)).having(issue(2))
}

#[test]
fn factors_are_an_active_users() {
    let commands: [fn() -> Box<dyn Decision>; 8] = [
        || Box::new(enrol()),
        || Box::new(add(KEY)),
        || Box::new(remove(APP)),
        || Box::new(RemoveAllFactors { user_id: ADA, because: Word::of("administrator"), must_have: true }),
        || Box::new(issue(10)),
        || Box::new(USE),
        || Box::new(ReportPasskeyRegression { user_id: ADA, factor_id: KEY }),
        || Box::new(CheckPasskey { user_id: ADA, factor_id: KEY }),
    ];
    for command in commands {
        let refused = given_nothing().world().submit(&*command(), at(0)).unwrap_err();
        assert_eq!(refused.code, "identity.user-not-found");
        let left = ada().having(DeactivateUser { user_id: ADA, because: Word::of("left") });
        let refused = left.world().submit(&*command(), at(0)).unwrap_err();
        assert_eq!(refused.code, "identity.user-inactive");
    }
}

#[test]
fn there_is_one_authenticator_and_each_passkey_once() {
    let (_, world) = ada().when(enrol()).then_accepted();
    let state = world.state::<Factors>(ADA.uuid());
    assert!(state.password_needs_code() && state.is_some());
    all().when(enrol()).then_refused_for(E::FactorExists);
    all().when(add(KEY)).then_refused_for(E::FactorExists);
    let (_, world) = ada().when(add(KEY)).then_accepted();
    let state = world.state::<Factors>(ADA.uuid());
    assert!(!state.password_needs_code() && state.is_some());
}

#[test]
fn a_passkey_that_was_added_on_the_word_of_a_provider_is_known_as_such_while_it_is_there() {
    let vouched = || AddPasskey { vouched: true, ..add(KEY) };
    let (_, world) = ada().having(add(APP)).when(vouched()).then_accepted();
    let state = world.state::<Factors>(ADA.uuid());
    assert_eq!((state.passkeys, state.vouched), (vec![APP, KEY], vec![KEY]));
    let (_, world) = ada().having(vouched()).when(remove(KEY)).then_accepted();
    assert_eq!(world.state::<Factors>(ADA.uuid()), Factors::default());
}

#[test]
fn there_are_ten_passkeys_at_most() {
    let ten =
        (0..10).fold(ada(), |given, number| given.having(add(FactorId::new(Uuid::from_u128(100 + number)))));
    ten.when(add(KEY)).then_refused_for(E::TooManyFactors { max: 10 });
}

#[test]
fn what_is_removed_was_there() {
    ada().when(remove(APP)).then_refused_for(E::FactorNotFound);
    let (_, world) = all().when(remove(KEY)).then_accepted();
    assert_eq!(world.state::<Factors>(ADA.uuid()).passkeys, []);
    let (_, world) = all().when(remove(APP)).then_accepted();
    let expected = Factors { passkeys: vec![KEY], ..Factors::default() };
    assert_eq!(world.state::<Factors>(ADA.uuid()), expected, "the codes go with the authenticator");
}

#[test]
fn whoever_has_lost_everything_is_freed_of_it() {
    let free = || RemoveAllFactors { user_id: ADA, because: Word::of("administrator"), must_have: false };
    let (verdict, world) = all().when(free()).then_accepted();
    assert_eq!(verdict.events.len(), 2);
    assert_eq!(world.state::<Factors>(ADA.uuid()), Factors::default());
    ada().when(free()).then_already();
    let some = || RemoveAllFactors { must_have: true, ..free() };
    all().when(some()).then_succeeds();
    ada().when(some()).then_refused_for(E::FactorNotFound);
}

#[test]
fn recovery_codes_are_counted_down_to_none() {
    ada().when(issue(10)).then_refused_for(E::FactorNotFound);
    let (_, world) = all().when(USE).then_accepted();
    assert_eq!(world.state::<Factors>(ADA.uuid()).codes_left, 1);
    all().having(USE).having(USE).when(USE).then_refused_for(E::FactorNotFound);
    let (_, world) = all().having(USE).having(USE).when(issue(10)).then_accepted();
    assert_eq!(world.state::<Factors>(ADA.uuid()).codes_left, 10);
}

#[test]
fn a_passkey_lets_in_while_the_user_has_it() {
    let check = |factor_id| CheckPasskey { user_id: ADA, factor_id };
    all().when(check(KEY)).then_already();
    all().when(check(APP)).then_refused_for(E::FactorNotFound);
    all().having(remove(KEY)).when(check(KEY)).then_refused_for(E::FactorNotFound);
}

#[test]
fn a_passkey_that_counts_backwards_is_told() {
    let report = |factor_id| ReportPasskeyRegression { user_id: ADA, factor_id };
    all().when(report(APP)).then_refused_for(E::FactorNotFound);
    let (_, world) = all().when(report(KEY)).then_accepted();
    assert_eq!(world.state::<Factors>(ADA.uuid()).passkeys, [KEY], "it stays until somebody removes it");
}
