use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::given::{ACTOR, Log, at, sealed};

const USER: Uuid = Uuid::from_u128(0xada);
const SESSION: Uuid = Uuid::from_u128(0x5e);
const MONTH: Uuid = Uuid::from_u128(0x30);

fn log() -> Log {
    let session = json!({
        "session_id": SESSION, "user_id": USER, "method": "password", "amr": ["pwd"], "auth_time": at(1),
        "expires_at": at(900), "generation": 0, "at": at(1)
    });
    let failed = json!({
        "method": "password", "because": "credentials", "user_id": USER, "identifier": sealed(MONTH), "count": 4,
        "first_at": at(2), "last_at": at(3)
    });
    let nobody = json!({ "method": "password", "because": "credentials", "count": 1, "first_at": at(4), "last_at": at(4) });
    let locked =
        json!({ "method": "password", "user_id": USER, "failures": 5, "until": at(30), "at": at(5) });
    let ended =
        json!({ "session_id": SESSION, "user_id": USER, "because": "signed-out", "by": USER, "at": at(6) });
    Log::default()
        .and("identity.session-started", session)
        .and("identity.sign-in-failed", failed)
        .and("identity.sign-in-failed", nobody)
        .and("identity.sign-in-locked", locked)
        .and("identity.session-ended", ended)
}

#[test]
fn each_outcome_is_a_row_and_is_counted_on_its_day() {
    let (rows, days) = log().fold::<SignIns>(&[]).unwrap().parted();
    let told: Vec<_> = rows.iter().map(|it| (it.outcome.as_str(), it.user_id, it.count, it.at)).collect();
    assert_eq!(
        told,
        [
            ("succeeded", Some(USER), 1, at(1)),
            ("failed", Some(USER), 4, at(3)),
            ("failed", None, 1, at(4)),
            ("locked", Some(USER), 5, at(5)),
        ],
        "an end is no sign-in"
    );
    assert_eq!((rows[0].session_id, rows[3].locked_until), (Some(SESSION), Some(at(30))));
    assert_eq!(rows[1].identifier.as_ref().unwrap().0.subject(), Some(MONTH), "it stays sealed");
    assert_eq!(rows[0].origin.as_ref().unwrap().0.subject(), Some(ACTOR));

    let counted: Vec<_> = days.iter().map(|it| (it.outcome.as_str(), it.count, it.position)).collect();
    assert_eq!(counted, [("failed", 5, 3), ("locked", 1, 4), ("succeeded", 1, 1)]);
    assert!(days.iter().all(|it| it.day == at(1).date_naive()));
}

#[test]
fn it_does_not_matter_where_pages_end() {
    let whole = log().fold::<SignIns>(&[]).unwrap().parted();
    for end in 1..=4 {
        assert_eq!(log().fold::<SignIns>(&[end]).unwrap().parted(), whole, "{end}");
    }
}
