//! What may be set of a provider, refusal by refusal.

use super::*;
use crate::ids::SecretId;
use crate::spec::given_nothing;

pub(crate) const PROVIDER: ProviderId = ProviderId::new(Uuid::from_u128(0x90));
const OTHER: ProviderId = ProviderId::new(Uuid::from_u128(0x91));

fn settings(name: &str) -> ProviderSettings {
    ProviderSettings {
        name: Word::parse(name).unwrap(),
        title: Label::parse("The company").unwrap(),
        kind: OIDC,
        issuer: Issuer::parse("https://login.example.com/a").unwrap(),
        client_id: Label::parse("quipu").unwrap(),
        incomplete: false,
        scopes: vec![Scope::of("openid"), Scope::of("email")],
        trusted_domains: vec![DomainName::of("example.com")],
        trusts_every_domain: false,
        keeps_tokens: false,
        return_uris: vec![ReturnUri::parse("https://app.example.com/back").unwrap()],
        secret_id: Some(SecretId::new(Uuid::from_u128(5))),
    }
}

pub(crate) fn configure(name: &str) -> ConfigureProvider {
    ConfigureProvider { provider_id: PROVIDER, settings: settings(name), secret: SecretChange::Set }
}

fn with(change: impl FnOnce(&mut ProviderSettings)) -> ConfigureProvider {
    let mut command = configure("corp");
    change(&mut command.settings);
    command
}

fn configured(settings: ProviderSettings) -> FederationEvent {
    let at = DateTime::UNIX_EPOCH;
    FederationEvent::ProviderConfigured(ProviderConfigured { provider_id: PROVIDER, settings, at })
}

#[test]
fn a_provider_is_set_up_under_its_name() {
    given_nothing().when(configure("corp")).then([configured(settings("corp"))]);
    let world = given_nothing().having(configure("corp")).world();
    assert_eq!(world.claimed(NAME_SCOPE), ["corp"]);
}

#[test]
fn a_kind_that_nobody_knows_is_refused_first() {
    let reserved = |it: &mut ProviderSettings| it.name = Word::of("login");
    given_nothing()
        .when(with(|it| {
            reserved(it);
            it.kind = Word::of("facebook");
        }))
        .then_refused_for(FederationError::KindUnknown { kind: Word::of("facebook") });
}

#[test]
fn a_name_that_means_something_else_is_refused() {
    for name in RESERVED {
        let name = Word::parse(name).unwrap();
        given_nothing()
            .when(with(|it| it.name = name.clone()))
            .then_refused_for(FederationError::NameReserved { name: name.clone() });
    }
}

#[test]
fn so_many_scopes_and_domains_and_no_more() {
    let scopes = |count| with(|it| it.scopes = vec![Scope::of("a"); count]);
    let _ = given_nothing().when(scopes(SCOPES_MAX)).then_accepted();
    given_nothing()
        .when(scopes(SCOPES_MAX + 1))
        .then_refused_for(FederationError::TooManyScopes { max: SCOPES_MAX });
    let domains = |count| with(|it| it.trusted_domains = vec![DomainName::of("example.com"); count]);
    let _ = given_nothing().when(domains(DOMAINS_MAX)).then_accepted();
    given_nothing()
        .when(domains(DOMAINS_MAX + 1))
        .then_refused_for(FederationError::TooManyDomains { max: DOMAINS_MAX });
    let back = ReturnUri::parse("https://app.example.com/").unwrap();
    let returns = |count| with(|it| it.return_uris = vec![back.clone(); count]);
    let _ = given_nothing().when(returns(RETURN_URIS_MAX)).then_accepted();
    given_nothing()
        .when(returns(RETURN_URIS_MAX + 1))
        .then_refused_for(FederationError::TooManyReturnUris { max: RETURN_URIS_MAX });
}

#[test]
fn a_removed_provider_does_not_come_back() {
    given_nothing()
        .having(configure("corp"))
        .having(RemoveProvider { provider_id: PROVIDER })
        .when(configure("corp"))
        .then_refused_for(FederationError::ProviderGone);
}

#[test]
fn nobody_else_vouches_for_the_people_who_are_linked() {
    let issuer = Issuer::parse("https://login.example.com/b").unwrap();
    for changed in [with(|it| it.issuer = issuer), with(|it| it.kind = GOOGLE)] {
        given_nothing()
            .having(configure("corp"))
            .when(changed)
            .then_refused_for(FederationError::ProviderFixed);
    }
}

#[test]
fn a_name_is_of_one_provider_and_free_again_when_it_is_given_up() {
    let other = ConfigureProvider { provider_id: OTHER, ..configure("corp") };
    let taken = FederationError::NameTaken { name: Word::of("corp") };
    given_nothing().having(configure("corp")).when(other.clone()).then_refused_for(taken);
    let renamed = given_nothing().having(configure("corp")).having(with(|it| it.name = Word::of("firm")));
    let _ = renamed.when(other.clone()).then_accepted();
    let removed = given_nothing().having(configure("corp")).having(RemoveProvider { provider_id: PROVIDER });
    let _ = removed.when(other).then_accepted();
}

#[test]
fn a_change_is_told_whole_and_none_is_none() {
    let changed = with(|it| it.trusts_every_domain = true);
    given_nothing().having(configure("corp")).when(changed.clone()).then([configured(changed.settings)]);
    given_nothing().having(configure("corp")).when(configure("corp")).then_already();
}

#[test]
fn a_secret_stays_unless_it_is_set() {
    let of = |secret_id, secret| ConfigureProvider { secret, ..with(|it| it.secret_id = secret_id) };
    let (old, new) = (settings("corp").secret_id, Some(SecretId::new(Uuid::from_u128(6))));
    given_nothing().having(configure("corp")).when(of(new, SecretChange::Keep)).then_already();
    for secret_id in [None, new] {
        let expected = of(secret_id, SecretChange::Set);
        given_nothing()
            .having(configure("corp"))
            .when(expected.clone())
            .then([configured(expected.settings)]);
    }
    let first = with(|it| it.secret_id = None).settings;
    given_nothing().when(of(old, SecretChange::Keep)).then([configured(first)]);
}

#[test]
fn what_is_not_there_cannot_be_removed_and_once_is_enough() {
    let remove = RemoveProvider { provider_id: PROVIDER };
    let missing = FederationError::ProviderNotFound { provider_id: PROVIDER };
    given_nothing().when(remove.clone()).then_refused_for(missing);
    given_nothing().having(configure("corp")).having(remove.clone()).when(remove).then_already();
}

#[test]
fn the_newest_event_tells_all() {
    let removed =
        FederationEvent::ProviderRemoved(ProviderRemoved { provider_id: PROVIDER, at: DateTime::UNIX_EPOCH });
    let mut folded = Provider::default();
    for event in [configured(settings("corp")), configured(settings("firm")), removed] {
        let event = Event::from(event);
        folded.evolve(PROVIDER.uuid(), &event);
        assert_eq!(Provider::restore(PROVIDER.uuid(), &event), Some(folded.clone()));
    }
}

#[test]
fn a_domain_is_trusted_to_the_letter() {
    let it = settings("corp");
    assert!(it.trusts("example.com"));
    for other in ["", "a.example.com", "xample.com", "example.com.", "example.org", "EXAMPLE.com"] {
        assert!(!it.trusts(other), "{other}");
    }
    assert!(ProviderSettings { trusts_every_domain: true, ..it }.trusts("anything"));
}
