//! What the projector can run: a fold of the log with a checkpoint, be it a read model or the memory of a reactor.

use std::marker::PhantomData;
use std::sync::Arc;

use domain::StreamId;
use domain::ids::TenantId;
use futures_util::future::BoxFuture;
use read_models::{Item, ProjectionError, ReadModel};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::rebuild::{Memory, Rebuildable, Table, memory};

/// The right to act for a follower, as long as its row in `run.projections` has this lease epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Which follower.
    pub model: &'static str,
    /// Which version of it.
    pub version: i32,
    /// Grows with every change of hands.
    pub epoch: i64,
}

/// Something that follows the log from a checkpoint of its own. See [`ReadModel`] for what its parts promise.
pub trait Follower: Send + Sync + 'static {
    /// Its name in `run.projections`.
    fn name(&self) -> &'static str;

    /// The version of its fold and tables.
    fn version(&self) -> i32;

    /// The schema that unqualified table names mean.
    fn schema(&self) -> &'static str;

    /// Which partition a stream feeds, if any.
    fn partition(&self, tenant: TenantId, stream: &StreamId) -> Option<Uuid>;

    /// Applies items, in order of position, in the transaction that also moves the checkpoint.
    fn apply<'a>(
        &'a self,
        tx: &'a mut PgConnection,
        items: &'a [Item<'a>],
    ) -> BoxFuture<'a, Result<(), ProjectionError>>;

    /// What is done beside the fold while this process leads. It is dropped when the lease is lost, so it must bear
    /// being cut anywhere. Read models have nothing here: side effects are for reactors.
    fn while_leading(&self, _lease: Lease) -> Option<BoxFuture<'static, ()>> {
        None
    }

    /// What a rebuild needs to know; nothing for a reactor, which is never built anew beside itself.
    fn rebuildable(&self) -> Option<&dyn Rebuildable> {
        None
    }
}

/// A read model, to be run.
#[must_use]
pub fn read_model<M: ReadModel>() -> Arc<dyn Follower> {
    Arc::new(Model::<M>(PhantomData))
}

struct Model<M>(PhantomData<fn() -> M>);

impl<M: ReadModel> Follower for Model<M> {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn version(&self) -> i32 {
        M::VERSION
    }

    fn schema(&self) -> &'static str {
        "read"
    }

    fn partition(&self, tenant: TenantId, stream: &StreamId) -> Option<Uuid> {
        M::partition(tenant, stream)
    }

    fn apply<'a>(
        &'a self,
        tx: &'a mut PgConnection,
        items: &'a [Item<'a>],
    ) -> BoxFuture<'a, Result<(), ProjectionError>> {
        Box::pin(M::apply(tx, items))
    }

    fn rebuildable(&self) -> Option<&dyn Rebuildable> {
        Some(self)
    }
}

impl<M: ReadModel> Rebuildable for Model<M> {
    fn tables(&self) -> &'static [Table] {
        M::TABLES
    }

    fn expected_differences(&self) -> &'static [&'static str] {
        M::EXPECTED_DIFFERENCES
    }

    fn appends_only(&self) -> bool {
        M::APPENDS_ONLY
    }

    fn tenant_of(&self, tenant: TenantId, partition: Uuid) -> TenantId {
        M::tenant_of(tenant, partition)
    }

    fn memory(&self) -> Box<dyn Memory> {
        memory::<M>()
    }
}
