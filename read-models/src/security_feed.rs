//! `security_feed`: what matters to the security of persons and of their organisation, one row an event: who it concerns, what
//! happened, who did it. What the event says in private is not here; where a request came from, the log and `sign_ins` have.

mod told;

use chrono::{DateTime, Utc};
use domain::ids::TenantId;
use domain::{Aggregate, Category, StreamId};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::copy::{self, cells};
use crate::figures::column;
use crate::in_epoch;
use crate::page::{Asked, ListError, Order, Page};
use crate::read_model::{Item, ProjectionError, ReadModel};
use crate::tenant_tx::TenantTx;

/// What happened to the security of an organisation and its persons.
#[derive(Debug)]
pub struct SecurityFeed;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow, ToSchema)]
pub struct SecurityRow {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) tenant_id: Uuid,
    /// Where its event stands in the log.
    #[serde(serialize_with = "in_epoch::position")]
    #[schema(value_type = String, example = "1-4711")]
    pub position: i64,
    /// What happened: the type of the event.
    #[schema(example = "identity.password-changed")]
    pub kind: String,
    /// Whom it concerns; `null` if it is nobody in particular.
    pub user_id: Option<Uuid>,
    /// Whom it concerns too.
    pub other_user_id: Option<Uuid>,
    /// Who did it; the nil UUID is the product itself. `null` if that cannot be read.
    pub actor: Option<Uuid>,
    /// What it is about: category and id of a stream.
    #[schema(example = "identity.user/0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e")]
    pub subject: String,
    /// How, with what is a sign-in.
    #[schema(example = "password")]
    pub method: Option<String>,
    /// Why, in a word.
    #[schema(example = "reset")]
    pub because: Option<String>,
    /// When it was recorded.
    pub at: DateTime<Utc>,
}

/// The categories whose events matter.
const WATCHED: [Category; 18] = [
    domain::identity::User::CATEGORY,
    domain::identity::Session::CATEGORY,
    domain::identity::SignInDay::CATEGORY,
    domain::identity::Factors::CATEGORY,
    domain::identity::AccessToken::CATEGORY,
    domain::federation::Provider::CATEGORY,
    domain::federation::Link::CATEGORY,
    domain::organisation::Standing::CATEGORY,
    domain::organisation::Profile::CATEGORY,
    domain::organisation::Policy::CATEGORY,
    domain::organisation::Membership::CATEGORY,
    domain::organisation::Role::CATEGORY,
    domain::organisation::Invitation::CATEGORY,
    domain::application::Service::CATEGORY,
    domain::application::ApiKey::CATEGORY,
    domain::application::DeviceGrant::CATEGORY,
    domain::application::Consent::CATEGORY,
    domain::platform::Impersonation::CATEGORY,
];

/// Refuses an event that cannot be read.
fn fold(rows: &mut Vec<SecurityRow>, items: &[Item<'_>]) -> Result<(), ProjectionError> {
    for item in items {
        let recorded = item.recorded;
        // Its streams all lead to the tenant's one partition.
        if rows.last().is_some_and(|row| row.position == recorded.position) {
            continue;
        }
        let Some(told) = told::told(item.event()?) else { continue };
        rows.push(SecurityRow {
            tenant_id: recorded.tenant.uuid(),
            position: recorded.position,
            kind: recorded.event_type.clone(),
            user_id: told.user,
            other_user_id: told.other,
            actor: item.meta().ok().map(|it| it.actor.uuid()),
            subject: recorded.stream.to_string(),
            method: told.method,
            because: told.because,
            at: recorded.recorded_at,
        });
    }
    Ok(())
}

impl ReadModel for SecurityFeed {
    const NAME: &'static str = "security_feed";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["security_feed"];
    const APPENDS_ONLY: bool = true;

    type Rows = Vec<SecurityRow>;

    fn partition(tenant: TenantId, stream: &StreamId) -> Option<Uuid> {
        WATCHED.contains(&stream.category).then_some(tenant.uuid())
    }

    async fn load(_: &mut PgConnection, _: &mut Self::Rows, _: &[Item<'_>]) -> Result<(), ProjectionError> {
        Ok(())
    }

    fn fold(rows: &mut Self::Rows, items: &[Item<'_>]) -> Result<(), ProjectionError> {
        fold(rows, items)
    }

    async fn write(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "insert into security_feed
             select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[], $7::text[],
                                  $8::text[], $9::text[], $10::timestamptz[])",
            column!(rows, tenant_id),
            column!(rows, position),
            column!(rows, kind),
            column!(rows, user_id) as &[Option<Uuid>],
            column!(rows, other_user_id) as &[Option<Uuid>],
            column!(rows, actor) as &[Option<Uuid>],
            column!(rows, subject),
            column!(rows, method) as &[Option<String>],
            column!(rows, because) as &[Option<String>],
            column!(rows, at)
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn copy(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        let cells = cells!(
            SecurityRow:
            tenant_id, position, kind, user_id, other_user_id, actor, subject, method, because, at
        );
        copy::rows(conn, "copy security_feed from stdin", &rows, cells).await
    }
}

/// What is listed.
#[derive(Debug, Clone, Default, Hash)]
pub struct SecurityFilter {
    /// Only what concerns this person.
    pub user_id: Option<Uuid>,
    /// Only this type of event.
    pub kind: Option<String>,
    /// Only what was recorded at or after this moment.
    pub from: Option<DateTime<Utc>>,
    /// Only what was recorded before this moment.
    pub to: Option<DateTime<Utc>>,
}

const LIST: &str = "security-feed";
const COLUMNS: &str =
    "select tenant_id, position, kind, user_id, other_user_id, actor, subject, method, because, at
    from security_feed where tenant_id = ";

/// Between which positions, and in which order.
#[derive(Clone, Copy)]
enum Walk {
    /// Below a position, if one is given, the newest first.
    Down(Option<i64>),
    /// Above the first and not above the second, in the order of the log.
    Up(i64, i64),
}

impl SecurityFeed {
    /// A page, by when it was recorded.
    ///
    /// # Errors
    /// If the cursor is not one of this list in this order, or the database does not answer.
    pub async fn list(
        tx: &mut TenantTx,
        filter: &SecurityFilter,
        asked: &Asked,
    ) -> Result<Page<SecurityRow>, ListError> {
        let list = asked.list(LIST, filter);
        let behind = asked.behind::<i64>(&list)?;
        let way = match asked.order {
            Order::Newest => Walk::Down(behind),
            Order::Oldest => Walk::Up(behind.unwrap_or(0), i64::MAX),
        };
        let rows = walk(tx, filter, way, asked.limit + 1).await?;
        Ok(Page::cut(rows, asked.limit, &list, |row| row.position))
    }

    /// What is behind `after`, up to `until`, in the order of the log, at most `limit`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn between(
        tx: &mut TenantTx,
        filter: &SecurityFilter,
        after: i64,
        until: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<SecurityRow>> {
        walk(tx, filter, Walk::Up(after, until), limit).await
    }
}

/// What concerns a person is found on two columns. Each has an index that gives its rows in order, so both are walked, and no
/// further than the page goes.
async fn walk(
    tx: &mut TenantTx,
    filter: &SecurityFilter,
    walk: Walk,
    limit: i64,
) -> sqlx::Result<Vec<SecurityRow>> {
    let tenant = tx.tenant().uuid();
    let order = match walk {
        Walk::Down(_) => " order by position desc limit ",
        Walk::Up(..) => " order by position limit ",
    };
    let mut query = QueryBuilder::<Postgres>::new("");
    let columns: &[&str] = if filter.user_id.is_some() { &["user_id", "other_user_id"] } else { &[""] };
    query.push("select * from (");
    for (nth, column) in columns.iter().enumerate() {
        query.push(if nth == 0 { "(" } else { " union all (" }).push(COLUMNS).push_bind(tenant);
        if let Some(user) = filter.user_id {
            query.push(" and ").push(*column).push(" = ").push_bind(user);
        }
        if let Some(kind) = &filter.kind {
            query.push(" and kind = ").push_bind(kind.clone());
        }
        for (than, moment) in [(" and at >= ", filter.from), (" and at < ", filter.to)] {
            if let Some(moment) = moment {
                query.push(than).push_bind(moment);
            }
        }
        match walk {
            Walk::Down(None) => {}
            Walk::Down(Some(below)) => _ = query.push(" and position < ").push_bind(below),
            Walk::Up(after, until) => {
                query.push(" and position > ").push_bind(after);
                query.push(" and position <= ").push_bind(until);
            }
        }
        query.push(order).push_bind(limit).push(")");
    }
    query.push(") found").push(order).push_bind(limit);
    query.build_query_as().fetch_all(tx.conn()).await
}

#[cfg(test)]
mod tests;
