use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::given::{Log, TENANT, at};

const USER: Uuid = Uuid::from_u128(0xc1);
const SERVICE: Uuid = Uuid::from_u128(0xc2);

fn row(log: &Log) -> ConsentRow {
    let id = domain::application::consent::id(
        domain::ids::UserId::new(USER),
        domain::ids::ServiceId::new(SERVICE),
    );
    let whole = log.fold::<Consents>(&[]).unwrap();
    for end in [1, 2, 3] {
        assert_eq!(whole, log.fold::<Consents>(&[end]).unwrap(), "wherever pages end");
    }
    whole[&(TENANT, id)].clone()
}

fn granted(scopes: &[&str], generation: u32, position: i64) -> Value {
    json!({ "user_id": USER, "service_id": SERVICE, "scopes": scopes, "generation": generation, "at": at(position) })
}

#[test]
fn what_is_allowed_grows_is_questioned_and_ends() {
    let log = Log::default()
        .and("application.consent-granted", granted(&["openid"], 0, 1))
        .and("application.consent-granted", granted(&["email", "openid"], 0, 2))
        .and("application.consent-questioned", granted(&["email", "openid"], 0, 3));
    let it = row(&log);
    assert_eq!((it.status.as_str(), it.granted_at, it.changed_at), ("questioned", at(1), at(3)));
    assert_eq!((it.scopes.0.len(), it.version, it.revoked_position), (2, 3, None));
    let log = log.and(
        "application.consent-revoked",
        json!({ "user_id": USER, "service_id": SERVICE, "before": ["email", "openid"], "generation": 1, "at": at(4) }),
    );
    let it = row(&log);
    assert_eq!((it.status.as_str(), it.revoked_at, it.revoked_position), ("revoked", Some(at(4)), Some(4)));
    let log = log.and("application.consent-granted", granted(&["openid"], 1, 5));
    let it = row(&log);
    assert_eq!((it.status.as_str(), it.granted_at, it.scopes.0.len()), ("granted", at(5), 1));
    // What was taken back stays so for the sessions of then.
    assert_eq!(it.revoked_position, Some(4));
}
