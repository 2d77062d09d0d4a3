//! Services are registered under a name of their own, keep two secrets, and send people where they said, to the letter.

use super::super::error::ApplicationError as E;
use super::super::inventory::Inventory;
use super::super::sample::*;
use super::*;
use crate::allowance::tests::booked;
use crate::decision::Decision;
use crate::sample::at;
use crate::spec::{Given, TENANT, World, given_nothing};

fn registered() -> Given {
    given_nothing().having(till())
}

fn other(name: &str) -> RegisterService {
    let service_id = ServiceId::new(Uuid::from_u128(2));
    RegisterService { service_id, name: Label::parse(name).unwrap(), ..till() }
}

fn limit(what: &'static str, max: u32) -> E {
    E::LimitReached { what, max }
}

fn secret(number: u128) -> AddSecret {
    AddSecret { service_id: TILL, secret_id: SecretId::new(Uuid::from_u128(number)), expires_at: None }
}

fn live(world: &World) -> LiveService {
    match world.state::<Service>(TILL.uuid()) {
        Service::Active(service) => service,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn a_service_is_registered_once_and_counted() {
    let (_, world) = given_nothing().when(till()).then_accepted();
    let service = live(&world);
    assert_eq!(service.grants, [Word::of("authorization-code"), Word::of("client-credentials")], "in order");
    assert_eq!(world.state::<Inventory>(TENANT.uuid()), Inventory { services: 1, api_keys: 0 });
    registered().when(till()).then_refused_for(E::ServiceExists);
}

#[test]
fn refusals_come_in_their_order() {
    let uris: Vec<_> = (0..21).map(|it| uri(&format!("https://till.example/{it}"))).collect();
    let words: Vec<_> = ('a'..='k').map(|it| Word::parse(&it.to_string()).unwrap()).collect();
    let many: Vec<_> = (0..101).map(|it| Scope::parse(&format!("s{it}")).unwrap()).collect();
    let refused = |service: RegisterService, error: E| registered().when(service).then_refused_for(error);
    refused(RegisterService { redirect_uris: uris, grants: vec![], ..till() }, limit("redirect_uris", 20));
    refused(RegisterService { grants: words, scopes: many.clone(), ..till() }, limit("grants", 10));
    refused(RegisterService { scopes: many, grants: vec![], ..till() }, limit("scopes", 100));
    refused(RegisterService { grants: vec![], redirect_uris: vec![], ..till() }, E::GrantMissing);
    refused(RegisterService { redirect_uris: vec![], confidential: false, ..till() }, E::RedirectUriMissing);
    refused(RegisterService { confidential: false, ..till() }, E::PublicService);
    refused(till(), E::ServiceExists);
    refused(other("TILL"), E::ServiceNameTaken { name: "TILL".to_owned() });
    registered().when(other("Web shop")).then_succeeds();
}

#[test]
fn there_are_a_hundred_services_at_most_and_a_removed_one_makes_room() {
    let mut given = registered();
    for number in 100..199 {
        let service_id = ServiceId::new(Uuid::from_u128(number));
        given = given.having(RegisterService { service_id, ..other(&number.to_string()) });
    }
    let mut world = given.world();
    assert_eq!(world.submit(&other("One more"), at(0)).unwrap_err(), limit("services", 100).into());
    world.submit(&RemoveService { service_id: TILL }, at(0)).unwrap();
    assert!(world.submit(&other("Till"), at(0)).is_ok(), "its name is free too");
    assert_eq!(world.submit(&till(), at(0)).unwrap_err(), E::ServiceExists.into(), "its identifier is not");
}

#[test]
fn an_organisation_has_as_many_services_as_it_has_booked_and_those_that_are_more_stay() {
    given_nothing().having(booked(0)).when(till()).then_refused_for(limit("services", 0));
    let two = || given_nothing().having(booked(2)).having(till()).having(other("Desk"));
    let third = || RegisterService { service_id: ServiceId::new(Uuid::from_u128(3)), ..other("Third") };
    two().when(third()).then_refused_for(limit("services", 2));
    two().having(booked(3)).when(third()).then_succeeds();
    let (_, world) = two().when(booked(1)).then_accepted();
    assert_eq!(world.state::<Inventory>(TENANT.uuid()).services, 2);
    two().having(booked(1)).when(third()).then_refused_for(limit("services", 1));
}

#[test]
fn nothing_happens_to_a_service_that_is_not_there() {
    let limits = ServiceLimits { per_second: 1, burst: 1 };
    let secret_id = SecretId::new(Uuid::from_u128(1));
    let commands: [Box<dyn Decision>; 8] = [
        Box::new(ChangeService { redirect_uris: Some(vec![]), ..ChangeService::of(TILL) }),
        Box::new(LimitService { service_id: TILL, limits }),
        Box::new(UnlimitService { service_id: TILL }),
        Box::new(SuspendService { service_id: TILL, because: Word::of("abuse") }),
        Box::new(ResumeService { service_id: TILL }),
        Box::new(RemoveService { service_id: TILL }),
        Box::new(secret(1)),
        Box::new(RemoveSecret { service_id: TILL, secret_id, because: Word::of("asked") }),
    ];
    for command in commands {
        let refused = given_nothing().world().submit(&*command, at(0)).unwrap_err();
        assert_eq!(refused, E::ServiceNotFound.into(), "{}", command.name());
    }
}

#[test]
fn a_service_changes_its_name_and_limits() {
    let rename =
        |name: &str| ChangeService { name: Some(Label::parse(name).unwrap()), ..ChangeService::of(TILL) };
    registered().when(rename("Till")).then_already();
    registered()
        .having(other("Desk"))
        .when(rename("desk"))
        .then_refused_for(E::ServiceNameTaken { name: "desk".to_owned() });
    let (_, world) = registered().when(rename("TILL")).then_accepted();
    assert_eq!(world.claimed(SERVICE_NAME_SCOPE), ["till"]);
    let limits = ServiceLimits { per_second: 5, burst: 9 };
    let (_, world) = registered().when(LimitService { service_id: TILL, limits }).then_accepted();
    assert_eq!(live(&world).limits, Some(limits));
    registered()
        .having(LimitService { service_id: TILL, limits })
        .when(LimitService { service_id: TILL, limits })
        .then_already();
    let unlimit = || UnlimitService { service_id: TILL };
    let limited = registered().having(LimitService { service_id: TILL, limits });
    let (_, world) = limited.when(unlimit()).then_accepted();
    assert_eq!(live(&world).limits, None);
    registered().having(unlimit()).when(unlimit()).then_already();
}

#[test]
fn a_service_is_suspended_and_resumed() {
    let suspend = || SuspendService { service_id: TILL, because: Word::of("abuse") };
    let resume = || ResumeService { service_id: TILL };
    registered().when(resume()).then_already();
    registered().having(suspend()).when(suspend()).then_already();
    let (_, world) = registered().having(suspend()).when(resume()).then_accepted();
    assert_eq!(live(&world).name.as_str(), "Till");
    registered().having(suspend()).when(RemoveService { service_id: TILL }).then_succeeds();
    let remove = || RemoveService { service_id: TILL };
    registered().having(remove()).when(remove()).then_already();
}

#[test]
fn two_secrets_are_good_at_once() {
    let public = RegisterService { confidential: false, grants: vec![Word::of("device-code")], ..till() };
    given_nothing().having(public).when(secret(1)).then_refused_for(E::PublicService);
    registered().having(secret(1)).when(secret(1)).then_refused_for(E::SecretExists);
    let two = || registered().having(secret(1)).having(secret(2));
    two().when(secret(3)).then_refused_for(limit("secrets", 2));
    let remove = |number| RemoveSecret {
        service_id: TILL,
        secret_id: SecretId::new(Uuid::from_u128(number)),
        because: Word::of("asked"),
    };
    two().when(remove(3)).then_refused_for(E::SecretNotFound);
    two().having(remove(1)).when(secret(3)).then_succeeds();
}

#[test]
fn a_secret_that_has_expired_takes_no_place_and_is_removed_when_it_would() {
    let until = |number| AddSecret { expires_at: Some(at(50)), ..secret(number) };
    let given = || registered().at(at(10)).having(secret(1)).having(until(2));
    given().at(at(49)).when(secret(3)).then_refused_for(limit("secrets", 2));
    let (verdict, world) = given().at(at(50)).when(secret(3)).then_accepted();
    assert_eq!(verdict.events.len(), 2, "the one that came and the one that went");
    let left: Vec<_> = live(&world).secrets.iter().map(|it| it.secret_id.uuid().as_u128()).collect();
    assert_eq!(left, [1, 3]);
    given().at(at(60)).having(secret(3)).when(secret(4)).then_refused_for(limit("secrets", 2));
}

#[test]
fn a_program_on_the_own_machine_takes_any_port_and_nothing_else_of_its_address() {
    let mut service = live(&given_nothing().when(till()).then_accepted().1).clone();
    let mut sends = |registered: &str, asked: &str| {
        service.redirect_uris = vec![uri(registered)];
        service.sends_to(asked)
    };
    for (registered, asked) in [
        ("http://127.0.0.1:3939/cb", "http://127.0.0.1:51234/cb"),
        ("http://127.0.0.1:3939/cb", "http://127.0.0.1/cb"),
        ("http://127.0.0.1/cb?a=1", "http://127.0.0.1:1/cb?a=1"),
        ("http://[::1]/cb", "http://[::1]:65535/cb"),
        ("http://127.0.0.1", "http://127.0.0.1:80"),
    ] {
        assert!(sends(registered, asked), "{asked}");
    }
    for (registered, asked) in [
        ("http://127.0.0.1:3939/cb", "http://127.0.0.1:51234/other"),
        ("http://127.0.0.1:3939/cb", "http://127.0.0.1:51234/cb?x=1"),
        ("http://127.0.0.1:3939/cb", "http://127.0.0.1:51234@evil.example/cb"),
        ("http://127.0.0.1:3939/cb", "http://127.0.0.1.evil.example:1/cb"),
        ("http://127.0.0.1:3939/cb", "http://127.0.0.1:65536/cb"),
        ("http://127.0.0.1:3939/cb", "http://127.0.0.1:+80/cb"),
        ("http://127.0.0.1:3939/cb", "http://127.0.0.1:/cb"),
        ("http://127.0.0.1:3939/cb", "http://127.0.0.1\\@evil.example/cb"),
        ("http://127.0.0.1:3939/cb", "http://127.0.0.2:3939/cb"),
        ("http://127.0.0.1:3939/cb", "https://127.0.0.1:3939/cb"),
        ("http://127.0.0.1:3939/cb", "http://[::1]:3939/cb"),
        ("http://localhost:3939/cb", "http://localhost:51234/cb"),
        ("https://till.example:8443/cb", "https://till.example:9443/cb"),
    ] {
        assert!(!sends(registered, asked), "{asked}");
    }
}

#[test]
fn pages_of_a_service_are_those_of_the_origins_to_which_it_sends_people() {
    let mut service = live(&given_nothing().when(till()).then_accepted().1).clone();
    let mut is_of = |registered: &str, origin: &str| {
        service.redirect_uris = vec![uri("com.example.app:/cb"), uri(registered)];
        service.has_pages_at(origin)
    };
    for (registered, origin) in [
        ("https://till.example/back", "https://till.example"),
        ("https://till.example", "https://till.example"),
        ("https://Till.example:443?x", "https://till.example"),
        ("https://till.example:8443/", "https://till.example:8443"),
        ("http://localhost:3000/cb", "http://localhost:3000"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:5173"),
    ] {
        assert!(is_of(registered, origin), "{registered} {origin}");
    }
    for (registered, origin) in [
        ("https://till.example/back", "http://till.example"),
        ("https://till.example/back", "https://till.example:8443"),
        ("https://till.example/back", "https://till.example.evil.example"),
        ("https://till.example/back", "https://till.example/back"),
        ("https://till.example/back", "null"),
        ("https://till.example/back", ""),
        ("http://localhost:3000/cb", "http://localhost:3001"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:5173/"),
        ("http://127.0.0.1/cb", "http://[::1]:5173"),
    ] {
        assert!(!is_of(registered, origin), "{registered} {origin}");
    }
}

#[test]
fn whoever_goes_on_when_a_token_is_over_may_ask_to_act_while_the_person_is_away() {
    let mut service = live(&given_nothing().when(till()).then_accepted().1).clone();
    let asked = [Scope::parse(OFFLINE_ACCESS).unwrap()];
    service.grants = vec![Word::of(AUTHORIZATION_CODE)];
    assert!(service.has_scopes(&asked).is_err());
    service.grants.push(Word::of(REFRESH_TOKEN));
    assert_eq!(service.has_scopes(&asked), Ok(()));
}

#[test]
fn redirect_uris_match_to_the_letter() {
    let (_, world) = given_nothing().when(till()).then_accepted();
    let service = live(&world);
    assert!(service.sends_to("https://till.example/back"));
    for text in ["https://till.example/back/", "https://till.example/back?x", "HTTPS://till.example/back", ""]
    {
        assert!(!service.sends_to(text), "{text}");
    }
    let change = |uris: &[&str]| ChangeService {
        redirect_uris: Some(uris.iter().map(|it| uri(it)).collect()),
        ..ChangeService::of(TILL)
    };
    registered().when(change(&[])).then_refused_for(E::RedirectUriMissing);
    registered().when(change(&["https://till.example/back"])).then_already();
    registered().when(change(&["https://till.example/other"])).then_succeeds();
}

#[test]
fn a_registration_changes_as_a_whole_by_the_rules_of_registering() {
    let change = ChangeService::of(TILL);
    let words = |names: &[&'static str]| Some(names.iter().map(|it| Word::of(it)).collect::<Vec<_>>());
    registered().when(change.clone()).then_already();
    let alone = || ChangeService { grants: words(&[CLIENT_CREDENTIALS]), ..change.clone() };
    let nowhere = || ChangeService { redirect_uris: Some(vec![]), ..alone() };
    let (verdict, world) = registered().when(nowhere()).then_accepted();
    assert_eq!(verdict.events.len(), 2, "each list that is another");
    assert_eq!((live(&world).grants.len(), live(&world).redirect_uris.len()), (1, 0));
    let back = ChangeService { grants: words(&[AUTHORIZATION_CODE]), ..change.clone() };
    registered().having(nowhere()).when(back.clone()).then_refused_for(E::RedirectUriMissing);
    let back = ChangeService { redirect_uris: Some(vec![uri("https://till.example/back")]), ..back };
    registered().having(nowhere()).when(back).then_succeeds();
    let none = ChangeService { grants: words(&[]), ..change.clone() };
    registered().when(none).then_refused_for(E::GrantMissing);
    let public = RegisterService { confidential: false, grants: vec![Word::of("device-code")], ..till() };
    given_nothing().having(public).when(alone()).then_refused_for(E::PublicService);
    let named = ChangeService { name: Some(Label::parse("Till").unwrap()), scopes: Some(vec![]), ..change };
    let (verdict, world) = registered().when(named).then_accepted();
    assert_eq!((verdict.events.len(), verdict.claims.len(), live(&world).scopes.len()), (1, 0, 0));
}

#[test]
fn a_redirect_uri_leads_to_where_it_seems_to_lead() {
    for text in [
        "https://a.example",
        "https://a.example:8443/x/y?z=1",
        "http://localhost:3000/cb",
        "http://127.0.0.1/cb",
        "http://[::1]:9/cb",
        "com.example.app:/cb",
        "com.example.app://cb",
    ] {
        assert_eq!(RedirectUri::parse(text).map(|it| it.to_string()), Ok(text.to_owned()));
    }
    let long = format!("https://a.example/{}", "a".repeat(2_000));
    for text in [
        "",
        "https://",
        "https:a.example",
        "//a.example",
        "/cb",
        "http://a.example/cb",
        "http://localhost.a.example/cb",
        "http://localhost:x/cb",
        "http://localhost@a.example/cb",
        "https://till.example@a.example/cb",
        "https://*.example/cb",
        "https://a.example/#f",
        "https://a.example\\@b.example",
        "https://a.example/ x",
        "https://ä.example/",
        "javascript:alert(1)",
        "data:text/html,x",
        "app:/cb",
        "Com.Example:/cb",
        "com.example.app:",
        &long,
    ] {
        assert_eq!(RedirectUri::parse(text), Err(E::UriMalformed), "{text}");
    }
    let error = serde_json::from_str::<RedirectUri>(r#""x""#).unwrap_err().to_string();
    assert!(error.starts_with("[application.redirect-uri-malformed] "), "{error}");
}
