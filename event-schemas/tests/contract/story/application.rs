//! The programs of the shop.

use chrono::TimeDelta;
use domain::application::{
    AddSecret, ApproveDevice, ChangeService, DenyDevice, GrantConsent, IssueApiKey, KeyOwner, LimitService,
    RedeemDevice, RedirectUri, RegisterService, RemoveSecret, RemoveService, ResumeService, RevokeApiKey,
    RevokeConsent, ServiceLimits, SuspendService, UnlimitService,
};
use domain::identity::EndSession;
use domain::ids::{ApiKeyId, GrantId, SecretId, ServiceId, SessionId};
use domain::lending::EndByHand;
use domain::sign_in::StartSession;
use domain::words::{Permission, Scope, Word};

use super::identity::register;
use super::organisation::OLGA;
use super::{Teller, Told, id, label};

pub(super) fn tell(shop: &mut Teller) -> Told<()> {
    let service_id = ServiceId::new(id(0xb1));
    let scopes = vec![Scope::of("openid"), Scope::of("ledger.read-accounts")];
    shop.tells(RegisterService {
        service_id,
        name: label("Till")?,
        confidential: true,
        redirect_uris: vec![RedirectUri::parse("https://till.corner-shop.example/back")?],
        grants: vec![Word::of("authorization-code"), Word::of("client-credentials")],
        scopes: scopes.clone(),
        limits: Some(ServiceLimits { per_second: 50, burst: 100 }),
    })?;
    let change = ChangeService::of(service_id);
    shop.tells(ChangeService { name: Some(label("Front till")?), ..change.clone() })?;
    shop.tells(ChangeService {
        redirect_uris: Some(vec![RedirectUri::parse("com.example.till:/back")?]),
        grants: Some(["authorization-code", "client-credentials", "device-code"].map(Word::of).to_vec()),
        scopes: Some([scopes.clone(), vec![Scope::of("profile")]].concat()),
        ..change
    })?;
    shop.tells(LimitService { service_id, limits: ServiceLimits { per_second: 10, burst: 20 } })?;
    let secret_id = SecretId::new(id(0xb2));
    let expires_at = Some(shop.now + TimeDelta::days(90));
    shop.tells(AddSecret { service_id, secret_id, expires_at })?;
    shop.tells(RemoveSecret { service_id, secret_id, because: Word::of("leaked") })?;

    shop.tells(GrantConsent { user_id: OLGA, service_id, scopes: scopes.clone() })?;
    shop.tells(RevokeConsent { user_id: OLGA, service_id })?;
    let [first, second] = [0xb3, 0xb4].map(|number| GrantId::new(id(number)));
    shop.tells(ApproveDevice { grant_id: first, service_id, user_id: OLGA, scopes })?;
    shop.tells(RedeemDevice { grant_id: first, service_id, session_id: SessionId::new(id(0xb5)) })?;
    shop.tells(DenyDevice { grant_id: second, service_id, user_id: OLGA })?;

    let key_id = ApiKeyId::new(id(0xb6));
    shop.tells(IssueApiKey {
        key_id,
        owner: KeyOwner::Service(service_id),
        name: label("Nightly export")?,
        permissions: vec![Permission::of("ledger.read-accounts")],
        expires_at,
    })?;
    shop.tells(RevokeApiKey { key_id, of: None, by: OLGA.actor() })?;
    shop.tells(SuspendService { service_id, because: Word::of("abuse") })?;
    shop.tells(ResumeService { service_id })?;
    shop.tells(RemoveService { service_id })
}

/// Olga ends a session of a service by hand.
pub(super) fn tell_of_another(shop: &mut Teller) -> Told<()> {
    let (service_id, session_id) = (ServiceId::new(id(0xb7)), SessionId::new(id(0xb8)));
    let scopes = vec![Scope::of("openid")];
    shop.runs(register(OLGA, 9))?;
    shop.runs(RegisterService {
        service_id,
        name: label("Loyalty cards")?,
        confidential: false,
        redirect_uris: vec![RedirectUri::parse("https://cards.corner-shop.example/back")?],
        grants: vec![Word::of("authorization-code")],
        scopes: scopes.clone(),
        limits: None,
    })?;
    shop.runs(GrantConsent { user_id: OLGA, service_id, scopes })?;
    shop.runs(StartSession {
        session_id,
        user_id: OLGA,
        seen: None,
        verified_by_method: true,
        method: Word::of("authorization-code"),
        amr: vec![Word::of("pwd")],
        auth_time: shop.now,
        expires_at: shop.now + TimeDelta::days(30),
        service_id: Some(service_id),
        device: None,
        impersonation_id: None,
    })?;
    let because = Word::of("asked");
    shop.tells(EndByHand(EndSession { session_id, of: Some(OLGA), because, by: OLGA.actor() }))?;

    shop.runs(LimitService { service_id, limits: ServiceLimits { per_second: 10, burst: 20 } })?;
    shop.tells(UnlimitService { service_id })
}
