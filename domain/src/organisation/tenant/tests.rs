//! Tenants come to be once, under a slug of their own.

mod approval;

use super::*;
use crate::spec::{given, given_nothing};

const ID: TenantId = TenantId::new(Uuid::from_u128(1));

fn create(id: TenantId, slug: &str) -> CreateTenant {
    CreateTenant { tenant_id: id, slug: Slug::parse(slug).unwrap(), name: Label::parse("Acme").unwrap() }
}

fn created(slug: &str) -> OrganisationEvent {
    let CreateTenant { tenant_id, slug, name } = create(ID, slug);
    OrganisationEvent::TenantCreated(TenantCreated { tenant_id, slug, name, at: DateTime::UNIX_EPOCH })
}

#[test]
fn a_tenant_is_created_once() {
    given_nothing().when(create(ID, "acme")).then([created("acme")]);
}

#[test]
fn the_same_again_is_already_so() {
    given([created("acme")]).when(create(ID, "acme")).then_already();
}

#[test]
fn the_same_id_with_another_slug_is_refused() {
    given([created("acme")]).when(create(ID, "acme-2")).then_refused_for(TenantError::Exists);
}

#[test]
fn a_slug_belongs_to_one_tenant() {
    let slug = Slug::parse("acme").unwrap();
    given_nothing()
        .having(create(ID, "acme"))
        .when(create(TenantId::new(Uuid::from_u128(2)), "acme"))
        .then_refused_for(TenantError::SlugTaken { slug });
}

#[test]
fn slugs_are_words_joined_by_single_dashes() {
    for text in ["abc", "a-b-c", "123", &"a".repeat(40)] {
        assert!(Slug::parse(text).is_ok(), "{text}");
    }
    for text in ["", "ab", "-abc", "abc-", "a--b", "Abc", "a_b", "a.b", "äbc", &"a".repeat(41)] {
        assert!(Slug::parse(text).is_err(), "{text}");
    }
    let error = serde_json::from_str::<Slug>(r#""A""#).unwrap_err().to_string();
    assert!(error.starts_with("[organisation.slug-malformed] "), "{error}");
    assert_eq!(PARSE_CODES, [(SlugMalformed.code(), SlugMalformed.kind())]);
}

#[test]
fn the_event_is_stored_under_its_name() {
    let json = serde_json::to_value(Event::from(created("acme"))).unwrap();
    assert_eq!(json["event"], created("acme").name());
    assert_eq!(json["payload"]["slug"], "acme");
    assert_eq!(serde_json::from_value::<OrganisationEvent>(json).unwrap(), created("acme"));
}
