//! The shop lets people sign in with the company that runs their mail, and later does no more.

use domain::federation::provider::OIDC;
use domain::federation::{
    ConfigureProvider, IdentityHash, Issuer, LinkIdentity, ProviderSettings, RemoveProvider, ReturnUri,
    SecretChange, UnlinkIdentity,
};
use domain::ids::{LinkId, ProviderId, SecretId};
use domain::private::Private;
use domain::words::{DomainName, Scope, Word};

use super::organisation::OLGA;
use super::{Teller, Told, id, label};

pub(super) fn tell(shop: &mut Teller) -> Told<()> {
    let (provider_id, link_id) = (ProviderId::new(id(0x301)), LinkId::new(id(0x311)));
    let settings = ProviderSettings {
        name: Word::of("corp"),
        title: label("The company")?,
        kind: OIDC,
        issuer: Issuer::parse("https://login.corner-shop.example/realms/shop")?,
        client_id: label("quipu")?,
        incomplete: false,
        scopes: vec![Scope::of("openid"), Scope::of("email"), Scope::of("profile")],
        trusted_domains: vec![DomainName::of("corner-shop.example")],
        trusts_every_domain: false,
        keeps_tokens: false,
        return_uris: vec![ReturnUri::parse("https://corner-shop.example/signed-in")?],
        secret_id: Some(SecretId::new(id(0x321))),
    };
    shop.tells(ConfigureProvider { provider_id, settings, secret: SecretChange::Set })?;
    let identity = IdentityHash::new([7; 32]);
    let label = Some(Private::new(OLGA.uuid(), "olga@corner-shop.example"));
    shop.tells(LinkIdentity { link_id, user_id: OLGA, provider_id, identity, label })?;
    shop.tells(UnlinkIdentity { link_id, of: OLGA, identity })?;
    shop.tells(RemoveProvider { provider_id })
}
