//! From events to rows of `users`.

use std::collections::HashMap;

use domain::Event;
use domain::identity::IdentityEvent;
use domain::private::Private;
use event_store::Recorded;
use sqlx::types::Json;

use super::UserRow;
use crate::accounts::Key;
use crate::private_field::PrivateField;
use crate::read_model::{Item, ProjectionError};

/// Folds items into rows; `rows` holds those that existed before.
/// Refuses an event that cannot be read, and one about a person who never registered.
pub(super) fn fold(rows: &mut HashMap<Key, UserRow>, items: &[Item<'_>]) -> Result<(), ProjectionError> {
    for item in items {
        let Event::Identity(event) = item.event()? else { continue };
        let recorded = item.recorded;
        let key = (recorded.tenant.uuid(), item.partition);
        if let Some(row) = registered(event, item) {
            rows.insert(key, row);
            continue;
        }
        let row = rows.get_mut(&key).ok_or_else(|| ProjectionError::Poisoned {
            position: recorded.position,
            reason: "it is about a person who never registered".to_owned(),
        })?;
        changed(row, event, item);
        row.version = recorded.version;
        row.position = recorded.position;
    }
    Ok(())
}

fn registered(event: &IdentityEvent, item: &Item<'_>) -> Option<UserRow> {
    let IdentityEvent::UserRegistered(event) = event else { return None };
    let Recorded { tenant, version, position, .. } = item.recorded;
    Some(UserRow {
        tenant_id: tenant.uuid(),
        user_id: event.user_id.uuid(),
        status: "active".to_owned(),
        email: PrivateField::of(item, "payload.email", &event.email),
        email_version: 1,
        email_verified: event.verified,
        email_pending: None,
        given_name: field(item, "payload.given_name", event.given_name.as_ref()),
        family_name: field(item, "payload.family_name", event.family_name.as_ref()),
        phone: None,
        address: None,
        language: event.language.as_str().to_owned(),
        via: event.via.as_str().to_owned(),
        has_password: false,
        generation: 0,
        kept_session: None,
        registered_at: event.at,
        last_sign_in_at: None,
        version: *version,
        first_position: *position,
        position: *position,
    })
}

fn changed(row: &mut UserRow, event: &IdentityEvent, item: &Item<'_>) {
    match event {
        IdentityEvent::UserRenamed(event) => {
            row.given_name = field(item, "payload.given_name", event.given_name.as_ref());
            row.family_name = field(item, "payload.family_name", event.family_name.as_ref());
        }
        IdentityEvent::UserPhoneChanged(event) => {
            row.phone = field(item, "payload.phone", event.phone.as_ref());
        }
        IdentityEvent::UserAddressChanged(event) => {
            row.address = field(item, "payload.address", event.address.as_ref());
        }
        IdentityEvent::UserLanguageChanged(event) => event.language.as_str().clone_into(&mut row.language),
        IdentityEvent::EmailVerified(event) => {
            row.email_verified |= i64::from(row.email_version) == i64::from(event.email_version);
        }
        IdentityEvent::EmailChangeRequested(event) => {
            row.email_pending = PrivateField::of(item, "payload.email", &event.email);
        }
        IdentityEvent::EmailChanged(event) => {
            row.email = row.email_pending.take();
            row.email_version = number(event.email_version);
            row.email_verified = true;
        }
        IdentityEvent::EmailChangeExpired(_) => row.email_pending = None,
        IdentityEvent::PasswordChanged(_) => row.has_password = true,
        IdentityEvent::SessionsEnded(event) => {
            row.generation = number(event.generation);
            row.kept_session = event.except.map(domain::ids::SessionId::uuid);
        }
        IdentityEvent::UserDeactivated(_) => "inactive".clone_into(&mut row.status),
        IdentityEvent::UserReactivated(_) => "active".clone_into(&mut row.status),
        IdentityEvent::PersonErased(_) => {
            "erased".clone_into(&mut row.status);
            row.has_password = false;
        }
        _ => {}
    }
}

fn field(item: &Item<'_>, path: &'static str, private: Option<&Private>) -> Option<Json<PrivateField>> {
    private.and_then(|it| PrivateField::of(item, path, it))
}

/// Counts of things that happened: a person does not live to see them leave the range.
fn number(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
