//! Which entries of the trail are meant, as callers say it. Every value is one of the product's own words or an
//! identifier, so that an export can be recorded with its filters.

use std::collections::BTreeMap;

use domain::StreamId;
use event_schemas::catalog;
use read_models::Moment;
use read_models::audit_trail::{ActionFilter, ResourceFilter, TrailFilter};
use serde::{Deserialize, Serialize};
use service_kit::access::permissions;
use service_kit::problem::Problem;
use utoipa::ToSchema;
use uuid::Uuid;

use super::time;
use crate::reading::invalid;

/// Characters of a path at most.
const PATH_CHARS_MAX: usize = 200;

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TrailResult {
    Done,
    Refused,
    Read,
    Exported,
}

impl TrailResult {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Read => "read",
            Self::Exported => "exported",
        }
    }
}

/// Which entries: those that fit everything that is given.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrailFilters {
    /// Only those by this actor.
    pub actor: Option<Uuid>,
    /// Only those of this action: the type of an event, the name of a permission, or a context and a point.
    #[schema(example = "ledger.")]
    pub action: Option<String>,
    /// Only those about this: a stream, `category/id`, that was changed; or a path, `/v1/…`, at or below which
    /// something was asked for.
    #[schema(example = "ledger.account/0198c5a2-7a4e-7d6e-9d52-1f1c2b3a4d5e")]
    pub resource: Option<String>,
    /// Only those with this result.
    #[schema(inline)]
    pub result: Option<TrailResult>,
    /// Only those of this request and what followed from it.
    pub correlation: Option<Uuid>,
    /// Only those recorded at or after this moment.
    #[schema(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    pub from: Option<Moment>,
    /// Only those recorded before this moment.
    #[schema(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    pub to: Option<Moment>,
}

impl TrailFilters {
    /// The filter that they say.
    ///
    /// # Errors
    /// If an action or a resource is none of ours.
    pub(crate) fn parsed(&self) -> Result<TrailFilter, Problem> {
        Ok(TrailFilter {
            actor: self.actor,
            action: self.action.as_deref().map(action).transpose()?,
            resource: self.resource.as_deref().map(resource).transpose()?,
            result: self.result.map(|it| it.as_str().to_owned()),
            correlation: self.correlation,
            from: self.from.map(|it| it.0),
            to: self.to.map(|it| it.0),
        })
    }

    /// As they are recorded.
    pub(crate) fn recorded(&self) -> BTreeMap<String, String> {
        let given = [
            ("actor", self.actor.map(|it| it.to_string())),
            ("action", self.action.clone()),
            ("resource", self.resource.clone()),
            ("result", self.result.map(|it| it.as_str().to_owned())),
            ("correlation", self.correlation.map(|it| it.to_string())),
            ("from", self.from.map(|it| time(it.0))),
            ("to", self.to.map(|it| time(it.0))),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }

    /// Those that were recorded; nothing, if a newer build knows more filters than this one.
    pub(crate) fn of_recorded(recorded: &BTreeMap<String, String>) -> Option<Self> {
        serde_json::to_value(recorded).and_then(serde_json::from_value).ok()
    }
}

/// Whether a word is the type of an event, the name of a permission, or a context of such with a point behind it.
pub(crate) fn is_action(word: &str) -> bool {
    let mut actions =
        catalog::EVENTS.iter().map(|it| it.name).chain(permissions::ALL.iter().map(|it| it.name));
    match word.strip_suffix('.') {
        Some(context) => actions.any(|it| it.split_once('.').is_some_and(|(of, _)| of == context)),
        None => actions.any(|it| it == word),
    }
}

fn action(text: &str) -> Result<ActionFilter, Problem> {
    if !is_action(text) {
        return Err(invalid(
            "action is the type of an event, the name of a permission, or a context and a point",
        ));
    }
    Ok(match text.strip_suffix('.') {
        Some(context) => ActionFilter::Context(context.to_owned()),
        None => ActionFilter::Exactly(text.to_owned()),
    })
}

fn resource(text: &str) -> Result<ResourceFilter, Problem> {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"/-_.{}".contains(&byte);
    if text.starts_with("/v1/") && text.len() <= PATH_CHARS_MAX && text.bytes().all(is_part) {
        return Ok(ResourceFilter::Path(text.to_owned()));
    }
    let malformed = || invalid("resource is a stream, category/id, or a path that begins with /v1/");
    let (name, id) = text.split_once('/').ok_or_else(malformed)?;
    let category = catalog::category_named(name).ok_or_else(malformed)?;
    Ok(ResourceFilter::Stream(StreamId::new(category, Uuid::parse_str(id).map_err(|_| malformed())?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn filters_are_recorded_as_they_are_read() {
        let id = "0190a5c4-7c1e-7000-8000-000000000001";
        let given = json!({
            "actor": id, "action": "ledger.", "resource": format!("ledger.account/{id}"), "result": "refused",
            "from": "2026-01-01T00:00:00Z"
        });
        let filters: TrailFilters = serde_json::from_value(given).unwrap();
        let parsed = filters.parsed().unwrap();
        assert_eq!(parsed.action, Some(ActionFilter::Context("ledger".to_owned())));
        assert!(matches!(parsed.resource, Some(ResourceFilter::Stream(_))));
        let again = TrailFilters::of_recorded(&filters.recorded()).unwrap();
        assert_eq!(again.recorded(), filters.recorded());
        assert_eq!(filters.recorded()["from"], "2026-01-01T00:00:00.000000Z");
    }

    #[test]
    fn free_text_is_no_filter() {
        for (name, text) in [
            ("action", "jane.doe"),
            ("action", "ledger"),
            ("resource", "jane doe"),
            ("resource", "/v1/Jane Doe"),
            ("resource", "/etc/passwd"),
            ("resource", "ledger.account/jane"),
        ] {
            let filters: TrailFilters = serde_json::from_value(json!({ name: text })).unwrap();
            assert_eq!(filters.parsed().unwrap_err().code(), "request.invalid-parameter", "{text}");
        }
        assert!(matches!(resource("/v1/ledger/accounts"), Ok(ResourceFilter::Path(_))));
    }
}
