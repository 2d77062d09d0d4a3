//! From events to rows of `sign_ins` and `sign_in_days`.

use domain::Event;
use domain::identity::IdentityEvent;
use domain::ids::{ImpersonationId, ServiceId, UserId};
use domain::private::Private;
use sqlx::types::Json;

use super::{Change, SignInRow};
use crate::private_field::PrivateField;
use crate::read_model::{Item, ProjectionError};

/// Refuses an event that cannot be read.
pub(super) fn fold(change: &mut Change, items: &[Item<'_>]) -> Result<(), ProjectionError> {
    for item in items {
        let Event::Identity(event) = item.event()? else { continue };
        let Some(row) = told(event, item)? else { continue };
        // A lock is one, however many failures it tells of.
        let more = if row.outcome == "locked" { 1 } else { row.count };
        let key = (row.tenant_id, row.at.date_naive(), row.method.clone(), row.outcome.clone());
        let (count, position) = change.days.entry(key).or_default();
        (*count, *position) = (count.saturating_add(more), row.position);
        change.rows.push(row);
    }
    Ok(())
}

fn told(event: &IdentityEvent, item: &Item<'_>) -> Result<Option<SignInRow>, ProjectionError> {
    let at = match event {
        IdentityEvent::SessionStarted(it) => it.at,
        IdentityEvent::SignInFailed(it) => it.last_at,
        IdentityEvent::SignInLocked(it) => it.at,
        _ => return Ok(None),
    };
    let recorded = item.recorded;
    let row = SignInRow {
        tenant_id: recorded.tenant.uuid(),
        position: recorded.position,
        outcome: String::new(),
        method: String::new(),
        because: None,
        user_id: None,
        session_id: None,
        service_id: None,
        impersonation_id: None,
        count: 1,
        first_at: at,
        at,
        locked_until: None,
        identifier: None,
        origin: PrivateField::origin(item)?,
    };
    Ok(match event {
        IdentityEvent::SessionStarted(it) => Some(SignInRow {
            outcome: "succeeded".to_owned(),
            method: it.method.to_string(),
            user_id: Some(it.user_id.uuid()),
            session_id: Some(it.session_id.uuid()),
            service_id: it.service_id.map(ServiceId::uuid),
            impersonation_id: it.impersonation_id.map(ImpersonationId::uuid),
            ..row
        }),
        IdentityEvent::SignInFailed(it) => Some(SignInRow {
            outcome: "failed".to_owned(),
            method: it.method.to_string(),
            because: Some(it.because.to_string()),
            user_id: it.user_id.map(UserId::uuid),
            count: i64::try_from(it.count).unwrap_or(i64::MAX),
            first_at: it.first_at,
            identifier: typed(item, it.identifier.as_ref()),
            ..row
        }),
        IdentityEvent::SignInLocked(it) => Some(SignInRow {
            outcome: "locked".to_owned(),
            method: it.method.to_string(),
            user_id: it.user_id.map(UserId::uuid),
            count: i64::from(it.failures),
            locked_until: Some(it.until),
            identifier: typed(item, it.identifier.as_ref()),
            ..row
        }),
        _ => None,
    })
}

fn typed(item: &Item<'_>, identifier: Option<&Private>) -> Option<Json<PrivateField>> {
    identifier.and_then(|it| PrivateField::of(item, "payload.identifier", it))
}
