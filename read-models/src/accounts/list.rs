//! Accounts, page by page: which of them, and in which order.

use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{AccountRow, Accounts};
use crate::page::{self, Asked, ListError, Moment, Order, Page, Text};
use crate::tenant_tx::TenantTx;

// Named columns, here and in every other list: a statement that is prepared outlives the table that it was prepared for,
// and the next version of a model may have more of them.
const LIST: &str = "select tenant_id, account_id, name, currency, normal_side, min_balance, max_balance, status, frozen,
        debits_posted, credits_posted, debits_pending, credits_pending, balance, available, version, metadata, opened_at,
        changed_at, position
    from accounts where tenant_id = ";

/// In which order accounts are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccountOrder {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
    /// By name, code point by code point.
    Name,
    /// By name, backwards.
    #[serde(rename = "-name")]
    NameBackwards,
}

impl AccountOrder {
    const fn list(self) -> &'static str {
        match self {
            Self::Newest => "-accounts",
            Self::Oldest => "accounts",
            Self::Name => "accounts/name",
            Self::NameBackwards => "-accounts/name",
        }
    }

    /// Which way its column goes.
    const fn way(self) -> Order {
        match self {
            Self::Newest | Self::NameBackwards => Order::Newest,
            Self::Oldest | Self::Name => Order::Oldest,
        }
    }

    const fn is_by_name(self) -> bool {
        matches!(self, Self::Name | Self::NameBackwards)
    }
}

/// Which accounts are listed.
#[derive(Debug, Clone, Default, Hash)]
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
        asked: &Asked<AccountOrder>,
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
        let (order, way) = (asked.order, asked.order.way());
        let list = page::narrowed(order.list(), filter);
        let column = if order.is_by_name() { "name" } else { "opened_at" };
        if asked.cursor.is_some() {
            query.push(" and (").push(column).push(", account_id)").push(way.than()).push("(");
        }
        if order.is_by_name() {
            if let Some((Text(name), id)) = asked.behind::<(Text, Uuid)>(&list)? {
                query.push_bind(name).push(", ").push_bind(id).push(")");
            }
        } else if let Some((Moment(at), id)) = asked.behind::<(Moment, Uuid)>(&list)? {
            query.push_bind(at).push(", ").push_bind(id).push(")");
        }
        query.push(" order by ").push(column).push(way.direction());
        query.push(", account_id").push(way.direction()).push(" limit ").push_bind(asked.limit + 1);
        let rows = query.build_query_as::<AccountRow>().fetch_all(tx.conn()).await?;
        let rows = rows.into_iter().map(AccountRow::shown).collect();
        Ok(if order.is_by_name() {
            Page::cut(rows, asked.limit, &list, |it| (it.name.clone(), it.account_id))
        } else {
            Page::cut(rows, asked.limit, &list, |it| (it.opened_at, it.account_id))
        })
    }
}
