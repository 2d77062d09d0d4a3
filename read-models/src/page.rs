//! Pages by keyset: a cursor holds the sort key of the last row that was shown, so a page costs the same wherever it is. An
//! index that gives rows in one order gives them backwards as well.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chrono::{DateTime, Datelike as _, Utc};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder};
use utoipa::ToSchema;

use crate::tenant_tx::TenantTx;

/// The most rows of a page.
pub const LIMIT_MAX: i64 = 200;
/// Rows of a page if nothing is said.
pub const LIMIT_DEFAULT: i64 = 50;
/// Characters of a cursor at most: names are at most 200 characters of four bytes.
const CURSOR_CHARS_MAX: usize = 2_048;
const CURSOR_VERSION: u8 = 1;

/// A cursor that this list did not give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one of this list")]
pub struct CursorInvalid;

/// Why a list cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The cursor is of another list, order, filter or version.
    #[error(transparent)]
    Cursor(#[from] CursorInvalid),
    /// The database does not answer.
    #[error("the read model cannot be read")]
    Database(#[from] sqlx::Error),
}

/// A moment that somebody sent, such as SQL can take: chrono knows earlier years than Postgres does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub DateTime<Utc>);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let moment = DateTime::<Utc>::deserialize(deserializer)?;
        if moment.year() < 1 {
            return Err(D::Error::custom("a moment is not before the year 1"));
        }
        Ok(Self(moment))
    }
}

/// A text that somebody sent, such as SQL can take: one without the character NUL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.contains('\0') { Err(D::Error::custom("a text holds NUL")) } else { Ok(Self(text)) }
    }
}

/// In which order rows are listed, by when they came to be. What is private cannot be ordered by: no row says it in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
}

impl Order {
    /// What stands before the name of a list in this order.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Newest => "-",
            Self::Oldest => "",
        }
    }

    /// How a row compares with the one that it comes behind.
    pub(crate) const fn than(self) -> &'static str {
        match self {
            Self::Newest => " < ",
            Self::Oldest => " > ",
        }
    }

    pub(crate) const fn direction(self) -> &'static str {
        match self {
            Self::Newest => " desc",
            Self::Oldest => "",
        }
    }
}

/// Which page of a list is asked for, and in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<O = Order> {
    /// The order.
    pub order: O,
    /// What the page before gave; none for the first page.
    pub cursor: Option<String>,
    /// Rows at most.
    pub limit: i64,
}

impl<O> Asked<O> {
    /// The key of the row that the page comes behind.
    ///
    /// # Errors
    /// If the cursor is not one of this list.
    pub(crate) fn behind<K: DeserializeOwned>(&self, list: &str) -> Result<Option<K>, CursorInvalid> {
        self.cursor.as_deref().map(|it| decode(list, it)).transpose()
    }
}

impl Asked {
    /// What cursors of a list in this order, and narrowed so, are of.
    pub(crate) fn list(&self, name: &str, filter: &impl Hash) -> String {
        narrowed(&format!("{}{name}", self.order.sign()), filter)
    }
}

/// What cursors of a list that is narrowed by a filter are of. Another build may hash otherwise; then its cursors are refused,
/// and whoever has one begins at the first page.
pub(crate) fn narrowed(list: &str, filter: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    filter.hash(&mut hasher);
    format!("{list}/{:016x}", hasher.finish())
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows, in order.
    pub items: Vec<T>,
    /// Gives the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Cuts the row too many that a query asked for, and makes the cursor of the last row that stays.
    pub fn cut<K: Serialize>(mut items: Vec<T>, limit: i64, list: &str, key: impl Fn(&T) -> K) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = if more { items.last().map(|it| encode(list, &key(it))) } else { None };
        Self { items, next_cursor }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursor<K> {
    v: u8,
    /// Which list, order and filter it belongs to: a cursor of another one would skip rows silently.
    of: String,
    key: K,
}

/// Writes a cursor for `list`.
#[must_use]
pub fn encode<K: Serialize>(list: &str, key: &K) -> String {
    let cursor = Cursor { v: CURSOR_VERSION, of: list.to_owned(), key };
    // Keys are plain values, which always serialize; an empty cursor is refused when it comes back.
    BASE64.encode(serde_json::to_vec(&cursor).unwrap_or_default())
}

/// A list in the order of positions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByPosition {
    /// Which list its cursors are of.
    pub(crate) list: &'static str,
    /// What it is ordered by, as its statement names it.
    pub(crate) column: &'static str,
}

impl ByPosition {
    /// The page behind a cursor. The statement has its conditions already, one at least.
    ///
    /// # Errors
    /// If the cursor is not one of this list, or the database does not answer.
    pub(crate) async fn page<R>(
        self,
        tx: &mut TenantTx,
        mut query: QueryBuilder<Postgres>,
        filter: &impl Hash,
        asked: &Asked,
        position: impl Fn(&R) -> i64,
    ) -> Result<Page<R>, ListError>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let list = asked.list(self.list, filter);
        if let Some(behind) = asked.behind::<i64>(&list)? {
            query.push(" and ").push(self.column).push(asked.order.than()).push_bind(behind);
        }
        query.push(" order by ").push(self.column).push(asked.order.direction());
        query.push(" limit ").push_bind(asked.limit + 1);
        let rows = query.build_query_as().fetch_all(tx.conn()).await?;
        Ok(Page::cut(rows, asked.limit, &list, position))
    }
}

/// Reads a cursor of `list`.
///
/// # Errors
/// If it is of another list or version, or nothing of ours.
pub fn decode<K: DeserializeOwned>(list: &str, text: &str) -> Result<K, CursorInvalid> {
    if text.len() > CURSOR_CHARS_MAX {
        return Err(CursorInvalid);
    }
    let bytes = BASE64.decode(text).map_err(|_| CursorInvalid)?;
    let cursor: Cursor<K> = serde_json::from_slice(&bytes).map_err(|_| CursorInvalid)?;
    if cursor.v == CURSOR_VERSION && cursor.of == list { Ok(cursor.key) } else { Err(CursorInvalid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_only_to_its_own_list() {
        let text = encode("accounts/name", &("wallet", 7));
        assert_eq!(decode::<(String, i64)>("accounts/name", &text), Ok(("wallet".to_owned(), 7)));
        assert_eq!(decode::<(String, i64)>("accounts/opened", &text), Err(CursorInvalid));
        for garbage in ["", "abc", "eyJ2IjoxfQ", "%%%", &"a".repeat(3_000), &format!("{text}=")] {
            assert_eq!(decode::<(String, i64)>("accounts/name", garbage), Err(CursorInvalid), "{garbage}");
        }
    }

    #[test]
    fn what_sql_cannot_take_is_in_no_cursor() {
        for (key, is_ours) in [("2020-01-01T00:00:00Z", true), ("-4800-01-01T00:00:00Z", false)] {
            assert_eq!(decode::<Moment>("l", &encode("l", &key)).is_ok(), is_ours, "{key}");
        }
        for (key, is_ours) in [("name", true), ("\\u0000", true), ("na\0me", false)] {
            assert_eq!(decode::<Text>("l", &encode("l", &key)).is_ok(), is_ours, "{key:?}");
        }
    }

    #[test]
    fn a_list_is_another_one_in_another_order_and_narrowed_otherwise() {
        let asked = |order| Asked { order, cursor: None, limit: 1 };
        let lists: std::collections::BTreeSet<String> = [Order::Newest, Order::Oldest]
            .into_iter()
            .flat_map(|it| [None, Some("a"), Some("b")].map(|filter| asked(it).list("users", &filter)))
            .collect();
        assert_eq!(lists.len(), 6, "{lists:?}");
        assert_eq!(asked(Order::Oldest).list("users", &Some("a")), narrowed("users", &Some("a")));
    }

    #[test]
    fn only_a_page_with_more_behind_it_has_a_cursor() {
        assert_eq!(Page::cut(vec![1, 2], 2, "l", |it| *it).next_cursor, None);
        let page = Page::cut(vec![1, 2, 3], 2, "l", |it| *it);
        assert_eq!(page.items, [1, 2]);
        assert_eq!(decode::<i32>("l", &page.next_cursor.unwrap()), Ok(2));
    }
}
