//! From events to rows of `users`.

use domain::Event;
use domain::identity::IdentityEvent;
use domain::private::Private;
use sqlx::types::Json;

use super::UserRow;
use crate::private_field::PrivateField;
use crate::read_model::{Item, ProjectionError};

/// Somebody registers; before that, nothing can happen to them.
pub(super) fn begin(event: &Event, item: &Item<'_>) -> Result<Option<UserRow>, ProjectionError> {
    let Event::Identity(IdentityEvent::UserRegistered(event)) = event else {
        return Err(item.poisoned("it is about a person who never registered"));
    };
    let recorded = item.recorded;
    Ok(Some(UserRow {
        tenant_id: recorded.tenant.uuid(),
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
        second_factor: false,
        factors: Json(Vec::new()),
        recovery_codes_left: 0,
        locked_until: None,
        device_locked_until: None,
        generation: 0,
        kept_session: None,
        registered_at: event.at,
        last_sign_in_at: None,
        version: 1,
        first_position: recorded.position,
        position: recorded.position,
    }))
}

pub(super) fn change(row: &mut UserRow, event: &Event, item: &Item<'_>) {
    let Event::Identity(event) = event else { return };
    match event {
        IdentityEvent::UserRenamed(event) => {
            row.given_name = field(item, "payload.given_name", event.given_name.as_ref());
            row.family_name = field(item, "payload.family_name", event.family_name.as_ref());
        }
        IdentityEvent::UserGivenNameChanged(event) => {
            row.given_name = field(item, "payload.given_name", event.given_name.as_ref());
        }
        IdentityEvent::UserFamilyNameChanged(event) => {
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
