//! Accounts, page by page: which of them, and in which order.

use uuid::Uuid;

use super::{AccountRow, Accounts};
use crate::page::{self, ListError, Moment, Page, Text};
use crate::tenant_tx::TenantTx;

// Named columns, here and in every other list: a statement that is prepared outlives the table that it was prepared for,
// and the next version of a model may have more of them.
const LIST: &str = "select tenant_id, account_id, name, currency, normal_side, min_balance, max_balance, status, frozen,
        debits_posted, credits_posted, debits_pending, credits_pending, balance, available, version, metadata, opened_at,
        changed_at, position
    from accounts where tenant_id = ";

/// In which order accounts are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccountOrder {
    /// The newest first.
    #[default]
    NewestFirst,
    /// The oldest first.
    OldestFirst,
    /// By name, code point by code point.
    Name,
    /// By name, backwards.
    NameBackwards,
}

impl AccountOrder {
    const fn list(self) -> &'static str {
        match self {
            Self::NewestFirst => "accounts/-opened",
            Self::OldestFirst => "accounts/opened",
            Self::Name => "accounts/name",
            Self::NameBackwards => "accounts/-name",
        }
    }

    const fn is_backwards(self) -> bool {
        matches!(self, Self::NewestFirst | Self::NameBackwards)
    }

    const fn is_by_name(self) -> bool {
        matches!(self, Self::Name | Self::NameBackwards)
    }
}

/// Which accounts are listed.
#[derive(Debug, Clone, Default)]
pub struct AccountFilter {
    /// `open`, `frozen` or `closed`.
    pub status: Option<String>,
    /// Three letters.
    pub currency: Option<String>,
    /// What the name begins with.
    pub name_prefix: Option<String>,
}

impl Accounts {
    /// A page of accounts.
    ///
    /// # Errors
    /// If the cursor is not one of this list in this order, or the database does not answer.
    pub async fn list(
        tx: &mut TenantTx,
        filter: &AccountFilter,
        order: AccountOrder,
        cursor: Option<&str>,
        limit: i64,
    ) -> Result<Page<AccountRow>, ListError> {
        let mut query = tx.of_tenant(LIST);
        for (column, value) in [("status", &filter.status), ("currency", &filter.currency)] {
            if let Some(value) = value {
                query.push(" and ").push(column).push(" = ").push_bind(value.clone());
            }
        }
        if let Some(prefix) = &filter.name_prefix {
            // The largest character behind the prefix ends the names that begin with it.
            query.push(" and name >= ").push_bind(prefix.clone());
            query.push(" and name < ").push_bind(format!("{prefix}\u{10ffff}"));
        }
        let column = if order.is_by_name() { "name" } else { "opened_at" };
        let (than, direction) = if order.is_backwards() { (" < (", " desc") } else { (" > (", "") };
        if let Some(cursor) = cursor {
            query.push(" and (").push(column).push(", account_id)").push(than);
            if order.is_by_name() {
                let (name, id) = page::decode::<(Text, Uuid)>(order.list(), cursor)?;
                query.push_bind(name.0).push(", ").push_bind(id);
            } else {
                let (at, id) = page::decode::<(Moment, Uuid)>(order.list(), cursor)?;
                query.push_bind(at.0).push(", ").push_bind(id);
            }
            query.push(")");
        }
        query.push(" order by ").push(column).push(direction).push(", account_id").push(direction);
        query.push(" limit ").push_bind(limit + 1);
        let rows = query.build_query_as::<AccountRow>().fetch_all(tx.conn()).await?;
        let rows = rows.into_iter().map(AccountRow::shown).collect();
        Ok(if order.is_by_name() {
            Page::cut(rows, limit, order.list(), |it| (it.name.clone(), it.account_id))
        } else {
            Page::cut(rows, limit, order.list(), |it| (it.opened_at, it.account_id))
        })
    }
}
