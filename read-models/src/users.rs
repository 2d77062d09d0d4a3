//! `users`: one row a person of an organisation, as they are now. What is private stays sealed in it.

mod fold;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::identity::EMAIL_SCOPE;
use domain::{Aggregate, Category, Event};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::by_address::AddressHash;
use crate::copy::{self, cells};
use crate::factors::FactorRow;
use crate::figures::column;
use crate::in_epoch;
use crate::page::{Asked, ByPosition, ListError, Page};
use crate::private_field::{HasPrivate, PrivateField};
use crate::read_model::{Item, ProjectionError};
use crate::row_per_stream::{RowPerStream, StreamRow as _, stream_row};
use crate::tenant_tx::TenantTx;

/// The persons of an organisation.
#[derive(Debug)]
pub struct Users;

/// A person as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow, ToSchema)]
pub struct UserRow {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) tenant_id: Uuid,
    /// Who.
    pub user_id: Uuid,
    /// `active`, `inactive` or `erased`.
    #[schema(example = "active")]
    pub status: String,
    /// Their address.
    #[schema(value_type = PrivateField, example = "ada@example.com")]
    pub email: Option<Json<PrivateField>>,
    /// Which of their addresses that is, counted from 1.
    #[schema(example = 1)]
    pub email_version: i32,
    /// Whether it is shown to be theirs.
    pub email_verified: bool,
    /// The address that they have asked for and not confirmed yet.
    #[schema(value_type = PrivateField)]
    pub email_pending: Option<Json<PrivateField>>,
    /// What they are called by friends.
    #[schema(value_type = PrivateField, example = "Ada")]
    pub given_name: Option<Json<PrivateField>>,
    /// What their family is called.
    #[schema(value_type = PrivateField, example = "Lovelace")]
    pub family_name: Option<Json<PrivateField>>,
    /// Their telephone number.
    #[schema(value_type = PrivateField, example = "+44 20 7946 0000")]
    pub phone: Option<Json<PrivateField>>,
    /// Where they live.
    #[schema(value_type = PrivateField)]
    pub address: Option<Json<PrivateField>>,
    /// The language in which they are written to.
    #[schema(example = "en")]
    pub language: String,
    /// How they came.
    #[schema(example = "form")]
    pub via: String,
    /// Whether they can sign in with a password.
    pub has_password: bool,
    /// Whether a password alone lets them in no more: they have an authenticator.
    pub second_factor: bool,
    /// Their authenticator and their passkeys, in the order in which they were added.
    #[schema(value_type = Vec<FactorRow>)]
    pub factors: Json<Vec<FactorRow>>,
    /// How many recovery codes they have left.
    #[schema(example = 10)]
    pub recovery_codes_left: i32,
    /// Until when no sign-in with their address is looked at, from devices that are not known; `null` if it is not locked.
    #[sqlx(default)]
    pub locked_until: Option<DateTime<Utc>>,
    /// Until when none is looked at from a device on which they signed in before, if one is locked: each counts its own guesses.
    /// The last one to be opened, if several are.
    #[sqlx(default)]
    pub device_locked_until: Option<DateTime<Utc>>,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) generation: i32,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) kept_session: Option<Uuid>,
    /// When they registered.
    pub registered_at: DateTime<Utc>,
    /// When a session of theirs began last.
    pub last_sign_in_at: Option<DateTime<Utc>>,
    /// Version of their stream.
    #[schema(example = 1)]
    pub version: i64,
    /// Where their first event stands in the log.
    #[serde(serialize_with = "in_epoch::position")]
    #[schema(value_type = String, example = "1-4711")]
    pub first_position: i64,
    /// Where their newest event stands.
    #[serde(serialize_with = "in_epoch::position")]
    #[schema(value_type = String, example = "1-4711")]
    pub position: i64,
}

stream_row!(UserRow: user_id);

impl UserRow {
    /// Their address, once it was opened.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        match &self.email.as_ref()?.0 {
            PrivateField::Open(address) => Some(address),
            PrivateField::Sealed(_) | PrivateField::Erased => None,
        }
    }
}

impl HasPrivate for UserRow {
    fn private_fields(&mut self) -> Vec<&mut PrivateField> {
        let Self { email, email_pending, given_name, family_name, phone, address, factors, .. } = self;
        let all = [email, email_pending, given_name, family_name, phone, address];
        let labels = factors.iter_mut().filter_map(|it| it.label.as_mut());
        all.into_iter().flatten().map(|it| &mut it.0).chain(labels).collect()
    }
}

impl RowPerStream for Users {
    const NAME: &'static str = "users";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["users"];
    const CATEGORY: Category = domain::identity::User::CATEGORY;

    type Row = UserRow;

    fn begin(event: &Event, item: &Item<'_>) -> Result<Option<UserRow>, ProjectionError> {
        fold::begin(event, item)
    }

    fn change(row: &mut UserRow, event: &Event, item: &Item<'_>) {
        fold::change(row, event, item);
    }

    async fn load(conn: &mut PgConnection, tenants: &[Uuid], ids: &[Uuid]) -> sqlx::Result<Vec<UserRow>> {
        sqlx::query_as!(
            UserRow,
            r#"select tenant_id, user_id, status, email as "email: Json<PrivateField>", email_version, email_verified,
                      email_pending as "email_pending: Json<PrivateField>", given_name as "given_name: Json<PrivateField>",
                      family_name as "family_name: Json<PrivateField>", phone as "phone: Json<PrivateField>",
                      address as "address: Json<PrivateField>", language, via, has_password, false as "second_factor!",
                      '[]'::jsonb as "factors!: Json<Vec<FactorRow>>", 0 as "recovery_codes_left!",
                      null::timestamptz as locked_until, null::timestamptz as device_locked_until, generation, kept_session, registered_at,
                      null::timestamptz as last_sign_in_at, version, first_position, position
               from users where (tenant_id, user_id) in (select * from unnest($1::uuid[], $2::uuid[]))"#,
            tenants,
            ids
        )
        .fetch_all(conn)
        .await
    }

    async fn save(conn: &mut PgConnection, rows: &[UserRow]) -> sqlx::Result<()> {
        sqlx::query!(
            "insert into users
             select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::jsonb[], $5::integer[], $6::bool[], $7::jsonb[],
                                  $8::jsonb[], $9::jsonb[], $10::jsonb[], $11::jsonb[], $12::text[], $13::text[],
                                  $14::bool[], $15::integer[], $16::uuid[], $17::timestamptz[], $18::bigint[],
                                  $19::bigint[], $20::bigint[])
             on conflict (tenant_id, user_id) do update set
                 status = excluded.status, email = excluded.email, email_version = excluded.email_version,
                 email_verified = excluded.email_verified, email_pending = excluded.email_pending,
                 given_name = excluded.given_name, family_name = excluded.family_name, phone = excluded.phone,
                 address = excluded.address, language = excluded.language, has_password = excluded.has_password,
                 generation = excluded.generation, kept_session = excluded.kept_session, version = excluded.version,
                 position = excluded.position",
            column!(rows, tenant_id),
            column!(rows, user_id),
            column!(rows, status),
            column!(rows, email) as &[Option<Json<PrivateField>>],
            column!(rows, email_version),
            column!(rows, email_verified),
            column!(rows, email_pending) as &[Option<Json<PrivateField>>],
            column!(rows, given_name) as &[Option<Json<PrivateField>>],
            column!(rows, family_name) as &[Option<Json<PrivateField>>],
            column!(rows, phone) as &[Option<Json<PrivateField>>],
            column!(rows, address) as &[Option<Json<PrivateField>>],
            column!(rows, language),
            column!(rows, via),
            column!(rows, has_password),
            column!(rows, generation),
            column!(rows, kept_session) as &[Option<Uuid>],
            column!(rows, registered_at),
            column!(rows, version),
            column!(rows, first_position),
            column!(rows, position)
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn copy(conn: &mut PgConnection, rows: &[UserRow]) -> sqlx::Result<()> {
        let cells = cells!(
            UserRow:
            tenant_id, user_id, status, email, email_version, email_verified, email_pending, given_name, family_name,
            phone, address, language, via, has_password, generation, kept_session, registered_at, version,
            first_position, position
        );
        copy::rows(conn, "copy users from stdin", rows, cells).await
    }
}

/// Until when no guess at an address is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Locks {
    /// From devices that nobody knows.
    pub elsewhere: Option<DateTime<Utc>>,
    /// From one of the devices on which somebody signed in with it.
    pub on_device: Option<DateTime<Utc>>,
}

/// Which persons are listed.
#[derive(Debug, Clone, Default, Hash)]
pub struct UserFilter {
    /// `active`, `inactive` or `erased`.
    pub status: Option<String>,
    /// Only who has this address, or has asked for it.
    pub email: Option<AddressHash>,
}

const LIST: ByPosition = ByPosition { list: "users", column: "u.first_position" };
const COLUMNS: &str = "select u.tenant_id, u.user_id, u.status, u.email, u.email_version, u.email_verified,
        u.email_pending, u.given_name, u.family_name, u.phone, u.address, u.language, u.via, u.has_password,
        u.generation, u.kept_session, u.registered_at, u.version, u.first_position, u.position,
        (select s.started_at from sessions s where s.tenant_id = u.tenant_id and s.user_id = u.user_id
         order by s.first_position desc limit 1) as last_sign_in_at,
        coalesce(f.factors @> '[{\"kind\": \"totp\"}]', false) as second_factor, coalesce(f.factors, '[]') as factors,
        coalesce(f.recovery_codes_left, 0) as recovery_codes_left
    from users u left join factors f on f.tenant_id = u.tenant_id and f.user_id = u.user_id
    where u.tenant_id = ";

impl Users {
    /// One person. What they did last is told by `sessions`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn find(tx: &mut TenantTx, id: Uuid) -> sqlx::Result<Option<UserRow>> {
        let mut query = tx.of_tenant(COLUMNS);
        query.push(" and u.user_id = ").push_bind(id);
        query.build_query_as().fetch_optional(tx.conn()).await
    }

    /// Which of these names are locked: keyed hashes of what guesses from unknown devices are counted under.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn locked(tx: &mut TenantTx, subjects: &[Vec<u8>]) -> sqlx::Result<HashMap<Vec<u8>, Locks>> {
        if subjects.is_empty() {
            return Ok(HashMap::new());
        }
        let tenant = tx.tenant().uuid();
        let rows = sqlx::query!(
            r#"select subject as "subject!", locked_until as "locked_until!", false as "on_device!"
               from store.sign_in_locks($1, $2)
               union all select subject, locked_until, true from store.device_locks($1, $2)"#,
            tenant,
            subjects
        )
        .fetch_all(tx.conn())
        .await?;
        let mut locks = HashMap::<Vec<u8>, Locks>::new();
        for row in rows {
            let lock = locks.entry(row.subject).or_default();
            let until = if row.on_device { &mut lock.on_device } else { &mut lock.elsewhere };
            *until = Some(row.locked_until);
        }
        Ok(locks)
    }

    /// A page of persons, who registered last first.
    ///
    /// # Errors
    /// If the cursor is not one of this list in this order, or the database does not answer.
    pub async fn list(
        tx: &mut TenantTx,
        filter: &UserFilter,
        asked: &Asked,
    ) -> Result<Page<UserRow>, ListError> {
        let mut query = tx.of_tenant(COLUMNS);
        if let Some(status) = &filter.status {
            query.push(" and u.status = ").push_bind(status);
        }
        if let Some(email) = &filter.email {
            email.narrow(&mut query, tx.tenant(), "u.user_id", EMAIL_SCOPE);
        }
        LIST.page(tx, query, filter, asked, UserRow::first_position).await
    }
}
