//! Says of every text that is taken what [`crate::body`] demands of all of them: that it holds no NUL.

use std::collections::BTreeSet;

use utoipa::openapi::schema::{AdditionalProperties, ArrayItems, Object, Schema, SchemaType, Type};
use utoipa::openapi::{OpenApi, RefOr};

use super::operations;

/// What every text is, of which nothing narrower is said.
const NO_NUL: &str = "^[^\\u0000]*$";

/// Describes the texts of all bodies that operations take, and of the schemas that these refer to.
pub(super) fn describe(document: &mut OpenApi) {
    let mut named = Vec::new();
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let Some(RefOr::T(body)) = &mut operation.request_body else { continue };
        for content in body.content.values_mut() {
            if let RefOr::T(content) = content {
                content.schema.iter_mut().for_each(|it| walk(it, &mut named));
            }
        }
    }
    let Some(components) = &mut document.components else { return };
    let mut seen = BTreeSet::new();
    while let Some(name) = named.pop() {
        if let Some(schema) = components.schemas.get_mut(&name).filter(|_| !seen.contains(&name)) {
            walk(schema, &mut named);
            seen.insert(name);
        }
    }
}

/// Describes what is within, and notes what is referred to.
fn walk(schema: &mut RefOr<Schema>, named: &mut Vec<String>) {
    let schema = match schema {
        RefOr::Ref(it) => {
            named.extend(it.ref_location.rsplit_once('/').map(|(_, name)| name.to_owned()));
            return;
        }
        RefOr::T(schema) => schema,
    };
    match schema {
        Schema::Object(object) => walk_object(object, named),
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                walk(items, named);
            }
        }
        Schema::OneOf(it) => it.items.iter_mut().for_each(|it| walk(it, named)),
        Schema::AllOf(it) => it.items.iter_mut().for_each(|it| walk(it, named)),
        Schema::AnyOf(it) => it.items.iter_mut().for_each(|it| walk(it, named)),
        _ => {}
    }
}

fn walk_object(object: &mut Object, named: &mut Vec<String>) {
    if is_text(&object.schema_type) && object.pattern.is_none() && object.enum_values.is_none() {
        object.pattern = Some(NO_NUL.to_owned());
    }
    object.properties.values_mut().for_each(|it| walk(it, named));
    if let Some(more) = &mut object.additional_properties
        && let AdditionalProperties::RefOr(more) = more.as_mut()
    {
        walk(more, named);
    }
}

fn is_text(schema_type: &SchemaType) -> bool {
    match schema_type {
        SchemaType::Type(one) => *one == Type::String,
        SchemaType::Array(types) => types.contains(&Type::String),
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
        #[schema(pattern = "^a$")]
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
    fn texts_of_bodies_hold_no_nul_and_those_of_answers_are_left_alone() {
        let mut document = Document::openapi();
        describe(&mut document);
        let told = serde_json::to_value(&document).unwrap();
        let schemas = &told["components"]["schemas"];
        assert_eq!(schemas["Inner"]["properties"]["word"]["pattern"], NO_NUL);
        assert_eq!(schemas["Inner"]["properties"]["narrow"]["pattern"], "^a$");
        assert!(schemas["Told"]["properties"]["word"].get("pattern").is_none());
    }
}
