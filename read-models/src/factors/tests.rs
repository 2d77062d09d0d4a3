use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::given::{Log, TENANT, at, sealed};

const ADA: Uuid = Uuid::from_u128(0xa1);
const TELEPHONE: Uuid = Uuid::from_u128(0xf1);
const LAPTOP: Uuid = Uuid::from_u128(0xf2);
const KEY: Uuid = Uuid::from_u128(0xf3);

fn added(factor: Uuid, position: i64) -> Value {
    json!({ "user_id": ADA, "factor_id": factor, "label": sealed(ADA), "at": at(position) })
}

fn removed(factor: Uuid, position: i64) -> Value {
    json!({ "user_id": ADA, "factor_id": factor, "because": "asked", "at": at(position) })
}

fn codes(left: u16, position: i64) -> Value {
    json!({ "user_id": ADA, "left": left, "at": at(position) })
}

fn row(log: &Log) -> FactorsRow {
    let whole = log.fold::<Factors>(&[]).unwrap();
    for end in [1, 2] {
        assert_eq!(whole, log.fold::<Factors>(&[end]).unwrap(), "wherever pages end");
    }
    whole[&(TENANT, ADA)].clone()
}

fn shown(row: &FactorsRow) -> Vec<(&str, Uuid)> {
    row.factors.iter().map(|it| (it.kind.as_str(), it.factor_id)).collect()
}

#[test]
fn factors_come_and_go_and_codes_are_counted() {
    let log = Log::default()
        .and("identity.passkey-added", added(LAPTOP, 1))
        .and("identity.totp-enrolled", added(TELEPHONE, 2))
        .and("identity.recovery-codes-issued", codes(10, 3))
        .and("identity.passkey-added", added(KEY, 4))
        .and("identity.recovery-code-used", codes(9, 5));
    let it = row(&log);
    assert_eq!(shown(&it), [("passkey", LAPTOP), ("totp", TELEPHONE), ("passkey", KEY)]);
    assert_eq!((it.recovery_codes_left, it.version, it.first_position, it.position), (9, 5, 1, 5));
    assert_eq!(it.factors[1].added_at, at(2));
    assert!(it.factors.iter().all(|it| matches!(it.label, Some(PrivateField::Sealed(_)))), "{it:?}");

    let log = log
        .and("identity.passkey-removed", removed(LAPTOP, 6))
        .and("identity.totp-removed", removed(TELEPHONE, 7));
    let it = row(&log);
    assert_eq!((shown(&it), it.recovery_codes_left), (vec![("passkey", KEY)], 0));
}

#[test]
fn a_label_comes_back_from_its_column_as_it_went_in() {
    let it = row(&Log::default()
        .and("identity.passkey-added", added(KEY, 1))
        .and("identity.passkey-added", added(LAPTOP, 2)));
    let text = serde_json::to_string(&it.factors).unwrap();
    assert_eq!(serde_json::from_str::<Vec<FactorRow>>(&text).unwrap(), it.factors.0);
}
