//! What a row says in private: the sealed text, and the place in the log that the seal is bound to. Rows keep it sealed,
//! so that an erasure reaches them by the deletion of a key; only who answers a query opens it, with
//! [`PrivateField::resolve`].

use std::borrow::Cow;

use domain::StreamId;
use domain::private::{Private, Sealed};
use event_schemas::envelope::Origin;
use event_store::keyring::{ORIGIN_PATH, sealed_in};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sqlx::types::Json;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use crate::read_model::{Item, ProjectionError};

/// A sealed text and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedText {
    /// Category code and id of the event's own stream.
    pub stream: (i16, Uuid),
    /// The event.
    pub event_id: Uuid,
    /// Where in the event.
    pub path: Cow<'static, str>,
    /// The text.
    pub sealed: Sealed,
}

/// A private field of a row: sealed as it comes from the table, open or erased once it was resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrivateField {
    /// As the table has it.
    Sealed(Box<SealedText>),
    /// What it says.
    Open(String),
    /// The key of its subject is gone.
    Erased,
}

/// The form of a column, `jsonb`.
pub type PrivateColumn = Json<PrivateField>;

impl PrivateField {
    /// A field of an event as the table keeps it. `None` if it is not sealed, which a stored event never is.
    #[must_use]
    pub fn of(item: &Item<'_>, path: &'static str, private: &Private) -> Option<PrivateColumn> {
        let Private::Sealed(sealed) = private else { return None };
        let StreamId { category, id } = item.recorded.stream;
        Some(Json(Self::Sealed(Box::new(SealedText {
            stream: (category.code, id),
            event_id: item.recorded.event_id,
            path: Cow::Borrowed(path),
            sealed: sealed.clone(),
        }))))
    }

    /// From where the request came that made an event, as the table keeps it: JSON with `ip` and `user_agent`.
    ///
    /// # Errors
    /// If the event's meta cannot be read.
    pub(crate) fn origin(item: &Item<'_>) -> Result<Option<PrivateColumn>, ProjectionError> {
        let origin = item.meta()?.origin.as_ref().and_then(sealed_in).map(Private::Sealed);
        Ok(origin.and_then(|it| Self::of(item, ORIGIN_PATH, &it)))
    }

    /// Whose it is; nobody's once it was resolved.
    #[must_use]
    pub fn subject(&self) -> Option<Uuid> {
        match self {
            Self::Sealed(text) => Some(text.sealed.subject),
            Self::Open(_) | Self::Erased => None,
        }
    }

    /// Opens it. `open` answers nothing where the key is gone or does not fit.
    pub fn resolve(&mut self, open: impl FnOnce(&SealedText) -> Option<String>) {
        if let Self::Sealed(text) = self {
            *self = open(text).map_or(Self::Erased, Self::Open);
        }
    }
}

/// A row with private fields.
pub trait HasPrivate {
    /// Those that are set.
    fn private_fields(&mut self) -> Vec<&mut PrivateField>;
}

/// The table's form while it is sealed; in an answer, the text or `null`. What was resolved is never written to a table,
/// and what was not is recognised in an answer by whoever looks at one.
impl Serialize for PrivateField {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Sealed(text) => text.serialize(serializer),
            Self::Open(text) => serializer.serialize_str(text),
            Self::Erased => serializer.serialize_none(),
        }
    }
}

impl<'de> Deserialize<'de> for PrivateField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SealedText::deserialize(deserializer).map(|text| Self::Sealed(Box::new(text)))
    }
}

/// From where a request came, as answers show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RequestOrigin {
    /// The address of the network.
    #[schema(example = "192.0.2.7")]
    pub ip: Option<String>,
    /// What the program called itself, at most 256 characters of it.
    #[schema(example = "curl/8.9")]
    pub user_agent: Option<String>,
}

/// An origin that was opened, as an object; `null` where there is none to be shown. For `#[serde(serialize_with)]` of a row,
/// whose columns go to their table by themselves.
pub(crate) fn origin_shown<S: Serializer>(
    field: &Option<PrivateColumn>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let opened = match field {
        Some(Json(PrivateField::Open(text))) => serde_json::from_str::<Origin>(text).ok(),
        // What nobody opened is seen to be sealed by whoever looks at the answer.
        Some(Json(sealed @ PrivateField::Sealed(_))) => return sealed.serialize(serializer),
        Some(Json(PrivateField::Erased)) | None => None,
    };
    opened.map(|Origin { ip, user_agent }| RequestOrigin { ip, user_agent }).serialize(serializer)
}

impl PartialSchema for PrivateField {
    fn schema() -> RefOr<Schema> {
        let types = SchemaType::from_iter([Type::String, Type::Null]);
        RefOr::T(
            ObjectBuilder::new()
                .schema_type(types)
                .description(Some("`null` once the person was erased."))
                .into(),
        )
    }
}

impl ToSchema for PrivateField {}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[derive(Serialize)]
    struct Row {
        #[serde(serialize_with = "origin_shown")]
        origin: Option<PrivateColumn>,
    }

    #[test]
    fn an_origin_is_shown_as_an_object_and_never_as_text_within_text() {
        let open = |text: &str| Some(Json(PrivateField::Open(text.to_owned())));
        for (origin, shown) in [
            (
                open(r#"{"ip":"192.0.2.7","user_agent":"curl/8.9"}"#),
                json!({ "ip": "192.0.2.7", "user_agent": "curl/8.9" }),
            ),
            (open(r#"{"ip":"192.0.2.7"}"#), json!({ "ip": "192.0.2.7", "user_agent": null })),
            (open("192.0.2.7"), Value::Null),
            (Some(Json(PrivateField::Erased)), Value::Null),
            (None, Value::Null),
        ] {
            assert_eq!(serde_json::to_value(Row { origin }).unwrap(), json!({ "origin": shown }));
        }
    }
}
