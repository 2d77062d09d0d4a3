//! The only way to read: a short read-only transaction on one snapshot, in which row security shows one tenant.

use std::fmt::Write as _;

use domain::ids::TenantId;
use sabotage::Guard;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, QueryBuilder, Transaction};

use crate::progress::Touch;

/// A transaction that sees one tenant's rows, all of them as of one moment. Dropped, it is rolled back.
#[derive(Debug)]
pub struct TenantTx {
    tx: Transaction<'static, Postgres>,
    tenant: TenantId,
}

impl TenantTx {
    /// Begins to read for a tenant: the log, and the models in `touches`, of which there must be every one that is read.
    ///
    /// # Errors
    /// If no connection is free or the database does not answer.
    pub async fn begin(pool: &PgPool, tenant: TenantId, touches: &[Touch]) -> sqlx::Result<Self> {
        let begin = beginning(tenant, touches);
        let tx = pool.begin_with(AssertSqlSafe(begin)).await?;
        Ok(Self { tx, tenant })
    }

    /// Whose rows it sees.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The rows of the tenant: a statement that ends where the tenant belongs, such as `… where tenant_id = `, with the tenant.
    /// More conditions can follow.
    pub(crate) fn of_tenant(&self, statement: &'static str) -> QueryBuilder<Postgres> {
        let mut query = QueryBuilder::new(statement);
        query.push_bind(self.tenant.uuid());
        query
    }

    /// The connection, for further statements on the same snapshot.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Ends it; nothing was changed.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn end(self) -> sqlx::Result<()> {
        self.tx.commit().await
    }
}

/// The statements that begin a transaction, in one round trip. They hold no text from outside: a tenant is a UUID and
/// tables are constants.
fn beginning(tenant: TenantId, touches: &[Touch]) -> String {
    let mut text = "begin isolation level repeatable read read only".to_owned();
    // Invariant: tables are locked before the snapshot is taken. A snapshot from before a rebuilt model took its place
    // sees none of the new rows, and a name means the table that has it now: together that would be a gap.
    let mut tables = touches.iter().flat_map(|it| it.tables);
    if let Some(first) = tables.next().filter(|_| sabotage::stands(Guard::ReaderLock)) {
        _ = write!(text, "; lock table read.{first}");
        tables.for_each(|table| _ = write!(text, ", read.{table}"));
        text.push_str(" in access share mode");
    }
    // Tenants differ in size by orders of magnitude, so a plan made for one of them is not kept for another: on a
    // freshly filled index a plan for the average walked 120,000 rows for a rare category, 78 ms instead of one.
    _ = write!(
        text,
        "; select set_config('app.tenants', '{{{tenant}}}', true), set_config('search_path', 'read', true),
                  set_config('plan_cache_mode', 'force_custom_plan', true)"
    );
    text
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{Accounts, TrialBalance};

    #[test]
    fn tables_are_locked_before_anything_is_read() {
        let tenant = TenantId::new(Uuid::nil());
        let text = beginning(tenant, &[Touch::all::<TrialBalance>(), Touch::one::<Accounts>(Uuid::nil())]);
        let lock =
            "lock table read.trial_balance, read.trial_balance_accounts, read.accounts in access share mode";
        assert!(text.find(lock).unwrap() < text.find("select").unwrap(), "{text}");
        assert!(!beginning(tenant, &[]).contains("lock"));
    }
}
