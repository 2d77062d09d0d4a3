//! The journal in the formats of plain-text accounting, so that hledger and ledger check our arithmetic.

use std::collections::HashMap;
use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use read_models::transfers::{TransferLeg, TransferRow};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::export::cell;

/// Heads of the columns of [`csv_rows`].
pub(crate) const CSV_HEAD: [&str; 9] = [
    "effective_at",
    "recorded_at",
    "position",
    "transfer_id",
    "code",
    "account_id",
    "account_name",
    "currency",
    "amount",
];

/// One transfer as hledger and ledger read it; debits are positive. What moved nothing is left out.
pub(crate) fn entry(transfer: &TransferRow, epoch: i32, names: &HashMap<Uuid, String>) -> String {
    let mut text = String::with_capacity(400);
    let description = transfer.code.as_deref().map_or_else(String::new, plain);
    let description = match (description.as_str(), transfer.reverses) {
        ("", None) => "transfer",
        ("", Some(_)) => "reversal",
        (code, _) => code,
    };
    let position = transfer.posted_position.unwrap_or(transfer.position);
    // Writing to a string never fails.
    let _ = writeln!(text, "{} * {description}", transfer.effective_at.format("%Y-%m-%d"));
    let _ = writeln!(text, "    ; transfer: {}", transfer.transfer_id);
    let _ = writeln!(text, "    ; position: {epoch}-{position}");
    if let Some(original) = transfer.reverses {
        let _ = writeln!(text, "    ; reverses: {original}");
    }
    for leg in transfer.legs.iter().filter(|leg| !leg.posted.is_zero()) {
        let name = names.get(&leg.account_id).map_or_else(String::new, |it| account_path(it));
        let name = if name.is_empty() { "account" } else { &name };
        let _ = writeln!(text, "    {name}:{}  {} {}", leg.account_id, leg.currency, signed(leg));
    }
    text.push('\n');
    text
}

/// One transfer as rows of CSV, one a leg.
pub(crate) fn csv_rows(
    transfer: &TransferRow,
    epoch: i32,
    names: &HashMap<Uuid, String>,
) -> Vec<[String; CSV_HEAD.len()]> {
    let time = |it: DateTime<Utc>| it.to_rfc3339_opts(SecondsFormat::Micros, true);
    let position = transfer.posted_position.unwrap_or(transfer.position);
    let legs = transfer.legs.iter().filter(|leg| !leg.posted.is_zero());
    legs.map(|leg| {
        [
            time(transfer.effective_at),
            time(transfer.recorded_at),
            format!("{epoch}-{position}"),
            transfer.transfer_id.to_string(),
            cell(transfer.code.as_deref().unwrap_or_default()).into_owned(),
            leg.account_id.to_string(),
            cell(names.get(&leg.account_id).map_or("", String::as_str)).into_owned(),
            leg.currency.clone(),
            signed(leg).to_string(),
        ]
    })
    .collect()
}

/// A name in which colons part levels, as both programs have it: `cash:store 7` stands below `cash`.
fn account_path(name: &str) -> String {
    let levels: Vec<String> = name.split(':').map(plain).filter(|level| !level.is_empty()).collect();
    levels.join(":")
}

fn signed(leg: &TransferLeg) -> Decimal {
    if leg.side == "debit" { leg.posted } else { -leg.posted }
}

/// A name that neither program takes for anything but a name: letters, digits, dashes and single spaces. Colons would
/// make levels, two spaces would end it, and brackets, stars and semicolons mean something at its begin.
fn plain(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for char in name.chars() {
        let char = if char.is_alphanumeric() {
            char
        } else if char.is_whitespace() {
            ' '
        } else {
            '-'
        };
        let repeats = matches!(char, ' ' | '-') && text.ends_with([' ', '-']);
        if !repeats {
            text.push(char);
        }
    }
    text.trim_matches([' ', '-']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_harmless() {
        for (name, shown) in [
            ("Assets:Bank", "Assets-Bank"),
            ("(virtual)  ; not", "virtual-not"),
            ("* ! name", "name"),
            ("Müller & Söhne", "Müller Söhne"),
            ("::", ""),
        ] {
            assert_eq!(plain(name), shown);
        }
    }
}
