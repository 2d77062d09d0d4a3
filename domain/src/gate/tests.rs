//! The gate opens to those who stand and may, and closes in a fixed order of reasons.

mod acting;
mod services;

use super::*;
use crate::application::{
    AddSecret, GrantConsent, IssueApiKey, KeyOwner, RegisterService, RevokeApiKey, RevokeConsent,
    SuspendService as SuspendProgram,
};
use crate::decision::Outcome;
use crate::error::Refusal;
use crate::identity::sample::*;
use crate::identity::{
    AddPasskey, DeactivateUser, EndSession, EndSessions, EnrolTotp, MintAccessToken, RemoveFactor,
    RevokeAccessToken, StrengthenSession,
};
use crate::ids::{
    ActorId, ApiKeyId, FactorId, ImpersonationId, RoleId, SecretId, ServiceId, SessionId, TokenId,
};
use crate::organisation::sample::{CLERK, add, clerk, own, owner, table};
use crate::organisation::standing;
use crate::organisation::{
    AssignRoles, ChangeStanding, Granter, RedefineRole, RemoveMember, RoleRef, SetSeats,
};
use crate::sign_in::StartSession;
use crate::spec::{Given, TENANT, World, given_nothing};
use crate::stream::StreamId;
use crate::words::{Scope, Word};

const SESSION: SessionId = SessionId::new(Uuid::from_u128(5));
const TOKEN: TokenId = TokenId::new(Uuid::from_u128(6));
const POST: &str = "ledger.post-transfer";
const READ: &str = "ledger.read-accounts";

fn start() -> StartSession {
    StartSession {
        session_id: SESSION,
        user_id: ADA,
        seen: None,
        verified_by_method: false,
        method: Word::of("password"),
        amr: vec![Word::of("pwd")],
        auth_time: at(10),
        expires_at: at(1_000),
        service_id: None,
        device: None,
        impersonation_id: None,
    }
}

/// Ada, a user of an active organisation with a role of its own, signed in.
fn ada() -> Given {
    let roles = [RoleRef::USER, own(CLERK)];
    let given = given_nothing().having(verified(ADA, 1)).having(clerk()).having(owner());
    given.having(add(ADA, &roles, Granter::Platform)).at(at(10)).having(start()).at(at(20))
}

fn bearer() -> Bearer {
    Bearer::Session { session: SESSION, user: ADA }
}

fn gate() -> Gate {
    Gate::new(bearer(), table())
}

/// A command that has something to say, behind a gate.
fn gated(gate: Gate) -> Gated {
    Gated::new(gate, Box::new(SetSeats { seats: Some(77) }))
}

/// A command that would be refused by itself.
fn hopeless(gate: Gate) -> Gated {
    let nobody = EndSession {
        session_id: SessionId::new(Uuid::nil()),
        of: None,
        because: Word::of("x"),
        by: ADA.actor(),
    };
    Gated::new(gate, Box::new(nobody))
}

fn standing(to: TenantStatus) -> ChangeStanding {
    ChangeStanding { to, because: Word::of("tested") }
}

fn not_active(status: TenantStatus) -> Refusal {
    OrganisationError::NotActive { status: status.word() }.into()
}

fn missing(permission: &'static str) -> GateError {
    GateError::PermissionMissing { permission }
}

#[test]
fn it_opens_to_a_member_with_the_permission_until_the_session_ends() {
    let (verdict, _) = ada().when(gated(gate().asking(READ))).then_accepted();
    assert_eq!((verdict.outcome, verdict.valid_until), (Outcome::Done, Some(at(1_000))));
    ada().when(gated(gate())).then_succeeds();
    ada().at(at(1_000)).when(gated(gate())).then_refused_for(GateError::SessionEnded);
}

#[test]
fn reasons_come_in_their_order() {
    let closed = gate().asking(POST).own_hand().fresh_within(TimeDelta::seconds(5));
    let suspended = || ada().having(standing(TenantStatus::Suspended));
    let end = EndSession { session_id: SESSION, of: None, because: Word::of("asked"), by: ADA.actor() };
    suspended().having(end).when(hopeless(closed.clone())).then_refused_for(GateError::SessionEnded);
    suspended().when(hopeless(closed.clone())).then_refused_for(not_active(TenantStatus::Suspended));
    ada().when(hopeless(closed.clone())).then_refused_for(missing(POST));
    let allowed = Gate { permission: Some(READ), ..closed };
    ada().when(hopeless(allowed)).then_refused_for(GateError::StepUpRequired { within_s: 5 });
    ada().when(hopeless(gate().asking(READ))).then_refused("identity.session-not-found");
}

#[test]
fn every_end_of_access_closes_it() {
    let ends: Vec<Box<dyn Decision>> = vec![
        Box::new(EndSession { session_id: SESSION, of: None, because: Word::of("asked"), by: ADA.actor() }),
        Box::new(EndSessions { user_id: ADA, except: None, because: Word::of("asked"), by: ADA.actor() }),
        Box::new(DeactivateUser { user_id: ADA, because: Word::of("left") }),
        Box::new(RemoveMember {
            user_id: ADA,
            because: Word::of("removed"),
            by: Granter::Platform,
            table: table(),
        }),
    ];
    for end in ends {
        let mut world = ada().world();
        world.submit(&*end, at(20)).unwrap();
        let refused = world.submit(&gated(gate()), at(20)).unwrap_err();
        assert_eq!(refused, GateError::SessionEnded.into(), "{}", end.name());
    }
}

#[test]
fn the_session_of_another_is_none() {
    let other = Gate { bearer: Bearer::Session { session: SESSION, user: BOB }, ..gate() };
    let given = ada().having(verified(BOB, 2)).having(add(BOB, &[RoleRef::OWNER], Granter::Platform));
    given.when(gated(other)).then_refused_for(GateError::SessionEnded);
}

#[test]
fn a_session_that_never_began_is_none() {
    given_nothing().when(gated(gate())).then_refused_for(GateError::SessionEnded);
}

#[test]
fn an_organisation_that_waits_is_let_through_where_it_may() {
    let waiting = || ada().having(standing(TenantStatus::Pending));
    waiting().when(gated(gate())).then_refused_for(not_active(TenantStatus::Pending));
    waiting().when(gated(gate().while_pending())).then_succeeds();
    for status in [TenantStatus::Suspended, TenantStatus::Rejected, TenantStatus::Closed] {
        ada()
            .having(standing(status))
            .when(gated(gate().while_pending()))
            .then_refused_for(not_active(status));
    }
}

#[test]
fn a_session_of_before_a_suspension_is_over_when_the_organisation_is_active_again() {
    let again = |given: Given| {
        given.having(standing(TenantStatus::Suspended)).at(at(30)).having(standing(TenantStatus::Active))
    };
    again(ada()).when(gated(gate())).then_refused_for(GateError::SessionEnded);
    // What else is said of the organisation brings none back.
    again(ada())
        .having(SetSeats { seats: Some(7) })
        .when(gated(gate()))
        .then_refused_for(GateError::SessionEnded);
    let anew = SessionId::new(Uuid::from_u128(51));
    let later = again(ada()).having(StartSession { session_id: anew, ..start() });
    let gate = Gate::new(Bearer::Session { session: anew, user: ADA }, table());
    later.when(gated(gate.clone())).then_succeeds();
    // Approving one that waited ends nothing: its founder goes on.
    let approved =
        ada().having(standing(TenantStatus::Pending)).at(at(30)).having(standing(TenantStatus::Active));
    approved.when(gated(self::gate())).then_succeeds();
}

#[test]
fn a_change_of_roles_counts_at_once() {
    let assign = |roles: &[RoleRef]| AssignRoles {
        user_id: ADA,
        roles: roles.to_vec(),
        by: Granter::Platform,
        table: table(),
    };
    let post = || gated(gate().asking(POST));
    ada().when(post()).then_refused_for(missing(POST));
    ada().having(assign(&[RoleRef::MANAGER])).when(post()).then_succeeds();
    ada().having(assign(&[RoleRef::OWNER])).when(gated(gate().asking("tomorrow.do-thing"))).then_succeeds();
    let redefine = RedefineRole {
        role_id: CLERK,
        name: crate::metadata::Label::parse("Clerk").unwrap(),
        permissions: crate::organisation::sample::permissions(&[POST]),
        by: Granter::Platform,
        table: table(),
    };
    ada().having(redefine).when(post()).then_succeeds();
}

#[test]
fn showing_again_who_one_is_opens_it_for_a_while() {
    let fresh = || gated(gate().fresh_within(TimeDelta::seconds(11)));
    let (verdict, _) = ada().when(fresh()).then_accepted();
    assert_eq!(verdict.valid_until, Some(at(21)), "not a moment longer");
    ada().at(at(21)).when(fresh()).then_refused_for(GateError::StepUpRequired { within_s: 11 });
}

#[test]
fn an_impersonator_cannot_touch_what_is_ones_own() {
    let given = || {
        let begun = StartSession {
            session_id: SessionId::new(Uuid::from_u128(50)),
            impersonation_id: Some(ImpersonationId::new(Uuid::from_u128(51))),
            ..start()
        };
        ada().having(begun)
    };
    let bearer = Bearer::Session { session: SessionId::new(Uuid::from_u128(50)), user: ADA };
    let gate = Gate { bearer, ..gate() };
    given().when(gated(gate.clone().asking(READ))).then_succeeds();
    given().when(gated(gate.own_hand())).then_refused_for(GateError::ActsForAnother);
    ada().when(gated(self::gate().own_hand())).then_succeeds();
}

#[test]
fn an_operators_token_is_good_until_it_is_revoked() {
    let mint = MintAccessToken {
        token_id: TOKEN,
        subject: ActorId::new(Uuid::from_u128(9)),
        roles: vec![crate::identity::Role::Owner],
        expires_at: at(1_000),
    };
    let bearer = Bearer::Operator { token: TOKEN, granted: Granted::only([READ]) };
    let gate = || Gate {
        bearer: bearer.clone(),
        ..self::gate().asking(READ).own_hand().fresh_within(TimeDelta::seconds(1))
    };
    given_nothing().when(gated(gate())).then_succeeds();
    given_nothing().having(mint.clone()).when(gated(gate())).then_succeeds();
    given_nothing().when(gated(gate().asking(POST))).then_refused_for(missing(POST));
    let revoked = given_nothing().having(mint).having(RevokeAccessToken { token_id: TOKEN, by: ADA.actor() });
    revoked.when(gated(gate())).then_refused_for(GateError::SessionEnded);
    let suspended = given_nothing().having(standing(TenantStatus::Suspended));
    suspended.when(gated(gate())).then_refused_for(not_active(TenantStatus::Suspended));
}

#[test]
fn nothing_is_recorded_on_the_word_of_somebody_who_may_not_ask() {
    struct Late;
    impl Decision for Late {
        fn needs(&self, view: &View<'_>) -> Vec<StreamId> {
            vec![standing::stream(view.tenant)]
        }
        fn overdue(&self, view: &View<'_>) -> Vec<Box<dyn Decision>> {
            if Standing::of(view).seats == Some(1) {
                vec![]
            } else {
                vec![Box::new(SetSeats { seats: Some(1) })]
            }
        }
        fn decide(&self, view: &View<'_>) -> Result<Verdict, Refusal> {
            Ok(Verdict::already(standing::stream(view.tenant)))
        }
    }
    let judged = ada().when(Gated::new(gate().asking(POST), Box::new(Late)));
    assert_eq!(judged.events(), []);
    judged.then_refused_for(missing(POST));
    let judged = ada().when(Gated::new(gate().asking(READ), Box::new(Late)));
    assert_eq!(judged.events().len(), 1);
}

#[test]
fn a_look_says_what_the_gate_says() {
    let look = |world: &World, now| bearer().look(&View::new(TENANT, at(now), world), &table());
    let world = ada().world();
    let admission = look(&world, 20).unwrap();
    assert_eq!(admission.granted, Granted::only([READ]));
    assert_eq!(admission.status, TenantStatus::Active);
    assert_eq!(admission.session.map(|it| it.auth_time), Some(at(10)));
    assert_eq!(look(&world, 1_000), Err(GateError::SessionEnded));
    let suspended = ada().having(standing(TenantStatus::Suspended)).world();
    assert_eq!(look(&suspended, 20).unwrap().status, TenantStatus::Suspended);
}

#[test]
fn it_asks_for_the_roles_that_it_finds() {
    let needs = |world: &World| bearer().needs(&View::new(TENANT, at(20), world)).len();
    assert_eq!(needs(&given_nothing().world()), 5, "standing, policy, session, user, membership");
    assert_eq!(needs(&ada().world()), 6, "and the role of the organisation's own");
    assert_ne!(own(CLERK), own(RoleId::new(Uuid::nil())));
}

#[test]
fn the_command_keeps_its_name_and_its_subjects() {
    let update = crate::identity::UpdateProfile {
        user_id: ADA,
        given_name: None,
        family_name: None,
        phone: None,
        address: None,
        language: None,
    };
    let gated = Gated::new(gate(), Box::new(update));
    assert_eq!((gated.name(), gated.subjects()), ("UpdateProfile", vec![ADA.uuid()]));
}

#[test]
fn an_organisation_that_asks_for_a_second_factor_lets_nobody_do_its_business_without() {
    let policy = Policy { second_factor: SecondFactor::Required, ..Policy::default() };
    let given = || ada().having(crate::organisation::SetPolicy { policy: policy.clone() });
    given().when(gated(gate().asking(POST))).then_refused_for(missing(POST));
    given().when(gated(gate().asking(READ))).then_refused_for(GateError::SecondFactorMissing);
    given().when(gated(gate())).then_succeeds();
    given().when(gated(gate().with_every_factor())).then_refused_for(GateError::SecondFactorMissing);
    let strengthen = StrengthenSession {
        session_id: SESSION,
        method: Word::of("totp"),
        amr: vec![Word::of("otp")],
        auth_time: at(20),
        seen: None,
    };
    let shown = || given().having(strengthen.clone());
    shown().when(gated(gate().asking(READ))).then_succeeds();
    shown().when(gated(gate().with_every_factor())).then_succeeds();
}

#[test]
fn what_changes_how_somebody_signs_in_asks_for_the_factor_that_they_have_whichever_it_is() {
    let factor_id = FactorId::new(Uuid::from_u128(9));
    let change = || gated(gate().over_ways_in());
    ada().when(change()).then_succeeds();
    let passkey = AddPasskey { user_id: ADA, factor_id, label: None, vouched: false };
    ada().having(passkey.clone()).when(change()).then_refused_for(GateError::SecondFactorMissing);
    ada().having(passkey.clone()).when(gated(gate())).then_succeeds();
    let totp = EnrolTotp { user_id: ADA, factor_id, label: None };
    ada().having(totp.clone()).when(change()).then_refused_for(GateError::SecondFactorMissing);
    // Nobody enrols the first of two.
    let second = Gated::new(gate().over_ways_in(), Box::new(totp.clone()));
    ada().having(passkey.clone()).when(second).then_refused_for(GateError::SecondFactorMissing);
    let strengthen = StrengthenSession {
        session_id: SESSION,
        method: Word::of("totp"),
        amr: vec![Word::of("otp")],
        auth_time: at(20),
        seen: None,
    };
    ada().having(totp).having(strengthen).when(change()).then_succeeds();
    let remove = RemoveFactor { user_id: ADA, factor_id, because: Word::of("asked") };
    ada().having(passkey).having(remove).when(change()).then_succeeds();
}

const KEY: ApiKeyId = ApiKeyId::new(Uuid::from_u128(7));
const TILL: ServiceId = ServiceId::new(Uuid::from_u128(8));

fn key(owner: KeyOwner, names: &[&str]) -> IssueApiKey {
    IssueApiKey {
        key_id: KEY,
        owner,
        name: crate::metadata::Label::parse("Nightly").unwrap(),
        permissions: crate::organisation::sample::permissions(names),
        expires_at: Some(at(500)),
    }
}

fn till() -> RegisterService {
    RegisterService {
        service_id: TILL,
        name: crate::metadata::Label::parse("Till").unwrap(),
        confidential: true,
        redirect_uris: vec![crate::application::RedirectUri::parse("https://till.example/back").unwrap()],
        grants: vec![Word::of("client-credentials"), Word::of("authorization-code")],
        scopes: vec![crate::words::Scope::of(READ)],
        limits: None,
    }
}

/// A secret of the till, and what shows that it was used.
fn secret() -> AddSecret {
    AddSecret { service_id: TILL, secret_id: SecretId::new(Uuid::from_u128(9)), expires_at: None }
}

fn itself(granted: Granted) -> Bearer {
    Bearer::Service { service: TILL, secret: secret().secret_id, token: TOKEN, granted }
}

/// A session that Ada let the till have.
fn of_till() -> StartSession {
    StartSession { service_id: Some(TILL), method: Word::of("authorization-code"), ..start() }
}

fn with_key() -> Gate {
    Gate::new(Bearer::ApiKey { key: KEY }, table())
}

#[test]
fn a_key_allows_what_its_owner_holds_too() {
    let given = || ada().having(key(KeyOwner::User(ADA), &[READ, POST]));
    let (verdict, _) = given().when(gated(with_key().asking(READ))).then_accepted();
    assert_eq!(verdict.valid_until, Some(at(500)));
    given().when(gated(with_key().asking(POST))).then_refused_for(missing(POST));
    let narrow = ada().having(key(KeyOwner::User(ADA), &[POST]));
    narrow.when(gated(with_key().asking(READ))).then_refused_for(missing(READ));
}

#[test]
fn a_key_ends_in_each_of_its_ways() {
    let given = || ada().having(key(KeyOwner::User(ADA), &[READ]));
    let read = || gated(with_key().asking(READ));
    ada().when(read()).then_refused_for(GateError::SessionEnded);
    given().at(at(500)).when(read()).then_refused_for(GateError::SessionEnded);
    let revoke = RevokeApiKey { key_id: KEY, of: None, by: ADA.actor() };
    given().having(revoke).when(read()).then_refused_for(GateError::SessionEnded);
    let leave = DeactivateUser { user_id: ADA, because: Word::of("left") };
    given().having(leave).when(read()).then_refused_for(GateError::SessionEnded);
    let remove =
        RemoveMember { user_id: ADA, because: Word::of("removed"), by: Granter::Platform, table: table() };
    given().having(remove).when(read()).then_refused_for(GateError::SessionEnded);
    let end = EndSessions { user_id: ADA, except: None, because: Word::of("asked"), by: ADA.actor() };
    given().having(end).when(read()).then_succeeds();
}

#[test]
fn a_service_does_what_its_scopes_name_by_its_secret_and_by_its_key() {
    let given = || ada().having(till()).having(secret()).having(key(KeyOwner::Service(TILL), &[READ, POST]));
    let by_secret = || Gate::new(itself(Granted::only([READ, POST])), table());
    let gates: [fn() -> Gate; 2] = [by_secret, with_key];
    for gate in gates {
        given().when(gated(gate().asking(READ))).then_succeeds();
        given().when(gated(gate().asking(POST))).then_refused_for(missing(POST));
        let suspend = SuspendProgram { service_id: TILL, because: Word::of("abuse") };
        given().having(suspend).when(gated(gate().asking(READ))).then_refused_for(GateError::SessionEnded);
    }
    let none = Gate::new(itself(Granted::nothing()), table());
    given().when(gated(none.asking(READ))).then_refused_for(missing(READ));
}

#[test]
fn a_service_acts_for_a_person_within_what_they_allowed_and_never_in_their_account() {
    let lent = StartSession { session_id: SessionId::new(Uuid::from_u128(55)), ..of_till() };
    let session = lent.session_id;
    let given = || ada().having(till()).having(lent.clone());
    let lending = |names: &[&'static str]| {
        let granted = Granted::only(names.iter().copied());
        Gate::new(Bearer::Delegated { session, user: ADA, granted }, table())
    };
    let read = || lending(&[READ, POST]).asking(READ);
    given().when(gated(read())).then_succeeds();
    given().when(gated(lending(&[READ, POST]).asking(POST))).then_refused_for(missing(POST));
    given().when(gated(lending(&[POST]).asking(READ))).then_refused_for(missing(READ));
    let fresh = read().fresh_within(TimeDelta::seconds(9_999));
    for closed in [lending(&[READ]), read().own_hand(), fresh] {
        given().when(gated(closed)).then_refused_for(GateError::ActsForAnother);
    }
    // Neither kind of session is good as the other, whatever a token says.
    let own = Bearer::Delegated { session: SESSION, user: ADA, granted: Granted::All };
    given().when(gated(Gate::new(own, table()).asking(READ))).then_refused_for(GateError::SessionEnded);
    let lent_as_own = Bearer::Session { session, user: ADA };
    given().when(gated(Gate::new(lent_as_own, table()))).then_refused_for(GateError::SessionEnded);
    // With the service it ends, and with the person's.
    let suspend = SuspendProgram { service_id: TILL, because: Word::of("abuse") };
    given().having(suspend).when(gated(read())).then_refused_for(GateError::SessionEnded);
    let end = EndSessions { user_id: ADA, except: None, because: Word::of("asked"), by: ADA.actor() };
    given().having(end).when(gated(read())).then_refused_for(GateError::SessionEnded);
}

#[test]
fn what_a_service_has_of_a_person_ends_when_they_take_back_what_they_allowed_and_does_not_come_back() {
    let allow = || GrantConsent { user_id: ADA, service_id: TILL, scopes: vec![Scope::of(READ)] };
    let revoke = || RevokeConsent { user_id: ADA, service_id: TILL };
    let lent = |number| StartSession { session_id: SessionId::new(Uuid::from_u128(number)), ..of_till() };
    let reads = |number| {
        let session = SessionId::new(Uuid::from_u128(number));
        let granted = Granted::only([READ]);
        gated(Gate::new(Bearer::Delegated { session, user: ADA, granted }, table()).asking(READ))
    };
    let two = || ada().having(till()).having(allow()).having(lent(55)).having(lent(56));
    two().when(reads(55)).then_succeeds();
    for number in [55, 56] {
        two().having(revoke()).when(reads(number)).then_refused_for(GateError::SessionEnded);
        let again = two().having(revoke()).having(allow());
        again.when(reads(number)).then_refused_for(GateError::SessionEnded);
    }
    let again = || two().having(revoke()).having(allow()).having(lent(57));
    again().when(reads(57)).then_succeeds();
    again().having(revoke()).when(reads(57)).then_refused_for(GateError::SessionEnded);
    // What they do in their own session, and what the service does for itself, is not touched.
    let own = Gate::new(Bearer::Session { session: SESSION, user: ADA }, table()).asking(READ);
    two().having(revoke()).when(gated(own)).then_succeeds();
    let itself = Gate::new(itself(Granted::All), table()).asking(READ);
    two().having(secret()).having(revoke()).when(gated(itself)).then_succeeds();
}

#[test]
fn a_program_is_nobodys_own_hand() {
    let given = || ada().having(key(KeyOwner::User(ADA), &[READ]));
    given().when(gated(with_key().own_hand())).then_refused_for(GateError::ActsForAnother);
    let fresh = with_key().fresh_within(TimeDelta::seconds(9_999));
    given().when(gated(fresh)).then_refused_for(GateError::StepUpRequired { within_s: 9_999 });
}

#[test]
fn a_look_at_a_program_says_what_the_gate_says() {
    let world = ada().having(till()).having(secret()).having(key(KeyOwner::User(ADA), &[READ, POST])).world();
    let look = |bearer: Bearer| bearer.look(&View::new(TENANT, at(20), &world), &table()).unwrap();
    let admission = look(Bearer::ApiKey { key: KEY });
    assert_eq!((admission.granted, admission.until), (Granted::only([READ]), Some(at(500))));
    let service = look(itself(Granted::All));
    assert_eq!((service.granted, service.session), (Granted::only([READ]), None));
}

#[test]
fn nobody_gives_away_what_they_lack() {
    let giving = |by, names: &[&'static str]| {
        let given = Granted::only(names.iter().copied());
        Granting::new(by, table(), given, Box::new(key(KeyOwner::User(ADA), &[READ, POST])))
    };
    let refused = OrganisationError::GrantsTooMuch { permission: POST.to_owned() };
    ada().when(giving(Granter::Member(ADA), &[READ, POST])).then_refused_for(refused);
    ada().when(giving(Granter::Member(ADA), &[READ])).then_succeeds();
    ada().when(giving(Granter::Platform, &[READ, POST])).then_succeeds();
}

#[test]
fn nobody_makes_themselves_a_service_that_may_more_than_they() {
    let being = |by| {
        let add =
            AddSecret { service_id: TILL, secret_id: SecretId::new(Uuid::from_u128(9)), expires_at: None };
        Granting::being(by, table(), TILL, Box::new(add))
    };
    let with = |scopes: &[&'static str]| {
        let scopes = scopes.iter().map(|it| Scope::of(it)).collect();
        ada().having(RegisterService { scopes, ..till() })
    };
    let may_post = || with(&["reports:read", READ, POST]);
    let refused = OrganisationError::GrantsTooMuch { permission: POST.to_owned() };
    may_post().when(being(Granter::Member(ADA))).then_refused_for(refused);
    may_post().when(being(Granter::Platform)).then_succeeds();
    with(&["reports:read", READ]).when(being(Granter::Member(ADA))).then_succeeds();
}
