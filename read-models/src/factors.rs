//! `factors`: one row a person who has, or had, a second factor or a passkey. That there are some, of which kind and since
//! when; what a person calls one stays sealed, and what proves anything is nowhere here.

use chrono::{DateTime, Utc};
use domain::identity::IdentityEvent;
use domain::ids::FactorId;
use domain::private::Private;
use domain::{Aggregate, Category, Event};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::copy::{self, cells};
use crate::figures::column;
use crate::private_field::PrivateField;
use crate::read_model::{Item, ProjectionError};
use crate::row_per_stream::{RowPerStream, stream_row};

/// The factors of persons.
#[derive(Debug)]
pub struct Factors;

/// A factor of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FactorRow {
    /// Which.
    pub factor_id: Uuid,
    /// `totp` is an authenticator of time-based codes, `passkey` a passkey.
    #[schema(example = "passkey")]
    pub kind: String,
    /// What they call it.
    #[schema(value_type = PrivateField, example = "My telephone")]
    pub label: Option<PrivateField>,
    /// Since when.
    pub added_at: DateTime<Utc>,
}

/// The factors of a person as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactorsRow {
    pub(crate) tenant_id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) factors: Json<Vec<FactorRow>>,
    pub(crate) recovery_codes_left: i32,
    pub(crate) version: i64,
    pub(crate) first_position: i64,
    pub(crate) position: i64,
}

stream_row!(FactorsRow: user_id);

const TOTP: &str = "totp";
const PASSKEY: &str = "passkey";

impl FactorsRow {
    fn add(&mut self, kind: &str, id: FactorId, label: Option<&Private>, at: DateTime<Utc>, item: &Item<'_>) {
        let label = label.and_then(|it| PrivateField::of(item, "payload.label", it)).map(|it| it.0);
        self.factors.push(FactorRow { factor_id: id.uuid(), kind: kind.to_owned(), label, added_at: at });
    }

    fn evolve(&mut self, event: &Event, item: &Item<'_>) {
        let Event::Identity(event) = event else { return };
        match event {
            IdentityEvent::TotpEnrolled(it) => {
                // There is one authenticator: another one takes its place.
                self.factors.retain(|known| known.kind != TOTP);
                self.add(TOTP, it.factor_id, it.label.as_ref(), it.at, item);
            }
            IdentityEvent::PasskeyAdded(it) => {
                self.add(PASSKEY, it.factor_id, it.label.as_ref(), it.at, item);
            }
            IdentityEvent::TotpRemoved(_) => {
                self.factors.retain(|known| known.kind != TOTP);
                self.recovery_codes_left = 0;
            }
            IdentityEvent::PasskeyRemoved(it) => {
                self.factors.retain(|known| known.factor_id != it.factor_id.uuid());
            }
            IdentityEvent::RecoveryCodesIssued(it) => self.recovery_codes_left = i32::from(it.left),
            IdentityEvent::RecoveryCodeUsed(it) => self.recovery_codes_left = i32::from(it.left),
            _ => {}
        }
    }
}

impl RowPerStream for Factors {
    const NAME: &'static str = "factors";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["factors"];
    const CATEGORY: Category = domain::identity::Factors::CATEGORY;

    type Row = FactorsRow;

    fn begin(event: &Event, item: &Item<'_>) -> Result<Option<FactorsRow>, ProjectionError> {
        let mut row = FactorsRow {
            tenant_id: item.recorded.tenant.uuid(),
            user_id: item.partition,
            factors: Json(Vec::new()),
            recovery_codes_left: 0,
            version: 1,
            first_position: item.recorded.position,
            position: item.recorded.position,
        };
        row.evolve(event, item);
        Ok(Some(row))
    }

    fn change(row: &mut FactorsRow, event: &Event, item: &Item<'_>) {
        row.evolve(event, item);
    }

    async fn load(conn: &mut PgConnection, tenants: &[Uuid], ids: &[Uuid]) -> sqlx::Result<Vec<FactorsRow>> {
        sqlx::query_as!(
            FactorsRow,
            r#"select tenant_id, user_id, factors as "factors: Json<Vec<FactorRow>>", recovery_codes_left, version,
                      first_position, position
               from factors where (tenant_id, user_id) in (select * from unnest($1::uuid[], $2::uuid[]))"#,
            tenants,
            ids
        )
        .fetch_all(conn)
        .await
    }

    async fn save(conn: &mut PgConnection, rows: &[FactorsRow]) -> sqlx::Result<()> {
        sqlx::query!(
            "insert into factors
             select * from unnest($1::uuid[], $2::uuid[], $3::jsonb[], $4::integer[], $5::bigint[], $6::bigint[],
                                  $7::bigint[])
             on conflict (tenant_id, user_id) do update set
                 factors = excluded.factors, recovery_codes_left = excluded.recovery_codes_left,
                 version = excluded.version, position = excluded.position",
            column!(rows, tenant_id),
            column!(rows, user_id),
            column!(rows, factors) as &[Json<Vec<FactorRow>>],
            column!(rows, recovery_codes_left),
            column!(rows, version),
            column!(rows, first_position),
            column!(rows, position)
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn copy(conn: &mut PgConnection, rows: &[FactorsRow]) -> sqlx::Result<()> {
        let cells = cells!(
            FactorsRow:
            tenant_id, user_id, factors, recovery_codes_left, version, first_position, position
        );
        copy::rows(conn, "copy factors from stdin", rows, cells).await
    }
}

#[cfg(test)]
mod tests;
