use std::collections::BTreeSet;

use event_schemas::catalog;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::given::{ACTOR, Log, TENANT, at};

const ADA: Uuid = Uuid::from_u128(0xada);
const BOB: Uuid = Uuid::from_u128(0xb0b);

#[test]
fn an_event_of_several_persons_is_told_once() {
    let roster = json!({ "owners": [BOB], "members": 2, "invited": 0, "roles": [] });
    let given = json!({
        "tenant_id": TENANT, "from": ADA, "from_roles": ["admin"], "to": BOB, "to_roles": ["owner"], "roster": roster,
        "at": at(1)
    });
    let ended = json!({ "user_id": ADA, "generation": 1, "because": "asked", "by": ADA, "at": at(2) });
    let log = Log::default()
        .and("organisation.ownership-transferred", given)
        .and("identity.sessions-ended", ended)
        .and("identity.user-language-changed", json!({ "user_id": ADA, "language": "de", "at": at(3) }));
    let rows = log.fold::<SecurityFeed>(&[]).unwrap();
    assert_eq!(rows, log.fold::<SecurityFeed>(&[1]).unwrap(), "wherever pages end");
    let told: Vec<_> = rows.iter().map(|it| (it.kind.as_str(), it.user_id, it.other_user_id)).collect();
    assert_eq!(
        told,
        [
            ("organisation.ownership-transferred", Some(ADA), Some(BOB)),
            ("identity.sessions-ended", Some(ADA), None)
        ]
    );
    let last = &rows[1];
    assert_eq!((last.because.as_deref(), last.actor, last.at), (Some("asked"), Some(ACTOR), at(2)));
    assert_eq!(last.subject, format!("identity.user/{ADA}"));
}

/// Whoever adds a category for people or programs decides here whether it matters.
#[test]
fn every_category_of_people_and_programs_is_watched_or_left_out_on_purpose() {
    let left_out = BTreeSet::from([
        // The platform's own books and counters of others.
        "organisation.tenant",
        "organisation.roster",
        "application.inventory",
        "platform.signing-key",
        "platform.permissions",
    ]);
    let watched: BTreeSet<&str> = WATCHED.iter().map(|it| it.name).collect();
    for category in catalog::AGGREGATES.iter().map(|it| it.category.name) {
        let context = category.split_once('.').unwrap().0;
        if !["ledger", "audit"].contains(&context) {
            assert!(watched.contains(category) != left_out.contains(category), "{category}");
        }
    }
}
