//! `invitations`: who was invited to an organisation, and what became of it. Of the links that were mailed, nothing is here.

use chrono::{DateTime, Utc};
use domain::identity::EMAIL_SCOPE;
use domain::ids::UserId;
use domain::organisation::{INVITATION_SCOPE, Invitation, OrganisationEvent};
use domain::{Aggregate, Category, Event};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::by_address::AddressHash;
use crate::copy::{self, cells};
use crate::figures::column;
use crate::in_epoch;
use crate::page::{Asked, ByPosition, ListError, Page};
use crate::private_field::{HasPrivate, PrivateField};
use crate::read_model::{Item, ProjectionError};
use crate::row_per_stream::{RowPerStream, StreamRow as _, stream_row};
use crate::tenant_tx::TenantTx;

/// The invitations of an organisation.
#[derive(Debug)]
pub struct Invitations;

/// An invitation as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow, ToSchema)]
pub struct InvitationRow {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) tenant_id: Uuid,
    /// Which.
    pub invitation_id: Uuid,
    /// `pending`, `accepted`, `declined`, `revoked` or `expired`.
    #[schema(example = "pending")]
    pub status: String,
    /// The address that was invited.
    #[schema(value_type = PrivateField, example = "ada@example.com")]
    pub email: Option<Json<PrivateField>>,
    /// What its person becomes: names of built-in roles, and identifiers of the organisation's own.
    #[schema(value_type = Vec<String>, example = json!(["user"]))]
    pub roles: Json<Vec<String>>,
    /// The member who invited; `null` if none did.
    pub inviter: Option<Uuid>,
    /// How often a link was mailed; the newest alone is good.
    #[schema(example = 1)]
    pub sendings: i32,
    /// When it was sent first.
    pub sent_at: DateTime<Utc>,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
    /// When it was accepted, declined, revoked, or recorded to be over.
    pub closed_at: Option<DateTime<Utc>>,
    /// Who accepted it.
    pub user_id: Option<Uuid>,
    /// Version of its stream.
    #[schema(example = 1)]
    pub version: i64,
    /// Where its first event stands in the log.
    #[serde(serialize_with = "in_epoch::position")]
    #[schema(value_type = String, example = "1-4711")]
    pub first_position: i64,
    /// Where its newest event stands.
    #[serde(serialize_with = "in_epoch::position")]
    #[schema(value_type = String, example = "1-4711")]
    pub position: i64,
}

stream_row!(InvitationRow: invitation_id);

impl HasPrivate for InvitationRow {
    fn private_fields(&mut self) -> Vec<&mut PrivateField> {
        self.email.iter_mut().map(|it| &mut it.0).collect()
    }
}

impl InvitationRow {
    fn close(&mut self, status: &str, at: DateTime<Utc>) {
        status.clone_into(&mut self.status);
        self.closed_at = Some(at);
    }
}

impl RowPerStream for Invitations {
    const NAME: &'static str = "invitations";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["invitations"];
    const CATEGORY: Category = Invitation::CATEGORY;

    type Row = InvitationRow;

    fn begin(event: &Event, item: &Item<'_>) -> Result<Option<InvitationRow>, ProjectionError> {
        let Event::Organisation(OrganisationEvent::InvitationSent(event)) = event else {
            return Err(item.poisoned("it is about an invitation that was never sent"));
        };
        let recorded = item.recorded;
        Ok(Some(InvitationRow {
            tenant_id: recorded.tenant.uuid(),
            invitation_id: item.partition,
            status: "pending".to_owned(),
            email: PrivateField::of(item, "payload.email", &event.email),
            roles: Json(event.roles.iter().map(ToString::to_string).collect()),
            inviter: event.inviter.map(UserId::uuid),
            sendings: 1,
            sent_at: event.at,
            expires_at: event.expires_at,
            closed_at: None,
            user_id: None,
            version: 1,
            first_position: recorded.position,
            position: recorded.position,
        }))
    }

    fn change(row: &mut InvitationRow, event: &Event, _: &Item<'_>) {
        let Event::Organisation(event) = event else { return };
        match event {
            OrganisationEvent::InvitationResent(it) => {
                row.sendings = i32::try_from(it.sendings).unwrap_or(i32::MAX);
                row.expires_at = it.expires_at;
            }
            OrganisationEvent::InvitationAccepted(it) => {
                row.close("accepted", it.at);
                row.user_id = Some(it.user_id.uuid());
            }
            OrganisationEvent::InvitationDeclined(it) => row.close("declined", it.at),
            OrganisationEvent::InvitationRevoked(it) => row.close("revoked", it.at),
            OrganisationEvent::InvitationExpired(it) => row.close("expired", it.at),
            _ => {}
        }
    }

    async fn load(
        conn: &mut PgConnection,
        tenants: &[Uuid],
        ids: &[Uuid],
    ) -> sqlx::Result<Vec<InvitationRow>> {
        sqlx::query_as!(
            InvitationRow,
            r#"select tenant_id, invitation_id, status, email as "email: Json<PrivateField>",
                      roles as "roles: Json<Vec<String>>", inviter, sendings, sent_at, expires_at, closed_at, user_id,
                      version, first_position, position
               from invitations where (tenant_id, invitation_id) in (select * from unnest($1::uuid[], $2::uuid[]))"#,
            tenants,
            ids
        )
        .fetch_all(conn)
        .await
    }

    async fn save(conn: &mut PgConnection, rows: &[InvitationRow]) -> sqlx::Result<()> {
        sqlx::query!(
            "insert into invitations
             select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::jsonb[], $5::jsonb[], $6::uuid[],
                                  $7::integer[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::uuid[],
                                  $12::bigint[], $13::bigint[], $14::bigint[])
             on conflict (tenant_id, invitation_id) do update set
                 status = excluded.status, sendings = excluded.sendings, expires_at = excluded.expires_at,
                 closed_at = excluded.closed_at, user_id = excluded.user_id, version = excluded.version,
                 position = excluded.position",
            column!(rows, tenant_id),
            column!(rows, invitation_id),
            column!(rows, status),
            column!(rows, email) as &[Option<Json<PrivateField>>],
            column!(rows, roles) as &[Json<Vec<String>>],
            column!(rows, inviter) as &[Option<Uuid>],
            column!(rows, sendings),
            column!(rows, sent_at),
            column!(rows, expires_at),
            column!(rows, closed_at) as &[Option<DateTime<Utc>>],
            column!(rows, user_id) as &[Option<Uuid>],
            column!(rows, version),
            column!(rows, first_position),
            column!(rows, position)
        )
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn copy(conn: &mut PgConnection, rows: &[InvitationRow]) -> sqlx::Result<()> {
        let cells = cells!(
            InvitationRow:
            tenant_id, invitation_id, status, email, roles, inviter, sendings, sent_at, expires_at, closed_at, user_id,
            version, first_position, position
        );
        copy::rows(conn, "copy invitations from stdin", rows, cells).await
    }
}

/// Which invitations are listed.
#[derive(Debug, Clone, Default, Hash)]
pub struct InvitationFilter {
    /// As the row shows it.
    pub status: Option<String>,
    /// Only those that this member sent.
    pub inviter: Option<Uuid>,
    /// Only the one to this address that is open, and those that whoever has the address accepted.
    pub email: Option<AddressHash>,
}

const LIST: ByPosition = ByPosition { list: "invitations", column: "i.first_position" };
// Time alone ends an invitation, whether that is recorded yet or not.
const COLUMNS: &str =
    "select i.tenant_id, i.invitation_id, stands.status, i.email, i.roles, i.inviter, i.sendings,
        i.sent_at, i.expires_at, i.closed_at, i.user_id, i.version, i.first_position, i.position
    from invitations i
    cross join lateral (select case
        when i.status = 'pending' and i.expires_at <= now() then 'expired' else i.status end as status) stands
    where i.tenant_id = ";

impl Invitations {
    /// One invitation.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn find(tx: &mut TenantTx, id: Uuid) -> sqlx::Result<Option<InvitationRow>> {
        let mut query = tx.of_tenant(COLUMNS);
        query.push(" and i.invitation_id = ").push_bind(id);
        query.build_query_as().fetch_optional(tx.conn()).await
    }

    /// A page of invitations, by when they were first sent.
    ///
    /// # Errors
    /// If the cursor is not one of this list in this order, or the database does not answer.
    pub async fn list(
        tx: &mut TenantTx,
        filter: &InvitationFilter,
        asked: &Asked,
    ) -> Result<Page<InvitationRow>, ListError> {
        let mut query = tx.of_tenant(COLUMNS);
        if let Some(status) = &filter.status {
            // What is recorded narrows it by an index; what is shown decides.
            if status == "expired" {
                query.push(" and i.status in ('pending', 'expired')");
            } else {
                query.push(" and i.status = ").push_bind(status);
            }
            query.push(" and stands.status = ").push_bind(status);
        }
        if let Some(inviter) = filter.inviter {
            query.push(" and i.inviter = ").push_bind(inviter);
        }
        if let Some(email) = &filter.email {
            query.push(" and (i.invitation_id = ");
            email.push(&mut query, tx.tenant(), INVITATION_SCOPE);
            query.push(" or i.user_id = ");
            email.push(&mut query, tx.tenant(), EMAIL_SCOPE);
            query.push(")");
        }
        LIST.page(tx, query, filter, asked, InvitationRow::first_position).await
    }
}

#[cfg(test)]
mod tests;
