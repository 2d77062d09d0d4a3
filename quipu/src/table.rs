//! Rows for people: aligned columns, times and colours. What comes from the log is stripped of control characters, so
//! that a name cannot steer the terminal of whoever reads it.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use chrono::{DateTime, Utc};
use serde_json::Value;

/// What draws the eye.
pub const BOLD: Style = Style::new().bold();
/// What may be overlooked.
pub const FAINT: Style = Style::new().dimmed();
/// As it should be.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Not as it should be.
pub const BAD: Style = AnsiColor::Red.on_default();
/// To be looked at.
pub const ODD: Style = AnsiColor::Yellow.on_default();

/// A text in a style.
#[must_use]
pub fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// The text without characters that a terminal obeys.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { '\u{fffd}' } else { it }).collect()
}

/// Aligned columns under a heading. The last column is as wide as it is.
#[derive(Debug)]
pub struct Table<const N: usize> {
    heading: [&'static str; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table without rows.
    #[must_use]
    pub fn new(heading: [&'static str; N]) -> Self {
        Self { heading, rows: Vec::new() }
    }

    /// Adds a row. Its cells are bare text: a style would be stripped as what a name brings along is.
    pub fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|it| plain(&it)));
    }

    /// The whole as text, without a final line break.
    #[must_use]
    pub fn text(&self) -> String {
        let mut widths = self.heading.map(|it| it.chars().count());
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = styled(BOLD, line(&self.heading.map(str::to_owned), &widths));
        for row in &self.rows {
            let _ = write!(text, "\n{}", line(row, &widths));
        }
        text
    }
}

fn line<const N: usize>(cells: &[String; N], widths: &[usize; N]) -> String {
    let mut text = String::new();
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if at + 1 == N {
            text.push_str(cell);
        } else {
            let _ = write!(text, "{cell:<width$}  ");
        }
    }
    text.trim_end().to_owned()
}

/// A moment as people read it, in UTC, to the millisecond.
#[must_use]
pub fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// A JSON text field for a cell; a dash if it is not there.
#[must_use]
pub fn field(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A JSON field that is a moment, for a cell.
#[must_use]
pub fn moment_field(value: &Value, name: &str) -> String {
    let at = value.get(name).and_then(Value::as_str).and_then(|it| DateTime::parse_from_rfc3339(it).ok());
    at.map_or_else(|| field(value, name), |it| moment(it.to_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["A", "LONG", "LAST"]);
        table.row(["x".to_owned(), "y".to_owned(), "z".to_owned()]);
        table.row(["wide".to_owned(), "y".to_owned(), String::new()]);
        let text = anstream::adapter::strip_str(&table.text()).to_string();
        assert_eq!(text, "A     LONG  LAST\nx     y     z\nwide  y");
    }

    #[test]
    fn what_was_recorded_cannot_steer_a_terminal() {
        let mut table = Table::new(["NAME"]);
        table.row(["\u{1b}]0;pwned\u{7}\u{9b}31m\nroot".to_owned()]);
        let text = table.text();
        let row = text.lines().last().unwrap();
        assert_eq!(row, "\u{fffd}]0;pwned\u{fffd}\u{fffd}31m\u{fffd}root");
    }
}
