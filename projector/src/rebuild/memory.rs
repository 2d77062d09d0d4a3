//! A read model without its type: its tables, and what it folds in memory.

use domain::ids::TenantId;
use futures_util::future::BoxFuture;
use read_models::{Item, ProjectionError, ReadModel};
use sqlx::PgConnection;
use uuid::Uuid;

/// A table's name, without a schema.
pub type Table = &'static str;

/// What a rebuild asks of a read model. See [`ReadModel`] for what each means.
pub trait Rebuildable: Send + Sync {
    /// Its tables.
    fn tables(&self) -> &'static [Table];
    /// Columns that may differ.
    fn expected_differences(&self) -> &'static [&'static str];
    /// Whether rows are only ever inserted.
    fn appends_only(&self) -> bool;
    /// Whose rows a partition makes.
    fn tenant_of(&self, tenant: TenantId, partition: Uuid) -> TenantId;
    /// Nothing folded yet.
    fn memory(&self) -> Box<dyn Memory>;
}

/// Rows that are folded over many pages before they are written.
pub trait Memory: Send + Sync {
    /// Loads what items need of rows that were written, unless it is here already.
    fn load<'a>(
        &'a mut self,
        conn: &'a mut PgConnection,
        items: &'a [Item<'a>],
    ) -> BoxFuture<'a, Result<(), ProjectionError>>;

    /// Folds items onto what is here.
    ///
    /// # Errors
    /// At the first item that cannot be taken, which has then changed nothing.
    fn fold(&mut self, items: &[Item<'_>]) -> Result<(), ProjectionError>;

    /// Writes by `COPY` and forgets: none of the rows is there yet.
    fn copy<'a>(&'a mut self, conn: &'a mut PgConnection) -> BoxFuture<'a, sqlx::Result<()>>;

    /// Writes over what is there and forgets.
    fn write<'a>(&'a mut self, conn: &'a mut PgConnection) -> BoxFuture<'a, sqlx::Result<()>>;

    /// Forgets what was not written.
    fn forget(&mut self);
}

/// Nothing folded yet.
pub(crate) fn memory<M: ReadModel>() -> Box<dyn Memory> {
    Box::new(Rows::<M>(M::Rows::default()))
}

struct Rows<M: ReadModel>(M::Rows);

impl<M: ReadModel> Memory for Rows<M> {
    fn load<'a>(
        &'a mut self,
        conn: &'a mut PgConnection,
        items: &'a [Item<'a>],
    ) -> BoxFuture<'a, Result<(), ProjectionError>> {
        Box::pin(M::load(conn, &mut self.0, items))
    }

    fn fold(&mut self, items: &[Item<'_>]) -> Result<(), ProjectionError> {
        M::fold(&mut self.0, items)
    }

    fn copy<'a>(&'a mut self, conn: &'a mut PgConnection) -> BoxFuture<'a, sqlx::Result<()>> {
        Box::pin(M::copy(conn, std::mem::take(&mut self.0)))
    }

    fn write<'a>(&'a mut self, conn: &'a mut PgConnection) -> BoxFuture<'a, sqlx::Result<()>> {
        Box::pin(M::write(conn, std::mem::take(&mut self.0)))
    }

    fn forget(&mut self) {
        self.0 = M::Rows::default();
    }
}
