//! Opening what is private in an answer: the one place of this process that has the keys of persons in its hands.

use std::collections::HashMap;

use domain::StreamId;
use domain::ids::TenantId;
use event_schemas::catalog;
use event_store::MasterKey;
use event_store::keyring::{IndexOf, Place, SubjectKey};
use read_models::private_field::SealedText;
use read_models::users::UserRow;
use read_models::{AddressHash, HasPrivate, TenantTx, Users};
use service_kit::email::EmailAddress;
use service_kit::problem::{Problem, code};
use uuid::Uuid;

use crate::app::App;

/// The keys of some persons of a tenant.
pub(crate) type Keys = HashMap<Uuid, SubjectKey>;

/// The keys of persons. They are read for each answer anew, so an erased person is erased at once.
pub(crate) async fn keys_of(
    master: &MasterKey,
    tx: &mut TenantTx,
    subjects: impl Iterator<Item = Uuid>,
) -> sqlx::Result<Keys> {
    let subjects: Vec<Uuid> = subjects.collect();
    if subjects.is_empty() {
        return Ok(Keys::new());
    }
    let tenant = tx.tenant();
    let rows = sqlx::query!(
        "select subject_id, wrapped from keys.subject_keys where tenant_id = $1 and subject_id = any($2)",
        tenant.uuid(),
        &subjects
    )
    .fetch_all(tx.conn())
    .await?;
    let unwrapped = rows.into_iter().filter_map(|row| {
        let subject = row.subject_id;
        match master.unwrap(tenant, subject, &row.wrapped) {
            Ok(key) => Some((subject, key)),
            Err(error) => {
                tracing::warn!(%subject, %error, "a subject's key cannot be unwrapped");
                None
            }
        }
    });
    Ok(unwrapped.collect())
}

/// An address that rows are to be found by, as the claims of a tenant know it.
pub(crate) fn address(app: &App, tenant: TenantId, text: &str) -> Result<AddressHash, Problem> {
    let email = EmailAddress::parse(text)
        .map_err(|_| Problem::new(&code::EMAIL_MALFORMED, "").with("parameter", "email"))?;
    Ok(AddressHash::of(&app.master, tenant, email.normal()))
}

/// Says of persons whose addresses were opened until when nobody can sign in with them.
async fn locks(master: &MasterKey, tx: &mut TenantTx, rows: &mut [UserRow]) -> sqlx::Result<()> {
    let tenant = tx.tenant();
    let counted = |row: &UserRow| {
        let email = EmailAddress::parse(row.address()?).ok()?;
        Some(master.index(tenant, IndexOf::Attempts, email.normal().as_bytes()).0.to_vec())
    };
    let subjects: Vec<Option<Vec<u8>>> = rows.iter().map(counted).collect();
    let asked: Vec<Vec<u8>> = subjects.iter().flatten().cloned().collect();
    let locked = Users::locked(tx, &asked).await?;
    for (row, subject) in rows.iter_mut().zip(subjects) {
        let lock = subject.and_then(|it| locked.get(&it).copied()).unwrap_or_default();
        (row.locked_until, row.device_locked_until) = (lock.elsewhere, lock.on_device);
    }
    Ok(())
}

/// Opens what persons say in private, and what is told of them by their address.
pub(crate) async fn open_users(
    master: &MasterKey,
    tx: &mut TenantTx,
    rows: &mut [UserRow],
) -> sqlx::Result<()> {
    open(master, tx, rows).await?;
    locks(master, tx, rows).await
}

/// Opens what rows say in private, as far as its subjects' keys are there.
pub(crate) async fn open(
    master: &MasterKey,
    tx: &mut TenantTx,
    rows: &mut [impl HasPrivate],
) -> sqlx::Result<()> {
    let mut fields: Vec<_> = rows.iter_mut().flat_map(HasPrivate::private_fields).collect();
    let keys = keys_of(master, tx, fields.iter().filter_map(|it| it.subject())).await?;
    for field in &mut fields {
        field.resolve(|text| plain(text, tx, &keys));
    }
    Ok(())
}

fn plain(text: &SealedText, tx: &TenantTx, keys: &Keys) -> Option<String> {
    let (code, id) = text.stream;
    let stream = StreamId::new(catalog::category(code)?, id);
    let place = Place { tenant: tx.tenant(), stream, event_id: text.event_id, path: &text.path };
    let plain = keys.get(&text.sealed.subject)?.open(&place, &text.sealed).ok()?;
    String::from_utf8(plain).ok()
}
