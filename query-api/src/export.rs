//! CSV for people and their spreadsheets.

use std::borrow::Cow;

use bytes::Bytes;

/// Media type of CSV.
pub(crate) const TEXT_CSV: &str = "text/csv; charset=utf-8; header=present";

/// A text that a spreadsheet takes for text: one that begins like a formula gets an apostrophe before it.
pub(crate) fn cell(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Rows as CSV (RFC 4180).
pub(crate) fn csv(rows: impl IntoIterator<Item: AsRef<[String]>>) -> Result<Bytes, csv::Error> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for row in rows {
        writer.write_record(row.as_ref())?;
    }
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(Bytes::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_a_formula() {
        for (text, shown) in
            [("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@x", "'@x"), ("rent", "rent"), ("", "")]
        {
            assert_eq!(cell(text), shown);
        }
    }

    #[test]
    fn quotes_and_commas_are_escaped() {
        let rows = [["a,b".to_owned(), "say \"x\"".to_owned()]];
        assert_eq!(csv(rows).unwrap(), "\"a,b\",\"say \"\"x\"\"\"\r\n");
    }
}
