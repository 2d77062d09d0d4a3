//! The reference of codes: what each means, whenever it is given, and what to do then.

use std::collections::BTreeMap;

use service_kit::problem::{EDGE_CODES, http_status};

use super::{GENERATED, head, row};

const BEGINNING: &str = "
# Errors

Every refusal is `application/problem+json` (RFC 9457):

```json
{
  \"type\": \"/problems/ledger.insufficient-funds\",
  \"title\": \"the account has less available than is required\",
  \"status\": 422,
  \"code\": \"ledger.insufficient-funds\",
  \"detail\": \"account 0190a5c4-7c1e-7000-8000-0000000000a3 has 8.50 available, not 40.00 EUR\",
  \"details\": {
    \"account_id\": \"0190a5c4-7c1e-7000-8000-0000000000a3\",
    \"available\": \"8.50\",
    \"currency\": \"EUR\",
    \"required\": \"40.00\"
  },
  \"trace_id\": \"4bf92f3577b34da6a3ce929d0e0e4736\"
}
```

A client decides by `code`: it is never renamed and never used for something else. `detail` is for a person and may
change. `details` has the figures by name. `errors`, where it is there, points into the body (RFC 6901) and has
a code for each place, which is in the tables too. `trace_id` names the request in the logs.

A request with several faults is refused for the first of them: first what is wrong with the request alone, then with
what it names, then with the state. Within the ledger the order of the table below is the order of the checks.
";

/// What is told of a code.
pub(crate) struct Told {
    /// The code.
    pub(crate) code: &'static str,
    /// HTTP status.
    pub(crate) status: u16,
    /// What it means.
    pub(crate) title: &'static str,
    /// What to do.
    pub(crate) hint: &'static str,
}

/// Every code of the product, in the order of its table.
pub(crate) fn all() -> impl Iterator<Item = Told> {
    let edge =
        EDGE_CODES.iter().map(|it| Told { code: it.code, status: it.status, title: it.title, hint: it.hint });
    let tables = domain::codes::all().map(|it| Told {
        code: it.code,
        status: http_status(it.kind).as_u16(),
        title: it.title,
        hint: it.hint,
    });
    edge.chain(tables)
}

/// The page `docs/errors.md`.
pub(super) fn page() -> String {
    let mut contexts = BTreeMap::<&str, Vec<Told>>::new();
    for told in all() {
        let context = told.code.split_once('.').map_or(told.code, |(context, _)| context);
        contexts.entry(context).or_default().push(told);
    }
    let mut page = GENERATED.to_owned() + BEGINNING;
    for (context, codes) in contexts {
        page += &format!("\n## {context}\n\n");
        page += &head(["Code", "Status", "Meaning", "What to do"]);
        for Told { code, status, title, hint } in codes {
            page += &row([&format!("`{code}`"), &status.to_string(), title, hint]);
        }
    }
    page
}
