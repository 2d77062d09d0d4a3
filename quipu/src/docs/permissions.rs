//! The reference of permissions: which role grants them and which operation asks for them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value;
use service_kit::access::{grants, permissions};
use service_kit::openapi::AUDITED;
use service_kit::token::Role;

use super::{GENERATED, head, openapi, row};

const BEGINNING: &str = "
# Permissions

A permission is `<context>.<verb>-<noun>`. Verbs that begin with `read` change nothing. An owner may do everything in
the own organisation, a member may read, but not who did what. Nobody may do anything in another organisation: what is there does not exist
for them, and the answer is 404.

Every operation asks for one permission; a batch also for what each of its items would need by itself. Every use of an
operation that is marked as recorded is an entry of the audit trail, written before the answer; and so is every command
that is refused.

";

/// The page `docs/permissions.md`.
pub(super) fn page() -> anyhow::Result<String> {
    let asked = asked()?;
    let mut page = GENERATED.to_owned() + BEGINNING;
    page += &head(["Permission", "Owner", "Member", "Operations"]);
    for name in permissions::ALL {
        let yes = |role| if grants(role, name) { "yes" } else { "no" };
        let operations = asked.get(*name).map_or_else(|| "none yet".to_owned(), |all| all.join(", "));
        page += &row([&format!("`{name}`"), yes(Role::Owner), yes(Role::Member), &operations]);
    }
    Ok(page)
}

/// Which operations name a permission in their descriptions, which are where a reader looks.
fn asked() -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let mut asked = BTreeMap::<String, Vec<String>>::new();
    for (_, document) in openapi::all()? {
        let paths =
            document.get("paths").and_then(Value::as_object).context("a description without paths")?;
        for (path, item) in paths {
            for (method, operation) in item.as_object().into_iter().flatten() {
                if let Some(permission) = permission_of(operation) {
                    let recorded = if operation.get(AUDITED).is_some() { " (recorded)" } else { "" };
                    let shown = format!("`{} {path}`{recorded}", method.to_uppercase());
                    asked.entry(permission).or_default().push(shown);
                }
            }
        }
    }
    Ok(asked)
}

/// The permission in the words "Permission: `name`" of a description, which may run over a line's end.
pub(super) fn permission_of(operation: &Value) -> Option<String> {
    let text = operation.get("description")?.as_str()?;
    let (_, rest) = text.split_once("Permission:")?;
    let (_, rest) = rest.split_once('`')?;
    rest.split_once('`').map(|(name, _)| name.to_owned())
}
