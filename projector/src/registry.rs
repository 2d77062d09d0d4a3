//! Every read model, one line each. Reactors have a list of their own: they are never rebuilt.

use std::sync::Arc;

use read_models::account_entries::AccountEntries;
use read_models::accounts::Accounts;
use read_models::api_keys::ApiKeys;
use read_models::audit_trail::AuditTrail;
use read_models::consents::Consents;
use read_models::event_index::EventIndex;
use read_models::factors::Factors;
use read_models::invitations::Invitations;
use read_models::members::Members;
use read_models::organizations::Organizations;
use read_models::roles::Roles;
use read_models::security_feed::SecurityFeed;
use read_models::services::Services;
use read_models::sessions::Sessions;
use read_models::sign_ins::SignIns;
use read_models::tenants::Tenants;
use read_models::transfers::Transfers;
use read_models::trial_balance::TrialBalance;
use read_models::users::Users;

use crate::follower::{Follower, read_model};

/// The read models of this build.
#[must_use]
pub fn read_models() -> Vec<Arc<dyn Follower>> {
    vec![
        read_model::<Accounts>(),
        read_model::<AccountEntries>(),
        read_model::<Transfers>(),
        read_model::<TrialBalance>(),
        read_model::<EventIndex>(),
        read_model::<AuditTrail>(),
        read_model::<Tenants>(),
        read_model::<Users>(),
        read_model::<Factors>(),
        read_model::<Sessions>(),
        read_model::<Members>(),
        read_model::<Roles>(),
        read_model::<Organizations>(),
        read_model::<Invitations>(),
        read_model::<Services>(),
        read_model::<ApiKeys>(),
        read_model::<Consents>(),
        read_model::<SignIns>(),
        read_model::<SecurityFeed>(),
    ]
}
