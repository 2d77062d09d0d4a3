//! Positions of rows as they are shown: `1-4711`, as everywhere else. A row keeps the number alone, since the fold that makes
//! it knows no epoch; the epoch is that of the answer, and known when the answer is written.
//!
//! serde hands nothing on to the fields of what it writes. So the epoch stands in the thread while an answer is written, which
//! is done in one go, and a position outside of that is an error: a bare number never gets out.

use std::cell::Cell;

use event_schemas::envelope::LogPosition;
use serde::Serializer;
use serde::ser::Error as _;

thread_local! {
    static EPOCH: Cell<Option<i32>> = const { Cell::new(None) };
}

/// Puts back what was there, also if what is written panics.
struct Before(Option<i32>);

impl Drop for Before {
    fn drop(&mut self) {
        EPOCH.set(self.0);
    }
}

/// Writes something whose positions are of this epoch.
pub fn in_epoch<T>(epoch: i32, write: impl FnOnce() -> T) -> T {
    let _before = Before(EPOCH.replace(Some(epoch)));
    write()
}

/// For `#[serde(serialize_with)]`.
pub(crate) fn position<S: Serializer>(position: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    let epoch = EPOCH.get().ok_or_else(|| S::Error::custom("a position is written without its epoch"))?;
    serializer.collect_str(&LogPosition { epoch, position: *position })
}

/// The same where there may be none.
pub(crate) fn position_if_any<S: Serializer>(found: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match found {
        Some(found) => position(found, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    struct Row {
        #[serde(serialize_with = "position")]
        position: i64,
        #[serde(serialize_with = "position_if_any")]
        posted: Option<i64>,
    }

    fn written(posted: Option<i64>) -> Option<String> {
        serde_json::to_string(&Row { position: 7, posted }).ok()
    }

    #[test]
    fn a_position_is_written_with_the_epoch_of_its_answer_or_not_at_all() {
        assert_eq!(written(None), None);
        let text = in_epoch(2, || (in_epoch(3, || written(Some(8))), written(None)));
        assert_eq!(text.0.unwrap(), r#"{"position":"3-7","posted":"3-8"}"#);
        assert_eq!(text.1.unwrap(), r#"{"position":"2-7","posted":null}"#);
        assert_eq!(written(None), None);
    }
}
