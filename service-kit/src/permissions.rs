//! The permissions of the product, one unit struct each: what it allows, which built-in roles hold it, and under which
//! conditions. Documents, roles and the access matrix are made from this list.
//!
//! Not here: whether a caller holds one, which is asked of [`crate::access`].

use std::marker::PhantomData;
use std::sync::OnceLock;

use domain::ids::TenantId;
use domain::organisation::RoleTable;

use crate::problem::{CodeDoc, FieldProblem, Problem, code};

/// A role that every organisation has. The owner is not among them: an owner holds whatever there is, so a permission
/// that is born later needs no change of anything recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BuiltIn {
    /// Runs the organisation, but neither closes it nor makes owners.
    Admin,
    /// Keeps the books and invites, but changes nobody's rights.
    Manager,
    /// Keeps the own account. Whoever registers by themselves has this role and no other, so it opens nothing of the
    /// organisation: that is what roles are for which the organisation defines.
    User,
}

impl BuiltIn {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Manager, Self::User];

    /// The name by which members hold it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Manager => "manager",
            Self::User => "user",
        }
    }
}

/// What is to be known of a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PermissionDoc {
    /// `<context>.<verb>-<noun>`; verbs `read` change nothing. Never renamed or used for something else.
    pub name: &'static str,
    /// What it allows, as the rest of "allows to ...".
    pub text: &'static str,
    /// The built-in roles that hold it, beside the owner.
    pub roles: &'static [BuiltIn],
    /// Whether it opens personal data or lets much be carried out: every use of it is recorded in the audit trail.
    pub is_audited: bool,
    /// Whether it can be used while the organisation waits for its approval.
    pub works_while_pending: bool,
    /// Whether a session must have been proven anew within [`crate::access::STEP_UP_WITHIN`].
    pub needs_step_up: bool,
    /// Whether neither a program may use it, nor staff of the platform who act for somebody: what needs a fresh proof of the
    /// person, and what gives credentials out.
    pub only_in_person: bool,
    /// Whether it is of the platform: nobody outside of tenant zero holds it, whatever the role.
    pub is_of_platform: bool,
}

impl PermissionDoc {
    const fn new(name: &'static str, text: &'static str, roles: &'static [BuiltIn]) -> Self {
        Self {
            name,
            text,
            roles,
            is_audited: false,
            works_while_pending: false,
            needs_step_up: false,
            only_in_person: false,
            is_of_platform: false,
        }
    }

    const fn audited(self) -> Self {
        Self { is_audited: true, ..self }
    }

    const fn while_pending(self) -> Self {
        Self { works_while_pending: true, ..self }
    }

    const fn after_step_up(self) -> Self {
        Self { needs_step_up: true, only_in_person: true, ..self }
    }

    const fn in_person(self) -> Self {
        Self { only_in_person: true, ..self }
    }

    const fn of_platform(self) -> Self {
        Self { is_of_platform: true, ..self }
    }

    /// Whether anybody of a tenant can hold it at all.
    #[must_use]
    pub fn exists_in(&self, tenant: TenantId) -> bool {
        !self.is_of_platform || tenant == TenantId::PLATFORM
    }
}

/// Something a caller may be allowed to do.
pub trait Permission: Send + Sync + 'static {
    /// What is to be known of it.
    const DOC: PermissionDoc;
    /// Its name.
    const NAME: &'static str = Self::DOC.name;
    /// See [`PermissionDoc::is_audited`].
    const SENSITIVE: bool = Self::DOC.is_audited;
}

/// A permission that is not sensitive everywhere, used by an operation that is.
#[derive(Debug, Clone, Copy)]
pub struct Audited<P>(PhantomData<fn() -> P>);

impl<P: Permission> Permission for Audited<P> {
    const DOC: PermissionDoc = P::DOC.audited();
}

/// Name of the type, name, text, built-in roles, and conditions by the builders of [`PermissionDoc`].
macro_rules! permissions {
    ($($type:ident $name:literal $text:literal [$($role:ident)*] $($condition:ident)*;)*) => {
        $(
            #[doc = concat!("`", $name, "`: allows to ", $text, ".")]
            #[derive(Debug, Clone, Copy)]
            pub struct $type;

            impl Permission for $type {
                const DOC: PermissionDoc = PermissionDoc::new($name, $text, &[$(BuiltIn::$role),*])$(.$condition())*;
            }
        )*

        /// Every permission, in the order of the reference page.
        pub const ALL: &[PermissionDoc] = &[$($type::DOC),*];
    };
}

permissions! {
    // The ledger.
    OpenAccount "ledger.open-account" "open accounts" [Admin Manager];
    FreezeAccount "ledger.freeze-account" "stop an account from taking debits, credits or both" [Admin Manager];
    UnfreezeAccount "ledger.unfreeze-account" "let an account take postings again" [Admin Manager];
    CloseAccount "ledger.close-account" "close an empty account for ever" [Admin Manager];
    PostTransfer "ledger.post-transfer" "move money, or set it aside" [Admin Manager];
    PostHold "ledger.post-hold" "capture a hold" [Admin Manager];
    VoidHold "ledger.void-hold" "give a hold up" [Admin Manager];
    ReverseTransfer "ledger.reverse-transfer" "move a transfer back" [Admin Manager];
    ClosePeriod "ledger.close-period" "close the book up to a moment" [Admin];
    ReadAccounts "ledger.read-accounts" "read accounts, their balances and their entries" [Admin Manager];
    ReadTransfers "ledger.read-transfers" "read transfers" [Admin Manager];
    ReadJournal "ledger.read-journal" "read the trial balance and the journal" [Admin Manager];

    // The log itself, what is built from it, and the audit trail in it.
    ReadEvents "events.read-events" "read every event of the organisation, and states at any version" [Admin Manager] audited;
    ReadProjections "projections.read-projections" "read how far the read models are" [Admin Manager];
    ReadTrail "audit.read-trail" "read who did, read and was refused what" [Admin] audited;
    ExportTrail "audit.export-trail" "carry a part of the audit trail out" [Admin] audited;

    // Persons, their sessions and their secrets. What a person may do with the own account needs no permission.
    ReadUsers "identity.read-users" "read persons with their personal data" [Admin Manager] audited;
    CreateUser "identity.create-user" "add a person, who is asked by mail to choose a password" [Admin] in_person;
    UpdateUser "identity.update-user" "change the name, phone, address and language of a person" [Admin];
    DeactivateUser "identity.deactivate-user" "deactivate a person, and take that back" [Admin] in_person;
    ReadSessions "identity.read-sessions" "read the sessions of a person" [Admin Manager] audited;
    EndSessions "identity.end-sessions" "end the sessions of a person" [Admin] in_person;
    UnlockUser "identity.unlock-user" "let a person try again after too many failed sign-ins" [Admin];
    RemoveFactors "identity.remove-factors" "remove the second factors of a person who has lost them" [Admin] after_step_up;
    ResetPassword "identity.reset-password" "have a person asked by mail for a new password" [Admin] in_person;
    ReadSignIns "identity.read-sign-ins" "read who signed in, who failed to, and from where" [Admin Manager] audited;
    RevokeAccessToken "identity.revoke-access-token" "revoke an access token with which an operator acts in the organisation" [Admin];

    // The organisation, its members, roles and invitations.
    ReadOrganisation "organisation.read-organisation" "read the organisation" [Admin Manager User] while_pending;
    UpdateOrganisation "organisation.update-organisation" "rename the organisation" [Admin] while_pending;
    ReadPolicy "organisation.read-policy" "read the organisation's settings and policies" [Admin Manager] while_pending;
    SetPolicy "organisation.set-policy" "change the organisation's settings and policies" [Admin] after_step_up;
    CloseOrganisation "organisation.close-organisation" "close the organisation for ever" [] while_pending after_step_up;
    TransferOwnership "organisation.transfer-ownership" "make another member the owner in one's own place" [] after_step_up;
    ReadMembers "organisation.read-members" "read members and the roles that they hold" [Admin Manager];
    AssignRoles "organisation.assign-roles" "change the roles of a member, within what one holds" [Admin] in_person;
    RemoveMember "organisation.remove-member" "remove a member" [Admin];
    ReadRoles "organisation.read-roles" "read the roles of the organisation" [Admin Manager];
    DefineRole "organisation.define-role" "define a role, within what one holds" [Admin] in_person;
    DeleteRole "organisation.delete-role" "delete a role that nobody holds" [Admin];
    InviteMember "organisation.invite-member" "invite somebody, within what one holds, and take that back" [Admin Manager] in_person;
    ReadInvitations "organisation.read-invitations" "read invitations" [Admin Manager];

    // Signing in with others. Whoever sets a provider up can be anybody whom it is trusted to vouch for.
    ReadProviders "federation.read-providers" "read how those are set up with whom people sign in" [Admin Manager];
    ManageProviders "federation.manage-providers" "set up with whom people may sign in, and whom that is trusted to vouch for" [] after_step_up;
    ReadProviderToken "federation.read-provider-token" "read the token that a provider gave for oneself" [Admin Manager User] audited in_person;

    // Programs of the organisation: services, and keys with which programs act.
    ReadServices "application.read-services" "read the services of the organisation" [Admin Manager];
    ManageServices "application.manage-services" "register services, change and remove them, and give them secrets" [Admin] after_step_up;
    ReadApiKeys "application.read-api-keys" "read API keys, but nothing that they are made of" [Admin Manager];
    ManageApiKeys "application.manage-api-keys" "make keys for oneself or for services, within what one holds, and revoke any" [Admin] after_step_up;

    // The platform: for members of tenant zero alone.
    ReadOrganisations "platform.read-organisations" "read every organisation and what became of its request" [Admin Manager] of_platform;
    ApproveOrganisation "platform.approve-organisation" "approve or reject an organisation" [Admin] of_platform;
    SuspendOrganisation "platform.suspend-organisation" "suspend an organisation, and take that back" [Admin] of_platform after_step_up;
    SetTier "platform.set-tier" "change what an organisation pays for" [Admin] of_platform;
    ManageOwners "platform.manage-owners" "make and unmake owners of the platform" [] of_platform after_step_up;
    Impersonate "platform.impersonate-user" "act for a user of an organisation for a while, who is told of it" [] of_platform after_step_up;
    RevokeAnyAccessToken "platform.revoke-access-token" "revoke an access token of an operator, in whichever organisation it acts" [Admin] of_platform;
    RotateKeys "platform.rotate-keys" "rotate and remove the keys that tokens are signed with" [] of_platform after_step_up;
}

/// Finds a permission by its name.
#[must_use]
pub fn find(name: &str) -> Option<&'static PermissionDoc> {
    ALL.iter().find(|it| it.name == name)
}

/// Looks whether members of a tenant can hold all of these, which stand in the body's list at `pointer`: one that does not
/// exist would grant nothing, and nobody would be told.
///
/// # Errors
/// `auth.permission-unknown`, with the place of each.
pub fn must_exist<'a>(
    tenant: TenantId,
    pointer: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<(), Problem> {
    let is_known = |name: &str| find(name).is_some_and(|it| it.exists_in(tenant));
    none(&code::PERMISSION_UNKNOWN, "is no permission", pointer, names, |name| !is_known(name))
}

/// Looks whether a program can use all of these, as [`must_exist`] looks whether they are there: one that is used in person
/// would never be of use, and whoever made the key would learn it only when its program fails.
///
/// # Errors
/// `auth.permission-in-person`, with the place of each.
pub fn must_be_for_programs<'a>(
    pointer: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<(), Problem> {
    let in_person = |name: &str| find(name).is_some_and(|it| it.only_in_person);
    none(&code::PERMISSION_IN_PERSON, "is used in person", pointer, names, in_person)
}

/// Refuses names of which something is so, each at its place.
fn none<'a>(
    doc: &CodeDoc,
    said: &str,
    pointer: &str,
    names: impl IntoIterator<Item = &'a str>,
    is_so: impl Fn(&str) -> bool,
) -> Result<(), Problem> {
    let found = names.into_iter().enumerate().filter(|(_, name)| is_so(name));
    let told = found.fold(None, |told: Option<Problem>, (place, name)| {
        let (pointer, code) = (format!("{pointer}/{place}"), doc.code.to_owned());
        let problem = told.unwrap_or_else(|| Problem::new(doc, ""));
        Some(problem.at(FieldProblem { pointer, code, detail: format!("{name} {said}") }))
    });
    told.map_or(Ok(()), Err)
}

/// What the built-in roles mean to members of a tenant.
#[must_use]
pub fn role_table(tenant: TenantId) -> &'static RoleTable {
    static OF_PLATFORM: OnceLock<RoleTable> = OnceLock::new();
    static OF_OTHERS: OnceLock<RoleTable> = OnceLock::new();
    let table = if tenant == TenantId::PLATFORM { &OF_PLATFORM } else { &OF_OTHERS };
    table.get_or_init(|| {
        RoleTable::new(BuiltIn::ALL.map(|role| {
            let held = |it: &&PermissionDoc| it.roles.contains(&role) && it.exists_in(tenant);
            (role.name(), ALL.iter().filter(held).map(|it| it.name).collect::<Vec<_>>())
        }))
    })
}

#[cfg(test)]
mod tests;
