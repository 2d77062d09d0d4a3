//! The reference of permissions: which role grants them and which operation asks for them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value;
use service_kit::openapi::AUDITED;
use service_kit::permissions::{self, BuiltIn, PermissionDoc};

use super::{GENERATED, head, openapi, row};

const BEGINNING: &str = "
# Permissions

A permission is `<context>.<verb>-<noun>`. Verbs that begin with `read` change nothing. Members hold them by their roles:
those of the table, which every organisation has, and those that it defines itself. An owner may do everything in the own
organisation. Nobody may do anything in another one: what is there does not exist for them, and the answer is 404.
Permissions of the platform are held by members of the platform alone.

A token that an operator issues with `quipu token` belongs to no member; with the role `owner` it allows everything too but to
act for a user, with `member` whatever reads, but for the audit trail.

Every operation asks for one permission; a batch also for what each of its items would need by itself. Every use of an
operation that is marked as recorded is an entry of the audit trail, written before the answer; and so is every command
that is refused.

Conditions: *pending* works while the organisation waits for its approval; *step-up* needs a session whose person showed
within ten minutes who they are; *in person* is used by the person alone: by no program, whatever a role says, and by no
staff in their place. An API key that names one is refused, and no service is lent one.

";

/// The page `docs/permissions.md`.
pub(super) fn page() -> anyhow::Result<String> {
    let asked = asked()?;
    let mut page = GENERATED.to_owned() + BEGINNING;
    page += &head(["Permission", "Allows to", "Admin", "Manager", "User", "Conditions", "Operations"]);
    for doc in permissions::ALL {
        let [admin, manager, user] =
            BuiltIn::ALL.map(|role| if doc.roles.contains(&role) { "yes" } else { "no" });
        let operations = asked.get(doc.name).map_or_else(|| "none yet".to_owned(), |all| all.join(", "));
        let name = format!("`{}`", doc.name);
        page += &row([&name, doc.text, admin, manager, user, &conditions(doc), &operations]);
    }
    Ok(page)
}

fn conditions(doc: &PermissionDoc) -> String {
    let all = [
        (doc.works_while_pending, "pending"),
        (doc.needs_step_up, "step-up"),
        (doc.only_in_person, "in person"),
    ];
    all.into_iter().filter(|(holds, _)| *holds).map(|(_, name)| name).collect::<Vec<_>>().join(", ")
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
