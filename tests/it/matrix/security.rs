//! What is read of people, of what they may do, of programs, and of what happened to their security.

use domain::application::KeyOwner;
use domain::ids::{ApiKeyId, InvitationId, ServiceId, UserId};
use reqwest::Method;
use tests::members::Members;
use tests::programs::{api_key, invitation, service};
use uuid::Uuid;

use super::{Api, Needs, Row, filled};

/// An invitation of the books of the matrix.
pub(crate) const INVITATION: u128 = 0x71;
/// A service of theirs.
pub(crate) const SERVICE: u128 = 0x72;
/// A key of theirs.
pub(crate) const API_KEY: u128 = 0x73;

pub(super) fn rows() -> Vec<Row> {
    let permission = Needs::Permission;
    let reads = [
        ("/v1/users/{user_id}/activity", permission("identity.read-users")),
        ("/v1/users/{user_id}/permissions", permission("identity.read-users")),
        ("/v1/auth/permissions", Needs::About("identity.read-users")),
        ("/v1/permissions/{permission}/holders", permission("organisation.read-members")),
        ("/v1/sign-ins", permission("identity.read-sign-ins")),
        ("/v1/sign-ins/by-day", permission("identity.read-sign-ins")),
        ("/v1/security-feed", permission("identity.read-sign-ins")),
        ("/v1/security-feed/stream", permission("identity.read-sign-ins")),
        ("/v1/auth/security-feed", Needs::About("identity.read-sign-ins")),
        ("/v1/invitations", permission("organisation.read-invitations")),
        ("/v1/invitations/{invitation_id}", permission("organisation.read-invitations")),
        ("/v1/services", permission("application.read-services")),
        ("/v1/services/{service_id}", permission("application.read-services")),
        ("/v1/api-keys", permission("application.read-api-keys")),
        ("/v1/api-keys/{key_id}", permission("application.read-api-keys")),
    ];
    let read = |(template, needs): (&'static str, Needs)| Row {
        api: Api::Queries,
        method: Method::GET,
        template,
        path: path(template),
        body: None,
        needs,
        // Of what belongs to nobody, nothing was done; and permissions are the product's own.
        names_a_thing: template.contains('{')
            && !template.ends_with("/activity")
            && !template.ends_with("/holders"),
    };
    reads.map(read).into()
}

fn path(template: &str) -> String {
    filled(template)
        .replace("{permission}", "ledger.post-transfer")
        .replace("{invitation_id}", &Uuid::from_u128(INVITATION).to_string())
        .replace("{service_id}", &Uuid::from_u128(SERVICE).to_string())
        .replace("{key_id}", &Uuid::from_u128(API_KEY).to_string())
}

/// Makes the things that the paths name. The key acts for a person.
pub(super) async fn furnish(members: &Members<'_>, person: UserId) -> anyhow::Result<String> {
    let invitation_id = InvitationId::new(Uuid::from_u128(INVITATION));
    members.done(invitation(members.tenant(), invitation_id)).await?;
    members.done(service(ServiceId::new(Uuid::from_u128(SERVICE)))?).await?;
    let key = api_key(ApiKeyId::new(Uuid::from_u128(API_KEY)), KeyOwner::User(person))?;
    Ok(members.done(key).await?.position.to_string())
}
