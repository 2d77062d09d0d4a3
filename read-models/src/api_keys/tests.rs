use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::given::{ACTOR, Log, TENANT, at};

const KEY: Uuid = Uuid::from_u128(0xa1);
const OWNER: Uuid = Uuid::from_u128(0xa2);

fn issued(owner: Value) -> Log {
    let payload = json!({
        "tenant_id": TENANT, "key_id": KEY, "owner": owner, "name": "Nightly", "permissions": ["ledger.read-journal"],
        "inventory": { "services": 0, "api_keys": 1 }, "at": at(1)
    });
    Log::default().and("application.api-key-issued", payload)
}

#[test]
fn a_key_acts_for_its_owner_until_it_is_revoked() {
    for (owner, kind) in [(json!({ "user": OWNER }), "user"), (json!({ "service": OWNER }), "service")] {
        let log = issued(owner);
        let live = log.fold::<ApiKeys>(&[]).unwrap()[&(TENANT, KEY)].clone();
        assert_eq!((live.status.as_str(), live.owner_kind.as_str(), live.owner_id), ("live", kind, OWNER));
        assert_eq!((live.permissions.0, live.expires_at), (vec!["ledger.read-journal".to_owned()], None));
        let inventory = json!({ "services": 0, "api_keys": 0 });
        let log = log.and(
            "application.api-key-revoked",
            json!({ "tenant_id": TENANT, "key_id": KEY, "by": ACTOR, "inventory": inventory, "at": at(2) }),
        );
        let rows = log.fold::<ApiKeys>(&[]).unwrap();
        assert_eq!(rows, log.fold::<ApiKeys>(&[1]).unwrap(), "wherever pages end");
        let revoked = rows[&(TENANT, KEY)].clone();
        assert_eq!(
            (revoked.status.as_str(), revoked.revoked_at, revoked.revoked_by, revoked.version),
            ("revoked", Some(at(2)), Some(ACTOR), 2)
        );
    }
}
