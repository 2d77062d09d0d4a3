//! `sign_ins`: who signed in, who failed to, and what was locked: one row an event; and the same counted by day, method and
//! outcome. What was typed and from where stays sealed.

mod fold;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use domain::ids::TenantId;
use domain::{Aggregate, StreamId};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::copy::{self, cells};
use crate::figures::column;
use crate::in_epoch;
use crate::page::{self, Asked, ByPosition, ListError, Page};
use crate::private_field::{self, HasPrivate, PrivateField, RequestOrigin};
use crate::read_model::{Item, ProjectionError, ReadModel};
use crate::tenant_tx::TenantTx;

/// The sign-ins of an organisation.
#[derive(Debug)]
pub struct SignIns;

/// A sign-in, or several that failed alike within a minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow, ToSchema)]
pub struct SignInRow {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) tenant_id: Uuid,
    /// Where its event stands in the log.
    #[serde(serialize_with = "in_epoch::position")]
    #[schema(value_type = String, example = "1-4711")]
    pub position: i64,
    /// `succeeded`, `failed` or `locked`.
    #[schema(example = "failed")]
    pub outcome: String,
    /// How it was tried.
    #[schema(example = "password")]
    pub method: String,
    /// Why it failed.
    #[schema(example = "credentials")]
    pub because: Option<String>,
    /// For whom; `null` if there is no such person.
    pub user_id: Option<Uuid>,
    /// The session that began.
    pub session_id: Option<Uuid>,
    /// The service that they signed in to, if it is not the product itself.
    pub service_id: Option<Uuid>,
    /// Staff of the platform signed in for the person.
    pub impersonation_id: Option<Uuid>,
    /// How many that were; with `locked`, how many failed before.
    #[schema(example = 1)]
    pub count: i64,
    /// When the first of them was.
    pub first_at: DateTime<Utc>,
    /// When the last of them was.
    pub at: DateTime<Utc>,
    /// Until when no sign-in for this name is looked at.
    pub locked_until: Option<DateTime<Utc>>,
    /// What was typed, as a keyed hash: equal where the same was typed. It cannot be read back.
    #[schema(value_type = PrivateField)]
    pub identifier: Option<Json<PrivateField>>,
    /// From where; `null` of those that were counted together, and once the person was erased.
    #[serde(serialize_with = "private_field::origin_shown")]
    #[schema(value_type = Option<RequestOrigin>)]
    pub origin: Option<Json<PrivateField>>,
}

impl HasPrivate for SignInRow {
    fn private_fields(&mut self) -> Vec<&mut PrivateField> {
        let Self { identifier, origin, .. } = self;
        [identifier, origin].into_iter().flatten().map(|it| &mut it.0).collect()
    }
}

/// Sign-ins of one day, method and outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow, ToSchema)]
pub struct SignInDayRow {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) tenant_id: Uuid,
    /// The day, in UTC.
    #[schema(example = "2026-03-12")]
    pub day: NaiveDate,
    /// How they were tried.
    #[schema(example = "password")]
    pub method: String,
    /// `succeeded`, `failed` or `locked`.
    #[schema(example = "succeeded")]
    pub outcome: String,
    /// How many.
    #[schema(example = 42)]
    pub count: i64,
    /// Where the newest of them stands in the log.
    #[serde(serialize_with = "in_epoch::position")]
    #[schema(value_type = String, example = "1-4711")]
    pub position: i64,
}

/// Tenant, day, method, outcome.
type DayKey = (Uuid, NaiveDate, String, String);

/// Rows to be, and what they add to the counts of their days.
#[derive(Debug, Default)]
pub struct Change {
    rows: Vec<SignInRow>,
    /// How many more, and the newest position.
    days: BTreeMap<DayKey, (i64, i64)>,
}

impl Change {
    /// The counts as rows, in the order of their keys.
    fn parted(self) -> (Vec<SignInRow>, Vec<SignInDayRow>) {
        let days = self.days.into_iter().map(|((tenant_id, day, method, outcome), (count, position))| {
            SignInDayRow { tenant_id, day, method, outcome, count, position }
        });
        (self.rows, days.collect())
    }
}

impl ReadModel for SignIns {
    const NAME: &'static str = "sign_ins";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["sign_ins", "sign_in_days"];

    type Rows = Change;

    fn partition(tenant: TenantId, stream: &StreamId) -> Option<Uuid> {
        let tells = [domain::identity::Session::CATEGORY, domain::identity::SignInDay::CATEGORY];
        tells.contains(&stream.category).then_some(tenant.uuid())
    }

    async fn load(_: &mut PgConnection, _: &mut Self::Rows, _: &[Item<'_>]) -> Result<(), ProjectionError> {
        Ok(())
    }

    fn fold(rows: &mut Self::Rows, items: &[Item<'_>]) -> Result<(), ProjectionError> {
        fold::fold(rows, items)
    }

    async fn write(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        let (rows, days) = rows.parted();
        insert(&mut *conn, &rows).await?;
        add(conn, &days).await
    }

    async fn copy(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        let (rows, days) = rows.parted();
        let of_row = cells!(
            SignInRow:
            tenant_id, position, outcome, method, because, user_id, session_id, service_id, impersonation_id, count,
            first_at, at, locked_until, identifier, origin
        );
        let of_day = cells!(SignInDayRow: tenant_id, day, method, outcome, count, position);
        copy::rows(&mut *conn, "copy sign_ins from stdin", &rows, of_row).await?;
        copy::rows(conn, "copy sign_in_days from stdin", &days, of_day).await
    }
}

async fn insert(conn: &mut PgConnection, rows: &[SignInRow]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into sign_ins
         select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::uuid[],
                              $8::uuid[], $9::uuid[], $10::bigint[], $11::timestamptz[], $12::timestamptz[],
                              $13::timestamptz[], $14::jsonb[], $15::jsonb[])",
        column!(rows, tenant_id),
        column!(rows, position),
        column!(rows, outcome),
        column!(rows, method),
        column!(rows, because) as &[Option<String>],
        column!(rows, user_id) as &[Option<Uuid>],
        column!(rows, session_id) as &[Option<Uuid>],
        column!(rows, service_id) as &[Option<Uuid>],
        column!(rows, impersonation_id) as &[Option<Uuid>],
        column!(rows, count),
        column!(rows, first_at),
        column!(rows, at),
        column!(rows, locked_until) as &[Option<DateTime<Utc>>],
        column!(rows, identifier) as &[Option<Json<PrivateField>>],
        column!(rows, origin) as &[Option<Json<PrivateField>>]
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn add(conn: &mut PgConnection, days: &[SignInDayRow]) -> sqlx::Result<()> {
    if days.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into sign_in_days as d
         select * from unnest($1::uuid[], $2::date[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
         on conflict (tenant_id, day, method, outcome) do update set
             count = d.count + excluded.count, position = excluded.position",
        column!(days, tenant_id),
        column!(days, day),
        column!(days, method),
        column!(days, outcome),
        column!(days, count),
        column!(days, position)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Which sign-ins are listed.
#[derive(Debug, Clone, Default, Hash)]
pub struct SignInFilter {
    /// Only those for this person.
    pub user_id: Option<Uuid>,
    /// Only those that ended so.
    pub outcome: Option<String>,
    /// Only those that were tried so.
    pub method: Option<String>,
    /// Only those at or after this moment.
    pub from: Option<DateTime<Utc>>,
    /// Only those before this moment.
    pub to: Option<DateTime<Utc>>,
}

/// Which days are listed.
#[derive(Debug, Clone, Copy, Default)]
pub struct DayFilter {
    /// Only this day and later ones.
    pub from: Option<NaiveDate>,
    /// Only days before this one.
    pub to: Option<NaiveDate>,
}

const LIST: ByPosition = ByPosition { list: "sign-ins", column: "position" };
const COLUMNS: &str = "select tenant_id, position, outcome, method, because, user_id, session_id, service_id,
        impersonation_id, count, first_at, at, locked_until, identifier, origin from sign_ins where tenant_id = ";
const DAYS: &str = "sign-ins/by-day";
const DAY_COLUMNS: &str =
    "select tenant_id, day, method, outcome, count, position from sign_in_days where tenant_id = ";

/// The key of a page of days, read strictly.
#[derive(Deserialize)]
struct DayCursor(NaiveDate, page::Text, page::Text);

impl SignIns {
    /// A page of sign-ins, by when they were recorded.
    ///
    /// # Errors
    /// If the cursor is not one of this list in this order, or the database does not answer.
    pub async fn list(
        tx: &mut TenantTx,
        filter: &SignInFilter,
        asked: &Asked,
    ) -> Result<Page<SignInRow>, ListError> {
        let mut query = tx.of_tenant(COLUMNS);
        if let Some(user) = filter.user_id {
            query.push(" and user_id = ").push_bind(user);
        }
        for (column, value) in [(" and outcome = ", &filter.outcome), (" and method = ", &filter.method)] {
            if let Some(value) = value {
                query.push(column).push_bind(value.clone());
            }
        }
        for (than, moment) in [(" and at >= ", filter.from), (" and at < ", filter.to)] {
            if let Some(moment) = moment {
                query.push(than).push_bind(moment);
            }
        }
        LIST.page(tx, query, filter, asked, |row: &SignInRow| row.position).await
    }

    /// A page of counts by day; within a day by method and outcome, the newest first from the end of the alphabet.
    ///
    /// # Errors
    /// If the cursor is not one of this list in this order, or the database does not answer.
    pub async fn by_day(
        tx: &mut TenantTx,
        filter: DayFilter,
        asked: &Asked,
    ) -> Result<Page<SignInDayRow>, ListError> {
        // The days that are meant if none are named move at midnight, and who reads goes on all the same.
        let list = asked.list(DAYS, &());
        let mut query = tx.of_tenant(DAY_COLUMNS);
        for (than, day) in [(" and day >= ", filter.from), (" and day < ", filter.to)] {
            if let Some(day) = day {
                query.push(than).push_bind(day);
            }
        }
        if let Some(DayCursor(day, method, outcome)) = asked.behind(&list)? {
            query.push(" and (day, method, outcome)").push(asked.order.than()).push("(").push_bind(day);
            query.push(", ").push_bind(method.0).push(", ").push_bind(outcome.0).push(")");
        }
        for (before, column) in [(" order by ", "day"), (", ", "method"), (", ", "outcome")] {
            query.push(before).push(column).push(asked.order.direction());
        }
        query.push(" limit ").push_bind(asked.limit + 1);
        let rows = query.build_query_as().fetch_all(tx.conn()).await?;
        Ok(Page::cut(rows, asked.limit, &list, |row: &SignInDayRow| {
            (row.day, row.method.clone(), row.outcome.clone())
        }))
    }
}

#[cfg(test)]
mod tests;
