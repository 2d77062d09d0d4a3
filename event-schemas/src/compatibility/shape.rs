//! Reading a schema: references followed, unions flattened into alternatives that can be told apart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// References and unions inside each other go no deeper; a schema that does is broken.
const DEPTH_MAX: usize = 32;

/// Keywords that say nothing about which payloads fit. `default` is looked at where a field may be left out.
const ANNOTATIONS: &[&str] = &[
    "$comment",
    "$defs",
    "$id",
    "$ref",
    "$schema",
    "default",
    "deprecated",
    "description",
    "examples",
    "readOnly",
    "title",
    "writeOnly",
];

/// One way in which a value can be right.
#[derive(Debug, Clone)]
pub(super) struct Alternative {
    /// The keywords, those of followed references included.
    pub(super) keywords: Map<String, Value>,
    /// Where it stands: a JSON pointer.
    pub(super) pointer: String,
    /// The name of the definition that it came from, if any.
    name: Option<String>,
}

impl Alternative {
    /// A keyword.
    pub(super) fn get(&self, keyword: &str) -> Option<&Value> {
        self.keywords.get(keyword)
    }

    /// Its one type. Unions of types have become alternatives before.
    pub(super) fn kind(&self) -> &str {
        match self.get("type").and_then(Value::as_str) {
            Some(kind) => kind,
            None if self.get("properties").is_some() => "object",
            None if self.get("items").is_some() => "array",
            None => match self.get("const") {
                Some(value) => kind_of(value),
                None => "any",
            },
        }
    }

    /// The fields of an object.
    pub(super) fn properties(&self) -> BTreeMap<&str, &Value> {
        let properties = self.get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().map(|(name, field)| (name.as_str(), field)).collect()
    }

    /// The fields that must be there.
    pub(super) fn required(&self) -> BTreeSet<&str> {
        self.get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// The keywords that decide which payloads fit, without those that structure them.
    pub(super) fn keyword_names(&self) -> impl Iterator<Item = &str> {
        self.keywords.keys().map(String::as_str).filter(|it| !ANNOTATIONS.contains(it))
    }
}

/// The keywords that mean something for some types only, and those types.
const TYPED: &[(&[&str], &[&str])] = &[
    (&["contentEncoding", "contentMediaType", "maxLength", "minLength", "pattern"], &["string"]),
    (&["exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"], &["integer", "number"]),
    (&["format"], &["integer", "number", "string"]),
    (&["items", "maxItems", "minItems", "uniqueItems"], &["array"]),
    (
        &[
            "additionalProperties",
            "maxProperties",
            "minProperties",
            "properties",
            "propertyNames",
            "required",
        ],
        &["object"],
    ),
];

fn applies(keyword: &str, kind: &str) -> bool {
    TYPED.iter().all(|(keywords, kinds)| !keywords.contains(&keyword) || kinds.contains(&kind))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A step of a JSON pointer.
pub(super) fn step(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Every alternative of a schema: one, unless it is a union.
pub(super) fn alternatives(root: &Value, schema: &Value, pointer: &str) -> Vec<Alternative> {
    let mut found = Vec::new();
    expand(root, schema, pointer, None, DEPTH_MAX, &mut found);
    found
}

fn expand(
    root: &Value,
    schema: &Value,
    pointer: &str,
    name: Option<String>,
    depth: usize,
    found: &mut Vec<Alternative>,
) {
    let Some(depth) = depth.checked_sub(1) else { return };
    // `false` admits nothing; `true` is the empty schema.
    let mut keywords = match schema {
        Value::Object(keywords) => keywords.clone(),
        Value::Bool(false) => return,
        _ => Map::new(),
    };
    let target =
        keywords.get("$ref").and_then(Value::as_str).and_then(|it| it.strip_prefix('#')).map(str::to_owned);
    if let Some(target) = target
        && let Some(referred) = root.pointer(&target)
    {
        let name = target.rsplit('/').next().map(str::to_owned);
        // What stands beside a reference holds as well; it is an annotation nearly always.
        let beside: Map<_, _> = keywords.into_iter().filter(|(name, _)| name != "$ref").collect();
        return expand(root, &overlaid(referred, beside), &target, name, depth, found);
    }
    if let Some(Value::Array(all)) = keywords.remove("allOf") {
        let mut parts: Vec<_> = all.iter().map(|part| alternatives(root, part, pointer)).collect();
        if parts.iter().all(|it| it.len() == 1) {
            let parts = parts.iter_mut().filter_map(Vec::pop);
            let whole = parts.fold(Value::Object(keywords), |whole, it| overlaid(&whole, it.keywords));
            return expand(root, &whole, pointer, name, depth, found);
        }
        // A union within is not multiplied out: any change of it is one that cannot be weighed.
        let parts: Vec<_> = all.iter().map(|part| bare(root, part)).collect();
        keywords.insert("allOf".to_owned(), parts.into());
    }
    for union in ["oneOf", "anyOf"] {
        if let Some(Value::Array(members)) = keywords.get(union).cloned() {
            keywords.remove(union);
            for (n, member) in members.iter().enumerate() {
                let beside = keywords.clone();
                let member = if beside.keys().all(|it| ANNOTATIONS.contains(&it.as_str())) {
                    member.clone()
                } else {
                    overlaid(member, beside)
                };
                expand(root, &member, &format!("{pointer}/{union}/{n}"), name.clone(), depth, found);
            }
            return;
        }
    }
    if let Some(Value::Array(values)) = keywords.remove("enum") {
        for value in values {
            let mut one = keywords.clone();
            one.insert("type".to_owned(), kind_of(&value).into());
            one.insert("const".to_owned(), value);
            found.push(Alternative { keywords: one, pointer: pointer.to_owned(), name: name.clone() });
        }
        return;
    }
    if let Some(Value::Array(kinds)) = keywords.get("type").cloned() {
        for kind in kinds {
            let mut one: Map<_, _> = keywords
                .clone()
                .into_iter()
                .filter(|(it, _)| applies(it, kind.as_str().unwrap_or_default()))
                .collect();
            one.insert("type".to_owned(), kind);
            found.push(Alternative { keywords: one, pointer: pointer.to_owned(), name: name.clone() });
        }
        return;
    }
    found.push(Alternative { keywords, pointer: pointer.to_owned(), name });
}

/// A schema with the keywords of another added; fields and demands of both are joined.
fn overlaid(schema: &Value, over: Map<String, Value>) -> Value {
    let mut whole = schema.as_object().cloned().unwrap_or_default();
    for (keyword, value) in over {
        match (whole.get_mut(&keyword), value) {
            (Some(Value::Object(fields)), Value::Object(more)) if keyword == "properties" => {
                fields.extend(more)
            }
            (Some(Value::Array(names)), Value::Array(more)) if keyword == "required" => names.extend(more),
            (_, value) => {
                whole.insert(keyword, value);
            }
        }
    }
    Value::Object(whole)
}

/// The alternatives by what tells them apart. `tagged` says whether objects must be told from each other.
pub(super) fn keyed(alternatives: Vec<Alternative>, tagged: bool) -> BTreeMap<String, Alternative> {
    let mut keyed = BTreeMap::new();
    for (n, alternative) in alternatives.into_iter().enumerate() {
        let mut key = key(&alternative, n, tagged);
        // Two that cannot be told apart are compared in their order.
        while keyed.contains_key(&key) {
            key.push('\'');
        }
        keyed.insert(key, alternative);
    }
    keyed
}

fn key(alternative: &Alternative, index: usize, tagged: bool) -> String {
    if let Some(value) = alternative.get("const") {
        return value.to_string();
    }
    let kind = alternative.kind();
    if kind != "object" || !tagged {
        return kind.to_owned();
    }
    tag(alternative).or_else(|| alternative.name.clone()).unwrap_or_else(|| format!("object {}", index + 1))
}

/// What tells an object of a union from the others: its constant fields, or the one field that it has.
fn tag(alternative: &Alternative) -> Option<String> {
    let properties = alternative.properties();
    let constants: Vec<_> = properties
        .iter()
        .filter_map(|(name, field)| field.get("const").map(|value| format!("{name} = {value}")))
        .collect();
    if !constants.is_empty() {
        return Some(constants.join(", "));
    }
    match (properties.keys().next(), properties.len(), alternative.required().len()) {
        (Some(only), 1, 1) => Some((*only).to_owned()),
        _ => None,
    }
}

/// A schema with its references followed and its annotations gone, to see whether two are the same.
pub(super) fn bare(root: &Value, schema: &Value) -> Value {
    strip(root, schema, DEPTH_MAX)
}

fn strip(root: &Value, schema: &Value, depth: usize) -> Value {
    let (Value::Object(keywords), Some(depth)) = (schema, depth.checked_sub(1)) else {
        return schema.clone();
    };
    let referred =
        keywords.get("$ref").and_then(Value::as_str).and_then(|it| root.pointer(it.strip_prefix('#')?));
    if let Some(referred) = referred {
        return strip(root, referred, depth);
    }
    let kept = keywords.iter().filter(|(name, _)| !ANNOTATIONS.contains(&name.as_str()));
    kept.map(|(name, value)| {
        let value = match (name.as_str(), value) {
            ("properties", Value::Object(fields)) => fields
                .iter()
                .map(|(name, field)| (name.clone(), strip(root, field, depth)))
                .collect::<Map<_, _>>()
                .into(),
            ("oneOf" | "anyOf" | "allOf", Value::Array(members)) => {
                members.iter().map(|it| strip(root, it, depth)).collect::<Vec<_>>().into()
            }
            (_, Value::Object(_)) => strip(root, value, depth),
            _ => value.clone(),
        };
        (name.clone(), value)
    })
    .collect::<Map<_, _>>()
    .into()
}
