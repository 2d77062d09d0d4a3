//! Access tokens are issued once, to somebody, for something, for a time.

use super::*;
use crate::spec::given_nothing;

const ID: TokenId = TokenId::new(Uuid::from_u128(1));

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn mint(roles: &[Role], expires_at: i64) -> MintAccessToken {
    let subject = ActorId::new(Uuid::from_u128(9));
    MintAccessToken { token_id: ID, subject, roles: roles.to_vec(), expires_at: at(expires_at) }
}

#[test]
fn a_token_carries_each_role_once() {
    let expected = IdentityEvent::AccessTokenMinted(AccessTokenMinted {
        token_id: ID,
        subject: ActorId::new(Uuid::from_u128(9)),
        roles: vec![Role::Owner, Role::Member],
        expires_at: at(20),
        at: at(10),
    });
    let json = serde_json::to_value(&expected).unwrap();
    assert_eq!(
        (json["event"].as_str(), &json["payload"]["roles"][1]),
        (Some(expected.name()), &"member".into())
    );
    given_nothing().at(at(10)).when(mint(&[Role::Member, Role::Owner, Role::Member], 20)).then([expected]);
}

#[test]
fn a_token_without_a_role_is_refused() {
    given_nothing().at(at(10)).when(mint(&[], 5)).then_refused_for(AccessTokenError::RolesEmpty);
}

#[test]
fn a_token_that_is_dead_at_birth_is_refused() {
    given_nothing()
        .at(at(10))
        .when(mint(&[Role::Owner], 10))
        .then_refused_for(AccessTokenError::ExpiryInPast);
}

#[test]
fn an_identifier_is_used_once() {
    given_nothing()
        .at(at(10))
        .having(mint(&[Role::Owner], 20))
        .when(mint(&[Role::Owner], 20))
        .then_refused_for(AccessTokenError::Exists);
}

fn revoke() -> RevokeAccessToken {
    RevokeAccessToken { token_id: ID, by: ActorId::new(Uuid::from_u128(9)) }
}

#[test]
fn a_token_that_was_never_issued_cannot_be_revoked() {
    given_nothing().when(revoke()).then_refused_for(IdentityError::TokenNotFound);
}

#[test]
fn a_token_is_revoked_once() {
    let (_, world) = given_nothing().having(mint(&[Role::Owner], 20)).when(revoke()).then_accepted();
    assert!(matches!(world.state::<AccessToken>(ID.uuid()), AccessToken::Revoked { .. }));
    given_nothing().having(mint(&[Role::Owner], 20)).having(revoke()).when(revoke()).then_already();
}

#[test]
fn a_revoked_token_is_not_issued_again() {
    given_nothing()
        .having(mint(&[Role::Owner], 20))
        .having(revoke())
        .when(mint(&[Role::Owner], 20))
        .then_refused_for(AccessTokenError::Exists);
}
