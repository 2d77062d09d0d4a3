//! Says of every text that is taken what [`crate::body`] demands of all of them: that it holds no NUL, and is not too long.

use std::collections::BTreeSet;

use utoipa::Number;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayItems, KnownFormat, Object, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{OpenApi, RefOr};

use super::operations;
use crate::body::TEXT_CHARS_MAX;

/// The media type of the forms of OAuth.
const FORM: &str = "application/x-www-form-urlencoded";
/// Bytes of a parameter in such a form at most, as command-api takes them.
const FORM_TEXT_BYTES_MAX: usize = 4_000;
/// What every text is, of which nothing narrower is said.
const NO_NUL: &str = "^[^\\u0000]*$";

/// Describes the texts of all bodies that operations take, and of the schemas that these refer to.
pub(super) fn describe(document: &mut OpenApi) {
    let mut named = Vec::new();
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let Some(RefOr::T(body)) = &mut operation.request_body else { continue };
        for (media, content) in &mut body.content {
            let chars_max = if media == FORM { FORM_TEXT_BYTES_MAX } else { TEXT_CHARS_MAX };
            if let RefOr::T(content) = content {
                content.schema.iter_mut().for_each(|it| Walk { chars_max, named: &mut named }.walk(it));
            }
        }
    }
    let Some(components) = &mut document.components else { return };
    let mut seen = BTreeSet::new();
    while let Some((name, chars_max)) = named.pop() {
        if let Some(schema) = components.schemas.get_mut(&name).filter(|_| !seen.contains(&name)) {
            Walk { chars_max, named: &mut named }.walk(schema);
            seen.insert(name);
        }
    }
}

/// Through one schema.
struct Walk<'a> {
    /// Characters of a text of which nothing narrower is said.
    chars_max: usize,
    /// What is referred to, with the same.
    named: &'a mut Vec<(String, usize)>,
}

impl Walk<'_> {
    /// Describes what is within, and notes what is referred to.
    fn walk(&mut self, schema: &mut RefOr<Schema>) {
        let schema = match schema {
            RefOr::Ref(it) => {
                let name = it.ref_location.rsplit_once('/').map(|(_, name)| name.to_owned());
                self.named.extend(name.map(|it| (it, self.chars_max)));
                return;
            }
            RefOr::T(schema) => schema,
        };
        match schema {
            Schema::Object(object) => self.walk_object(object),
            Schema::Array(array) => {
                if let ArrayItems::RefOrSchema(items) = &mut array.items {
                    self.walk(items);
                }
            }
            Schema::OneOf(it) => it.items.iter_mut().for_each(|it| self.walk(it)),
            Schema::AllOf(it) => it.items.iter_mut().for_each(|it| self.walk(it)),
            Schema::AnyOf(it) => it.items.iter_mut().for_each(|it| self.walk(it)),
            _ => {}
        }
    }

    fn walk_object(&mut self, object: &mut Object) {
        if is_a(&object.schema_type, &Type::String) && object.enum_values.is_none() {
            object.pattern.get_or_insert_with(|| NO_NUL.to_owned());
            if !has_length(object.format.as_ref()) {
                object.max_length.get_or_insert(self.chars_max);
            }
        }
        bound(object);
        object.properties.values_mut().for_each(|it| self.walk(it));
        if let Some(more) = &mut object.additional_properties
            && let AdditionalProperties::RefOr(more) = more.as_mut()
        {
            self.walk(more);
        }
    }
}

/// Says of an integer of which nothing narrower is said that it is one of 64 bits.
pub(super) fn bound(object: &mut Object) {
    if is_a(&object.schema_type, &Type::Integer) && object.maximum.is_none() {
        object.maximum = Some(Number::Int(isize::MAX));
    }
}

/// Whether a format says by itself how long a text is.
fn has_length(format: Option<&SchemaFormat>) -> bool {
    matches!(
        format,
        Some(SchemaFormat::KnownFormat(KnownFormat::Uuid | KnownFormat::Date | KnownFormat::DateTime))
    )
}

fn is_a(schema_type: &SchemaType, wanted: &Type) -> bool {
    match schema_type {
        SchemaType::Type(one) => one == wanted,
        SchemaType::Array(types) => types.contains(wanted),
        SchemaType::AnyValue => false,
    }
}

#[cfg(test)]
mod tests {
    use utoipa::OpenApi as _;

    use super::*;

    #[derive(utoipa::ToSchema)]
    #[expect(dead_code, reason = "only its description is looked at")]
    struct Inner {
        word: Option<String>,
        #[schema(pattern = "^a$", max_length = 1)]
        narrow: String,
    }

    #[derive(utoipa::ToSchema)]
    #[expect(dead_code, reason = "only its description is looked at")]
    struct Outer {
        list: Vec<Inner>,
    }

    #[utoipa::path(post, path = "/", request_body = Outer, responses((status = 200, body = Told)))]
    #[expect(dead_code, reason = "only its description is looked at")]
    fn take() {}

    #[derive(utoipa::ToSchema)]
    #[expect(dead_code, reason = "only its description is looked at")]
    struct Told {
        word: String,
    }

    #[derive(utoipa::OpenApi)]
    #[openapi(paths(take), components(schemas(Outer, Inner, Told)))]
    struct Document;

    #[test]
    fn texts_of_bodies_hold_no_nul_and_are_bounded_and_those_of_answers_are_left_alone() {
        let mut document = Document::openapi();
        describe(&mut document);
        let told = serde_json::to_value(&document).unwrap();
        let schemas = &told["components"]["schemas"];
        assert_eq!(schemas["Inner"]["properties"]["word"]["pattern"], NO_NUL);
        assert_eq!(schemas["Inner"]["properties"]["word"]["maxLength"], TEXT_CHARS_MAX);
        assert_eq!(schemas["Inner"]["properties"]["narrow"]["pattern"], "^a$");
        assert_eq!(schemas["Inner"]["properties"]["narrow"]["maxLength"], 1);
        let word = &schemas["Told"]["properties"]["word"];
        assert!(word.get("pattern").is_none() && word.get("maxLength").is_none());
    }
}
