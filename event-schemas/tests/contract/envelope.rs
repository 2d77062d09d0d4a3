//! The envelope: names on NATS, positions, and the stored `meta`.

use chrono::DateTime;
use domain::ids::{ActorId, TenantId};
use event_schemas::catalog::EVENTS;
use event_schemas::document;
use event_schemas::envelope::{CloudEvent, LogPosition, Meta, Origin, cloud_event_headers, subject};
use serde_json::json;
use uuid::Uuid;

const TENANT: TenantId = TenantId::new(Uuid::from_u128(1));

#[test]
fn subjects_have_five_parts_and_name_one_event_each() {
    let all: std::collections::BTreeSet<_> =
        EVENTS.iter().map(|it| subject(TENANT, it.category.name, it.name)).collect();
    assert_eq!(all.len(), EVENTS.len());
    for subject in &all {
        let parts: Vec<_> = subject.split('.').collect();
        assert_eq!(parts.len(), 5, "{subject}");
        assert!(parts.iter().all(|part| !part.is_empty() && !part.contains([' ', '*', '>'])), "{subject}");
    }
    let of = |category, event| subject(TENANT, category, event);
    assert_eq!(
        of("ledger.transfer", "ledger.transfer-posted"),
        format!("quipu.{TENANT}.ledger.transfer.posted")
    );
    assert_eq!(
        of("ledger.transfer", "ledger.hold-expired"),
        format!("quipu.{TENANT}.ledger.transfer.hold-expired")
    );
    assert_eq!(
        of("ledger.book", "ledger.period-closed"),
        format!("quipu.{TENANT}.ledger.book.period-closed")
    );
    assert_eq!(
        of("identity.access-token", "identity.access-token-minted"),
        format!("quipu.{TENANT}.identity.access-token.minted")
    );
}

#[test]
fn positions_are_written_and_read_alike() {
    for text in ["1-0", "1-1", "12-4711", "2147483647-9223372036854775807"] {
        assert_eq!(text.parse::<LogPosition>().unwrap().to_string(), text);
    }
    for text in ["", "1", "-", "1-", "-1", "1--1", "+1-1", "1-+1", "1-1-1", " 1-1", "1-1 ", "a-1", "1-1.0"] {
        assert!(text.parse::<LogPosition>().is_err(), "{text}");
    }
    for too_large in ["2147483648-1", "1-9223372036854775808"] {
        assert!(too_large.parse::<LogPosition>().is_err(), "{too_large}");
    }
}

#[test]
fn positions_of_a_later_epoch_are_later() {
    let at = |text: &str| text.parse::<LogPosition>().unwrap();
    assert!(at("1-9") < at("1-10"));
    assert!(at("1-1000") < at("2-1"));
}

#[test]
fn cloud_events_carry_the_required_attributes_and_name_a_schema_that_is_published() {
    let (id, stream_id) = (Uuid::from_u128(7), Uuid::from_u128(8));
    for event in EVENTS {
        let headers = cloud_event_headers(&CloudEvent {
            id,
            tenant: TENANT,
            tenant_seq: 3,
            category: event.category.name,
            stream_id,
            version: 2,
            event_type: event.name,
            schema_version: 1,
            time: DateTime::from_timestamp(1_788_253_200, 5_000).unwrap(),
            position: LogPosition { epoch: 1, position: 4711 },
            meta: None,
        });
        let header = |name: &str| headers.iter().find(|it| it.0 == name).map(|it| it.1.as_str());
        assert_eq!(header("ce-specversion"), Some("1.0"));
        assert_eq!(header("ce-id"), Some(id.to_string().as_str()));
        assert_eq!(header("ce-source"), Some(format!("/tenants/{TENANT}").as_str()));
        assert_eq!(header("ce-type"), Some(event.name));
        assert_eq!(header("ce-time"), Some("2026-09-01T09:00:00.000005Z"));
        assert_eq!(header("ce-dataschema"), Some(document::schema_id(event.name, 1).as_str()));
        assert_eq!(header("ce-quipuposition"), Some("1-4711"));
        assert!(headers.iter().all(|(_, value)| value.is_ascii() && !value.contains(['\r', '\n'])));
    }
}

#[test]
fn meta_is_stored_without_what_is_not_there_and_read_with_what_is_not_known() {
    let meta = Meta {
        actor: ActorId::SYSTEM,
        token: None,
        session: None,
        on_behalf_of: None,
        correlation: Uuid::from_u128(9),
        causation: None,
        trace: None,
        span: None,
        origin: None,
    };
    let stored = serde_json::to_value(&meta).unwrap();
    assert_eq!(stored, json!({ "actor": Uuid::nil(), "correlation": Uuid::from_u128(9) }));
    let mut newer = stored;
    newer["added_later"] = json!(true);
    assert_eq!(serde_json::from_value::<Meta>(newer).unwrap(), meta);
}

#[test]
fn a_traceparent_names_a_span_that_is_recorded() {
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let stored =
        |meta| serde_json::from_value::<Meta>(meta).map(|it| it.traceparent()).map_err(|it| it.to_string());
    let (actor, correlation) = (Uuid::nil(), Uuid::nil());
    let recorded = json!({ "actor": actor, "correlation": correlation, "trace": trace, "span": span });
    assert_eq!(stored(recorded), Ok(Some(format!("00-{trace}-{span}-01"))));
    let elsewhere = json!({ "actor": actor, "correlation": correlation, "trace": trace });
    assert_eq!(stored(elsewhere), Ok(None));
}

#[test]
fn an_origin_has_a_place_for_each_part_only_if_it_is_known() {
    assert_eq!(serde_json::to_value(Origin::default()).unwrap(), json!({}));
    let origin = Origin { ip: Some("192.0.2.1".to_owned()), user_agent: None };
    assert_eq!(serde_json::to_value(&origin).unwrap(), json!({ "ip": "192.0.2.1" }));
    assert_eq!(serde_json::from_value::<Origin>(json!({ "ip": "192.0.2.1" })).unwrap(), origin);
}
