//! What an auditor finds of the shop.

use chrono::{DateTime, TimeDelta, Utc};
use domain::audit::{
    AttemptRefused, AuditEvent, DataRead, ExportFormat, RecordAudit, RefusalsCounted, TrailExported,
};
use domain::ids::ExportId;

use super::ledger::transfer;
use super::{OPERATOR, Teller, Told, id};

pub(super) fn tell(shop: &mut Teller) -> Told<()> {
    for event in audited(shop.now) {
        shop.tells(RecordAudit(event))?;
    }
    Ok(())
}

/// What an auditor finds of the minute before `now`.
fn audited(now: DateTime<Utc>) -> [AuditEvent; 5] {
    let (first_at, last_at) = (now - TimeDelta::seconds(42), now);
    let refused = |action: &str, resource: String, code: &str, status| AttemptRefused {
        action: action.to_owned(),
        resource,
        code: code.to_owned(),
        status,
        count: 3,
        first_at,
        last_at,
    };
    let void = format!("/v1/ledger/transfers/{}/void", transfer(1));
    let filters = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    [
        AuditEvent::CommandRefused(refused("ledger.void-hold", void, "ledger.hold-already-posted", 409)),
        AuditEvent::ReadRefused(refused(
            "audit.read-trail",
            "/v1/audit".to_owned(),
            "auth.permission-missing",
            403,
        )),
        AuditEvent::DataRead(DataRead {
            action: "events.read-events".to_owned(),
            resource: "/v1/events".to_owned(),
            filters: filters(&[("type", "ledger.transfer-posted"), ("actor", &OPERATOR.to_string())]),
            count: 2,
            first_at,
            last_at,
        }),
        AuditEvent::RefusalsCounted(RefusalsCounted { count: 1_200, first_at, last_at }),
        AuditEvent::TrailExported(TrailExported {
            export_id: ExportId::new(id(0xe0)),
            format: ExportFormat::Csv,
            filters: filters(&[("result", "refused")]),
            up_to: "1-4711".to_owned(),
            rows: 2,
            size: 412,
            sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
            columns: None,
            at: now,
        }),
    ]
}
