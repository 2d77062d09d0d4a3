//! Lends the schemas of domain types to the API's description. The domain derives JSON Schema and does not know HTTP.

use std::borrow::Cow;

use domain::application::RedirectUri;
use domain::ledger::{
    ClosePeriodRequest, FreezeRequest, OpenAccountRequest, PostHoldRequest, ReverseRequest, TransferRequest,
};
use domain::metadata::{LABEL_CHARS_MAX, Label};
use domain::organisation::Policy;
use domain::words::{Language, Permission, Scope, Word};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::Value;
use service_kit::contact::POSTAL_CHARS_MAX;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::routes::batches::BatchRequest;
use crate::routes::platform::REASON_CHARS_MAX;

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
    if let (Some(chars_max), None) = (schema.get("maxLength"), schema.get("pattern")) {
        let is_name = *chars_max == LABEL_CHARS_MAX;
        let pattern = if is_name { NAME_PATTERN } else { TEXT_PATTERN };
        schema.insert("pattern".to_owned(), Value::from(pattern));
    }
    if schema.get("pattern").is_some() && schema.get("type").is_none() {
        schema.insert("type".to_owned(), Value::from("string"));
    }
}

/// What a text for people must not hold: control characters, and what turns the direction of writing.
const TEXT_PATTERN: &str = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$";
/// What a name must not hold, as it stands between brackets: the same, and what is not seen.
macro_rules! unnamed {
    () => {
        concat!(
            r"\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f",
            r"\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb",
        )
    };
}

const NAME_PATTERN: &str = concat!("^[^", unnamed!(), "]*$");
/// Lines of an address, each of them such a name.
const POSTAL_PATTERN: &str = concat!("^[^", unnamed!(), r"]{1,200}(\n[^", unnamed!(), "]{1,200}){0,9}$");

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
    LabelText for Label;
    LanguageText for Language;
    PermissionText for Permission;
    ScopeText for Scope;
    WordText for Word;
}

/// The description of [`Policy`], with the bounds of its figures.
pub struct PolicyBody;

impl PartialSchema for PolicyBody {
    fn schema() -> RefOr<Schema> {
        let mut schema = described::<Policy>();
        for (field, min, max) in Policy::BOUNDS {
            let path = field.split('.').fold(String::new(), |path, name| format!("{path}/properties/{name}"));
            let Some(figure) = schema.pointer_mut(&path) else { continue };
            let is_list = figure.get("items").is_some();
            let [least, most] = if is_list { ["minItems", "maxItems"] } else { ["minimum", "maximum"] };
            figure[least] = Value::from(*min);
            figure[most] = Value::from(*max);
        }
        serde_json::from_value(schema).unwrap_or_else(|_| RefOr::T(Schema::Object(Object::new())))
    }
}

impl ToSchema for PolicyBody {
    fn name() -> Cow<'static, str> {
        Policy::schema_name()
    }
}

/// Texts of which the form is said by a pattern: name, the name in the description, pattern, characters at most.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident $shown:literal $pattern:expr, $chars_max:expr;)*) => {$(
        $(#[$doc])*
        pub struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some($pattern));
                text.max_length(Some($chars_max)).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                $shown.into()
            }
        }
    )*};
}

/// A role: the name of a built-in one, or the identifier of one of the organisation's own.
const ROLE_PATTERN: &str =
    "^([a-z][a-z0-9-]{0,39}|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})$";
/// Bytes in base64url without padding (RFC 4648, section 5): what is left over of the last letter is nothing.
const BASE64URL_PATTERN: &str =
    "^([A-Za-z0-9_-]{4})*([A-Za-z0-9_-][AQgw]|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])?$";
/// An address by https, by http to the own machine, or of a private scheme with a dot: see [`RedirectUri`].
const REDIRECT_PATTERN: &str = concat!(
    r"^(https://[!$-)+-.0-;=A-\[\]_a-z~]+([/?][!$-)+-;=?-\[\]_a-z~]*)?",
    r"|http://(localhost|127\.0\.0\.1|\[::1\])",
    r"(:([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?",
    r"([/?][!$-)+-;=?-\[\]_a-z~]*)?",
    r"|[a-z0-9.-]*\.[a-z0-9.-]*:[!$-)+-;=?-\[\]_a-z~]+)$"
);
/// Characters of bytes in base64url at most: no body in which there are any is longer.
const BASE64URL_CHARS_MAX: usize = 8_000;

texts! {
    /// The description of a role.
    RoleText "Role" ROLE_PATTERN, 40;
    /// The description of bytes.
    Base64Text "Base64Url" BASE64URL_PATTERN, BASE64URL_CHARS_MAX;
    /// The description of [`service_kit::contact::PostalAddress`].
    PostalText "PostalAddress" POSTAL_PATTERN, POSTAL_CHARS_MAX;
    /// The description of [`RedirectUri`].
    RedirectText "RedirectUri" REDIRECT_PATTERN, RedirectUri::BYTES_MAX;
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
    use std::collections::BTreeSet;

    use super::*;

    #[track_caller]
    fn keeps_every_word<T: JsonSchema>() {
        assert_eq!(serde_json::to_value(lent::<T>()).unwrap(), described::<T>(), "{}", T::schema_name());
    }

    #[test]
    fn texts_are_described_as_they_are_taken() {
        let value = |text: &str| [("k".to_owned(), text.to_owned())].into();
        let as_taken = |pattern, is_taken: &dyn Fn(&str) -> bool| {
            let described = characters(pattern);
            for char in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
                let refused = !is_taken(&format!("a{char}b"));
                assert_eq!(refused, described.contains(&u32::from(char)), "{:x}", u32::from(char));
            }
        };
        as_taken(NAME_PATTERN, &|text| Label::parse(text).is_ok());
        as_taken(TEXT_PATTERN, &|text| domain::metadata::Metadata::parse(value(text)).is_ok());
    }

    /// What a pattern excludes.
    fn characters(pattern: &str) -> BTreeSet<u32> {
        let code = |at: &str| u32::from_str_radix(at.trim_start_matches("\\u"), 16).unwrap();
        let mut described = BTreeSet::new();
        let mut rest = pattern.trim_start_matches("^[^").trim_end_matches("]*$");
        while !rest.is_empty() {
            let first = code(&rest[..6]);
            let is_range = rest[6..].starts_with('-');
            described.extend(first..=if is_range { code(&rest[7..13]) } else { first });
            rest = &rest[if is_range { 13 } else { 6 }..];
        }
        described
    }

    #[test]
    fn the_figures_of_a_policy_have_their_bounds() {
        let schema = serde_json::to_value(PolicyBody::schema()).unwrap();
        for (field, min, max) in Policy::BOUNDS {
            let path = field.split('.').fold(String::new(), |path, name| format!("{path}/properties/{name}"));
            let figure = schema.pointer(&path).unwrap_or_else(|| panic!("{field}"));
            let bounds = ["minimum", "maximum"].map(|it| figure[it].clone());
            let bounds = if bounds[0].is_null() {
                ["minItems", "maxItems"].map(|it| figure[it].clone())
            } else {
                bounds
            };
            assert_eq!(bounds, [Value::from(*min), Value::from(*max)], "{field}");
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
        keeps_every_word::<Label>();
        keeps_every_word::<Language>();
        keeps_every_word::<Permission>();
        keeps_every_word::<Scope>();
        keeps_every_word::<Word>();
    }
}
