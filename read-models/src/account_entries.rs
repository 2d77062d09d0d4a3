//! `account_entries`: one row for each event that touched an account's money. Statements, and balances as of any
//! moment, version or place in the log, are answered from it: [`statement`].

pub mod statement;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::ids::{AccountId, TenantId};
use domain::ledger::{LedgerEvent, Leg, Side};
use domain::{Aggregate, Event, StreamId};
use event_store::Recorded;
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::copy::{self, cells};
use crate::figures::{self, column};
use crate::in_epoch;
use crate::page::{Asked, ByPosition, ListError, Page};
use crate::read_model::{Item, Key, ProjectionError, ReadModel};
use crate::tenant_tx::TenantTx;

/// What happened on accounts.
#[derive(Debug)]
pub struct AccountEntries;

/// One event on one account, with the account's totals after it.
#[derive(Debug, Clone, PartialEq, Serialize, FromRow, ToSchema)]
pub struct EntryRow {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) tenant_id: Uuid,
    /// Whose account.
    pub account_id: Uuid,
    /// The version of the account's stream that the event made.
    #[schema(example = 7)]
    pub version: i64,
    /// Where the event stands in the log.
    #[serde(serialize_with = "in_epoch::position")]
    #[schema(value_type = String, example = "1-4711")]
    pub position: i64,
    /// The transfer that it belongs to.
    pub transfer_id: Uuid,
    /// `posted`, `held`, `hold-posted`, `hold-voided`, `hold-expired` or `reversed`.
    #[schema(example = "posted")]
    pub kind: String,
    /// On which side: `debit` or `credit`.
    #[schema(example = "debit")]
    pub side: String,
    /// What was posted on that side; nothing if only a hold changed.
    #[schema(value_type = String, example = "12.34")]
    pub amount: Decimal,
    /// By how much what is on hold on that side changed: more than nothing when set aside, less when posted or freed.
    #[schema(value_type = String, example = "0.00")]
    pub pending_amount: Decimal,
    /// The account's currency.
    #[schema(example = "EUR")]
    pub currency: String,
    /// Everything ever debited, after it.
    #[schema(value_type = String, example = "32.34")]
    pub debits_posted: Decimal,
    /// Everything ever credited, after it.
    #[schema(value_type = String, example = "120.00")]
    pub credits_posted: Decimal,
    /// Debits on hold, after it.
    #[schema(value_type = String, example = "0.00")]
    pub debits_pending: Decimal,
    /// Credits on hold, after it.
    #[schema(value_type = String, example = "0.00")]
    pub credits_pending: Decimal,
    /// The balance in the direction of the account's normal side, after it.
    #[schema(value_type = String, example = "87.66")]
    pub balance_after: Decimal,
    /// What sort of transfer it is, in the caller's terms; only where the event says so.
    pub code: Option<String>,
    /// The moment that it counts from; of the end of a hold, the moment of its recording.
    pub effective_at: DateTime<Utc>,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
}

/// What an event is to an account's money.
struct Motion<'a> {
    kind: &'static str,
    transfer_id: Uuid,
    code: Option<String>,
    effective_at: Option<DateTime<Utc>>,
    legs: &'a [Leg],
}

fn motion(event: &LedgerEvent) -> Option<Motion<'_>> {
    let (kind, code, effective_at) = match event {
        LedgerEvent::TransferPosted(event) => ("posted", event.code.as_ref(), Some(event.effective_at)),
        LedgerEvent::TransferHeld(event) => ("held", event.code.as_ref(), Some(event.effective_at)),
        LedgerEvent::HoldPosted(event) => ("hold-posted", None, Some(event.effective_at)),
        LedgerEvent::HoldVoided(_) => ("hold-voided", None, None),
        LedgerEvent::HoldExpired(_) => ("hold-expired", None, None),
        LedgerEvent::TransferReversed(event) => ("reversed", None, Some(event.effective_at)),
        LedgerEvent::AccountOpened(_)
        | LedgerEvent::AccountFrozen(_)
        | LedgerEvent::AccountUnfrozen(_)
        | LedgerEvent::AccountClosed(_)
        | LedgerEvent::PeriodClosed(_) => return None,
    };
    let transfer_id = event.transfer_id()?.uuid();
    let code = code.map(|it| it.as_str().to_owned());
    Some(Motion { kind, transfer_id, code, effective_at, legs: event.legs() })
}

/// Debits and credits on hold.
type Pending = (Decimal, Decimal);

/// New rows, and what is on hold on the accounts after them. That is needed for the posting of holds, whose event says
/// what moved and not what had been set aside.
#[derive(Debug, Default)]
pub struct Entries {
    pending: HashMap<Key, Pending>,
    rows: Vec<EntryRow>,
}

/// Refuses an event that cannot be read.
fn fold(Entries { pending, rows }: &mut Entries, items: &[Item<'_>]) -> Result<(), ProjectionError> {
    for item in items {
        let Event::Ledger(event) = item.event()? else { continue };
        let Some(motion) = motion(event) else { continue };
        let id = AccountId::new(item.partition);
        let Some(leg) = motion.legs.iter().find(|leg| leg.account_id == id) else { continue };
        let before = pending.entry((item.recorded.tenant.uuid(), item.partition)).or_default();
        rows.push(entry(item.recorded, &motion, leg, *before));
        *before = (leg.after.debits_pending.decimal(), leg.after.credits_pending.decimal());
    }
    Ok(())
}

fn entry(recorded: &Recorded, motion: &Motion<'_>, leg: &Leg, before: Pending) -> EntryRow {
    let totals = leg.after.totals();
    let amount = leg.amount.amount();
    let held_before = match leg.side {
        Side::Debit => before.0,
        Side::Credit => before.1,
    };
    let (amount, pending_amount) = match motion.kind {
        "held" => (Decimal::ZERO, amount),
        "hold-voided" | "hold-expired" => (Decimal::ZERO, -amount),
        "hold-posted" => (amount, totals.pending(leg.side).decimal() - held_before),
        _ => (amount, Decimal::ZERO),
    };
    EntryRow {
        tenant_id: recorded.tenant.uuid(),
        account_id: leg.account_id.uuid(),
        version: leg.after.version,
        position: recorded.position,
        transfer_id: motion.transfer_id,
        kind: motion.kind.to_owned(),
        side: leg.side.as_str().to_owned(),
        amount,
        pending_amount,
        currency: leg.amount.currency().code().to_owned(),
        debits_posted: totals.debits_posted.decimal(),
        credits_posted: totals.credits_posted.decimal(),
        debits_pending: totals.debits_pending.decimal(),
        credits_pending: totals.credits_pending.decimal(),
        balance_after: figures::balance_of(leg.after.normal_side, &totals),
        code: motion.code.clone(),
        effective_at: motion.effective_at.unwrap_or(recorded.recorded_at),
        recorded_at: recorded.recorded_at,
    }
}

impl ReadModel for AccountEntries {
    const NAME: &'static str = "account_entries";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["account_entries"];
    const APPENDS_ONLY: bool = true;

    type Rows = Entries;

    fn partition(_: TenantId, stream: &StreamId) -> Option<Uuid> {
        (stream.category == domain::ledger::Account::CATEGORY).then_some(stream.id)
    }

    async fn load(
        conn: &mut PgConnection,
        rows: &mut Self::Rows,
        items: &[Item<'_>],
    ) -> Result<(), ProjectionError> {
        let keys: Vec<Key> = items
            .iter()
            .filter(|item| item.recorded.event_type == "ledger.hold-posted")
            .map(|item| (item.recorded.tenant.uuid(), item.partition))
            .filter(|key| !rows.pending.contains_key(key))
            .collect();
        rows.pending.extend(pending(conn, &keys).await?);
        Ok(())
    }

    fn fold(rows: &mut Self::Rows, items: &[Item<'_>]) -> Result<(), ProjectionError> {
        fold(rows, items)
    }

    async fn write(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        save(conn, &rows.rows).await
    }

    async fn copy(conn: &mut PgConnection, rows: Self::Rows) -> sqlx::Result<()> {
        let cells = cells!(
            EntryRow:
            tenant_id, account_id, version, position, transfer_id, kind, side, amount, pending_amount,
            currency, debits_posted, credits_posted, debits_pending, credits_pending, balance_after, code,
            effective_at, recorded_at
        );
        copy::rows(conn, "copy account_entries from stdin", &rows.rows, cells).await
    }
}

/// What is on hold on accounts, by their newest rows.
async fn pending(tx: &mut PgConnection, keys: &[Key]) -> sqlx::Result<HashMap<Key, Pending>> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) = keys.iter().copied().unzip();
    let rows = sqlx::query!(
        r#"select k.tenant as "tenant!", k.account as "account!", e.debits_pending, e.credits_pending
           from (select distinct * from unnest($1::uuid[], $2::uuid[]) as u (tenant, account)) k
           cross join lateral (
               select x.debits_pending, x.credits_pending from account_entries x
               where x.tenant_id = k.tenant and x.account_id = k.account order by x.version desc limit 1
           ) e"#,
        &tenants,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ((row.tenant, row.account), (row.debits_pending, row.credits_pending)))
        .collect())
}

async fn save(tx: &mut PgConnection, rows: &[EntryRow]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into account_entries
         select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::uuid[], $6::text[], $7::text[],
                              $8::numeric[], $9::numeric[], $10::text[], $11::numeric[], $12::numeric[], $13::numeric[],
                              $14::numeric[], $15::numeric[], $16::text[], $17::timestamptz[], $18::timestamptz[])",
        column!(rows, tenant_id),
        column!(rows, account_id),
        column!(rows, version),
        column!(rows, position),
        column!(rows, transfer_id),
        column!(rows, kind),
        column!(rows, side),
        column!(rows, amount),
        column!(rows, pending_amount),
        column!(rows, currency),
        column!(rows, debits_posted),
        column!(rows, credits_posted),
        column!(rows, debits_pending),
        column!(rows, credits_pending),
        column!(rows, balance_after),
        column!(rows, code) as &[Option<String>],
        column!(rows, effective_at),
        column!(rows, recorded_at)
    )
    .execute(tx)
    .await?;
    Ok(())
}

impl EntryRow {
    fn shown(mut self) -> Self {
        let figures = [
            &mut self.amount,
            &mut self.pending_amount,
            &mut self.debits_posted,
            &mut self.credits_posted,
            &mut self.debits_pending,
            &mut self.credits_pending,
            &mut self.balance_after,
        ];
        figures::in_currency(&self.currency, figures);
        self
    }
}

// Versions of one account say nothing of another: cursors are bound to the account.
const LIST: ByPosition = ByPosition { list: "entries", column: "version" };
const COLUMNS: &str =
    "select tenant_id, account_id, version, position, transfer_id, kind, side, amount, pending_amount, currency,
        debits_posted, credits_posted, debits_pending, credits_pending, balance_after, code, effective_at, recorded_at
    from account_entries where tenant_id = ";

impl AccountEntries {
    /// A page of an account's entries.
    ///
    /// # Errors
    /// If the cursor is not one of this list in this order, or the database does not answer.
    pub async fn list(tx: &mut TenantTx, account: Uuid, asked: &Asked) -> Result<Page<EntryRow>, ListError> {
        let mut query = tx.of_tenant(COLUMNS);
        query.push(" and account_id = ").push_bind(account);
        let Page { items, next_cursor } =
            LIST.page(tx, query, &account, asked, |it: &EntryRow| it.version).await?;
        Ok(Page { items: items.into_iter().map(EntryRow::shown).collect(), next_cursor })
    }
}
