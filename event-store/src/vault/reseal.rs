//! Sealing anew: what another key of the ring sealed comes under the one that seals now, batch by batch, beside everything
//! that runs. There is no state but the values themselves, each of which names its key: whoever is interrupted begins again
//! and finds what is left. See `migrations/0062_vault_reseal.sql`.

use domain::ids::TenantId;
use uuid::Uuid;

use super::Vault;
use crate::keyring::{Cell, KeyError, KeyTag, MasterKey};

/// So many values are opened and sealed at once. Each batch is one transaction of the database.
const BATCH: i32 = 200;
/// The table of keys of subjects. What it holds is wrapped, and bound to its subject alone.
const SUBJECT_KEYS: &str = "keys.subject_keys";

/// A column of which the master key sealed each value.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SealedColumn {
    /// Its table, with the schema.
    pub target: String,
    /// The table that the values are bound to.
    cell: String,
    sealed_column: String,
}

/// How many values of a table a key has sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedBy {
    /// Which key. The first key of all gives no name.
    pub key: Option<KeyTag>,
    /// How many.
    pub count: u64,
}

/// Where a walk over a table stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    tenant: Uuid,
    row: Uuid,
}

impl Stand {
    /// Before the first row.
    pub const START: Self = Self { tenant: Uuid::nil(), row: Uuid::nil() };
}

/// What a batch did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resealed {
    /// How many values are now under the key that seals.
    pub anew: u64,
    /// Rows whose value changed meanwhile, or that somebody works with. They are looked at again by the next walk.
    pub busy: u64,
    /// Values that no key of the ring opens, with the first reason.
    pub stuck: u64,
    /// Why, of the first of them.
    pub because: Option<String>,
    /// Where the walk goes on; `None` at its end.
    pub next: Option<Stand>,
}

/// Why nothing was sealed anew.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// The database cannot be used.
    #[error("what is sealed could not be read or written: {0}")]
    Database(#[from] sqlx::Error),
    /// The key that seals has no name: it is the first, and there is no other.
    #[error("there is one master key and no other: make the next one first")]
    OneKey,
    /// It cannot seal.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl SealedColumn {
    /// What the value of one row becomes.
    fn sealed_anew(
        &self,
        master: &MasterKey,
        tenant: TenantId,
        row: Uuid,
        sealed: &[u8],
    ) -> Result<Vec<u8>, KeyError> {
        if self.target == SUBJECT_KEYS {
            return master.rewrap(tenant, row, sealed);
        }
        let cell = Cell { table: &self.cell, tenant, row, column: &self.sealed_column };
        master.seal_cell(&cell, &master.open_cell(&cell, sealed)?)
    }
}

type Row = (Uuid, Uuid, Vec<u8>);

impl Vault {
    /// Every column that holds what the master key sealed, as the role `quipu_platform`; so are the methods below.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn sealed_columns(&self) -> sqlx::Result<Vec<SealedColumn>> {
        let all = "select target::text, cell, sealed_column::text from vault.sealed_columns order by 1";
        sqlx::query_as(all).fetch_all(&self.pool).await
    }

    /// How many values of a column each key has sealed.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn sealed_by(&self, column: &SealedColumn) -> sqlx::Result<Vec<SealedBy>> {
        let rows: Vec<(Option<Vec<u8>>, i64)> =
            sqlx::query_as("select head, counted from vault.sealed_by($1::regclass, $2, $3)")
                .bind(&column.target)
                .bind(KeyTag::MARK.as_slice())
                .bind(KeyTag::HEAD_BYTES)
                .fetch_all(&self.pool)
                .await?;
        let sealed_by = |(head, count): (Option<Vec<u8>>, i64)| SealedBy {
            key: head.and_then(|it| KeyTag::of(&it).map(|(tag, _)| tag)),
            count: u64::try_from(count).unwrap_or_default(),
        };
        Ok(rows.into_iter().map(sealed_by).collect())
    }

    /// Seals the next values of a column anew. A value that changes meanwhile stays as it became; a row that goes stays gone.
    ///
    /// # Errors
    /// [`ResealError`]; a value that no key opens is none, but counted.
    pub async fn reseal(
        &self,
        column: &SealedColumn,
        master: &MasterKey,
        from: Stand,
    ) -> Result<Resealed, ResealError> {
        let head = master.seals_as().ok_or(ResealError::OneKey)?.head();
        let rows: Vec<Row> = sqlx::query_as(
            "select tenant_id, row_id, sealed from vault.sealed_otherwise($1::regclass, $2, $3, $4, $5)",
        )
        .bind(&column.target)
        .bind(head)
        .bind(from.tenant)
        .bind(from.row)
        .bind(BATCH)
        .fetch_all(&self.pool)
        .await?;
        let mut done = Resealed { next: end_of(&rows), ..Resealed::default() };
        let (mut tenants, mut ids, mut held, mut anew) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (tenant, row, sealed) in rows {
            match column.sealed_anew(master, TenantId::new(tenant), row, &sealed) {
                Ok(value) => {
                    tenants.push(tenant);
                    ids.push(row);
                    held.push(sealed);
                    anew.push(value);
                }
                Err(error) => {
                    done.stuck += 1;
                    done.because.get_or_insert_with(|| error.to_string());
                }
            }
        }
        let asked = u64::try_from(ids.len()).unwrap_or_default();
        let put: i32 = sqlx::query_scalar("select vault.seal_anew($1::regclass, $2, $3, $4, $5)")
            .bind(&column.target)
            .bind(tenants)
            .bind(ids)
            .bind(held)
            .bind(anew)
            .fetch_one(&self.pool)
            .await?;
        done.anew = u64::try_from(put).unwrap_or_default();
        done.busy = asked.saturating_sub(done.anew);
        Ok(done)
    }
}

/// Where the walk goes on after these.
fn end_of(rows: &[Row]) -> Option<Stand> {
    rows.last().map(|(tenant, row, _)| Stand { tenant: *tenant, row: *row })
}
