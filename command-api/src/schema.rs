//! Lends the schemas of domain types to the API's description. The domain derives JSON Schema and does not know HTTP.

use std::borrow::Cow;

use domain::ledger::{
    ClosePeriodRequest, FreezeRequest, OpenAccountRequest, PostHoldRequest, ReverseRequest, TransferRequest,
};
use domain::metadata::Label;
use domain::organisation::Policy;
use domain::words::{Language, Permission, Scope, Word};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::routes::batches::BatchRequest;
use crate::routes::organizations::REASON_CHARS_MAX;

fn lent<T: JsonSchema>() -> RefOr<Schema> {
    serde_json::from_value(described::<T>()).unwrap_or_else(|_| RefOr::T(Schema::Object(Object::new())))
}

fn described<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|it| {
        it.inline_subschemas = true;
        it.meta_schema = None;
    });
    let settings = settings.with_transform(RecursiveTransform(reworded));
    settings.into_generator().into_root_schema_for::<T>().into()
}

/// The library of the description knows no `const`, no schema of a text that does not say that it is one, and no default
/// that is nothing.
fn reworded(schema: &mut schemars::Schema) {
    if schema.get("default") == Some(&Value::Null) {
        schema.remove("default");
    }
    if let Some(value) = schema.remove("const") {
        schema.insert("enum".to_owned(), Value::Array(vec![value]));
    }
    // The released schemas of events do not say it, since what is stored is taken as it is.
    if schema.get("maxLength").is_some() && schema.get("pattern").is_none() {
        schema.insert("pattern".to_owned(), Value::from(TEXT_PATTERN));
    }
    if schema.get("pattern").is_some() && schema.get("type").is_none() {
        schema.insert("type".to_owned(), Value::from("string"));
    }
}

/// What a text for people must not hold: control characters, and what turns the direction of writing.
const TEXT_PATTERN: &str = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$";

macro_rules! lend {
    ($($name:ident for $request:ty;)*) => {$(
        #[doc = concat!("The description of [`", stringify!($request), "`].")]
        pub struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                lent::<$request>()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                <$request>::schema_name()
            }
        }
    )*};
}

lend! {
    OpenAccountBody for OpenAccountRequest;
    FreezeBody for FreezeRequest;
    TransferBody for TransferRequest;
    PostHoldBody for PostHoldRequest;
    ReverseBody for ReverseRequest;
    ClosePeriodBody for ClosePeriodRequest;
    BatchBody for BatchRequest;
    PolicyBody for Policy;
    LabelText for Label;
    LanguageText for Language;
    PermissionText for Permission;
    ScopeText for Scope;
    WordText for Word;
}

/// A reason in words, which may be longer than a label.
pub struct ReasonText;

/// What a reason must not hold: control characters.
const REASON_PATTERN: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

impl PartialSchema for ReasonText {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(REASON_PATTERN));
        text.max_length(Some(REASON_CHARS_MAX)).into()
    }
}

impl ToSchema for ReasonText {
    fn name() -> Cow<'static, str> {
        "Reason".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn keeps_every_word<T: JsonSchema>() {
        assert_eq!(serde_json::to_value(lent::<T>()).unwrap(), described::<T>(), "{}", T::schema_name());
    }

    #[test]
    fn texts_are_described_as_they_are_taken() {
        let bounds = TEXT_PATTERN.trim_start_matches("^[^").trim_end_matches("]*$");
        let code = |at: &str| u32::from_str_radix(at.trim_start_matches("\\u"), 16).unwrap();
        let mut described = std::collections::BTreeSet::new();
        let mut rest = bounds;
        while !rest.is_empty() {
            let first = code(&rest[..6]);
            let is_range = rest[6..].starts_with('-');
            described.extend(first..=if is_range { code(&rest[7..13]) } else { first });
            rest = &rest[if is_range { 13 } else { 6 }..];
        }
        for char in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let refused = domain::metadata::Label::parse(format!("a{char}b").as_str()).is_err();
            assert_eq!(refused, described.contains(&u32::from(char)), "{:x}", u32::from(char));
        }
    }

    #[test]
    fn the_description_says_all_that_the_types_say() {
        keeps_every_word::<OpenAccountRequest>();
        keeps_every_word::<FreezeRequest>();
        keeps_every_word::<TransferRequest>();
        keeps_every_word::<PostHoldRequest>();
        keeps_every_word::<ReverseRequest>();
        keeps_every_word::<ClosePeriodRequest>();
        keeps_every_word::<BatchRequest>();
        keeps_every_word::<Policy>();
        keeps_every_word::<Label>();
        keeps_every_word::<Language>();
        keeps_every_word::<Permission>();
        keeps_every_word::<Scope>();
        keeps_every_word::<Word>();
    }
}
