use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::given::{Log, TENANT, at, sealed};

const INVITATION: Uuid = Uuid::from_u128(0x1a);
const INVITER: Uuid = Uuid::from_u128(0x1b);
const GUEST: Uuid = Uuid::from_u128(0x1c);

fn roster(invited: u32) -> Value {
    json!({ "owners": [INVITER], "members": 1, "invited": invited, "roles": [] })
}

fn sent() -> Log {
    let payload = json!({
        "tenant_id": TENANT, "invitation_id": INVITATION, "email": sealed(INVITATION), "roles": ["user"],
        "inviter": INVITER, "expires_at": at(100), "roster": roster(1), "at": at(1)
    });
    Log::default().and("organisation.invitation-sent", payload)
}

fn closed(log: Log, event_type: &str) -> Log {
    let payload = json!({
        "tenant_id": TENANT, "invitation_id": INVITATION, "user_id": GUEST, "roster": roster(0), "at": at(3)
    });
    log.and(event_type, payload)
}

fn row(log: &Log) -> InvitationRow {
    let rows = log.fold::<Invitations>(&[]).unwrap();
    assert_eq!(rows, log.fold::<Invitations>(&[1]).unwrap(), "wherever pages end");
    rows[&(TENANT, INVITATION)].clone()
}

#[test]
fn an_invitation_waits_until_somebody_answers_it() {
    let pending = row(&sent());
    assert_eq!((pending.status.as_str(), pending.sendings, pending.closed_at), ("pending", 1, None));
    assert_eq!((pending.inviter, pending.roles.0), (Some(INVITER), vec!["user".to_owned()]));
    assert_eq!(
        pending.email.unwrap().0.subject(),
        Some(INVITATION),
        "it stays sealed, and is the invitation's own"
    );

    let resent = json!({ "invitation_id": INVITATION, "sendings": 2, "expires_at": at(200), "at": at(2) });
    let again = sent().and("organisation.invitation-resent", resent);
    let pending = row(&again);
    assert_eq!((pending.sendings, pending.expires_at, pending.version), (2, at(200), 2));

    for (event_type, status, user) in [
        ("organisation.invitation-accepted", "accepted", Some(GUEST)),
        ("organisation.invitation-declined", "declined", None),
        ("organisation.invitation-revoked", "revoked", None),
        ("organisation.invitation-expired", "expired", None),
    ] {
        let over = row(&closed(sent(), event_type));
        assert_eq!((over.status.as_str(), over.closed_at, over.user_id), (status, Some(at(3)), user));
        assert_eq!((over.version, over.first_position, over.position), (2, 1, 2));
    }
}

#[test]
fn what_was_never_sent_cannot_be_answered() {
    let log = closed(Log::default(), "organisation.invitation-revoked");
    assert!(matches!(log.fold::<Invitations>(&[]), Err(ProjectionError::Poisoned { position: 1, .. })));
}
