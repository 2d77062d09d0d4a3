use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::given::{Log, TENANT, at};

const SERVICE: Uuid = Uuid::from_u128(0x5a);
const SECRET: Uuid = Uuid::from_u128(0x5b);
const NEXT: Uuid = Uuid::from_u128(0x5c);

fn registered() -> Log {
    let payload = json!({
        "tenant_id": TENANT, "service_id": SERVICE, "name": "Till", "confidential": true,
        "redirect_uris": ["https://till.example/back"], "grants": ["authorization-code"], "scopes": ["openid"],
        "inventory": { "services": 1, "api_keys": 0 }, "at": at(1)
    });
    Log::default().and("application.service-registered", payload)
}

fn row(log: &Log) -> ServiceRow {
    let rows = log.fold::<Services>(&[]).unwrap();
    assert_eq!(rows, log.fold::<Services>(&[1]).unwrap(), "wherever pages end");
    rows[&(TENANT, SERVICE)].clone()
}

fn added(log: Log, secret: Uuid) -> Log {
    let payload = json!({ "service_id": SERVICE, "secret_id": secret, "expires_at": at(50), "at": at(2) });
    log.and("application.secret-added", payload)
}

#[test]
fn a_service_is_what_was_said_of_it_last() {
    let log = registered();
    assert_eq!(row(&log).limits, None);
    let log = log.and(
        "application.service-renamed",
        json!({ "service_id": SERVICE, "before": "Till", "name": "Tills", "at": at(2) }),
    );
    let uris =
        json!({ "service_id": SERVICE, "before": [], "redirect_uris": ["https://b.example/"], "at": at(3) });
    let log = log.and("application.redirect-uris-changed", uris);
    let limits = json!({ "per_second": 5, "burst": 9 });
    let log = log
        .and("application.service-limited", json!({ "service_id": SERVICE, "limits": limits, "at": at(4) }));
    let changed = row(&log);
    assert_eq!(
        (changed.name.as_str(), changed.redirect_uris.0),
        ("Tills", vec!["https://b.example/".to_owned()])
    );
    assert_eq!(changed.limits, Some(Json(LimitsOfService { per_second: 5, burst: 9 })));

    let log = log.and(
        "application.service-suspended",
        json!({ "service_id": SERVICE, "because": "leaked", "at": at(5) }),
    );
    let suspended = row(&log);
    assert_eq!((suspended.status.as_str(), suspended.because.as_deref()), ("suspended", Some("leaked")));
    let log = log.and("application.service-resumed", json!({ "service_id": SERVICE, "at": at(6) }));
    let resumed = row(&log);
    assert_eq!((resumed.status.as_str(), resumed.because, resumed.version), ("active", None, 6));
    let unlimited = log.and("application.service-unlimited", json!({ "service_id": SERVICE, "at": at(7) }));
    assert_eq!(row(&unlimited).limits, None);
}

#[test]
fn secrets_that_are_removed_are_not_among_those_that_are_good() {
    let log = added(added(registered(), SECRET), NEXT);
    let log = log.and(
        "application.secret-removed",
        json!({ "service_id": SERVICE, "secret_id": SECRET, "because": "asked", "at": at(3) }),
    );
    let good = SecretOfService { secret_id: NEXT, added_at: at(2), expires_at: Some(at(50)) };
    assert_eq!(row(&log).secrets.0, [good]);
    let inventory = json!({ "services": 0, "api_keys": 0 });
    let removed = json!({ "tenant_id": TENANT, "service_id": SERVICE, "inventory": inventory, "at": at(4) });
    let gone = row(&log.and("application.service-removed", removed));
    assert_eq!((gone.status.as_str(), gone.secrets.0.len()), ("removed", 0));
}
