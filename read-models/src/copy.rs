//! Rows on their way through `COPY ... FROM STDIN`, in its text format. Values arrive exactly as those of a bound
//! statement would.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

/// How much text is sent at once.
const PART_BYTES: usize = 256 * 1024;
/// Where PostgreSQL counts time from: 2000-01-01.
const POSTGRES_EPOCH_SECONDS: i64 = 946_684_800;

/// Sends rows through a `COPY` statement. If it is cancelled, the connection must not be used again.
///
/// # Errors
/// If the database refuses them; the transaction is then of no use any more.
pub(crate) async fn rows<R>(
    conn: &mut PgConnection,
    statement: &str,
    rows: &[R],
    write: impl Fn(&R, &mut Line),
) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut copy = conn.copy_in_raw(statement).await?;
    let mut line = Line::default();
    for row in rows {
        write(row, &mut line);
        line.end();
        if line.text.len() >= PART_BYTES {
            copy.send(line.text.as_bytes()).await?;
            line.text.clear();
        }
    }
    copy.send(line.text.as_bytes()).await?;
    let copied = copy.finish().await?;
    if usize::try_from(copied).is_ok_and(|copied| copied == rows.len()) {
        Ok(())
    } else {
        Err(sqlx::Error::Protocol(format!("{copied} of {} rows were copied", rows.len())))
    }
}

/// Lines of text, one a row, their cells parted by tabs.
#[derive(Default)]
pub(crate) struct Line {
    text: String,
}

impl Line {
    /// Adds a cell.
    pub(crate) fn cell(&mut self, cell: &impl Cell) -> &mut Self {
        cell.put(&mut self.text);
        self.text.push('\t');
        self
    }

    /// The last cell is followed by the end of the line in place of a tab.
    fn end(&mut self) {
        self.text.pop();
        self.text.push('\n');
    }
}

/// A value in the text format of `COPY`.
pub(crate) trait Cell {
    fn put(&self, text: &mut String);
}

/// Values whose plain text has nothing to escape.
macro_rules! plain {
    ($($kind:ty),*) => {
        $(impl Cell for $kind {
            fn put(&self, text: &mut String) {
                // Writing to a string does not fail.
                _ = write!(text, "{self}");
            }
        })*
    };
}

plain!(i16, i32, i64, bool, Uuid, Decimal, NaiveDate);

impl Cell for String {
    fn put(&self, text: &mut String) {
        for char in self.chars() {
            match char {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                other => text.push(other),
            }
        }
    }
}

impl Cell for DateTime<Utc> {
    fn put(&self, text: &mut String) {
        let epoch = DateTime::from_timestamp(POSTGRES_EPOCH_SECONDS, 0).unwrap_or_default();
        // Bound values lose what is below a microsecond; the server would round it.
        let time = (*self - epoch).num_microseconds().map_or(*self, |it| epoch + TimeDelta::microseconds(it));
        text.push_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true));
    }
}

impl<T: Cell> Cell for Option<T> {
    fn put(&self, text: &mut String) {
        match self {
            Some(cell) => cell.put(text),
            None => text.push_str("\\N"),
        }
    }
}

impl<T: Serialize> Cell for Json<T> {
    fn put(&self, text: &mut String) {
        // What cannot be written as JSON becomes no JSON at all, and the server refuses it.
        serde_json::to_string(&self.0).unwrap_or_default().put(text);
    }
}

/// Writes the named fields of a row, in the order of the table's columns.
macro_rules! cells {
    ($row:ty: $($field:ident),* $(,)?) => {
        |row: &$row, line: &mut crate::copy::Line| {
            $(line.cell(&row.$field);)*
        }
    };
}
pub(crate) use cells;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(cell: impl Cell) -> String {
        let mut text = String::new();
        cell.put(&mut text);
        text
    }

    #[test]
    fn values_are_written_as_the_server_reads_them() {
        assert_eq!(text("a\tb\nc\\d\re".to_owned()), "a\\tb\\nc\\\\d\\re");
        assert_eq!(text(None::<String>), "\\N");
        assert_eq!(text(Some("\\N".to_owned())), "\\\\N", "a text that looks like nothing stays a text");
        assert_eq!(text(Json(vec!["a\"\n"])), "[\"a\\\\\"\\\\n\"]");
        assert_eq!(text(Decimal::new(-1230, 2)), "-12.30");
        assert_eq!(text(true), "true");
    }

    #[test]
    fn times_are_cut_to_microseconds_as_bound_ones_are() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(text(at("2024-02-29T01:02:03.123456999Z")), "2024-02-29T01:02:03.123456Z");
        assert_eq!(text(at("1999-12-31T23:59:59.999999999Z")), "2000-01-01T00:00:00.000000Z");
    }

    #[test]
    fn a_line_has_one_tab_less_than_cells() {
        let mut line = Line::default();
        line.cell(&1_i64).cell(&2_i64);
        line.end();
        assert_eq!(line.text, "1\t2\n");
    }
}
