//! The people of the shop, and how they sign in.

use chrono::TimeDelta;
use domain::identity::{
    AddPasskey, ConfirmEmailChange, DeactivateUser, ElsewhereHash, EmailHash, EndSession, EnrolTotp,
    ErasePerson, ExpireEmailChange, Half, IssueRecoveryCodes, LinkIdentities, Patch, PersonNames,
    ReactivateUser, RecordSignIn, RegisterUser, RemoveAllFactors, RemoveFactor, ReportPasskeyRegression,
    RequestEmailChange, RevokeAccessToken, SetPassword, SignInFact, SignInFailed, SignInLocked,
    SignInUnlocked, StrengthenSession, UnlinkIdentities, UpdateProfile, UseRecoveryCode, VerifyEmail,
    Withdraw, month_subject,
};
use domain::ids::{FactorId, ImpersonationId, ServiceId, SessionId, TokenId, UserId};
use domain::organisation::{Granter, RoleRef};
use domain::private::Private;
use domain::sign_in::StartSession;
use domain::switching::SwitchAway;
use domain::words::{Language, Word};

use super::organisation::{OLGA, add};
use super::{OPERATOR, SHOP, Teller, Told, id};

const ROSA: UserId = UserId::new(id(0x13));
const SESSION: SessionId = SessionId::new(id(0x31));

fn of(user: UserId, text: &str) -> Private {
    Private::new(user.uuid(), text)
}

pub(super) fn register(user_id: UserId, email: u8) -> RegisterUser {
    RegisterUser {
        user_id,
        email: of(user_id, "somebody@corner-shop.example"),
        email_hash: EmailHash::new([email; 32]),
        names: PersonNames { given: Some(of(user_id, "Rosa")), family: Some(of(user_id, "Diaz")) },
        language: Language::of("en"),
        via: Word::of("form"),
        verified: false,
    }
}

pub(super) fn tell(shop: &mut Teller) -> Told<()> {
    shop.tells(RevokeAccessToken { token_id: TokenId::new(id(0x03)), by: OPERATOR })?;
    shop.tells(register(ROSA, 1))?;
    shop.runs(add(ROSA, RoleRef::USER, Granter::Member(OLGA)))?;
    shop.tells(SetPassword {
        user_id: ROSA,
        because: Word::of("registered"),
        seen: 0,
        withdraw: Withdraw::Nothing,
        by: ROSA.actor(),
    })?;
    shop.tells(VerifyEmail { user_id: ROSA, email_version: 1, via: Word::of("link") })?;
    sessions(shop)?;
    factors(shop)?;
    day(shop)?;
    account(shop)
}

fn factors(shop: &mut Teller) -> Told<()> {
    let [app, key] = [0x91, 0x92].map(|number| FactorId::new(id(number)));
    shop.tells(EnrolTotp { user_id: ROSA, factor_id: app, label: Some(of(ROSA, "My telephone")) })?;
    let label = Some(of(ROSA, "The key at my belt"));
    shop.tells(AddPasskey { user_id: ROSA, factor_id: key, label, vouched: false })?;
    shop.tells(IssueRecoveryCodes { user_id: ROSA, count: 10 })?;
    shop.tells(UseRecoveryCode { user_id: ROSA })?;
    shop.tells(ReportPasskeyRegression { user_id: ROSA, factor_id: key })?;
    shop.tells(RemoveFactor { user_id: ROSA, factor_id: key, because: Word::of("asked") })?;
    shop.tells(RemoveAllFactors { user_id: ROSA, because: Word::of("administrator"), must_have: true })
}

fn day(shop: &mut Teller) -> Told<()> {
    let (at, method) = (shop.now, Word::of("password"));
    let typed = || Some(Private::new(month_subject(SHOP, at.date_naive()), "5f2b"));
    shop.tells(RecordSignIn(SignInFact::Failed(SignInFailed {
        method: method.clone(),
        because: Word::of("credentials"),
        user_id: Some(ROSA),
        identifier: typed(),
        count: 5,
        first_at: at - TimeDelta::seconds(42),
        last_at: at,
    })))?;
    shop.tells(RecordSignIn(SignInFact::Locked(SignInLocked {
        method,
        user_id: Some(ROSA),
        identifier: typed(),
        failures: 5,
        until: at + TimeDelta::minutes(30),
        at,
    })))?;
    let unlocked = SignInUnlocked { user_id: ROSA, by: OLGA.actor(), at: at + TimeDelta::minutes(3) };
    shop.tells(RecordSignIn(SignInFact::Unlocked(unlocked)))
}

fn sessions(shop: &mut Teller) -> Told<()> {
    shop.tells(StartSession {
        session_id: SESSION,
        user_id: ROSA,
        seen: Some(1),
        verified_by_method: false,
        method: Word::of("password"),
        amr: vec![Word::of("pwd")],
        auth_time: shop.now,
        expires_at: shop.now + TimeDelta::days(30),
        service_id: Some(ServiceId::new(id(0x41))),
        device: Some(of(ROSA, "The till at the door")),
        impersonation_id: Some(ImpersonationId::new(id(0x42))),
    })?;
    shop.tells(StrengthenSession {
        session_id: SESSION,
        method: Word::of("totp"),
        amr: vec![Word::of("otp"), Word::of("mfa")],
        auth_time: shop.now,
        seen: None,
    })?;
    let because = Word::of("signed-out");
    shop.tells(EndSession { session_id: SESSION, of: Some(ROSA), because, by: ROSA.actor() })
}

fn account(shop: &mut Teller) -> Told<()> {
    shop.tells(SetPassword {
        user_id: ROSA,
        because: Word::of("change"),
        seen: 1,
        withdraw: Withdraw::Others(SESSION),
        by: ROSA.actor(),
    })?;
    shop.tells(UpdateProfile {
        user_id: ROSA,
        given_name: Some(Patch::Set(of(ROSA, "Rosa"))),
        family_name: Some(Patch::Set(of(ROSA, "Peralta"))),
        phone: Some(Patch::Set(of(ROSA, "+1 718 555 0199"))),
        address: Some(Patch::Set(of(ROSA, "99 Precinct Street"))),
        language: Some(Language::of("es-419")),
    })?;
    let ask = |email: u8, shop: &Teller| RequestEmailChange {
        user_id: ROSA,
        email: of(ROSA, "rosa@corner-shop.example"),
        email_hash: EmailHash::new([email; 32]),
        expires_at: shop.now + TimeDelta::minutes(10),
        replaces: None,
    };
    shop.tells(ask(2, shop))?;
    let gives_up = (1, EmailHash::new([1; 32]));
    let email_hash = EmailHash::new([2; 32]);
    shop.tells(ConfirmEmailChange { user_id: ROSA, email_version: 2, email_hash, gives_up })?;
    shop.runs(ask(3, shop))?;
    shop.now += TimeDelta::hours(1);
    let email_hash = EmailHash::new([3; 32]);
    shop.tells(ExpireEmailChange { user_id: ROSA, email_version: 3, email_hash })?;
    let half = Half { link: id(0x95), elsewhere: ElsewhereHash::new([0x95; 32]) };
    shop.tells(LinkIdentities { user_id: ROSA, half })?;
    // What follows is told of the moments at which it was told before there were links.
    shop.now -= TimeDelta::minutes(2);
    let session_id = SessionId::new(id(0x96));
    shop.runs(StartSession {
        session_id,
        user_id: ROSA,
        seen: None,
        verified_by_method: false,
        method: Word::of("password"),
        amr: vec![Word::of("pwd")],
        auth_time: shop.now,
        expires_at: shop.now + TimeDelta::days(1),
        service_id: None,
        device: None,
        impersonation_id: None,
    })?;
    shop.tells(SwitchAway { session_id, user_id: ROSA, link: half.link })?;
    shop.tells(UnlinkIdentities { user_id: ROSA, halves: vec![half] })?;
    shop.tells(DeactivateUser { user_id: ROSA, because: Word::of("on-leave") })?;
    shop.tells(ReactivateUser { user_id: ROSA })?;
    let email = (2, EmailHash::new([2; 32]));
    shop.tells(ErasePerson { user_id: ROSA, receipt: id(0x51), email, email_pending: None })
}

/// Olga's names change one by one.
pub(super) fn tell_of_halves_of_a_name(shop: &mut Teller) -> Told<()> {
    let change = UpdateProfile {
        user_id: OLGA,
        given_name: Some(Patch::Set(of(OLGA, "Olga"))),
        family_name: None,
        phone: None,
        address: None,
        language: None,
    };
    shop.tells(change.clone())?;
    shop.tells(UpdateProfile {
        given_name: None,
        family_name: Some(Patch::Set(of(OLGA, "Diaz-Peralta"))),
        ..change
    })
}
