//! What differs between two JSON values, place by place, and which event each difference came with. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

/// One place at which two values differ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// RFC 6901 pointer.
    pub(crate) path: String,
    /// What was there; `None` if there was no such place.
    pub(crate) before: Option<Value>,
    /// What is there; `None` if there is no such place.
    pub(crate) after: Option<Value>,
}

/// The places at which two values differ, as deep as both have the place. Items of lists are compared by their index.
pub(crate) fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare("", Some(before), Some(after), &mut found);
    found
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Change>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for (name, value) in old {
                compare(&child(path, name), Some(value), new.get(name), found);
            }
            for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
                compare(&child(path, name), None, Some(value), found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for n in 0..old.len().max(new.len()) {
                compare(&child(path, &n.to_string()), old.get(n), new.get(n), found);
            }
        }
        (before, after) => {
            found.push(Change { path: path.to_owned(), before: before.cloned(), after: after.cloned() });
        }
    }
}

fn child(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Which event was the last to change each place, while events are applied one after another.
#[derive(Debug)]
pub(crate) struct Trail<E> {
    last: BTreeMap<String, (u64, Arc<E>)>,
    steps: u64,
}

impl<E> Trail<E> {
    /// Nothing has changed yet.
    pub(crate) fn new() -> Self {
        Self { last: BTreeMap::new(), steps: 0 }
    }

    /// Takes note of what the next event changed.
    pub(crate) fn step(&mut self, event: E, before: &Value, after: &Value) {
        self.steps += 1;
        let event = Arc::new(event);
        for change in changes(before, after) {
            self.last.insert(change.path, (self.steps, Arc::clone(&event)));
        }
    }

    /// The last event that changed a place, something within it, or something that it lies within.
    pub(crate) fn last(&self, path: &str) -> Option<&Arc<E>> {
        let touches = |known: &str| within(known, path) || within(path, known);
        let steps = self.last.iter().filter(|(known, _)| touches(known)).map(|(_, step)| step);
        steps.max_by_key(|(step, _)| *step).map(|(_, event)| event)
    }
}

/// Whether `inner` is `outer` or a place within it.
fn within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(before: &Value, after: &Value) -> Vec<(String, Option<Value>, Option<Value>)> {
        changes(before, after).into_iter().map(|it| (it.path, it.before, it.after)).collect()
    }

    #[test]
    fn every_place_that_differs_is_named_and_no_other() {
        let before = json!({ "a": 1, "b": { "c": "x", "d": [1, 2] }, "e/f": null, "g~": {}, "same": [{}] });
        let after =
            json!({ "a": 1, "b": { "c": "y", "d": [1, 3, 4] }, "e/f": 0, "h": { "i": 1 }, "same": [{}] });
        assert_eq!(
            told(&before, &after),
            [
                ("/b/c".to_owned(), Some(json!("x")), Some(json!("y"))),
                ("/b/d/1".to_owned(), Some(json!(2)), Some(json!(3))),
                ("/b/d/2".to_owned(), None, Some(json!(4))),
                ("/e~1f".to_owned(), Some(json!(null)), Some(json!(0))),
                ("/g~0".to_owned(), Some(json!({})), None),
                ("/h".to_owned(), None, Some(json!({ "i": 1 }))),
            ]
        );
        assert_eq!(told(&before, &before), []);
        assert_eq!(told(&json!(1), &json!([])), [(String::new(), Some(json!(1)), Some(json!([])))]);
    }

    #[test]
    fn a_difference_carried_out_gives_the_other_value() {
        let before = json!({ "status": "open", "totals": { "debits": "1.00", "credits": "2.00" } });
        let after = json!({ "status": "closed" });
        let mut value = before.clone();
        for change in changes(&before, &after) {
            let (parent, name) = change.path.rsplit_once('/').unwrap();
            let parent = value.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            match change.after {
                Some(it) => parent.insert(name.to_owned(), it),
                None => parent.remove(name),
            };
        }
        assert_eq!(value, after);
    }

    #[test]
    fn the_last_event_that_touched_a_place_is_remembered() {
        let states = [
            json!({ "status": "absent" }),
            json!({ "status": "open", "totals": { "a": 0, "b": 0 }, "total": 0 }),
            json!({ "status": "open", "totals": { "a": 1, "b": 0 }, "total": 0 }),
            json!({ "status": "open", "totals": { "a": 1, "b": 0 }, "total": 7 }),
            json!({ "status": "closed", "total": 7 }),
        ];
        let mut trail = Trail::new();
        for (n, pair) in states.windows(2).enumerate() {
            trail.step(n + 1, &pair[0], &pair[1]);
            let last = |path: &str| trail.last(path).map(|it| **it);
            match n + 1 {
                1 => {
                    assert_eq!((last("/status"), last("/totals"), last("/nothing")), (Some(1), Some(1), None))
                }
                2 => {
                    // What is added whole is made by whatever touched it inside, and the other way round.
                    assert_eq!(
                        (last("/totals"), last("/totals/a"), last("/totals/b")),
                        (Some(2), Some(2), Some(1))
                    );
                }
                3 => assert_eq!((last("/totals"), last("/total")), (Some(2), Some(3))),
                _ => assert_eq!(
                    (last("/status"), last("/totals/b"), last("/total")),
                    (Some(4), Some(4), Some(3))
                ),
            }
        }
    }
}
