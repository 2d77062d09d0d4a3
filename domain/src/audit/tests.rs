use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use uuid::Uuid;

use super::*;
use crate::aggregate::Aggregate;
use crate::ids::ExportId;
use crate::spec::given_nothing;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn refused(last_at: DateTime<Utc>) -> AuditEvent {
    AuditEvent::CommandRefused(AttemptRefused {
        action: "ledger.post-transfer".to_owned(),
        resource: "/v1/ledger/transfers".to_owned(),
        code: "ledger.insufficient-funds".to_owned(),
        status: 422,
        count: 3,
        first_at: last_at - TimeDelta::seconds(30),
        last_at,
    })
}

fn exported(export_id: ExportId, at: DateTime<Utc>) -> AuditEvent {
    AuditEvent::TrailExported(TrailExported {
        export_id,
        format: ExportFormat::Csv,
        filters: [("action".to_owned(), "ledger.".to_owned())].into(),
        up_to: "1-4711".to_owned(),
        rows: 12,
        size: 900,
        sha256: "ab".repeat(32),
        columns: Some(14),
        at,
    })
}

#[test]
fn a_days_stream_shows_its_date() {
    let date = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap();
    for (date, id) in [
        (date(2026, 3, 12), "20260312-0000-8000-8000-000000000000"),
        (date(2031, 11, 30), "20311130-0000-8000-8000-000000000000"),
    ] {
        assert_eq!(day::id(date).to_string(), id);
        assert_eq!(day::id(date).get_version_num(), 8);
    }
}

#[test]
fn what_is_told_at_midnight_belongs_to_the_day_of_the_newest_of_it() {
    let streams = refused(at("2026-03-13T00:00:10Z")).streams();
    assert_eq!(streams, [day::stream(NaiveDate::from_ymd_opt(2026, 3, 13).unwrap())]);
}

#[test]
fn facts_are_recorded_as_they_are() {
    let first = refused(at("2026-03-12T10:00:00Z"));
    let second = refused(at("2026-03-12T11:00:00Z"));
    let begun = given_nothing().having(RecordAudit(first.clone()));
    let (verdict, world) = begun.when(RecordAudit(second.clone())).then_accepted();
    assert_eq!(verdict.outcome, Outcome::Done);
    assert_eq!(world.log(), [Event::Audit(first), Event::Audit(second.clone())]);
    let day = day::stream(second.at().date_naive());
    assert_eq!(world.version(day), 2);
    assert_eq!(world.state::<Day>(day.id), Day::Begun { newest_at: second.at() });
    assert_eq!(Day::restore(day.id, &Event::Audit(second)), Some(world.state::<Day>(day.id)));
}

#[test]
fn an_export_is_on_the_stream_of_its_day_and_on_its_own() {
    let id = ExportId::new(Uuid::from_u128(7));
    let event = exported(id, at("2026-03-12T10:00:00Z"));
    let (_, world) = given_nothing().when(RecordAudit(event.clone())).then_accepted();
    let AuditEvent::TrailExported(made) = event else { unreachable!("it is an export") };
    assert_eq!(world.state::<Export>(id.uuid()), Export::Made(made));
    assert_eq!(world.version(export::stream(id)), 1);
}
