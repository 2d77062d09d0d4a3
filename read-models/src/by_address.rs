//! Finding rows by an address of mail. No row says an address in the clear; the claims that keep addresses apart know each as a
//! keyed hash, and the log tells of a claim only that it has it.

use domain::ids::TenantId;
use event_store::MasterKey;
use event_store::keyring::IndexOf;
use sqlx::{Postgres, QueryBuilder};

/// A normalised address, as the claims of one tenant know it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AddressHash(Vec<u8>);

impl AddressHash {
    /// The hash of an address in the form in which addresses are compared.
    #[must_use]
    pub fn of(master: &MasterKey, tenant: TenantId, normal: &str) -> Self {
        Self(master.index(tenant, IndexOf::Email, normal.as_bytes()).0.to_vec())
    }

    /// A condition: the column names what has the address by a claim of this scope.
    pub(crate) fn narrow(
        &self,
        query: &mut QueryBuilder<Postgres>,
        tenant: TenantId,
        column: &'static str,
        scope: &'static str,
    ) {
        query.push(" and ").push(column).push(" = ");
        self.push(query, tenant, scope);
    }

    /// What has the address by a claim of this scope. It is looked up once for a statement, not for each row.
    pub(crate) fn push(&self, query: &mut QueryBuilder<Postgres>, tenant: TenantId, scope: &'static str) {
        query.push("(select store.has_address(").push_bind(tenant.uuid());
        query.push(", ").push_bind(scope).push(", ").push_bind(self.0.clone()).push("))");
    }
}
