//! What of the vault is over goes away. How long each kind is kept after its end, its table says (`vault.endings`, and for
//! sessions, guesses and counters `vault.sweep` and `vault.sweep_rates`).

use super::Vault;

/// What a sweep took of one kind of row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// The kind, mostly the name of its table. There are few, and always the same.
    pub kind: String,
    /// How many rows went; as many as were asked for if there may be more.
    pub gone: u64,
}

impl Vault {
    /// Deletes what is over in all tenants, at most so many rows of each kind, and says of which kind how many went. For
    /// the role of the reactors, which sees none but those.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn sweep(&self, most: u16) -> sqlx::Result<Vec<Swept>> {
        let rows = sqlx::query!(
            r#"select swept as "kind!", gone as "gone!" from vault.sweep_all($1)"#,
            i32::from(most)
        )
        .fetch_all(&self.pool)
        .await?;
        let swept = |kind, gone| Swept { kind, gone: u64::try_from(gone).unwrap_or_default() };
        Ok(rows.into_iter().map(|it| swept(it.kind, it.gone)).collect())
    }
}
