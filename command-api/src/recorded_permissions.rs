//! What built-in roles grant in this build, recorded when it starts, if another build recorded something else before: so that
//! "who could do what then" can be answered with what the roles meant then.
//!
//! One table for all organisations: it says of the platform's permissions too which roles hold them, though only members of
//! tenant zero do ([`service_kit::permissions::PermissionDoc::exists_in`]).

use anyhow::Context as _;
use domain::ids::TenantId;
use domain::platform::{RecordPermissions, RoleGrants};
use domain::words::{Permission, Word};
use event_store::{Cause, Executor, SubmitError, Unit};
use service_kit::permissions::{ALL, BuiltIn};
use uuid::Uuid;

/// Records it. However many processes start at once, a table that is the newest is recorded once: the command is judged on
/// what the log holds at its commit.
///
/// # Errors
/// If the log cannot be written to, or a permission has a name that is none.
pub(crate) async fn record(executor: &Executor) -> anyhow::Result<()> {
    let command = RecordPermissions { roles: table()? };
    let unit = Unit::new(TenantId::PLATFORM, Cause::system(Uuid::now_v7()), command);
    match executor.submit(unit).await {
        // There is nothing to refuse.
        Ok(_) => Ok(()),
        // A newer build has recorded a form of it that this one cannot read, and that one knows better.
        Err(SubmitError::NewerEvent) => Ok(()),
        Err(error) => Err(error).context("what built-in roles grant could not be recorded"),
    }
}

fn table() -> anyhow::Result<Vec<RoleGrants>> {
    let grants = |role: BuiltIn| {
        let held = ALL.iter().filter(|it| it.roles.contains(&role));
        let permissions = held.map(|it| Permission::parse(it.name)).collect::<Result<_, _>>()?;
        anyhow::Ok(RoleGrants { role: Word::parse(role.name())?, permissions })
    };
    BuiltIn::ALL.map(grants).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use service_kit::permissions::role_table;

    use super::*;

    #[test]
    fn what_is_recorded_is_what_members_of_the_platform_are_granted() {
        let granted: Vec<(String, BTreeSet<String>)> = role_table(TenantId::PLATFORM)
            .rows()
            .map(|(role, names)| (role.to_owned(), names.iter().map(ToString::to_string).collect()))
            .collect();
        let mut recorded: Vec<(String, BTreeSet<String>)> = table()
            .unwrap()
            .into_iter()
            .map(|it| (it.role.to_string(), it.permissions.iter().map(ToString::to_string).collect()))
            .collect();
        recorded.sort();
        assert_eq!(recorded, granted);
        assert!(recorded.iter().all(|(_, names)| !names.is_empty()));
    }
}
