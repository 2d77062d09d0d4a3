//! What a service was let have is good for what it is registered with at that moment, and ends with what it got it for.

use super::*;
use crate::application::{ChangeService, RemoveSecret};
use crate::identity::GiveBackToken;

const READING: &str = "ledger.read-accounts";

fn given() -> Given {
    ada().having(till()).having(secret()).having(of_till_55())
}

fn of_till_55() -> StartSession {
    StartSession { session_id: SessionId::new(Uuid::from_u128(55)), ..of_till() }
}

fn delegated() -> Gated {
    let session = of_till_55().session_id;
    gated(Gate::new(Bearer::Delegated { session, user: ADA, granted: Granted::All }, table()).asking(READING))
}

fn by_itself() -> Gated {
    gated(Gate::new(itself(Granted::All), table()).asking(READING))
}

fn grants(names: &[&'static str]) -> ChangeService {
    let grants = names.iter().map(|it| Word::of(it)).collect();
    ChangeService { grants: Some(grants), ..ChangeService::of(TILL) }
}

fn scopes(names: &[&'static str]) -> ChangeService {
    let scopes = names.iter().map(|it| Scope::of(it)).collect();
    ChangeService { scopes: Some(scopes), ..ChangeService::of(TILL) }
}

#[test]
fn a_scope_that_is_taken_from_a_service_is_taken_from_all_that_it_was_given() {
    let taken = || given().having(scopes(&["openid"]));
    for command in [delegated, by_itself] {
        given().when(command()).then_succeeds();
        taken().when(command()).then_refused_for(missing(READING));
        taken().having(scopes(&[READING])).when(command()).then_succeeds();
    }
    let world = taken().world();
    let look = |bearer: Bearer| bearer.look(&View::new(TENANT, at(20), &world), &table()).unwrap().granted;
    let session = of_till_55().session_id;
    assert!(!look(Bearer::Delegated { session, user: ADA, granted: Granted::All }).allows(READING));
    assert!(!look(itself(Granted::All)).allows(READING));
}

#[test]
fn what_a_service_came_by_in_a_way_that_it_is_not_granted_any_more_is_not_good() {
    let people = || given().having(grants(&["authorization-code"]));
    people().when(delegated()).then_succeeds();
    people().when(by_itself()).then_refused_for(GateError::SessionEnded);
    let alone = || given().having(grants(&["client-credentials", "device-code"]));
    alone().when(by_itself()).then_succeeds();
    alone().when(delegated()).then_refused_for(GateError::SessionEnded);
}

#[test]
fn a_token_of_a_service_ends_with_the_secret_that_it_was_given_for_and_with_no_other() {
    let second = AddSecret { secret_id: SecretId::new(Uuid::from_u128(10)), ..secret() };
    let remove = |it: &AddSecret| RemoveSecret {
        service_id: TILL,
        secret_id: it.secret_id,
        because: Word::of("leaked"),
    };
    let both = || given().having(second.clone());
    both().having(remove(&second)).when(by_itself()).then_succeeds();
    both().having(remove(&secret())).when(by_itself()).then_refused_for(GateError::SessionEnded);
    let until = AddSecret { expires_at: Some(at(90)), ..secret() };
    let expiring = || ada().having(till()).having(until.clone());
    let (verdict, _) = expiring().at(at(89)).when(by_itself()).then_accepted();
    assert_eq!(verdict.valid_until, Some(at(90)));
    expiring().at(at(90)).when(by_itself()).then_refused_for(GateError::SessionEnded);
}

#[test]
fn a_token_that_a_service_gave_back_is_good_no_more_and_the_others_are() {
    let back = |token_id| GiveBackToken { token_id, by: ActorId::new(TILL.uuid()) };
    given().having(back(TOKEN)).when(by_itself()).then_refused_for(GateError::SessionEnded);
    given().having(back(TOKEN)).when(back(TOKEN)).then_already();
    let other = TokenId::new(Uuid::from_u128(77));
    given().having(back(other)).when(by_itself()).then_succeeds();
}
