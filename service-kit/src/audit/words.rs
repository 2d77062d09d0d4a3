//! Which words of a request may stand in the audit trail: identifiers, numbers, times, and names that are ours. What
//! else a caller sends could be anything, personal data too, and is left out.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::{OpenApi, RefOr};
use uuid::Uuid;

/// Stands for a value that was given and is not told.
const WITHHELD: &str = "withheld";
/// Parameters that say which page is asked for, not of what.
const OF_PAGES: [&str; 3] = ["cursor", "limit", "order"];
/// Digits of a number at most.
const DIGITS_MAX: usize = 20;

/// The words of an interface.
#[derive(Debug, Clone)]
pub struct Words {
    parameters: BTreeSet<String>,
    is_name: fn(&str) -> bool,
}

impl Words {
    /// Takes the names of the query parameters that a description of the interface knows, and whether a word is one of
    /// the product's own.
    #[must_use]
    pub fn of(document: &OpenApi, is_name: fn(&str) -> bool) -> Self {
        let items = document.paths.paths.values();
        let operations = items.flat_map(|it| [&it.get, &it.post, &it.put, &it.delete, &it.patch]).flatten();
        let parameters = operations.flat_map(|it| it.parameters.iter().flatten());
        let names = parameters.filter_map(|it| match it {
            RefOr::T(it) if matches!(it.parameter_in, ParameterIn::Query) => Some(it.name.clone()),
            _ => None,
        });
        Self { parameters: names.collect(), is_name }
    }

    /// A path as it is told: exactly, and as its template. What is no word of ours stays a name in braces.
    pub(super) fn resources(&self, template: &str, path: &str) -> (String, String) {
        let mut sent = path.split('/');
        let told: Vec<String> = template
            .split('/')
            .map(|part| {
                let value = sent.next().filter(|_| part.starts_with('{'));
                value.and_then(|it| self.told(it)).unwrap_or_else(|| part.to_owned())
            })
            .collect();
        (told.join("/"), template.to_owned())
    }

    /// The filters of a query string.
    pub(super) fn filters(&self, query: &str) -> BTreeMap<String, String> {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
        pairs
            .into_iter()
            .filter(|(name, _)| self.parameters.contains(name) && !OF_PAGES.contains(&name.as_str()))
            .map(|(name, value)| {
                let told = self.told(&value).unwrap_or_else(|| WITHHELD.to_owned());
                (name, told)
            })
            .collect()
    }

    fn told(&self, value: &str) -> Option<String> {
        if let Ok(id) = Uuid::try_parse(value) {
            return Some(id.to_string());
        }
        let digits =
            |it: &str| (1..=DIGITS_MAX).contains(&it.len()) && it.bytes().all(|byte| byte.is_ascii_digit());
        let is_position = value.split_once('-').is_some_and(|(epoch, rest)| digits(epoch) && digits(rest));
        if digits(value) || is_position || (self.is_name)(value) {
            return Some(value.to_owned());
        }
        if let Ok(moment) = DateTime::parse_from_rfc3339(value) {
            return Some(moment.to_rfc3339());
        }
        let (name, id) = value.split_once('/')?;
        let id = Uuid::try_parse(id).ok().filter(|_| (self.is_name)(name))?;
        Some(format!("{name}/{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        let parameters = ["type", "actor", "from", "stream", "limit", "after", "name_prefix"];
        let parameters = parameters.map(ToOwned::to_owned).into();
        Words { parameters, is_name: |it| ["ledger.account", "ledger.transfer-posted"].contains(&it) }
    }

    #[test]
    fn a_path_is_told_with_its_identifiers_and_nothing_else() {
        let template = "/v1/ledger/accounts/{id}/freeze";
        let id = "0190a5c4-7c1e-7000-8000-000000000001";
        for (path, told) in [
            (format!("/v1/ledger/accounts/{id}/freeze"), format!("/v1/ledger/accounts/{id}/freeze")),
            (
                format!("/v1/ledger/accounts/{}/freeze", id.to_uppercase()),
                format!("/v1/ledger/accounts/{id}/freeze"),
            ),
            ("/v1/ledger/accounts/jane.doe@example.org/freeze".to_owned(), template.to_owned()),
            ("/v1/ledger/accounts/jane%20doe/freeze".to_owned(), template.to_owned()),
            (String::new(), template.to_owned()),
        ] {
            assert_eq!(words().resources(template, &path), (told, template.to_owned()), "{path}");
        }
        let (told, _) =
            words().resources("/v1/streams/{category}/{id}", &format!("/v1/streams/ledger.account/{id}"));
        assert_eq!(told, format!("/v1/streams/ledger.account/{id}"));
        assert_eq!(words().resources("/v1/events/{position}", "/v1/events/1-4711").0, "/v1/events/1-4711");
    }

    #[test]
    fn filters_are_told_by_known_names_and_harmless_values() {
        let id = "0190a5c4-7c1e-7000-8000-000000000001";
        let query = format!(
            "type=ledger.transfer-posted&actor={id}&from=2026-01-01T00:00:00%2B01:00&stream=ledger.account/{id}\
             &limit=50&after=1-4711&name_prefix=Jane+Doe&jane=doe&jane"
        );
        let told: Vec<(String, String)> = words().filters(&query).into_iter().collect();
        let told: Vec<(&str, &str)> =
            told.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            told,
            [
                ("actor", id),
                ("after", "1-4711"),
                ("from", "2026-01-01T00:00:00+01:00"),
                ("name_prefix", WITHHELD),
                ("stream", format!("ledger.account/{id}").as_str()),
                ("type", "ledger.transfer-posted"),
            ]
        );
    }
}
