//! Answers that were given before, found again by the keys of units.

use event_schemas::envelope::LogPosition;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Failure, SubmitError};
use crate::idempotency::StoredAnswer;
use crate::unit::{Receipt, Unit};

/// What is remembered under a unit's key.
pub(super) enum Remembered {
    Answer(Receipt),
    OtherRequest,
    Newer,
}

impl Remembered {
    /// What the unit is told, in the history of `epoch`.
    pub(super) fn into_outcome(self, epoch: i32) -> Result<Receipt, SubmitError> {
        match self {
            Self::Answer(mut receipt) => {
                receipt.position.epoch = epoch;
                Ok(receipt)
            }
            Self::OtherRequest => Err(SubmitError::KeyReused),
            Self::Newer => Err(SubmitError::NewerEvent),
        }
    }
}

/// Finds the answers that were given before, one place a unit.
pub(super) async fn remembered(
    conn: &mut PgConnection,
    served: &[Uuid],
    units: &[&Unit],
) -> Result<Vec<Option<Remembered>>, Failure> {
    let mut found: Vec<Option<Remembered>> = units.iter().map(|_| None).collect();
    let keyed: Vec<(usize, &Unit, _)> =
        units.iter().enumerate().filter_map(|(n, unit)| Some((n, *unit, unit.key?))).collect();
    if keyed.is_empty() {
        return Ok(found);
    }
    let tenants: Vec<Uuid> = keyed.iter().map(|(_, unit, _)| unit.tenant.uuid()).collect();
    let scopes: Vec<Vec<u8>> = keyed.iter().map(|(_, _, key)| key.scope.to_vec()).collect();
    let rows = sqlx::query!(
        r#"select ordinal as "ordinal!", fingerprint as "fingerprint!", body as "body!", position as "position!"
           from store.answers($1, $2, $3)"#,
        served,
        &tenants,
        &scopes
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        let ordinal = usize::try_from(row.ordinal - 1).unwrap_or(usize::MAX);
        let Some((n, _, key)) = keyed.get(ordinal) else { continue };
        let Some(place) = found.get_mut(*n) else { continue };
        *place = Some(if row.fingerprint == key.fingerprint {
            let results =
                serde_json::from_str::<StoredAnswer>(&row.body).ok().and_then(StoredAnswer::into_results);
            let position = LogPosition { epoch: 0, position: row.position };
            results.map_or(Remembered::Newer, |results| {
                Remembered::Answer(Receipt { position, replayed: true, results })
            })
        } else {
            Remembered::OtherRequest
        });
    }
    Ok(found)
}
