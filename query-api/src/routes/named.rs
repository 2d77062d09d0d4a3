//! Rows by their names in the description of lists: whoever generates a client gets one type of a row, and not a second one
//! that only lists have.

use utoipa::openapi::schema::ArrayItems;
use utoipa::openapi::{OpenApi, Ref, RefOr, Schema};

/// What names of generic schemas begin with, before the name of what they hold.
const PAGE: &str = "Page_";

/// Puts references in the place of rows that pages spell out once more.
pub(super) fn refer_to_rows(document: &mut OpenApi) {
    let Some(components) = document.components.as_mut() else { return };
    let rows: Vec<String> = components.schemas.keys().cloned().collect();
    for row in rows {
        let Some(RefOr::T(Schema::Object(page))) = components.schemas.get_mut(&format!("{PAGE}{row}")) else {
            continue;
        };
        if let Some(RefOr::T(Schema::Array(items))) = page.properties.get_mut("items") {
            items.items = ArrayItems::RefOrSchema(Box::new(RefOr::Ref(Ref::from_schema_name(row))));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::routes::document;

    #[test]
    fn a_list_holds_the_row_that_a_single_answer_is() {
        let document = serde_json::to_value(document()).unwrap();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let pages: Vec<(&str, &Value)> =
            schemas.iter().filter_map(|(name, it)| Some((name.strip_prefix("Page_")?, it))).collect();
        assert!(pages.len() > 15, "{pages:?}");
        for (row, page) in pages {
            let told = &page["properties"]["items"]["items"]["$ref"];
            assert_eq!(told, &format!("#/components/schemas/{row}"));
            assert!(schemas.contains_key(row), "{row}");
        }
    }
}
