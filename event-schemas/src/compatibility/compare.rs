//! The comparison itself: both schemas are walked side by side, along the payload.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::shape::{Alternative, alternatives, bare, keyed, step};
use super::{Break, Change, Reader};

/// A larger value admits less.
const LOWER_BOUNDS: &[&str] = &["exclusiveMinimum", "minItems", "minLength", "minProperties", "minimum"];
/// A smaller value admits less.
const UPPER_BOUNDS: &[&str] = &["exclusiveMaximum", "maxItems", "maxLength", "maxProperties", "maximum"];
/// Present, they admit less; which of two values admits less cannot be said.
const LIMITS: &[&str] =
    &["contentEncoding", "contentMediaType", "format", "multipleOf", "pattern", "uniqueItems"];
/// Walked into rather than compared.
const STRUCTURE: &[&str] =
    &["additionalProperties", "const", "items", "properties", "propertyNames", "required", "type"];

/// The formats of whole numbers, and how many bits they take beside the sign.
const WHOLE_NUMBERS: &[(&str, bool, u32)] = &[
    ("int8", true, 7),
    ("int16", true, 15),
    ("int32", true, 31),
    ("int64", true, 63),
    ("uint8", false, 8),
    ("uint16", false, 16),
    ("uint32", false, 32),
    ("uint64", false, 64),
];

pub(super) struct Comparison<'s> {
    old: &'s Value,
    new: &'s Value,
    /// Such as `ledger.transfer-posted`.
    event: String,
    version: i64,
    /// Places that were compared already; definitions may lead back to themselves.
    seen: BTreeSet<(String, String)>,
    breaks: Vec<Break>,
}

/// A place in both schemas at once.
#[derive(Clone, Copy)]
struct Place<'p> {
    path: &'p str,
    old: &'p str,
    new: &'p str,
}

impl<'s> Comparison<'s> {
    pub(super) fn new(old: &'s Value, new: &'s Value) -> Self {
        let id = old.get("$id").and_then(Value::as_str).unwrap_or_default();
        let (event, version) = id.rsplit_once(":v").unwrap_or((id, "1"));
        let event = event.rsplit(':').next().filter(|it| !it.is_empty()).unwrap_or("the event").to_owned();
        let version = version.parse().unwrap_or(1);
        Self { old, new, event, version, seen: BTreeSet::new(), breaks: Vec::new() }
    }

    pub(super) fn run(mut self) -> Vec<Break> {
        let (old, new) = (self.old, self.new);
        self.schema(Place { path: "", old: "", new: "" }, old, new);
        self.breaks
    }

    fn schema(&mut self, at: Place<'_>, old: &Value, new: &Value) {
        let (before, after) = (alternatives(self.old, old, at.old), alternatives(self.new, new, at.new));
        let pointers =
            |all: &[Alternative]| all.iter().map(|it| it.pointer.as_str()).collect::<Vec<_>>().join(" ");
        if !self.seen.insert((pointers(&before), pointers(&after))) {
            return;
        }
        let objects = |all: &[Alternative]| all.iter().filter(|it| it.kind() == "object").count();
        let tagged = objects(&before).max(objects(&after)) > 1;
        self.union(at, keyed(before, tagged), keyed(after, tagged));
    }

    /// Compares what is in both, then judges what is only in one.
    fn union(
        &mut self,
        at: Place<'_>,
        mut before: BTreeMap<String, Alternative>,
        mut after: BTreeMap<String, Alternative>,
    ) {
        let shared: Vec<String> = before.keys().filter(|it| after.contains_key(*it)).cloned().collect();
        for key in &shared {
            if let (Some(old), Some(new)) = (before.remove(key), after.remove(key)) {
                self.alternative(Place { old: &old.pointer, new: &new.pointer, ..at }, &old, &new);
            }
        }
        if after.contains_key("any") || shared.iter().any(|it| it == "any") {
            if !before.is_empty() {
                self.older(at, Change::Widened, "takes any value now");
            }
            return;
        }
        if before.contains_key("any") {
            self.today(at, Change::Narrowed, "took any value and is held to a type now", "Keep it open");
            return;
        }
        self.widened_to_a_type(at, &mut before, &mut after, &shared);
        self.narrowed_to_values(at, &mut before, &mut after);
        let plain = |all: &BTreeMap<String, Alternative>| {
            all.iter()
                .filter(|(_, it)| it.get("const").is_none())
                .map(|(key, _)| key.clone())
                .collect::<Vec<_>>()
        };
        let (gone, come) = (plain(&before), plain(&after));
        if shared.is_empty() && !gone.is_empty() && !come.is_empty() {
            let what = format!("was {} and is {} now", gone.join(" or "), come.join(" or "));
            self.today(at, Change::Retyped, &what, "Keep its type, or add a field beside it");
            return;
        }
        for (key, old) in before {
            let at = Place { old: &old.pointer, ..at };
            if key == "null" {
                self.today(
                    at,
                    Change::Narrowed,
                    "must not be null any more, and stored events may have it",
                    "Keep it",
                );
            } else {
                let what =
                    format!("does not take {} any more, and stored events may have it", shown(&key, &old));
                self.today(at, Change::VariantRemoved, &what, "Keep it");
            }
        }
        for (key, new) in after {
            let at = Place { old: &new.pointer, ..at };
            if key == "null" {
                self.older(at, Change::Widened, "may be null now");
            } else {
                self.older(at, Change::VariantAdded, &format!("takes {} now", shown(&key, &new)));
            }
        }
    }

    /// Values, or whole numbers, that gave way to every value of their type.
    fn widened_to_a_type(
        &mut self,
        at: Place<'_>,
        before: &mut BTreeMap<String, Alternative>,
        after: &mut BTreeMap<String, Alternative>,
        shared: &[String],
    ) {
        for kind in ["string", "integer", "number", "boolean"] {
            let come = after.contains_key(kind);
            if !come && !shared.iter().any(|it| it == kind) {
                continue;
            }
            let covered = |it: &Alternative| it.get("const").is_some() && it.kind() == kind;
            let values = before.len();
            before.retain(|_, it| !covered(it));
            let integers = kind == "number" && before.remove("integer").is_some();
            if come && (before.len() < values || integers) {
                after.remove(kind);
                self.older(at, Change::Widened, &format!("takes any {kind} now"));
            }
        }
    }

    /// A type that gave way to some of its values, or to whole numbers.
    fn narrowed_to_values(
        &mut self,
        at: Place<'_>,
        before: &mut BTreeMap<String, Alternative>,
        after: &mut BTreeMap<String, Alternative>,
    ) {
        for kind in ["string", "integer", "number", "boolean"] {
            let covered = |it: &Alternative| {
                (it.get("const").is_some() && it.kind() == kind)
                    || (kind == "number" && it.kind() == "integer")
            };
            if before.contains_key(kind) && after.values().any(covered) {
                before.remove(kind);
                after.retain(|_, it| !covered(it));
                let what =
                    format!("took any {kind} and takes only some now, and stored events may have others");
                self.today(at, Change::Narrowed, &what, "Keep it open");
            }
        }
    }

    fn alternative(&mut self, at: Place<'_>, old: &Alternative, new: &Alternative) {
        let kind = old.kind();
        if !self.seen.insert((format!("{} {kind}", at.old), format!("{} {kind}", at.new))) {
            return;
        }
        if kind == "object" {
            self.object(at, old, new);
        }
        let anything = Value::Bool(true);
        if kind == "array" {
            let (before, after) =
                (old.get("items").unwrap_or(&anything), new.get("items").unwrap_or(&anything));
            let path = format!("{}[]", at.path);
            let (from, to) = (step(at.old, "items"), step(at.new, "items"));
            self.schema(Place { path: &path, old: &from, new: &to }, before, after);
        }
        let keywords: BTreeSet<&str> = old.keyword_names().chain(new.keyword_names()).collect();
        for keyword in keywords.into_iter().filter(|it| !STRUCTURE.contains(it)) {
            let (before, after) = (old.get(keyword), new.get(keyword));
            if before != after {
                self.limit(at, keyword, before, after);
            }
        }
    }

    fn object(&mut self, at: Place<'_>, old: &Alternative, new: &Alternative) {
        let (before, after) = (old.properties(), new.properties());
        let (demanded, demands) = (old.required(), new.required());
        let added: Vec<(&str, &Value)> = after
            .iter()
            .filter(|(name, _)| !before.contains_key(*name))
            .map(|(name, it)| (*name, *it))
            .collect();
        for (name, field) in &before {
            let path = join(at.path, name);
            let (from, to) =
                (step(&step(at.old, "properties"), name), step(&step(at.new, "properties"), name));
            let place = Place { path: &path, old: &from, new: &to };
            let Some(now) = after.get(name) else {
                self.removed(place, self.likely(name, field, &added).map(|it| join(at.path, it)));
                continue;
            };
            match (demanded.contains(name), demands.contains(name)) {
                (false, true) => self.demanded(place, "must be there now, but stored events may lack it"),
                (true, false) => self.older(place, Change::FieldOptional, "may be left out now"),
                _ => {}
            }
            let defaults = (field.get("default"), now.get("default"));
            if defaults.0.is_some() && defaults.0 != defaults.1 {
                let what = "means something else when it is left out, and stored events leave it out";
                self.today(place, Change::DefaultChanged, what, "Keep its default");
            }
            self.schema(place, field, now);
        }
        let closed = old.get("additionalProperties") == Some(&Value::Bool(false));
        for (name, field) in &added {
            let path = join(at.path, name);
            let to = step(&step(at.new, "properties"), name);
            let place = Place { path: &path, old: &to, new: &to };
            if demands.contains(name) {
                self.demanded(place, "must be there, but stored events do not have it");
            } else if closed {
                let what = "was added to an object that took no other fields";
                self.older(place, Change::FieldInClosedObject, what);
            } else if let Some(values @ Value::Object(_)) = old.get("additionalProperties") {
                let from = step(at.old, "additionalProperties");
                self.schema(Place { old: &from, ..place }, values, field);
            }
        }
        self.rest(at, old, new);
    }

    /// The fields without a name: whether there may be any, and what they may hold.
    fn rest(&mut self, at: Place<'_>, old: &Alternative, new: &Alternative) {
        let anything = Value::Bool(true);
        let path = join(at.path, "*");
        match (old.get("additionalProperties"), new.get("additionalProperties")) {
            (before, after) if before == after => {}
            (_, Some(Value::Bool(false))) => {
                let what =
                    "takes no unknown fields any more, and stored events of a newer build may have some";
                self.today(at, Change::ObjectClosed, what, "Leave it open");
            }
            // An older reader that takes no unknown fields minds only those that come: they are judged one by one.
            (Some(Value::Bool(false)), None | Some(Value::Bool(true))) => {}
            (Some(Value::Bool(false)), Some(_)) => {
                self.older(at, Change::Widened, "takes fields of any name now");
            }
            (before, after) => {
                let (from, to) = (step(at.old, "additionalProperties"), step(at.new, "additionalProperties"));
                let place = Place { path: &path, old: &from, new: &to };
                self.schema(place, before.unwrap_or(&anything), after.unwrap_or(&anything));
            }
        }
        let (before, after) = (old.get("propertyNames"), new.get("propertyNames"));
        if before != after {
            let (from, to) = (step(at.old, "propertyNames"), step(at.new, "propertyNames"));
            let place = Place { path: &path, old: &from, new: &to };
            let text = serde_json::json!({ "type": "string" });
            let typed = |names: Option<&Value>| {
                let mut names = names.cloned().unwrap_or_else(|| text.clone());
                if let Some(names) = names.as_object_mut() {
                    names.entry("type").or_insert_with(|| "string".into());
                }
                names
            };
            self.schema(place, &typed(before), &typed(after));
        }
    }

    /// A bound or another demand on a value that is not the same in both.
    fn limit(&mut self, at: Place<'_>, keyword: &str, before: Option<&Value>, after: Option<&Value>) {
        let text = |value: Option<&Value>| value.map_or_else(|| "none".to_owned(), ToString::to_string);
        let what = format!("has another `{keyword}` ({}, was {})", text(after), text(before));
        let bound = LOWER_BOUNDS.contains(&keyword) || UPPER_BOUNDS.contains(&keyword);
        if !bound && !LIMITS.contains(&keyword) {
            self.today(at, Change::Unknown, &what, "What that does cannot be weighed here: keep it");
            return;
        }
        let narrowed = match (before, after) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(old), Some(new)) if keyword == "format" => !wider_format(old, new),
            (Some(old), Some(new)) if bound => {
                let grew = new.as_f64() > old.as_f64();
                grew == LOWER_BOUNDS.contains(&keyword)
            }
            // Another pattern: nothing tells whether the stored values match it.
            _ => true,
        };
        if narrowed {
            self.today(at, Change::Narrowed, &what, "Admit what was admitted");
        } else {
            self.older(at, Change::Widened, &what);
        }
    }

    /// The added field that is probably the removed one under another name: of the same shape, and the most alike.
    fn likely<'f>(&self, name: &str, field: &Value, added: &[(&'f str, &Value)]) -> Option<&'f str> {
        let shape = bare(self.old, field);
        let alike = |other: &str| {
            let ahead = name.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
            let behind = name.bytes().rev().zip(other.bytes().rev()).take_while(|(a, b)| a == b).count();
            ahead + behind
        };
        let same = added.iter().filter(|(_, it)| bare(self.new, it) == shape).map(|(name, _)| *name);
        same.max_by_key(|other| alike(other))
    }

    fn removed(&mut self, at: Place<'_>, now: Option<String>) {
        let now = now.map(|it| format!(" (its name may be `{it}` now)")).unwrap_or_default();
        let what = format!("was removed{now}; stored events have it");
        self.today(at, Change::FieldRemoved, &what, "Keep it");
    }

    fn demanded(&mut self, at: Place<'_>, what: &str) {
        self.today(at, Change::FieldRequired, what, "Let it be left out");
    }

    /// Stored events cannot be read as before.
    fn today(&mut self, at: Place<'_>, change: Change, what: &str, remedy: &str) {
        let (version, next) = (self.version, self.version + 1);
        let advice = format!("{remedy}, or append an upcaster from v{version} and let this become v{next}.");
        self.note(at, change, Reader::Today, &format!("{what}. {advice}"));
    }

    /// What is written from now on cannot be read by those who know the released shape.
    fn older(&mut self, at: Place<'_>, change: Change, what: &str) {
        let (version, next) = (self.version, self.version + 1);
        let advice = format!(
            "Builds and consumers of v{version} would take such an event for damaged: append an upcaster from \
             v{version} that changes nothing and let this become v{next}, which they wait for."
        );
        self.note(at, change, Reader::Older, &format!("{what}. {advice}"));
    }

    fn note(&mut self, at: Place<'_>, change: Change, reader: Reader, text: &str) {
        let subject =
            if at.path.is_empty() { "the payload".to_owned() } else { format!("field `{}`", at.path) };
        self.breaks.push(Break {
            pointer: at.old.to_owned(),
            path: at.path.to_owned(),
            change,
            reader,
            sentence: format!("{} v{}: {subject} {text}", self.event, self.version),
        });
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A variant in words.
fn shown(key: &str, variant: &Alternative) -> String {
    match variant.get("const") {
        Some(value) => format!("the value {value}"),
        None => format!("the variant `{key}`"),
    }
}

/// Whether every whole number of the one format is one of the other.
fn wider_format(old: &Value, new: &Value) -> bool {
    let of = |format: &Value| WHOLE_NUMBERS.iter().find(|it| Some(it.0) == format.as_str());
    match (of(old), of(new)) {
        (Some((_, signed, bits)), Some((_, now_signed, now_bits))) => {
            now_bits >= bits && (*now_signed || !signed)
        }
        _ => false,
    }
}
